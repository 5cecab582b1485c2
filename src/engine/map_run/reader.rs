//! The ItemReader: a dataset as a stream of child inputs, some at a time, never all in memory
//! (developer guide, "ItemReader", "ItemSelector", "ItemBatcher").
//!
//! Dataset → items → `MaxItems` → ItemSelector → ItemBatcher → child inputs. Each format has a file
//! of its own and gives items as JSON text; this one makes child inputs of them. Reading starts
//! over after a crash and leaves out the items that are known.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Quotas;
use crate::engine::definition::Format;
use crate::engine::machine::{Failure, ItemSource, MAX_PAYLOAD, MapRunPlan, exceeds_depth, mix};
use crate::engine::objects::Objects;
use crate::engine::query::{Source, Template};

mod batches;
mod csv;
mod inventory;
mod json;
mod lines;
mod listing;
mod open;

use batches::Batches;
use open::Store;

/// Child inputs handed over at once: at most so many, or so many bytes.
const CHUNK: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;
/// Longest item that is read (developer guide, "Map state (distributed)": 8 MB).
const MAX_ITEM: usize = 8 << 20;

/// What the reader hands over. The channel closing without `End` means that it was not wanted.
#[derive(Debug)]
pub enum Chunk {
    Inputs(Vec<ChildInput>),
    End,
    Failed(Failure),
}

/// What one child is for.
#[derive(Debug)]
pub struct ChildInput {
    /// Items inside.
    pub items: u32,
    /// JSON.
    pub text: Vec<u8>,
}

/// Reads the plan's items from number `skip` on into `chunks`. Blocks on disk and channel.
pub fn read(
    plan: &MapRunPlan,
    selector: Option<&Template>,
    objects: &Objects,
    quotas: &Quotas,
    skip: u64,
    chunks: &mpsc::Sender<Chunk>,
) {
    let mut sink = Sink::new(plan, selector, quotas, skip, chunks);
    let result = check(plan).and_then(|()| dataset(plan, objects, quotas, &mut sink));
    let result = match result {
        Ok(()) | Err(Stop::Enough) => sink.finish(),
        failed => failed,
    };
    let last = match result {
        Ok(()) | Err(Stop::Enough) => Chunk::End,
        Err(Stop::Unwanted) => return,
        Err(Stop::Failed(failure)) => Chunk::Failed(failure),
    };
    // The receiver is gone only when nobody wants the items any more.
    let _ = chunks.blocking_send(last);
}

enum Stop {
    /// `MaxItems` are read.
    Enough,
    /// Nobody receives any more.
    Unwanted,
    Failed(Failure),
}

impl Stop {
    fn reader(cause: impl Into<String>) -> Self {
        Self::Failed(Failure::new("States.ItemReaderFailed", cause))
    }
}

/// An item as its format gives it.
#[derive(Clone, Copy)]
struct Item<'i> {
    /// JSON.
    text: &'i [u8],
    /// The member's name, where an object is iterated.
    key: Option<&'i str>,
    /// Where it is from, unless it is from where the whole dataset is.
    source: Option<&'i str>,
}

impl<'i> Item<'i> {
    fn plain(text: &'i [u8]) -> Self {
        Self {
            text,
            key: None,
            source: None,
        }
    }
}

/// Takes items in, one after the other.
type Visit<'v> = dyn FnMut(Item<'_>) -> Result<(), Stop> + 'v;

fn check(plan: &MapRunPlan) -> Result<(), Stop> {
    if plan.items.max_items().is_some_and(|most| most < 0) {
        return Err(Stop::reader("field MaxItems must be positive"));
    }
    Ok(())
}

fn dataset(
    plan: &MapRunPlan,
    objects: &Objects,
    quotas: &Quotas,
    sink: &mut Sink<'_>,
) -> Result<(), Stop> {
    let store = |owner| Store {
        objects,
        owner,
        most: quotas.object_bytes,
    };
    let mut visit = |item: Item<'_>| sink.item(item);
    match &plan.items {
        ItemSource::Values(values) => values
            .iter()
            .try_for_each(|value| visit(Item::plain(value.to_string().as_bytes()))),
        ItemSource::Members(members) => members.iter().try_for_each(|(key, value)| {
            visit(Item {
                key: Some(key),
                ..Item::plain(value.to_string().as_bytes())
            })
        }),
        ItemSource::Object {
            bucket,
            key,
            format,
            version,
            owner,
            ..
        } => {
            let store = store(owner.as_deref());
            object(store, bucket, key, version.as_deref(), format, &mut visit)
        }
        ItemSource::Listing {
            bucket,
            prefix,
            format,
            owner,
            ..
        } => {
            let store = store(owner.as_deref());
            listing::items(store, bucket, prefix, format.as_ref(), &mut visit)
        }
    }
}

/// The items in one object.
fn object(
    store: Store<'_>,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    format: &Format,
    visit: &mut Visit<'_>,
) -> Result<(), Stop> {
    let open = || store.open(bucket, key, version);
    match format {
        Format::Json => json::items(&mut *open()?, "", visit),
        Format::JsonAt(pointer) => json::items(&mut *open()?, pointer, visit),
        Format::JsonLines => lines::items(&mut *open()?, visit),
        Format::Csv(csv) => csv::items(&mut *open()?, csv, visit),
        Format::Inventory => inventory::items(store, bucket, key, version, visit),
    }
}

