//! Templates: how a line becomes a request, and an answer the line of the output.
//!
//! Request templates know `{line}` and `{n}`; every other brace is text, since bodies are mostly
//! JSON. The output template knows more and writes a brace as `{{` or `}}`. Values are put in
//! once: what they contain is never taken for a placeholder.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::lines::one_line;

/// How a value is written where it is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    None,
    /// Percent-encoded: safe as a path segment and as a query value.
    Url,
    /// As inside a JSON string, without its quotes.
    Json,
}

/// RFC 3986, unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The request template with `{line}` and `{n}` filled in.
pub fn fill(template: &str, line: &str, n: u64, escape: Escape) -> String {
    let mut filled = String::with_capacity(template.len() + line.len());
    let mut rest = template;
    while let Some(brace) = rest.find('{') {
        filled.push_str(&rest[..brace]);
        rest = &rest[brace..];
        rest = if let Some(after) = rest.strip_prefix("{line}") {
            filled.push_str(&escaped(line, escape));
            after
        } else if let Some(after) = rest.strip_prefix("{n}") {
            filled.push_str(&n.to_string());
            after
        } else {
            filled.push('{');
            &rest[1..]
        };
    }
    filled.push_str(rest);
    filled
}

fn escaped(text: &str, escape: Escape) -> Cow<'_, str> {
    match escape {
        Escape::None => Cow::Borrowed(text),
        Escape::Url => utf8_percent_encode(text, ENCODED).into(),
        Escape::Json => {
            let quoted = Value::from(text).to_string();
            Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
        }
    }
}

/// What the service answered to one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    pub n: u64,
    pub line: &'a str,
    /// HTTP status code.
    pub status: u16,
    /// The body as text.
    pub body: &'a str,
}

/// The template of an output line: `{line}`, `{n}`, `{status}`, `{response}` (the whole body,
/// trimmed) and `{response.a.0.b}` (a field of a JSON body).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Line,
    Number,
    Status,
    Response,
    /// Names and indices down from the body's root; never empty.
    Field(Vec<String>),
}

impl OutputTemplate {
    /// # Errors
    /// Says what is wrong with the template and how to write it.
    pub fn parse(template: &str) -> Result<Self, String> {
        if template.contains(['\n', '\r']) {
            return Err("an output line cannot contain a line break".into());
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some(brace) = rest.find(['{', '}']) {
            text.push_str(&rest[..brace]);
            rest = &rest[brace..];
            rest = if let Some(after) = rest.strip_prefix("{{") {
                text.push('{');
                after
            } else if let Some(after) = rest.strip_prefix("}}") {
                text.push('}');
                after
            } else if let Some((name, after)) = placeholder(rest) {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::named(name)?);
                after
            } else {
                let (brace, _) = rest.split_at(1);
                return Err(format!(
                    "{brace} stands alone; write a brace as {{{{ or }}}}"
                ));
            };
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    /// The output line, without line break whatever the answer contains.
    ///
    /// # Errors
    /// Names the field that the body does not have, or says that it is not JSON.
    pub fn render(&self, answer: &Answer<'_>) -> Result<String, String> {
        let json = self.parsed(answer.body)?;
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Line => rendered.push_str(answer.line),
                Part::Number => rendered.push_str(&answer.n.to_string()),
                Part::Status => rendered.push_str(&answer.status.to_string()),
                Part::Response => rendered.push_str(answer.body.trim()),
                Part::Field(path) => rendered.push_str(&field(&json, path)?),
            }
        }
        Ok(one_line(rendered))
    }

    /// The body as JSON when a placeholder needs it, else null.
    fn parsed(&self, body: &str) -> Result<Value, String> {
        let needed = self.parts.iter().any(|part| matches!(part, Part::Field(_)));
        if !needed {
            return Ok(Value::Null);
        }
        serde_json::from_str(body)
            .map_err(|_| "the response is not JSON, but the output line takes a field of it".into())
    }
}

impl Part {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "line" => Ok(Self::Line),
            "n" => Ok(Self::Number),
            "status" => Ok(Self::Status),
            "response" => Ok(Self::Response),
            _ => {
                let path: Option<Vec<String>> = name
                    .strip_prefix("response.")
                    .map(|path| path.split('.').map(str::to_owned).collect());
                match path {
                    Some(path) if path.iter().all(|step| !step.is_empty()) => Ok(Self::Field(path)),
                    _ => Err(format!(
                        "{{{}}} is unknown; there are {{line}}, {{n}}, {{status}}, {{response}} \
                         and {{response.FIELD}}",
                        name.escape_debug()
                    )),
                }
            }
        }
    }
}

