//! Objects of a run by kind, with a preview of the one under the cursor.

use std::cmp::Reverse;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::{ExecutionArn, ObjectAddress};
use crate::operations::outputs::{Kind, Output};
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::filter::{AGE, Filter};
use crate::tui::keys::Action;
use crate::tui::marks::Marks;
use crate::tui::screen::absence;
use crate::tui::widget::list::{Cursor, Order, Scroll, Sort};
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, json, pane, text};

#[derive(Debug, Clone)]
pub struct Outputs {
    pub run: ExecutionArn,
    pub cursor: Cursor,
    pub filter: Filter,
    pub order: Order,
    pub marks: Marks<ObjectAddress>,
    /// Of the preview.
    pub scroll: Scroll,
}

pub const SORTS: &[Sort] = &[
    ("kind", "by kind"),
    ("key", "by name"),
    ("size", "largest first"),
    ("written", "newest first"),
];

/// What a filter can ask for by name.
pub const COLUMNS: &[&str] = &["kind", "key", "bucket", "size", AGE];

pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Final => "final",
        Kind::Result => "result",
        Kind::Temporary => "temporary",
        Kind::Source => "source",
    }
}

impl Outputs {
    pub fn new(run: ExecutionArn) -> Self {
        Self {
            run,
            cursor: Cursor::default(),
            filter: Filter::default(),
            order: Order::default(),
            marks: Marks::default(),
            scroll: Scroll::default(),
        }
    }

    pub fn go(&mut self, to: crate::tui::widget::list::Move, rows: usize) {
        self.cursor.go(to, rows);
        self.scroll = Scroll::default();
    }

