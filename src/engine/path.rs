//! JSONPath as Amazon States Language uses it, and intrinsic functions.
//!
//! Our own because AWS accepts what RFC 9535 crates refuse (`$.my-key`), tells definite paths (one
//! value) from indefinite ones (a list), and evaluates as Jayway's implementation does: an
//! indefinite path must begin at something that is there, and a filter on an object tests that
//! object, not its members.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::{Map, Value};

use super::query::{EvaluationError, Source};

mod intrinsics;
mod parse;

pub use parse::PathError;

/// A parsed path: `$…` over the input, `$$…` over the context object, `$name…` over a variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    text: String,
    root: Root,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq)]
enum Root {
    Input,
    Context,
    Variable(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Key(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Wildcard,
    Keys(Vec<String>),
    Indexes(Vec<i64>),
    /// `..`: everything from here down, on which the next segment works.
    Descend,
    /// The elements of an array for which it holds; an object for which it holds.
    Filter(Filter),
    /// The same behind `..`, which gets to the elements by itself.
    FilterHere(Filter),
}

#[derive(Debug, Clone, PartialEq)]
enum Filter {
    Exists(Vec<Segment>),
    Compare(Operand, Comparison, Operand),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Here(Vec<Segment>),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Path {
    /// Parses `$`, `$.a['b'][0]`, `$$.Execution.Id`, ….
    pub fn parse(text: &str) -> Result<Self, PathError> {
        parse::path(text)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the path names at most one place.
    pub fn is_definite(&self) -> bool {
        self.segments
            .iter()
            .all(|segment| matches!(segment, Segment::Key(_) | Segment::Index(_)))
    }

    /// A reference path (ASL specification, "Reference Paths"): definite, over the input.
    pub fn is_reference(&self) -> bool {
        self.is_definite() && self.root == Root::Input
    }

    /// The variable that the path starts at.
    pub fn variable(&self) -> Option<&str> {
        match &self.root {
            Root::Variable(name) => Some(name),
            _ => None,
        }
    }

    /// What the path starts at.
    fn start<'s>(&self, source: &'s dyn Source) -> Option<Cow<'s, Value>> {
        match &self.root {
            Root::Input => Some(Cow::Borrowed(source.input())),
            Root::Context => Some(source.context()),
            Root::Variable(name) => source.variable(name).map(Cow::Borrowed),
        }
    }

    /// The value at a definite path, a list for an indefinite one. `None`: the definite path, or
    /// the definite beginning of the other, leads nowhere.
    pub fn find(&self, source: &dyn Source) -> Option<Value> {
        let start = self.start(source)?;
        select_one_or_all(start.as_ref(), &self.segments, self.is_definite())
    }

    /// As [`Path::find`], with AWS's error when there is nothing.
    pub fn get(&self, source: &dyn Source) -> Result<Value, EvaluationError> {
        self.find(source).ok_or_else(|| self.nothing(source))
    }

    /// As [`Path::get`], for a field that AWS names when there is nothing.
    pub fn get_for(&self, field: &str, source: &dyn Source) -> Result<Value, EvaluationError> {
        self.find(source).ok_or_else(|| {
            let searched = self.start(source).unwrap_or_default();
            EvaluationError::runtime(format!(
                "The JSONPath '{}' specified for the field '{field}' could not be found in the input '{searched}'",
                self.text
            ))
        })
    }

    /// AWS's words for a path that leads nowhere: how far it led.
    fn nothing(&self, source: &dyn Source) -> EvaluationError {
        let start = self.start(source).unwrap_or_default();
        let leads =
            |length: &usize| select_one_or_all(&start, &self.segments[..*length], true).is_some();
        let reached = (0..self.segments.len()).rev().find(leads).unwrap_or(0);
        let missing: String = self
            .segments
            .iter()
            .take(reached + 1)
            .map(bracketed)
            .collect();
        let what = if reached + 1 < self.segments.len() {
            "Missing property in path"
        } else {
            "No results for path:"
        };
        EvaluationError::runtime(format!("Invalid path '{}' : {what} ${missing}", self.text))
    }

    /// Puts `value` at this reference path of `target`, making objects on the way (ASL
    /// specification, "ResultPath").
    pub fn put(&self, target: &mut Value, value: Value) -> Result<(), EvaluationError> {
        let mut place = target;
        for segment in &self.segments {
            if place.is_null() {
                *place = Value::Object(Map::new());
            }
            place = match (segment, place) {
                (Segment::Key(key), Value::Object(object)) => {
                    object.entry(key.clone()).or_insert(Value::Null)
                }
                (Segment::Index(index), Value::Array(array)) => usize::try_from(*index)
                    .ok()
                    .and_then(|index| array.get_mut(index))
                    .ok_or_else(|| self.mismatch())?,
                _ => return Err(self.mismatch()),
            };
        }
        *place = value;
        Ok(())
    }

    fn mismatch(&self) -> EvaluationError {
        EvaluationError {
            error: "States.ResultPathMatchFailure",
            cause: format!("Unable to apply ReferencePath {} to input", self.text),
            location: None,
        }
    }
}

fn bracketed(segment: &Segment) -> String {
    match segment {
        Segment::Key(key) => format!("['{key}']"),
        Segment::Index(index) => format!("[{index}]"),
        _ => "[*]".to_owned(),
    }
}

fn select_one_or_all(root: &Value, segments: &[Segment], definite: bool) -> Option<Value> {
    let is_fixed = |segment: &&Segment| matches!(segment, Segment::Key(_) | Segment::Index(_));
    let fixed = segments.iter().take_while(is_fixed).count();
    let (fixed, rest) = segments.split_at(fixed);
    let mut place = root;
    for segment in fixed {
        let next = match segment {
            Segment::Key(key) => Some(place.as_object()?.get(key)?),
            Segment::Index(index) => at(place.as_array()?, *index),
            _ => None,
        };
        place = match next {
            Some(next) => next,
            // Where a list is asked for, an array may be too short.
            None if !definite => return Some(Value::Array(Vec::new())),
            None => return None,
        };
    }
    if definite {
        return rest.is_empty().then(|| place.clone());
    }
    let budget = Budget(Cell::new(MAX_PLACES));
    let found = select(place, rest, &budget);
    (!budget.is_spent()).then(|| found.into_iter().cloned().collect())
}

fn at(array: &[Value], index: i64) -> Option<&Value> {
    let from_start = if index < 0 {
        index.checked_add(array.len() as i64)?
    } else {
        index
    };
    array.get(usize::try_from(from_start).ok()?)
}

/// Most places that one evaluation looks at: enough for the longest item that is read, where
/// `$..*..*..*` would look without end.
const MAX_PLACES: usize = 8 << 20;

/// How many places may still be looked at.
struct Budget(Cell<usize>);

impl Budget {
    fn spend(&self, places: usize) {
        self.0.set(self.0.get().saturating_sub(places));
    }

    fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// Everything that the segments lead to, as far as the budget goes.
fn select<'v>(root: &'v Value, segments: &[Segment], budget: &Budget) -> Vec<&'v Value> {
    let mut places = vec![root];
    for segment in segments {
        let mut next = Vec::new();
        for place in places {
            let before = next.len();
            step(place, segment, budget, &mut next);
            budget.spend(next.len() - before + 1);
            if budget.is_spent() {
                return Vec::new();
            }
        }
        places = next;
    }
    places
}

fn step<'v>(place: &'v Value, segment: &Segment, budget: &Budget, found: &mut Vec<&'v Value>) {
    match segment {
        Segment::Key(key) => found.extend(place.as_object().and_then(|object| object.get(key))),
        Segment::Keys(keys) => {
            let object = place.as_object();
            found.extend(keys.iter().filter_map(|key| object?.get(key)));
        }
        Segment::Index(index) => found.extend(place.as_array().and_then(|array| at(array, *index))),
        Segment::Indexes(indexes) => {
            let array = place.as_array();
            found.extend(indexes.iter().filter_map(|index| at(array?, *index)));
        }
        Segment::Slice(from, to) => {
            if let Value::Array(array) = place {
                let bound = |index: i64| {
                    let from_start = if index < 0 {
                        index + array.len() as i64
                    } else {
                        index
                    };
                    from_start.clamp(0, array.len() as i64) as usize
                };
                let from = from.map_or(0, bound);
                let to = to.map_or(array.len(), bound);
                found.extend(array.iter().take(to).skip(from));
            }
        }
        Segment::Wildcard => found.extend(children(place)),
        Segment::Descend => descend(place, found),
        Segment::Filter(filter) => match place {
            Value::Array(array) => {
                found.extend(array.iter().filter(|it| holds(filter, it, budget)));
            }
            _ => step_here(place, filter, budget, found),
        },
        Segment::FilterHere(filter) => step_here(place, filter, budget, found),
    }
}

