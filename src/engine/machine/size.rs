//! How large and how deep a JSON value is, within bounded work.

use serde::Serialize;
use serde_json::Value;

/// Deepest nesting of an input, output or task result. Stored with what surrounds it, it must stay
/// below what the JSON parser accepts, or the store could not be read again.
const MAX_DEPTH: usize = 100;

/// Whether `value` is nested more deeply than the engine keeps.
pub fn exceeds_depth(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(values) => left == 0 || values.iter().any(|value| deeper(value, left - 1)),
            Value::Object(members) => {
                left == 0 || members.values().any(|value| deeper(value, left - 1))
            }
            _ => false,
        }
    }
    deeper(value, MAX_DEPTH)
}

/// Bytes of the JSON text of a value.
pub fn json_length(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Values always have a text.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Whether the JSON text of `value` is longer than `limit` bytes.
pub fn exceeds(value: &Value, limit: usize) -> bool {
    struct Budget(usize);
    impl std::io::Write for Budget {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // Most values are far too short for their text to be worth writing.
    longest_text(value) > limit && serde_json::to_writer(Budget(limit), value).is_err()
}

/// Bytes that the JSON text of a value has at most: every character may need an escape.
fn longest_text(value: &Value) -> usize {
    const ESCAPE: usize = 6;
    const NUMBER: usize = 32;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => NUMBER,
        Value::String(text) => ESCAPE * text.len() + 2,
        Value::Array(values) => {
            values
                .iter()
                .map(|value| longest_text(value) + 1)
                .sum::<usize>()
                + 2
        }
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| ESCAPE * name.len() + longest_text(value) + 4;
            members.iter().map(member).sum::<usize>() + 2
        }
    }
}
