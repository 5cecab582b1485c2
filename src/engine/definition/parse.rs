//! Text → [`Definition`], collecting problems on the way.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

mod choice;
mod map;
mod retry;
mod scope;
mod simple;
mod task;

use super::choice::{Comparable, Operand, Order, Rule, Test};
use super::variables;
use super::{
    Batcher, Catcher, Checked, ChildKind, ChoiceRule, Csv, Dataset, Definition, Distributed,
    Format, Given, Kind, MapState, Pattern, Problem, Reader, Resource, Retrier, Scope, Selection,
    Shape, State, Task, Transformation, Wait, Writer,
};
use crate::engine::jsonata;
use crate::engine::path::{Expression, Path};
use crate::engine::query::{Language, Reading, Sees, Template};

pub(super) const SCHEMA: &str = "SCHEMA_VALIDATION_FAILED";
const TRANSITION: &str = "MISSING_TRANSITION_TARGET";
const COMMON: [&str; 3] = ["Type", "Comment", "QueryLanguage"];
/// Fields of JSONPath states only, besides those whose names end in `Path`.
const JSONPATH_ONLY: [&str; 3] = ["Parameters", "Result", "ResultSelector"];
/// Fields of JSONata states only.
const JSONATA_ONLY: [&str; 3] = ["Arguments", "Output", "Items"];
/// The longest state name and label (API reference; developer guide, "Map state (distributed)").
const MAX_NAME: usize = 80;
const MAX_LABEL: usize = 40;

type Object = Map<String, Value>;

pub(super) fn definition(text: &str, kind: ChildKind) -> Checked {
    let mut parser = Parser {
        problems: Vec::new(),
        names: HashSet::new(),
        labels: HashSet::new(),
        machine: Language::JsonPath,
        language: Language::JsonPath,
        state: String::new(),
    };
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let code = "INVALID_JSON_DESCRIPTION";
            return Checked {
                definition: None,
                problems: vec![Problem::coded(code, "", error.to_string())],
            };
        }
    };
    let definition = match &value {
        Value::Object(object) => Some(parser.machine(object, kind)),
        _ => {
            parser.problem("", "Definition must be a valid JSON object");
            None
        }
    };
    let is_sound = parser
        .problems
        .iter()
        .all(|problem| problem.severity == super::Severity::Warning);
    Checked {
        definition: definition.filter(|_| is_sound),
        problems: parser.problems,
    }
}

/// Where a scope is.
#[derive(Clone, Copy)]
struct Place {
    /// What its executions are: of the state machine's type, or children of a Distributed Map.
    workflow: ChildKind,
    is_top: bool,
}

struct Parser {
    problems: Vec<Problem>,
    names: HashSet<String>,
    labels: HashSet<String>,
    /// Of the whole state machine.
    machine: Language,
    /// Of the state that is being read.
    language: Language,
    /// Where the state that is being read is.
    state: String,
}

impl Parser {
    fn problem(&mut self, place: &str, message: impl Into<String>) {
        self.coded(SCHEMA, place, message);
    }

    fn coded(&mut self, code: &'static str, place: &str, message: impl Into<String>) {
        let place = if place.is_empty() { "/" } else { place };
        self.problems.push(Problem::coded(code, place, message));
    }

    fn machine(&mut self, object: &Object, kind: ChildKind) -> Definition {
        let fields = [
            "Comment",
            "StartAt",
            "States",
            "TimeoutSeconds",
            "Version",
            "QueryLanguage",
        ];
        self.known(object, "", &fields);
        self.machine = self.query_language(object, "").unwrap_or_default();
        self.language = self.machine;
        let timeout_seconds = self.integer(object, "", "TimeoutSeconds");
        let place = Place {
            workflow: kind,
            is_top: true,
        };
        let scope = self.scope(object, "", place);
        variables::check(&scope, "", &BTreeSet::new(), &mut self.problems);
        Definition {
            scope: Arc::new(scope),
            timeout_seconds,
        }
    }

