//! Text → [`Definition`], collecting problems on the way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::choice::{Comparable, Operand, Order, Rule, Test};
use super::{
    Catcher, ChildKind, Definition, Distributed, Format, Given, Kind, MapState, Problem, Reader,
    Resource, Retrier, Scope, Selection, State, Task, Text, Wait,
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

    fn task(&mut self, object: &Object, place: &str) -> Option<Kind> {
        let at = format!("{place}/Resource");
        let Some(resource) = self.text(object, place, "Resource") else {
            self.problem(place, "These fields are required: [Resource]");
            return None;
        };
        let parts: Vec<&str> = resource.split(':').collect();
        let resource = match parts.as_slice() {
            ["arn", "aws", "states", "", "", "lambda", "invoke"] => Resource::LambdaInvoke,
            ["arn", _, "lambda", _, _, "function", ..] => Resource::Function(resource),
            ["arn", _, "states", _, _, ..] => {
                let text = format!("The resource {resource} is not supported by this engine yet");
                self.problem(&at, text);
                return None;
            }
            _ => {
                let text = format!(
                    "The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the resource is not available in this region."
                );
                self.problem(&at, text);
                return None;
            }
        };
        let names_function = object
            .get("Parameters")
            .and_then(Value::as_object)
            .is_some_and(|parameters| {
                parameters.contains_key("FunctionName") || parameters.contains_key("FunctionName.$")
            });
        if resource == Resource::LambdaInvoke && !names_function {
            self.problem(
                &format!("{place}/Parameters"),
                "The field 'FunctionName' is required but was missing",
            );
        }
        let timeout = self.given(object, place, "TimeoutSeconds", |value| {
            value.as_u64().filter(|n| *n > 0)
        });
        Some(Kind::Task(Task { resource, timeout }))
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

    fn choice(&mut self, object: &Object, place: &str) -> Kind {
        let mut rules = Vec::new();
        match object.get("Choices") {
            Some(Value::Array(choices)) if !choices.is_empty() => {
                for (index, choice) in choices.iter().enumerate() {
                    let place = format!("{place}/Choices/{index}");
                    let Value::Object(choice) = choice else {
                        self.problem(&place, "Value must be an object");
                        continue;
                    };
                    let next = self.text(choice, &place, "Next");
                    if next.is_none() {
                        self.problem(&place, "These fields are required: [Next]");
                    }
                    if let (Some(rule), Some(next)) = (self.rule(choice, &place, 0), next) {
                        rules.push((rule, next));
                    }
                }
            }
            _ => self.problem(&format!("{place}/Choices"), "Value cannot be empty"),
        }
        Kind::Choice {
            rules,
            default: self.text(object, place, "Default"),
        }
    }

    fn rule(&mut self, object: &Object, place: &str, depth: usize) -> Option<Rule> {
        if depth > 32 {
            self.problem(place, "Choice rules are nested too deeply");
            return None;
        }
        let combined = ["And", "Or", "Not"]
            .into_iter()
            .find(|key| object.contains_key(*key));
        match (combined, combined.and_then(|key| object.get(key))) {
            (Some("Not"), Some(Value::Object(inner))) => {
                return self
                    .rule(inner, &format!("{place}/Not"), depth + 1)
                    .map(|rule| Rule::Not(Box::new(rule)));
            }
            (Some(key), Some(Value::Array(inner))) if key != "Not" && !inner.is_empty() => {
                let rules = inner
                    .iter()
                    .enumerate()
                    .filter_map(|(index, value)| {
                        self.rule(
                            value.as_object()?,
                            &format!("{place}/{key}/{index}"),
                            depth + 1,
                        )
                    })
                    .collect();
                return Some(if key == "And" {
                    Rule::And(rules)
                } else {
                    Rule::Or(rules)
                });
            }
            (Some(key), _) => {
                self.problem(
                    &format!("{place}/{key}"),
                    "Value is not a valid choice rule",
                );
                return None;
            }
            (None, _) => {}
        }
        let Some(variable) = self.path(object, place, "Variable") else {
            self.problem(place, "These fields are required: [Variable]");
            return None;
        };
        let operators: Vec<&String> = object
            .keys()
            .filter(|key| !["Variable", "Next", "Comment"].contains(&key.as_str()))
            .collect();
        let [operator] = operators.as_slice() else {
            self.problem(
                place,
                "A choice rule must have exactly one comparison operator",
            );
            return None;
        };
        let test = self.test(operator, &object[operator.as_str()], place)?;
        Some(Rule::Test { variable, test })
    }

    fn test(&mut self, operator: &str, value: &Value, place: &str) -> Option<Test> {
        let at = format!("{place}/{operator}");
        let presence: Option<fn(bool) -> Test> = match operator {
            "IsPresent" => Some(Test::IsPresent),
            "IsNull" => Some(Test::IsNull),
            "IsString" => Some(Test::IsString),
            "IsNumeric" => Some(Test::IsNumeric),
            "IsBoolean" => Some(Test::IsBoolean),
            "IsTimestamp" => Some(Test::IsTimestamp),
            _ => None,
        };
        if let Some(make) = presence {
            let wanted = value.as_bool();
            if wanted.is_none() {
                self.problem(&at, "Value must be a boolean");
            }
            return wanted.map(make);
        }
        if operator == "StringMatches" {
            return value
                .as_str()
                .map(|pattern| Test::Matches(pattern.to_owned()));
        }
        let (kind, order, by_path) = comparison(operator).or_else(|| {
            self.problem(&at, format!("Field '{operator}' is not supported"));
            None
        })?;
        if by_path {
            let path = value.as_str().and_then(|text| Path::parse(text).ok());
            if path.is_none() {
                self.problem(&at, "Value is not a valid JSONPath");
            }
            return path.map(|path| Test::Compare {
                kind,
                order,
                with: Operand::Path(path),
            });
        }
        let fits = match kind {
            Comparable::Text => value.is_string(),
            Comparable::Number => value.is_number(),
            Comparable::Boolean => value.is_boolean(),
            Comparable::Timestamp => timestamp(value).is_some(),
        };
        if !fits {
            self.problem(
                &at,
                format!("Value {value} is not valid for the field '{operator}'"),
            );
            return None;
        }
        Some(Test::Compare {
            kind,
            order,
            with: Operand::Value(value.clone()),
        })
    }

    fn parallel(&mut self, object: &Object, place: &str, inside: Place) -> Kind {
        let mut branches = Vec::new();
        match object.get("Branches") {
            Some(Value::Array(values)) if !values.is_empty() => {
                for (index, value) in values.iter().enumerate() {
                    let place = format!("{place}/Branches/{index}");
                    let Value::Object(branch) = value else {
                        self.problem(&place, "Value must be an object");
                        continue;
                    };
                    self.known(branch, &place, &["StartAt", "States", "Comment"]);
                    branches.push(Arc::new(self.scope(branch, &place, inside)));
                }
            }
            _ => self.problem(&format!("{place}/Branches"), "Value cannot be empty"),
        }
        Kind::Parallel { branches }
    }

    fn map(&mut self, object: &Object, place: &str, inside: Place) -> Option<Kind> {
        for (new, legacy) in [
            ("ItemProcessor", "Iterator"),
            ("ItemSelector", "Parameters"),
        ] {
            if object.contains_key(new) && object.contains_key(legacy) {
                self.problem(
                    place,
                    format!("Only one of the fields '{new}' and '{legacy}' is allowed"),
                );
            }
        }
        let field = if object.contains_key("Iterator") {
            "Iterator"
        } else {
            "ItemProcessor"
        };
        let processor_place = format!("{place}/{field}");
        let Some(Value::Object(processor)) = object.get(field) else {
            self.problem(place, "These fields are required: [ItemProcessor]");
            return None;
        };
        self.known(
            processor,
            &processor_place,
            &["StartAt", "States", "ProcessorConfig", "Comment"],
        );
        let config = processor.get("ProcessorConfig").and_then(Value::as_object);
        let mode = config
            .and_then(|config| config.get("Mode"))
            .and_then(Value::as_str)
            .unwrap_or("INLINE");
        let is_distributed = mode == "DISTRIBUTED";
        if !is_distributed && mode != "INLINE" {
            self.problem(
                &format!("{processor_place}/ProcessorConfig/Mode"),
                "The field 'Mode' should have one of these values: [INLINE, DISTRIBUTED]",
            );
        }
        if is_distributed && inside == Place::InsideDistributed {
            self.problem(
                &processor_place,
                "A Distributed Map inside a Distributed Map is not supported by this engine yet",
            );
        }
        let common = [
            "InputPath",
            "OutputPath",
            "Next",
            "End",
            "Retry",
            "Catch",
            "ResultSelector",
            "ResultPath",
        ];
        let own = [
            "ItemProcessor",
            "Iterator",
            "ItemsPath",
            "ItemSelector",
            "Parameters",
            "MaxConcurrency",
            "MaxConcurrencyPath",
        ];
        let distributed_only = [
            "ItemReader",
            "Label",
            "ToleratedFailureCount",
            "ToleratedFailureCountPath",
            "ToleratedFailurePercentage",
            "ToleratedFailurePercentagePath",
            "ResultWriter",
        ];
        let only: &[&str] = if is_distributed {
            &distributed_only
        } else {
            &[]
        };
        self.fields(object, place, &[&common, &own, only]);
        let inside = if is_distributed {
            Place::InsideDistributed
        } else {
            inside
        };
        let scope = self.scope(processor, &processor_place, inside);
        let selector_field = if object.contains_key("Parameters") {
            "Parameters"
        } else {
            "ItemSelector"
        };
        Some(Kind::Map(Box::new(MapState {
            processor: Arc::new(scope),
            items_path: self.path(object, place, "ItemsPath"),
            selector: self.template(object, place, selector_field),
            max_concurrency: self.given(object, place, "MaxConcurrency", Value::as_u64),
            distributed: is_distributed
                .then(|| self.distributed(object, config, place, &processor_place)),
        })))
    }

    fn distributed(
        &mut self,
        object: &Object,
        config: Option<&Object>,
        place: &str,
        processor: &str,
    ) -> Distributed {
        let children = match config
            .and_then(|config| config.get("ExecutionType"))
            .and_then(Value::as_str)
        {
            Some("STANDARD") => ChildKind::Standard,
            Some("EXPRESS") => ChildKind::Express,
            _ => {
                self.problem(&format!("{processor}/ProcessorConfig/ExecutionType"), "The field 'ExecutionType' should have one of these values: [STANDARD, EXPRESS]");
                ChildKind::Standard
            }
        };
        let label = self.text(object, place, "Label");
        if let Some(label) = &label {
            let at = format!("{place}/Label");
            let forbidden = |c: char| {
                c.is_whitespace() || c.is_control() || "?*<>{}[]:;,\\|^~$#%&`\"/".contains(c)
            };
            if label.is_empty() || label.chars().count() > MAX_LABEL || label.contains(forbidden) {
                self.coded("INVALID_LABEL_NAME", &at, format!("Label '{label}' is not valid: 1 to {MAX_LABEL} characters without white space and ?*<>{{}}[]:;,\\|^~$#%&`\"/"));
            } else if !self.labels.insert(label.clone()) {
                self.coded(
                    "DUPLICATE_LABEL_NAME",
                    &at,
                    format!("Duplicate label: {label}"),
                );
            }
        }
        let percentage =
            |value: &Value| value.as_f64().filter(|share| (0.0..=100.0).contains(share));
        Distributed {
            label,
            children,
            reader: self.reader(object, place),
            tolerated_count: self.given(object, place, "ToleratedFailureCount", Value::as_u64),
            tolerated_percentage: self.given(
                object,
                place,
                "ToleratedFailurePercentage",
                percentage,
            ),
            writer: self.writer(object, place),
        }
    }

    fn reader(&mut self, object: &Object, place: &str) -> Option<Reader> {
        let place = format!("{place}/ItemReader");
        let Value::Object(reader) = object.get("ItemReader")? else {
            self.problem(&place, "Value must be an object");
            return None;
        };
        self.known(reader, &place, &["Resource", "Parameters", "ReaderConfig"]);
        let resource = self.text(reader, &place, "Resource").unwrap_or_default();
        if resource != "arn:aws:states:::s3:getObject" {
            self.problem(
                &format!("{place}/Resource"),
                format!("The reader resource '{resource}' is not supported by this engine yet"),
            );
        }
        let empty = Map::new();
        let config = reader
            .get("ReaderConfig")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let config_place = format!("{place}/ReaderConfig");
        self.known(
            config,
            &config_place,
            &["InputType", "MaxItems", "MaxItemsPath"],
        );
        let format = match config.get("InputType").and_then(Value::as_str) {
            Some("JSON") => Format::Json,
            Some("JSONL") => Format::JsonLines,
            other => {
                let text = format!(
                    "The input type {} is not supported by this engine yet: JSON and JSONL are",
                    other.unwrap_or("(none)")
                );
                self.problem(&format!("{config_place}/InputType"), text);
                Format::Json
            }
        };
        let max_items = self.given(config, &config_place, "MaxItems", Value::as_u64);
        let Some(parameters) = self.template(reader, &place, "Parameters") else {
            self.problem(&place, "These fields are required: [Parameters]");
            return None;
        };
        Some(Reader {
            format,
            parameters,
            max_items,
        })
    }

    fn writer(&mut self, object: &Object, place: &str) -> Option<Template> {
        let place = format!("{place}/ResultWriter");
        let Value::Object(writer) = object.get("ResultWriter")? else {
            self.problem(&place, "Value must be an object");
            return None;
        };
        self.known(writer, &place, &["Resource", "Parameters"]);
        let resource = self.text(writer, &place, "Resource").unwrap_or_default();
        if resource != "arn:aws:states:::s3:putObject" {
            self.problem(
                &format!("{place}/Resource"),
                format!("The writer resource '{resource}' is not supported"),
            );
        }
        let template = self.template(writer, &place, "Parameters");
        if template.is_none() {
            self.problem(&place, "These fields are required: [Parameters]");
        }
        template
    }

    fn error_names(&mut self, object: &Object, place: &str, is_last: bool) -> Vec<String> {
        let at = format!("{place}/ErrorEquals");
        let names: Vec<String> = object
            .get("ErrorEquals")
            .and_then(Value::as_array)
            .map(|names| {
                names
                    .iter()
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect()
            })
            .unwrap_or_default();
        if names.is_empty() {
            self.problem(&at, "Value cannot be empty");
        }
        if names.iter().any(|name| name == "States.ALL") && (names.len() > 1 || !is_last) {
            self.problem(
                &at,
                "States.ALL must be the only value, and must be in the last element",
            );
        }
        names
    }

    fn listed<'v>(
        &mut self,
        object: &'v Object,
        place: &str,
        field: &str,
    ) -> Vec<(String, bool, &'v Object)> {
        let Some(value) = object.get(field) else {
            return Vec::new();
        };
        let at = format!("{place}/{field}");
        let Value::Array(values) = value else {
            self.problem(&at, "Value must be an array");
            return Vec::new();
        };
        let objects: Vec<_> = values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| {
                Some((
                    format!("{at}/{index}"),
                    index + 1 == values.len(),
                    value.as_object()?,
                ))
            })
            .collect();
        if objects.len() != values.len() {
            self.problem(&at, "Every element must be an object");
        }
        objects
    }

    fn retry(&mut self, object: &Object, place: &str) -> Vec<Retrier> {
        let mut retriers = Vec::new();
        for (place, is_last, retrier) in self.listed(object, place, "Retry") {
            self.known(
                retrier,
                &place,
                &[
                    "ErrorEquals",
                    "IntervalSeconds",
                    "MaxAttempts",
                    "BackoffRate",
                    "MaxDelaySeconds",
                    "JitterStrategy",
                    "Comment",
                ],
            );
            let errors = self.error_names(retrier, &place, is_last);
            let interval_seconds = self
                .integer(retrier, &place, "IntervalSeconds")
                .unwrap_or(1);
            let max_delay_seconds = self.integer(retrier, &place, "MaxDelaySeconds");
            let backoff_rate = retrier
                .get("BackoffRate")
                .map_or(Some(2.0), Value::as_f64)
                .unwrap_or(0.0);
            if backoff_rate < 1.0 {
                self.problem(
                    &format!("{place}/BackoffRate"),
                    "Value must be greater than or equal to 1",
                );
            }
            if max_delay_seconds.is_some_and(|longest| longest <= interval_seconds) {
                self.problem(
                    &format!("{place}/MaxDelaySeconds"),
                    "Value must be greater than IntervalSeconds",
                );
            }
            let jitter = match retrier.get("JitterStrategy").map(Value::as_str) {
                None | Some(Some("NONE")) => false,
                Some(Some("FULL")) => true,
                Some(_) => {
                    self.problem(
                        &format!("{place}/JitterStrategy"),
                        "The field 'JitterStrategy' should have one of these values: [FULL, NONE]",
                    );
                    false
                }
            };
            let max_attempts = self.integer(retrier, &place, "MaxAttempts").unwrap_or(3);
            retriers.push(Retrier {
                errors,
                interval_seconds,
                max_attempts,
                backoff_rate,
                max_delay_seconds,
                jitter,
            });
        }
        retriers
    }

    fn catch(&mut self, object: &Object, place: &str) -> Vec<Catcher> {
        let mut catchers = Vec::new();
        for (place, is_last, catcher) in self.listed(object, place, "Catch") {
            self.known(
                catcher,
                &place,
                &["ErrorEquals", "Next", "ResultPath", "Comment"],
            );
            let errors = self.error_names(catcher, &place, is_last);
            let result_path = self.selection(catcher, &place, "ResultPath");
            match self.text(catcher, &place, "Next") {
                Some(next) => catchers.push(Catcher {
                    errors,
                    next,
                    result_path,
                }),
                None => self.problem(&place, "These fields are required: [Next]"),
            }
        }
        catchers
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

/// `NumericLessThanEqualsPath` → (number, less or equal, by path).
fn comparison(operator: &str) -> Option<(Comparable, Order, bool)> {
    let (operator, by_path) = match operator.strip_suffix("Path") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let kinds = [
        ("String", Comparable::Text),
        ("Numeric", Comparable::Number),
        ("Boolean", Comparable::Boolean),
        ("Timestamp", Comparable::Timestamp),
    ];
    let (kind, rest) = kinds
        .into_iter()
        .find_map(|(prefix, kind)| operator.strip_prefix(prefix).map(|rest| (kind, rest)))?;
    let order = match rest {
        "Equals" => Order::Equals,
        "LessThan" => Order::LessThan,
        "LessThanEquals" => Order::LessThanEquals,
        "GreaterThan" => Order::GreaterThan,
        "GreaterThanEquals" => Order::GreaterThanEquals,
        _ => return None,
    };
    (kind != Comparable::Boolean || order == Order::Equals).then_some((kind, order, by_path))
}
