//! Text → [`Definition`], collecting problems on the way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

mod choice;
mod map;
mod retry;
mod task;

use super::choice::{Comparable, Operand, Order, Rule, Test};
use super::{
    Batcher, Catcher, ChildKind, Csv, Dataset, Definition, Distributed, Format, Given, Kind,
    MapState, Problem, Reader, Resource, Retrier, Scope, Selection, Shape, State, Task, Text,
    Transformation, Wait, Writer,
};
use crate::engine::path::{Path, Template};

const SCHEMA: &str = "SCHEMA_VALIDATION_FAILED";
const TRANSITION: &str = "MISSING_TRANSITION_TARGET";
const COMMON: [&str; 2] = ["Type", "Comment"];
/// The longest state name and label (API reference; developer guide, "Map state (distributed)").
const MAX_NAME: usize = 80;
const MAX_LABEL: usize = 40;

type Object = Map<String, Value>;

pub(super) fn definition(text: &str) -> Result<Definition, Vec<Problem>> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        vec![Problem {
            code: "INVALID_JSON_DESCRIPTION",
            message: error.to_string(),
            place: String::new(),
        }]
    })?;
    let mut parser = Parser {
        problems: Vec::new(),
        names: HashSet::new(),
        labels: HashSet::new(),
    };
    let Value::Object(object) = &value else {
        parser.problem("", "Definition must be a valid JSON object");
        return Err(parser.problems);
    };
    parser.known(
        object,
        "",
        &[
            "Comment",
            "StartAt",
            "States",
            "TimeoutSeconds",
            "Version",
            "QueryLanguage",
        ],
    );
    if let Some(language) = object.get("QueryLanguage") {
        parser.query_language(language, "");
    }
    let timeout_seconds = parser.integer(object, "", "TimeoutSeconds");
    let scope = parser.scope(object, "", Place::Top);
    if parser.problems.is_empty() {
        Ok(Definition {
            scope: Arc::new(scope),
            timeout_seconds,
        })
    } else {
        Err(parser.problems)
    }
}

/// Where a scope is: a Distributed Map may not be inside another one yet.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Top,
    InsideDistributed,
}

struct Parser {
    problems: Vec<Problem>,
    names: HashSet<String>,
    labels: HashSet<String>,
}

impl Parser {
    fn problem(&mut self, place: &str, message: impl Into<String>) {
        self.coded(SCHEMA, place, message);
    }

    fn coded(&mut self, code: &'static str, place: &str, message: impl Into<String>) {
        let place = if place.is_empty() {
            "/".to_owned()
        } else {
            place.to_owned()
        };
        self.problems.push(Problem {
            code,
            message: message.into(),
            place,
        });
    }

    fn known(&mut self, object: &Object, place: &str, fields: &[&str]) {
        for key in object.keys().filter(|key| !fields.contains(&key.as_str())) {
            self.problem(
                &format!("{place}/{key}"),
                format!("Field '{key}' is not supported"),
            );
        }
    }

    fn query_language(&mut self, language: &Value, place: &str) {
        if language != "JSONPath" {
            let text = format!("The query language {language} is not supported by this engine yet");
            self.problem(&format!("{place}/QueryLanguage"), text);
        }
    }

    fn scope(&mut self, object: &Object, place: &str, inside: Place) -> Scope {
        let missing: Vec<&str> = ["States", "StartAt"]
            .into_iter()
            .filter(|key| !object.contains_key(*key))
            .collect();
        if !missing.is_empty() {
            self.problem(
                place,
                format!("These fields are required: [{}]", missing.join(", ")),
            );
        }
        let start_at = self.text(object, place, "StartAt").unwrap_or_default();
        let mut states = HashMap::new();
        match object.get("States") {
            Some(Value::Object(members)) => {
                if members.is_empty() {
                    self.problem(&format!("{place}/States"), "Value cannot be empty");
                }
                for (name, value) in members {
                    let place = format!("{place}/States/{name}");
                    if let Some(state) = self.state(name, value, &place, inside) {
                        states.insert(name.clone(), state);
                    }
                }
                self.transitions(&start_at, &states, members, place);
            }
            Some(_) => self.problem(&format!("{place}/States"), "Value must be an object"),
            None => {}
        }
        Scope { start_at, states }
    }

    /// Every target exists, every state can be reached, and the scope can end.
    fn transitions(
        &mut self,
        start: &str,
        states: &HashMap<String, State>,
        all: &Object,
        place: &str,
    ) {
        if !start.is_empty() && !all.contains_key(start) {
            self.coded(
                TRANSITION,
                &format!("{place}/StartAt"),
                format!("Missing 'StartAt' target: {start}"),
            );
        }
        let mut reached: HashSet<&str> = HashSet::from([start]);
        for (name, state) in states {
            for (field, target) in targets(state) {
                if !all.contains_key(target) {
                    let at = format!("{place}/States/{name}/{field}");
                    self.coded(
                        TRANSITION,
                        &at,
                        format!("Missing '{field}' target: {target}"),
                    );
                }
                if target != name {
                    reached.insert(target);
                }
            }
        }
        for name in all.keys().filter(|name| !reached.contains(name.as_str())) {
            let at = format!("{place}/States/{name}");
            self.coded(
                TRANSITION,
                &at,
                format!("State \"{name}\" is not reachable."),
            );
        }
    }

