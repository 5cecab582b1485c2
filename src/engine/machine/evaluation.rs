//! Fields of a state, evaluated in its language, and the variables that it assigns.

use std::cell::Cell;
use std::sync::Arc;

use serde_json::{Value, json};

use super::context::{Scene, View};
use super::{
    FailedEvaluation, Failure, Frame, MAX_PAYLOAD, Stepper, Variables, exceeds, json_length,
};
use crate::engine::definition::{Given, MapState, Selection, State};
use crate::engine::jsonata;
use crate::engine::path::Path;
use crate::engine::query::{EvaluationError, Language, Source, Template, Wanted};

/// Longest JSON text of all variables of an execution, in bytes (Step Functions quotas).
const MAX_VARIABLES: usize = 10 * 1_024 * 1_024;

type Evaluated<T> = std::result::Result<T, Failure>;

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        Self::new(error.error, error.cause)
    }
}

/// A runtime error of this state, with the place as AWS gives it.
pub(super) fn located(frame: &Frame, cause: &str) -> Failure {
    let cause = format!(
        "An error occurred while executing the state '{}' (entered at the event id #{}). {cause}",
        frame.state, frame.entered_event
    );
    Failure::new("States.Runtime", cause)
}

impl Stepper<'_> {
    /// Evaluates something in this frame.
    pub(super) fn look<T>(
        &mut self,
        frame: &Frame,
        scene: Scene<'_>,
        ask: impl FnOnce(&dyn Source) -> std::result::Result<T, EvaluationError>,
    ) -> Evaluated<T> {
        let seed = self.draw();
        let view = View {
            machine: self.machine,
            execution: self.execution,
            frame,
            scene,
            outer: &self.outer,
            now: self.now,
            seed,
            draws: Cell::new(0),
        };
        ask(&view).map_err(|error| self.failed_evaluation(frame, error))
    }

    /// The failure that an evaluation in this state comes to.
    pub(super) fn failed_evaluation(&mut self, frame: &Frame, error: EvaluationError) -> Failure {
        match error.error {
            "States.Runtime" => located(frame, &error.cause),
            jsonata::ERROR => {
                self.evaluation = Some(FailedEvaluation {
                    location: error.location,
                });
                Failure {
                    error: Some(jsonata::ERROR.to_owned()),
                    ..located(frame, &error.cause)
                }
            }
            _ => error.into(),
        }
    }

    /// The event of a JSONata evaluation that has failed, where one has.
    pub(super) fn tell_evaluation(&mut self, frame: &mut Frame, failure: &Failure) -> bool {
        let Some(FailedEvaluation { location }) = self.evaluation.take() else {
            return false;
        };
        let mut details = json!({
            "error": failure.error,
            "cause": failure.cause,
            "state": frame.state,
        });
        if let (Some(location), Some(details)) = (location, details.as_object_mut()) {
            details.insert("location".to_owned(), location.into());
        }
        self.follow(frame, "EvaluationFailed", || details);
        true
    }

    pub(super) fn evaluate(
        &mut self,
        template: &Template,
        frame: &Frame,
        input: &Value,
    ) -> Evaluated<Value> {
        self.look(frame, input.into(), |source| template.evaluate(source))
    }

    pub(super) fn find(&mut self, path: &Path, frame: &Frame, input: &Value) -> Evaluated<Value> {
        self.look(frame, input.into(), |source| path.get(source))
    }

    /// The value of the field `field`, as `read` makes it of what is found.
    pub(super) fn given<T: Clone>(
        &mut self,
        given: &Given<T>,
        field: &str,
        wanted: Wanted,
        frame: &Frame,
        input: &Value,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Evaluated<T> {
        self.look(frame, input.into(), |source| {
            given.get(field, wanted, source, read)
        })
    }

    /// What the state works with: in JSONPath what InputPath leaves, in JSONata all of it.
    pub(super) fn effective_input(
        &mut self,
        state: &State,
        frame: &Frame,
    ) -> Evaluated<Arc<Value>> {
        self.select(&state.input_path, frame, Arc::clone(&frame.input))
    }

    /// What InputPath or OutputPath leaves of a value.
    pub(super) fn select(
        &mut self,
        selection: &Selection,
        frame: &Frame,
        value: Arc<Value>,
    ) -> Evaluated<Arc<Value>> {
        match selection {
            Selection::Whole => Ok(value),
            Selection::Nothing => Ok(Arc::new(json!({}))),
            Selection::Path(path) => self.find(path, frame, &value).map(Arc::new),
        }
    }

    /// An inline Map's item as its iteration gets it.
    pub(super) fn select_item(
        &mut self,
        map: &MapState,
        frame: &Frame,
        input: &Value,
        item: (usize, &Value),
    ) -> Evaluated<Value> {
        let Some(selector) = &map.selector else {
            return Ok(item.1.clone());
        };
        let scene = Scene {
            item: Some(item),
            ..input.into()
        };
        self.look(frame, scene, |source| selector.evaluate(source))
    }

    /// The variables that a way out of the state assigns. All are evaluated before any is set.
    pub(super) fn assigned(
        &mut self,
        assign: Option<&Template>,
        frame: &Frame,
        scene: Scene<'_>,
    ) -> Evaluated<Option<Variables>> {
        let Some(template) = assign else {
            return Ok(None);
        };
        let value = self.look(frame, scene, |source| template.evaluate(source))?;
        let is_too_long = exceeds(&value, MAX_PAYLOAD);
        let Value::Object(members) = value else {
            return Ok(None);
        };
        let assigned: Variables = members.into_iter().collect();
        let kept = self
            .outer
            .iter()
            .chain(std::iter::once(&frame.variables))
            .flatten()
            .filter(|(name, _)| !assigned.contains_key(*name));
        let total: usize = kept
            .chain(&assigned)
            .map(|(name, value)| name.len() + json_length(value))
            .sum();
        if is_too_long || total > MAX_VARIABLES {
            let cause = format!(
                "The variables of the state '{}' exceed the maximum number of bytes service limit.",
                frame.state
            );
            return Err(Failure::new("States.DataLimitExceeded", cause));
        }
        Ok(Some(assigned))
    }

    /// Works inside a frame below `frame`, whose variables are readable there.
    pub(super) fn inside<T>(
        &mut self,
        frame: &mut Frame,
        work: impl FnOnce(&mut Self, &mut Frame) -> T,
    ) -> T {
        self.outer.push(std::mem::take(&mut frame.variables));
        let done = work(self, frame);
        frame.variables = self.outer.pop().unwrap_or_default();
        done
    }

    /// Of the variables that can be read here, those that `template` speaks of.
    pub(super) fn spoken_of(&self, template: Option<&Template>, frame: &Frame) -> Variables {
        let mut names = Vec::new();
        if let Some(template) = template {
            template.variables(&mut |name| names.push(name.to_owned()));
        }
        let find = |name: String| {
            let value = std::iter::once(&frame.variables)
                .chain(self.outer.iter().rev())
                .find_map(|variables| variables.get(&name))?
                .clone();
            Some((name, value))
        };
        names.into_iter().filter_map(find).collect()
    }
}

/// What `$`, or `$states.input` and `$states.result`, stand for once the state has a result.
pub(super) fn after<'v>(state: &State, input: &'v Value, result: &'v Value) -> Scene<'v> {
    match state.language {
        Language::JsonPath => result.into(),
        Language::Jsonata => Scene {
            result: Some(result),
            ..input.into()
        },
    }
}
