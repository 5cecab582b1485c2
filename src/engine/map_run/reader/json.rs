//! A JSON file: the elements of an array or the members of an object, at its root or where a JSON
//! pointer (`ItemsPointer`) leads. The text is cut at commas outside strings and brackets, so that
//! no more than one item is in memory.

use std::io::BufRead;

use serde_json::value::RawValue;

use super::open::unreadable;
use super::{Item, MAX_ITEM, Stop, Visit};

/// `pointer` is a JSON pointer (RFC 6901); empty for the whole text.
pub(super) fn items(
    body: &mut dyn BufRead,
    pointer: &str,
    visit: &mut Visit<'_>,
) -> Result<(), Stop> {
    let mut text = Text { body };
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if !text.descend(&token)? {
            let problem = format!("The ItemsPointer '{pointer}' leads to nothing in the object");
            return Err(Stop::reader(problem));
        }
    }
    match text.peek()? {
        Some(b'[') => text.elements(visit)?,
        Some(b'{') => text.members(visit)?,
        Some(_) => return Err(Stop::reader("Attempting to map over non-iterable node.")),
        None => return Err(incomplete()),
    }
    // Behind a part nobody looks: the rest may be long.
    if pointer.is_empty() && text.peek()?.is_some() {
        return Err(Stop::reader("there is text after the JSON value"));
    }
    Ok(())
}

fn incomplete() -> Stop {
    Stop::reader("the JSON text is not complete")
}

struct Text<'b> {
    body: &'b mut dyn BufRead,
}

impl Text<'_> {
    /// The next byte that is not white space; it stays where it is.
    fn peek(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            let chunk = self.body.fill_buf().map_err(unreadable)?;
            let blank = chunk.iter().take_while(|byte| is_blank(**byte)).count();
            let next = chunk.get(blank).copied();
            let is_end = chunk.is_empty();
            self.body.consume(blank);
            if next.is_some() || is_end {
                return Ok(next);
            }
        }
    }

    fn take(&mut self) -> Result<u8, Stop> {
        let next = self.peek()?.ok_or_else(incomplete)?;
        self.body.consume(1);
        Ok(next)
    }

    /// Takes an opening bracket; whether nothing is between it and the closing one, which is then
    /// taken, too.
    fn open(&mut self, close: u8) -> Result<bool, Stop> {
        self.take()?;
        let is_empty = self.peek()? == Some(close);
        if is_empty {
            self.body.consume(1);
        }
        Ok(is_empty)
    }

    /// Whether another entry follows; else the closing bracket was taken.
    fn goes_on(&mut self, close: u8) -> Result<bool, Stop> {
        match self.take()? {
            b',' => Ok(true),
            byte if byte == close => Ok(false),
            _ => Err(Stop::reader("the JSON text has no comma between two items")),
        }
    }

    /// Takes one value, which may be malformed inside.
    fn value(&mut self, mut keep: Option<&mut Vec<u8>>) -> Result<(), Stop> {
        if let Some(keep) = &mut keep {
            keep.clear();
        }
        self.peek()?;
        let mut scan = Scan::default();
        loop {
            let chunk = self.body.fill_buf().map_err(unreadable)?;
            if chunk.is_empty() {
                return if scan.is_scalar {
                    Ok(())
                } else {
                    Err(incomplete())
                };
            }
            let (length, ends) = scan.run(chunk);
            if let Some(keep) = &mut keep {
                keep.extend_from_slice(&chunk[..length]);
                if keep.len() > MAX_ITEM {
                    let problem = format!("an item is longer than {MAX_ITEM} bytes");
                    return Err(Stop::reader(problem));
                }
            }
            self.body.consume(length);
            if ends {
                return Ok(());
            }
        }
    }

    /// Takes a member's name and the colon behind it.
    fn name(&mut self, buffer: &mut Vec<u8>) -> Result<String, Stop> {
        self.value(Some(buffer))?;
        let name = serde_json::from_slice(buffer);
        let is_followed = self.take()? == b':';
        name.ok().filter(|_| is_followed).ok_or_else(|| {
            let shown: String = String::from_utf8_lossy(buffer).chars().take(80).collect();
            Stop::reader(format!("{shown} is not the name of a member"))
        })
    }

    /// Goes to the value below the present one that `token` names; `false` when there is none.
    fn descend(&mut self, token: &str) -> Result<bool, Stop> {
        let mut buffer = Vec::new();
        match self.peek()? {
            Some(b'{') => {
                let mut more = !self.open(b'}')?;
                while more {
                    if self.name(&mut buffer)? == token {
                        return Ok(true);
                    }
                    self.value(None)?;
                    more = self.goes_on(b'}')?;
                }
                Ok(false)
            }
            Some(b'[') => {
                let Ok(index) = token.parse::<u64>() else {
                    return Ok(false);
                };
                let mut more = !self.open(b']')?;
                for _ in 0..index {
                    if !more {
                        break;
                    }
                    self.value(None)?;
                    more = self.goes_on(b']')?;
                }
                Ok(more)
            }
            _ => Ok(false),
        }
    }

    fn elements(&mut self, visit: &mut Visit<'_>) -> Result<(), Stop> {
        let mut element = Vec::new();
        let mut more = !self.open(b']')?;
        for number in 0_u64.. {
            if !more {
                break;
            }
            self.value(Some(&mut element))?;
            if serde_json::from_slice::<&RawValue>(&element).is_err() {
                let problem = format!("element {number} is not valid JSON");
                return Err(Stop::reader(problem));
            }
            visit(Item::plain(&element))?;
            more = self.goes_on(b']')?;
        }
        Ok(())
    }

    fn members(&mut self, visit: &mut Visit<'_>) -> Result<(), Stop> {
        let mut member = Vec::new();
        let mut more = !self.open(b'}')?;
        while more {
            let name = self.name(&mut member)?;
            self.value(Some(&mut member))?;
            if serde_json::from_slice::<&RawValue>(&member).is_err() {
                let problem = format!("the value of member \"{name}\" is not valid JSON");
                return Err(Stop::reader(problem));
            }
            let key = Some(name.as_str());
            visit(Item {
                key,
                ..Item::plain(&member)
            })?;
            more = self.goes_on(b'}')?;
        }
        Ok(())
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Finds where a value ends, over any number of chunks.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// A number or a word outside brackets has begun: only what is behind it ends it.
    is_scalar: bool,
}

