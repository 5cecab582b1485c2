//! What a cause says, and what it says apart from the values in it.

use serde_json::Value;

/// Characters of a message that tell groups apart. Stack traces differ far behind.
const COMPARED: usize = 300;

/// The readable part of a cause: `errorMessage` of Lambda's JSON, else the text itself.
pub fn message(cause: &str) -> String {
    let trimmed = cause.trim();
    let parsed = match trimmed.starts_with('{') {
        true => serde_json::from_str::<Value>(trimmed).ok(),
        false => None,
    };
    let known = ["errorMessage", "message", "Message"];
    let said = parsed.as_ref().and_then(|value| {
        known
            .iter()
            .find_map(|name| value.get(name).and_then(Value::as_str))
    });
    said.unwrap_or(trimmed).to_owned()
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

/// `message` with what differs from item to item masked: `<v>` quoted text, `<url>`, `<ip>`,
/// `<id>`, `<path>`, `<n>`. An HTTP status stays: it is what tells failures apart.
pub fn mask(message: &str) -> String {
    let text: String = message.chars().take(COMPARED).collect();
    let mut masked = String::with_capacity(text.len());
    let mut previous_word = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let after_word = masked
            .chars()
            .next_back()
            .is_some_and(char::is_alphanumeric);
        if let Some(after) = quoted(rest).filter(|_| !after_word) {
            masked.push_str("<v>");
            rest = after;
        } else if let Some((url, after)) = url(rest).filter(|_| !after_word) {
            masked.push_str("<url>");
            masked.push_str(trailing_stop(url));
            rest = after;
        } else if is_separator(first) {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (word, after) = rest.split_at(rest.find(is_separator).unwrap_or(rest.len()));
            masked.push_str(&mask_word(word, &previous_word));
            word.to_ascii_lowercase().clone_into(&mut previous_word);
            rest = after;
        }
    }
    masked
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || "\"'`,;()[]{}<>=|".contains(c)
}

/// What follows a quotation that begins here; `None` for an apostrophe, a quote left open, and for
/// double quotes around a sentence or a JSON member's name, which say what happened.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| "\"'`".contains(*c))?;
    // A quotation mark inside a word is an apostrophe: `'Saint John's, Antigua'` is one quotation.
    let closes = |at: usize| !text[at + 1..].starts_with(char::is_alphanumeric);
    let ends = text[1..].match_indices(quote).map(|(at, _)| at + 1);
    let end = ends.into_iter().find(|at| closes(*at))?;
    let (inside, after) = (&text[1..end], &text[end + 1..]);
    let is_value =
        quote != '"' || !(inside.contains(char::is_whitespace) || after.starts_with(':'));
    is_value.then_some(after)
}

/// A URL that begins here, and what follows it.
fn url(text: &str) -> Option<(&str, &str)> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme =
        (1..=10).contains(&scheme.len()) && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    let ends = |c: char| c.is_whitespace() || "\"'`<>)]}".contains(c);
    let end = text.find(ends).unwrap_or(text.len());
    is_scheme.then(|| text.split_at(end))
}

/// The punctuation at the end of a word, which belongs to the sentence.
fn trailing_stop(word: &str) -> &str {
    &word[word.trim_end_matches(['.', ',', ';', ':', '!', '?']).len()..]
}

fn mask_word(word: &str, previous: &str) -> String {
    let tail = trailing_stop(word);
    let core = &word[..word.len() - tail.len()];
    let masked = match core {
        _ if is_id(core) => "<id>".to_owned(),
        _ if is_ip(core) => "<ip>".to_owned(),
        _ if is_path(core) => "<path>".to_owned(),
        _ if is_http_status(core, previous) => core.to_owned(),
        _ => mask_numbers(core),
    };
    masked + tail
}

/// A UUID, or eight and more hexadecimal digits of which some are letters and some are not.
fn is_id(word: &str) -> bool {
    let digits: Vec<u8> = word.bytes().filter(|byte| *byte != b'-').collect();
    let hex = 8 <= digits.len() && digits.iter().all(u8::is_ascii_hexdigit);
    hex && digits.iter().any(u8::is_ascii_digit) && digits.iter().any(u8::is_ascii_alphabetic)
}

/// An IPv4 or IPv6 address, with or without a port.
fn is_ip(word: &str) -> bool {
    let bare = word.parse::<std::net::IpAddr>().is_ok();
    bare || word.parse::<std::net::SocketAddr>().is_ok()
}

fn is_path(word: &str) -> bool {
    let absolute = word.starts_with('/') && 1 < word.len();
    absolute || word.starts_with("./") || word.starts_with("~/")
}

fn is_http_status(word: &str, previous: &str) -> bool {
    // A message may begin with it: `404 Not Found: …`.
    let announced = matches!(
        previous,
        "" | "status" | "code" | "answered" | "http" | "http/1.1" | "http/2"
    );
    announced && word.len() == 3 && word.parse().is_ok_and(|code| (100..600).contains(&code))
}

/// Runs of digits, decimals included, as `<n>`.
fn mask_numbers(word: &str) -> String {
    let mut masked = String::new();
    let mut in_number = false;
    let mut chars = word.chars().peekable();
    while let Some(c) = chars.next() {
        let next_is_digit = chars.peek().is_some_and(char::is_ascii_digit);
        let goes_on = c.is_ascii_digit() || (in_number && c == '.' && next_is_digit);
        if !goes_on {
            masked.push(c);
        } else if !in_number {
            masked.push_str("<n>");
        }
        in_number = goes_on;
    }
    masked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_masked_and_words_are_not() {
        for (message, masked) in [
            ("answered 503 after 12.5s", "answered 503 after <n>s"),
            (
                "answered 404: {\"error\":\"no place named 'Oz' is known\",\"id\":\"a-7\"}",
                "answered 404: {\"error\":\"no place named <v> is known\",\"id\":<v>}",
            ),
            (
                "status 503 from http://a:1/l?q=Oz: busy",
                "status 503 from <url>: busy",
            ),
            (
                "didn't find 'Sao Tomé', it isn't",
                "didn't find <v>, it isn't",
            ),
            ("no host 10.0.0.1:8080, ::1", "no host <ip>, <ip>"),
            ("id 6f0c2b9e-1111-4222-8333-444455556666.", "id <id>."),
            ("trace=deadbeef01 beef", "trace=<id> beef"),
            ("open /tmp/a.b: denied", "open <path>: denied"),
            ("row line-3118, 14 %", "row line-<n>, <n> %"),
            ("left \"open", "left \"open"),
            (
                "404 Not Found: no place named 'Saint John's, Antigua' is known",
                "404 Not Found: no place named <v> is known",
            ),
        ] {
            assert_eq!(mask(message), masked, "{message}");
        }
    }

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

        #[test]
        fn numbers_never_tell_groups_apart(a in 10u64.., b in 10u64.., text in "[a-z ]{0,12}") {
            let with = |n: u64| mask(&format!("{text} took {n} ms"));
            prop_assert_eq!(with(a), with(b));
        }

        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            prop_assert!(mask(&text).chars().count() <= COMPARED * 4);
        }
    }
}
