//! An index of the lines of a source object: where each item begins, which line that is, and a
//! fingerprint of what it says. Built once, kept in the cache folder, never held in memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::model::Object;
use crate::operations::results::ItemFormat;
use crate::operations::{Error, hex};

/// Bytes of one item; the service takes 256 KiB, and reads a bit more of CSV.
const LONGEST: usize = 8 << 20;
/// Bytes of an entry.
const ENTRY: u64 = 32;
/// The mark that some programs begin a file with.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// Goes up when entries change.
const VERSION: &str = "1";

/// An item of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub line: u64,
    pub offset: u64,
    pub length: u64,
    pub fingerprint: u64,
}

/// The index of one version of an object.
pub struct Lines {
    path: PathBuf,
    /// Items.
    pub count: u64,
}

impl Lines {
    /// Opens the index of this version, or builds it.
    ///
    /// # Errors
    /// `Malformed` where the object holds no such items, `File` where the cache cannot be written,
    /// and what the service answers.
    pub async fn open(
        client: &Client,
        object: &Object,
        format: &ItemFormat,
        cache: &Path,
    ) -> Result<Self, Error> {
        let folder = cache.join("lines");
        let path = folder.join(name(object, format));
        let known = |path: &Path| Some(path.metadata().ok()?.len() / ENTRY);
        if let Some(count) = known(&path) {
            return Ok(Self { path, count });
        }
        let failed = |error: io::Error| Error::file(&folder, error);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
        let count = build(client, object, format, file.as_file_mut(), &folder).await?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(Self { path, count })
    }

    /// The item with this number, from 0.
    pub fn item(&self, number: u64) -> io::Result<Option<Item>> {
        if self.count <= number {
            return Ok(None);
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(number * ENTRY))?;
        let mut entry = [0; ENTRY as usize];
        file.read_exact(&mut entry)?;
        Ok(Some(read(&entry)))
    }

    /// The item that begins on this line: items are in the order of their lines.
    pub fn of_line(&self, line: u64) -> io::Result<Option<Item>> {
        let (mut from, mut until) = (0, self.count);
        while from < until {
            let middle = from + (until - from) / 2;
            match self.item(middle)? {
                Some(item) if item.line == line => return Ok(Some(item)),
                Some(item) if item.line < line => from = middle + 1,
                _ => until = middle,
            }
        }
        Ok(None)
    }

    /// The items with this fingerprint: the first `most`, and how many there are.
    pub fn with(&self, fingerprint: u64, most: usize) -> io::Result<(Vec<Item>, u64)> {
        let mut file = BufReader::with_capacity(1 << 16, File::open(&self.path)?);
        let (mut found, mut count) = (Vec::new(), 0);
        let mut entry = [0; ENTRY as usize];
        for _ in 0..self.count {
            file.read_exact(&mut entry)?;
            let item = read(&entry);
            if item.fingerprint == fingerprint {
                count += 1;
                if found.len() < most {
                    found.push(item);
                }
            }
        }
        Ok((found, count))
    }
}

