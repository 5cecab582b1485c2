//! The events of an execution, and what the one under the cursor carries.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::HistoryEvent;
use crate::tui::app::App;
use crate::tui::filter::Filter;
use crate::tui::history::History;
use crate::tui::screen::execution::{Execution, Payload};
use crate::tui::screen::list::{self, List, Shown};
use crate::tui::theme::Theme;
use crate::tui::widget::list::{Cursor, Move};
use crate::tui::widget::table::{self, Align, Column};
use crate::tui::widget::{figures, pane, text};

/// Bytes of a payload that a filter looks at; the rest is searched in the payload itself.
const FILTERED: usize = 4 << 10;
/// From this width on, the payload stands beside the list.
const BESIDE: u16 = 110;
/// Cells of the list there.
const LIST: u16 = 62;

#[derive(Debug, Clone, Default)]
pub struct Events {
    pub newest_first: bool,
    /// The keys are in the payload, not in the list.
    pub in_payload: bool,
    pub filter: Filter,
    pub payload: Payload,
    cursor: Cursor,
    /// Numbers of the events that fit the filter, in the order shown, and of the first and last of
    /// those that are not here.
    shown: Vec<u64>,
    /// How many of `shown` are here.
    here: usize,
    /// What `shown` was made of.
    of: Option<(u64, bool, String)>,
    /// The event that the cursor was put on.
    anchor: Option<u64>,
}

impl Events {
    pub fn rows(&self) -> usize {
        self.shown.len()
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        if self.in_payload {
            return self.payload.go(to);
        }
        self.cursor.go(to, rows.min(self.shown.len()));
        // At the top one follows what comes in.
        self.anchor = match self.cursor.at {
            0 => None,
            at => self.shown.get(at).copied(),
        };
    }

    pub fn scroll(&mut self, to: Move) {
        self.payload.go(to);
    }

    pub fn choose(&mut self, event: u64) {
        self.anchor = Some(event);
        if let Some(at) = self.shown.iter().position(|it| *it == event) {
            self.cursor.at = at;
        }
    }

    pub fn chosen(&self) -> Option<u64> {
        self.shown.get(self.cursor.row(self.shown.len())).copied()
    }

    /// An event that is not here, near the cursor.
    pub fn wanted(&self, history: &History) -> Option<u64> {
        super::nearest(&self.cursor, &self.shown, |id| {
            history.event(*id).is_none().then_some(*id)
        })
    }

    /// Works out the rows anew where events, order or filter have changed.
    pub fn settle(&mut self, history: &History) {
        let of = (
            history.generation,
            self.newest_first,
            self.filter.text().to_owned(),
        );
        if self.of.as_ref() != Some(&of) {
            let fits = |event: &&HistoryEvent| self.filter.is_empty() || self.fits(history, event);
            let mut shown: Vec<u64> = history.events().filter(fits).map(|it| it.id).collect();
            self.here = shown.len();
            if !history.gaps().is_empty() {
                let edges = history
                    .gaps()
                    .iter()
                    .flat_map(|(first, last)| [*first, *last]);
                shown.extend(edges);
                shown.sort_unstable();
                shown.dedup();
            }
            if self.newest_first {
                shown.reverse();
            }
            self.shown = shown;
            self.of = Some(of);
            let anchored = self
                .anchor
                .and_then(|id| self.shown.iter().position(|it| *it == id));
            self.cursor.at = anchored.unwrap_or(0);
        }
        let chosen = self.chosen().and_then(|id| history.event(id));
        match chosen {
            Some(event) => self.payload.put(&vec![
                ("error", event.error.as_deref()),
                ("cause", event.cause.as_deref()),
                ("input", event.input.as_deref()),
                ("output", event.output.as_deref()),
            ]),
            None => self.payload.put(&Vec::new()),
        }
        self.in_payload &= self.payload.tree().is_some();
    }

    fn fits(&self, history: &History, event: &HistoryEvent) -> bool {
        let beginning = |text: &Option<String>| -> String {
            let text = text.as_deref().unwrap_or_default();
            let end = text.floor_char_boundary(FILTERED.min(text.len()));
            text[..end].to_owned()
        };
        self.filter.matches(&[
            ("id", &event.id.to_string()),
            ("type", &event.kind),
            ("state", &state_of(history, event)),
            ("error", event.error.as_deref().unwrap_or_default()),
            ("cause", &beginning(&event.cause)),
            ("input", &beginning(&event.input)),
            ("output", &beginning(&event.output)),
        ])
    }

    pub fn draw(&self, screen: &Execution, app: &App, buffer: &mut Buffer, area: Rect) {
        if screen.draw_no_history(app, buffer, area) {
            return;
        }
        let Some(history) = app.data().history(&screen.arn) else {
            return;
        };
        let order = if self.newest_first {
            "newest first"
        } else {
            "oldest first"
        };
        let mut title = format!("{}, {order}", Execution::extent(history));
        if !self.filter.is_empty() {
            title += &format!(
                ", {} fit /{}",
                figures::count(self.here as u64),
                self.filter.text()
            );
        }
        let cells = area.width as usize;
        let head = Rect {
            y: area.y.saturating_sub(1),
            height: 1,
            ..area
        };
        pane::line(
            buffer,
            head,
            0,
            Line::styled(text::fit(&title, cells), app.theme().dim()),
        );
        if area.width >= BESIDE {
            // What is beside the list is what grows.
            let beside = pane::resized(area.width - LIST, app.pane("execution") * 4, area.width);
            let width = area.width - beside;
            let list = Rect { width, ..area };
            for y in area.y..area.bottom() {
                buffer[(area.x + width, y)].set_symbol("│");
            }
            let beside = Rect::new(area.x + width + 2, area.y, beside - 2, area.height);
            self.draw_list(history, app, buffer, list);
            self.draw_payload(history, app, buffer, beside);
        } else {
            let usual = area.height - (area.height / 2).max(3).min(area.height);
            let below = pane::resized(usual, app.pane("execution"), area.height);
            let height = area.height - below;
            let list = Rect { height, ..area };
            let below = Rect::new(
                area.x,
                area.y + height,
                area.width,
                area.height.saturating_sub(height),
            );
            self.draw_list(history, app, buffer, list);
            self.draw_payload(history, app, buffer, below);
        }
    }

