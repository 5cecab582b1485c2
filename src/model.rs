//! Executions, Map Runs, counts, failures and object addresses: plain data without behaviour that
//! needs the network. Names are the Step Functions API reference's.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod figures;
mod policy;
mod prices;

pub use policy::Statement;
pub use prices::Prices;

/// A moment, UTC. The wire has millisecond precision.
pub type Timestamp = jiff::Timestamp;

macro_rules! arn {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            pub fn new(arn: impl Into<String>) -> Self {
                Self(arn.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// What follows the resource type, for example `SM:run-7`, `SM/Label:uuid`.
            /// The whole text when it is not an ARN of seven parts.
            fn rest(&self) -> &str {
                self.0.splitn(7, ':').nth(6).unwrap_or(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

arn! {
    /// `arn:aws:states:REGION:ACCOUNT:stateMachine:SM`, with `/Label`, `:version` or `:alias`.
    StateMachineArn
}
arn! {
    /// `…:execution:SM:name`; for children `…:execution:SM/Label:name` or
    /// `…:express:SM/Label:name:uuid`.
    ExecutionArn
}
arn! {
    /// `…:mapRun:SM/Label:uuid`.
    MapRunArn
}

impl StateMachineArn {
    /// The name without label, version and alias.
    pub fn name(&self) -> &str {
        let rest = self.rest();
        rest.split([':', '/']).next().unwrap_or(rest)
    }
}

impl ExecutionArn {
    /// The execution's name. An Express child's has two parts joined with `:`.
    pub fn name(&self) -> &str {
        let rest = self.rest();
        rest.split_once(':').map_or(rest, |(_, name)| name)
    }

    /// Whether it runs items of a Map Run: its ARN then names the map beside the machine.
    pub fn is_child(&self) -> bool {
        let rest = self.rest();
        rest.split(':').next().is_some_and(|it| it.contains('/'))
    }

    /// The state machine's name, without the label.
    pub fn state_machine_name(&self) -> &str {
        let rest = self.rest();
        rest.split([':', '/']).next().unwrap_or(rest)
    }

    /// Whether it is an EXPRESS child, of which no history is kept.
    pub fn is_express(&self) -> bool {
        self.0.split(':').nth(5) == Some("express")
    }

    /// The ARN of the state machine that this execution belongs to, without the label.
    pub fn state_machine(&self) -> StateMachineArn {
        let prefix: Vec<&str> = self.0.splitn(7, ':').take(5).collect();
        StateMachineArn(format!(
            "{}:stateMachine:{}",
            prefix.join(":"),
            self.state_machine_name()
        ))
    }
}

impl MapRunArn {
    /// The UUID at the end, which also names the folder of its result files.
    pub fn id(&self) -> &str {
        self.0.rsplit(':').next().unwrap_or(&self.0)
    }

    /// The label of the Map state, as the definition or the service chose it.
    pub fn label(&self) -> &str {
        let rest = self.rest();
        rest.split_once('/')
            .and_then(|(_, tail)| tail.split(':').next())
            .unwrap_or(rest)
    }
}

/// Status of an execution or of a Map Run (which knows only the first, second, third and fifth).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
    /// Children of a redriven Map Run that wait for their turn.
    PendingRedrive,
    /// A value this program does not know; never treated as an end.
    Unknown,
}

impl Status {
    pub fn is_closed(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Aborted
        )
    }

    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
            Self::PendingRedrive => "PENDING_REDRIVE",
            Self::Unknown => "UNKNOWN",
        }
    }

    pub fn parse(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED" => Self::Failed,
            "TIMED_OUT" => Self::TimedOut,
            "ABORTED" => Self::Aborted,
            "PENDING_REDRIVE" => Self::PendingRedrive,
            _ => Self::Unknown,
        }
    }
}

/// One row of `ListExecutions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub arn: ExecutionArn,
    pub state_machine: StateMachineArn,
    pub name: String,
    pub status: Status,
    pub started: Timestamp,
    pub stopped: Option<Timestamp>,
    /// Of children only.
    pub map_run: Option<MapRunArn>,
    /// Items inside this child; of children only.
    pub item_count: Option<u64>,
    pub redrive_count: u32,
    pub redriven: Option<Timestamp>,
}

/// `DescribeExecution`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionDetail {
    pub execution: Execution,
    /// JSON text.
    pub input: Option<String>,
    /// JSON text, of succeeded executions.
    pub output: Option<String>,
    pub error: Option<String>,
    pub cause: Option<String>,
    pub redrive_status: RedriveStatus,
    /// AWS's words for `NotRedrivable`.
    pub redrive_status_reason: Option<String>,
    /// The X-Ray header that came with the start.
    #[serde(default)]
    pub trace_header: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RedriveStatus {
    Redrivable,
    NotRedrivable,
    /// A child; says nothing about whether its parent can be redriven.
    RedrivableByMapRun,
    Unknown,
}

