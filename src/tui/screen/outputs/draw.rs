//! How the objects of a run are drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Outputs, Pane, Row, SORTS, tree};
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::keys::Action;
use crate::tui::preview::{self, Form, Preview};
use crate::tui::screen::{absence, margin};
use crate::tui::widget::list::Order;
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

/// From here on list, facts and preview stand side by side.
const WIDE: u16 = 100;
/// Cells of the facts between list and preview.
const FACTS: u16 = 30;
/// Cells of list or text at the least, however they are sized.
const NARROWEST: u16 = 24;

impl Outputs {
    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let rows = self.len(app);
        let title = self.title(app);
        let is_reading = self.pane == Pane::Preview && self.chosen(app).is_some();
        if area.width < WIDE && is_reading {
            let inside = pane::boxed(buffer, area, &self.preview_title(app), Style::new());
            return self.draw_preview(app, buffer, inside);
        }
        let inside = pane::boxed(buffer, area, &title, Style::new());
        if rows == 0 {
            return self.draw_nothing(app, buffer, inside);
        }
        if area.width < WIDE {
            // What is below the list is what grows.
            let usual = inside.height - (inside.height / 2).max(3).min(inside.height);
            let below = pane::resized(usual, app.pane("outputs"), inside.height);
            let height = inside.height.saturating_sub(below).max(3);
            let list = Rect { height, ..inside };
            self.draw_list(app, rows, buffer, list);
            let title = self.preview_title(app);
            pane::divide(buffer, area, list.bottom(), &title, Style::new());
            let below = Rect {
                y: list.bottom() + 1,
                height: inside.height.saturating_sub(height + 1),
                ..inside
            };
            return self.draw_preview(app, buffer, below);
        }
        let usual = (inside.width * 3 / 10).clamp(34, 70);
        // The text is what grows; the list keeps enough to tell its objects apart.
        let wider = app.pane("outputs").saturating_mul(4);
        let most = inside.width.saturating_sub(FACTS + NARROWEST).max(usual);
        let width = usual.saturating_add_signed(-wider).clamp(NARROWEST, most);
        let list = Rect { width, ..inside };
        self.draw_list(app, rows, buffer, list);
        let bottom = area.bottom() - 1;
        let facts = Rect {
            x: list.right() + 1,
            width: FACTS,
            ..inside
        };
        pane::split(buffer, list.right(), area.y, bottom, "", Style::new());
        self.draw_facts(app, buffer, facts);
        let title = self.preview_title(app);
        pane::split(buffer, facts.right(), area.y, bottom, &title, Style::new());
        let beside = Rect {
            x: facts.right() + 1,
            width: inside.right() - facts.right() - 1,
            ..inside
        };
        self.draw_preview(app, buffer, beside);
    }

    fn title(&self, app: &App) -> String {
        let objects = self.objects(app);
        let outputs = app.data().outputs.get(&self.run);
        let sizes = outputs.and_then(Remote::get).map(|_| {
            let size = tree::total(objects.iter().copied());
            let count = figures::count(objects.len() as u64);
            let more = if self.has_more(app) { "+" } else { "" };
            format!("{count}{more} objects, {}", figures::bytes(size))
        });
        let filter = (!self.filter.is_empty()).then(|| format!("/{}", self.filter.text()));
        let listed = objects.iter().copied().chain(self.listed_versions());
        let addresses = listed.map(|it| &it.object.address);
        let marked = self.marks.words(addresses);
        let order = (self.order != Order::default()).then(|| self.order.words(SORTS));
        let merged = self.shape.merged.then(|| "rounds as one".to_owned());
        let parts: Vec<String> = [
            Some("Outputs".to_owned()),
            sizes,
            marked,
            filter,
            order,
            merged,
        ]
        .into_iter()
        .flatten()
        .collect();
        parts.join("  ")
    }

    /// Whether there are objects that have not been listed.
    fn has_more(&self, app: &App) -> bool {
        self.listing(app).is_some_and(|it| !it.is_whole())
    }

    fn draw_nothing(&self, app: &App, buffer: &mut Buffer, inside: Rect) {
        let outputs = app.data().outputs.get(&self.run);
        let run = app.data().runs.get(&self.run);
        let trouble = outputs
            .and_then(Remote::trouble)
            .or(run.and_then(Remote::trouble));
        let waiting = match outputs.and_then(Remote::get) {
            None => "listing the objects…",
            Some(it) if !it.is_whole() => "no object so far fits, there are more",
            Some(_) if self.filter.is_empty() => "the run has no objects yet",
            Some(_) => "no object fits the filter, esc clears it",
        };
        absence(buffer, margin(inside), trouble, waiting, app.theme());
    }

    fn draw_list(&self, app: &App, rows: usize, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let is_roomy = area.width >= 60;
        let fixed = 2 + 10 + if is_roomy { 9 } else { 0 };
        let name = (area.width as usize).saturating_sub(fixed + 1);
        let mut columns = vec![
            Column::new("OBJECT", name, Align::Left),
            Column::new("SIZE", 9, Align::Right),
        ];
        if is_roomy {
            columns.push(Column::new("WRITTEN", 8, Align::Left));
        }
        pane::line(buffer, area, 0, table::header(&columns, theme.dim()));
        let more = u16::from(self.has_more(app));
        if more > 0 {
            let key = app.keymap.key_of(Action::Bottom);
            let said = format!("  there are more: {key} goes on");
            let said = text::fit(&said, area.width as usize);
            let last = area.height.saturating_sub(1);
            pane::line(buffer, area, last, Line::styled(said, theme.dim()));
        }
        let height = area.height.saturating_sub(1 + more) as usize;
        let chosen = self.cursor.row(rows);
        let shown = self.cursor.window(rows, height);
        app.places.note_list(area, shown.clone(), chosen, rows);
        let seen = self.window(app, shown.clone());
        for ((line, index), row) in (1..).zip(shown).zip(&seen) {
            let mut marked = false;
            let (label, size, written, style) = match row {
                Row::Folder(it) => {
                    let sign = if it.is_folded { "▸" } else { "▾" };
                    let label = format!("{}{sign} {}/", "  ".repeat(it.depth), it.name);
                    let label = match it.is_folded {
                        true => format!("{label}  {} objects", it.objects),
                        false => label,
                    };
                    let size = figures::bytes(it.size);
                    (text::fit(&label, name), size, String::new(), theme.bold())
                }
                Row::Object {
                    output,
                    depth,
                    note,
                } => {
                    let object = &output.object;
                    marked = self.marks.has(&object.address);
                    // The bucket is not written in every row.
                    let cell = Rect::new(area.x + 2, area.y + line, name as u16, 1);
                    app.places.note_name(cell, object.address.to_string());
                    let written = figures::moment(object.modified, app.now);
                    let shown = match (&object.address.version, self.order == Order::default()) {
                        (Some(id), _) => format!("@ {written}  {id}"),
                        (None, true) => object.address.file_name().to_owned(),
                        (None, false) => object.address.key.clone(),
                    };
                    let indent = "  ".repeat(*depth);
                    let note = if note.is_empty() {
                        String::new()
                    } else {
                        format!("  {note}")
                    };
                    let room = name.saturating_sub(indent.len() + text::width(&note));
                    let label = format!("{indent}{}{note}", text::middle(&shown, room));
                    let is_replaced = note.ends_with("old");
                    let style = if is_replaced {
                        theme.dim()
                    } else {
                        Style::new()
                    };
                    let size = figures::bytes(object.size);
                    (label, size, written, style)
                }
            };
            let cells = [label, size, written].map(|cell| (cell, style));
            let mark = (index == chosen).then(|| theme.chosen());
            pane::line(
                buffer,
                area,
                line,
                table::markable(&columns, cells, mark, marked),
            );
            if index == chosen && self.pane == Pane::Files {
                let row = Rect::new(area.x, area.y + line, area.width, 1);
                buffer.set_style(row, theme.chosen());
            }
        }
    }

    fn preview_title(&self, app: &App) -> String {
        let Some(output) = self.chosen(app) else {
            return String::new();
        };
        let name = text::middle(output.object.address.file_name(), 40);
        let size = figures::bytes(output.object.size);
        let size = match &output.object.address.version {
            Some(_) => {
                let written = figures::moment(output.object.modified, app.now);
                format!("of {written}  {size}")
            }
            None => size,
        };
        let Some(preview) = self.preview(app) else {
            return format!("{name}  {size}");
        };
        let packing = preview.packing.map(|it| format!("{}, ", it.word()));
        let columns = match preview.form {
            Form::Table(_) => format!(", {} columns", preview.widths.len()),
            _ => String::new(),
        };
        let form = preview.form.word();
        format!(
            "{name}  {size}  {}{form}{columns}",
            packing.unwrap_or_default()
        )
    }

    fn draw_preview(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let area = Rect::new(
            area.x + 1,
            area.y,
            area.width.saturating_sub(2),
            area.height,
        );
        let theme = app.theme();
        let output = match self.chosen_row(app) {
            Some(Row::Object { output, .. }) => output,
            Some(Row::Folder(folder)) => {
                let key = app.keymap.key_of(Action::Open);
                let said = format!(
                    "{} objects, {}: {key} folds and unfolds",
                    folder.objects,
                    figures::bytes(folder.size)
                );
                let said = text::fit(&said, area.width as usize);
                return pane::line(buffer, area, 0, Line::styled(said, theme.dim()));
            }
            None => return,
        };
        if output.object.size == 0 {
            return pane::line(buffer, area, 0, Line::styled("empty", theme.dim()));
        }
        let known = app.data().previews.get(&output.object.address);
        let Some(preview) = known.and_then(Remote::get) else {
            let trouble = known.and_then(Remote::trouble);
            return absence(buffer, area, trouble, "reading the beginning…", theme);
        };
        if let (Form::Json, Some(tree)) = (preview.form, self.document()) {
            let has_keys = self.pane == Pane::Preview;
            let mut area = area;
            if let Some(begun) = preview.begun {
                let key = app.keymap.key_of(Action::NextTab);
                let begun = figures::bytes(begun);
                let said = format!("a tree of the first {begun}; {key} shows all as text");
                let said = text::fit(&said, area.width as usize);
                pane::line(buffer, area, 0, Line::styled(said, theme.dim()));
                area = Rect::new(
                    area.x,
                    area.y + 1,
                    area.width,
                    area.height.saturating_sub(1),
                );
            }
            return tree.draw((buffer, area), has_keys, theme, &app.places);
        }
        let search = self.draw_search(app, buffer, area);
        let area = Rect {
            height: area.height.saturating_sub(search),
            ..area
        };
        let is_table = matches!(preview.form, Form::Table(_));
        let first = preview.rows(self.top(preview), 1).first().copied();
        // Its first line is the header.
        let has_header = is_table && first.is_some_and(|row| row.at > 0);
        let above = 1 + u16::from(has_header);
        let height = area.height.saturating_sub(above);
        self.height.set(height as usize);
        let at = self.top(preview);
        let rows = preview.rows(at, height as usize);
        let known_lines = rows.iter().filter_map(|row| row.line).next_back();
        let digits = known_lines.map_or(0, |line| line.to_string().len());
        let told = text::fit(&reading(preview, rows), area.width as usize);
        pane::line(buffer, area, 0, Line::styled(told, theme.dim()));
        let gutter = if digits > 0 { digits + 1 } else { 0 };
        let cells = (area.width as usize).saturating_sub(gutter);
        if has_header {
            let header = self.cells(preview, &preview.header, cells);
            let header = format!("{}{header}", " ".repeat(gutter));
            pane::line(buffer, area, 1, Line::styled(header, theme.bold()));
        }
        let hits = self.search(app).map_or(&[][..], |search| &search.hits);
        for (line, row) in (above..).zip(rows) {
            let number = row.line.map_or(String::new(), |line| line.to_string());
            let mut spans = Vec::new();
            if gutter > 0 {
                spans.push(Span::styled(format!("{number:>digits$} "), theme.dim()));
            }
            let shown = match is_table && row.line.is_some() {
                true => self.cells(preview, &preview.fields(row), cells),
                false => {
                    let visible = text::visible(&preview.text(row));
                    text::shifted(&visible, self.shift, cells)
                }
            };
            let has_hit = hits.iter().any(|hit| (row.at..row.end()).contains(&hit.at));
            let style = if has_hit {
                theme.accent()
            } else {
                Style::new()
            };
            spans.push(Span::styled(shown, style));
            pane::line(buffer, area, line, Line::from(spans));
        }
    }

    /// Fields in their columns, moved to the side.
    fn cells(&self, preview: &Preview, fields: &[String], cells: usize) -> String {
        let columns = fields.iter().enumerate().map(|(index, field)| {
            let width = preview.widths.get(index).copied().unwrap_or(1);
            text::left(&text::fit(field, width), width)
        });
        let row = columns.collect::<Vec<_>>().join("  ");
        text::shifted(&row, self.shift, cells)
    }

    /// What is searched for in the object, below its text; returns how many rows that takes.
    fn draw_search(&self, app: &App, buffer: &mut Buffer, area: Rect) -> u16 {
        let Some(search) = self.search(app) else {
            return 0;
        };
        if area.height < 6 {
            return 0;
        }
        let matches = match search.count {
            0 => "no match".to_owned(),
            1 => "1 match".to_owned(),
            many => format!("{} matches", figures::count(many)),
        };
        let first = search.hits.first();
        let first = first.map_or(String::new(), |hit| {
            format!(", the first in line {}", figures::count(hit.line))
        });
        let state = match (&search.progress, &search.trouble) {
            (_, Some(trouble)) => trouble.clone(),
            (Some(progress), _) => format!(
                "searched {} of {}, {matches} so far{first}",
                figures::bytes(progress.done),
                figures::bytes(progress.total)
            ),
            (None, _) => format!("{matches}{first}"),
        };
        let told = format!("/{}   {state}", search.text);
        let told = text::fit(&told, area.width as usize);
        let row = area.height - 1;
        pane::line(buffer, area, row, Line::styled(told, app.theme().accent()));
        1
    }
}

/// Which lines are seen, of how many, and how much of the object was read for it.
fn reading(preview: &Preview, rows: &[preview::Row]) -> String {
    let size = figures::bytes(preview.object.size);
    if preview.packing.is_some() {
        let held = figures::bytes(preview.held());
        return match &preview.trouble {
            Some(trouble) => format!("✗ {trouble}; unpacked so far: {held}"),
            None => format!("the beginning, unpacked: {held}"),
        };
    }
    let numbers = || rows.iter().filter_map(|row| row.line);
    let lines = match (numbers().next(), numbers().next_back()) {
        (Some(first), Some(last)) => {
            let of = match (preview.is_complete(), preview.lines_about()) {
                (true, _) | (_, None) => String::new(),
                (false, Some(about)) => format!(" of ~{}", figures::count(about)),
            };
            let [first, last] = [first, last].map(|line| figures::count(line.get()));
            format!("lines {first} – {last}{of}")
        }
        _ => {
            let at = rows.first().map_or(0, |row| row.at);
            format!("from byte {}", figures::count(at))
        }
    };
    match preview.is_complete() {
        true => lines,
        false => format!(
            "{lines}   {} of {size} held",
            figures::bytes(preview.held())
        ),
    }
}
