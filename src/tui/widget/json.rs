//! JSON text for reading: indented when it is JSON, as it is when not, bounded either way.

use serde_json::Value;

/// Longest text that is parsed for display; the service's payloads end at 256 KiB.
const LONGEST: usize = 512 * 1024;

/// Lines for reading. Nested JSON in strings is left as it is.
pub fn lines(source: &str) -> Vec<String> {
    let parsed = (source.len() <= LONGEST)
        .then(|| serde_json::from_str::<Value>(source).ok())
        .flatten();
    let pretty = parsed.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let shown = pretty.as_deref().unwrap_or(source);
    let mut lines: Vec<String> = shown
        .lines()
        .take(10_000)
        .map(|line| line.replace('\t', "    "))
        .collect();
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_other_text_is_kept() {
        assert_eq!(lines(r#"{"a":1}"#), ["{", r#"  "a": 1"#, "}"]);
        assert_eq!(lines("plain\ttext"), ["plain    text"]);
        assert_eq!(lines(""), [""]);
    }
}
