//! Live tail: an event stream with an update each second (API reference, StartLiveTail).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use futures::Stream;
use http::{HeaderValue as HttpHeaderValue, Response, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use s3s::Body;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::{group_arn, group_name, invalid, texts};
use crate::engine::ACCOUNT;
use crate::engine::api::ApiError;
use crate::engine::api::sfn::arguments::Arguments;
use crate::engine::logs::pattern::Pattern;
use crate::engine::logs::{Error, Logs, Selection, Streams, Tail, Update};

/// How often there is an update.
const PACE: Duration = Duration::from_secs(1);
/// How long a session lives.
const LIFE: Duration = Duration::from_hours(3);
/// Updates that wait for a slow reader; then the oldest ones go.
const WAITING: usize = 10;

pub fn start(logs: &Logs, arguments: &Arguments, id: Uuid) -> Result<Response<Body>, ApiError> {
    let identifiers = texts(arguments, "logGroupIdentifiers");
    let names = texts(arguments, "logStreamNames");
    let prefixes = texts(arguments, "logStreamNamePrefixes");
    if !names.is_empty() && !prefixes.is_empty() {
        return Err(invalid(
            "LogStreamNames and LogStreamNamePrefixes cannot both be specified.",
        ));
    }
    let is_narrowed = !names.is_empty() || !prefixes.is_empty();
    if is_narrowed && identifiers.len() > 1 {
        return Err(invalid(
            "LogStreamNames and LogStreamNamePrefixes can only be specified with one log group.",
        ));
    }
    let mut streams: Vec<Streams> = prefixes.iter().cloned().map(Streams::Prefix).collect();
    if !names.is_empty() {
        streams.push(Streams::Named(names.clone()));
    }
    if !is_narrowed {
        streams.push(Streams::All);
    }
    let mut groups = Vec::new();
    for identifier in &identifiers {
        if !identifier.starts_with(group_arn("").as_str()) {
            return Err(invalid(format!(
                "The log group identifier '{identifier}' is not the ARN of a log group of this account and Region."
            )));
        }
        let name = group_name(identifier)?;
        logs.group(name).ok_or(Error::NoGroup)?;
        groups.push((name.to_owned(), streams.clone()));
    }
    let filter = arguments.text("logEventFilterPattern").unwrap_or_default();
    let pattern = Pattern::parse(filter).map_err(invalid)?;
    let tail = logs.follow(Selection {
        groups,
        accepts: Box::new(move |message| pattern.matches(message)),
    });
    let mut about = Map::new();
    about.insert("requestId".to_owned(), id.to_string().into());
    about.insert("sessionId".to_owned(), Uuid::new_v4().to_string().into());
    about.insert("logGroupIdentifiers".to_owned(), json!(identifiers));
    about.insert("logStreamNames".to_owned(), json!(names));
    about.insert("logStreamNamePrefixes".to_owned(), json!(prefixes));
    about.insert("logEventFilterPattern".to_owned(), filter.into());
    let session = Session::start(logs, tail, about.into(), LIFE);
    let mut response = Response::new(Body::http_body_unsync(StreamBody::new(session)));
    let content_type = HttpHeaderValue::from_static("application/vnd.amazon.eventstream");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}

/// What waits to be sent.
#[derive(Debug, Default)]
struct Session {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What is said first, and the last word: never dropped.
    first: VecDeque<Bytes>,
    updates: VecDeque<Bytes>,
    last: Option<Bytes>,
    is_over: bool,
}

impl Session {
    /// The frames of a session. It ends when nobody reads them any more.
    fn start(
        logs: &Logs,
        tail: Arc<Tail>,
        about: Value,
        life: Duration,
    ) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + use<> {
        let session = Arc::new(Self::default());
        let first = [
            event("initial-response", &json!({})),
            event("sessionStart", &about),
        ];
        session.waiting().first.extend(first);
        tokio::spawn(run(Arc::downgrade(&session), tail, logs.stopping(), life));
        futures::stream::unfold(session, |session| async move {
            let frame = session.next().await?;
            Some((Ok(Frame::data(frame)), session))
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that panics runs under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, update: Update) {
        let frame = event("sessionUpdate", &shown(update));
        let mut waiting = self.waiting();
        if waiting.updates.len() == WAITING {
            waiting.updates.pop_front();
        }
        waiting.updates.push_back(frame);
        self.more.notify_one();
    }

    fn end(&self, word: Bytes) {
        let mut waiting = self.waiting();
        waiting.last = Some(word);
        waiting.is_over = true;
        self.more.notify_one();
    }

    async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let mut waiting = self.waiting();
                let frame = waiting.first.pop_front();
                let frame = frame.or_else(|| waiting.updates.pop_front());
                if let Some(frame) = frame.or_else(|| waiting.last.take()) {
                    return Some(frame);
                }
                if waiting.is_over {
                    return None;
                }
            }
            // One that came meanwhile is remembered.
            self.more.notified().await;
        }
    }
}

