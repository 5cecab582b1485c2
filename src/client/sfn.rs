//! Step Functions, call by call.

use std::cmp::Reverse;

use aws_sdk_sfn::operation::list_executions::builders::ListExecutionsFluentBuilder;
use aws_sdk_sfn::types as sdk;

use crate::client::Client;
use crate::client::error::{Error, ErrorKind};
use crate::client::limits::Action;
use crate::client::trail::{aws, digest};
use crate::model::{
    Execution, ExecutionArn, ExecutionDetail, HistoryEvent, Limits, MapRun, MapRunArn, Page,
    StateMachine, StateMachineArn, StateMachineDetail, Status, Timestamp,
};

mod answers;
mod machines;

pub use machines::Diagnostic;

use answers::{
    execution, history_event, listed_execution, logging, map_run, state_machine, timestamp,
};

/// Most rows that a listing gives at once.
const LARGEST_PAGE: u16 = 1_000;
/// Events a page. Each may carry 256 KiB of input or output.
const EVENTS: i32 = 200;

impl Client {
    /// All state machines of the account in this Region.
    pub async fn state_machines(&self) -> Result<Vec<StateMachine>, Error> {
        let mut machines = Vec::new();
        let mut token = None;
        loop {
            let request = self
                .shared
                .sfn
                .list_state_machines()
                .max_results(LARGEST_PAGE.into())
                .set_next_token(token);
            let page = self
                .ask(
                    Action::ListStateMachines,
                    &self.shared.connection.label,
                    request.send(),
                )
                .await?;
            machines.extend(page.state_machines.into_iter().map(state_machine));
            token = given(page.next_token);
            if token.is_none() {
                return Ok(machines);
            }
        }
    }

