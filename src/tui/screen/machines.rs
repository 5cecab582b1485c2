//! State machines: the list, and how the newest executions of each went.

pub mod machine;
#[cfg(test)]
mod tests;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::{Execution, RunState, StateMachine, StateMachineArn};
use crate::operations::machines::Recent;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::filter::Filter;
use crate::tui::screen::absence;
use crate::tui::screen::list::{self, List};
use crate::tui::theme::Theme;
use crate::tui::widget::list::Cursor;
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

#[derive(Debug, Clone, Default)]
pub struct Machines {
    pub cursor: Cursor,
    pub filter: Filter,
}

/// Lines below the list, of the machine under the cursor.
const BELOW: u16 = 5;

impl Machines {
    /// The machines that fit the filter, by name.
    pub fn rows<'a>(&self, app: &'a App) -> Vec<&'a StateMachine> {
        let machines = app.data().machines.get();
        let fits = |it: &&StateMachine| {
            self.filter
                .matches(&[("machine", &it.name), ("type", &it.kind)])
        };
        let mut rows: Vec<&StateMachine> = machines.into_iter().flatten().filter(fits).collect();
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        rows
    }

    pub fn chosen<'a>(&self, app: &'a App) -> Option<&'a StateMachine> {
        let rows = self.rows(app);
        rows.get(self.cursor.row(rows.len())).copied()
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let rows = self.rows(app);
        let inside = pane::boxed(buffer, area, &self.title(app, rows.len()), Style::new());
        if rows.is_empty() {
            let area = Rect::new(
                inside.x + 2,
                inside.y + 1,
                inside.width.saturating_sub(4),
                inside.height.saturating_sub(1),
            );
            let known = &app.data().machines;
            let waiting = match known.get() {
                None => "reading the state machines…",
                Some(all) if all.is_empty() => {
                    "there is no state machine here: deploy one, or choose another Region or profile"
                }
                Some(_) => "no state machine fits the filter, esc clears it",
            };
            return absence(buffer, area, known.trouble(), waiting, theme);
        }
        let below = match area.height {
            0..15 => 0,
            height => pane::resized(BELOW, app.pane("machines"), height),
        };
        let list = Rect {
            height: inside.height.saturating_sub(below),
            ..inside
        };
        self.draw_rows(app, &rows, buffer, list);
        if below > 0
            && let Some(machine) = rows.get(self.cursor.row(rows.len()))
        {
            let y = list.bottom();
            pane::divide(
                buffer,
                area,
                y,
                &text::middle(&machine.name, 60),
                Style::new(),
            );
            let lines = Rect::new(
                inside.x + 1,
                y + 1,
                inside.width.saturating_sub(2),
                below - 1,
            );
            draw_below(app, machine, buffer, lines);
        }
    }

    fn title(&self, app: &App, shown: usize) -> String {
        let all = app.data().machines.get().map(Vec::len);
        let all = figures::maybe(all.map(|it| it as u64));
        if self.filter.is_empty() {
            return format!("Machines  {all}");
        }
        format!("Machines  {shown} of {all}  /{}", self.filter.text())
    }

    fn draw_rows(&self, app: &App, rows: &[&StateMachine], buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let fixed = 2 + 10 + 11 + 11 + 10 + 6 + 2;
        let name = (area.width as usize).saturating_sub(fixed).min(80);
        let columns = [
            Column::new("MACHINE", name, Align::Name),
            Column::new("TYPE", 9, Align::Left),
            Column::new("CREATED", 10, Align::Left),
            Column::new("NEWEST", 10, Align::Left),
            Column::new("OK", 9, Align::Left),
            Column::new("OPEN", 5, Align::Right),
        ];
        let list = List {
            columns: &columns,
            cursor: &self.cursor,
            len: rows.len(),
            has_keys: true,
        };
        let shown = list.begin(app, buffer, area);
        for (line, index) in (1..).zip(shown.rows) {
            let machine = rows[index];
            let is_shown = app.data().machine.get() == Some(&machine.arn);
            let recent = app.data().recent(&machine.arn);
            let (glyphs, ok, open) = match recent {
                _ if is_express(machine) => {
                    ("–".to_owned(), "not listed".to_owned(), "–".to_owned())
                }
                None => ("?".to_owned(), "?".to_owned(), "?".to_owned()),
                Some(recent) => (glyphs(recent, app), share(recent), open(recent)),
            };
            let name_style = if is_shown { theme.bold() } else { Style::new() };
            let cells = [
                (machine.name.clone(), name_style),
                (machine.kind.clone(), Style::new()),
                (figures::moment(machine.created, app.now), Style::new()),
                (glyphs, Style::new()),
                (ok, recent.map_or(theme.dim(), |it| style(it, theme))),
                (open, Style::new()),
            ];
            let mark = (index == shown.chosen).then(|| theme.chosen());
            list::row(buffer, area, line, table::row(&columns, cells, mark), mark);
        }
    }
}