fn read(entry: &[u8; ENTRY as usize]) -> Item {
    let part = |at: usize| {
        let bytes = entry[8 * at..8 * at + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes"))
    };
    Item {
        line: part(0),
        offset: part(1),
        length: part(2),
        fingerprint: part(3),
    }
}

/// The file's name: of another version or another reading of an object it is another.
fn name(object: &Object, format: &ItemFormat) -> String {
    let mut digest = Sha256::new();
    let format = format!("{format:?}");
    let address = &object.address;
    for part in [
        VERSION,
        &address.bucket,
        &address.key,
        &object.etag,
        &format,
    ] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    hex(&digest.finalize()[..16])
}

async fn build(
    client: &Client,
    object: &Object,
    format: &ItemFormat,
    file: &mut File,
    folder: &Path,
) -> Result<u64, Error> {
    let malformed = |problem: String| Error::malformed(&object.address, problem);
    let mut out = BufWriter::new(file);
    let body = client
        .read(&object.address, None, Some(&object.etag))
        .await?;
    let mut bytes = body.bytes;
    let mut splitter = Splitter::new(format).map_err(malformed)?;
    let mut count = 0;
    let mut written = Ok(());
    let mut put = |item: Item| {
        count += 1;
        for part in [item.line, item.offset, item.length, item.fingerprint] {
            if written.is_ok() {
                written = out.write_all(&part.to_le_bytes());
            }
        }
    };
    while let Some(chunk) = bytes.next().await {
        splitter.push(&chunk?, &mut put).map_err(malformed)?;
    }
    splitter.finish(&mut put);
    let flushed = written.and_then(|()| out.flush());
    flushed.map_err(|error| Error::file(folder, error))?;
    Ok(count)
}

/// Cuts a source into items as the service does: a line each, or of CSV a record.
struct Splitter {
    /// `None` of JSON Lines.
    csv: Option<Csv>,
    carried: Vec<u8>,
    /// Where `carried` begins.
    offset: u64,
    /// The line that `carried` begins with, from 1.
    line: u64,
    /// Bytes of `carried` that have been looked through.
    seen: usize,
    /// Quotation marks are open at the end of what has been looked through.
    in_quotes: bool,
    lines_in_record: u64,
}

struct Csv {
    delimiter: u8,
    header: Option<Vec<String>>,
}

impl Splitter {
    fn new(format: &ItemFormat) -> Result<Self, String> {
        let csv = match format {
            ItemFormat::JsonLines => None,
            ItemFormat::Csv { delimiter, header } => Some(Csv {
                delimiter: *delimiter,
                header: header.clone(),
            }),
            ItemFormat::Other(name) => return Err(format!("items of {name} are no lines")),
        };
        Ok(Self {
            csv,
            carried: Vec::new(),
            offset: 0,
            line: 1,
            seen: 0,
            in_quotes: false,
            lines_in_record: 0,
        })
    }

    fn push(&mut self, chunk: &[u8], put: &mut impl FnMut(Item)) -> Result<(), String> {
        let is_start = self.offset == 0 && self.carried.is_empty();
        if is_start && (chunk.starts_with(&[0x1f, 0x8b]) || chunk.starts_with(&[0x28, 0xb5, 0x2f]))
        {
            return Err("it is compressed, so no place in it can be read".to_owned());
        }
        self.carried.extend_from_slice(chunk);
        let mut begun = 0;
        let mut at = self.seen;
        while at < self.carried.len() {
            let rest = &self.carried[at..];
            let next = match self.csv {
                Some(_) => memchr::memchr2(b'\n', b'"', rest),
                None => memchr::memchr(b'\n', rest),
            };
            let Some(next) = next else {
                at = self.carried.len();
                break;
            };
            at += next + 1;
            if self.carried[at - 1] == b'"' {
                self.in_quotes = !self.in_quotes;
                continue;
            }
            self.lines_in_record += 1;
            if !self.in_quotes {
                let record = begun..at - 1;
                self.record(record, put);
                begun = at;
            }
        }
        self.seen = at - begun;
        self.carried.drain(..begun);
        self.offset += begun as u64;
        if LONGEST < self.carried.len() {
            return Err(format!("line {} is longer than {LONGEST} bytes", self.line));
        }
        Ok(())
    }

    fn finish(&mut self, put: &mut impl FnMut(Item)) {
        if !self.carried.is_empty() {
            self.record(0..self.carried.len(), put);
        }
    }

    /// Takes in one record, given by its place in `carried`.
    fn record(&mut self, place: std::ops::Range<usize>, put: &mut impl FnMut(Item)) {
        let line = self.line;
        self.line += std::mem::take(&mut self.lines_in_record);
        let bytes = &self.carried[place.clone()];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let is_first = self.offset == 0 && place.start == 0;
        let bytes = match bytes.strip_prefix(BOM) {
            Some(rest) if is_first => rest,
            _ => bytes,
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let value = match &mut self.csv {
            None => value(&ItemFormat::JsonLines, bytes, &[]),
            Some(csv) => {
                let cells = cells(bytes, csv.delimiter);
                match &csv.header {
                    None => {
                        csv.header = Some(cells);
                        return;
                    }
                    Some(header) => Some(row(header, cells)),
                }
            }
        };
        put(Item {
            line,
            offset: self.offset + place.start as u64,
            length: place.len() as u64,
            // What cannot be read equals nothing, as it were nothing.
            fingerprint: value.map_or(0, |value| fingerprint(&value)),
        });
    }
}

/// The value of an item of JSON Lines, or of CSV under a header.
pub fn value(format: &ItemFormat, bytes: &[u8], header: &[String]) -> Option<Value> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    match format {
        ItemFormat::JsonLines => serde_json::from_slice(bytes).ok(),
        ItemFormat::Csv { delimiter, .. } => Some(row(header, cells(bytes, *delimiter))),
        ItemFormat::Other(_) => None,
    }
}

/// The cells of the record that a CSV source has before its first item.
pub fn header(before: &str, delimiter: u8) -> Vec<String> {
    let mut record = before.strip_prefix('\u{feff}').unwrap_or(before);
    // What is blank is no record.
    while let Some((blank, rest)) = record.split_once('\n')
        && blank.trim().is_empty()
    {
        record = rest;
    }
    cells(record.trim_end_matches(['\r', '\n']).as_bytes(), delimiter)
}

fn row(header: &[String], cells: Vec<String>) -> Value {
    let cells = cells.into_iter().map(Value::String);
    Value::Object(header.iter().cloned().zip(cells).collect::<Map<_, _>>())
}

/// The cells of a CSV record.
fn cells(record: &[u8], delimiter: u8) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell: Vec<u8> = Vec::new();
    let mut in_quotes = false;
    let mut bytes = record.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if in_quotes && bytes.peek() == Some(&b'"') => {
                cell.push(b'"');
                bytes.next();
            }
            b'"' => in_quotes = !in_quotes,
            _ if byte == delimiter && !in_quotes => {
                cells.push(String::from_utf8_lossy(&cell).into_owned());
                cell.clear();
            }
            _ => cell.push(byte),
        }
    }
    cells.push(String::from_utf8_lossy(&cell).into_owned());
    cells
}

