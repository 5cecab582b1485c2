//! The two query languages behind one interface: what a field may hold besides a plain value, and
//! how it is evaluated (developer guide, "Managing state and transforming data").
//!
//! A field is read once, when the definition is, and evaluated by the one function
//! [`Template::evaluate`], whatever the language of its state.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::definition::Problem;
use super::{jsonata, path};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    JsonPath,
    Jsonata,
}

impl Language {
    /// As in `QueryLanguage`.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonPath => "JSONPath",
            Self::Jsonata => "JSONata",
        }
    }
}

/// Where values come from while a field is evaluated.
pub trait Source {
    /// What `$` stands for in JSONPath, `$states.input` in JSONata.
    fn input(&self) -> &Value;
    /// What `$$` and `$states.context` stand for. Built on demand: most states never ask.
    fn context(&self) -> Cow<'_, Value>;
    /// `$states.result`.
    fn result(&self) -> Option<&Value> {
        None
    }
    /// `$states.errorOutput`.
    fn error_output(&self) -> Option<&Value> {
        None
    }
    /// The variable `$name`, wherever it was assigned.
    fn variable(&self, name: &str) -> Option<&Value>;
    /// Milliseconds since 1970, the same whenever this evaluation is repeated.
    fn now(&self) -> i64;
    /// The next random number, the same whenever this evaluation is repeated.
    fn random(&self) -> u64;
}

/// Why an evaluation failed: the States error name and AWS's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationError {
    pub error: &'static str,
    pub cause: String,
    /// Of JSONata only: the field within its state, as `Output/a[0]`.
    pub location: Option<String>,
}

impl EvaluationError {
    pub fn runtime(cause: impl Into<String>) -> Self {
        Self {
            error: "States.Runtime",
            cause: cause.into(),
            location: None,
        }
    }

    pub fn intrinsic(cause: impl Into<String>) -> Self {
        Self {
            error: "States.IntrinsicFailure",
            cause: cause.into(),
            location: None,
        }
    }

    /// An evaluation in a JSONata state that came to nothing useful.
    pub fn query(cause: impl Into<String>, location: Option<&str>) -> Self {
        Self {
            error: jsonata::ERROR,
            cause: cause.into(),
            location: location.map(str::to_owned),
        }
    }
}

/// Which outcome a field may speak of besides the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    Input,
    /// `$states.result`: Output and Assign of Task, Parallel and Map.
    Result,
    /// `$states.errorOutput`: Output and Assign of a catcher.
    Error,
}

/// A payload template: what the definition says, with the parts that are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    Literal(Value),
    /// From a key that ends in `.$`.
    Path(path::Expression),
    /// From a string `{% … %}`.
    Jsonata(jsonata::Expression),
    Object(Vec<(String, Template)>),
    Array(Vec<Template>),
}

/// How the fields of a state are read.
pub struct Reading<'r> {
    pub language: Language,
    pub sees: Sees,
    /// Where the state is, as problems name places: `/States/A/ItemProcessor/States/B`.
    pub state: &'r str,
    pub problems: &'r mut Vec<Problem>,
}

impl Reading<'_> {
    /// The field at `place`, within its state.
    pub fn location<'p>(&self, place: &'p str) -> &'p str {
        place
            .strip_prefix(self.state)
            .map_or(place, |field| field.trim_start_matches('/'))
    }
}

impl Template {
    /// Reads a template that stands at `place`.
    pub fn read(value: &Value, place: &str, reading: &mut Reading<'_>) -> Self {
        match value {
            Value::Object(object) => Self::Object(
                object
                    .iter()
                    .map(|(key, value)| Self::member(key, value, place, reading))
                    .collect(),
            ),
            Value::Array(array) => {
                let elements = array.iter().enumerate();
                let read =
                    |(index, value)| Self::read(value, &format!("{place}[{index}]"), reading);
                Self::Array(elements.map(read).collect())
            }
            Value::String(text) if reading.language == Language::Jsonata => {
                match jsonata::Expression::read(text, place, reading) {
                    Some(expression) => Self::Jsonata(expression),
                    None => Self::Literal(value.clone()),
                }
            }
            literal => Self::Literal(literal.clone()),
        }
    }

    fn member(key: &str, value: &Value, place: &str, reading: &mut Reading<'_>) -> (String, Self) {
        let path = key.strip_suffix(".$");
        let (Some(name), Language::JsonPath) = (path, reading.language) else {
            let place = format!("{place}/{key}");
            return (key.to_owned(), Self::read(value, &place, reading));
        };
        if let Some(Ok(expression)) = value.as_str().map(path::Expression::parse) {
            return (name.to_owned(), Self::Path(expression));
        }
        let message = format!(
            "The value for the field '{key}' must be a valid JSONPath or a valid intrinsic function call"
        );
        reading.problems.push(Problem::schema(place, message));
        (name.to_owned(), Self::Literal(Value::Null))
    }

    /// The value, with every expression in it evaluated.
    ///
    /// # Errors
    /// AWS's error and text for the first expression that fails.
    pub fn evaluate(&self, source: &dyn Source) -> Result<Value, EvaluationError> {
        self.fill(source, &jsonata::Session::new(source))
    }

    /// Calls `each` with every variable that the template may read.
    pub fn variables(&self, each: &mut dyn FnMut(&str)) {
        match self {
            Self::Literal(_) => {}
            Self::Path(expression) => expression.variables(each),
            Self::Jsonata(expression) => expression.variables().for_each(each),
            Self::Array(templates) => templates.iter().for_each(|it| it.variables(each)),
            Self::Object(members) => members.iter().for_each(|(_, it)| it.variables(each)),
        }
    }

