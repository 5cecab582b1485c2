//! Lists as files: CSV, JSON, or a JSON document a line.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
    /// JSON Lines.
    Ndjson,
}

impl Format {
    pub const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Csv, "csv", "a table for spreadsheets"),
        (Self::Json, "json", "one JSON document"),
        (Self::Ndjson, "ndjson", "a JSON document a line"),
    ];

    pub fn parse(name: &str) -> Option<Self> {
        if name == "jsonl" {
            return Some(Self::Ndjson);
        }
        let mut all = Self::ALL.into_iter();
        all.find(|(_, known, _)| *known == name).map(|it| it.0)
    }

    /// By the end of a file's name: `.csv`, `.json`, `.jsonl` or `.ndjson`.
    pub fn of(path: &Path) -> Option<Self> {
        Self::parse(&path.extension()?.to_str()?.to_ascii_lowercase())
    }

    pub fn extension(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(format, ..)| *format == self)
            .map_or("", |(_, name, _)| name)
    }
}

/// Writes rows under columns as they come; nothing is kept.
pub struct Rows<W> {
    to: W,
    format: Format,
    columns: &'static [&'static str],
    written: u64,
}

impl<W: Write> Rows<W> {
    /// Writes what stands before the first row.
    pub fn begin(mut to: W, format: Format, columns: &'static [&'static str]) -> io::Result<Self> {
        match format {
            Format::Csv => {
                let names = columns.iter().map(|name| (*name).to_owned());
                to.write_all(line(names).as_bytes())?;
            }
            Format::Json => to.write_all(b"[")?,
            Format::Ndjson => {}
        }
        Ok(Self {
            to,
            format,
            columns,
            written: 0,
        })
    }

    /// One row: a cell for each column.
    pub fn row(&mut self, cells: Vec<Value>) -> io::Result<()> {
        if self.format == Format::Csv {
            self.to.write_all(line(cells.iter().map(cell)).as_bytes())?;
        } else {
            let members = self.columns.iter().map(|name| (*name).to_owned());
            let document = Value::Object(members.zip(cells).collect::<Map<_, _>>());
            let before = match (self.format, self.written) {
                (Format::Json, 0) => "\n",
                (Format::Json, _) => ",\n",
                _ => "",
            };
            let after = if self.format == Format::Ndjson {
                "\n"
            } else {
                ""
            };
            write!(self.to, "{before}{document}{after}")?;
        }
        self.written += 1;
        Ok(())
    }

    /// Writes what stands after the last row; returns how many there are.
    pub fn end(mut self) -> io::Result<(W, u64)> {
        if self.format == Format::Json {
            self.to.write_all(b"\n]\n")?;
        }
        self.to.flush()?;
        Ok((self.to, self.written))
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        let is_plain = !cell.contains(['"', ',', '\n', '\r']);
        match is_plain {
            true => cell,
            false => format!("\"{}\"", cell.replace('"', "\"\"")),
        }
    });
    let cells: Vec<String> = quoted.collect();
    cells.join(",") + "\r\n"
}

/// Strangers write names and errors, and a spreadsheet takes some of what they may write for a
/// formula: such text gets an apostrophe before it, which spreadsheets do not show.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(format: Format, rows: Vec<Vec<Value>>) -> String {
        let mut file = Rows::begin(Vec::new(), format, &["a", "b"]).unwrap();
        for cells in rows {
            file.row(cells).unwrap();
        }
        String::from_utf8(file.end().unwrap().0).unwrap()
    }

    #[test]
    fn a_formula_of_a_stranger_stays_text() {
        let rows = || vec![vec![json!("=HYPERLINK(\"x\")"), json!(7)]];
        assert_eq!(
            text(Format::Csv, rows()),
            "a,b\r\n\"'=HYPERLINK(\"\"x\"\")\",7\r\n"
        );
        assert_eq!(
            text(Format::Ndjson, rows()),
            "{\"a\":\"=HYPERLINK(\\\"x\\\")\",\"b\":7}\n"
        );
    }

    #[test]
    fn a_list_is_one_document_however_long() {
        for count in 0..3 {
            let rows = (0..count).map(|number| vec![json!(number), Value::Null]);
            let read: Value = serde_json::from_str(&text(Format::Json, rows.collect())).unwrap();
            assert_eq!(read.as_array().unwrap().len(), count);
        }
    }

    #[test]
    fn a_file_says_its_format_by_its_end() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a/b.CSV"), Some(Format::Csv));
        assert_eq!(of("b.jsonl"), Some(Format::Ndjson));
        assert_eq!(of("b.txt"), None);
        assert_eq!(of("csv"), None);
    }

    proptest! {
        /// A reader of CSV gets back what was written, but for the apostrophe.
        #[test]
        fn csv_is_read_back(one in any::<String>(), other in any::<String>()) {
            let text = text(Format::Csv, vec![vec![json!(one), json!(other)]]);
            let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
            let row = reader.records().next().unwrap().unwrap();
            for (read, written) in row.iter().zip([one, other]) {
                prop_assert!(read == written || read.strip_prefix('\'') == Some(&written));
            }
        }
    }
}
