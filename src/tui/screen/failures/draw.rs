//! How failures are drawn: where the lists, the group and the item are.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::{Failures, Pane, VIEW, group, item, note};
use crate::tui::app::App;
use crate::tui::data::{FailureSet, Remote};
use crate::tui::screen::places::Rows;
use crate::tui::screen::{WIDE, absence, margin};
use crate::tui::widget::{figures, pane, text};

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
            let list = self.list(app).filter(|_| !self.filter.is_empty());
            let items = group.size(about);
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