/// Express executions are told of in logs only.
pub fn is_express(machine: &StateMachine) -> bool {
    machine.kind == "EXPRESS"
}

/// One glyph for each of the newest executions, the newest last.
fn glyphs(recent: &Recent, app: &App) -> String {
    let newest = recent.newest.iter().rev();
    newest.map(|it| glyph(it, app)).collect()
}

/// Whether an execution that succeeded did so in whole or in part is not known before its counts
/// are: it has a glyph of its own until then.
pub fn glyph(execution: &Execution, app: &App) -> &'static str {
    let theme = app.theme();
    match app.data().state(execution, app.now) {
        RunState::Succeeded if app.data().run(&execution.arn).is_none() => theme.ended_well(),
        state => theme.glyph(state),
    }
}

/// `7 of 9 OK`.
pub fn share(recent: &Recent) -> String {
    match recent.succeeded() {
        (_, 0) => "none yet".to_owned(),
        (ok, ended) => format!("{ok} of {ended}"),
    }
}

pub fn open(recent: &Recent) -> String {
    let more = if recent.more_open { "+" } else { "" };
    format!("{}{more}", figures::count(recent.open))
}

fn style(recent: &Recent, theme: Theme) -> Style {
    match recent.succeeded() {
        (_, 0) => theme.dim(),
        (ok, ended) if ok == ended => theme.good(),
        (0, _) => theme.bad(),
        _ => theme.warn(),
    }
}

fn draw_below(app: &App, machine: &StateMachine, buffer: &mut Buffer, area: Rect) {
    let theme = app.theme();
    let cells = area.width as usize;
    let is_shown = app.data().machine.get() == Some(&machine.arn);
    let shown = if is_shown {
        "its runs are what view 1 shows"
    } else {
        "space shows its runs in view 1"
    };
    let known = app.data().recents.get(&machine.arn);
    let newest = match known.and_then(Remote::get) {
        _ if is_express(machine) => "Express executions are not listed, only logged".to_owned(),
        Some(recent) => newest(recent, app),
        None => match known.and_then(Remote::trouble) {
            Some(trouble) => trouble.text.clone(),
            None => "reading its newest executions…".to_owned(),
        },
    };
    let lines = [
        (machine.arn.as_str().to_owned(), Style::new()),
        (newest, Style::new()),
        (shown.to_owned(), theme.dim()),
    ];
    for (row, (line, style)) in (0..).zip(lines) {
        pane::line(
            buffer,
            area,
            row,
            Line::styled(text::fit(&line, cells), style),
        );
    }
}

/// The newest execution in words.
fn newest(recent: &Recent, app: &App) -> String {
    let Some(newest) = recent.newest.first() else {
        return "never started".to_owned();
    };
    let ago = figures::span(figures::seconds_between(newest.started, app.now));
    format!(
        "newest {} {} {}, started {ago} ago; {} of the newest that ended succeeded, {} open",
        text::middle(&newest.name, 40),
        glyph(newest, app),
        app.data().state_word(newest, app.now),
        share(recent),
        open(recent),
    )
}

/// The machine that a view of machines is about.
pub fn chosen(app: &App) -> Option<StateMachineArn> {
    match app.screen() {
        super::Screen::Machines(it) => it.chosen(app).map(|it| it.arn.clone()),
        super::Screen::Machine(it) => Some(it.arn.clone()),
        _ => None,
    }
}
