//! How the two lists of failures are drawn: groups, and the members of one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::{Failures, List, Pane, item, note};
use crate::model::Failure;
use crate::operations::failures::Group;
use crate::tui::app::App;
use crate::tui::data::FailureSet;
use crate::tui::screen::list::{self, Shown};
use crate::tui::screen::places::{Rows, below_header};
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

/// What is in a cell of the list of members; the number is how many attempts there were.
type Cell = fn(&Failure, u32, &App) -> String;

impl Failures {
    pub(super) fn draw_groups(&self, app: &App, set: &FailureSet, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        // Where the columns are narrow, when is said beside, of the chosen one.
        let has_ends = 52 <= area.width;
        let ends = if has_ends { 10 + 10 } else { 10 };
        let name = (area.width as usize).saturating_sub(2 + 9 + 5 + ends + 1);
        let tells_items = set.groups().iter().all(|group| group.items.is_some());
        let counts = if tells_items { "ITEMS" } else { "CHILDREN" };
        let size = |group: &Group| match tells_items {
            true => group.lost(),
            false => group.count,
        };
        let mut columns = vec![
            Column::new(counts, 8, Align::Right),
            Column::new("%", 4, Align::Right),
            Column::new("GROUP", name, Align::Left),
            Column::new("FIRST", 9, Align::Right),
        ];
        if has_ends {
            columns.push(Column::new("LAST", 9, Align::Right));
        }
        let about = if set.is_exact() { "" } else { "~" };
        let all: u64 = set.groups().iter().map(&size).sum();
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
                format!("{about}{}", figures::count(size(group))),
                figures::whole_percent(size(group), all),
                group.error.clone(),
                moment(group.first),
                moment(group.last),
            ];
            let mark = (row == chosen).then_some(style);
            let cells = cells.map(|cell| (cell, Style::new()));
            let marked = self.group_marks.has(&group.key());
            let drawn = table::markable(&columns, cells, mark, marked);
            list::row(buffer, area, line, drawn, mark);
            let trend = group.trend.map_or("", |it| it.word());
            let room = (area.width as usize).saturating_sub(16);
            let message = format!("  {trend:<14}{}", text::fit(&group.message, room));
            pane::line(buffer, area, line + 1, Line::styled(message, theme.dim()));
        }
    }

    pub(super) fn draw_members(&self, app: &App, buffer: &mut Buffer, area: Rect) {
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
        let has_keys = self.pane == Pane::Members;
        let style = if has_keys {
            theme.chosen()
        } else {
            theme.bold()
        };
        let look = list::List {
            columns: &titles,
            cursor: &self.members,
            len: list.len(),
            has_keys,
        };
        let Shown { rows, chosen } = look.begin(app, buffer, area);
        let is_group_marked = self.set(app).is_some_and(|set| {
            let group = set.groups().get(list.group);
            group.is_some_and(|group| self.group_marks.has(&group.key()))
        });
        for (line, row) in (1..).zip(rows) {
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
            let drawn = table::markable(&titles, cells, mark, marked);
            list::row(buffer, area, line, drawn, mark);
        }
    }
}
