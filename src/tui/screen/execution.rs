//! One execution, a run or a child of its Map Run, told five ways: summary, state graph, timeline,
//! events, input and output.

mod events;
mod graph;
mod payload;
pub mod summary;
#[cfg(test)]
mod tests;
mod timeline;

pub use payload::{Payload, path as payload_path};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::model::ExecutionArn;
use crate::tui::app::App;
use crate::tui::data::{Data, Remote};
use crate::tui::filter::Filter;
use crate::tui::history::{History, Part};
use crate::tui::screen::absence;
use crate::tui::screen::execution::events::Events;
use crate::tui::widget::graph::Graph;
use crate::tui::widget::list::{Cursor, Move, Scroll};
use crate::tui::widget::tree::Tree;
use crate::tui::widget::{pane, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Summary,
    Graph,
    Timeline,
    Events,
    Payload,
}

impl Tab {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Summary, "Summary"),
        (Self::Graph, "Graph"),
        (Self::Timeline, "Timeline"),
        (Self::Events, "Events"),
        (Self::Payload, "Input/Output"),
    ];

    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(tab, _)| *tab == self);
        known.map_or("", |(_, name)| name)
    }

    /// The tab of this name, else the first.
    pub fn named(name: &str) -> Self {
        let known = Self::ALL.iter().find(|(_, known)| *known == name);
        known.map_or(Self::Summary, |(tab, _)| *tab)
    }

    /// The one so many tabs to the right, around the end.
    fn moved(self, by: isize) -> Self {
        let all = Self::ALL.len() as isize;
        let at = Self::ALL.iter().position(|(tab, _)| *tab == self);
        let next = (at.unwrap_or(0) as isize + by).rem_euclid(all);
        Self::ALL[next as usize].0
    }
}

#[derive(Debug, Clone)]
pub struct Execution {
    /// The run that the numbered views are about: its own, or the one that this is a child of.
    pub run: ExecutionArn,
    pub arn: ExecutionArn,
    pub tab: Tab,
    pub scroll: Scroll,
    graph: Graph,
    timeline: Cursor,
    /// The event that the row under the timeline's cursor begins with, and in which state of the
    /// history.
    held: (Option<u64>, u64),
    events: Events,
    payload: Payload,
    /// What is looked for in the tab; the events have a filter of their own.
    search: Filter,
}

impl Execution {
    pub fn new(run: ExecutionArn, arn: ExecutionArn, tab: Tab) -> Self {
        Self {
            run,
            arn,
            tab,
            scroll: Scroll::default(),
            graph: Graph::default(),
            timeline: Cursor::default(),
            held: (None, 0),
            events: Events::default(),
            payload: Payload::default(),
            search: Filter::default(),
        }
    }

    pub fn is_child(&self) -> bool {
        self.run != self.arn
    }

