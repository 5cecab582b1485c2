//! Log streams: create, delete, describe.

use serde_json::{Value, json};

use super::{as_parameter, group_arn, group_of, invalid, limit, page};
use crate::engine::api::ApiError;
use crate::engine::api::sfn::arguments::Arguments;
use crate::engine::logs::{Logs, StreamRow};

const STREAMS_PER_PAGE: usize = 50;

pub async fn create(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = arguments.required("logGroupName")?;
    let name = arguments.required("logStreamName")?;
    logs.create_stream(group, name).await?;
    Ok(Value::Null)
}

pub async fn delete(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = arguments.required("logGroupName")?;
    let name = arguments.required("logStreamName")?;
    logs.delete_stream(group, name).await?;
    Ok(Value::Null)
}

pub fn describe(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = group_of(arguments)?;
    let prefix = arguments.text("logStreamNamePrefix");
    let by_time = arguments.text("orderBy") == Some("LastEventTime");
    if by_time && prefix.is_some() {
        return Err(invalid(
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ));
    }
    let now = logs.now();
    let after: Option<(i64, String)> = arguments.position(now).map_err(as_parameter)?;
    let key = |row: &StreamRow| {
        let last = row.span.map_or(i64::MIN, |span| span.last);
        (if by_time { last } else { 0 }, row.name.clone())
    };
    let mut rows = logs.streams(group, prefix.unwrap_or_default())?;
    rows.sort_by_cached_key(key);
    let descending = arguments.flag("descending");
    if descending {
        rows.reverse();
    }
    rows.retain(|row| {
        after.as_ref().is_none_or(|after| match descending {
            true => key(row) < *after,
            false => key(row) > *after,
        })
    });
    let limit = limit(arguments, STREAMS_PER_PAGE);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more);
    let next = last.map(|last| arguments.token(key(last), now));
    let described = rows.iter().map(|row| shown(group, row));
    Ok(page("logStreams", described.collect(), next))
}

fn shown(group: &str, row: &StreamRow) -> Value {
    let mut shown = json!({
        "logStreamName": row.name,
        "creationTime": row.created,
        "uploadSequenceToken": super::events::SEQUENCE_TOKEN,
        "arn": format!("{}:log-stream:{}", group_arn(group), row.name),
        // AWS has shown nothing else since 2019.
        "storedBytes": 0,
    });
    if let (Some(span), Some(object)) = (row.span, shown.as_object_mut()) {
        object.insert("firstEventTimestamp".to_owned(), span.first.into());
        object.insert("lastEventTimestamp".to_owned(), span.last.into());
        object.insert("lastIngestionTime".to_owned(), span.ingested.into());
    }
    shown
}
