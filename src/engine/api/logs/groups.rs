//! Log groups: create, delete, describe, retention, tags.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{as_parameter, group_arn, group_name, invalid, limit, page, texts};
use crate::engine::api::ApiError;
use crate::engine::api::sfn::arguments::Arguments;
use crate::engine::logs::{Error, GroupRow, Logs};

/// Days that a retention policy may say (API reference, PutRetentionPolicy).
const RETENTIONS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1_096, 1_827, 2_192, 2_557,
    2_922, 3_288, 3_653,
];
/// Tags of one group.
const MAX_TAGS: usize = 50;
const GROUPS_PER_PAGE: usize = 50;

pub async fn create(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    if arguments.has("kmsKeyId") {
        return Err(invalid(
            "Customer managed keys (kmsKeyId) are not supported by this engine",
        ));
    }
    if let Some(class) = arguments
        .text("logGroupClass")
        .filter(|it| *it != "STANDARD")
    {
        return Err(invalid(format!(
            "The log class {class} is not supported by this engine"
        )));
    }
    if arguments.flag("deletionProtectionEnabled") {
        return Err(invalid(
            "deletionProtectionEnabled is not supported by this engine",
        ));
    }
    let name = arguments.required("logGroupName")?;
    if name.starts_with("aws/") {
        return Err(invalid(
            "Log groups starting with aws/ are reserved for AWS.",
        ));
    }
    logs.create_group(name, given_tags(arguments)).await?;
    Ok(Value::Null)
}

pub async fn delete(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    logs.delete_group(arguments.required("logGroupName")?)
        .await?;
    Ok(Value::Null)
}

pub fn describe(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let prefix = arguments.text("logGroupNamePrefix");
    let part = arguments.text("logGroupNamePattern");
    if prefix.is_some() && part.is_some() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    if arguments.flag("includeLinkedAccounts") || arguments.has("accountIdentifiers") {
        return Err(invalid(
            "Linked accounts (includeLinkedAccounts, accountIdentifiers) are not supported by this engine",
        ));
    }
    let identifiers = texts(arguments, "logGroupIdentifiers");
    let mut named = Vec::new();
    for identifier in &identifiers {
        named.push(group_name(identifier)?);
    }
    let now = logs.now();
    let after: Option<String> = arguments.position(now).map_err(as_parameter)?;
    let has_class = arguments
        .text("logGroupClass")
        .is_none_or(|class| class == "STANDARD");
    // Whatever its case, as AWS compares it.
    let part = part.map(str::to_lowercase);
    let (groups, more) = logs.groups(
        after.as_deref(),
        limit(arguments, GROUPS_PER_PAGE),
        |group| {
            has_class
                && prefix.is_none_or(|prefix| group.name.starts_with(prefix))
                && part
                    .as_ref()
                    .is_none_or(|part| group.name.to_lowercase().contains(part.as_str()))
                && (named.is_empty() || named.contains(&group.name.as_str()))
        },
    );
    let last = groups.last().map(|(group, _)| group.name.clone());
    let next = last.filter(|_| more).map(|last| arguments.token(last, now));
    let described = groups.iter().map(|(group, bytes)| shown(group, *bytes));
    Ok(page("logGroups", described.collect(), next))
}

fn shown(group: &GroupRow, bytes: u64) -> Value {
    let arn = group_arn(&group.name);
    let mut shown = json!({
        "logGroupName": group.name,
        "creationTime": group.created,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "storedBytes": bytes,
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
    });
    if let (Some(days), Some(object)) = (group.retention_days, shown.as_object_mut()) {
        object.insert("retentionInDays".to_owned(), days.into());
    }
    shown
}

/// `retentionInDays`, or none when the policy is deleted.
pub async fn retain(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let days = arguments.value("retentionInDays");
    let known = days.map(|days| {
        let known = RETENTIONS.into_iter().find(|known| *days == json!(known));
        known.ok_or_else(|| {
            let set = RETENTIONS.map(|days| days.to_string()).join(", ");
            invalid(format!(
                "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: [{set}]"
            ))
        })
    });
    let group = arguments.required("logGroupName")?;
    logs.retain(group, known.transpose()?).await?;
    Ok(Value::Null)
}

fn given_tags(arguments: &Arguments) -> BTreeMap<String, String> {
    let tags = arguments.value("tags").and_then(Value::as_object);
    let tags = tags.into_iter().flatten();
    tags.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The group that the older or the newer tag operations name.
fn tagged(logs: &Logs, arguments: &Arguments) -> Result<GroupRow, ApiError> {
    let name = match arguments.text("resourceArn") {
        Some(arn) if arn.starts_with("arn:") => group_name(arn)?,
        Some(other) => return Err(invalid(format!("The resource ARN '{other}' is not valid."))),
        None => arguments.required("logGroupName")?,
    };
    Ok(logs.group(name).ok_or(Error::NoGroup)?)
}

pub async fn tag(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = tagged(logs, arguments)?;
    let set = given_tags(arguments);
    let mut all = group.tags;
    all.extend(set.clone());
    if all.len() > MAX_TAGS {
        return Err(ApiError::new(
            "TooManyTagsException",
            format!("A log group can have no more than {MAX_TAGS} tags."),
        ));
    }
    logs.tag(&group.name, set, Vec::new()).await?;
    Ok(Value::Null)
}

pub async fn untag(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    let group = tagged(logs, arguments)?;
    let mut keys = texts(arguments, "tagKeys");
    keys.extend(texts(arguments, "tags"));
    logs.tag(&group.name, BTreeMap::new(), keys).await?;
    Ok(Value::Null)
}

pub fn tags(logs: &Logs, arguments: &Arguments) -> Result<Value, ApiError> {
    Ok(json!({ "tags": tagged(logs, arguments)?.tags }))
}