/// Turns items into child inputs and hands them over.
struct Sink<'s> {
    plan: &'s MapRunPlan,
    selector: Option<&'s Template>,
    /// `$$`, in which only `Map.Item` changes from item to item.
    context: Value,
    source: String,
    /// Of the next item.
    index: u64,
    skip: u64,
    most: u64,
    batches: Option<Batches>,
    chunk: Vec<ChildInput>,
    bytes: usize,
    chunks: &'s mpsc::Sender<Chunk>,
}

struct View<'v> {
    plan: &'v MapRunPlan,
    context: &'v Value,
    index: u64,
    draws: Cell<u64>,
}

impl Source for View<'_> {
    fn input(&self) -> &Value {
        &self.plan.input
    }

    fn context(&self) -> Cow<'_, Value> {
        Cow::Borrowed(self.context)
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.plan.variables.get(name)
    }

    fn now(&self) -> i64 {
        self.plan.at
    }

    fn random(&self) -> u64 {
        let draw = self.draws.get();
        self.draws.set(draw + 1);
        mix(0, &self.plan.arn, self.index, draw)
    }
}

impl<'s> Sink<'s> {
    fn new(
        plan: &'s MapRunPlan,
        selector: Option<&'s Template>,
        quotas: &Quotas,
        skip: u64,
        chunks: &'s mpsc::Sender<Chunk>,
    ) -> Self {
        // 0 is no limit of its own.
        let max_items = plan.items.max_items().filter(|most| *most != 0);
        let max_items = max_items.map_or(u64::MAX, i64::unsigned_abs);
        Self {
            plan,
            selector,
            context: plan.context.clone(),
            source: plan.items.source(),
            index: 0,
            skip,
            most: max_items.min(quotas.items),
            batches: plan.batching.as_ref().map(Batches::new),
            chunk: Vec::new(),
            bytes: 0,
            chunks,
        }
    }

    fn item(&mut self, item: Item<'_>) -> Result<(), Stop> {
        if self.index == self.most {
            return Err(Stop::Enough);
        }
        let index = self.index;
        self.index += 1;
        if index < self.skip {
            return Ok(());
        }
        let text = self.item_input(index, item)?;
        match &mut self.batches {
            None => {
                check_length(index, &text)?;
                self.bytes += text.len();
                self.chunk.push(ChildInput { items: 1, text });
            }
            Some(batches) => {
                let mut longest = 0;
                batches.add(&text, |full| {
                    longest = longest.max(full.text.len());
                    self.bytes += full.text.len();
                    self.chunk.push(full);
                });
                if longest > MAX_PAYLOAD {
                    return Err(too_long(index, longest));
                }
            }
        }
        if self.chunk.len() >= CHUNK || self.bytes >= CHUNK_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// What a child gets of the item, alone or in its batch.
    fn item_input(&mut self, index: u64, item: Item<'_>) -> Result<Vec<u8>, Stop> {
        // Also without a selector: what cannot be parsed here could not be started later.
        let value: Value = serde_json::from_slice(item.text)
            .map_err(|error| Stop::reader(format!("item {index}: {error}")))?;
        if exceeds_depth(&value) {
            return Err(Stop::reader(format!("item {index} is nested too deeply")));
        }
        let Some(selector) = self.selector else {
            return Ok(match item.key {
                None => item.text.to_vec(),
                Some(key) => pair(key, item.text),
            });
        };
        let source = item.source.unwrap_or(&self.source);
        let mut described = json!({"Index": index, "Value": value, "Source": source});
        if let Some(key) = item.key {
            described["Key"] = key.into();
        }
        if let Some(context) = self.context.as_object_mut() {
            context.insert("Map".to_owned(), json!({"Item": described}));
        }
        let view = View {
            plan: self.plan,
            context: &self.context,
            index,
            draws: Cell::new(0),
        };
        let input = selector
            .evaluate(&view)
            .map_err(|error| Stop::Failed(Failure::new(error.error, error.cause)))?;
        Ok(input.to_string().into_bytes())
    }

    fn finish(&mut self) -> Result<(), Stop> {
        if let Some(batches) = &mut self.batches {
            batches.close(|last| self.chunk.push(last));
        }
        if let Some(last) = self.chunk.last() {
            check_length(self.index.saturating_sub(1), &last.text)?;
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let chunk = Chunk::Inputs(std::mem::take(&mut self.chunk));
        self.chunks.blocking_send(chunk).map_err(|_| Stop::Unwanted)
    }
}

/// What an iteration over an object's members gets where no selector says otherwise.
fn pair(key: &str, value: &[u8]) -> Vec<u8> {
    let mut text = format!("{{\"Key\":{},\"Value\":", Value::from(key)).into_bytes();
    text.extend_from_slice(value);
    text.push(b'}');
    text
}

fn check_length(index: u64, text: &[u8]) -> Result<(), Stop> {
    if text.len() > MAX_PAYLOAD {
        return Err(too_long(index, text.len()));
    }
    Ok(())
}

/// An item may be longer than a child's input: then the selector must make it shorter.
fn too_long(index: u64, length: usize) -> Stop {
    let cause = format!(
        "The input of the child workflow execution with item {index} has {length} bytes, exceeding the maximum number of bytes service limit of {MAX_PAYLOAD}."
    );
    Stop::Failed(Failure::new("States.DataLimitExceeded", cause))
}