fn step_here<'v>(place: &'v Value, filter: &Filter, budget: &Budget, found: &mut Vec<&'v Value>) {
    if place.is_object() && holds(filter, place, budget) {
        found.push(place);
    }
}

fn children(place: &Value) -> Vec<&Value> {
    match place {
        Value::Array(array) => array.iter().collect(),
        Value::Object(object) => object.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'v>(place: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(place);
    for child in children(place) {
        descend(child, found);
    }
}

fn holds<'f>(filter: &'f Filter, here: &'f Value, budget: &Budget) -> bool {
    let first = |segments: &'f [Segment]| select(here, segments, budget).first().copied();
    let operand = |operand: &'f Operand| match operand {
        Operand::Literal(value) => Some(value),
        Operand::Here(segments) => first(segments),
    };
    match filter {
        Filter::Exists(segments) => first(segments).is_some(),
        Filter::And(left, right) => holds(left, here, budget) && holds(right, here, budget),
        Filter::Or(left, right) => holds(left, here, budget) || holds(right, here, budget),
        Filter::Not(inner) => !holds(inner, here, budget),
        Filter::Compare(left, comparison, right) => match (operand(left), operand(right)) {
            (Some(left), Some(right)) => compare(left, *comparison, right),
            // What is not there differs from everything.
            _ => *comparison == Comparison::NotEqual,
        },
    }
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> bool {
    use std::cmp::Ordering;

    let ordering = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left
            .as_f64()
            .zip(right.as_f64())
            .and_then(|(left, right)| left.partial_cmp(&right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    match comparison {
        Comparison::Equal => ordering.map_or(left == right, Ordering::is_eq),
        Comparison::NotEqual => ordering.map_or(left != right, Ordering::is_ne),
        Comparison::Less => ordering.is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => ordering.is_some_and(Ordering::is_le),
        Comparison::Greater => ordering.is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
    }
}

/// What a `.$` key holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    Path(Path),
    Call {
        name: String,
        arguments: Vec<Expression>,
        text: String,
    },
    Constant(Value),
}

impl Expression {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.starts_with('$') {
            Path::parse(text).map(Self::Path)
        } else {
            parse::call(text)
        }
    }

    /// Calls `each` with every variable that the expression may read.
    pub fn variables(&self, each: &mut dyn FnMut(&str)) {
        match self {
            Self::Path(path) => path.variable().into_iter().for_each(each),
            Self::Call { arguments, .. } => arguments.iter().for_each(|it| it.variables(each)),
            Self::Constant(_) => {}
        }
    }

    /// As in the definition.
    pub fn text(&self) -> String {
        match self {
            Self::Path(Path { text, .. }) | Self::Call { text, .. } => text.clone(),
            Self::Constant(value) => value.to_string(),
        }
    }

    pub fn evaluate(&self, source: &dyn Source) -> Result<Value, EvaluationError> {
        match self {
            Self::Path(path) => path.get(source),
            Self::Constant(value) => Ok(value.clone()),
            Self::Call {
                name,
                arguments,
                text,
            } => {
                let had = |cause: String| {
                    format!("The function '{text}' had the following error: {cause}")
                };
                let value = |argument: &Self| {
                    match argument {
                    Self::Path(path) => path.find(source).ok_or_else(|| {
                        let searched = path.start(source).unwrap_or_default();
                        let path = &path.text;
                        EvaluationError::runtime(had(format!(
                            "The JsonPath argument for the field '{path}' could not be found in the input '{searched}'"
                        )))
                    }),
                    argument => argument.evaluate(source),
                }
                };
                let values = arguments.iter().map(value).collect::<Result<Vec<_>, _>>()?;
                intrinsics::call(name, values, source)
                    .map_err(|cause| EvaluationError::intrinsic(had(cause)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
