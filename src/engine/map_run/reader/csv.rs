//! Delimited text: one item a row, its fields named by a header (developer guide, "How Step
//! Functions parses input CSV files").
//!
//! The rules are AWS's own: a backslash escapes a delimiter, a quote and a backslash, inside quotes
//! and outside, and is dropped before anything else; a doubled quote stands for one also in a field
//! without quotes. Rows are cut without looking ahead, so that no more than one is in memory.

use std::io::BufRead;

use super::open::unreadable;
use super::{Item, MAX_ITEM, Stop, Visit};
use crate::engine::definition::Csv;

/// Longest header row (developer guide, "ItemReader").
const MAX_HEADERS: usize = 10 << 10;

/// The rows as JSON objects. A field too few is an empty string, one too many is left out.
pub(super) fn items(body: &mut dyn BufRead, csv: &Csv, visit: &mut Visit<'_>) -> Result<(), Stop> {
    let mut rows = Rows::new(body, csv.delimiter, Backslash::Escapes);
    let mut row = Row::default();
    let headers = match &csv.headers {
        Some(headers) => headers.clone(),
        None if rows.next(&mut row)? => (0..row.len())
            .map(|field| rows.text(&row, field).map(str::to_owned))
            .collect::<Result<_, _>>()?,
        None => return Ok(()),
    };
    let objects = Objects::new(&headers)?;
    let mut text = Vec::new();
    while rows.next(&mut row)? {
        objects.write(&rows, &row, &mut text)?;
        visit(Item::plain(&text))?;
    }
    Ok(())
}

/// Makes JSON objects of rows.
pub(super) struct Objects {
    /// What comes before each value: the name as JSON text, and a colon.
    names: Vec<String>,
}

impl Objects {
    pub fn new(headers: &[String]) -> Result<Self, Stop> {
        if headers.iter().map(|header| header.len() + 1).sum::<usize>() > MAX_HEADERS {
            return Err(Stop::reader(format!(
                "The CSV headers are longer than {MAX_HEADERS} bytes."
            )));
        }
        let mut sorted: Vec<&String> = headers.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Stop::reader("CSV headers cannot contain duplicates."));
        }
        let name = |header: &String| format!("{}:", serde_json::Value::from(header.as_str()));
        let names = headers.iter().map(name).collect();
        Ok(Self { names })
    }

    /// Puts the row's JSON text into `text`.
    pub fn write(&self, rows: &Rows<'_>, row: &Row, text: &mut Vec<u8>) -> Result<(), Stop> {
        text.clear();
        text.push(b'{');
        for (field, name) in self.names.iter().enumerate() {
            if field > 0 {
                text.push(b',');
            }
            text.extend_from_slice(name.as_bytes());
            serde_json::to_writer(&mut *text, rows.text(row, field)?)
                .expect("writing to memory does not fail");
        }
        text.push(b'}');
        Ok(())
    }
}

/// One row; its memory is used again for the next.
#[derive(Default)]
pub(super) struct Row {
    bytes: Vec<u8>,
    /// Where each field ends.
    ends: Vec<usize>,
}

impl Row {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn end_field(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Empty where there is no such field.
    fn field(&self, field: usize) -> &[u8] {
        let Some(end) = self.ends.get(field) else {
            return &[];
        };
        let start = field.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..*end]
    }
}

/// What a backslash means.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Backslash {
    Escapes,
    /// As in files that S3 itself writes.
    IsPlain,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Plain,
    /// Behind a quote in a field without quotes.
    PlainQuote,
    Quoted,
    /// Behind a quote in a field with quotes: its end, or the first of two.
    Quote,
}

pub(super) struct Rows<'b> {
    body: &'b mut dyn BufRead,
    delimiter: u8,
    backslash: Backslash,
    /// Of the row read last, from 1.
    number: u64,
}

impl<'b> Rows<'b> {
    pub fn new(body: &'b mut dyn BufRead, delimiter: u8, backslash: Backslash) -> Self {
        Self {
            body,
            delimiter,
            backslash,
            number: 0,
        }
    }

