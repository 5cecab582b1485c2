//! JSON Lines: one JSON value a line. Blank lines are skipped.

use std::io::{BufRead, Read};

use serde_json::value::RawValue;

use super::open::unreadable;
use super::{Item, MAX_ITEM, Stop, Visit};

pub(super) fn items(mut body: &mut dyn BufRead, visit: &mut Visit<'_>) -> Result<(), Stop> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = (&mut body)
            .take(MAX_ITEM as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(unreadable)?;
        if read == 0 {
            break;
        }
        if read > MAX_ITEM {
            return Err(Stop::reader(format!(
                "line {number} is longer than {MAX_ITEM} bytes"
            )));
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        if serde_json::from_slice::<&RawValue>(text).is_err() {
            return Err(Stop::reader(format!("line {number} is not valid JSON")));
        }
        visit(Item::plain(text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_json_is_named() {
        let mut found = 0;
        let result = items(&mut &b"{\"a\":1}\r\n\n[2]\nnope\n"[..], &mut |_| {
            found += 1;
            Ok(())
        });
        let Err(Stop::Failed(failure)) = result else {
            panic!("it must fail")
        };
        assert_eq!(
            (found, failure.cause.as_deref()),
            (2, Some("line 4 is not valid JSON"))
        );
    }
}
