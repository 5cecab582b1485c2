//! What lies over a screen: the filter line, the palette, the menu of a first key.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use crate::tui::app::{App, Overlay};
use crate::tui::filter::Filter;
use crate::tui::keys;
use crate::tui::palette::{Choice, Palette, Scope};
use crate::tui::screen::{Screen, transfers};
use crate::tui::widget::input::Field;
use crate::tui::widget::{pane, text};

pub fn draw(app: &App, buffer: &mut Buffer, body: Rect) {
    match &app.overlay {
        Some(Overlay::Filter(line)) if matches!(app.screen(), Screen::Logs(_)) => {
            draw_line(app, buffer, body, "&", &line.field);
        }
        Some(Overlay::Search(field)) => draw_line(app, buffer, body, "/", field),
        Some(Overlay::Filter(line)) => {
            draw_filter_help(app, buffer, body, &line.field);
            draw_line(app, buffer, body, "/", &line.field);
        }
        Some(Overlay::Palette(palette)) => draw_palette(app, buffer, body, palette),
        Some(Overlay::Transfers(cursor)) => transfers::draw(app, buffer, body, cursor),
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

/// What can be typed, and which of it means nothing here.
fn draw_filter_help(app: &App, buffer: &mut Buffer, body: Rect, field: &Field) {
    let theme = app.theme();
    let columns = app.screen().columns();
    if columns.is_empty() || body.height < 16 {
        return;
    }
    let mut lines = vec![
        Line::raw("word anywhere   column:value   !not this   -f fuzzy"),
        Line::raw("failed:>100   line:1..5k   since:24h   until:2h"),
        Line::styled(format!("columns {}", columns.join(" ")), theme.dim()),
    ];
    if let Some(newest) = app.filters().first() {
        let newest = text::fit(newest, 40);
        lines.push(Line::styled(format!("↑ before: {newest}"), theme.dim()));
    }
    let filter = Filter::new(field.value());
    if let Some(unknown) = filter.unknown(columns) {
        let unknown = text::fit(unknown, 20);
        let shown = format!("there is no column {unknown}: searched as text");
        lines.push(Line::styled(shown, theme.warn()));
    }
    corner(buffer, body, "Filter", 56, &lines);
}

/// A box of `lines` at the bottom left of the body; gives where they are.
fn corner(buffer: &mut Buffer, body: Rect, title: &str, width: u16, lines: &[Line<'_>]) -> Rect {
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
    inside
}

/// What stands before the text that is typed.
pub fn sign(scope: Scope) -> &'static str {
    match scope {
        Scope::All => ":",
        Scope::Keys => "?",
        Scope::Here => "do ",
        Scope::Sort => "sort ",
        Scope::Export => "export ",
        Scope::Profiles => "profile ",
        Scope::Regions => "region ",
    }
}

/// Most rows of a list that does not take the whole body.
const SHOWN: usize = 12;
/// Cells of a choice's keys.
const KEYS: usize = 16;

fn draw_palette(app: &App, buffer: &mut Buffer, body: Rect, palette: &Palette) {
    let theme = app.theme();
    let choices = palette.choices(app);
    let title = match palette.scope {
        Scope::All => "Commands: type to find",
        Scope::Keys => "Help: keys and what they do",
        Scope::Here => "What can be done here",
        Scope::Sort => "Sort the list: a letter, or ↑↓ and enter",
        Scope::Export => "Write what is shown into a file: a letter, or ↑↓ and enter",
        Scope::Profiles => "Go to another target: Region, name, account, role",
        Scope::Regions => "Go to another Region",
    };
    let place = match choices.len() {
        0 => String::new(),
        all => format!("   {} of {all}", palette.cursor.row(all) + 1),
    };
    let title = format!("{title}{place}");
    let cells = (body.width as usize).saturating_sub(4).max(2);
    let room = (body.height as usize).saturating_sub(2);
    let height = match palette.scope {
        Scope::Keys => room,
        _ => room.min(SHOWN),
    };
    let at = palette.cursor.row(choices.len());
    let window = palette.cursor.window(choices.len(), height);
    let shown = window.clone();
    let lines = window.map(|index| {
        let mut line = choice_line(app, palette.scope, &choices[index], cells - 2);
        let is_chosen = index == at;
        let mark = if is_chosen { "▸ " } else { "  " };
        line.spans.insert(0, Span::raw(mark));
        match is_chosen {
            true => line.style(theme.chosen()),
            false => line,
        }
    });
    let mut lines: Vec<Line<'_>> = lines.collect();
    if choices.is_empty() {
        lines.push(Line::styled(
            "nothing fits; enter tries it as typed",
            theme.dim(),
        ));
    }
    lines.resize(lines.len().max(height.min(choices.len())), Line::default());
    if palette.scope == Scope::Keys {
        lines.resize(height, Line::default());
    }
    let mut area = corner(buffer, body, &title, body.width.saturating_sub(4), &lines);
    area.height = area.height.min(shown.len() as u16);
    app.places.note_choices(area, shown.start);
    draw_line(app, buffer, body, sign(palette.scope), &palette.field);
}

fn choice_line(app: &App, scope: Scope, choice: &Choice, cells: usize) -> Line<'static> {
    let keys = text::left(&text::fit(&choice.keys, KEYS), KEYS);
    let shown = match scope {
        Scope::Keys => format!("{keys} {}", text::fit(&choice.help, cells)),
        _ => {
            let name = (cells / 3).clamp(16, 44);
            let line = text::left(&text::middle(choice.line.trim(), name), name);
            format!("{keys} {line} {}", text::fit(&choice.help, cells))
        }
    };
    match choice.refused {
        None => Line::raw(text::left(&text::fit(&shown, cells), cells)),
        Some(reason) => {
            let shown = format!("{shown}  (not now: {reason})");
            let style = app.theme().dim();
            Line::styled(text::left(&text::fit(&shown, cells), cells), style)
        }
    }
}

/// What can follow the first of two keys.
fn draw_menu(app: &App, buffer: &mut Buffer, body: Rect) {
    let Some(first) = app.prefix.filter(|_| app.is_menu_due) else {
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