/// Gives a session its updates until it is over, or nobody reads it any more.
async fn run(
    session: Weak<Session>,
    tail: Arc<Tail>,
    stopping: impl Future<Output = ()>,
    life: Duration,
) {
    let mut ticks = tokio::time::interval_at(Instant::now() + PACE, PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = tokio::time::sleep(life);
    tokio::pin!(end, stopping);
    let over = loop {
        tokio::select! {
            () = &mut stopping => break exception(
                "SessionStreamingException",
                "The engine is stopping.",
            ),
            () = &mut end => break exception(
                "SessionTimeoutException",
                "The session has ended: it has been open for 3 hours.",
            ),
            _ = ticks.tick() => match session.upgrade() {
                Some(session) => session.update(tail.take()),
                None => return,
            },
        }
    };
    if let Some(session) = session.upgrade() {
        session.end(over);
    }
}

fn shown(update: Update) -> Value {
    let results = update.events.into_iter().map(|followed| {
        json!({
            "logGroupIdentifier": format!("{ACCOUNT}:{}", followed.group),
            "logStreamName": followed.stream,
            "message": followed.event.message,
            "timestamp": followed.event.timestamp,
            "ingestionTime": followed.ingested,
        })
    });
    json!({
        "sessionMetadata": {"sampled": update.sampled},
        "sessionResults": results.collect::<Vec<_>>(),
    })
}

fn event(kind: &'static str, payload: &Value) -> Bytes {
    frame([(":message-type", "event"), (":event-type", kind)], payload)
}

fn exception(kind: &'static str, message: &str) -> Bytes {
    frame(
        [(":message-type", "exception"), (":exception-type", kind)],
        &json!({ "message": message }),
    )
}

fn frame(headers: [(&'static str, &'static str); 2], payload: &Value) -> Bytes {
    let content = (":content-type", "application/json");
    let message = headers.into_iter().chain([content]).fold(
        Message::new(payload.to_string()),
        |message, (name, value)| {
            message.add_header(Header::new(name, HeaderValue::String(value.into())))
        },
    );
    let mut bytes = Vec::new();
    match write_message_to(&message, &mut bytes) {
        Ok(()) => bytes.into(),
        Err(error) => {
            // Headers are ours and short; a payload is far from 16 MiB... unless 500 events are of
            // 1 MiB each, which then are left out.
            tracing::warn!(%error, "an update of a live tail is too large");
            Bytes::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::engine::logs::Event;

    fn logs(folder: &tempfile::TempDir) -> Logs {
        Logs::open(folder.path(), Arc::default()).unwrap()
    }

    fn everything(logs: &Logs) -> Arc<Tail> {
        logs.follow(Selection {
            groups: vec![("g".to_owned(), vec![Streams::All])],
            accepts: Box::new(|_| true),
        })
    }

    /// Type and payload of a frame.
    fn read(bytes: &Bytes) -> (String, Value) {
        let message = aws_smithy_eventstream::frame::read_message_from(bytes.clone()).unwrap();
        let header = |name: &str| {
            let header = message
                .headers()
                .iter()
                .find(|it| it.name().as_str() == name);
            header.map(|it| it.value().as_string().unwrap().as_str().to_owned())
        };
        let kind = header(":event-type").or_else(|| header(":exception-type"));
        let payload = serde_json::from_slice(message.payload()).unwrap();
        (kind.unwrap(), payload)
    }

    #[tokio::test]
    async fn a_slow_reader_misses_the_oldest_updates_but_not_the_beginning_and_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs(&folder);
        let tail = everything(&logs);
        let session = Session::default();
        session
            .waiting()
            .first
            .push_back(event("sessionStart", &json!({})));
        for number in 0..15 {
            let event = Event {
                timestamp: number,
                message: format!("{number}"),
            };
            logs.append("g", "s", vec![event]);
            logs.flush().await.unwrap();
            session.update(tail.take());
        }
        session.end(exception("SessionTimeoutException", "over"));
        let mut messages = Vec::new();
        while let Some(frame) = session.next().await {
            let (kind, payload) = read(&frame);
            let first = payload.pointer("/sessionResults/0/message");
            messages.push(first.and_then(Value::as_str).map_or(kind, str::to_owned));
        }
        let mut expected = vec!["sessionStart".to_owned()];
        expected.extend((5..15).map(|number: u32| number.to_string()));
        expected.push("SessionTimeoutException".to_owned());
        assert_eq!(messages, expected);
    }

    #[tokio::test]
    async fn a_session_ends_after_its_time_and_when_the_engine_stops() {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs(&folder);
        let kinds = |frames: Vec<Result<Frame<Bytes>, Infallible>>| {
            let frames = frames
                .into_iter()
                .map(|it| it.unwrap().into_data().unwrap());
            frames.map(|frame| read(&frame).0).collect::<Vec<_>>()
        };
        let short = Session::start(&logs, everything(&logs), json!({}), Duration::ZERO);
        assert_eq!(
            kinds(short.collect().await),
            [
                "initial-response",
                "sessionStart",
                "SessionTimeoutException"
            ]
        );
        let cut = Session::start(&logs, everything(&logs), json!({}), LIFE);
        logs.stop().await;
        assert_eq!(
            kinds(cut.collect().await),
            [
                "initial-response",
                "sessionStart",
                "SessionStreamingException"
            ]
        );
    }
}