    /// Reads the next row that is not blank; `false` at the end.
    pub fn next(&mut self, row: &mut Row) -> Result<bool, Stop> {
        row.bytes.clear();
        row.ends.clear();
        self.number += 1;
        let mut state = State::FieldStart;
        let mut is_escaped = false;
        loop {
            let chunk = self.body.fill_buf().map_err(unreadable)?;
            if chunk.is_empty() {
                if state == State::PlainQuote {
                    row.bytes.push(b'"');
                }
                let is_blank = state == State::FieldStart && row.ends.is_empty();
                row.end_field();
                return Ok(!is_blank);
            }
            let mut taken = 0;
            let mut ends = false;
            for byte in chunk {
                taken += 1;
                let special = [b'"', b'\\', self.delimiter].contains(byte);
                if std::mem::take(&mut is_escaped) && special {
                    row.bytes.push(*byte);
                    continue;
                }
                if *byte == b'\\' && self.backslash == Backslash::Escapes {
                    is_escaped = true;
                    if state == State::PlainQuote {
                        row.bytes.push(b'"');
                    }
                    if state != State::Quoted {
                        state = State::Plain;
                    }
                    continue;
                }
                let is_blank = state == State::FieldStart && row.ends.is_empty();
                state = match (state, *byte) {
                    (State::FieldStart, b'"') => State::Quoted,
                    (State::Quoted, b'"') => State::Quote,
                    (State::Plain, b'"') => State::PlainQuote,
                    (State::Quote, b'"') => {
                        row.bytes.push(b'"');
                        State::Quoted
                    }
                    (State::PlainQuote, b'"') => {
                        row.bytes.push(b'"');
                        State::Plain
                    }
                    (State::Quoted, byte) => {
                        row.bytes.push(byte);
                        State::Quoted
                    }
                    (before, byte) => {
                        if before == State::PlainQuote {
                            row.bytes.push(b'"');
                        }
                        if byte == self.delimiter {
                            row.end_field();
                            State::FieldStart
                        } else if matches!(byte, b'\n' | b'\r') {
                            // The second half of CR LF is a blank row of its own.
                            if is_blank {
                                continue;
                            }
                            ends = true;
                            break;
                        } else {
                            row.bytes.push(byte);
                            State::Plain
                        }
                    }
                };
            }
            self.body.consume(taken);
            if row.bytes.len() > MAX_ITEM {
                let number = self.number;
                let problem = format!("row {number} is longer than {MAX_ITEM} bytes");
                return Err(Stop::reader(problem));
            }
            if ends {
                row.end_field();
                return Ok(true);
            }
        }
    }

