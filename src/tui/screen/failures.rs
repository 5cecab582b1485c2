//! Failed items: groups of one cause at the left, their members at the right, the item below (or
//! beside, where there is room).

mod item;
mod members;

pub use item::{detail, message_of};
use members::MembersShown;

use std::cell::RefCell;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::{ExecutionArn, Failure, MapRun};
use crate::tui::app::App;
use crate::tui::data::{FailureSet, Remote};
use crate::tui::filter::{AGE, Filter};
use crate::tui::marks::Marks;
use crate::tui::screen::places::{Rows, below_header};
use crate::tui::screen::{WIDE, absence};
use crate::tui::widget::list::{Cursor, Move, Order, Scroll, Sort};
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

/// The list that has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Groups,
    Members,
}

#[derive(Debug, Clone)]
pub struct Failures {
    pub run: ExecutionArn,
    pub pane: Pane,
    pub groups: Cursor,
    pub members: Cursor,
    /// Of members.
    pub filter: Filter,
    pub order: Order,
    /// Children.
    pub marks: Marks<ExecutionArn>,
    /// Of the item's detail.
    pub scroll: Scroll,
    /// The members as they were last asked for: a frame asks several times.
    members_shown: RefCell<Option<MembersShown>>,
}

/// Of members.
pub const SORTS: &[Sort] = &[
    ("found", "as read"),
    ("line", "by line"),
    ("ended", "newest first"),
];

/// What a filter can ask for by name.
pub const COLUMNS: &[&str] = &["line", "error", "cause", "input", "child", AGE];

/// Cells of the groups' column in a width.
fn groups_width(area: Rect) -> u16 {
    (area.width * 9 / 20).min(64)
}

impl Failures {
    pub fn new(run: ExecutionArn) -> Self {
        Self {
            run,
            pane: Pane::Groups,
            groups: Cursor::default(),
            members: Cursor::default(),
            filter: Filter::default(),
            order: Order::default(),
            marks: Marks::default(),
            scroll: Scroll::default(),
            members_shown: RefCell::default(),
        }
    }