/// Splits `{name}rest`.
fn placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    (!name.contains('{')).then_some((name, after))
}

/// The value at the end of `path`: text as it is, null as nothing, anything else as JSON.
fn field<'v>(json: &'v Value, path: &[String]) -> Result<Cow<'v, str>, String> {
    let mut value = json;
    for step in path {
        let next = match value {
            Value::Array(values) => step.parse().ok().and_then(|index: usize| values.get(index)),
            Value::Object(fields) => fields.get(step),
            _ => None,
        };
        value = next.ok_or_else(|| format!("the response has no field {}", path.join(".")))?;
    }
    Ok(match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(body: &str) -> Answer<'_> {
        Answer {
            n: 7,
            line: "a,b",
            status: 200,
            body,
        }
    }

    fn rendered(template: &str, body: &str) -> Result<String, String> {
        OutputTemplate::parse(template)?.render(&answer(body))
    }

    #[test]
    fn a_line_in_a_url_cannot_leave_its_place() {
        let filled = fill("http://h/a/{line}?n={n}", "../x?y=1&z#é", 3, Escape::Url);
        assert_eq!(filled, "http://h/a/..%2Fx%3Fy%3D1%26z%23%C3%A9?n=3");
    }

    #[test]
    fn braces_of_a_json_body_stay() {
        let body = r#"{"a":{"name":"{line}","n":{n}}}"#;
        let filled = fill(body, "say \"{n}\"\t\\", 3, Escape::Json);
        assert_eq!(filled, r#"{"a":{"name":"say \"{n}\"\t\\","n":3}}"#);
        let parsed: Value = serde_json::from_str(&filled).unwrap();
        assert_eq!(parsed["a"]["name"], "say \"{n}\"\t\\");
    }

    #[test]
    fn an_output_line_takes_fields_of_the_response() {
        let body = r#"{"name":"Ada","tags":[{"id":1}],"none":null,"on":true}"#;
        let template = "{n};{line};{status};{response.name};{response.tags.0.id}";
        assert_eq!(rendered(template, body).unwrap(), "7;a,b;200;Ada;1");
        assert_eq!(
            rendered("<{response.none}{response.on}>", body).unwrap(),
            "<true>"
        );
        assert_eq!(rendered("{response.tags}", body).unwrap(), r#"[{"id":1}]"#);
        assert_eq!(rendered("{{{n}}}", "").unwrap(), "{7}");
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = rendered("{response.user.name}", r#"{"user":{}}"#).unwrap_err();
        assert!(error.contains("user.name"), "{error}");
        assert!(
            rendered("{response.x}", "<html>")
                .unwrap_err()
                .contains("not JSON")
        );
    }

    #[test]
    fn an_output_line_stays_one_line() {
        assert_eq!(
            rendered("{response}", " a\r\nb\nc\rd \n").unwrap(),
            "a b c d"
        );
        assert_eq!(rendered("{response.a}", r#"{"a":"x\ny"}"#).unwrap(), "x y");
        assert!(OutputTemplate::parse("a\nb").is_err());
    }

    #[test]
    fn a_mistake_in_the_template_is_named() {
        for (template, names) in [
            ("{lines}", "{lines} is unknown"),
            ("{response.}", "{response.} is unknown"),
            ("{response.a..b}", "unknown"),
            ("{line", "stands alone"),
            ("line}", "stands alone"),
            ("{", "stands alone"),
            ("{a{line}", "stands alone"),
        ] {
            let error = OutputTemplate::parse(template).unwrap_err();
            assert!(error.contains(names), "{template}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_line_never_becomes_a_placeholder(line in "(\\{n\\}|\\{line\\}|[{}a])*") {
            prop_assert_eq!(fill("{line}", &line, 1, Escape::None), line.clone());
            let template = OutputTemplate::parse("{line}").unwrap();
            let answer = Answer { n: 1, line: &line, status: 200, body: "" };
            prop_assert_eq!(template.render(&answer).unwrap(), line);
        }

        #[test]
        fn any_line_keeps_a_json_body_valid(line in any::<String>()) {
            let body = fill(r#"{"v":"{line}"}"#, &line, 1, Escape::Json);
            let parsed: Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(parsed["v"].as_str().unwrap(), line);
        }

        #[test]
        fn parsing_a_template_never_panics(template in any::<String>()) {
            let _ = OutputTemplate::parse(&template);
        }
    }
}
