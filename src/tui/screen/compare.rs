//! Two runs side by side: counts, rates, definition, what differs in their inputs, and how often
//! each failed by which cause.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use serde_json::Value;

use crate::model::{ExecutionArn, MapRun};
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::data::{FailureSet, Remote};
use crate::tui::pace;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, pane, text};

#[derive(Debug, Clone)]
pub struct Compare {
    /// The run that was marked, and the one it is compared with.
    pub runs: [ExecutionArn; 2],
    pub scroll: Scroll,
}

/// Members of an input that are compared.
const MEMBERS: usize = 500;
/// Causes listed.
const CAUSES: usize = 20;
/// Cells of what a row is about, at the most.
const LABEL: usize = 44;

/// What stands beside each other. `None` is not known.
struct Row {
    label: String,
    values: [Option<String>; 2],
}

impl Row {
    fn new(label: impl Into<String>, values: [Option<String>; 2]) -> Self {
        Self {
            label: label.into(),
            values,
        }
    }

    fn differs(&self) -> bool {
        let [one, other] = &self.values;
        one != other
    }
}

impl Compare {
    pub fn new(one: ExecutionArn, other: ExecutionArn) -> Self {
        Self {
            runs: [one, other],
            scroll: Scroll::default(),
        }
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let inside = pane::boxed(buffer, area, "Two runs: ≠ where they differ", Style::new());
        let area = Rect::new(
            inside.x + 1,
            inside.y,
            inside.width.saturating_sub(2),
            inside.height,
        );
        let cells = area.width as usize;
        let names = self.runs.each_ref().map(|it| Some(it.name().to_owned()));
        let head = draw_row(&Row::new("", names), cells, Style::new(), theme.bold());
        pane::line(buffer, area, 0, head);
        let body = Rect {
            y: area.y + 1,
            height: area.height.saturating_sub(1),
            ..area
        };
        let lines = self.lines(app, cells);
        let window = self.scroll.window(lines.len(), body.height as usize);
        for (row, line) in (0..).zip(&lines[window]) {
            pane::line(buffer, body, row, line.clone());
        }
    }

