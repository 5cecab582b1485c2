//! What a cause says, and whom it names.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of a cause that say what happened.
#[derive(Default)]
struct Said<'c> {
    error_message: Option<Cow<'c, str>>,
    message: Option<Cow<'c, str>>,
    capital: Option<Cow<'c, str>>,
}

/// Puts what it finds where it stays even if the rest is no JSON: the service cuts long causes. Goes
/// no further than to Lambda's message, behind which there may be a stack trace.
impl<'c> Visitor<'c> for &mut Said<'c> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'c>>(self, mut members: A) -> Result<(), A::Error> {
        while self.error_message.is_none()
            && let Some(name) = members.next_key::<Cow<'c, str>>()?
        {
            let place = match &*name {
                "errorMessage" => &mut self.error_message,
                "message" => &mut self.message,
                "Message" => &mut self.capital,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let found = text(members.next_value::<&RawValue>()?.get());
            *place = place.take().or(found);
        }
        Ok(())
    }
}

/// A string, or nothing for what is none.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"').and_then(|it| it.strip_suffix('"'))?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

/// The readable part of a cause: `errorMessage` of Lambda's JSON, else the text itself.
pub fn message(cause: &str) -> String {
    said(cause).into_owned()
}

/// The same, borrowed where it stands in the cause as it is.
pub(super) fn said(cause: &str) -> Cow<'_, str> {
    let trimmed = cause.trim();
    let mut said = Said::default();
    if trimmed.starts_with('{') {
        // What was found before something that is no JSON stands.
        let _ = serde_json::Deserializer::from_str(trimmed).deserialize_map(&mut said);
    }
    let found = said.error_message.or(said.message).or(said.capital);
    found.unwrap_or(Cow::Borrowed(trimmed))
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
        let cut = r#"{"errorMessage":"bad row","stackTrace":["  File \"/var/ta"#;
        assert_eq!(message(cut), "bad row");
        let both = r#"{"message":"m","errorType":"V","errorMessage":"bad row"}"#;
        assert_eq!(message(both), "bad row");
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
