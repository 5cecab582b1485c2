//! CloudWatch Logs.

use std::pin::Pin;

use aws_sdk_cloudwatchlogs::config::StalledStreamProtectionConfig;
use aws_sdk_cloudwatchlogs::types as sdk;
use aws_smithy_runtime_api::client::result::SdkError;
use futures::{Stream, StreamExt as _};

use crate::client::Client;
use crate::client::error::{self, Error, ErrorKind};
use crate::client::limits::Action;
use crate::model::{Page, Timestamp};

/// One event of a log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// Tells events apart when a window is read again. A live tail and the reading of a single
    /// stream give none.
    pub id: Option<String>,
    /// The group's name.
    pub group: String,
    pub stream: String,
    pub at: Timestamp,
    /// As the program wrote it: not yet fit for a terminal.
    pub message: String,
}

/// What a live tail says about a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailUpdate {
    pub events: Vec<LogEvent>,
    /// There were more than the service sends.
    pub sampled: bool,
}

/// Updates of a live tail, one a second. It ends after three hours at the latest.
pub type LiveTail = Pin<Box<dyn Stream<Item = Result<TailUpdate, Error>> + Send>>;

/// Groups that a live tail follows at the most.
pub const MAX_TAILED: usize = 10;

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
            .set_filter_pattern(given(pattern))
            .set_next_token(token);
        let request = if group.starts_with("arn:") {
            request.log_group_identifier(group.trim_end_matches(":*"))
        } else {
            request.log_group_name(group)
        };
        let page = self
            .ask(Action::FilterLogEvents, group, request.send())
            .await?;
        let events = page.events.unwrap_or_default().into_iter();
        let name = group_name(group);
        Ok(Page {
            items: events
                .map(|it| LogEvent {
                    id: it.event_id,
                    group: name.to_owned(),
                    stream: it.log_stream_name.unwrap_or_default(),
                    at: moment(it.timestamp.or(it.ingestion_time)),
                    message: it.message.unwrap_or_default(),
                })
                .collect(),
            next: page.next_token.filter(|token| !token.is_empty()),
        })
    }

    /// Events of one stream of a group (by name), oldest first, `to` excluded.
    pub async fn log_events(
        &self,
        group: &str,
        stream: &str,
        from: Timestamp,
        to: Timestamp,
        token: Option<String>,
    ) -> Result<Page<LogEvent>, Error> {
        let request = self
            .shared
            .logs
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(stream)
            .start_time(from.as_millisecond())
            .end_time(to.as_millisecond())
            .start_from_head(true)
            .set_next_token(token.clone());
        let page = self
            .ask(Action::GetLogEvents, group, request.send())
            .await?;
        let events = page.events.unwrap_or_default().into_iter();
        Ok(Page {
            items: events
                .map(|it| LogEvent {
                    id: None,
                    group: group.to_owned(),
                    stream: stream.to_owned(),
                    at: moment(it.timestamp.or(it.ingestion_time)),
                    message: it.message.unwrap_or_default(),
                })
                .collect(),
            // The same token again is the end.
            next: page
                .next_forward_token
                .filter(|next| Some(next) != token.as_ref()),
        })
    }

    /// Whether there is a group of exactly this name.
    pub async fn has_log_group(&self, name: &str) -> Result<bool, Error> {
        let request = self
            .shared
            .logs
            .describe_log_groups()
            .log_group_name_prefix(name);
        let page = self
            .ask(Action::DescribeLogGroups, name, request.send())
            .await?;
        // Names are listed in their order, so the one without anything after it comes first.
        let groups = page.log_groups.unwrap_or_default();
        Ok(groups.iter().any(|it| it.log_group_name() == Some(name)))
    }

    /// Follows groups, at most [`MAX_TAILED`] and by ARN, from now on.
    ///
    /// # Errors
    /// `NotFound` when one of them does not exist.
    pub async fn live_tail(&self, groups: &[String], pattern: &str) -> Result<LiveTail, Error> {
        const ACTION: Action = Action::StartLiveTail;
        let subject = groups.first().map_or("", String::as_str).to_owned();
        let patient = aws_sdk_cloudwatchlogs::config::Builder::new()
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let request = self
            .shared
            .logs
            .start_live_tail()
            .set_log_group_identifiers(Some(groups.to_vec()))
            .set_log_event_filter_pattern(given(pattern))
            .customize()
            // Nothing to say is no sign of a broken connection.
            .config_override(patient);
        let answer = self.ask(ACTION, &subject, request.send()).await?;
        let updates = futures::stream::unfold(
            (Some(answer.response_stream), subject),
            |(stream, subject)| async move {
                let mut stream = stream?;
                loop {
                    return match stream.recv().await {
                        Ok(Some(sdk::StartLiveTailResponseStream::SessionUpdate(update))) => {
                            Some((Ok(tail_update(update)), (Some(stream), subject)))
                        }
                        Ok(Some(_)) => continue,
                        Ok(None) => None,
                        Err(failure) => {
                            let kind = broken(&failure);
                            let error = Error::new(ACTION.name(), &subject, kind);
                            Some((Err(error), (None, subject)))
                        }
                    };
                }
            },
        );
        Ok(updates.boxed())
    }
}

fn given(pattern: &str) -> Option<String> {
    Some(pattern.to_owned()).filter(|pattern| !pattern.is_empty())
}

/// The name in a group's ARN, or the name itself.
fn group_name(group: &str) -> &str {
    let name = group.split_once(":log-group:").map(|(_, name)| name);
    name.unwrap_or(group).trim_end_matches(":*")
}

fn moment(millis: Option<i64>) -> Timestamp {
    let millis = millis.unwrap_or_default();
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn tail_update(update: sdk::LiveTailSessionUpdate) -> TailUpdate {
    let sampled = update.session_metadata.is_some_and(|it| it.sampled);
    let events = update.session_results.unwrap_or_default().into_iter();
    TailUpdate {
        events: events
            .map(|it| {
                // `ACCOUNT:NAME`; names hold no colon.
                let group = it.log_group_identifier.unwrap_or_default();
                let name = group.rsplit(':').next().unwrap_or_default();
                LogEvent {
                    id: None,
                    group: name.to_owned(),
                    stream: it.log_stream_name.unwrap_or_default(),
                    at: moment(it.timestamp.or(it.ingestion_time)),
                    message: it.message.unwrap_or_default(),
                }
            })
            .collect(),
        sampled,
    }
}

/// Why a tail that had begun broke off.
fn broken<R: std::fmt::Debug + 'static>(
    failure: &SdkError<sdk::error::StartLiveTailResponseStreamError, R>,
) -> ErrorKind {
    match failure {
        SdkError::ServiceError(answer) => ErrorKind::Service(error::reason(answer.err())),
        other => ErrorKind::Unreachable(error::reason(other)),
    }
}
