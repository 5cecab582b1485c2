//! JSONata as Step Functions runs it (developer guide, "Transforming data with JSONata").
//!
//! The crate's values are not `Send`, so a [`Session`] lives within one synchronous evaluation.
//! Time and randomness come from the [`Source`]: an evaluation that is repeated gives the same.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::value::JValue;
use serde_json::{Number, Value};

use super::definition::Problem;
use super::query::{EvaluationError, Reading, Source};

mod check;
mod functions;

/// What a failed evaluation is called.
pub const ERROR: &str = "States.QueryEvaluationError";
/// Limits of one evaluation, so that no expression can hold the engine.
const TIMEOUT_MS: u64 = 5_000;
const MAX_STACK: usize = 1_000;
const MAX_SEQUENCE: usize = 873_782;
/// Integers beyond are not exact in JavaScript's numbers, nor in AWS's.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A parsed `{% … %}`.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    /// The field within its state, as `Output/a[0]`.
    location: String,
    ast: Arc<AstNode>,
    /// Workflow variables that it may read.
    variables: BTreeSet<String>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.location) == (&other.text, &other.location)
    }
}

impl Expression {
    /// Reads a string of a JSONata state. `None`: a literal, or one that is refused.
    pub fn read(text: &str, place: &str, reading: &mut Reading<'_>) -> Option<Self> {
        let inner = match (text.strip_prefix("{%"), text.strip_suffix("%}")) {
            (Some(_), Some(_)) if text.len() >= 4 => text[2..text.len() - 2].trim(),
            (None, None) => return None,
            _ => {
                let message = "A JSONata expression must start with '{%' and end with '%}'";
                let problem = Problem::coded(check::INVALID, place, message);
                reading.problems.push(problem);
                return None;
            }
        };
        match check::parse(inner, reading.sees) {
            Ok((ast, variables)) => Some(Self {
                text: inner.to_owned(),
                location: reading.location(place).to_owned(),
                ast: Arc::new(ast),
                variables,
            }),
            Err(refusals) => {
                let problems = refusals
                    .into_iter()
                    .map(|(code, message)| Problem::coded(code, place, message));
                reading.problems.extend(problems);
                None
            }
        }
    }

    /// Workflow variables that the expression may read.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str)
    }

    /// What the expression comes to.
    ///
    /// # Errors
    /// `States.QueryEvaluationError` with AWS's text.
    pub fn evaluate(&self, session: &Session<'_>) -> Result<Value, EvaluationError> {
        let value = session.run(self).map_err(|message| {
            self.failed(&format!("threw an error during evaluation. {message}"))
        })?;
        if matches!(value, JValue::Undefined) {
            return Err(self.failed("returned nothing (undefined)."));
        }
        json_of(&value).ok_or_else(|| self.failed("returned an unsupported result type."))
    }

    /// The error for a value of another kind than the field wants.
    pub fn unexpected(&self, wanted: &str, value: &Value) -> EvaluationError {
        let was = kind_of(value);
        self.failed(&format!(
            "returned an unexpected result type. Expected '{wanted}', but was '{was}' for value: {value}"
        ))
    }

    fn failed(&self, how: &str) -> EvaluationError {
        let (text, location) = (&self.text, &self.location);
        let cause =
            format!("The JSONata expression '{text}' specified for the field '{location}' {how}");
        EvaluationError::query(cause, Some(location))
    }
}

/// What the expressions of one template share: `$states` is converted once.
pub struct Session<'s> {
    source: &'s dyn Source,
    states: OnceCell<JValue>,
}

impl<'s> Session<'s> {
    pub fn new(source: &'s dyn Source) -> Self {
        Self {
            source,
            states: OnceCell::new(),
        }
    }

    fn run(&self, expression: &Expression) -> Result<JValue, String> {
        let mut context = Context::new();
        context.bind("states".to_owned(), self.states().clone());
        for name in &expression.variables {
            if let Some(value) = self.source.variable(name) {
                context.bind(name.clone(), JValue::from(value.clone()));
            }
        }
        let options = EvaluatorOptions {
            timeout_ms: Some(TIMEOUT_MS),
            max_stack_depth: Some(MAX_STACK),
            max_sequence_length: Some(MAX_SEQUENCE),
            ..EvaluatorOptions::default()
        };
        let mut evaluator = Evaluator::with_options(context, options);
        functions::register(&mut evaluator, self.source.now(), self.source.random())
            .map_err(|error| error.message().to_owned())?;
        evaluator
            .evaluate(&expression.ast, &JValue::Undefined)
            .map_err(|error| error.message().to_owned())
    }

    fn states(&self) -> &JValue {
        self.states.get_or_init(|| {
            let members = [
                ("input", Some(Cow::Borrowed(self.source.input()))),
                ("context", Some(self.source.context())),
                ("result", self.source.result().map(Cow::Borrowed)),
                ("errorOutput", self.source.error_output().map(Cow::Borrowed)),
            ];
            let members = members.into_iter().filter_map(|(name, value)| {
                Some((name.to_owned(), JValue::from(value?.into_owned())))
            });
            JValue::object(members.collect())
        })
    }
}

/// A result as JSON; `None` when there is a function in it.
fn json_of(value: &JValue) -> Option<Value> {
    Some(match value {
        JValue::Null | JValue::Undefined => Value::Null,
        JValue::Bool(value) => Value::Bool(*value),
        JValue::Number(number) => number_of(*number),
        JValue::String(text) => Value::String(text.to_string()),
        JValue::Array(values) => Value::Array(values.iter().map(json_of).collect::<Option<_>>()?),
        JValue::Object(members) => {
            let members = members
                .iter()
                .filter(|(_, value)| !value.is_undefined())
                .map(|(name, value)| Some((name.clone(), json_of(value)?)));
            Value::Object(members.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// A number as AWS writes it: whole ones without a fraction, those that JSON lacks by their names
/// in JavaScript.
fn number_of(number: f64) -> Value {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .into();
    }
    if number.fract() == 0.0 && number.abs() < MAX_EXACT {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
