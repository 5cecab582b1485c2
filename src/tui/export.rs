//! What a list shows, as a file: CSV, JSON or a JSON document a line.

use serde_json::{Map, Value, json};

use crate::tui::app::App;
use crate::tui::screen::{Screen, outputs};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
    Ndjson,
}

impl Format {
    pub const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Csv, "csv", "a table for spreadsheets"),
        (Self::Json, "json", "one JSON document"),
        (Self::Ndjson, "ndjson", "a JSON document a line"),
    ];

    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, known, _)| *known == name).map(|it| it.0)
    }

    pub fn extension(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(format, ..)| *format == self)
            .map_or("", |(_, name, _)| name)
    }
}

/// Rows under columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Sheet {
    /// All rows that fit the filter, in the order shown; `None` where there is no list.
    pub fn of(app: &App) -> Option<Self> {
        match app.screen() {
            Screen::Runs(it) => Some(Self {
                columns: vec![
                    "run",
                    "arn",
                    "state",
                    "started",
                    "stopped",
                    "items",
                    "succeeded",
                    "failed",
                    "redrives",
                ],
                rows: it
                    .rows(app)
                    .into_iter()
                    .map(|run| {
                        let items = app.data().map_run(&run.arn).map(|it| it.items);
                        vec![
                            json!(run.name),
                            json!(run.arn.as_str()),
                            json!(app.data().state(run, app.now).word()),
                            json!(run.started),
                            json!(run.stopped),
                            json!(items.map(|it| it.total)),
                            json!(items.map(|it| it.succeeded)),
                            json!(items.map(|it| it.failures())),
                            json!(run.redrive_count),
                        ]
                    })
                    .collect(),
            }),
            Screen::Failures(it) => Some(Self {
                columns: vec![
                    "line", "error", "cause", "status", "ended", "child", "input",
                ],
                rows: it
                    .shown(app)
                    .into_iter()
                    .map(|failure| {
                        vec![
                            json!(failure.line),
                            json!(failure.error),
                            json!(failure.cause),
                            json!(failure.status.as_str()),
                            json!(failure.stopped),
                            json!(failure.child.as_str()),
                            json!(failure.input),
                        ]
                    })
                    .collect(),
            }),
            Screen::Outputs(it) => Some(Self {
                columns: vec!["kind", "address", "bytes", "written", "etag"],
                rows: it
                    .objects(app)
                    .into_iter()
                    .map(|output| {
                        vec![
                            json!(outputs::word(output.kind)),
                            json!(output.object.address.to_string()),
                            json!(output.object.size),
                            json!(output.object.modified),
                            json!(output.object.etag),
                        ]
                    })
                    .collect(),
            }),
            _ => None,
        }
    }

    pub fn text(&self, format: Format) -> String {
        let documents = || {
            self.rows.iter().map(|row| {
                let members = self.columns.iter().map(|name| (*name).to_owned());
                Value::Object(members.zip(row.iter().cloned()).collect::<Map<_, _>>())
            })
        };
        match format {
            Format::Csv => self.csv(),
            Format::Json => format!("{:#}\n", Value::Array(documents().collect())),
            Format::Ndjson => {
                documents().fold(String::new(), |text, it| text + &it.to_string() + "\n")
            }
        }
    }

    fn csv(&self) -> String {
        let heading = self.columns.iter().map(|it| (*it).to_owned());
        let mut text = line(heading);
        for row in &self.rows {
            text += &line(row.iter().map(cell));
        }
        text
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

    use super::*;
    use crate::tui::harness::Harness;

    fn sheet(cells: Vec<Value>) -> Sheet {
        Sheet {
            columns: vec!["a", "b"],
            rows: vec![cells],
        }
    }

    #[test]
    fn a_formula_of_a_stranger_stays_text() {
        let sheet = sheet(vec![json!("=HYPERLINK(\"x\")"), json!(7)]);
        assert_eq!(
            sheet.text(Format::Csv),
            "a,b\r\n\"'=HYPERLINK(\"\"x\"\")\",7\r\n"
        );
        assert_eq!(
            sheet.text(Format::Ndjson),
            "{\"a\":\"=HYPERLINK(\\\"x\\\")\",\"b\":7}\n"
        );
    }

    #[test]
    fn runs_are_exported_as_they_are_shown() {
        let harness = Harness::sample().keys("/state:failed<enter>");
        let csv = Sheet::of(&harness.app).unwrap().text(Format::Csv);
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 2, "{csv}");
        assert!(lines[1].starts_with("invoices-2026-11-23T0900Z-77de,arn:aws:states:"));
        assert!(
            lines[1].ends_with(
                ",FAILED,2026-11-23T09:07:31Z,2026-11-23T09:48:33Z,1198004,1079671,60113,0"
            ),
            "{csv}"
        );
    }

    proptest! {
        /// A reader of CSV gets back what was written, but for the apostrophe.
        #[test]
        fn csv_is_read_back(one in any::<String>(), other in any::<String>()) {
            let text = sheet(vec![json!(one), json!(other)]).text(Format::Csv);
            let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
            let row = reader.records().next().unwrap().unwrap();
            for (read, written) in row.iter().zip([one, other]) {
                prop_assert!(read == written || read.strip_prefix('\'') == Some(&written));
            }
        }
    }
}