    fn history<'a>(&self, data: &'a Data) -> Option<&'a History> {
        data.history(&self.arn)
    }

    /// What to read of a long history because the cursor has come near what is not here.
    pub fn wanted_history(&self, data: &Data) -> Option<Part> {
        let history = self.history(data)?;
        let event = match self.tab {
            Tab::Events => self.events.wanted(history),
            Tab::Timeline => {
                let rows = timeline::rows(self, data);
                nearest(&self.timeline, &rows, timeline::Row::missing)
            }
            Tab::Summary | Tab::Graph | Tab::Payload => None,
        };
        history.toward(event?)
    }

    /// Keeps what is derived from the data up with it. Called after every event.
    pub fn settle(&mut self, data: &Data) {
        if let Some(history) = self.history(data) {
            self.events.settle(history);
            self.hold(data);
        }
        let run = data.run(&self.arn);
        self.payload.settle(run.map(|run| &run.detail));
    }

    /// Keeps the timeline's cursor on its row when others come before it.
    fn hold(&mut self, data: &Data) {
        let Some(history) = data
            .history(&self.arn)
            .filter(|_| self.tab == Tab::Timeline)
        else {
            return;
        };
        let rows = timeline::rows(self, data);
        if let (Some(event), true) = (self.held.0, history.generation != self.held.1) {
            let at = rows
                .iter()
                .position(|row| row.event(history) == Some(event));
            self.timeline.at = at.unwrap_or(self.timeline.at);
        }
        let row = rows.get(self.timeline.row(rows.len()));
        self.held = (row.and_then(|row| row.event(history)), history.generation);
    }

    pub fn turn(&mut self, by: isize) {
        self.tab = self.tab.moved(by);
        self.search = Filter::default();
    }

    pub fn rows(&self, app: &App) -> usize {
        match self.tab {
            Tab::Graph => {
                graph::picture(app.data(), &self.arn).map_or(0, |it| it.outline.states.len())
            }
            Tab::Timeline => timeline::rows(self, app.data()).len(),
            Tab::Events => self.events.rows(),
            Tab::Summary | Tab::Payload => 0,
        }
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        match self.tab {
            Tab::Summary => self.scroll.go(to),
            Tab::Graph => self.graph.states.go(to, rows),
            Tab::Timeline => self.timeline.go(to, rows),
            Tab::Events => self.events.go(to, rows),
            Tab::Payload => self.payload.go(to),
        }
    }

    /// Scrolls what has no cursor, or beside it.
    pub fn scroll(&mut self, to: Move) {
        match self.tab {
            Tab::Graph => self.graph.pan(to),
            Tab::Events => self.events.scroll(to),
            Tab::Summary | Tab::Timeline | Tab::Payload => self.go(to, usize::MAX),
        }
    }

    /// Sideways: `by` is negative to the left.
    pub fn sideways(&mut self, by: isize) {
        if self.tab == Tab::Graph {
            self.graph.sideways(by);
        }
    }

    /// The tree that has the keys.
    pub fn tree(&self) -> Option<&Tree> {
        match self.tab {
            Tab::Payload => self.payload.tree(),
            Tab::Events if self.events.in_payload => self.events.payload.tree(),
            _ => None,
        }
    }

    pub fn tree_mut(&mut self) -> Option<&mut Tree> {
        match self.tab {
            Tab::Payload => self.payload.tree_mut(),
            Tab::Events if self.events.in_payload => self.events.payload.tree_mut(),
            _ => None,
        }
    }

    /// Whether the keys are in the payload beside the events.
    pub fn in_payload(&self) -> bool {
        self.tab == Tab::Events && self.events.in_payload
    }

    pub fn switch_pane(&mut self) {
        if self.tab == Tab::Events {
            self.events.in_payload =
                !self.events.in_payload && self.events.payload.tree().is_some();
        }
    }

    pub fn reverse(&mut self) {
        self.events.newest_first = !self.events.newest_first;
        self.events.go(Move::Top, usize::MAX);
    }

    pub fn filter(&self) -> Option<&Filter> {
        match self.tab {
            Tab::Events if !self.events.in_payload => Some(&self.events.filter),
            Tab::Summary => None,
            _ => Some(&self.search),
        }
    }

    /// Filters events and visits; looks for it in trees and graphs.
    pub fn set_filter(&mut self, filter: Filter) {
        if self.tab == Tab::Events && !self.events.in_payload {
            self.events.filter = filter;
            return;
        }
        self.search = filter;
        let needle = self.search.text().to_owned();
        if let Some(tree) = self.tree_mut() {
            tree.search(&needle);
        } else if self.tab == Tab::Timeline {
            self.timeline.at = 0;
        }
    }

    /// Goes to the next (or the previous) thing that is looked for.
    pub fn next_match(&mut self, data: &Data, forward: bool) {
        if let Some(tree) = self.tree_mut() {
            tree.next_match(forward);
        } else if let Some(picture) = graph::picture(data, &self.arn)
            && self.tab == Tab::Graph
        {
            self.graph.next_match(picture, &self.search, forward);
        }
    }

    /// What enter opens: the events of the state or visit under the cursor, a payload, a fold.
    pub fn open(&mut self, app: &Data) {
        if let Some(tree) = self.tree_mut() {
            return tree.toggle();
        }
        match self.tab {
            Tab::Events => self.switch_pane(),
            Tab::Graph => {
                let picture = graph::picture(app, &self.arn);
                let Some(state) = picture.and_then(|it| self.graph.chosen(it)) else {
                    return;
                };
                let visit = self
                    .history(app)
                    .and_then(|history| history.trace.state(&state.name).copied());
                self.show_event(app, visit.map(|it| it.newest));
            }
            Tab::Timeline => {
                let rows = timeline::rows(self, app);
                let row = rows.get(self.timeline.row(rows.len()));
                self.show_event(app, row.and_then(timeline::Row::visit));
            }
            Tab::Summary | Tab::Payload => {}
        }
    }

    /// The state under the cursor of graph or timeline.
    pub fn chosen_state(&self, data: &Data) -> Option<String> {
        match self.tab {
            Tab::Graph => {
                let picture = graph::picture(data, &self.arn)?;
                Some(self.graph.chosen(picture)?.name.clone())
            }
            Tab::Timeline => {
                let rows = timeline::rows(self, data);
                let visit = rows.get(self.timeline.row(rows.len()))?.visit()?;
                Some(self.history(data)?.trace.visits.get(visit)?.state.clone())
            }
            Tab::Summary | Tab::Events | Tab::Payload => None,
        }
    }

    /// Shows the events, from the first one of a visit on.
    fn show_event(&mut self, data: &Data, visit: Option<usize>) {
        let Some(history) = self.history(data) else {
            return;
        };
        let visit = visit.and_then(|it| history.trace.visits.get(it));
        if let Some(visit) = visit {
            self.tab = Tab::Events;
            self.events.filter = Filter::default();
            self.events.settle(history);
            self.events.choose(visit.events.0);
            self.events.settle(history);
        }
    }

    /// What enter would do; `Err` says why nothing.
    pub fn can_open(&self, app: &Data) -> Result<(), &'static str> {
        match self.tab {
            Tab::Summary => Err("this is all there is: ] shows more"),
            Tab::Graph | Tab::Timeline if self.history(app).is_none() => {
                Err("no events are known of this execution")
            }
            _ => Ok(()),
        }
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let what = if self.is_child() {
            "Child execution"
        } else {
            "Execution"
        };
        let title = format!("{what} {}", text::middle(self.arn.name(), 60));
        let inside = pane::boxed(buffer, area, &title, Style::new());
        let area = Rect::new(
            inside.x + 1,
            inside.y,
            inside.width.saturating_sub(2),
            inside.height,
        );
        pane::line(buffer, area, 0, tabs(&Tab::ALL, self.tab, app));
        let body = Rect::new(
            area.x,
            area.y + 2,
            area.width,
            area.height.saturating_sub(2),
        );
        let known = app.data().runs.get(&self.arn);
        if known.and_then(Remote::get).is_none() {
            let trouble = known.and_then(Remote::trouble);
            return absence(buffer, body, trouble, "reading the execution…", app.theme());
        }
        match self.tab {
            Tab::Summary => summary::draw(self, app, buffer, body),
            Tab::Graph => graph::draw(self, app, buffer, body),
            Tab::Timeline => timeline::draw(self, app, buffer, body),
            Tab::Events => self.events.draw(self, app, buffer, body),
            Tab::Payload => self.payload.draw(app, buffer, body, true),
        }
    }

    /// What to say where there are no events; `None` while there are some.
    fn draw_no_history(&self, app: &App, buffer: &mut Buffer, area: Rect) -> bool {
        if self.history(app.data()).is_some_and(|it| it.len() > 0) {
            return false;
        }
        if self.arn.is_express() {
            let words = "Express executions keep no history of events: AWS records none to read. \
                         Input, output and error are in the last tab. With logging on, the events \
                         are in the log group of the state machine.";
            let lines = text::wrap(words, (area.width as usize).min(76), 6);
            for (row, line) in (0..).zip(lines) {
                pane::line(buffer, area, row, Line::raw(line));
            }
            return true;
        }
        let known = app.data().histories.get(&self.arn);
        let trouble = known.and_then(Remote::trouble);
        absence(buffer, area, trouble, "reading the events…", app.theme());
        true
    }

    /// `214 events`, `5,000 of 25,000 events kept`.
    fn extent(history: &History) -> String {
        use crate::tui::widget::figures::count;
        let kept = count(history.len() as u64);
        match (history.missing(), history.next()) {
            (0, _) => format!("{kept} events"),
            (_, Some(_)) => format!("{kept} of {} events, reading on", count(history.last())),
            (_, None) => format!(
                "{kept} of {} events, those between come as you scroll",
                count(history.last())
            ),
        }
    }
}

