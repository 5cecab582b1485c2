//! CloudWatch Logs.

use crate::client::Client;
use crate::client::error::Error;
use crate::client::limits::Action;
use crate::model::{Page, Timestamp};

/// One event of a log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Tells events apart when a window is read again.
    pub id: String,
    pub stream: String,
    pub at: Timestamp,
    /// As the program wrote it: not yet fit for a terminal.
    pub message: String,
}

impl Client {
    /// Events of a log group (name or ARN) from `from` to `to`, oldest first, at most 1 MB a page.
    /// `pattern` is the service's filter language; an empty one takes everything. A page may be
    /// empty and still have a next one: only `next == None` is the end.
    pub async fn filter_log_events(
        &self,
        group: &str,
        pattern: &str,
        from: Timestamp,
        to: Option<Timestamp>,
        token: Option<String>,
    ) -> Result<Page<LogEvent>, Error> {
        let request = self
            .shared
            .logs
            .filter_log_events()
            .start_time(from.as_millisecond())
            .set_end_time(to.map(Timestamp::as_millisecond))
            .set_filter_pattern(Some(pattern.to_owned()).filter(|pattern| !pattern.is_empty()))
            .set_next_token(token);
        let request = if group.starts_with("arn:") {
            request.log_group_identifier(group.trim_end_matches(":*"))
        } else {
            request.log_group_name(group)
        };
        let page = self
            .ask(Action::FilterLogEvents, group, request.send())
            .await?;
        let events = page.events.unwrap_or_default();
        Ok(Page {
            items: events.into_iter().map(log_event).collect(),
            next: page.next_token.filter(|token| !token.is_empty()),
        })
    }
}

fn log_event(it: aws_sdk_cloudwatchlogs::types::FilteredLogEvent) -> LogEvent {
    let millis = it.timestamp.or(it.ingestion_time).unwrap_or(0);
    LogEvent {
        id: it.event_id.unwrap_or_default(),
        stream: it.log_stream_name.unwrap_or_default(),
        at: Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH),
        message: it.message.unwrap_or_default(),
    }
}