    /// A state machine as it is now; newer executions use this definition.
    pub async fn state_machine(&self, arn: &StateMachineArn) -> Result<StateMachineDetail, Error> {
        let request = self
            .shared
            .sfn
            .describe_state_machine()
            .state_machine_arn(arn.as_str());
        let it = self
            .ask(Action::DescribeStateMachine, arn.as_str(), request.send())
            .await?;
        Ok(StateMachineDetail {
            arn: StateMachineArn(it.state_machine_arn),
            name: it.name,
            definition: it.definition,
            role: it.role_arn,
            revision: it.revision_id,
            kind: Some(it.r#type.as_str().to_owned()),
            created: Some(timestamp(it.creation_date)),
            logging: logging(it.logging_configuration),
        })
    }

    /// The definition that this execution really uses.
    pub async fn state_machine_for_execution(
        &self,
        arn: &ExecutionArn,
    ) -> Result<StateMachineDetail, Error> {
        let request = self
            .shared
            .sfn
            .describe_state_machine_for_execution()
            .execution_arn(arn.as_str());
        let it = self
            .ask(
                Action::DescribeStateMachineForExecution,
                arn.as_str(),
                request.send(),
            )
            .await?;
        Ok(StateMachineDetail {
            arn: StateMachineArn(it.state_machine_arn),
            name: it.name,
            definition: it.definition,
            role: it.role_arn,
            revision: it.revision_id,
            kind: None,
            created: Some(timestamp(it.update_date)),
            logging: logging(it.logging_configuration),
        })
    }

    /// Creates a STANDARD state machine. `definition` is Amazon States Language, `role` an ARN.
    ///
    /// # Errors
    /// `Conflict` when the name is taken by a different one; the same again is fine.
    pub async fn create_state_machine(
        &self,
        name: &str,
        definition: &str,
        role: &str,
    ) -> Result<StateMachineArn, Error> {
        const ACTION: Action = Action::CreateStateMachine;
        let request = self
            .shared
            .sfn
            .create_state_machine()
            .name(name)
            .definition(definition)
            .role_arn(role);
        let command = || {
            let definition = digest(definition);
            let arguments = [
                ("name", name),
                ("role-arn", role),
                ("definition", &definition),
            ];
            aws("stepfunctions create-state-machine", &arguments)
        };
        let call = self.ask(ACTION, name, request.send());
        let created = self.change(ACTION.name(), name, command, call).await?;
        Ok(StateMachineArn(created.state_machine_arn))
    }

    /// Replaces the definition. Executions under way, and their redrives, keep the old one.
    pub async fn update_state_machine(
        &self,
        arn: &StateMachineArn,
        definition: &str,
    ) -> Result<(), Error> {
        const ACTION: Action = Action::UpdateStateMachine;
        let request = self
            .shared
            .sfn
            .update_state_machine()
            .state_machine_arn(arn.as_str())
            .definition(definition);
        let command = || {
            let definition = digest(definition);
            let arguments = [
                ("state-machine-arn", arn.as_str()),
                ("definition", &definition),
            ];
            aws("stepfunctions update-state-machine", &arguments)
        };
        let call = self.ask(ACTION, arn.as_str(), request.send());
        self.change(ACTION.name(), arn.as_str(), command, call)
            .await?;
        Ok(())
    }

    /// Newest first, at most 1,000 a page. A page may be short or empty and still have a next one.
    pub async fn executions(
        &self,
        machine: &StateMachineArn,
        status: Option<Status>,
        limit: u16,
        token: Option<String>,
    ) -> Result<Page<Execution>, Error> {
        let request = self
            .shared
            .sfn
            .list_executions()
            .state_machine_arn(machine.as_str());
        self.list(machine.as_str(), request, status, limit, token)
            .await
    }

    /// Children of a Map Run; those not started yet have no execution and are not listed.
    pub async fn children(
        &self,
        map_run: &MapRunArn,
        status: Option<Status>,
        limit: u16,
        token: Option<String>,
    ) -> Result<Page<Execution>, Error> {
        let request = self
            .shared
            .sfn
            .list_executions()
            .map_run_arn(map_run.as_str());
        self.list(map_run.as_str(), request, status, limit, token)
            .await
    }

    async fn list(
        &self,
        subject: &str,
        request: ListExecutionsFluentBuilder,
        status: Option<Status>,
        limit: u16,
        token: Option<String>,
    ) -> Result<Page<Execution>, Error> {
        if status == Some(Status::Unknown) {
            let kind = ErrorKind::Invalid("UNKNOWN is not a status to list by".to_owned());
            return Err(Error::new(Action::ListExecutions.name(), subject, kind));
        }
        let request = request
            .max_results(limit.clamp(1, LARGEST_PAGE).into())
            .set_status_filter(status.map(|status| sdk::ExecutionStatus::from(status.as_str())))
            .set_next_token(token);
        let page = self
            .ask(Action::ListExecutions, subject, request.send())
            .await?;
        Ok(Page {
            items: page.executions.into_iter().map(listed_execution).collect(),
            next: given(page.next_token),
        })
    }

    /// One execution with input and output; children too.
    pub async fn execution(&self, arn: &ExecutionArn) -> Result<ExecutionDetail, Error> {
        let request = self
            .shared
            .sfn
            .describe_execution()
            .execution_arn(arn.as_str());
        let described = self
            .ask(Action::DescribeExecution, arn.as_str(), request.send())
            .await?;
        Ok(execution(described))
    }

    /// Events of a STANDARD execution, 200 a page.
    pub async fn history(
        &self,
        arn: &ExecutionArn,
        newest_first: bool,
        token: Option<String>,
    ) -> Result<Page<HistoryEvent>, Error> {
        self.events(arn, newest_first, token, EVENTS).await
    }

    /// The newest few events, newest first: what has happened since one looked last.
    pub async fn newest_events(
        &self,
        arn: &ExecutionArn,
        most: u8,
    ) -> Result<Page<HistoryEvent>, Error> {
        self.events(arn, true, None, i32::from(most.max(1))).await
    }

    async fn events(
        &self,
        arn: &ExecutionArn,
        newest_first: bool,
        token: Option<String>,
        most: i32,
    ) -> Result<Page<HistoryEvent>, Error> {
        let request = self
            .shared
            .sfn
            .get_execution_history()
            .execution_arn(arn.as_str())
            .reverse_order(newest_first)
            .max_results(most)
            .set_next_token(token);
        let page = self
            .ask(Action::GetExecutionHistory, arn.as_str(), request.send())
            .await?;
        Ok(Page {
            items: page.events.into_iter().map(history_event).collect(),
            next: given(page.next_token),
        })
    }

    /// All Map Runs of an execution, newest first.
    pub async fn map_runs(&self, execution: &ExecutionArn) -> Result<Vec<MapRunArn>, Error> {
        let mut listed = self.listed_map_runs(execution).await?;
        // The reference says nothing about the order.
        listed.sort_by_key(|run| Reverse(timestamp(run.start_date)));
        let arns = listed.into_iter().map(|run| MapRunArn(run.map_run_arn));
        Ok(arns.collect())
    }

    /// How many of an execution's Map Runs have not ended.
    pub async fn open_map_runs(&self, execution: &ExecutionArn) -> Result<usize, Error> {
        let listed = self.listed_map_runs(execution).await?;
        Ok(listed.iter().filter(|run| run.stop_date.is_none()).count())
    }

    async fn listed_map_runs(
        &self,
        execution: &ExecutionArn,
    ) -> Result<Vec<sdk::MapRunListItem>, Error> {
        let mut listed = Vec::new();
        let mut token = None;
        loop {
            let request = self
                .shared
                .sfn
                .list_map_runs()
                .execution_arn(execution.as_str())
                .max_results(LARGEST_PAGE.into())
                .set_next_token(token);
            let page = self
                .ask(Action::ListMapRuns, execution.as_str(), request.send())
                .await?;
            listed.extend(page.map_runs);
            token = given(page.next_token);
            if token.is_none() {
                return Ok(listed);
            }
        }
    }

    /// One Map Run with its counts, which are the service's own and may lag a second or two.
    pub async fn map_run(&self, arn: &MapRunArn) -> Result<MapRun, Error> {
        let request = self.shared.sfn.describe_map_run().map_run_arn(arn.as_str());
        let described = self
            .ask(Action::DescribeMapRun, arn.as_str(), request.send())
            .await?;
        Ok(map_run(described))
    }

    /// Idempotent by name and input while the execution runs. `input` is JSON text.
    ///
    /// # Errors
    /// `Conflict` when the name was used with another input, or by one that has ended.
    pub async fn start_execution(
        &self,
        machine: &StateMachineArn,
        name: &str,
        input: &str,
    ) -> Result<ExecutionArn, Error> {
        self.start_traced(machine, name, input, None).await
    }

    /// The same with an X-Ray header, which `DescribeExecution` gives back.
    ///
    /// # Errors
    /// As [`Client::start_execution`].
    pub async fn start_traced(
        &self,
        machine: &StateMachineArn,
        name: &str,
        input: &str,
        trace_header: Option<&str>,
    ) -> Result<ExecutionArn, Error> {
        const ACTION: Action = Action::StartExecution;
        let request = self
            .shared
            .sfn
            .start_execution()
            .state_machine_arn(machine.as_str())
            .name(name)
            .input(input)
            .set_trace_header(trace_header.map(str::to_owned));
        let command = || {
            let (machine, input) = (machine.as_str(), digest(input));
            let mut arguments = vec![
                ("state-machine-arn", machine),
                ("name", name),
                ("input", input.as_str()),
            ];
            arguments.extend(trace_header.map(|it| ("trace-header", it)));
            aws("stepfunctions start-execution", &arguments)
        };
        let call = self.ask(ACTION, name, request.send());
        let started = self.change(ACTION.name(), name, command, call).await?;
        Ok(ExecutionArn(started.execution_arn))
    }

    /// Stops an execution and its Map Runs; EXPRESS children run to their own end.
    pub async fn stop_execution(
        &self,
        arn: &ExecutionArn,
        error: Option<&str>,
        cause: Option<&str>,
    ) -> Result<(), Error> {
        const ACTION: Action = Action::StopExecution;
        let request = self
            .shared
            .sfn
            .stop_execution()
            .execution_arn(arn.as_str())
            .set_error(error.map(str::to_owned))
            .set_cause(cause.map(str::to_owned));
        let command = || {
            let mut arguments = vec![("execution-arn", arn.as_str())];
            arguments.extend(error.map(|error| ("error", error)));
            arguments.extend(cause.map(|cause| ("cause", cause)));
            aws("stepfunctions stop-execution", &arguments)
        };
        let call = self.ask(ACTION, arn.as_str(), request.send());
        self.change(ACTION.name(), arn.as_str(), command, call)
            .await?;
        Ok(())
    }

    /// `token` makes network retries safe; a fresh one for each key press, else the service takes
    /// a second redrive within 15 minutes for the first and does nothing.
    pub async fn redrive_execution(
        &self,
        arn: &ExecutionArn,
        token: &str,
    ) -> Result<Timestamp, Error> {
        const ACTION: Action = Action::RedriveExecution;
        let request = self
            .shared
            .sfn
            .redrive_execution()
            .execution_arn(arn.as_str())
            .client_token(token);
        let command = || {
            let arguments = [("execution-arn", arn.as_str())];
            aws("stepfunctions redrive-execution", &arguments)
        };
        let call = self.ask(ACTION, arn.as_str(), request.send());
        let redriven = self
            .change(ACTION.name(), arn.as_str(), command, call)
            .await?;
        Ok(timestamp(redriven.redrive_date))
    }

    /// Changes a Map Run that is running.
    pub async fn update_map_run(&self, arn: &MapRunArn, limits: Limits) -> Result<(), Error> {
        const ACTION: Action = Action::UpdateMapRun;
        self.may_change(ACTION.name(), arn.as_str())?;
        let invalid = |problem: &str| {
            let kind = ErrorKind::Invalid(problem.to_owned());
            Error::new(ACTION.name(), arn.as_str(), kind)
        };
        let out_of_range = |_| invalid("a limit is larger than the service counts");
        let percentage = limits.tolerated_percentage;
        if percentage.is_some_and(|it| !(0.0..=100.0).contains(&it)) {
            return Err(invalid("a tolerated percentage is 0 to 100"));
        }
        let concurrency = limits.max_concurrency.map(i32::try_from).transpose();
        let tolerated = limits.tolerated_count.map(i64::try_from).transpose();
        let request = self
            .shared
            .sfn
            .update_map_run()
            .map_run_arn(arn.as_str())
            .set_max_concurrency(concurrency.map_err(out_of_range)?)
            .set_tolerated_failure_percentage(percentage.map(|it| it as f32))
            .set_tolerated_failure_count(tolerated.map_err(out_of_range)?);
        let call = self.ask(ACTION, arn.as_str(), request.send());
        let command = || limits_command(arn, limits);
        self.change(ACTION.name(), arn.as_str(), command, call)
            .await?;
        Ok(())
    }
}

fn limits_command(arn: &MapRunArn, limits: Limits) -> String {
    let named = [
        (
            "max-concurrency",
            limits.max_concurrency.map(|it| it.to_string()),
        ),
        (
            "tolerated-failure-percentage",
            limits.tolerated_percentage.map(|it| it.to_string()),
        ),
        (
            "tolerated-failure-count",
            limits.tolerated_count.map(|it| it.to_string()),
        ),
    ];
    let mut arguments = vec![("map-run-arn", arn.as_str())];
    for (name, value) in &named {
        arguments.extend(value.as_deref().map(|value| (*name, value)));
    }
    aws("stepfunctions update-map-run", &arguments)
}

/// A token that leads somewhere.
fn given(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}
