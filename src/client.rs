//! Everything one may ask of the remote side. The only code that names the AWS SDK.
//!
//! [`Client`] is a cheap handle: AWS and the embedded engine are reached by the same calls, and
//! after [`Client::connect`] nobody can tell which it is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;

use crate::model::{
    Execution, ExecutionArn, ExecutionDetail, HistoryEvent, Limits, MapRun, MapRunArn, Object,
    ObjectAddress, Page, StateMachine, StateMachineArn, StateMachineDetail, Status, Timestamp,
};

pub mod error;
pub use error::{Error, ErrorKind};

/// Where executions live.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The SDK's own search for credentials and Region, with these over it.
    Aws {
        profile: Option<String>,
        region: Option<String>,
        endpoint_url: Option<String>,
    },
    /// The embedded engine: an endpoint with its own credentials; S3 in path style.
    Endpoint {
        url: String,
        region: String,
        access_key: String,
        secret_key: String,
    },
}

/// How to connect, beyond where.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Refuse every call that changes something.
    pub read_only: bool,
    /// Share of each API's quota that this process may use, 0 to 1.
    pub budget_share: f64,
}

/// What a screen says about a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// `LOCAL` for an endpoint, else the profile's name or `default`.
    pub label: String,
    pub region: String,
    pub local: bool,
    pub read_only: bool,
}

/// Bytes of an object as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Snapshots of a remote thing; an `Err` does not end the stream.
pub type Snapshots<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// An object opened for reading.
pub struct ObjectBody {
    pub object: Object,
    /// User metadata, keys without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    pub version: Option<String>,
    pub bytes: ByteStream,
}

#[derive(Clone)]
pub struct Client {}

impl Client {
    /// Reads credentials and Region and builds the three SDK clients. Asks nothing of the service.
    ///
    /// # Errors
    /// `ErrorKind::Configuration` when the Region or a profile is missing or malformed.
    pub async fn connect(target: Target, options: Options) -> Result<Self, Error> {
        todo!()
    }
    pub fn connection(&self) -> Connection {
        todo!()
    }
    /// The same client for standing polls: its calls wait until what the user asked for is served.
    pub fn polling(&self) -> Self {
        todo!()
    }
    /// Share of the API budget in use, 0 to 1: the fullest of all buckets.
    pub fn budget_used(&self) -> f64 {
        todo!()
    }
    /// Whether the service throttled us within the last ten seconds.
    pub fn slowed(&self) -> bool {
        todo!()
    }