    fn draw_list(&self, history: &History, app: &App, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        if self.shown.is_empty() {
            return pane::line(
                buffer,
                area,
                1,
                Line::raw("no event fits the filter, esc clears it"),
            );
        }
        let rest = (area.width as usize).saturating_sub(2 + 7 + 11 + 2);
        let columns = [
            Column::new("#", 6, Align::Right),
            Column::new("AT", 10, Align::Left),
            Column::new("TYPE", rest * 3 / 5, Align::Left),
            Column::new("STATE", rest - rest * 3 / 5, Align::Left),
        ];
        let style = if self.in_payload {
            theme.bold()
        } else {
            theme.chosen()
        };
        let list = List {
            columns: &columns,
            cursor: &self.cursor,
            len: self.shown.len(),
            has_keys: !self.in_payload,
        };
        let Shown { rows, chosen } = list.begin(app, buffer, area);
        let top = rows.start;
        for (line, row) in (1..).zip(rows) {
            let Some(event) = history.event(self.shown[row]) else {
                // Two rows, from each of which one goes on into the gap.
                let is_second = top < row && history.event(self.shown[row - 1]).is_none();
                let said = match is_second {
                    true => "…".to_owned(),
                    false => super::gap(history, self.shown[row]),
                };
                let said = format!("{} {said}", if row == chosen { "▸" } else { " " });
                let said = text::left(&text::fit(&said, area.width as usize), area.width as usize);
                let look = if row == chosen { style } else { theme.dim() };
                pane::line(buffer, area, line, Line::styled(said, look));
                continue;
            };
            let cells = [
                (figures::count(event.id), Style::new()),
                (figures::moment(event.at, app.now), Style::new()),
                (
                    format!("{} {}", glyph(event), event.kind),
                    look(event, theme),
                ),
                (state_of(history, event), Style::new()),
            ];
            let mark = (row == chosen).then_some(style);
            list::row(buffer, area, line, table::row(&columns, cells, mark), mark);
        }
    }

    fn draw_payload(&self, history: &History, app: &App, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let Some(event) = self.chosen().and_then(|id| history.event(id)) else {
            return;
        };
        let cells = area.width as usize;
        let mut title = format!(
            "{} {}  {}",
            figures::count(event.id),
            event.kind,
            figures::clock(event.at)
        );
        title += &match self
            .payload
            .tree()
            .and_then(crate::tui::widget::tree::Tree::matches)
        {
            Some(matches) if self.in_payload => format!("  {matches}"),
            _ => format!("  follows on {}", figures::count(event.previous)),
        };
        pane::line(
            buffer,
            area,
            0,
            Line::styled(text::fit(&title, cells), theme.bold()),
        );
        let body = Rect {
            y: area.y + 1,
            height: area.height.saturating_sub(1),
            ..area
        };
        if history.is_stripped(event.id) {
            let said = "its payload is not kept: all payloads of this history take too much memory";
            return pane::line(
                buffer,
                body,
                0,
                Line::styled(text::fit(said, cells), theme.warn()),
            );
        }
        if self.payload.tree().is_none() {
            let said = match &event.map_run {
                Some(map_run) => format!("Map Run {}", map_run.as_str()),
                None => "this event carries no data".to_owned(),
            };
            return pane::line(
                buffer,
                body,
                0,
                Line::styled(text::fit(&said, cells), theme.dim()),
            );
        }
        self.payload.draw(app, buffer, body, self.in_payload);
    }
}

/// The state that an event is about, though only few events name it.
pub fn state_of(history: &History, event: &HistoryEvent) -> String {
    let visit = history.trace.owner(event.id);
    let name = event.state.as_deref().or(visit.map(|it| it.state.as_str()));
    let name = name.unwrap_or_default().to_owned();
    match event.iteration.or(visit.and_then(|it| it.iteration)) {
        Some(item) => format!("{name} #{item}"),
        None => name,
    }
}

fn is_bad(kind: &str) -> bool {
    kind.ends_with("Failed") || kind.ends_with("TimedOut") || kind.ends_with("Aborted")
}

fn glyph(event: &HistoryEvent) -> &'static str {
    let kind = event.kind.as_str();
    if is_bad(kind) {
        "✗"
    } else if kind.ends_with("Succeeded") {
        "✓"
    } else if kind.ends_with("Entered") {
        "▸"
    } else {
        "·"
    }
}

fn look(event: &HistoryEvent, theme: Theme) -> Style {
    if is_bad(&event.kind) {
        theme.bad()
    } else if event.kind.ends_with("Succeeded") {
        theme.good()
    } else {
        Style::new()
    }
}
