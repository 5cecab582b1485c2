//! Log events: put, get those of one stream, filter those of a group.

use serde_json::{Value, json};

use super::{NO_TOKEN, as_parameter, group_of, invalid, limit, texts, time};
use crate::engine::api::ApiError;
use crate::engine::api::sfn::arguments::Arguments;
use crate::engine::logs::pattern::Pattern;
use crate::engine::logs::{
    EVENT_OVERHEAD, Error, Event, Found, Logs, MAX_MESSAGE, Order, Page, Position, Query, Streams,
};

/// Every answer has one, and nobody looks at it (API reference, PutLogEvents).
pub const SEQUENCE_TOKEN: &str = "49039859525532213131337771234567890123456789012345678901";
/// Most of a batch, bytes (API reference, PutLogEvents).
const MAX_BATCH: usize = 1_048_576;
/// What a page takes, bytes and events (API reference, GetLogEvents and FilterLogEvents).
const PAGE_BYTES: usize = 1 << 20;
const PAGE_EVENTS: usize = 10_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

pub async fn put(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = arguments.required("logGroupName")?;
    let stream = arguments.required("logStreamName")?;
    let events = arguments.value("logEvents").and_then(Value::as_array);
    let events: Vec<Event> = events.into_iter().flatten().filter_map(event).collect();
    check_batch(&events)?;
    let row = logs.group(group).ok_or(Error::NoGroup)?;
    let now = logs.now();
    let expired = row
        .retention_days
        .map_or(i64::MIN, |days| now - i64::from(days) * DAY_MS);
    let too_old = now - 14 * DAY_MS;
    let accepted = |event: &Event| {
        event.timestamp >= too_old.max(expired) && event.timestamp <= now + 2 * HOUR_MS
    };
    // The events are in order: what is refused is at both ends.
    let before = |limit: i64| events.partition_point(|event| event.timestamp < limit);
    let (old, expired) = (before(too_old), before(expired));
    let new = before(now + 2 * HOUR_MS + 1);
    let mut answer = json!({ "nextSequenceToken": SEQUENCE_TOKEN });
    let mut rejected = serde_json::Map::new();
    if new < events.len() {
        rejected.insert("tooNewLogEventStartIndex".to_owned(), new.into());
    }
    if old > 0 {
        rejected.insert("tooOldLogEventEndIndex".to_owned(), old.into());
    }
    if expired > 0 {
        rejected.insert("expiredLogEventEndIndex".to_owned(), expired.into());
    }
    if !rejected.is_empty() {
        answer["rejectedLogEventsInfo"] = rejected.into();
    }
    let events = events.into_iter().filter(accepted).collect();
    logs.put(group, stream, events).await?;
    Ok(answer)
}

fn event(value: &Value) -> Option<Event> {
    Some(Event {
        timestamp: value.get("timestamp")?.as_i64()?,
        message: value.get("message")?.as_str()?.to_owned(),
    })
}