    /// Refuses fields that are not in `fields`, and those that belong to the other language.
    fn known(&mut self, object: &Object, place: &str, fields: &[&str]) {
        for key in object.keys() {
            if !fields.contains(&key.as_str()) {
                self.problem(place, format!("Field '{key}' is not supported"));
            } else if let Some(other) = self.other_language(key) {
                let text = format!(
                    "The QueryLanguage is set to '{}', but field '{key}' is only supported for the '{}' QueryLanguage",
                    self.language.name(),
                    other.name()
                );
                self.problem(place, text);
            }
        }
    }

    /// The language that has this field, when it is not the state's.
    fn other_language(&self, field: &str) -> Option<Language> {
        match self.language {
            Language::Jsonata if JSONPATH_ONLY.contains(&field) || field.ends_with("Path") => {
                Some(Language::JsonPath)
            }
            Language::JsonPath if JSONATA_ONLY.contains(&field) => Some(Language::Jsonata),
            _ => None,
        }
    }

    /// What `QueryLanguage` says; anything but `JSONPath` counts as JSONata.
    fn query_language(&mut self, object: &Object, place: &str) -> Option<Language> {
        let value = object.get("QueryLanguage")?;
        let at = format!("{place}/QueryLanguage");
        match value.as_str() {
            Some("JSONPath") => return Some(Language::JsonPath),
            Some("JSONata") => {}
            Some(_) => self.problem(
                &at,
                "Value should be one of the following: [JSONPath, JSONata]",
            ),
            None => self.problem(&at, "Expected value of type [STRING]"),
        }
        Some(Language::Jsonata)
    }

    fn state(&mut self, name: &str, value: &Value, place: &str, inside: Place) -> Option<State> {
        let Value::Object(object) = value else {
            self.problem(place, "Expected value of type [OBJECT]");
            return None;
        };
        if name.chars().count() > MAX_NAME {
            self.problem(
                place,
                format!("A state name has at most {MAX_NAME} characters"),
            );
        }
        if !self.names.insert(name.to_owned()) {
            let text = format!("Duplicate state name: {name}");
            self.coded("DUPLICATE_STATE_NAME", place, text);
        }
        let mut language = self.query_language(object, place).unwrap_or(self.machine);
        if (language, self.machine) == (Language::JsonPath, Language::Jsonata) {
            let text =
                "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine";
            self.problem(place, text);
            language = Language::Jsonata;
        }
        let outer = (
            std::mem::replace(&mut self.language, language),
            std::mem::replace(&mut self.state, place.to_owned()),
        );
        let state = self.typed(object, place, inside);
        (self.language, self.state) = outer;
        state
    }

    fn typed(&mut self, object: &Object, place: &str, inside: Place) -> Option<State> {
        let paths = ["InputPath", "OutputPath", "Output"];
        let flow = ["Next", "End", "Assign"];
        let errors = ["Retry", "Catch"];
        let results = ["Parameters", "ResultPath"];
        let calls = ["Arguments", "ResultSelector"];
        let kind = match object.get("Type").and_then(Value::as_str) {
            Some("Pass") => {
                self.fields(object, place, &[&paths, &flow, &results, &["Result"]]);
                Kind::Pass {
                    result: object.get("Result").cloned(),
                }
            }
            Some("Task") => {
                let own = [
                    "Resource",
                    "TimeoutSeconds",
                    "TimeoutSecondsPath",
                    "HeartbeatSeconds",
                    "HeartbeatSecondsPath",
                    "Credentials",
                ];
                self.fields(
                    object,
                    place,
                    &[&paths, &flow, &results, &calls, &errors, &own],
                );
                let kind = self.task(object, place)?;
                if inside.workflow == ChildKind::Express {
                    self.refuse_for_express(&kind, place);
                }
                kind
            }
            Some("Choice") => {
                self.fields(object, place, &[&paths, &["Choices", "Default", "Assign"]]);
                self.choice(object, place)
            }
            Some("Wait") => {
                let own = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
                self.fields(object, place, &[&paths, &flow, &own]);
                self.wait(object, place)?
            }
            Some("Succeed") => {
                self.fields(object, place, &[&paths]);
                Kind::Succeed
            }
            Some("Fail") => {
                let own = ["Error", "ErrorPath", "Cause", "CausePath"];
                self.fields(object, place, &[&own]);
                self.fail(object, place)
            }
            Some("Parallel") => {
                self.fields(
                    object,
                    place,
                    &[&paths, &flow, &results, &calls, &errors, &["Branches"]],
                );
                self.parallel(object, place, inside)
            }
            Some("Map") => self.map(object, place, inside)?,
            other => {
                let text = "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]";
                let at = match other {
                    Some(_) => format!("{place}/Type"),
                    None => place.to_owned(),
                };
                self.problem(&at, text);
                return None;
            }
        };
        let terminal = matches!(
            kind,
            Kind::Choice { .. } | Kind::Succeed | Kind::Fail { .. }
        );
        let sees = match kind {
            Kind::Task(_) | Kind::Parallel { .. } | Kind::Map(_) => Sees::Result,
            _ => Sees::Input,
        };
        let has_arguments = !matches!(kind, Kind::Map(_));
        Some(State {
            language: self.language,
            input_path: self.selection(object, place, "InputPath"),
            output_path: self.selection(object, place, "OutputPath"),
            result_path: self.selection(object, place, "ResultPath"),
            parameters: has_arguments
                .then(|| self.parameters(object, place))
                .flatten(),
            result_selector: self.template(object, place, "ResultSelector"),
            output: self.outcome(object, place, "Output", sees),
            assign: self.assign(object, place, sees),
            retry: self.retry(object, place),
            catch: self.catch(object, place),
            next: if terminal {
                None
            } else {
                self.next(object, place)
            },
            kind,
        })
    }

