//! Log lines of functions: group `/aws/lambda/NAME`, a stream for each instance, and the lines that
//! Lambda itself writes (Lambda developer guide, "Viewing CloudWatch logs for Lambda functions").

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Host, VERSION};
use crate::engine::logs::Event;

/// A longer line is cut into several (CloudWatch Logs quotas: 256 KB an event, 26 bytes of it its
/// own).
const MAX_LINE: usize = 256 * 1024 - 26;
/// Lines are handed over when there are so many bytes of them.
const BATCH: usize = 512 * 1024;
/// Of a log that a caller asked for (Lambda API reference, "Invoke").
const MAX_TAIL: usize = 4 * 1024;

/// One log stream.
pub(super) struct Stream {
    pub(super) group: String,
    pub(super) name: String,
    host: Arc<Host>,
    lines: Vec<Event>,
    bytes: usize,
    /// A line that has no end yet.
    open: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Stream {
    pub(super) fn new(function: &str, host: Arc<Host>) -> Self {
        let now = Timestamp::from_millisecond(host.clock.now()).unwrap_or_default();
        let day = now.strftime("%Y/%m/%d");
        Self {
            group: format!("/aws/lambda/{function}"),
            name: format!("{day}/[{VERSION}]{}", Uuid::new_v4().simple()),
            host,
            lines: Vec::new(),
            bytes: 0,
            open: Vec::new(),
            tail: VecDeque::new(),
        }
    }

    pub(super) fn line(&mut self, text: String) {
        let from = text.len().saturating_sub(MAX_TAIL);
        self.tail.extend(&text.as_bytes()[from..]);
        let excess = self.tail.len().saturating_sub(MAX_TAIL);
        self.tail.drain(..excess);
        self.bytes += text.len();
        self.lines.push(Event {
            timestamp: self.host.clock.now(),
            message: text,
        });
    }

    /// Takes output in, line by line.
    pub(super) fn output(&mut self, mut bytes: &[u8]) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            self.open.extend_from_slice(&bytes[..=at]);
            bytes = &bytes[at + 1..];
            self.close_line();
        }
        self.open.extend_from_slice(bytes);
        while self.open.len() > MAX_LINE {
            let rest = self.open.split_off(MAX_LINE);
            self.close_line();
            self.open = rest;
        }
    }

    /// Whether it is time to [`Stream::flush`].
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH
    }

    /// Ends a line that the function left open.
    pub(super) fn close_line(&mut self) {
        let mut open = std::mem::take(&mut self.open);
        for part in open.chunks(MAX_LINE) {
            self.line(String::from_utf8_lossy(part).into_owned());
        }
        open.clear();
        self.open = open;
    }

    /// Hands the lines over. Where more are written than the log can take in, this waits, and so
    /// does whoever writes them.
    pub(super) async fn flush(&mut self) {
        if !self.host.logs.has_room() {
            self.host.logs.room().await;
        }
        self.append();
    }

    /// Hands the lines over without waiting.
    pub(super) fn append(&mut self) {
        self.bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        self.host.logs.append(&self.group, &self.name, lines);
    }

    /// The end of what was written since this was last called.
    pub(super) fn take_tail(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail).into()
    }
}

pub(super) fn start(request: &str) -> String {
    format!("START RequestId: {request} Version: {VERSION}\n")
}

pub(super) fn end(request: &str) -> String {
    format!("END RequestId: {request}\n")
}

/// What Lambda says of a call when it is over.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) duration: Duration,
    /// Of a cold start.
    pub(super) init: Option<Duration>,
    /// MB: allowed, and taken at the most where that is known.
    pub(super) memory: Option<(u32, Option<u64>)>,
    /// `timeout`, or `error` with a type.
    pub(super) status: Option<String>,
    pub(super) error_type: Option<String>,
}

impl Report {
    pub(super) fn new(duration: Duration) -> Self {
        Self {
            duration,
            ..Self::default()
        }
    }

    /// The initialisation is billed with the call.
    pub(super) fn line(&self, request: &str) -> String {
        let billed = (self.duration + self.init.unwrap_or_default()).as_secs_f64() * 1e3;
        let mut line = format!(
            "REPORT RequestId: {request}\tDuration: {:.2} ms\tBilled Duration: {:.0} ms",
            milliseconds(self.duration),
            billed.ceil()
        );
        // Writing into a string cannot fail.
        if let Some((size, used)) = self.memory {
            let _ = write!(line, "\tMemory Size: {size} MB");
            if let Some(used) = used {
                let _ = write!(line, "\tMax Memory Used: {used} MB");
            }
        }
        if let Some(init) = self.init {
            let _ = write!(line, "\tInit Duration: {:.2} ms", milliseconds(init));
        }
        if let Some(status) = &self.status {
            let _ = write!(line, "\tStatus: {status}");
        }
        if let Some(error_type) = &self.error_type {
            let _ = write!(line, "\tError Type: {error_type}");
        }
        line + "\n"
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
