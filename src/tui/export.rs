//! What a list shows, as a file.

use serde_json::{Value, json};

pub use crate::operations::export::Format;
use crate::operations::export::Rows;
use crate::operations::failures;

use crate::tui::app::App;
use crate::tui::screen::{Screen, outputs};

/// Rows under columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Sheet {
    /// All rows that fit the filter, in the order shown; `None` where there is no list.
    pub fn of(app: &App) -> Option<Self> {
        match app.screen() {
            Screen::Runs(it) => Some(Self {
                columns: &[
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
                columns: failures::COLUMNS,
                rows: it.shown(app).into_iter().map(failures::cells).collect(),
            }),
            Screen::Outputs(it) => Some(Self {
                columns: &["kind", "address", "bytes", "written", "etag"],
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
        let write = || {
            let mut file = Rows::begin(Vec::new(), format, self.columns)?;
            for row in &self.rows {
                file.row(row.clone())?;
            }
            file.end()
        };
        let written = write().map(|(bytes, _)| bytes).unwrap_or_default();
        String::from_utf8_lossy(&written).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::harness::Harness;

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
}