/// A number that equal JSON values share, however their text is written.
pub fn fingerprint(value: &Value) -> u64 {
    let mixed = |seed: u64, bytes: &[u8]| {
        // FNV-1a: must be the same tomorrow, as the cache is.
        bytes
            .iter()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            })
    };
    match value {
        Value::Null => mixed(1, b""),
        Value::Bool(is_true) => mixed(2, &[u8::from(*is_true)]),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            // 0 and -0 are equal.
            mixed(3, &(number + 0.0).to_bits().to_le_bytes())
        }
        Value::String(text) => mixed(4, text.as_bytes()),
        Value::Array(items) => items.iter().fold(mixed(5, b""), |hash, item| {
            mixed(hash, &fingerprint(item).to_le_bytes())
        }),
        // In any order.
        Value::Object(members) => members.iter().fold(mixed(6, b""), |hash, (name, value)| {
            let member = mixed(fingerprint(value), name.as_bytes());
            hash.wrapping_add(mixed(7, &member.to_le_bytes()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn split(text: &str, format: &ItemFormat, cut: usize) -> Result<Vec<Item>, String> {
        let mut splitter = Splitter::new(format)?;
        let mut items = Vec::new();
        for chunk in text.as_bytes().chunks(cut) {
            splitter.push(chunk, &mut |item| items.push(item))?;
        }
        splitter.finish(&mut |item| items.push(item));
        Ok(items)
    }

    fn csv() -> ItemFormat {
        ItemFormat::Csv {
            delimiter: b',',
            header: None,
        }
    }

    #[test]
    fn equal_values_share_a_fingerprint_and_others_do_not() {
        let of = |text: &str| fingerprint(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"a":1,"b":[2.50]}"#), of(r#"{ "b":[2.5], "a":1.0 }"#));
        for other in [
            r#"{"a":1}"#,
            r#"{"a":2,"b":[2.5]}"#,
            r#"{"b":1,"a":[2.5]}"#,
            "[]",
            "null",
        ] {
            assert_ne!(of(other), of(r#"{"a":1,"b":[2.5]}"#), "{other}");
        }
    }

    #[test]
    fn records_over_several_lines_and_blank_ones_keep_their_number() {
        let text = "\u{feff}name,note\r\nA,plain\r\n\r\nB,\"two\nlines, \"\"q\"\"\"\nC,last";
        for cut in 1..30 {
            let items = split(text, &csv(), cut).unwrap();
            let lines: Vec<u64> = items.iter().map(|it| it.line).collect();
            assert_eq!(lines, [2, 4, 6], "{cut}");
            let second = json!({"name": "B", "note": "two\nlines, \"q\""});
            assert_eq!(items[1].fingerprint, fingerprint(&second));
        }
    }

    #[test]
    fn what_has_no_lines_is_refused() {
        assert!(split("\u{1f}x", &ItemFormat::Other("JSON".into()), 9).is_err());
        let mut splitter = Splitter::new(&ItemFormat::JsonLines).unwrap();
        assert!(
            splitter
                .push(&[0x1f, 0x8b, 8], &mut |_| {})
                .unwrap_err()
                .contains("compressed")
        );
    }

    proptest! {
        #[test]
        fn items_are_where_the_index_says(
            values in proptest::collection::vec((any::<i32>(), "[ -~]{0,12}", 0usize..3), 0..30),
            cut in 1usize..50,
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            let mut line = 1;
            for (number, word, blank) in values {
                let value = json!({"n": number, "w": word});
                expected.push((line, fingerprint(&value), value.to_string()));
                text += &format!("{value}\n{}", "\n".repeat(blank));
                line += 1 + blank as u64;
            }
            let items = split(&text, &ItemFormat::JsonLines, cut).unwrap();
            prop_assert_eq!(items.len(), expected.len());
            for (item, (line, fingerprint, written)) in items.iter().zip(expected) {
                let place = item.offset as usize..(item.offset + item.length) as usize;
                prop_assert_eq!(&text[place], written);
                prop_assert_eq!((item.line, item.fingerprint), (line, fingerprint));
            }
        }
    }
}