    fn map_run<'a>(&self, app: &'a App) -> Option<&'a MapRun> {
        app.data().map_run(&self.run)
    }

    pub fn set<'a>(&self, app: &'a App) -> Option<&'a FailureSet> {
        app.data().failure_set(&self.map_run(app)?.arn)
    }

    pub fn rows(&self, app: &App) -> usize {
        let Some(set) = self.set(app) else {
            return 0;
        };
        match self.pane {
            Pane::Groups => set.groups.len(),
            Pane::Members => self.filtered(set, app.now).len(),
        }
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        match self.pane {
            Pane::Groups => {
                self.groups.go(to, rows);
                self.members = Cursor::default();
            }
            Pane::Members => self.members.go(to, rows),
        }
        self.scroll = Scroll::default();
    }

    /// The failure under the members' cursor.
    pub fn chosen<'a>(&self, app: &'a App) -> Option<(u32, &'a Failure)> {
        let set = self.set(app)?;
        let members = self.filtered(set, app.now);
        let index = *members.get(self.members.row(members.len()))?;
        Some((index, set.failure(index)?))
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let title = self.title(app);
        let room = match area.width {
            0..100 => area.width,
            _ => groups_width(area),
        };
        let title = text::fit(&title, room.saturating_sub(6) as usize);
        let inside = pane::boxed(buffer, area, &title, Style::new());
        let Some(set) = self.set(app).filter(|set| !set.groups.is_empty()) else {
            return self.draw_nothing(app, buffer, inside);
        };
        match area.width {
            0..100 => self.draw_narrow(app, set, buffer, area),
            100..WIDE => self.draw_below(app, set, buffer, area),
            _ => self.draw_beside(app, set, buffer, area),
        }
    }

    fn title(&self, app: &App) -> String {
        let Some(map_run) = self.map_run(app) else {
            return "Failures".to_owned();
        };
        let failed = format!("{} failed", figures::count(map_run.items.failures()));
        let read = self.set(app).map(|set| {
            let read = figures::count(set.list.items.len() as u64);
            let how = if set.list.exact {
                "all".to_owned()
            } else {
                format!("~{read}")
            };
            format!("{how} read from {}", set.list.source)
        });
        let filter = (!self.filter.is_empty()).then(|| format!("/{}", self.filter.text()));
        let marked = (!self.marks.is_empty()).then(|| format!("{} marked", self.marks.len()));
        let parts = [Some(failed), marked, read, filter].into_iter().flatten();
        let parts: Vec<String> = parts.collect();
        parts.join("  ")
    }

    fn draw_nothing(&self, app: &App, buffer: &mut Buffer, inside: Rect) {
        let area = Rect::new(
            inside.x + 2,
            inside.y + 1,
            inside.width.saturating_sub(4),
            inside.height.saturating_sub(1),
        );
        let run = app.data().runs.get(&self.run);
        let map_run = self.map_run(app);
        let failures = map_run.and_then(|it| app.data().failures.get(&it.arn));
        let trouble = failures
            .and_then(Remote::trouble)
            .or(run.and_then(Remote::trouble));
        let waiting = match (run.and_then(Remote::get), map_run) {
            (None, _) => "reading the run…",
            (Some(_), None) => "the run has no Map Run, so no item can have failed",
            (Some(_), Some(map_run)) if map_run.items.failures() == 0 => "no item has failed",
            _ => "reading the failures…",
        };
        absence(buffer, area, trouble, waiting, app.theme());
    }

    /// One list at a time, the item below.
    fn draw_narrow(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let inside = pane::inside(area);
        let list_height = (inside.height / 2).max(3);
        let list = Rect {
            height: list_height,
            ..inside
        };
        match self.pane {
            Pane::Groups => self.draw_groups(app, set, buffer, list),
            Pane::Members => self.draw_members(app, set, buffer, list),
        }
        let y = list.bottom();
        let detail = Rect {
            y: y + 1,
            height: inside.bottom().saturating_sub(y + 1),
            ..inside
        };
        pane::divide(buffer, area, y, &self.item_title(app), Style::new());
        self.draw_item(app, buffer, detail);
    }

    fn draw_below(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let inside = pane::inside(area);
        let list_height = (inside.height * 2 / 5).max(4);
        let y = inside.y + list_height;
        let groups = Rect {
            width: groups_width(area),
            height: list_height,
            ..inside
        };
        let x = groups.right();
        let members = Rect::new(x + 1, inside.y, inside.right() - x - 1, list_height);
        pane::divide(buffer, area, y, &self.item_title(app), Style::new());
        pane::split(
            buffer,
            x,
            area.y,
            y,
            &self.members_title(app, set),
            Style::new(),
        );
        self.draw_groups(app, set, buffer, groups);
        self.draw_members(app, set, buffer, members);
        let detail = Rect {
            y: y + 1,
            height: inside.bottom().saturating_sub(y + 1),
            ..inside
        };
        self.draw_item(app, buffer, detail);
    }

    fn draw_beside(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let inside = pane::inside(area);
        let groups = Rect {
            width: groups_width(area),
            ..inside
        };
        let x = groups.right();
        let rest = inside.right() - x - 1;
        let members = Rect::new(x + 1, inside.y, rest / 2, inside.height);
        let item = Rect::new(
            members.right() + 1,
            inside.y,
            inside.right() - members.right() - 1,
            inside.height,
        );
        let bottom = area.bottom() - 1;
        pane::split(
            buffer,
            x,
            area.y,
            bottom,
            &self.members_title(app, set),
            Style::new(),
        );
        pane::split(
            buffer,
            members.right(),
            area.y,
            bottom,
            &self.item_title(app),
            Style::new(),
        );
        self.draw_groups(app, set, buffer, groups);
        self.draw_members(app, set, buffer, members);
        self.draw_item(app, buffer, item);
    }

    fn members_title(&self, app: &App, set: &FailureSet) -> String {
        let row = self.groups.row(set.groups.len());
        let about = if set.list.exact { "" } else { "~" };
        set.groups.get(row).map_or_else(String::new, |(group, _)| {
            let name = text::middle(&group.error, 30);
            let count = figures::count(group.count);
            let marked = match self.marks.is_idle() {
                true => None,
                false => self.marks.words(self.shown(app).iter().map(|it| &it.child)),
            };
            let marked = marked.map_or_else(String::new, |it| format!("  {it}"));
            format!(
                "Group {} of {}  {name}  {about}{count} items{marked}",
                row + 1,
                set.groups.len()
            )
        })
    }

    fn draw_groups(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let name = (area.width as usize).saturating_sub(2 + 9 + 5 + 10 + 10 + 1);
        let columns = [
            Column::new("ITEMS", 8, Align::Right),
            Column::new("%", 4, Align::Right),
            Column::new("GROUP", name, Align::Left),
            Column::new("FIRST", 9, Align::Right),
            Column::new("LAST", 9, Align::Right),
        ];
        let about = if set.list.exact { "" } else { "~" };
        let all: u64 = set.groups.iter().map(|(group, _)| group.count).sum();
        pane::line(buffer, area, 0, table::header(&columns, theme.dim()));
        let has_keys = self.pane == Pane::Groups;
        let style = if has_keys {
            theme.chosen()
        } else {
            theme.bold()
        };
        let chosen = self.groups.row(set.groups.len());
        // Each takes two lines: groups of one error differ in their messages.
        let height = (area.height.saturating_sub(1) / 2) as usize;
        let window = self.groups.window(set.groups.len(), height);
        app.places.note_rows(Rows {
            area: below_header(area),
            height: 2,
            first: window.start,
            chosen,
            len: set.groups.len(),
            has_keys,
        });
        for (line, index) in (1..).step_by(2).zip(window) {
            let (group, _) = &set.groups[index];
            let cells = [
                format!("{about}{}", figures::count(group.count)),
                figures::whole_percent(group.count, all),
                group.error.clone(),
                figures::maybe(group.first_line),
                figures::maybe(group.last_line),
            ];
            let mark = (index == chosen).then_some(style);
            let cells = cells.map(|cell| (cell, Style::new()));
            pane::line(buffer, area, line, table::row(&columns, cells, mark));
            let room = (area.width as usize).saturating_sub(16);
            let message = format!("{}{}", " ".repeat(16), text::fit(&group.message, room));
            pane::line(buffer, area, line + 1, Line::styled(message, theme.dim()));
            if index == chosen {
                let strip = Rect::new(area.x, area.y + line, area.width, 1);
                buffer.set_style(strip, style);
            }
        }
    }

    fn draw_members(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let members = self.filtered(set, app.now);
        if members.is_empty() {
            let inner = Rect {
                x: area.x + 2,
                width: area.width.saturating_sub(2),
                ..area
            };
            return pane::line(
                buffer,
                inner,
                1,
                Line::raw("no item fits the filter, esc clears it"),
            );
        }
        let message = (area.width as usize).saturating_sub(2 + 11 + 10 + 9 + 1);
        let columns = [
            Column::new("LINE", 10, Align::Right),
            Column::new("ENDED", 9, Align::Left),
            Column::new("STATUS", 8, Align::Left),
            Column::new("MESSAGE", message, Align::Left),
        ];
        let cells = |row: usize| {
            let Some(failure) = set.failure(members[row]) else {
                return Default::default();
            };
            let ended = failure.stopped.map(|at| figures::moment(at, app.now));
            [
                figures::maybe(failure.line),
                ended.unwrap_or_default(),
                failure.status.as_str().to_owned(),
                message_of(failure),
            ]
        };
        pane::line(buffer, area, 0, table::header(&columns, theme.dim()));
        let height = area.height.saturating_sub(1) as usize;
        let chosen = self.members.row(members.len());
        let has_keys = self.pane == Pane::Members;
        let style = if has_keys {
            theme.chosen()
        } else {
            theme.bold()
        };
        let window = self.members.window(members.len(), height);
        app.places.note_rows(Rows {
            area: below_header(area),
            height: 1,
            first: window.start,
            chosen,
            len: members.len(),
            has_keys,
        });
        for (line, index) in (1..).zip(window) {
            let mark = (index == chosen).then_some(style);
            let row = cells(index).map(|cell| (cell, Style::new()));
            let child = set.failure(members[index]).map(|it| &it.child);
            let marked = child.is_some_and(|child| self.marks.has(child));
            pane::line(
                buffer,
                area,
                line,
                table::markable(&columns, row, mark, marked),
            );
            if index == chosen {
                buffer.set_style(Rect::new(area.x, area.y + line, area.width, 1), style);
            }
        }
    }

    fn item_title(&self, app: &App) -> String {
        match self.chosen(app) {
            Some((_, failure)) => match failure.line {
                Some(line) => format!("Line {}", figures::count(line)),
                None => "Line unknown: the item carries no number".to_owned(),
            },
            None => "Item".to_owned(),
        }
    }

    fn draw_item(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let Some((_, failure)) = self.chosen(app) else {
            return;
        };
        let area = Rect::new(
            area.x + 1,
            area.y,
            area.width.saturating_sub(2),
            area.height,
        );
        let lines = detail(failure, area.width as usize, app.theme());
        let window = self.scroll.window(lines.len(), area.height as usize);
        for (row, line) in (0..).zip(&lines[window]) {
            pane::line(buffer, area, row, line.clone());
        }
    }
}
