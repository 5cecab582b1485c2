//! How failures are drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::{Failures, List, Pane, VIEW, group, item, note};
use crate::model::Failure;
use crate::tui::app::App;
use crate::tui::data::{FailureSet, Remote};
use crate::tui::screen::places::{Rows, below_header};
use crate::tui::screen::{WIDE, absence, margin};
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

/// What is in a cell of the list of members; the number is how many attempts there were.
type Cell = fn(&Failure, u32, &App) -> String;

/// Cells of the groups' column in a width.
fn groups_width(area: Rect) -> u16 {
    (area.width * 9 / 20).min(64)
}

/// Without the frame's own space at both sides.
fn padded(area: Rect) -> Rect {
    Rect::new(
        area.x + 1,
        area.y,
        area.width.saturating_sub(2),
        area.height,
    )
}

/// The upper `height` lines of an area, and the rest.
fn cut(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let upper = Rect { height, ..area };
    let rest = Rect {
        y: area.y + height,
        height: area.height - height,
        ..area
    };
    (upper, rest)
}

impl Failures {
    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let title = self.title(app);
        let room = match area.width {
            0..100 => area.width,
            _ => groups_width(area),
        };
        let title = text::fit(&title, room.saturating_sub(6) as usize);
        let inside = pane::boxed(buffer, area, &title, Style::new());
        let Some(set) = self.set(app).filter(|set| !set.groups().is_empty()) else {
            return self.draw_nothing(app, buffer, inside);
        };
        if self.groups_shown(set).is_empty() {
            let (_, line) = cut(padded(inside), 1);
            let said = "no group's error fits the filter, esc clears it";
            return pane::line(buffer, line, 0, Line::raw(said));
        }
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
            let survey = &set.survey;
            let read = figures::count(survey.read);
            if survey.exact {
                return format!("all read from {}", survey.source);
            }
            let margin = survey.margin();
            let margin = margin.map_or_else(String::new, |it| format!(", ±{it:.0} %"));
            let counted = figures::count(survey.counted);
            format!("~ {read} of {counted} read{margin}, from {}", survey.source)
        });
        let filter = (!self.filter.is_empty()).then(|| format!("/{}", self.filter.text()));
        let parts = [Some(failed), self.marked_words(app), filter, read];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join("  ")
    }

    fn draw_nothing(&self, app: &App, buffer: &mut Buffer, inside: Rect) {
        let run = app.data().runs.get(&self.run);
        let map_run = self.map_run(app);
        let failures = map_run.and_then(|it| app.data().failures.get(&it.arn));
        let trouble = failures
            .and_then(Remote::trouble)
            .or(run.and_then(Remote::trouble));
        let none;
        let waiting = match (run.and_then(Remote::get), map_run) {
            (None, _) => "reading the run…",
            (Some(_), None) => "the run has no Map Run, so no item can have failed",
            (Some(_), Some(map_run)) if map_run.items.failures() == 0 => {
                match map_run.items.pending {
                    pending if 0 < pending && map_run.status.is_closed() => {
                        none = format!(
                            "no item has failed, but {} were never started: o, then reconcile, tells which",
                            figures::count(pending)
                        );
                        &none
                    }
                    _ => "no item has failed",
                }
            }
            _ => "reading the failures…",
        };
        absence(buffer, margin(inside), trouble, waiting, app.theme());
    }

    /// What is above the divider, of at least so many lines, and the rest: half of it, unless that
    /// was made larger or smaller.
    fn above(app: &App, inside: Rect, least: u16) -> (Rect, Rect) {
        let usual = inside.height - (inside.height / 2).max(least).min(inside.height);
        let lower = pane::resized(usual, app.pane(VIEW), inside.height);
        cut(inside, inside.height.saturating_sub(lower))
    }

    /// One list at a time, below it the group or the item.
    fn draw_narrow(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let inside = pane::inside(area);
        let (list, rest) = Self::above(app, inside, 3);
        let (_, detail) = cut(rest, 1);
        match self.pane {
            Pane::Groups => {
                self.draw_left(app, set, buffer, list);
                pane::divide(
                    buffer,
                    area,
                    rest.y,
                    &self.group_title(app, set),
                    Style::new(),
                );
                let below = self.draw_group(app, set, buffer, detail);
                let (_, below) = cut(below, 1);
                self.draw_item(app, buffer, below);
            }
            Pane::Members => {
                self.draw_members(app, buffer, list);
                let title = self.item_title(app, area.width.saturating_sub(6));
                pane::divide(buffer, area, rest.y, &title, Style::new());
                self.draw_item(app, buffer, detail);
            }
        }
    }

    fn draw_below(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let inside = pane::inside(area);
        let (upper, rest) = Self::above(app, inside, 4);
        let (_, detail) = cut(rest, 1);
        let groups = Rect {
            width: groups_width(area),
            ..upper
        };
        let x = groups.right();
        let right = Rect::new(x + 1, inside.y, inside.right() - x - 1, upper.height);
        let title = self.item_title(app, area.width.saturating_sub(6));
        pane::divide(buffer, area, rest.y, &title, Style::new());
        let title = self.group_title(app, set);
        pane::split(buffer, x, area.y, rest.y, &title, Style::new());
        self.draw_left(app, set, buffer, groups);
        self.draw_right(app, set, buffer, right);
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
        let item = pane::resized(rest - rest * 3 / 5, app.pane(VIEW), rest);
        let members = Rect::new(x + 1, inside.y, rest.saturating_sub(item), inside.height);
        let item = Rect::new(
            members.right() + 1,
            inside.y,
            inside.right() - members.right() - 1,
            inside.height,
        );
        let bottom = area.bottom() - 1;
        let title = self.group_title(app, set);
        let title = text::fit(&title, members.width.saturating_sub(5) as usize);
        pane::split(buffer, x, area.y, bottom, &title, Style::new());
        let title = self.item_title(app, item.width.saturating_sub(5));
        pane::split(
            buffer,
            members.right(),
            area.y,
            bottom,
            &title,
            Style::new(),
        );
        self.draw_left(app, set, buffer, groups);
        self.draw_right(app, set, buffer, members);
        self.draw_item(app, buffer, item);
    }

    /// The groups, and what is in none of them.
    fn draw_left(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let beside = self.beside(app);
        let needed = beside.len() as u16 + 1;
        let chosen = self.at_beside(app);
        let (list, below) = match area.height {
            height if needed + 7 <= height => cut(area, height - needed),
            // Where the cursor is must be seen.
            height if chosen.is_some() => cut(area, height.saturating_sub(needed).max(3)),
            _ => (area, Rect::ZERO),
        };
        self.draw_groups(app, set, buffer, list);
        let (_, rows) = cut(below, 1);
        let theme = app.theme();
        let has_keys = self.pane == Pane::Groups;
        let groups = self.groups_shown(set).len();
        note(
            app,
            Rows {
                area: rows,
                height: 1,
                first: groups,
                chosen: self.groups.row(groups + beside.len()),
                len: groups + beside.len(),
                has_keys,
            },
        );
        for (index, (what, count)) in beside.into_iter().enumerate() {
            let is_chosen = chosen == Some(index);
            let mark = if is_chosen { "▸ " } else { "  " };
            let line = format!("{mark}{:28}{:>9}", what.words(), figures::count(count));
            let style = match (is_chosen, has_keys) {
                (true, true) => theme.chosen(),
                (true, false) => theme.bold(),
                (false, _) => theme.dim(),
            };
            pane::line(buffer, rows, index as u16, Line::styled(line, style));
        }
    }

    /// What is told of the group, and its members.
    fn draw_right(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        const LIST: u16 = 5;
        let rest = match area.height {
            0..9 => area,
            height => {
                let (upper, _) = cut(area, height - LIST);
                let below = self.draw_group(app, set, buffer, upper);
                let used = below.y - area.y;
                // A line between the two where there is room.
                let gap = u16::from(12 <= height);
                cut(area, used + gap).1
            }
        };
        self.draw_members(app, buffer, rest);
    }

    fn group_title(&self, app: &App, set: &FailureSet) -> String {
        if let Some((what, count)) = self.chosen_beside(app) {
            return format!("{}  {}", what.words(), figures::count(count));
        }
        let shown = self.groups_shown(set);
        let row = self.groups.row(shown.len());
        let about = if set.is_exact() { "" } else { "~" };
        let group = shown.get(row).and_then(|index| set.groups().get(*index));
        group.map_or_else(String::new, |group| {
            let name = text::middle(&group.error, 30);
            let count = figures::count(group.count);
            let list = self.list(app).filter(|_| !self.filter.is_empty());
            let items = format!("{about}{count} items");
            let told = list.map(|list| match (list.total(), list.looking()) {
                (Some(total), None) => format!("{items}, {} fit", figures::count(total)),
                (Some(total), Some(looking)) => {
                    let share = figures::whole_percent(looking.read, looking.of);
                    format!("{} fit, {share} read", figures::count(total))
                }
                (None, _) => format!("{items}, looking…"),
            });
            let told = told.unwrap_or(items);
            format!("Group {} of {}  {name}  {told}", row + 1, shown.len())
        })
    }

    /// Draws what is told of the chosen group; returns the area below it.
    fn draw_group(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) -> Rect {
        if self.at_beside(app).is_some() {
            let inner = padded(area);
            let lines = self.beside_lines(app, inner.width as usize);
            let window = self.scroll.window(lines.len(), inner.height as usize);
            for (row, line) in (0..).zip(&lines[window]) {
                pane::line(buffer, inner, row, line.clone());
            }
            return cut(area, area.height).1;
        }
        let shown = self.groups_shown(set);
        let index = shown.get(self.groups.row(shown.len()));
        let Some(group) = index.and_then(|index| set.groups().get(*index)) else {
            return area;
        };
        let inner = padded(area);
        let lines = group::detail(group, app.now, inner.width as usize, app.theme());
        let used = (lines.len() as u16).min(area.height);
        for (row, line) in (0..).zip(lines) {
            pane::line(buffer, inner, row, line);
        }
        cut(area, used).1
    }

    fn draw_groups(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        // Where the columns are narrow, when is said beside, of the chosen one.
        let has_ends = 52 <= area.width;
        let ends = if has_ends { 10 + 10 } else { 10 };
        let name = (area.width as usize).saturating_sub(2 + 9 + 5 + ends + 1);
        let mut columns = vec![
            Column::new("ITEMS", 8, Align::Right),
            Column::new("%", 4, Align::Right),
            Column::new("GROUP", name, Align::Left),
            Column::new("FIRST", 9, Align::Right),
        ];
        if has_ends {
            columns.push(Column::new("LAST", 9, Align::Right));
        }
        let about = if set.is_exact() { "" } else { "~" };
        let all: u64 = set.groups().iter().map(|group| group.count).sum();
        pane::line(buffer, area, 0, table::header(&columns, theme.dim()));
        let has_keys = self.pane == Pane::Groups;
        let style = if has_keys {
            theme.chosen()
        } else {
            theme.bold()
        };
        let shown = self.groups_shown(set);
        let len = shown.len() + self.beside(app).len();
        let chosen = self.groups.row(len);
        // Each takes two lines: groups of one error differ in their messages.
        let height = (area.height.saturating_sub(1) / 2) as usize;
        let window = self.groups.window(shown.len(), height);
        note(
            app,
            Rows {
                area: below_header(area),
                height: 2,
                first: window.start,
                chosen,
                len,
                has_keys,
            },
        );
        for (line, row) in (1..).step_by(2).zip(window) {
            let group = &set.groups()[shown[row]];
            let moment =
                |at: Option<_>| at.map_or_else(String::new, |at| figures::moment(at, app.now));
            let cells = [
                format!("{about}{}", figures::count(group.count)),
                figures::whole_percent(group.count, all),
                group.error.clone(),
                moment(group.first),
                moment(group.last),
            ];
            let mark = (row == chosen).then_some(style);
            let cells = cells.map(|cell| (cell, Style::new()));
            let marked = self.group_marks.has(&group.key());
            pane::line(
                buffer,
                area,
                line,
                table::markable(&columns, cells, mark, marked),
            );
            let trend = group.trend.map_or("", |it| it.word());
            let room = (area.width as usize).saturating_sub(16);
            let message = format!("  {trend:<14}{}", text::fit(&group.message, room));
            pane::line(buffer, area, line + 1, Line::styled(message, theme.dim()));
            if row == chosen {
                let strip = Rect::new(area.x, area.y + line, area.width, 1);
                buffer.set_style(strip, style);
            }
        }
    }

    fn draw_members(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let Some(list) = self.list(app) else {
            return;
        };
        if list.len() == 0 {
            let inner = Rect {
                x: area.x + 2,
                width: area.width.saturating_sub(2),
                ..area
            };
            let said = match (list.trouble(), list.unfinished(), list.looking()) {
                (Some(trouble), ..) => trouble.text.clone(),
                (None, Some(_), Some(looking)) => format!(
                    "looking through the group, {} of {} read, esc ends it",
                    figures::count(looking.read),
                    figures::count(looking.of)
                ),
                (None, Some(_), None) => "looking through the group…".to_owned(),
                (None, None, _) => "no item fits the filter, esc clears it".to_owned(),
            };
            let said = text::fit(&said, inner.width as usize);
            return pane::line(buffer, inner, 1, Line::raw(said));
        }
        self.draw_rows(app, &list, buffer, area);
    }

    fn draw_rows(&self, app: &App, list: &List<'_>, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let width = area.width as usize;
        let attempts = self.map_run(app).map_or(1, |it| it.redrive_count + 1);
        let mut columns: Vec<(Column, Cell)> = vec![
            (Column::new("LINE", 10, Align::Right), |it, _, _| {
                figures::maybe(it.line)
            }),
            (Column::new("ENDED", 9, Align::Left), |it, _, app| {
                let ended = it.stopped.map(|at| figures::moment(at, app.now));
                ended.unwrap_or_default()
            }),
            (Column::new("TOOK", 7, Align::Right), |it, _, _| {
                item::took(it)
            }),
        ];
        if 60 <= width {
            columns.push((Column::new("ATTEMPT", 8, Align::Left), |it, of, _| {
                format!("{} of {of}", (it.redrives + 1).min(of))
            }));
        }
        if 76 <= width {
            columns.push((Column::new("CHILD", 14, Align::Name), |it, _, _| {
                it.child.name().to_owned()
            }));
        }
        let used: usize = columns.iter().map(|(column, _)| column.width + 1).sum();
        let rest = width.saturating_sub(2 + used + 1);
        columns.push((
            Column::new("WHAT DIFFERS", rest, Align::Left),
            |it, _, _| item::differs(it),
        ));
        let titles: Vec<Column> = columns.iter().map(|(column, _)| *column).collect();
        pane::line(buffer, area, 0, table::header(&titles, theme.dim()));
        let height = area.height.saturating_sub(1) as usize;
        let chosen = self.members.row(list.len());
        let has_keys = self.pane == Pane::Members;
        let style = if has_keys {
            theme.chosen()
        } else {
            theme.bold()
        };
        let window = self.members.window(list.len(), height);
        note(
            app,
            Rows {
                area: below_header(area),
                height: 1,
                first: window.start,
                chosen,
                len: list.len(),
                has_keys,
            },
        );
        let is_group_marked = self.set(app).is_some_and(|set| {
            let group = set.groups().get(list.group);
            group.is_some_and(|group| self.group_marks.has(&group.key()))
        });
        for (line, row) in (1..).zip(window) {
            let mark = (row == chosen).then_some(style);
            let failure = list.row(row);
            let cells: Vec<String> = match failure {
                Some(failure) => columns
                    .iter()
                    .map(|(_, cell)| cell(failure, attempts, app))
                    .collect(),
                None => vec!["…".to_owned()],
            };
            let cells = cells.into_iter().map(|cell| (cell, Style::new()));
            let marked = is_group_marked || failure.is_some_and(|it| self.marks.has(&it.child));
            pane::line(
                buffer,
                area,
                line,
                table::markable(&titles, cells, mark, marked),
            );
            if row == chosen {
                buffer.set_style(Rect::new(area.x, area.y + line, area.width, 1), style);
            }
        }
    }

    /// The tabs and the item's line, in so many cells; where there is not enough room, the tab.
    fn item_title(&self, app: &App, cells: u16) -> String {
        let Some(failure) = self.chosen(app) else {
            return "Item".to_owned();
        };
        let found = app.data().source_lines.get(&failure.child);
        let place = match (found.and_then(Remote::get), failure.line) {
            (Some(found), _) => match (found.line, &found.source) {
                (Some(line), Some(source)) => {
                    let line = figures::count(line);
                    format!("Line {line} of {source}, matched {}", found.method.words())
                }
                _ => format!("Line unknown: {}", found.method.words()),
            },
            (None, Some(line)) => format!("Line {}", figures::count(line)),
            (None, None) => {
                let key = app.keymap.key_of(crate::tui::keys::Action::SourceLine);
                format!("Line unknown: {key} looks for it in the source")
            }
        };
        let whole = format!("{}  {place}", self.tab.words());
        match text::width(&whole) <= cells as usize {
            true => whole,
            false => format!("{} …  {place}", self.tab.word()),
        }
    }

    fn draw_item(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let Some(failure) = self.chosen(app) else {
            return;
        };
        let area = padded(area);
        let lines = item::lines(self.tab, app, failure, area.width as usize);
        let window = self.scroll.window(lines.len(), area.height as usize);
        for (row, line) in (0..).zip(&lines[window]) {
            pane::line(buffer, area, row, line.clone());
        }
    }
}