    fn text<'r>(&self, row: &'r Row, field: usize) -> Result<&'r str, Stop> {
        std::str::from_utf8(row.field(field))
            .map_err(|_| Stop::reader(format!("row {} is not valid UTF-8", self.number)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(
        text: &[u8],
        headers: Option<&[&str]>,
        delimiter: u8,
        window: usize,
    ) -> Result<Vec<Value>, String> {
        let owned = |headers: &[&str]| headers.iter().map(|name| (*name).to_owned()).collect();
        let csv = Csv {
            delimiter,
            headers: headers.map(owned),
        };
        let mut found = Vec::new();
        let mut body = BufReader::with_capacity(window, text);
        let result = items(&mut body, &csv, &mut |item| {
            found.push(serde_json::from_slice(item.text).unwrap());
            Ok(())
        });
        match result {
            Ok(()) => Ok(found),
            Err(Stop::Failed(failure)) => Err(failure.cause.unwrap_or_default()),
            Err(_) => Err("stopped".into()),
        }
    }

    /// Rows of `text` in the columns `a`, `b` and `c`.
    fn rows(text: &str) -> Vec<[String; 3]> {
        let found = read(text.as_bytes(), Some(&["a", "b", "c"]), b',', 7).unwrap();
        let field = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
        found
            .iter()
            .map(|row| ["a", "b", "c"].map(|name| field(row, name)))
            .collect()
    }

    #[test]
    fn short_rows_are_filled_and_long_ones_cut() {
        let text = "one\n1,2,3,4\n,,\n   ,\r\n\r\n\nlast,";
        assert_eq!(
            rows(text),
            [
                ["one", "", ""],
                ["1", "2", "3"],
                ["", "", ""],
                ["   ", "", ""],
                ["last", "", ""],
            ]
        );
    }

    #[test]
    fn quotes_keep_delimiters_and_newlines() {
        let text = "\"a,b\",\"two\r\nlines\",\"he said \"\"no\"\"\"\n\"\",x\"y,\"z\"!\n";
        assert_eq!(
            rows(text),
            [
                ["a,b", "two\r\nlines", "he said \"no\""],
                ["", "x\"y", "z!"],
            ]
        );
        // Also where the field has no quotes.
        assert_eq!(
            rows("{\"\"k\"\":\"\"v\"\"},1"),
            [["{\"k\":\"v\"}", "1", ""]]
        );
    }

    #[test]
    fn backslashes_escape_what_is_special_and_are_dropped_otherwise() {
        assert_eq!(
            rows("C:\\\\x\\y,a\\,b,\\\"q\\\"\n\"in \\\"side\\\"\",\"\\n\",\\"),
            [["C:\\xy", "a,b", "\"q\""], ["in \"side\"", "n", ""],]
        );
    }

    #[test]
    fn headers_come_from_the_first_row_or_are_given() {
        let text = "id|na me|\n1|x|y\n";
        assert_eq!(
            read(text.as_bytes(), None, b'|', 3).unwrap(),
            [json!({"id": "1", "na me": "x", "": "y"})]
        );
        assert_eq!(
            read(b"1\tx", Some(&["k"]), b'\t', 1).unwrap(),
            [json!({"k": "1"})]
        );
        assert_eq!(read(b"", None, b',', 1).unwrap(), Vec::<Value>::new());
        let twice = "CSV headers cannot contain duplicates.";
        assert_eq!(read(b"a,b,a\n", None, b',', 9).unwrap_err(), twice);
        assert_eq!(read(b"1", Some(&["k", "k"]), b',', 9).unwrap_err(), twice);
        let long = format!("{}\n1", "x".repeat(MAX_HEADERS));
        let problem = read(long.as_bytes(), None, b',', 99).unwrap_err();
        assert_eq!(problem, "The CSV headers are longer than 10240 bytes.");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_by_row() {
        let problem = read(b"a\n1\n\xff\n", None, b',', 9).unwrap_err();
        assert_eq!(problem, "row 3 is not valid UTF-8");
    }

    proptest! {
        /// What the csv crate writes is read back; its quotes and ours mean the same.
        #[test]
        fn agrees_with_the_csv_crate(
            headers in proptest::collection::btree_set(field(), 1..5), given: bool,
            table in proptest::collection::vec(proptest::collection::vec(field(), 4), 0..6),
            delimiter in proptest::sample::select(&b",;\t| "[..]), crlf: bool, style in 0..3,
            window in 1_usize..30,
        ) {
            let style = [csv::QuoteStyle::Always, csv::QuoteStyle::Necessary, csv::QuoteStyle::NonNumeric][style as usize];
            let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().delimiter(delimiter).terminator(terminator)
                .quote_style(style).from_writer(Vec::new());
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            // As wide as the header. Only ours takes a backslash for an escape.
            let escaped = |field: &str| field.replace('\\', "\\\\");
            if !given {
                writer.write_record(headers.iter().map(|header| escaped(header))).unwrap();
            }
            for row in &table {
                writer.write_record(row[..headers.len()].iter().map(|field| escaped(field))).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let found = read(&text, given.then_some(&headers[..]), delimiter, window).unwrap();
            let named = |row: &Vec<String>| {
                let members = headers.iter().zip(row).map(|(header, field)| ((*header).to_owned(), field.as_str().into()));
                Value::Object(members.collect())
            };
            let expected: Vec<Value> = table.iter().map(named).collect();
            prop_assert_eq!(found, expected);
        }

        /// Without quotes and backslashes inside, both read the same.
        #[test]
        fn reads_plain_text_as_the_csv_crate(text in "([a-c é]{0,3}|,|\n|\r\n|\"[a,\n]{0,3}\"){0,24}", window in 1_usize..20) {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let expected: Vec<Value> = reader.records().map(|row| {
                let row = row.unwrap();
                let field = |at: usize| row.get(at).unwrap_or_default().to_owned();
                json!({"0": field(0), "1": field(1)})
            }).collect();
            // A quote inside a field is read differently on purpose.
            prop_assume!(!text.contains("\"\"") && !has_quote_inside(&text));
            prop_assert_eq!(read(text.as_bytes(), Some(&["0", "1"]), b',', window).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), window in 1_usize..9) {
            let _ = read(&bytes, None, b',', window);
        }
    }

    fn field() -> impl Strategy<Value = String> {
        "[a-c,;|\t\" \\\\\r\né]{0,6}"
    }

    fn has_quote_inside(text: &str) -> bool {
        text.as_bytes()
            .windows(2)
            .any(|pair| pair[1] == b'"' && !b",\n\r\"".contains(&pair[0]))
    }
}
