//! Step Functions: each call, and how its answer becomes a model type. What the service may leave
//! out, or may say in words that came after us, is decided here.

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::operation::describe_map_run::DescribeMapRunOutput;
use aws_sdk_sfn::operation::list_executions::builders::ListExecutionsFluentBuilder;
use aws_sdk_sfn::types as sdk;
use aws_smithy_types::DateTime;

use crate::client::Client;
use crate::client::error::{Error, ErrorKind};
use crate::client::limits::Action;
use crate::model::{
    Counts, Execution, ExecutionArn, ExecutionDetail, HistoryEvent, Limits, MapRun, MapRunArn,
    Page, RedriveStatus, StateMachine, StateMachineArn, StateMachineDetail, Status, Timestamp,
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
        })
    }

    pub async fn create_state_machine(
        &self,
        name: &str,
        definition: &str,
        role: &str,
    ) -> Result<StateMachineArn, Error> {
        self.may_change("CreateStateMachine", name)?;
        let request = self
            .shared
            .sfn
            .create_state_machine()
            .name(name)
            .definition(definition)
            .role_arn(role);
        let created = self
            .ask(Action::CreateStateMachine, name, request.send())
            .await?;
        Ok(StateMachineArn(created.state_machine_arn))
    }

    pub async fn update_state_machine(
        &self,
        arn: &StateMachineArn,
        definition: &str,
    ) -> Result<(), Error> {
        self.may_change("UpdateStateMachine", arn.as_str())?;
        let request = self
            .shared
            .sfn
            .update_state_machine()
            .state_machine_arn(arn.as_str())
            .definition(definition);
        self.ask(Action::UpdateStateMachine, arn.as_str(), request.send())
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
        let request = self
            .shared
            .sfn
            .get_execution_history()
            .execution_arn(arn.as_str())
            .reverse_order(newest_first)
            .max_results(EVENTS)
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
            listed.extend(
                page.map_runs
                    .into_iter()
                    .map(|run| (timestamp(run.start_date), MapRunArn(run.map_run_arn))),
            );
            token = given(page.next_token);
            if token.is_none() {
                break;
            }
        }
        // The reference says nothing about the order.
        listed.sort_by(|(earlier, _), (later, _)| later.cmp(earlier));
        Ok(listed.into_iter().map(|(_, arn)| arn).collect())
    }

    pub async fn map_run(&self, arn: &MapRunArn) -> Result<MapRun, Error> {
        let request = self.shared.sfn.describe_map_run().map_run_arn(arn.as_str());
        let described = self
            .ask(Action::DescribeMapRun, arn.as_str(), request.send())
            .await?;
        Ok(map_run(described))
    }

    /// Idempotent by name and input while the execution runs.
    pub async fn start_execution(
        &self,
        machine: &StateMachineArn,
        name: &str,
        input: &str,
    ) -> Result<ExecutionArn, Error> {
        self.may_change("StartExecution", name)?;
        let request = self
            .shared
            .sfn
            .start_execution()
            .state_machine_arn(machine.as_str())
            .name(name)
            .input(input);
        let started = self
            .ask(Action::StartExecution, name, request.send())
            .await?;
        Ok(ExecutionArn(started.execution_arn))
    }

    pub async fn stop_execution(
        &self,
        arn: &ExecutionArn,
        error: Option<&str>,
        cause: Option<&str>,
    ) -> Result<(), Error> {
        self.may_change("StopExecution", arn.as_str())?;
        let request = self
            .shared
            .sfn
            .stop_execution()
            .execution_arn(arn.as_str())
            .set_error(error.map(str::to_owned))
            .set_cause(cause.map(str::to_owned));
        self.ask(Action::StopExecution, arn.as_str(), request.send())
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
        self.may_change("RedriveExecution", arn.as_str())?;
        let request = self
            .shared
            .sfn
            .redrive_execution()
            .execution_arn(arn.as_str())
            .client_token(token);
        let redriven = self
            .ask(Action::RedriveExecution, arn.as_str(), request.send())
            .await?;
        Ok(timestamp(redriven.redrive_date))
    }

    /// Changes a Map Run that is running.
    pub async fn update_map_run(&self, arn: &MapRunArn, limits: Limits) -> Result<(), Error> {
        const ACTION: Action = Action::UpdateMapRun;
        self.may_change(ACTION.name(), arn.as_str())?;
        let out_of_range = |_| {
            let kind = ErrorKind::Invalid("a limit is larger than the service counts".to_owned());
            Error::new(ACTION.name(), arn.as_str(), kind)
        };
        let concurrency = limits.max_concurrency.map(i32::try_from).transpose();
        let tolerated = limits.tolerated_count.map(i64::try_from).transpose();
        let request = self
            .shared
            .sfn
            .update_map_run()
            .map_run_arn(arn.as_str())
            .set_max_concurrency(concurrency.map_err(out_of_range)?)
            .set_tolerated_failure_percentage(limits.tolerated_percentage.map(|it| it as f32))
            .set_tolerated_failure_count(tolerated.map_err(out_of_range)?);
        self.ask(ACTION, arn.as_str(), request.send()).await?;
        Ok(())
    }
}