    fn fill(
        &self,
        source: &dyn Source,
        session: &jsonata::Session<'_>,
    ) -> Result<Value, EvaluationError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Path(expression) => expression.evaluate(source),
            Self::Jsonata(expression) => expression.evaluate(session),
            Self::Array(templates) => templates
                .iter()
                .map(|template| template.fill(source, session))
                .collect(),
            Self::Object(members) => {
                let mut object = Map::with_capacity(members.len());
                for (name, template) in members {
                    let value = match template {
                        Self::Path(path::Expression::Path(path)) => {
                            path.get_for(&format!("{name}.$"), source)?
                        }
                        template => template.fill(source, session)?,
                    };
                    object.insert(name.clone(), value);
                }
                Ok(Value::Object(object))
            }
        }
    }
}

/// The value of a field that takes no template: given in the definition, found at the path of the
/// field's `…Path` twin, or computed by its JSONata expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Given<T> {
    Value(T),
    /// Of `Error` and `Cause`, this may be an intrinsic function too.
    Path(path::Expression),
    Jsonata(jsonata::Expression),
}

/// What kind of value a field wants, in AWS's words for the two languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// `a valid integer`
    pub valid: &'static str,
    /// JSONata's type: `number`.
    pub kind: &'static str,
}

impl Wanted {
    pub const INTEGER: Self = Self {
        valid: "integer",
        kind: "number",
    };
    pub const FLOAT: Self = Self {
        valid: "float",
        kind: "number",
    };
    pub const TEXT: Self = Self {
        valid: "string",
        kind: "string",
    };
    pub const BOOLEAN: Self = Self {
        valid: "boolean",
        kind: "boolean",
    };
}

impl<T> Given<T> {
    /// Calls `each` with every variable that the field may read.
    pub fn variables(&self, each: &mut dyn FnMut(&str)) {
        match self {
            Self::Value(_) => {}
            Self::Path(path) => path.variables(each),
            Self::Jsonata(expression) => expression.variables().for_each(each),
        }
    }
}

impl<T: Clone> Given<T> {
    /// The value of the field `field`, which `read` makes of what was found.
    ///
    /// # Errors
    /// AWS's error and text when there is nothing, or something of another kind.
    pub fn get(
        &self,
        field: &str,
        wanted: Wanted,
        source: &dyn Source,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, EvaluationError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => {
                let value = path.evaluate(source)?;
                read(&value).ok_or_else(|| {
                    let (shown, valid) = (shown(&value), wanted.valid);
                    EvaluationError::runtime(format!(
                        "The {field}Path field refers to value \"{shown}\" which is not a valid {valid}: {}",
                        path.text()
                    ))
                })
            }
            Self::Jsonata(expression) => {
                let value = expression.evaluate(&jsonata::Session::new(source))?;
                read(&value).ok_or_else(|| expression.unexpected(wanted.kind, &value))
            }
        }
    }
}

/// A value as AWS puts it into a text: strings without their quotes.
pub fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A value with nothing around it.
#[cfg(test)]
pub struct Plain<'a>(pub &'a Value);

#[cfg(test)]
impl Source for Plain<'_> {
    fn input(&self) -> &Value {
        self.0
    }

    fn context(&self) -> Cow<'_, Value> {
        Cow::Owned(Value::Object(Map::new()))
    }

    fn variable(&self, _: &str) -> Option<&Value> {
        None
    }

    fn now(&self) -> i64 {
        0
    }

    fn random(&self) -> u64 {
        0
    }
}

/// Any JSON, with few names and small numbers, so that what is asked of it is often there.
#[cfg(test)]
pub fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;

    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[abé]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value, problems: &mut Vec<Problem>) -> Template {
        let mut reading = Reading {
            language: Language::JsonPath,
            sees: Sees::Input,
            state: "/States/S",
            problems,
        };
        Template::read(value, "/States/S/Parameters", &mut reading)
    }

    #[test]
    fn templates_evaluate_paths_and_intrinsics() {
        let mut problems = Vec::new();
        let template = read(
            &json!({"x.$": "$.a", "s.$": "States.Format('{}-{}', $.a, 'it\\'s')", "k": {"y.$": "States.MathAdd($.a, 2)"}}),
            &mut problems,
        );
        assert_eq!(problems, []);
        let value = template.evaluate(&Plain(&json!({"a": 7}))).unwrap();
        assert_eq!(value, json!({"x": 7, "s": "7-it's", "k": {"y": 9}}));
    }

    #[test]
    fn a_missing_parameter_is_named_as_aws_names_it() {
        let template = read(&json!({"value.$": "$.x"}), &mut Vec::new());
        let error = template.evaluate(&Plain(&json!({"y": 1}))).unwrap_err();
        assert_eq!(
            error.cause,
            "The JSONPath '$.x' specified for the field 'value.$' could not be found in the input '{\"y\":1}'"
        );
    }

    #[test]
    fn what_is_neither_path_nor_intrinsic_is_refused_where_it_stands() {
        let mut problems = Vec::new();
        read(&json!({"x.$": "States.Nope()"}), &mut problems);
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}")
        };
        assert_eq!(problem.place, "/States/S/Parameters");
        assert!(
            problem
                .message
                .starts_with("The value for the field 'x.$' must be")
        );
    }
}