    fn lines(&self, app: &App, cells: usize) -> Vec<Line<'static>> {
        let theme = app.theme();
        let sections = [
            ("Run", self.facts(app)),
            ("Items", self.counts(app)),
            ("Input, where it differs", self.inputs(app)),
            ("Failures by cause", self.causes(app)),
        ];
        let mut lines = Vec::new();
        for (title, rows) in sections {
            lines.push(Line::default());
            lines.push(Line::styled(title, theme.bold()));
            if rows.is_empty() {
                lines.push(Line::styled("    no difference", theme.dim()));
            }
            for row in rows {
                let style = match row.differs() {
                    true => theme.warn(),
                    false => theme.dim(),
                };
                lines.push(draw_row(&row, cells, style, Style::new()));
            }
        }
        lines
    }

    fn of<T>(&self, read: impl Fn(&ExecutionArn) -> Option<T>) -> [Option<T>; 2] {
        self.runs.each_ref().map(read)
    }

    fn facts(&self, app: &App) -> Vec<Row> {
        let data = app.data();
        let run = |value: fn(&App, &Run) -> String| {
            self.of(|arn| data.run(arn).map(|run| value(app, run)))
        };
        let definition = |arn: &ExecutionArn| data.definitions.get(arn).and_then(Remote::get);
        let texts = self.of(|arn| definition(arn).map(|it| it.own.detail.definition.clone()));
        let told = match &texts {
            [Some(one), Some(other)] if one == other => [Some("the same".to_owned()), None],
            [Some(_), Some(_)] => [None, Some("another".to_owned())],
            _ => [None, None],
        };
        let definitions = match told {
            [Some(same), None] => [Some(same.clone()), Some(same)],
            [_, other @ Some(_)] => [Some("one".to_owned()), other],
            unknown => unknown,
        };
        let revision = self.of(|arn| {
            let detail = &definition(arn)?.own.detail;
            Some(detail.revision.clone().unwrap_or("the first".to_owned()))
        });
        vec![
            Row::new(
                "state",
                run(|app, run| {
                    let state = app.data().state(run.execution(), app.now);
                    format!("{} {}", app.theme().glyph(state), state.word())
                }),
            ),
            Row::new(
                "started",
                run(|_, run| figures::full(run.execution().started)),
            ),
            Row::new(
                "took",
                run(|app, run| {
                    let execution = run.execution();
                    let end = execution.stopped.unwrap_or(app.now);
                    figures::span(figures::seconds_between(execution.started, end))
                }),
            ),
            Row::new(
                "redrives",
                run(|_, run| figures::count(run.execution().redrive_count.into())),
            ),
            Row::new("definition", definitions),
            Row::new("revision", revision),
        ]
    }

    fn counts(&self, app: &App) -> Vec<Row> {
        let row = |label: &str, value: &dyn Fn(&MapRun) -> String| {
            Row::new(label, self.of(|arn| app.data().map_run(arn).map(value)))
        };
        let share = |count: u64, map_run: &MapRun| {
            let share = figures::percent(count, map_run.items.total);
            format!("{}  {share}", figures::count(count))
        };
        vec![
            row("items", &|it| figures::count(it.items.total)),
            row("succeeded", &|it| share(it.items.succeeded, it)),
            row("failed, timed out", &|it| share(it.items.failures(), it)),
            row("aborted", &|it| share(it.items.aborted, it)),
            row("mean rate", &|it| mean(it, app)),
            row("children at once", &|it| match it.max_concurrency {
                0 => "the service's 10,000".to_owned(),
                limit => figures::count(limit),
            }),
            row("tolerated failures", &pace::tolerance),
        ]
    }

    fn inputs(&self, app: &App) -> Vec<Row> {
        let inputs = self.of(|arn| app.data().run(arn)?.detail.input.clone());
        let [one, other] = inputs.map(|text| {
            let text = text.unwrap_or_default();
            let mut members = BTreeMap::new();
            match serde_json::from_str(&text) {
                Ok(value) => flatten("", &value, &mut members),
                Err(_) => members.extend([("input".to_owned(), text)]),
            }
            members
        });
        let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
        names.sort();
        names.dedup();
        let differing = names
            .into_iter()
            .filter(|name| one.get(*name) != other.get(*name));
        differing
            .map(|name| {
                let absent = || "–".to_owned();
                let value = |of: &BTreeMap<String, String>| {
                    Some(of.get(name).cloned().unwrap_or_else(absent))
                };
                Row::new(name, [value(&one), value(&other)])
            })
            .collect()
    }

    /// By error and cause together, the most frequent of both first.
    fn causes(&self, app: &App) -> Vec<Row> {
        let sets = self.of(|arn| {
            let map_run = app.data().map_run(arn)?;
            app.data().failure_set(&map_run.arn)
        });
        let nothing_failed = self.of(|arn| {
            let map_run = app.data().map_run(arn)?;
            (map_run.items.failures() == 0).then_some(())
        });
        let mut counts: BTreeMap<(&str, &str), [Option<u64>; 2]> = BTreeMap::new();
        for (side, set) in sets.iter().enumerate() {
            for group in set.iter().flat_map(|it| it.groups()) {
                let key = (group.error.as_str(), group.message.as_str());
                counts.entry(key).or_default()[side] = Some(group.count);
            }
        }
        let mut rows: Vec<_> = counts.into_iter().collect();
        let total = |counts: &[Option<u64>; 2]| counts.iter().flatten().sum::<u64>();
        rows.sort_by_key(|(_, counts)| std::cmp::Reverse(total(counts)));
        let shown = rows
            .into_iter()
            .take(CAUSES)
            .map(|((error, message), counts)| {
                let value = |side: usize| {
                    let set: Option<&FailureSet> = sets[side];
                    let about = set.map_or("", |it| if it.is_exact() { "" } else { "~" });
                    let known = set.is_some() || nothing_failed[side].is_some();
                    let count = counts[side].unwrap_or(0);
                    known.then(|| format!("{about}{}", figures::count(count)))
                };
                Row::new(format!("{error} {message}"), [value(0), value(1)])
            });
        shown.collect()
    }
}