/// A token that leads somewhere.
fn given(token: Option<String>) -> Option<String> {
    token.filter(|token| !token.is_empty())
}

/// The wire has seconds as a decimal fraction, so what is beyond milliseconds is rounding.
fn timestamp(date: DateTime) -> Timestamp {
    let millis = i64::from(date.subsec_nanos().saturating_add(500_000) / 1_000_000);
    let since_epoch = date.secs().saturating_mul(1_000).saturating_add(millis);
    Timestamp::from_millisecond(since_epoch).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// No count is negative; one that is, is none.
fn count(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(0)
}

fn redrives(number: Option<i32>) -> u32 {
    number.and_then(|it| it.try_into().ok()).unwrap_or(0)
}

/// The shortest decimal that the service can have meant: 5.1, not 5.099999904632568.
fn percentage(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

fn state_machine(it: sdk::StateMachineListItem) -> StateMachine {
    StateMachine {
        arn: StateMachineArn(it.state_machine_arn),
        name: it.name,
        kind: it.r#type.as_str().to_owned(),
        created: timestamp(it.creation_date),
    }
}

fn listed_execution(it: sdk::ExecutionListItem) -> Execution {
    Execution {
        arn: ExecutionArn(it.execution_arn),
        state_machine: StateMachineArn(it.state_machine_arn),
        name: it.name,
        status: Status::parse(it.status.as_str()),
        started: timestamp(it.start_date),
        stopped: it.stop_date.map(timestamp),
        map_run: it.map_run_arn.map(MapRunArn),
        item_count: it.item_count.map(count),
        redrive_count: redrives(it.redrive_count),
        redriven: it.redrive_date.map(timestamp),
    }
}

fn execution(it: DescribeExecutionOutput) -> ExecutionDetail {
    let arn = ExecutionArn(it.execution_arn);
    let name = it.name.unwrap_or_else(|| arn.name().to_owned());
    ExecutionDetail {
        execution: Execution {
            arn,
            state_machine: StateMachineArn(it.state_machine_arn),
            name,
            status: Status::parse(it.status.as_str()),
            started: timestamp(it.start_date),
            stopped: it.stop_date.map(timestamp),
            map_run: it.map_run_arn.map(MapRunArn),
            item_count: None,
            redrive_count: redrives(it.redrive_count),
            redriven: it.redrive_date.map(timestamp),
        },
        input: it.input,
        output: it.output,
        error: it.error,
        cause: it.cause,
        redrive_status: redrive_status(it.redrive_status.as_ref()),
        redrive_status_reason: it.redrive_status_reason,
    }
}

fn redrive_status(status: Option<&sdk::ExecutionRedriveStatus>) -> RedriveStatus {
    match status {
        Some(sdk::ExecutionRedriveStatus::Redrivable) => RedriveStatus::Redrivable,
        Some(sdk::ExecutionRedriveStatus::NotRedrivable) => RedriveStatus::NotRedrivable,
        Some(sdk::ExecutionRedriveStatus::RedrivableByMapRun) => RedriveStatus::RedrivableByMapRun,
        _ => RedriveStatus::Unknown,
    }
}

/// The SDK has the same ten numbers twice, as two types.
macro_rules! counts {
    ($counts:expr) => {
        $counts.map_or_else(Counts::default, |it| Counts {
            pending: count(it.pending),
            running: count(it.running),
            succeeded: count(it.succeeded),
            failed: count(it.failed),
            timed_out: count(it.timed_out),
            aborted: count(it.aborted),
            total: count(it.total),
            results_written: count(it.results_written),
            failures_not_redrivable: it.failures_not_redrivable.map_or(0, count),
            pending_redrive: it.pending_redrive.map_or(0, count),
        })
    };
}

fn map_run(it: DescribeMapRunOutput) -> MapRun {
    MapRun {
        arn: MapRunArn(it.map_run_arn),
        execution: ExecutionArn(it.execution_arn),
        status: Status::parse(it.status.as_str()),
        started: timestamp(it.start_date),
        stopped: it.stop_date.map(timestamp),
        max_concurrency: count(it.max_concurrency),
        tolerated_percentage: percentage(it.tolerated_failure_percentage),
        tolerated_count: count(it.tolerated_failure_count),
        items: counts!(it.item_counts),
        executions: counts!(it.execution_counts),
        redrive_count: redrives(it.redrive_count),
        redriven: it.redrive_date.map(timestamp),
    }
}

/// What an event's details say, whichever of the forty kinds of details it has.
#[derive(Default)]
struct Details {
    state: Option<String>,
    error: Option<String>,
    cause: Option<String>,
    map_run: Option<String>,
    input: Option<String>,
    output: Option<String>,
}

/// Moves the named fields of each kind of details that is there into one [`Details`].
macro_rules! gather {
    ($event:ident: $($member:ident { $($field:ident <- $source:ident),+ })+) => {{
        let mut details = Details::default();
        $(if let Some(it) = $event.$member {
            $(details.$field = it.$source.into();)+
        })+
        details
    }};
}

fn history_event(event: sdk::HistoryEvent) -> HistoryEvent {
    let id = count(event.id);
    let previous = count(event.previous_event_id);
    let at = timestamp(event.timestamp);
    let kind = event.r#type.as_str().to_owned();
    let details = gather!(event:
        state_entered_event_details { state <- name, input <- input }
        state_exited_event_details { state <- name, output <- output }
        execution_started_event_details { input <- input }
        execution_succeeded_event_details { output <- output }
        execution_failed_event_details { error <- error, cause <- cause }
        execution_aborted_event_details { error <- error, cause <- cause }
        execution_timed_out_event_details { error <- error, cause <- cause }
        map_run_started_event_details { map_run <- map_run_arn }
        map_run_redriven_event_details { map_run <- map_run_arn }
        map_run_failed_event_details { error <- error, cause <- cause }
        map_iteration_started_event_details { state <- name }
        map_iteration_succeeded_event_details { state <- name }
        map_iteration_failed_event_details { state <- name }
        map_iteration_aborted_event_details { state <- name }
        task_scheduled_event_details { input <- parameters }
        task_submitted_event_details { output <- output }
        task_succeeded_event_details { output <- output }
        task_failed_event_details { error <- error, cause <- cause }
        task_start_failed_event_details { error <- error, cause <- cause }
        task_submit_failed_event_details { error <- error, cause <- cause }
        task_timed_out_event_details { error <- error, cause <- cause }
        lambda_function_scheduled_event_details { input <- input }
        lambda_function_succeeded_event_details { output <- output }
        lambda_function_failed_event_details { error <- error, cause <- cause }
        lambda_function_schedule_failed_event_details { error <- error, cause <- cause }
        lambda_function_start_failed_event_details { error <- error, cause <- cause }
        lambda_function_timed_out_event_details { error <- error, cause <- cause }
        activity_scheduled_event_details { input <- input }
        activity_succeeded_event_details { output <- output }
        activity_failed_event_details { error <- error, cause <- cause }
        activity_schedule_failed_event_details { error <- error, cause <- cause }
        activity_timed_out_event_details { error <- error, cause <- cause }
        evaluation_failed_event_details { state <- state, error <- error, cause <- cause }
    );
    HistoryEvent {
        id,
        previous,
        at,
        kind,
        state: details.state,
        error: details.error,
        cause: details.cause,
        map_run: details.map_run.map(MapRunArn),
        input: details.input,
        output: details.output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_milliseconds() {
        let wire = DateTime::from_secs_f64(1_789_000_000.123);
        assert_eq!(timestamp(wire).as_millisecond(), 1_789_000_000_123);
        let carried = DateTime::from_secs_and_nanos(7, 999_999_999);
        assert_eq!(timestamp(carried).as_millisecond(), 8_000);
        let impossible = DateTime::from_secs(i64::MAX);
        assert_eq!(timestamp(impossible), Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_percentage_keeps_its_decimals() {
        assert!((percentage(5.1) - 5.1).abs() < f64::EPSILON);
        assert!((percentage(100.0) - 100.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_negative_count_is_none() {
        assert_eq!(count(-1_i64), 0);
        assert_eq!(redrives(Some(-3)), 0);
    }
}
