//! JSONPath as Amazon States Language uses it, and intrinsic functions.
//!
//! Our own because AWS accepts what RFC 9535 crates refuse (`$.my-key`) and tells definite paths
//! (one value) from indefinite ones (a list).

use std::borrow::Cow;

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
    /// `..name`, `..*`
    Descend(Option<String>),
    Filter(Filter),
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

    /// The value at a definite path (`None` when there is none); a list for an indefinite one.
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
    if definite {
        let mut place = root;
        for segment in segments {
            place = match segment {
                Segment::Key(key) => place.as_object()?.get(key)?,
                Segment::Index(index) => at(place.as_array()?, *index)?,
                _ => return None,
            };
        }
        return Some(place.clone());
    }
    Some(Value::Array(
        select(root, segments).into_iter().cloned().collect(),
    ))
}

fn at(array: &[Value], index: i64) -> Option<&Value> {
    let from_start = if index < 0 {
        index.checked_add(array.len() as i64)?
    } else {
        index
    };
    array.get(usize::try_from(from_start).ok()?)
}

fn select<'v>(root: &'v Value, segments: &[Segment]) -> Vec<&'v Value> {
    let mut places = vec![root];
    for segment in segments {
        let mut next = Vec::new();
        for place in places {
            step(place, segment, &mut next);
        }
        places = next;
    }
    places
}

fn step<'v>(place: &'v Value, segment: &Segment, found: &mut Vec<&'v Value>) {
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
        Segment::Descend(key) => descend(place, key.as_deref(), found),
        Segment::Filter(filter) => {
            found.extend(
                children(place)
                    .into_iter()
                    .filter(|child| holds(filter, child)),
            );
        }
    }
}

fn children(place: &Value) -> Vec<&Value> {
    match place {
        Value::Array(array) => array.iter().collect(),
        Value::Object(object) => object.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'v>(place: &'v Value, key: Option<&str>, found: &mut Vec<&'v Value>) {
    match key {
        Some(key) => found.extend(place.as_object().and_then(|object| object.get(key))),
        None => found.extend(children(place)),
    }
    for child in children(place) {
        descend(child, key, found);
    }
}

fn holds(filter: &Filter, here: &Value) -> bool {
    match filter {
        Filter::Exists(segments) => !select(here, segments).is_empty(),
        Filter::And(left, right) => holds(left, here) && holds(right, here),
        Filter::Or(left, right) => holds(left, here) || holds(right, here),
        Filter::Not(inner) => !holds(inner, here),
        Filter::Compare(left, comparison, right) => {
            match (operand(left, here), operand(right, here)) {
                (Some(left), Some(right)) => compare(&left, *comparison, &right),
                _ => false,
            }
        }
    }
}

fn operand(operand: &Operand, here: &Value) -> Option<Value> {
    match operand {
        Operand::Literal(value) => Some(value.clone()),
        Operand::Here(segments) => select(here, segments).first().map(|value| (*value).clone()),
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
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::engine::query::Plain;

    fn find(path: &str, value: &Value) -> Option<Value> {
        Path::parse(path).unwrap().find(&Plain(value))
    }

    #[test]
    fn definite_paths_give_one_value_and_indefinite_ones_a_list() {
        let value = json!({"a": {"my-key": [1, 2, 3]}, "b": [{"n": 1}, {"n": 5}]});
        assert_eq!(find("$.a.my-key[1]", &value), Some(json!(2)));
        assert_eq!(find("$['a']['my-key'][-1]", &value), Some(json!(3)));
        assert_eq!(find("$.a.none", &value), None);
        assert_eq!(find("$.b[*].n", &value), Some(json!([1, 5])));
        assert_eq!(find("$..n", &value), Some(json!([1, 5])));
        assert_eq!(find("$.b[?(@.n > 2)]", &value), Some(json!([{"n": 5}])));
        assert_eq!(
            find("$.b[?(@.n == 1 || @.n == 5)].n", &value),
            Some(json!([1, 5]))
        );
        assert_eq!(find("$.a.my-key[0:2]", &value), Some(json!([1, 2])));
        assert_eq!(find("$.a.my-key[0,2]", &value), Some(json!([1, 3])));
    }

    #[test]
    fn result_path_makes_the_objects_on_its_way() {
        let mut target = json!({"a": 1});
        Path::parse("$.b.c")
            .unwrap()
            .put(&mut target, json!(2))
            .unwrap();
        assert_eq!(target, json!({"a": 1, "b": {"c": 2}}));
        let error = Path::parse("$.a.c")
            .unwrap()
            .put(&mut target, json!(2))
            .unwrap_err();
        assert_eq!(error.error, "States.ResultPathMatchFailure");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\$?[$.\\[\\]'*a-z0-9?@()<>=&|!:,\\\\ -]{0,40}") {
            let _ = Path::parse(&text);
            let _ = Expression::parse(&text);
        }

        #[test]
        fn any_key_is_found_in_brackets(key in "[^'\\\\]{1,12}") {
            let value = json!({ key.clone(): 1 });
            prop_assert_eq!(find(&format!("$['{key}']"), &value), Some(json!(1)));
        }
    }
}
