//! What a step wants to be done: calls, timers, Map Runs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Variables;
use super::states::Call;
use crate::engine::definition::{ChildKind, Format, Shape, Transformation};

/// What must be done once the step is on disk.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Make a call and deliver what comes of it: [`Input::TaskSubmitted`] where the pattern waits
    /// for more, [`Input::TaskEnded`] where the call itself ends the Task.
    Call(Box<Call>),
    /// Nobody waits for this attempt's call any more: let go of it, and stop what it has started.
    Abandon {
        attempt: u64,
    },
    /// Deliver [`Input::TimerFired`] at `at`, milliseconds since 1970.
    Timer {
        token: u64,
        at: i64,
    },
    StartMapRun(Box<MapRunPlan>),
    /// Make sure that this Map Run goes on, redriven that many times, and deliver
    /// [`Input::MapRunEnded`].
    FollowMapRun {
        arn: String,
        redrives: u32,
    },
    StopMapRun {
        arn: String,
    },
}

/// A Distributed Map with everything evaluated that depends on the parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapRunPlan {
    pub arn: String,
    /// Label of the Map state in the parent's definition.
    pub label: String,
    pub children: ChildKind,
    pub items: ItemSource,
    /// `$` of the `ItemSelector`.
    pub input: Value,
    /// `$$` of the `ItemSelector`, without `Map.Item`.
    pub context: Value,
    /// The parent's variables that the `ItemSelector` speaks of.
    #[serde(default)]
    pub variables: Variables,
    /// When the Map Run was started, milliseconds since 1970.
    #[serde(default)]
    pub at: i64,
    /// 0: the service's maximum.
    pub max_concurrency: u64,
    pub tolerated_count: u64,
    pub tolerated_percentage: f64,
    #[serde(default)]
    pub batching: Option<Batching>,
    pub writer: Option<Destination>,
    /// `None`: what AWS does without a `WriterConfig`.
    #[serde(default)]
    pub shape: Option<Shape>,
}

impl MapRunPlan {
    pub fn shape(&self) -> Shape {
        let transformation = match self.writer {
            Some(_) => Transformation::None,
            None => Transformation::Compact,
        };
        self.shape.unwrap_or(Shape {
            transformation,
            lines: false,
        })
    }
}

/// What the items are. `max_items` is as given: 0 sets no limit, less is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ItemSource {
    /// An array from state data.
    Values(Vec<Value>),
    /// An object from state data: a member is an item.
    Members(serde_json::Map<String, Value>),
    /// One S3 object.
    Object {
        bucket: String,
        key: String,
        format: Format,
        max_items: Option<i64>,
        #[serde(default)]
        version: Option<String>,
        /// `ExpectedBucketOwner`.
        #[serde(default)]
        owner: Option<String>,
    },
    /// The S3 objects below a prefix.
    Listing {
        bucket: String,
        prefix: String,
        /// Of the objects' contents, where these are the items.
        format: Option<Format>,
        max_items: Option<i64>,
        owner: Option<String>,
    },
}

impl ItemSource {
    pub fn max_items(&self) -> Option<i64> {
        match self {
            Self::Values(_) | Self::Members(_) => None,
            Self::Object { max_items, .. } | Self::Listing { max_items, .. } => *max_items,
        }
    }

    /// `length` of MapStateStarted: 0 where a reader must look first.
    pub fn known_length(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Members(members) => members.len(),
            Self::Object { .. } | Self::Listing { .. } => 0,
        }
    }

    /// `$$.Map.Item.Source` (developer guide, "Accessing execution data from the Context object").
    pub fn source(&self) -> String {
        match self {
            Self::Values(_) | Self::Members(_) => "STATE_DATA".to_owned(),
            Self::Object { bucket, key, .. } => format!("S3://{bucket}/{key}"),
            Self::Listing { bucket, .. } => format!("S3://{bucket}"),
        }
    }
}

/// An ItemBatcher, evaluated; 0 is no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Batching {
    pub max_items: u64,
    pub max_bytes: u64,
    /// `BatchInput`.
    pub input: Option<Value>,
}

/// Where the ResultWriter writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    pub bucket: String,
    pub prefix: String,
}