/// The ten counts of `DescribeMapRun`; absent ones are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Read, but not started.
    pub pending: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub aborted: u64,
    /// Grows while the reader is still reading.
    pub total: u64,
    pub results_written: u64,
    pub failures_not_redrivable: u64,
    /// Unsuccessful, waiting for their turn after a redrive.
    pub pending_redrive: u64,
}

impl Counts {
    /// Ended one way or the other.
    pub fn done(&self) -> u64 {
        self.succeeded + self.failed + self.timed_out + self.aborted
    }

    /// What counts against the tolerance: failed and timed out, not aborted.
    pub fn failures(&self) -> u64 {
        self.failed + self.timed_out
    }
}

/// `DescribeMapRun`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapRun {
    pub arn: MapRunArn,
    pub execution: ExecutionArn,
    pub status: Status,
    pub started: Timestamp,
    pub stopped: Option<Timestamp>,
    /// 0 stands for the service's own maximum.
    pub max_concurrency: u64,
    /// Per cent, 0 to 100.
    pub tolerated_percentage: f64,
    pub tolerated_count: u64,
    pub items: Counts,
    pub executions: Counts,
    pub redrive_count: u32,
    pub redriven: Option<Timestamp>,
}

/// A change to a Map Run in flight; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub max_concurrency: Option<u64>,
    pub tolerated_percentage: Option<f64>,
    pub tolerated_count: Option<u64>,
}

/// One row of `ListStateMachines`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateMachine {
    pub arn: StateMachineArn,
    pub name: String,
    /// `STANDARD` or `EXPRESS`.
    pub kind: String,
    pub created: Timestamp,
}

/// `DescribeStateMachine` and `DescribeStateMachineForExecution`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateMachineDetail {
    pub arn: StateMachineArn,
    pub name: String,
    /// Amazon States Language, JSON text.
    pub definition: String,
    pub role: String,
    /// Absent for the first revision.
    pub revision: Option<String>,
    /// `STANDARD` or `EXPRESS`; absent where it is described for an execution.
    #[serde(default)]
    pub kind: Option<String>,
    /// When it was created, or for an execution, when its revision was.
    #[serde(default)]
    pub created: Option<Timestamp>,
    /// What executions write to CloudWatch Logs.
    #[serde(default)]
    pub logging: Logging,
}

/// What the executions of a state machine log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `ALL`, `ERROR`, `FATAL`; `None` is off.
    pub level: Option<String>,
    /// Inputs and outputs too.
    pub with_data: bool,
    /// ARNs of log groups.
    pub groups: Vec<String>,
}

impl Logging {
    /// The name of the group that executions write to; `None` where they write nothing.
    pub fn group_name(&self) -> Option<&str> {
        self.level.as_ref()?;
        let (_, name) = self.groups.first()?.split_once(":log-group:")?;
        Some(name.trim_end_matches(":*"))
    }
}

/// A version of a state machine: a revision that stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub arn: StateMachineArn,
    pub created: Timestamp,
}

/// `DescribeStateMachineAlias`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    pub arn: StateMachineArn,
    pub name: String,
    pub description: Option<String>,
    pub updated: Option<Timestamp>,
    /// Versions and the share of starts that each gets, per cent.
    pub routes: Vec<(StateMachineArn, u32)>,
}

/// One event of `GetExecutionHistory`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEvent {
    pub id: u64,
    pub previous: u64,
    pub at: Timestamp,
    /// For example `TaskFailed`.
    pub kind: String,
    /// State name of `…StateEntered`/`…StateExited` events.
    pub state: Option<String>,
    pub error: Option<String>,
    pub cause: Option<String>,
    /// The Map Run of `MapRunStarted` and `MapRunRedriven`.
    pub map_run: Option<MapRunArn>,
    /// Which item of an inline Map, from 0; of `MapIteration…` events.
    #[serde(default)]
    pub iteration: Option<u64>,
    /// JSON text.
    pub input: Option<String>,
    pub output: Option<String>,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Continues after `items`; `None` at the end.
    pub next: Option<String>,
}

/// A child execution that ended unsuccessfully.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub child: ExecutionArn,
    pub status: Status,
    /// The line's number in the source file, from 1, when the item carries it (our `n`);
    /// `None` is "unknown", never a guess.
    pub line: Option<u64>,
    pub error: Option<String>,
    /// As the service has it: often JSON as text.
    pub cause: Option<String>,
    /// The child's input, JSON text.
    pub input: Option<String>,
    pub stopped: Option<Timestamp>,
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// How often it was redriven.
    #[serde(default)]
    pub redrives: u32,
}