/// Rows around the cursor that should be there before it gets to them.
const AHEAD: usize = 100;

/// The row nearest to the cursor for which there is something to find.
fn nearest<T, U>(cursor: &Cursor, rows: &[T], find: impl Fn(&T) -> Option<U>) -> Option<U> {
    let at = cursor.row(rows.len());
    let first = at.saturating_sub(AHEAD);
    let around = rows.iter().enumerate().skip(first).take(2 * AHEAD + 1);
    let found = around.filter_map(|(row, it)| Some((row.abs_diff(at), find(it)?)));
    found.min_by_key(|(far, _)| *far).map(|(_, it)| it)
}

/// What stands for events that are not here.
fn gap(history: &History, event: u64) -> String {
    use crate::tui::widget::figures::count;
    let Some((first, last)) = history.gap(event) else {
        return String::new();
    };
    format!(
        "… {} events, {} to {}, not loaded yet",
        count(last - first + 1),
        count(first),
        count(last)
    )
}

/// The names of tabs, the current one marked by brackets too.
pub fn tabs<T: Copy + PartialEq>(
    all: &[(T, &'static str)],
    current: T,
    app: &App,
) -> Line<'static> {
    let mut spans = Vec::new();
    for (tab, name) in all {
        let (shown, style) = if *tab == current {
            (format!("[{name}]"), app.theme().chosen())
        } else {
            (format!(" {name} "), Style::new())
        };
        spans.push(Span::styled(shown, style));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}