    pub fn rows<'a>(&self, app: &'a App) -> Vec<&'a Output> {
        let outputs = app.data().outputs.get(&self.run).and_then(Remote::get);
        let fits = |output: &&Output| {
            let object = &output.object;
            let age = figures::seconds_between(object.modified, app.now).to_string();
            self.filter.matches(&[
                ("kind", word(output.kind)),
                ("key", &object.address.key),
                ("bucket", &object.address.bucket),
                ("size", &object.size.to_string()),
                (AGE, &age),
            ])
        };
        let mut rows: Vec<&Output> = outputs.into_iter().flatten().filter(fits).collect();
        match self.order.name(SORTS) {
            "key" => {
                rows.sort_by(|one, other| one.object.address.key.cmp(&other.object.address.key));
            }
            "size" => rows.sort_by_key(|it| Reverse(it.object.size)),
            "written" => rows.sort_by_key(|it| Reverse(it.object.modified)),
            _ => {}
        }
        if self.order.reversed {
            rows.reverse();
        }
        rows
    }

    pub fn chosen<'a>(&self, app: &'a App) -> Option<&'a Output> {
        let rows = self.rows(app);
        rows.get(self.cursor.row(rows.len())).copied()
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let rows = self.rows(app);
        let inside = pane::boxed(buffer, area, &self.title(app, &rows), Style::new());
        if rows.is_empty() {
            return self.draw_nothing(app, buffer, inside);
        }
        if area.width < 100 {
            let height = (inside.height / 2).max(3);
            let list = Rect { height, ..inside };
            self.draw_list(app, &rows, buffer, list);
            pane::divide(
                buffer,
                area,
                list.bottom(),
                &self.preview_title(app),
                Style::new(),
            );
            let below = Rect {
                y: list.bottom() + 1,
                height: inside.height - height - 1,
                ..inside
            };
            self.draw_preview(app, buffer, below);
        } else {
            let width = (inside.width / 2).min(80);
            let list = Rect { width, ..inside };
            self.draw_list(app, &rows, buffer, list);
            let x = list.right();
            pane::split(
                buffer,
                x,
                area.y,
                area.bottom() - 1,
                &self.preview_title(app),
                Style::new(),
            );
            let beside = Rect {
                x: x + 1,
                width: inside.right() - x - 1,
                ..inside
            };
            self.draw_preview(app, buffer, beside);
        }
    }

    fn title(&self, app: &App, rows: &[&Output]) -> String {
        let outputs = app.data().outputs.get(&self.run);
        let sizes = outputs.and_then(Remote::get).map(|_| {
            let size = rows.iter().map(|it| it.object.size).sum();
            format!("{} objects, {}", rows.len(), figures::bytes(size))
        });
        let filter = (!self.filter.is_empty()).then(|| format!("/{}", self.filter.text()));
        let marked = self.marks.words(rows.iter().map(|it| &it.object.address));
        let order = (self.order != Order::default()).then(|| self.order.words(SORTS));
        let parts: Vec<String> = [Some("Outputs".to_owned()), sizes, marked, filter, order]
            .into_iter()
            .flatten()
            .collect();
        parts.join("  ")
    }

    fn draw_nothing(&self, app: &App, buffer: &mut Buffer, inside: Rect) {
        let area = Rect::new(
            inside.x + 2,
            inside.y + 1,
            inside.width.saturating_sub(4),
            inside.height.saturating_sub(1),
        );
        let outputs = app.data().outputs.get(&self.run);
        let run = app.data().runs.get(&self.run);
        let trouble = outputs
            .and_then(Remote::trouble)
            .or(run.and_then(Remote::trouble));
        let waiting = match outputs.and_then(Remote::get) {
            None => "listing the objects…",
            Some(_) if self.filter.is_empty() => "the run has no objects yet",
            Some(_) => "no object fits the filter, esc clears it",
        };
        absence(buffer, area, trouble, waiting, app.theme());
    }

    fn draw_list(&self, app: &App, rows: &[&Output], buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let name = (area.width as usize).saturating_sub(2 + 10 + 10 + 9 + 1);
        let columns = [
            Column::new("KIND", 9, Align::Left),
            Column::new("OBJECT", name, Align::Name),
            Column::new("SIZE", 9, Align::Right),
            Column::new("WRITTEN", 8, Align::Left),
        ];
        pane::line(buffer, area, 0, table::header(&columns, theme.dim()));
        let height = area.height.saturating_sub(1) as usize;
        let chosen = self.cursor.row(rows.len());
        let shown = self.cursor.window(rows.len(), height);
        app.places
            .note_list(area, shown.clone(), chosen, rows.len());
        for (line, index) in (1..).zip(shown) {
            let Output { kind, object } = rows[index];
            let cells = [
                word(*kind).to_owned(),
                object.address.key.clone(),
                figures::bytes(object.size),
                figures::moment(object.modified, app.now),
            ];
            // The bucket is not written in every row.
            let address = object.address.to_string();
            let cell = Rect::new(area.x + 2 + 10, area.y + line, name as u16, 1);
            app.places.note_name(cell, address);
            let mark = (index == chosen).then(|| theme.chosen());
            let cells = cells.map(|cell| (cell, Style::new()));
            let marked = self.marks.has(&object.address);
            pane::line(
                buffer,
                area,
                line,
                table::markable(&columns, cells, mark, marked),
            );
            if index == chosen {
                buffer.set_style(
                    Rect::new(area.x, area.y + line, area.width, 1),
                    theme.chosen(),
                );
            }
        }
    }

    fn preview_title(&self, app: &App) -> String {
        self.chosen(app).map_or_else(String::new, |output| {
            let name = text::middle(output.object.address.file_name(), 40);
            format!("{name}  {}", figures::bytes(output.object.size))
        })
    }

    fn draw_preview(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let area = Rect::new(
            area.x + 1,
            area.y,
            area.width.saturating_sub(2),
            area.height,
        );
        let theme = app.theme();
        let Some(output) = self.chosen(app) else {
            return;
        };
        let preview = app.data().previews.get(&output.object.address);
        let Some(shown) = preview.and_then(Remote::get) else {
            let trouble = preview.and_then(Remote::trouble);
            return absence(buffer, area, trouble, "reading the beginning…", theme);
        };
        if shown.is_empty() {
            return pane::line(buffer, area, 0, Line::styled("empty", theme.dim()));
        }
        let is_cut = output.object.size > shown.len() as u64;
        let lines: Vec<String> = if is_cut {
            shown
                .lines()
                .map(|line| line.replace('\t', "    "))
                .collect()
        } else {
            readable(output.object.address.file_name(), shown)
        };
        let note = u16::from(is_cut);
        let height = area.height.saturating_sub(note);
        let window = self.scroll.window(lines.len(), height as usize);
        for (row, line) in (0..).zip(&lines[window]) {
            pane::line(
                buffer,
                area,
                row,
                Line::raw(text::fit(line, area.width as usize)),
            );
        }
        if is_cut {
            let read = figures::bytes(shown.len() as u64);
            let all = figures::bytes(output.object.size);
            let key = app.keymap.key_of(Action::Download);
            let note = format!("first {read} of {all}, {key} downloads it");
            pane::line(buffer, area, height, Line::styled(note, theme.dim()));
        }
    }
}

/// Whole JSON documents are indented; JSON Lines and everything else stay as they are.
fn readable(name: &str, shown: &str) -> Vec<String> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    if extension.is_some_and(|it| it.eq_ignore_ascii_case("json")) {
        return json::lines(shown);
    }
    shown
        .lines()
        .map(|line| line.replace('\t', "    "))
        .collect()
}