/// Bucket and key of an S3 object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectAddress {
    pub bucket: String,
    pub key: String,
    /// Which of its versions; `None` is the one that is current. Reads heed it, nothing is ever
    /// written to a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl ObjectAddress {
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
            version: None,
        }
    }

    /// This version of the object.
    pub fn at_version(&self, id: impl Into<String>) -> Self {
        Self {
            version: Some(id.into()),
            ..self.clone()
        }
    }

    /// The object, whichever of its versions this is.
    pub fn current(&self) -> Self {
        Self::new(&self.bucket, &self.key)
    }

    /// Reads `s3://bucket/key`. `None` for anything else, an empty bucket or key included.
    pub fn parse(text: &str) -> Option<Self> {
        let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
        let complete = !bucket.is_empty() && !key.is_empty();
        complete.then(|| Self::new(bucket, key))
    }

    /// The part of the key after the last `/`.
    pub fn file_name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }
}

impl fmt::Display for ObjectAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)?;
        match &self.version {
            Some(version) => write!(f, "?versionId={version}"),
            None => Ok(()),
        }
    }
}

/// One row of `ListObjectsV2`, or of `HeadObject`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    pub address: ObjectAddress,
    /// Bytes.
    pub size: u64,
    pub modified: Timestamp,
    /// With its quotes, as the service sends it.
    pub etag: String,
}

/// The state of an execution as an operator thinks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunState {
    Running,
    /// Its Map Run waits for the account's quota of open Map Runs.
    Queued,
    Succeeded,
    /// SUCCEEDED although items failed, within the tolerance.
    Part,
    Failed,
    TimedOut,
    Stopped,
    /// Running again after a redrive.
    Redrive,
    /// Unsuccessful and past the 14 days in which AWS redrives.
    Expired,
    Unknown,
}

/// How long after its end an execution can be redriven (RedriveExecution, API reference).
pub const REDRIVE_PERIOD: jiff::SignedDuration = jiff::SignedDuration::from_hours(14 * 24);

/// How long a Map Run may count nothing before it is taken for backlogged: a reader that has found
/// its source counts items within seconds.
const BACKLOGGED: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

impl MapRun {
    /// Whether its children take several items each, as the counts of those that have ended tell.
    pub fn is_batched(&self) -> bool {
        let ended = |counts: &Counts| counts.succeeded + counts.failures();
        ended(&self.executions) < ended(&self.items)
    }

    /// Whether it seems to wait because too many Map Runs are open (developer guide, "Quotas": all
    /// its counts are zero then, and no operation says so).
    pub fn is_backlogged(&self, now: Timestamp) -> bool {
        let counts_nothing = self.items.total == 0 && self.executions.total == 0;
        let since = self.redriven.unwrap_or(self.started);
        self.status == Status::Running && counts_nothing && now.duration_since(since) > BACKLOGGED
    }
}

impl RunState {
    /// `map_run` is the execution's Map Run with the most failures, where known.
    pub fn of(execution: &Execution, map_run: Option<&MapRun>, now: Timestamp) -> Self {
        let expired = execution
            .stopped
            .is_some_and(|at| now.duration_since(at) > REDRIVE_PERIOD);
        let lost_items = map_run.is_some_and(|run| run.items.failures() + run.items.aborted > 0);
        match execution.status {
            Status::Running if map_run.is_some_and(|run| run.is_backlogged(now)) => Self::Queued,
            Status::Running if execution.redrive_count > 0 => Self::Redrive,
            Status::Running => Self::Running,
            Status::PendingRedrive => Self::Queued,
            Status::Succeeded if lost_items => Self::Part,
            Status::Succeeded => Self::Succeeded,
            Status::Failed | Status::TimedOut | Status::Aborted if expired => Self::Expired,
            Status::Failed => Self::Failed,
            Status::TimedOut => Self::TimedOut,
            Status::Aborted => Self::Stopped,
            Status::Unknown => Self::Unknown,
        }
    }

    /// The word shown beside the glyph.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "RUN",
            Self::Queued => "QUEUED",
            Self::Succeeded => "OK",
            Self::Part => "PART",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMEOUT",
            Self::Stopped => "STOPPED",
            Self::Redrive => "REDRIVE",
            Self::Expired => "EXPIRED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_express_child_keeps_both_parts_of_its_name() {
        let arn = ExecutionArn::new("arn:aws:states:us-east-1:000000000000:express:SM/Lines:a:b");
        assert_eq!(arn.name(), "a:b");
        assert_eq!(arn.state_machine_name(), "SM");
        assert_eq!(
            arn.state_machine().as_str(),
            "arn:aws:states:us-east-1:000000000000:stateMachine:SM"
        );
    }

    #[test]
    fn a_map_run_arn_gives_label_and_id() {
        let arn = MapRunArn::new("arn:aws:states:us-east-1:000000000000:mapRun:SM/Lines:6d3");
        assert_eq!((arn.label(), arn.id()), ("Lines", "6d3"));
    }

    #[test]
    fn an_object_address_needs_bucket_and_key() {
        assert_eq!(
            ObjectAddress::parse("s3://b/k/l"),
            Some(ObjectAddress::new("b", "k/l"))
        );
        assert_eq!(ObjectAddress::parse("s3://b/"), None);
        assert_eq!(ObjectAddress::parse("b/k"), None);
    }
}
