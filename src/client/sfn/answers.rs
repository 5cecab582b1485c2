//! From the SDK's answers to model types. What the service may leave out, or may say in words that
//! came after us, is decided here.

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::operation::describe_map_run::DescribeMapRunOutput;
use aws_sdk_sfn::types as sdk;
use aws_smithy_types::DateTime;

use crate::model::{
    Counts, Execution, ExecutionArn, ExecutionDetail, HistoryEvent, Logging, MapRun, MapRunArn,
    RedriveStatus, StateMachine, StateMachineArn, Status, Timestamp,
};

/// The wire has seconds as a decimal fraction, so what is beyond milliseconds is rounding.
pub(super) fn timestamp(date: DateTime) -> Timestamp {
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

pub(super) fn state_machine(it: sdk::StateMachineListItem) -> StateMachine {
    StateMachine {
        arn: StateMachineArn(it.state_machine_arn),
        name: it.name,
        kind: it.r#type.as_str().to_owned(),
        created: timestamp(it.creation_date),
    }
}

pub(super) fn logging(it: Option<sdk::LoggingConfiguration>) -> Logging {
    let Some(it) = it else {
        return Logging::default();
    };
    let destinations = it.destinations.unwrap_or_default().into_iter();
    let groups = destinations.filter_map(|it| it.cloud_watch_logs_log_group?.log_group_arn);
    Logging {
        level: it
            .level
            .filter(|level| *level != sdk::LogLevel::Off)
            .map(|level| level.as_str().to_owned()),
        with_data: it.include_execution_data,
        groups: groups.collect(),
    }
}

pub(super) fn listed_execution(it: sdk::ExecutionListItem) -> Execution {
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

pub(super) fn execution(it: DescribeExecutionOutput) -> ExecutionDetail {
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
        trace_header: it.trace_header,
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

pub(super) fn map_run(it: DescribeMapRunOutput) -> MapRun {
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
    iteration: Option<i32>,
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

pub(super) fn history_event(event: sdk::HistoryEvent) -> HistoryEvent {
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
        map_iteration_started_event_details { state <- name, iteration <- index }
        map_iteration_succeeded_event_details { state <- name, iteration <- index }
        map_iteration_failed_event_details { state <- name, iteration <- index }
        map_iteration_aborted_event_details { state <- name, iteration <- index }
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
        iteration: details.iteration.map(count),
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
