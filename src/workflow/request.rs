//! The request that a worker makes for a line: its templates, checked once for all lines and
//! filled in for each.

use std::collections::BTreeMap;
use std::fmt;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};

use crate::workflow::template::{Escape, fill};

/// `request` of the execution's input with all defaults filled in. The texts are templates.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    pub url: String,
    pub method: String,
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Of the whole exchange, body included.
    pub timeout_seconds: u32,
}

/// Four attempts of this length and the waits between them fit into the five minutes of an
/// Express execution.
pub const MAX_TIMEOUT_SECONDS: u32 = 60;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// What the HTTP client decides itself; setting them breaks the connection for other lines.
const RESERVED_HEADERS: [&str; 5] = [
    "connection",
    "content-length",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl Request {
    /// Whether this makes a request for any line.
    ///
    /// # Errors
    /// Names the field and the rule that it breaks.
    pub fn check(&self) -> Result<(), String> {
        if !METHODS.contains(&self.method.as_str()) {
            return Err(format!("method must be one of {}", METHODS.join(", ")));
        }
        if !(1..=MAX_TIMEOUT_SECONDS).contains(&self.timeout_seconds) {
            return Err(format!(
                "timeoutSeconds must be from 1 to {MAX_TIMEOUT_SECONDS}"
            ));
        }
        self.check_server()?;
        self.headers("x", 1)?;
        Ok(())
    }

    /// A line must not choose which server is asked.
    fn check_server(&self) -> Result<(), String> {
        if self.url.contains(|c: char| c.is_control() || c == ' ') {
            return Err("url cannot have blanks or control characters".into());
        }
        let after_scheme = ["http://", "https://"]
            .iter()
            .find_map(|scheme| self.url.strip_prefix(scheme))
            .ok_or("url must begin with http:// or https://")?;
        let server = after_scheme
            .split(['/', '?', '#', '\\'])
            .next()
            .unwrap_or_default();
        if server.contains(['{', '}']) {
            return Err("url can have {line} and {n} only after the server's name".into());
        }
        if server.contains('@') {
            return Err(
                "url cannot have a user name or password; use headers.authorization".into(),
            );
        }
        // URL parsers forgive much, and what they make of it is what counts.
        if server.is_empty() || self.url("x", 1)?.origin() != self.url("y", 2)?.origin() {
            return Err("url must name its server".into());
        }
        Ok(())
    }

    /// # Errors
    /// The line would change the path's depth, or the template is no URL.
    pub fn url(&self, line: &str, n: u64) -> Result<Url, String> {
        let text = fill(&self.url, line, n, Escape::Url);
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').any(is_dot_segment) {
            return Err("url cannot have . or .. as a part of its path".into());
        }
        Url::parse(&text).map_err(|problem| format!("url is not valid: {problem}"))
    }

    /// Headers of this line's request; a JSON body without a type is given one.
    ///
    /// # Errors
    /// Names the header, never its value.
    pub fn headers(&self, line: &str, n: u64) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        for (name, value) in &self.headers {
            let shown = name.escape_debug();
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("headers.{shown} is not a header name"))?;
            if RESERVED_HEADERS.contains(&parsed.as_str()) {
                return Err(format!("headers.{shown} cannot be set"));
            }
            let mut value = HeaderValue::from_str(&fill(value, line, n, Escape::None))
                .map_err(|_| format!("headers.{shown} has a value that no header can have"))?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        if self.has_json_body() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(headers)
    }

    /// The body, the line JSON-escaped where the template looks like JSON.
    pub fn body(&self, line: &str, n: u64) -> Option<String> {
        let escape = if self.has_json_body() {
            Escape::Json
        } else {
            Escape::None
        };
        let template = self.body.as_ref()?;
        Some(fill(template, line, n, escape))
    }

    /// # Errors
    /// Not one of the methods that [`Request::check`] lets pass.
    pub fn method(&self) -> Result<Method, String> {
        Method::from_bytes(self.method.as_bytes())
            .map_err(|_| format!("method must be one of {}", METHODS.join(", ")))
    }

    /// Whether the body's template looks like JSON. A body that begins with a placeholder does
    /// not: the line itself is the body then, whatever it is.
    fn has_json_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| {
            let body = body.trim_start();
            let bare = body.starts_with("{line}") || body.starts_with("{n}");
            !bare && body.starts_with(['{', '[', '"'])
        })
    }
}

/// Header values and bodies are often secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &self.url)
            .field("method", &self.method)
            .field("headers", &self.headers.keys())
            .field("timeout_seconds", &self.timeout_seconds)
            .finish_non_exhaustive()
    }
}

/// Whether URL parsers take this part of a path for "here" or "one up".
fn is_dot_segment(segment: &str) -> bool {
    let dots = segment.to_ascii_lowercase().replace("%2e", ".");
    dots == "." || dots == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn request(url: &str) -> Request {
        Request {
            url: url.into(),
            method: "GET".into(),
            headers: BTreeMap::new(),
            body: None,
            timeout_seconds: 10,
        }
    }

    #[test]
    fn a_line_cannot_choose_the_server() {
        for url in [
            "http://{line}/a",
            "http://{line}",
            "http://a.{n}:80/",
            "http://a{line}?q",
            "{line}",
            "ftp://a/{line}",
            "http://user:secret@a/{line}",
            "http:///{line}",
            "http://\\{line}",
            "http://\t/{line}",
            "http://",
        ] {
            assert!(request(url).check().is_err(), "{url}");
        }
        request("https://a:8443/{line}?n={n}").check().unwrap();
        request("http://127.0.0.1:1?{line}").check().unwrap();
    }

    #[test]
    fn a_line_cannot_leave_its_folder() {
        let request = request("http://a/items/{line}");
        assert_eq!(request.url("b/c", 1).unwrap().path(), "/items/b%2Fc");
        assert!(request.url("..", 1).is_err());
        assert!(request.url(".", 1).is_err());
        assert_eq!(request.url("...", 1).unwrap().path(), "/items/...");
        assert_eq!(
            request.url("%2e%2e", 1).unwrap().path(),
            "/items/%252e%252e"
        );
        let in_query = super::tests::request("http://a/items?q={line}");
        assert_eq!(in_query.url("../..", 1).unwrap().query(), Some("q=..%2F.."));
    }

    #[test]
    fn a_json_body_is_escaped_and_gets_its_type() {
        let mut request = request("http://a/");
        request.body = Some(r#" {"q":"{line}"}"#.into());
        assert_eq!(request.body("\"", 1).unwrap(), r#" {"q":"\""}"#);
        assert_eq!(
            request.headers("", 1).unwrap()[CONTENT_TYPE],
            "application/json"
        );
        request.body = Some("q={line}".into());
        assert_eq!(request.body("\"", 1).unwrap(), "q=\"");
        assert!(request.headers("", 1).unwrap().is_empty());
        request.body = Some("{line}".into());
        assert_eq!(request.body(r#"{"a":"b"}"#, 1).unwrap(), r#"{"a":"b"}"#);
    }

    #[test]
    fn header_values_are_never_told() {
        let mut request = request("http://a/");
        request
            .headers
            .insert("x-key".into(), "s3cret{line}".into());
        assert!(!format!("{request:?}").contains("s3cret"));
        assert!(!format!("{:?}", request.headers("", 1).unwrap()).contains("s3cret"));
        let error = request.headers("a\r\nx-evil: 1", 1).unwrap_err();
        assert!(
            error.contains("x-key") && !error.contains("s3cret"),
            "{error}"
        );
        request
            .headers
            .insert("Transfer-Encoding".into(), "chunked".into());
        assert!(request.check().is_err());
    }
}