    /// What only STANDARD workflows have (developer guide, "Choosing workflow type").
    fn refuse_for_express(&mut self, kind: &Kind, place: &str) {
        let Kind::Task(task) = kind else { return };
        let what = match &task.resource {
            Resource::Activity(_) => "Activity ARN",
            Resource::Service(service) => match service.pattern {
                Pattern::RequestResponse => return,
                Pattern::Sync | Pattern::SyncJson => "'.sync' service integration",
                // AWS's own text ends with a space.
                Pattern::WaitForTaskToken => "'.waitForTaskToken' service integration ",
            },
            Resource::Function(_) => return,
        };
        let text = format!("Express state machine does not support {what}");
        self.problem(&format!("{place}/Resource"), text);
    }

    fn fields(&mut self, object: &Object, place: &str, groups: &[&[&str]]) {
        let mut all: Vec<&str> = COMMON.to_vec();
        for group in groups {
            all.extend_from_slice(group);
        }
        self.known(object, place, &all);
    }

    fn next(&mut self, object: &Object, place: &str) -> Option<String> {
        let next = self.text(object, place, "Next");
        let end = object.get("End").and_then(Value::as_bool).unwrap_or(false);
        if next.is_some() == end {
            self.problem(
                place,
                "Exactly one of the fields 'Next' and 'End' is required",
            );
        }
        next
    }

    fn text(&mut self, object: &Object, place: &str, field: &str) -> Option<String> {
        let text = object.get(field)?.as_str().map(str::to_owned);
        if text.is_none() {
            self.problem(
                &format!("{place}/{field}"),
                "Expected value of type [STRING]",
            );
        }
        text
    }

    fn integer(&mut self, object: &Object, place: &str, field: &str) -> Option<u64> {
        let value = object.get(field)?;
        let number = value.as_u64();
        if number.is_none() {
            self.problem(
                &format!("{place}/{field}"),
                "Value must be a non-negative integer",
            );
        }
        number
    }

    fn path(&mut self, object: &Object, place: &str, field: &str) -> Option<Path> {
        let text = self.text(object, place, field)?;
        let at = format!("{place}/{field}");
        let path = Path::parse(&text).ok();
        if path.is_none() {
            self.problem(&at, "Value is not a valid JSONPath");
        }
        path
    }

    fn selection(&mut self, object: &Object, place: &str, field: &str) -> Selection {
        if self.language == Language::Jsonata {
            return Selection::Whole;
        }
        match object.get(field) {
            None => Selection::Whole,
            Some(Value::Null) => Selection::Nothing,
            Some(_) => match self.path(object, place, field) {
                Some(path) if field == "ResultPath" && !path.is_reference() => {
                    self.problem(
                        &format!("{place}/{field}"),
                        "Value is not a valid reference path",
                    );
                    Selection::Whole
                }
                Some(path) if path.text() == "$" => Selection::Whole,
                Some(path) => Selection::Path(path),
                None => Selection::Whole,
            },
        }
    }

