//! The context object (`$$`) and the values that templates see.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::{Map, Value, json};

use super::{Draw, Execution, Frame, Machine, Variables};
use crate::engine::query::Source;

/// What an evaluation may speak of besides the execution and its frame.
#[derive(Clone, Copy)]
pub(super) struct Scene<'v> {
    /// `$`, `$states.input`
    pub input: &'v Value,
    pub result: Option<&'v Value>,
    pub error: Option<&'v Value>,
    pub item: Option<(usize, &'v Value)>,
}

impl<'v> From<&'v Value> for Scene<'v> {
    fn from(input: &'v Value) -> Self {
        Self {
            input,
            result: None,
            error: None,
            item: None,
        }
    }
}

/// What a state's paths and templates are evaluated over.
pub(super) struct View<'v> {
    pub machine: &'v Machine<'v>,
    pub execution: &'v Execution,
    pub frame: &'v Frame,
    pub scene: Scene<'v>,
    /// Variables of the frames around this one, outermost first.
    pub outer: &'v [Variables],
    pub now: i64,
    pub seed: Draw,
    pub draws: Cell<u64>,
}

impl Source for View<'_> {
    fn input(&self) -> &Value {
        self.scene.input
    }

    fn context(&self) -> Cow<'_, Value> {
        let item = self
            .frame
            .item
            .as_ref()
            .map(|item| (item.index, &item.value));
        Cow::Owned(context(
            self.machine,
            self.execution,
            self.frame,
            self.scene.item.or(item),
        ))
    }

    fn result(&self) -> Option<&Value> {
        self.scene.result
    }

    fn error_output(&self) -> Option<&Value> {
        self.scene.error
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        let around = self.outer.iter().rev();
        std::iter::once(&self.frame.variables)
            .chain(around)
            .find_map(|variables| variables.get(name))
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn random(&self) -> u64 {
        let draw = self.draws.get();
        self.draws.set(draw + 1);
        let seed = self.seed.number(self.machine, self.execution);
        mix(seed, "", 0, draw)
    }
}

/// Step Functions developer guide, "Accessing execution data from the Context object".
pub(super) fn context(
    machine: &Machine<'_>,
    execution: &Execution,
    frame: &Frame,
    item: Option<(usize, &Value)>,
) -> Value {
    let mut context = match machine.context {
        Some(given) => given.clone(),
        None => own_context(machine, execution, frame),
    };
    if let Some((index, value)) = item {
        let item = json!({"Item": {"Index": index, "Value": value, "Source": "STATE_DATA"}});
        context.insert("Map".to_owned(), item);
    }
    Value::Object(context)
}

fn own_context(machine: &Machine<'_>, execution: &Execution, frame: &Frame) -> Map<String, Value> {
    let identity = machine.identity;
    let mut run = json!({
        "Id": identity.id,
        "Input": machine.input,
        "Name": identity.name,
        "RoleArn": identity.role,
        "StartTime": iso(identity.started),
        "RedriveCount": execution.redrive_count,
    });
    if let (Some(at), Some(run)) = (execution.redrive_time, run.as_object_mut()) {
        run.insert("RedriveTime".to_owned(), iso(at).into());
    }
    let mut context = Map::new();
    context.insert("Execution".to_owned(), run);
    context.insert(
        "StateMachine".to_owned(),
        json!({"Id": identity.machine_id, "Name": identity.machine_name}),
    );
    context.insert(
        "State".to_owned(),
        json!({
            "Name": frame.state,
            "EnteredTime": iso(frame.entered),
            "RetryCount": frame.retries.iter().sum::<u64>(),
        }),
    );
    if let Some(token) = frame.task_token(machine.identity) {
        context.insert("Task".to_owned(), json!({"Token": token.text()}));
    }
    context
}

/// RFC 3339 with milliseconds and `Z`, as AWS writes times into files and the context object.
pub fn iso(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |at| format!("{at:.3}"))
}

/// A version 4 UUID from two random numbers.
pub fn random_uuid(high: u64, low: u64) -> String {
    let bits = (u128::from(high) << 64) | u128::from(low);
    uuid::Builder::from_random_bytes(bits.to_be_bytes())
        .into_uuid()
        .to_string()
}

/// A well-mixed number from an execution's id and two counters (SplitMix64 over an FNV-1a hash).
pub fn mix(started: u64, id: &str, event: u64, draw: u64) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut z = hash
        .wrapping_add(started.wrapping_mul(0xa24b_aed4_963e_e407))
        .wrapping_add(event.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(draw.wrapping_mul(0xd1b5_4a32_d192_ed03));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
