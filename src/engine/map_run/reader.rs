//! The ItemReader: a dataset as a stream of child inputs, a batch at a time, never all in memory.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::engine::definition::Format;
use crate::engine::machine::{Failure, ItemSource, MAX_PAYLOAD, MapRunPlan, exceeds_depth};
use crate::engine::objects::{Objects, ObjectsError};
use crate::engine::path::{Source, Template};

/// Child inputs handed over at once: at most so many, or so many bytes.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;
/// Longest item that is read (developer guide, "Map state (distributed)": 8 MB).
const MAX_ITEM: usize = 8 << 20;

/// What the reader hands over. The channel closing without `End` means that it was not wanted.
#[derive(Debug)]
pub enum Batch {
    /// JSON texts of child inputs.
    Inputs(Vec<Vec<u8>>),
    End,
    Failed(Failure),
}

/// Reads the plan's items from number `skip` on into `batches`. Blocks on disk and channel.
pub fn read(
    plan: &MapRunPlan,
    selector: Option<&Template>,
    objects: &Objects,
    skip: usize,
    batches: &mpsc::Sender<Batch>,
) {
    let mut sink = Sink::new(plan, selector, skip, batches);
    let result = match &plan.items {
        ItemSource::Values(values) => values
            .iter()
            .try_for_each(|value| sink.item(value.to_string().as_bytes())),
        ItemSource::Object {
            bucket,
            key,
            format,
            ..
        } => read_object(objects, bucket, key, *format, &mut sink),
    };
    let result = match result {
        Ok(()) | Err(Stop::Enough) => sink.flush(),
        failed => failed,
    };
    let last = match result {
        Ok(()) | Err(Stop::Enough) => Batch::End,
        Err(Stop::Unwanted) => return,
        Err(Stop::Failed(failure)) => Batch::Failed(failure),
    };
    // The receiver is gone only when nobody wants the items any more.
    let _ = batches.blocking_send(last);
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

fn read_object(
    objects: &Objects,
    bucket: &str,
    key: &str,
    format: Format,
    sink: &mut Sink<'_>,
) -> Result<(), Stop> {
    let (_, body) = objects.read(bucket, key).map_err(|error| match error {
        ObjectsError::NoSuchBucket(_) => {
            Stop::reader("The specified bucket does not exist (Service: S3, Status Code: 404)")
        }
        ObjectsError::NoSuchKey(_) => {
            Stop::reader("The specified key does not exist. (Service: S3, Status Code: 404)")
        }
        other => Stop::reader(other.to_string()),
    })?;
    let mut body = BufReader::with_capacity(256 << 10, body);
    let mut item = |bytes: &[u8]| sink.item(bytes);
    match format {
        Format::JsonLines => json_lines(&mut body, &mut item),
        Format::Json => json_array(&mut body, &mut item),
    }
}

fn unreadable(error: io::Error) -> Stop {
    Stop::reader(format!("the object cannot be read: {error}"))
}

fn json_lines(
    body: &mut impl BufRead,
    item: &mut impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = body
            .take(MAX_ITEM as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(unreadable)?;
        if read == 0 {
            break;
        }
        if read > MAX_ITEM {
            return Err(Stop::reader(format!(
                "line {number} is longer than {MAX_ITEM} bytes"
            )));
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        if serde_json::from_slice::<&RawValue>(text).is_err() {
            return Err(Stop::reader(format!("line {number} is not valid JSON")));
        }
        item(text)?;
    }
    Ok(())
}

/// Splits a JSON array into its elements without building it: counts brackets outside strings.
fn json_array(
    body: &mut impl BufRead,
    item: &mut impl FnMut(&[u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut splitter = Splitter::default();
    loop {
        let chunk = body.fill_buf().map_err(unreadable)?;
        if chunk.is_empty() {
            return if splitter.part == Part::After {
                Ok(())
            } else {
                Err(Stop::reader("the JSON array is not complete"))
            };
        }
        let length = chunk.len();
        for byte in chunk {
            splitter.push(*byte, item)?;
        }
        body.consume(length);
    }
}

/// Where the splitter is, seen from the array.
#[derive(Default, PartialEq)]
enum Part {
    #[default]
    Before,
    Inside,
    After,
}

#[derive(Default)]
struct Splitter {
    /// The element so far.
    element: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
    part: Part,
    elements: u64,
}

impl Splitter {
    fn push(
        &mut self,
        byte: u8,
        item: &mut impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        if self.part == Part::Before {
            match byte {
                b'[' => self.part = Part::Inside,
                byte if byte.is_ascii_whitespace() => {}
                _ => return Err(Stop::reader("Attempting to map over non-iterable node.")),
            }
            return Ok(());
        }
        if self.part == Part::After {
            let blank = byte.is_ascii_whitespace();
            return if blank {
                Ok(())
            } else {
                Err(Stop::reader("there is text after the JSON array"))
            };
        }
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b',' if self.depth == 0 => return self.end_element(item, false),
                b']' if self.depth == 0 => {
                    self.part = Part::After;
                    return self.end_element(item, true);
                }
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if self.element.len() == MAX_ITEM {
            return Err(Stop::reader(format!(
                "element {} is longer than {MAX_ITEM} bytes",
                self.elements
            )));
        }
        self.element.push(byte);
        Ok(())
    }

    fn end_element(
        &mut self,
        item: &mut impl FnMut(&[u8]) -> Result<(), Stop>,
        last: bool,
    ) -> Result<(), Stop> {
        let text = self.element.trim_ascii();
        if last && text.is_empty() && self.elements == 0 {
            return Ok(());
        }
        if serde_json::from_slice::<&RawValue>(text).is_err() {
            return Err(Stop::reader(format!(
                "element {} is not valid JSON",
                self.elements
            )));
        }
        item(text)?;
        self.elements += 1;
        self.element.clear();
        Ok(())
    }
}

/// Turns items into child inputs and hands them over in batches.
struct Sink<'s> {
    plan: &'s MapRunPlan,
    selector: Option<&'s Template>,
    /// `$$`, in which only `Map.Item` changes from item to item.
    context: Value,
    source: String,
    index: usize,
    skip: usize,
    most: usize,
    batch: Vec<Vec<u8>>,
    bytes: usize,
    batches: &'s mpsc::Sender<Batch>,
}

struct View<'v> {
    input: &'v Value,
    context: &'v Value,
    index: usize,
}

impl Source for View<'_> {
    fn input(&self) -> &Value {
        self.input
    }

    fn context(&self) -> Cow<'_, Value> {
        Cow::Borrowed(self.context)
    }

    fn random(&self) -> u64 {
        (self.index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl<'s> Sink<'s> {
    fn new(
        plan: &'s MapRunPlan,
        selector: Option<&'s Template>,
        skip: usize,
        batches: &'s mpsc::Sender<Batch>,
    ) -> Self {
        let (source, max_items) = match &plan.items {
            ItemSource::Values(_) => ("STATE_DATA".to_owned(), None),
            ItemSource::Object {
                bucket,
                key,
                max_items,
                ..
            } => (format!("S3://{bucket}/{key}"), *max_items),
        };
        Self {
            plan,
            selector,
            context: plan.context.clone(),
            source,
            index: 0,
            skip,
            most: max_items.map_or(usize::MAX, |most| {
                usize::try_from(most).unwrap_or(usize::MAX)
            }),
            batch: Vec::new(),
            bytes: 0,
            batches,
        }
    }

    fn item(&mut self, text: &[u8]) -> Result<(), Stop> {
        if self.index == self.most {
            return Err(Stop::Enough);
        }
        let index = self.index;
        self.index += 1;
        if index < self.skip {
            return Ok(());
        }
        let input = self.child_input(index, text)?;
        if input.len() > MAX_PAYLOAD {
            return Err(Stop::reader(format!(
                "the input of item {index} is {} bytes long: {MAX_PAYLOAD} are allowed",
                input.len()
            )));
        }
        self.bytes += input.len();
        self.batch.push(input);
        if self.batch.len() >= BATCH || self.bytes >= BATCH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn child_input(&mut self, index: usize, text: &[u8]) -> Result<Vec<u8>, Stop> {
        // Also without a selector: what cannot be parsed here could not be started later.
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| Stop::reader(format!("item {index}: {error}")))?;
        if exceeds_depth(&value) {
            return Err(Stop::reader(format!("item {index} is nested too deeply")));
        }
        let Some(selector) = self.selector else {
            return Ok(text.to_vec());
        };
        let item = json!({"Item": {"Index": index, "Value": value, "Source": self.source}});
        if let Some(context) = self.context.as_object_mut() {
            context.insert("Map".to_owned(), item);
        }
        let view = View {
            input: &self.plan.input,
            context: &self.context,
            index,
        };
        let input = selector
            .evaluate(&view)
            .map_err(|error| Stop::Failed(Failure::new(error.error, error.cause)))?;
        Ok(input.to_string().into_bytes())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let batch = Batch::Inputs(std::mem::take(&mut self.batch));
        self.batches
            .blocking_send(batch)
            .map_err(|_| Stop::Unwanted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &[u8]) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut item = |bytes: &[u8]| {
            found.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(())
        };
        match json_array(&mut BufReader::with_capacity(3, text), &mut item) {
            Ok(()) => Ok(found),
            Err(Stop::Failed(failure)) => Err(failure.cause.unwrap_or_default()),
            Err(_) => Err("stopped".into()),
        }
    }

    #[test]
    fn arrays_are_split_outside_strings_only() {
        assert_eq!(
            split(br#" [1, {"a":[2,"],"]} , "x\"]" ] "#).unwrap(),
            ["1", r#"{"a":[2,"],"]}"#, r#""x\"]""#]
        );
        assert_eq!(split(b"[]").unwrap(), Vec::<String>::new());
        assert_eq!(
            split(b"{}").unwrap_err(),
            "Attempting to map over non-iterable node."
        );
        assert_eq!(split(b"[1,").unwrap_err(), "the JSON array is not complete");
        assert_eq!(split(b"[1,]").unwrap_err(), "element 1 is not valid JSON");
    }

    #[test]
    fn a_line_that_is_not_json_is_named() {
        let mut found = 0;
        let result = json_lines(&mut &b"{\"a\":1}\r\n\n[2]\nnope\n"[..], &mut |_| {
            found += 1;
            Ok(())
        });
        let Err(Stop::Failed(failure)) = result else {
            panic!("it must fail")
        };
        assert_eq!(
            (found, failure.cause.as_deref()),
            (2, Some("line 4 is not valid JSON"))
        );
    }

    proptest! {
        #[test]
        fn splitting_agrees_with_parsing(values in proptest::collection::vec("\\PC{0,8}", 0..6)) {
            let array = json!(values);
            let expected: Vec<String> = values.iter().map(|value| json!(value).to_string()).collect();
            prop_assert_eq!(split(array.to_string().as_bytes()).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_split_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = split(&bytes);
        }
    }
}
