//! What lies over a screen: filter and command lines, help, the menu of a first key.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use crate::tui::app::{App, CommandLine, Help, Overlay};
use crate::tui::keys;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Cursor;
use crate::tui::widget::{pane, text};

pub fn draw(app: &App, buffer: &mut Buffer, body: Rect) {
    match &app.overlay {
        Some(Overlay::Filter(field)) => draw_line(app, buffer, body, "/", field),
        Some(Overlay::Command(line)) => draw_command(app, buffer, body, line),
        Some(Overlay::Help(help)) => draw_help(app, buffer, body, help),
        None => draw_menu(app, buffer, body),
    }
}

/// The edited line takes the place of the message line.
fn draw_line(app: &App, buffer: &mut Buffer, body: Rect, sign: &str, field: &Field) {
    let row = Rect::new(body.x, body.bottom(), body.width, 1);
    Clear.render(row, buffer);
    let mut spans = vec![Span::styled(format!(" {sign}"), app.theme().bold())];
    let cells = (body.width as usize).saturating_sub(3);
    spans.extend(field.spans(cells, Some(app.theme().chosen())));
    pane::line(buffer, row, 0, Line::from(spans));
}

/// A box of `lines` at the bottom left of the body.
fn corner(buffer: &mut Buffer, body: Rect, title: &str, width: u16, lines: &[Line<'_>]) {
    let height = (lines.len() as u16 + 2).min(body.height);
    let width = (width + 4).min(body.width);
    let area = Rect::new(body.x, body.bottom() - height, width, height);
    Clear.render(area, buffer);
    let inside = pane::boxed(buffer, area, title, Style::new());
    let inside = Rect::new(
        inside.x + 1,
        inside.y,
        inside.width.saturating_sub(2),
        inside.height,
    );
    for (row, line) in (0..).zip(lines) {
        pane::line(buffer, inside, row, line.clone());
    }
}

fn draw_command(app: &App, buffer: &mut Buffer, body: Rect, command: &CommandLine) {
    const SHOWN: usize = 10;
    if !command.candidates.is_empty() {
        let cursor = Cursor::on(command.chosen.unwrap_or_default());
        let window = cursor.window(command.candidates.len(), SHOWN);
        let lines: Vec<Line<'_>> = window
            .map(|index| {
                let style = if command.chosen == Some(index) {
                    app.theme().chosen()
                } else {
                    Style::new()
                };
                Line::styled(text::middle(&command.candidates[index], 56), style)
            })
            .collect();
        corner(buffer, body, "tab goes on", 56, &lines);
    }
    draw_line(app, buffer, body, ":", &command.field);
}

fn draw_help(app: &App, buffer: &mut Buffer, body: Rect, help: &Help) {
    let theme = app.theme();
    Clear.render(body, buffer);
    let entries = help.entries(&app.keymap);
    let inside = pane::boxed(buffer, body, "Help: keys and what they do", Style::new());
    let inside = Rect::new(
        inside.x + 1,
        inside.y,
        inside.width.saturating_sub(2),
        inside.height,
    );
    let mut search = vec![Span::styled("search ", theme.dim())];
    let cells = (inside.width as usize).saturating_sub(8);
    search.extend(help.query.spans(cells, Some(theme.chosen())));
    pane::line(buffer, inside, 0, Line::from(search));
    let list = Rect {
        y: inside.y + 2,
        height: inside.height.saturating_sub(2),
        ..inside
    };
    let cursor = Cursor::on(help.at);
    let chosen = cursor.row(entries.len());
    let window = cursor.window(entries.len(), list.height as usize);
    for (row, index) in (0..).zip(window) {
        let (binding, keys) = &entries[index];
        pane::line(
            buffer,
            list,
            row,
            help_line(app, binding, keys, list.width as usize),
        );
        if index == chosen {
            buffer.set_style(
                Rect::new(list.x, list.y + row, list.width, 1),
                theme.chosen(),
            );
        }
    }
    let hosts = app.settings.hosts.iter().zip(entries.len() as u16..);
    for ((key, title), row) in hosts.filter(|_| help.query.value().is_empty()) {
        let shown = format!("{} {title}", text::left(&format!("  {key}"), 16));
        pane::line(
            buffer,
            list,
            row,
            Line::raw(text::fit(&shown, list.width as usize)),
        );
    }
}

fn help_line(app: &App, binding: &keys::Binding, keys: &str, cells: usize) -> Line<'static> {
    let theme = app.theme();
    let shown = format!(
        "  {} {}",
        text::left(&text::fit(keys, 14), 14),
        binding.help
    );
    match (binding.available)(app) {
        Ok(()) => Line::raw(text::fit(&shown, cells)),
        Err(reason) => {
            let shown = format!("{shown}  (not now: {reason})");
            Line::styled(text::fit(&shown, cells), theme.dim())
        }
    }
}

/// What can follow the first of two keys.
fn draw_menu(app: &App, buffer: &mut Buffer, body: Rect) {
    let Some(first) = app.prefix else {
        return;
    };
    let lines: Vec<Line<'_>> = app
        .keymap
        .following(first)
        .into_iter()
        .map(|(key, action)| Line::raw(format!("{key}  {}", keys::of(action).help)))
        .collect();
    corner(buffer, body, "go to", 44, &lines);
}
