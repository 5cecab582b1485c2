//! What this client changes, told to whoever keeps the records.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// Characters of an error that are kept.
const ERROR_LIMIT: usize = 400;

/// A call that changed something, or that the service refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// ARN of whom the service knows, where it says.
    pub caller: Option<String>,
    /// Label and Region of the connection.
    pub target: String,
    /// The same as a command. What may be secret (inputs, definitions) is there by its length and
    /// digest only.
    pub command: String,
    /// `Err` is what the service said.
    pub outcome: Result<(), String>,
}

/// Takes every change as it is known how it went.
#[derive(Clone)]
pub struct Trail(Arc<dyn Fn(Change) + Send + Sync>);

impl Trail {
    pub fn new(take: impl Fn(Change) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(super) fn tell(&self, change: Change) {
        let outcome = change.outcome;
        let outcome = outcome.map_err(|text| text.chars().take(ERROR_LIMIT).collect());
        (self.0)(Change { outcome, ..change });
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail")
    }
}

impl PartialEq for Trail {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// `text` as one word of a POSIX shell.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `aws SERVICE OPERATION --name value …`
pub(super) fn aws(operation: &str, arguments: &[(&str, &str)]) -> String {
    let mut command = format!("aws {operation}");
    for (name, value) in arguments {
        command += &format!(" --{name} {}", shell_word(value));
    }
    command
}

/// Stands for a text that is not to be told.
pub(super) fn digest(text: &str) -> String {
    let hash = Sha256::digest(text);
    let start = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    format!("({} bytes, sha256 {start:08x}…)", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gets_one_word_whatever_is_in_it() {
        assert_eq!(shell_word("a/b-1.txt"), "a/b-1.txt");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn an_input_is_told_by_its_digest_only() {
        let input = r#"{"headers":{"authorization":"s3cret"}}"#;
        let command = aws(
            "stepfunctions start-execution",
            &[("input", &digest(input))],
        );
        assert!(!command.contains("s3cret"), "{command}");
        assert!(command.contains("38 bytes"), "{command}");
    }
}
