//! Tasks: what is scheduled.

use super::{
    Command, Failure, Frame, Integration, Kind, MAX_PAYLOAD, Phase, REGION, Resource, Result,
    State, Stepper, Task, Value, exceeds, exceeds_depth, failure_details, json, with_timeout,
};

impl Stepper<'_> {
    pub(super) fn schedule(
        &mut self,
        task: &Task,
        state: &State,
        frame: &mut Frame,
        input: &Value,
    ) -> std::result::Result<Result, Failure> {
        let token = self.token();
        let invoke = self.invocation(token, task, state, frame, input)?;
        let Command::Invoke {
            function,
            payload,
            timeout_ms,
            ..
        } = &invoke
        else {
            return Ok(Result::Waiting);
        };
        let timeout = timeout_ms.map(|timeout| timeout / 1_000);
        match &task.resource {
            Resource::LambdaInvoke => {
                let parameters = json!({"FunctionName": function, "Payload": payload});
                self.follow(frame, "TaskScheduled", || {
                    with_timeout(
                        json!({"resourceType": "lambda", "resource": "invoke", "region": REGION, "parameters": parameters.to_string()}),
                        timeout,
                    )
                });
                self.follow(
                    frame,
                    "TaskStarted",
                    || json!({"resourceType": "lambda", "resource": "invoke"}),
                );
            }
            Resource::Function(arn) => {
                self.follow(frame, "LambdaFunctionScheduled", || {
                    with_timeout(
                        json!({"resource": arn, "input": payload.to_string(), "inputDetails": {"truncated": false}}),
                        timeout,
                    )
                });
                self.follow(frame, "LambdaFunctionStarted", || Value::Null);
            }
        }
        frame.phase = Phase::Task { token };
        self.step.commands.push(invoke);
        Ok(Result::Waiting)
    }

    /// The call that a Task makes; the same whenever it is evaluated again.
    pub(in crate::engine::machine) fn invocation(
        &mut self,
        token: u64,
        task: &Task,
        state: &State,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Command, Failure> {
        let parameters = match &state.parameters {
            Some(template) => self.evaluate(template, frame, input)?,
            None => input.clone(),
        };
        let timeout = match &task.timeout {
            Some(timeout) => Some(self.given(
                timeout,
                "TimeoutSecondsPath",
                "integer",
                frame,
                input,
                Value::as_u64,
            )?),
            None => None,
        };
        let (function, payload, integration) = match &task.resource {
            Resource::Function(arn) => (arn.clone(), parameters, Integration::Direct),
            Resource::LambdaInvoke => {
                let Some(name) = parameters.get("FunctionName").and_then(Value::as_str) else {
                    let cause = "The field 'FunctionName' must be a string".to_owned();
                    return Err(Failure::new("States.Runtime", cause));
                };
                let payload = parameters
                    .get("Payload")
                    .cloned()
                    .unwrap_or_else(|| json!({}));
                (name.to_owned(), payload, Integration::Invoke)
            }
        };
        let timeout_ms = timeout.map(|seconds| seconds.saturating_mul(1_000));
        Ok(Command::Invoke {
            token,
            function,
            payload,
            integration,
            timeout_ms,
        })
    }

    /// Takes a function's result in: the event it gives, and what the state has come to.
    pub(in crate::engine::machine) fn task_ended(
        &mut self,
        state: &State,
        frame: &mut Frame,
        result: std::result::Result<Value, Failure>,
    ) -> Result {
        let direct = matches!(
            &state.kind,
            Kind::Task(Task {
                resource: Resource::Function(_),
                ..
            })
        );
        let prefix = if direct { "LambdaFunction" } else { "Task" };
        let with_resource = |mut details: Value| {
            if let (false, Some(object)) = (direct, details.as_object_mut()) {
                object.insert("resourceType".to_owned(), "lambda".into());
                object.insert("resource".to_owned(), "invoke".into());
            }
            details
        };
        let result = match result {
            Ok(value) if exceeds(&value, MAX_PAYLOAD) || exceeds_depth(&value) => {
                Err(Failure::new(
                    "States.DataLimitExceeded",
                    "The state/task 'lambda' returned a result with a size exceeding the maximum number of bytes service limit.",
                ))
            }
            other => other,
        };
        match result {
            Ok(value) => {
                self.follow(frame, format!("{prefix}Succeeded"), || {
                    with_resource(
                        json!({"output": value.to_string(), "outputDetails": {"truncated": false}}),
                    )
                });
                Result::Done(value)
            }
            Err(failure) => {
                let kind = if failure.name() == "States.Timeout" {
                    "TimedOut"
                } else {
                    "Failed"
                };
                self.follow(frame, format!("{prefix}{kind}"), || {
                    with_resource(failure_details(&failure))
                });
                Result::Failed(failure)
            }
        }
    }
}