    /// A field that may hold expressions of the state's language.
    fn template(&mut self, object: &Object, place: &str, field: &str) -> Option<Template> {
        self.outcome(object, place, field, Sees::Input)
    }

    /// `Parameters`, or JSONata's `Arguments`.
    fn parameters(&mut self, object: &Object, place: &str) -> Option<Template> {
        self.template(object, place, self.parameters_field())
    }

    fn parameters_field(&self) -> &'static str {
        match self.language {
            Language::JsonPath => "Parameters",
            Language::Jsonata => "Arguments",
        }
    }

    /// A template that may speak of more than the input.
    fn outcome(
        &mut self,
        object: &Object,
        place: &str,
        field: &str,
        sees: Sees,
    ) -> Option<Template> {
        let value = object.get(field)?;
        let at = format!("{place}/{field}");
        variables::check_dollars(value, &at, self.language, &mut self.problems);
        self.other_language(field)
            .is_none()
            .then(|| self.reading(sees, |reading| Template::read(value, &at, reading)))
    }

    fn reading<T>(&mut self, sees: Sees, read: impl FnOnce(&mut Reading<'_>) -> T) -> T {
        read(&mut Reading {
            language: self.language,
            sees,
            state: &self.state,
            problems: &mut self.problems,
        })
    }

    /// Variables to assign (developer guide, "Passing data between states with variables").
    fn assign(&mut self, object: &Object, place: &str, sees: Sees) -> Option<Template> {
        let at = format!("{place}/Assign");
        let Value::Object(members) = object.get("Assign")? else {
            self.problem(&at, "Expected value of type [OBJECT]");
            return None;
        };
        for key in members.keys() {
            let name = match self.language {
                Language::JsonPath => key.strip_suffix(".$").unwrap_or(key),
                Language::Jsonata => key,
            };
            if !is_variable_name(name) {
                let text = format!("'{name}' is not a valid variable name");
                self.problem(&format!("{at}/{key}"), text);
            }
        }
        self.outcome(object, place, "Assign", sees)
    }

    /// `field`, in JSONPath also `fieldPath` (both together are refused), in JSONata also an
    /// expression.
    fn given<T>(
        &mut self,
        object: &Object,
        place: &str,
        field: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Given<T>> {
        let at = format!("{place}/{field}");
        let path_field = format!("{field}Path");
        if self.language == Language::JsonPath && object.contains_key(&path_field) {
            if object.contains_key(field) {
                let text =
                    format!("Only one of the fields '{field}' and '{path_field}' is allowed");
                self.problem(&at, text);
            }
            let path = self.path(object, place, &path_field)?;
            if !path.is_definite() {
                let text = "Value is not a valid reference path";
                self.problem(&format!("{place}/{path_field}"), text);
            }
            return Some(Given::Path(Expression::Path(path)));
        }
        let value = object.get(field)?;
        if let (Language::Jsonata, Some(text)) = (self.language, value.as_str()) {
            let before = self.problems.len();
            let expression = self.reading(Sees::Input, |reading| {
                jsonata::Expression::read(text, &at, reading)
            });
            if expression.is_some() || self.problems.len() > before {
                return expression.map(Given::Jsonata);
            }
        }
        let read = read(value);
        if read.is_none() {
            self.problem(
                &at,
                format!("Value {value} is not valid for the field '{field}'"),
            );
        }
        read.map(Given::Value)
    }
}

/// Unicode identifiers of at most 80 characters; `states` is taken.
fn is_variable_name(name: &str) -> bool {
    let mut characters = name.chars();
    let starts = characters
        .next()
        .is_some_and(|c| c.is_alphabetic() || c == '_');
    starts
        && characters.all(|c| c.is_alphanumeric() || c == '_')
        && name.chars().count() <= MAX_NAME
        && name != "states"
}

fn timestamp(value: &Value) -> Option<jiff::Timestamp> {
    super::timestamp(value.as_str()?)
}
