//! What a cause says, and whom it names.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of a cause that say what happened. Others are skipped, not kept.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'c> {
    #[serde(borrow, rename = "errorMessage")]
    error_message: Member<'c>,
    #[serde(borrow)]
    message: Member<'c>,
    #[serde(borrow, rename = "Message")]
    capital: Member<'c>,
}

/// A string, or something else that is of no use.
#[derive(Default)]
struct Member<'c>(Option<Cow<'c, str>>);

impl<'de: 'c, 'c> Deserialize<'de> for Member<'c> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(from)?.get();
        let inner = raw.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        Ok(Self(match inner {
            Some(plain) if memchr::memchr(b'\\', plain.as_bytes()).is_none() => {
                Some(Cow::Borrowed(plain))
            }
            Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
            None => None,
        }))
    }
}

/// The readable part of a cause: `errorMessage` of Lambda's JSON, else the text itself.
pub fn message(cause: &str) -> String {
    said(cause).into_owned()
}

/// The same, borrowed where it stands in the cause as it is.
pub(super) fn said(cause: &str) -> Cow<'_, str> {
    let trimmed = cause.trim();
    let parsed = match trimmed.starts_with('{') {
        true => serde_json::from_str::<Said<'_>>(trimmed).ok(),
        false => None,
    };
    let said = parsed.and_then(|it| it.error_message.0.or(it.message.0).or(it.capital.0));
    said.unwrap_or(Cow::Borrowed(trimmed))
}

/// The id of the Lambda call that failed: `requestId` of Lambda's JSON, else the one that a text
/// names, as in `RequestId: … Error: …` and `… Task timed out after 3.00 seconds`.
pub fn request_id(cause: &str) -> Option<String> {
    let parsed = match cause.trim_start().starts_with('{') {
        true => serde_json::from_str::<Value>(cause).ok(),
        false => None,
    };
    let member = parsed.as_ref().and_then(|it| it.get("requestId")?.as_str());
    if let Some(id) = member.filter(|id| is_request_id(id)) {
        return Some(id.to_owned());
    }
    let word = |text: &str| {
        let ends = |c: char| !(c.is_ascii_hexdigit() || c == '-');
        let word = &text[..text.find(ends).unwrap_or(text.len())];
        is_request_id(word).then(|| word.to_owned())
    };
    let named = ["RequestId: ", "Request ID: ", "requestId: "];
    let named = named.iter().find_map(|name| {
        let (_, after) = cause.split_once(name)?;
        word(after)
    });
    named.or_else(|| {
        let (before, _) = cause.split_once(" Task timed out after ")?;
        word(before.rsplit(char::is_whitespace).next()?)
    })
}

/// Whether a word is a UUID, as Lambda's request ids are.
pub fn is_request_id(word: &str) -> bool {
    let groups: Vec<&str> = word.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && word.bytes().all(|it| it == b'-' || it.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_message_is_lambdas_or_the_text() {
        assert_eq!(
            message(r#"{"errorMessage":"bad row","errorType":"V"}"#),
            "bad row"
        );
        assert_eq!(message(" {not json "), "{not json");
        assert_eq!(
            message(r#"{"errorMessage":{"a":1}}"#),
            r#"{"errorMessage":{"a":1}}"#
        );
        assert_eq!(message(""), "");
    }

    #[test]
    fn the_request_is_read_from_every_kind_of_cause() {
        const ID: &str = "6f0c2b9e-1111-4222-8333-444455556666";
        for cause in [
            format!(r#"{{"errorMessage":"x","requestId":"{ID}"}}"#),
            format!(
                r#"{{"errorMessage":"RequestId: {ID} Error: Task timed out after 3.00 seconds"}}"#
            ),
            format!("RequestId: {ID} Error: Runtime exited"),
            format!("2026-11-23T09:02:44Z {ID} Task timed out after 3.00 seconds"),
            format!("Rate exceeded (Service: Lambda, Status Code: 429, Request ID: {ID})"),
        ] {
            assert_eq!(request_id(&cause).as_deref(), Some(ID), "{cause}");
        }
        assert_eq!(request_id(r#"{"errorMessage":"x","requestId":7}"#), None);
        assert_eq!(request_id(&format!("trace {ID}")), None);
    }

    proptest! {
        #[test]
        fn any_cause_may_be_searched_for_a_request(cause in any::<String>()) {
            request_id(&cause);
        }
    }
}