/// Items per second of the newest attempt, where that was the only one.
fn mean(map_run: &MapRun, app: &App) -> String {
    if map_run.redriven.is_some() {
        return "redriven".to_owned();
    }
    let end = map_run.stopped.unwrap_or(app.now);
    let took = figures::seconds_between(map_run.started, end).max(1);
    figures::rate(map_run.items.done() as f64 / took as f64)
}

/// The members of a document by their paths: `.request.url`, `.list[0]`.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    if into.len() >= MEMBERS {
        return;
    }
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                flatten(&format!("{path}.{name}"), value, into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), value, into);
            }
        }
        Value::String(text) => {
            into.insert(path.to_owned(), text.clone());
        }
        scalar => {
            into.insert(path.to_owned(), scalar.to_string());
        }
    }
}

/// A row's label and its two values, with a sign between them where they differ.
fn draw_row(row: &Row, cells: usize, style: Style, names: Style) -> Line<'static> {
    let label = LABEL.min(cells / 4);
    let room = cells.saturating_sub(label + 6) / 2;
    let cell = |value: &Option<String>| {
        let shown = text::visible(value.as_deref().unwrap_or("?"));
        text::left(&text::middle(&shown, room), room)
    };
    let sign = if row.differs() && !row.label.is_empty() {
        "≠"
    } else {
        " "
    };
    Line::from(vec![
        Span::raw(format!(
            "  {} ",
            text::left(&text::fit(&text::visible(&row.label), label), label)
        )),
        Span::styled(cell(&row.values[0]), names),
        Span::styled(format!(" {sign} "), style),
        Span::styled(cell(&row.values[1]), names),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::tui::event::Event;
    use crate::tui::harness::{GOING, Harness, LOST, arn};
    use crate::tui::screen::Screen;

    #[test]
    fn two_runs_stand_side_by_side() {
        let harness = Harness::sample().keys("jm").failures(LOST, 60_000, true);
        let harness = harness.keys("k=");
        let Screen::Compare(it) = harness.app.screen() else {
            panic!("{:?}", harness.app.screen());
        };
        assert_eq!(it.runs, [arn(LOST), arn(GOING)]);
        harness.check("compare");
        assert!(matches!(
            harness.keys("<esc>").app.screen(),
            Screen::Runs(_)
        ));
    }

    #[test]
    fn two_marked_runs_are_compared_and_one_alone_is_not() {
        let harness = Harness::sample().keys("<space><space>=");
        assert!(matches!(harness.app.screen(), Screen::Compare(_)));
        let harness = Harness::sample().keys("=");
        assert!(matches!(harness.app.screen(), Screen::Runs(_)));
        let said = harness.app.message.as_ref().map(|it| it.text.clone());
        assert!(said.unwrap().contains("m marks"));
    }

    #[test]
    fn what_is_compared_is_asked_for() {
        let mut harness = Harness::sample();
        harness.taken();
        let mut harness = harness.keys("jmk=");
        let asked = format!("{:?}", harness.taken());
        assert!(asked.contains("Definition") && asked.contains(GOING) && asked.contains(LOST));
        harness.send(Event::Resize);
    }

    #[test]
    fn members_are_told_by_their_paths() {
        let mut members = BTreeMap::new();
        let value = json!({"a": {"b": [1, "x"]}, "c": {}, "d": null});
        flatten("", &value, &mut members);
        let told: Vec<String> = members
            .iter()
            .map(|(path, it)| format!("{path}={it}"))
            .collect();
        assert_eq!(told, [".a.b[0]=1", ".a.b[1]=x", ".c={}", ".d=null"]);
    }

    proptest! {
        #[test]
        fn any_input_is_taken_apart(text in "[\\[\\]{}a-z0-9,:\" ]{0,40}") {
            let mut members = BTreeMap::new();
            if let Ok(value) = serde_json::from_str(&text) {
                flatten("", &value, &mut members);
                prop_assert!(!members.is_empty());
            }
        }
    }
}