impl Scan {
    /// How many bytes of the chunk belong to the value, and whether it ends there.
    fn run(&mut self, chunk: &[u8]) -> (usize, bool) {
        for (at, byte) in chunk.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => {
                        self.in_string = false;
                        if self.depth == 0 {
                            return (at + 1, true);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' | b'[' | b'{' if self.is_scalar => return (at, true),
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' if self.depth == 0 => return (at, true),
                b']' | b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ if self.depth > 0 => {}
                b',' | b':' => return (at, true),
                byte if is_blank(*byte) => return (at, true),
                _ => self.is_scalar = true,
            }
        }
        (chunk.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Key and text of each item, read `window` bytes at a time.
    fn split(
        text: &[u8],
        pointer: &str,
        window: usize,
    ) -> Result<Vec<(Option<String>, String)>, String> {
        let mut found = Vec::new();
        let mut body = BufReader::with_capacity(window, text);
        let result = items(&mut body, pointer, &mut |item| {
            let text = String::from_utf8_lossy(item.text).into_owned();
            found.push((item.key.map(str::to_owned), text));
            Ok(())
        });
        match result {
            Ok(()) => Ok(found),
            Err(Stop::Failed(failure)) => Err(failure.cause.unwrap_or_default()),
            Err(_) => Err("stopped".into()),
        }
    }

    fn elements(text: &[u8]) -> Result<Vec<String>, String> {
        let found = split(text, "", 3)?;
        Ok(found.into_iter().map(|(_, text)| text).collect())
    }

    #[test]
    fn arrays_are_split_outside_strings_only() {
        assert_eq!(
            elements(br#" [1, {"a":[2,"],"]} , "x\"]", null ] "#).unwrap(),
            ["1", r#"{"a":[2,"],"]}"#, r#""x\"]""#, "null"]
        );
        assert_eq!(elements(b"[]").unwrap(), Vec::<String>::new());
        assert_eq!(elements(b" { } ").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn malformed_texts_are_refused() {
        for (text, problem) in [
            ("7", "Attempting to map over non-iterable node."),
            ("", "the JSON text is not complete"),
            ("[1,", "the JSON text is not complete"),
            ("[1 2]", "the JSON text has no comma between two items"),
            ("[1,]", "element 1 is not valid JSON"),
            ("[nil]", "element 0 is not valid JSON"),
            ("[] []", "there is text after the JSON value"),
            ("{a:1}", "a is not the name of a member"),
            ("{\"a\":}", "the value of member \"a\" is not valid JSON"),
        ] {
            assert_eq!(elements(text.as_bytes()).unwrap_err(), problem, "{text}");
        }
    }

    #[test]
    fn a_pointer_leads_to_a_part() {
        let text = br#"{"skip":{"x":[1]},"a/b":[[],{"~":{"k":[7,8],"m":{"p":1}}}],"end":nonsense"#;
        let at = |pointer| split(text, pointer, 5);
        let plain = |text: &str| (None, text.to_owned());
        assert_eq!(at("/a~1b/1/~0/k").unwrap(), [plain("7"), plain("8")]);
        let member = (Some("p".to_owned()), "1".to_owned());
        assert_eq!(at("/a~1b/1/~0/m").unwrap(), [member]);
        assert_eq!(at("/a~1b/0").unwrap(), []);
        for missing in ["/a~1b/2", "/a~1b/x", "/skip/y"] {
            let problem = format!("The ItemsPointer '{missing}' leads to nothing in the object");
            assert_eq!(at(missing).unwrap_err(), problem);
        }
        assert_eq!(
            at("/skip/x/0").unwrap_err(),
            "Attempting to map over non-iterable node."
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("\\PC{0,4}", inner, 0..4)
                    .prop_map(|members| json!(members)),
            ]
        })
    }

    proptest! {
        #[test]
        fn splitting_agrees_with_parsing(
            values in proptest::collection::vec(any_json(), 0..5), window in 1_usize..40, pretty: bool,
        ) {
            let array = json!({"a": {"0": values}});
            let text = if pretty { serde_json::to_string_pretty(&array).unwrap() } else { array.to_string() };
            let found = split(text.as_bytes(), "/a/0", window).unwrap();
            let found: Vec<Value> = found.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn members_agree_with_parsing(
            members in proptest::collection::btree_map("\\PC{0,4}", any_json(), 0..5), window in 1_usize..40,
        ) {
            let text = json!(members).to_string();
            let found = split(text.as_bytes(), "", window).unwrap();
            let found: std::collections::BTreeMap<String, Value> = found.into_iter()
                .map(|(key, text)| (key.unwrap(), serde_json::from_str(&text).unwrap()))
                .collect();
            prop_assert_eq!(found, members);
        }

        #[test]
        fn any_bytes_are_split_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), window in 1_usize..9) {
            let _ = split(&bytes, "", window);
            let _ = split(&bytes, "/a/0", window);
        }
    }
}