    // Step Functions
    pub async fn state_machines(&self) -> Result<Vec<StateMachine>, Error> {
        todo!()
    }
    pub async fn state_machine(&self, arn: &StateMachineArn) -> Result<StateMachineDetail, Error> {
        todo!()
    }
    /// The definition that this execution really uses.
    pub async fn state_machine_for_execution(
        &self,
        arn: &ExecutionArn,
    ) -> Result<StateMachineDetail, Error> {
        todo!()
    }
    pub async fn create_state_machine(
        &self,
        name: &str,
        definition: &str,
        role: &str,
    ) -> Result<StateMachineArn, Error> {
        todo!()
    }
    pub async fn update_state_machine(
        &self,
        arn: &StateMachineArn,
        definition: &str,
    ) -> Result<(), Error> {
        todo!()
    }
    /// Newest first, at most 1,000 a page.
    pub async fn executions(
        &self,
        machine: &StateMachineArn,
        status: Option<Status>,
        limit: u16,
        token: Option<String>,
    ) -> Result<Page<Execution>, Error> {
        todo!()
    }
    /// Children of a Map Run; those not started yet have no execution and are not listed.
    pub async fn children(
        &self,
        map_run: &MapRunArn,
        status: Option<Status>,
        limit: u16,
        token: Option<String>,
    ) -> Result<Page<Execution>, Error> {
        todo!()
    }
    pub async fn execution(&self, arn: &ExecutionArn) -> Result<ExecutionDetail, Error> {
        todo!()
    }
    pub async fn history(
        &self,
        arn: &ExecutionArn,
        newest_first: bool,
        token: Option<String>,
    ) -> Result<Page<HistoryEvent>, Error> {
        todo!()
    }
    /// All Map Runs of an execution, newest first.
    pub async fn map_runs(&self, execution: &ExecutionArn) -> Result<Vec<MapRunArn>, Error> {
        todo!()
    }
    pub async fn map_run(&self, arn: &MapRunArn) -> Result<MapRun, Error> {
        todo!()
    }
    /// Idempotent by name and input while the execution runs.
    pub async fn start_execution(
        &self,
        machine: &StateMachineArn,
        name: &str,
        input: &str,
    ) -> Result<ExecutionArn, Error> {
        todo!()
    }
    pub async fn stop_execution(
        &self,
        arn: &ExecutionArn,
        error: Option<&str>,
        cause: Option<&str>,
    ) -> Result<(), Error> {
        todo!()
    }
    /// `token` makes network retries safe; a fresh one for each key press.
    pub async fn redrive_execution(
        &self,
        arn: &ExecutionArn,
        token: &str,
    ) -> Result<Timestamp, Error> {
        todo!()
    }
    pub async fn update_map_run(&self, arn: &MapRunArn, limits: Limits) -> Result<(), Error> {
        todo!()
    }

    // S3
    /// Creates the bucket; one that is already ours is fine.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), Error> {
        todo!()
    }
    /// Keys under `prefix` in UTF-8 order, at most 1,000 a page.
    pub async fn objects(
        &self,
        bucket: &str,
        prefix: &str,
        token: Option<String>,
    ) -> Result<Page<Object>, Error> {
        todo!()
    }
    /// `None` when there is no such object.
    pub async fn head(
        &self,
        address: &ObjectAddress,
    ) -> Result<Option<(Object, BTreeMap<String, String>)>, Error> {
        todo!()
    }
    /// The whole object, or `range` of it (bytes, end exclusive); with `etag`, only that version.
    pub async fn read(
        &self,
        address: &ObjectAddress,
        range: Option<Range<u64>>,
        etag: Option<&str>,
    ) -> Result<ObjectBody, Error> {
        todo!()
    }
    /// Writes an object of any size in bounded memory: one PUT when it is small, else multipart.
    pub async fn write(
        &self,
        address: &ObjectAddress,
        metadata: BTreeMap<String, String>,
    ) -> Result<ObjectWriter, Error> {
        todo!()
    }
    pub async fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Error> {
        todo!()
    }

    // Standing polls
    /// Snapshots of one Map Run, ending with the first whose status is closed.
    pub fn watch_map_run(&self, arn: MapRunArn) -> Snapshots<MapRun> {
        todo!()
    }
    /// Snapshots of one execution, ending with the first whose status is closed.
    pub fn watch_execution(&self, arn: ExecutionArn) -> Snapshots<ExecutionDetail> {
        todo!()
    }
    /// The newest page of executions of a state machine, for ever.
    pub fn watch_executions(&self, machine: StateMachineArn) -> Snapshots<Page<Execution>> {
        todo!()
    }
    /// The newest page of unsuccessful (FAILED, then TIMED_OUT) children, until the Map Run closes.
    pub fn watch_failed_children(&self, map_run: MapRunArn) -> Snapshots<Vec<Execution>> {
        todo!()
    }
}

/// An object being written. Nothing is visible before [`ObjectWriter::finish`]; dropping it
/// leaves nothing behind.
pub struct ObjectWriter {}

impl ObjectWriter {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        todo!()
    }
    /// Makes the object visible.
    pub async fn finish(self) -> Result<Object, Error> {
        todo!()
    }
    /// Gives up and deletes the parts.
    pub async fn abort(self) {
        todo!()
    }
}