fn check_batch(events: &[Event]) -> Result<(), ApiError> {
    let sizes = events
        .iter()
        .map(|event| event.message.len() + EVENT_OVERHEAD);
    if let Some(size) = sizes
        .clone()
        .find(|size| *size > MAX_MESSAGE + EVENT_OVERHEAD)
    {
        return Err(invalid(format!(
            "Log event too large: {size} bytes exceeds limit of {}",
            MAX_MESSAGE + EVENT_OVERHEAD
        )));
    }
    let size: usize = sizes.sum();
    if size > MAX_BATCH {
        return Err(invalid(format!(
            "Upload too large: {size} bytes exceeds limit of {MAX_BATCH}"
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    if let (Some(first), Some(last)) = (events.first(), events.last())
        && last.timestamp - first.timestamp > DAY_MS
    {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// Reading takes the disk's time: not on a thread that answers others.
async fn read(logs: &Logs, query: Query, pattern: Option<Pattern>) -> Result<Page, ApiError> {
    let logs = logs.clone();
    let reading = tokio::task::spawn_blocking(move || {
        logs.read(&query, |message| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(message))
        })
    });
    Ok(reading.await.map_err(|_| ApiError::internal())??)
}

pub async fn get(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = group_of(arguments)?;
    let stream = arguments.required("logStreamName")?;
    let now = logs.now();
    let token = arguments
        .text("nextToken")
        .map(|token| Token::parse(token, group, stream, now));
    let token = token.transpose()?;
    let forward = match &token {
        Some(token) => token.forward,
        None => arguments.flag("startFromHead"),
    };
    let from = time(arguments, "startTime").unwrap_or(0);
    let query = Query {
        group: group.to_owned(),
        streams: Streams::Named(vec![stream.to_owned()]),
        from,
        until: time(arguments, "endTime").unwrap_or(i64::MAX),
        order: match forward {
            true => Order::OldestFirst,
            false => Order::NewestFirst,
        },
        after: token.as_ref().map(|token| token.position),
        limit: limit(arguments, PAGE_EVENTS),
        bytes: PAGE_BYTES,
    };
    let mut page = read(logs, query, None).await?;
    if !forward {
        page.events.reverse();
    }
    let made = |forward, position| Token {
        forward,
        position,
        at: now,
    };
    // At an end the same token is given back; the other one turns round where we are.
    let (first, last) = match (&*page.events, token) {
        ([first, .., last], _) => (first.position, last.position),
        ([only], _) => (only.position, only.position),
        ([], Some(token)) => {
            let own = token.write(group, stream);
            let other = made(!token.forward, token.position.turned(token.forward));
            let other = other.write(group, stream);
            let (forward, backward) = match token.forward {
                true => (own, other),
                false => (other, own),
            };
            return Ok(
                json!({"events": [], "nextForwardToken": forward, "nextBackwardToken": backward}),
            );
        }
        ([], None) => {
            let position = Position {
                timestamp: from,
                sequence: 0,
            };
            (position, position)
        }
    };
    let shown = page.events.iter().map(|found| {
        json!({"timestamp": found.timestamp(), "message": found.message, "ingestionTime": found.ingested})
    });
    Ok(json!({
        "events": shown.collect::<Vec<_>>(),
        "nextForwardToken": made(true, last).write(group, stream),
        "nextBackwardToken": made(false, first).write(group, stream),
    }))
}

impl Position {
    /// A place from which going the other way gives the event at this one first.
    fn turned(self, was_forward: bool) -> Self {
        Self {
            sequence: match was_forward {
                true => self.sequence.saturating_add(1),
                false => self.sequence.saturating_sub(1),
            },
            ..self
        }
    }
}

/// Where GetLogEvents goes on: `f/` or `b/`, 56 digits, `/s`.
struct Token {
    forward: bool,
    position: Position,
    /// When it was made; it lives for a day.
    at: i64,
}

impl Token {
    /// Digits that tell streams apart: a token only continues its own.
    fn check(group: &str, stream: &str) -> u32 {
        crc32fast::hash(format!("{group}\n{stream}").as_bytes())
    }

    fn write(&self, group: &str, stream: &str) -> String {
        format!(
            "{}/{:013}{:020}{:013}{:010}/s",
            if self.forward { 'f' } else { 'b' },
            self.position.timestamp.clamp(0, 9_999_999_999_999),
            self.position.sequence,
            self.at,
            Self::check(group, stream)
        )
    }

    fn parse(text: &str, group: &str, stream: &str, now: i64) -> Result<Self, ApiError> {
        let parse = || {
            let (direction, rest) = text.split_once('/')?;
            let digits = rest.strip_suffix("/s")?;
            let is_ours = digits.len() == 56 && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_ours.then_some(())?;
            let token = Self {
                forward: match direction {
                    "f" => true,
                    "b" => false,
                    _ => return None,
                },
                position: Position {
                    timestamp: digits[..13].parse().ok()?,
                    sequence: digits[13..33].parse().ok()?,
                },
                at: digits[33..46].parse().ok()?,
            };
            let is_same = digits[46..].parse() == Ok(Self::check(group, stream));
            let is_fresh = (0..DAY_MS).contains(&(now - token.at));
            (is_same && is_fresh).then_some(token)
        };
        parse().ok_or_else(|| invalid(NO_TOKEN))
    }
}

pub async fn filter(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = group_of(arguments)?;
    let names = texts(arguments, "logStreamNames");
    let prefix = arguments.text("logStreamNamePrefix");
    let streams = match (names.is_empty(), prefix) {
        (true, None) => Streams::All,
        (false, None) => Streams::Named(names),
        (true, Some(prefix)) => Streams::Prefix(prefix.to_owned()),
        (false, Some(_)) => {
            return Err(invalid(
                "LogStreamNames and LogStreamNamePrefix cannot both be specified.",
            ));
        }
    };
    let pattern = arguments.text("filterPattern").map(Pattern::parse);
    let now = logs.now();
    let after: Option<(i64, u64)> = arguments.position(now).map_err(as_parameter)?;
    let query = Query {
        group: group.to_owned(),
        streams,
        from: time(arguments, "startTime").unwrap_or(0),
        // Here the end belongs to what is asked for.
        until: time(arguments, "endTime").map_or(i64::MAX, |end| end.saturating_add(1)),
        order: Order::OldestFirst,
        after: after.map(|(timestamp, sequence)| Position {
            timestamp,
            sequence,
        }),
        limit: limit(arguments, PAGE_EVENTS),
        bytes: PAGE_BYTES,
    };
    let page = read(logs, query, pattern.transpose().map_err(invalid)?).await?;
    let next = page
        .next
        .map(|next| arguments.token((next.timestamp, next.sequence), now));
    let shown = page.events.iter().map(filtered).collect();
    let mut answer = super::page("events", shown, next);
    answer["searchedLogStreams"] = json!([]);
    Ok(answer)
}

fn filtered(found: &Found) -> Value {
    json!({
        "logStreamName": &*found.stream,
        "timestamp": found.timestamp(),
        "message": found.message,
        "ingestionTime": found.ingested,
        // 56 digits, in the order of the events.
        "eventId": format!("{:036}{:020}", found.timestamp().max(0), found.position.sequence),
    })
}
