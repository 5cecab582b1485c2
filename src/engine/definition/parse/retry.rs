//! Retriers and catchers.

use super::{Catcher, Object, Parser, Retrier, Sees, Value};

/// The most that `IntervalSeconds` and `MaxAttempts`, and that `MaxDelaySeconds` may say (developer
/// guide, "Retrying after an error").
const MAX_INTERVAL: u64 = 99_999_999;
const MAX_DELAY: u64 = 31_622_400;

impl Parser {
    pub(super) fn error_names(
        &mut self,
        object: &Object,
        place: &str,
        is_last: bool,
    ) -> Vec<String> {
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

    pub(super) fn listed<'v>(
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
            self.problem(&at, "Expected value of type [ARRAY]");
            return Vec::new();
        };
        let objects: Vec<_> = values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| {
                Some((
                    format!("{at}[{index}]"),
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

    pub(super) fn retry(&mut self, object: &Object, place: &str) -> Vec<Retrier> {
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
            if interval_seconds == 0 || interval_seconds > MAX_INTERVAL {
                let text = format!("Value must be between 1 and {MAX_INTERVAL}");
                self.problem(&format!("{place}/IntervalSeconds"), text);
            }
            if max_delay_seconds.is_some_and(|longest| longest > MAX_DELAY) {
                let text = format!("Value must not be greater than {MAX_DELAY}");
                self.problem(&format!("{place}/MaxDelaySeconds"), text);
            }
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
            if max_attempts > MAX_INTERVAL {
                let text = format!("Value must not be greater than {MAX_INTERVAL}");
                self.problem(&format!("{place}/MaxAttempts"), text);
            }
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

    pub(super) fn catch(&mut self, object: &Object, place: &str) -> Vec<Catcher> {
        let mut catchers = Vec::new();
        for (place, is_last, catcher) in self.listed(object, place, "Catch") {
            self.known(
                catcher,
                &place,
                &[
                    "ErrorEquals",
                    "Next",
                    "ResultPath",
                    "Output",
                    "Assign",
                    "Comment",
                ],
            );
            let errors = self.error_names(catcher, &place, is_last);
            let result_path = self.selection(catcher, &place, "ResultPath");
            let output = self.outcome(catcher, &place, "Output", Sees::Error);
            let assign = self.assign(catcher, &place, Sees::Error);
            match self.text(catcher, &place, "Next") {
                Some(next) => catchers.push(Catcher {
                    errors,
                    next,
                    result_path,
                    output,
                    assign,
                }),
                None => self.problem(&place, "These fields are required: [Next]"),
            }
        }
        catchers
    }
}