    fn state(&mut self, name: &str, value: &Value, place: &str, inside: Place) -> Option<State> {
        let Value::Object(object) = value else {
            self.problem(place, "Value must be an object");
            return None;
        };
        if name.chars().count() > MAX_NAME {
            self.problem(
                place,
                format!("A state name has at most {MAX_NAME} characters"),
            );
        }
        if !self.names.insert(name.to_owned()) {
            self.coded(
                "DUPLICATE_STATE_NAME",
                place,
                format!("Duplicate state name: {name}"),
            );
        }
        if let Some(language) = object.get("QueryLanguage") {
            self.query_language(language, place);
        }
        let paths = ["InputPath", "OutputPath"];
        let flow = ["Next", "End"];
        let errors = ["Retry", "Catch"];
        let results = ["Parameters", "ResultPath"];
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
                    "ResultSelector",
                    "TimeoutSeconds",
                    "TimeoutSecondsPath",
                    "HeartbeatSeconds",
                    "HeartbeatSecondsPath",
                ];
                self.fields(object, place, &[&paths, &flow, &results, &errors, &own]);
                self.task(object, place)?
            }
            Some("Choice") => {
                self.fields(object, place, &[&paths, &["Choices", "Default"]]);
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
                self.fields(
                    object,
                    place,
                    &[&["Error", "ErrorPath", "Cause", "CausePath"]],
                );
                Kind::Fail {
                    error: self.text_or_path(object, place, "Error"),
                    cause: self.text_or_path(object, place, "Cause"),
                }
            }
            Some("Parallel") => {
                let own = ["Branches", "ResultSelector"];
                self.fields(object, place, &[&paths, &flow, &results, &errors, &own]);
                self.parallel(object, place, inside)
            }
            Some("Map") => self.map(object, place, inside)?,
            other => {
                let text = "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]";
                let at = if other.is_some() {
                    format!("{place}/Type")
                } else {
                    place.to_owned()
                };
                self.problem(&at, text);
                return None;
            }
        };
        let terminal = matches!(
            kind,
            Kind::Choice { .. } | Kind::Succeed | Kind::Fail { .. }
        );
        let is_map = matches!(kind, Kind::Map(_));
        Some(State {
            input_path: self.selection(object, place, "InputPath"),
            output_path: self.selection(object, place, "OutputPath"),
            result_path: self.selection(object, place, "ResultPath"),
            parameters: if is_map {
                None
            } else {
                self.template(object, place, "Parameters")
            },
            result_selector: self.template(object, place, "ResultSelector"),
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

    fn fields(&mut self, object: &Object, place: &str, groups: &[&[&str]]) {
        let mut all: Vec<&str> = COMMON.to_vec();
        all.push("QueryLanguage");
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
            self.problem(&format!("{place}/{field}"), "Value must be a string");
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

    fn template(&mut self, object: &Object, place: &str, field: &str) -> Option<Template> {
        let value = object.get(field)?;
        let mut found = Vec::new();
        let template = Template::parse(value, &format!("{place}/{field}"), &mut found);
        for (place, message) in found {
            self.problem(&place, message);
        }
        Some(template)
    }

    /// `field`, or `fieldPath`; both together are refused.
    fn given<T>(
        &mut self,
        object: &Object,
        place: &str,
        field: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<Given<T>> {
        let path_field = format!("{field}Path");
        if object.contains_key(field) && object.contains_key(&path_field) {
            self.problem(
                place,
                format!("Only one of the fields '{field}' and '{path_field}' is allowed"),
            );
        }
        if object.contains_key(&path_field) {
            return self.path(object, place, &path_field).map(Given::Path);
        }
        let value = object.get(field)?;
        let read = read(value);
        if read.is_none() {
            self.problem(
                &format!("{place}/{field}"),
                format!("Value {value} is not valid for the field '{field}'"),
            );
        }
        read.map(Given::Value)
    }

    fn text_or_path(&mut self, object: &Object, place: &str, field: &str) -> Option<Text> {
        let path_field = format!("{field}Path");
        if object.contains_key(field) && object.contains_key(&path_field) {
            self.problem(
                place,
                format!("Only one of the fields '{field}' and '{path_field}' is allowed"),
            );
        }
        if object.contains_key(&path_field) {
            return self.path(object, place, &path_field).map(Text::Path);
        }
        self.text(object, place, field).map(Text::Literal)
    }

    fn wait(&mut self, object: &Object, place: &str) -> Option<Kind> {
        let fields = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
        if fields
            .into_iter()
            .filter(|field| object.contains_key(*field))
            .count()
            != 1
        {
            self.problem(
                place,
                format!(
                    "Exactly one of the fields [{}] is required",
                    fields.join(", ")
                ),
            );
            return None;
        }
        if let Some(seconds) = self.given(object, place, "Seconds", Value::as_u64) {
            return Some(Kind::Wait(Wait::Seconds(seconds)));
        }
        let at = format!("{place}/Timestamp");
        if object
            .get("Timestamp")
            .is_some_and(|value| timestamp(value).is_none())
        {
            self.problem(&at, "String does not match RFC3339 timestamp");
            return None;
        }
        self.given(object, place, "Timestamp", timestamp)
            .map(|at| Kind::Wait(Wait::Timestamp(at)))
    }
}

/// Where a state may go, with the field that says so.
fn targets(state: &State) -> Vec<(&'static str, &str)> {
    let mut targets: Vec<(&'static str, &str)> = Vec::new();
    targets.extend(state.next.iter().map(|next| ("Next", next.as_str())));
    targets.extend(
        state
            .catch
            .iter()
            .map(|catcher| ("Catch", catcher.next.as_str())),
    );
    if let Kind::Choice { rules, default } = &state.kind {
        targets.extend(rules.iter().map(|(_, next)| ("Next", next.as_str())));
        targets.extend(default.iter().map(|next| ("Default", next.as_str())));
    }
    targets
}

fn timestamp(value: &Value) -> Option<jiff::Timestamp> {
    super::timestamp(value.as_str()?)
}
