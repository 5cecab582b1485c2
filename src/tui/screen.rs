//! Screens: what each holds (a key, a cursor, a filter) and how it is drawn. Data is `App`'s.

pub mod chrome;
mod compare;
mod execution;
mod failures;
pub mod hints;
mod list;
mod live;
mod logs;
mod machines;
pub mod outputs;
mod overlay;
pub mod places;
mod plain;
mod runs;
#[cfg(test)]
mod states_tests;
#[cfg(test)]
mod tests;
mod transfers;

pub use compare::Compare;
pub use execution::{Execution, Tab, payload_path};
pub use failures::{Failures, ItemTab, Pane, SORTS as MEMBER_SORTS};
pub use live::Live;
pub use logs::Logs;
pub use machines::machine::{Machine, Tab as MachineTab};
pub use machines::{Machines, chosen as chosen_machine, is_express};
pub use outputs::Outputs;
pub use runs::Runs;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::model::ExecutionArn;
use crate::operations::logs::Focus;
use crate::tui::app::App;
use crate::tui::console;
use crate::tui::data::Data;
use crate::tui::event::Trouble;
use crate::tui::filter::Filter;
use crate::tui::theme::Theme;
use crate::tui::widget::list::{Move, Order, Sort};
use crate::tui::widget::tree::Tree;
use crate::tui::widget::{dialog, pane, text};

#[derive(Debug, Clone)]
pub enum Screen {
    Runs(Runs),
    Live(Live),
    Failures(Failures),
    Outputs(Outputs),
    Logs(Box<Logs>),
    Execution(Box<Execution>),
    Machines(Machines),
    Machine(Box<Machine>),
    Compare(Box<Compare>),
}

impl Screen {
    pub fn live(run: ExecutionArn) -> Self {
        Self::Live(Live::new(run))
    }

    pub fn failures(run: ExecutionArn) -> Self {
        Self::Failures(Failures::new(run))
    }

    pub fn outputs(run: ExecutionArn) -> Self {
        Self::Outputs(Outputs::new(run))
    }

    /// A run, or with another ARN than the run's a child of its Map Run.
    pub fn execution(run: ExecutionArn, arn: ExecutionArn, tab: Tab) -> Self {
        Self::Execution(Box::new(Execution::new(run, arn, tab)))
    }

    /// All lines of a run, or those of one failure.
    pub fn logs(run: ExecutionArn, focus: Option<Focus>) -> Self {
        Self::Logs(Box::new(Logs::new(run, focus)))
    }

    pub fn run(&self) -> Option<&ExecutionArn> {
        match self {
            Self::Runs(_) => None,
            Self::Live(it) => Some(&it.run),
            Self::Failures(it) => Some(&it.run),
            Self::Outputs(it) => Some(&it.run),
            Self::Logs(it) => Some(&it.run),
            Self::Execution(it) => Some(&it.arn),
            Self::Machines(_) | Self::Machine(_) | Self::Compare(_) => None,
        }
    }

    /// Whether both show the same of the same run.
    pub fn is_same(&self, other: &Self) -> bool {
        if let (Self::Logs(one), Self::Logs(other)) = (self, other) {
            return (&one.run, &one.focus) == (&other.run, &other.focus);
        }
        if let (Self::Machine(one), Self::Machine(other)) = (self, other) {
            return one.arn == other.arn;
        }
        if let (Self::Compare(one), Self::Compare(other)) = (self, other) {
            return one.runs == other.runs;
        }
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.run() == other.run()
    }

    /// How deep a screen is: one never lies over another of its own depth.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Runs(_) => 0,
            Self::Live(_) | Self::Machines(_) | Self::Compare(_) => 1,
            Self::Failures(_) | Self::Outputs(_) | Self::Machine(_) => 2,
            Self::Execution(it) if it.is_child() => 4,
            // Those of one failure lie over the child that they are about.
            Self::Logs(it) if it.focus.is_some() => 5,
            Self::Execution(_) | Self::Logs(_) => 3,
        }
    }

    /// Rows of the list that has the keys.
    pub fn rows(&self, app: &App) -> usize {
        match self {
            Self::Runs(it) => it.rows(app).len(),
            Self::Live(it) => it.rows(app),
            Self::Failures(it) => it.rows(app),
            Self::Outputs(it) => it.len(app),
            Self::Logs(it) => it.rows(),
            Self::Execution(it) => it.rows(app),
            Self::Machines(it) => it.rows(app).len(),
            Self::Machine(it) => it.rows(app),
            Self::Compare(_) => 0,
        }
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        match self {
            Self::Runs(it) => it.cursor.go(to, rows),
            Self::Live(it) => it.cursor.go(to, rows),
            Self::Failures(it) => it.go(to, rows),
            Self::Outputs(it) => it.go(to, rows),
            Self::Logs(it) => it.go(to),
            Self::Execution(it) => it.go(to, rows),
            Self::Machines(it) => it.cursor.go(to, rows),
            Self::Machine(it) => it.go(to, rows),
            Self::Compare(it) => it.scroll.go(to),
        }
    }

    pub fn filter(&self) -> Option<&Filter> {
        match self {
            Self::Runs(it) => Some(&it.filter),
            Self::Failures(it) => Some(&it.filter),
            Self::Outputs(it) => Some(&it.filter),
            Self::Logs(it) => Some(&it.filter),
            Self::Execution(it) => it.filter(),
            Self::Machines(it) => Some(&it.filter),
            Self::Machine(it) => it.filter(),
            Self::Live(_) | Self::Compare(_) => None,
        }
    }

    pub fn set_filter(&mut self, filter: Filter) {
        match self {
            Self::Runs(it) => {
                it.cursor.at = 0;
                it.anchor = None;
                it.filter = filter;
            }
            Self::Failures(it) => {
                it.members.at = 0;
                it.filter = filter;
            }
            Self::Outputs(it) => {
                it.home();
                it.filter = filter;
            }
            Self::Logs(it) => it.set_filter(filter),
            Self::Execution(it) => it.set_filter(filter),
            Self::Machines(it) => {
                it.cursor.at = 0;
                it.filter = filter;
            }
            Self::Machine(it) => it.set_filter(filter),
            Self::Live(_) | Self::Compare(_) => {}
        }
    }

    /// Keeps what is derived from the data up with it.
    pub fn settle(&mut self, data: &Data) {
        match self {
            Self::Execution(it) => it.settle(data),
            Self::Machine(it) => it.settle(data),
            Self::Logs(it) => {
                if let Some(book) = data.logs.get(&it.query()) {
                    it.take_in(book);
                }
            }
            _ => {}
        }
    }

    /// The tree that has the keys.
    pub fn tree(&self) -> Option<&Tree> {
        match self {
            Self::Execution(it) => it.tree(),
            Self::Machine(it) => it.tree(),
            Self::Outputs(it) => it.tree(),
            _ => None,
        }
    }

    pub fn tree_mut(&mut self) -> Option<&mut Tree> {
        match self {
            Self::Execution(it) => it.tree_mut(),
            Self::Machine(it) => it.tree_mut(),
            Self::Outputs(it) => it.tree_mut(),
            _ => None,
        }
    }

    /// What the view is called, where it is remembered.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Runs(_) => "runs",
            Self::Live(_) => "live",
            Self::Failures(_) => failures::VIEW,
            Self::Outputs(_) => "outputs",
            Self::Execution(_) => "execution",
            Self::Machines(_) => "machines",
            Self::Machine(_) => "machine",
            Self::Logs(_) => "logs",
            Self::Compare(_) => "compare",
        }
    }

    /// The orders that the list can have.
    pub fn sorts(&self) -> &'static [Sort] {
        match self {
            Self::Runs(_) => runs::SORTS,
            Self::Failures(_) => failures::SORTS,
            Self::Outputs(_) => outputs::SORTS,
            _ => &[],
        }
    }

    pub fn order(&self) -> Option<Order> {
        match self {
            Self::Runs(it) => Some(it.order),
            Self::Failures(it) => Some(it.order),
            Self::Outputs(it) => Some(it.order),
            _ => None,
        }
    }

    pub fn set_order(&mut self, order: Order) {
        match self {
            Self::Runs(it) => it.order = order,
            Self::Failures(it) => it.order = order,
            Self::Outputs(it) => it.order = order,
            _ => {}
        }
    }

    /// What a filter can ask for by name.
    pub fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Runs(_) => runs::COLUMNS,
            Self::Failures(_) => failures::COLUMNS,
            Self::Outputs(_) => outputs::COLUMNS,
            _ => &[],
        }
    }

    fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        match self {
            Self::Runs(it) => it.draw(app, buffer, area),
            Self::Live(it) => it.draw(app, buffer, area),
            Self::Failures(it) => it.draw(app, buffer, area),
            Self::Outputs(it) => it.draw(app, buffer, area),
            Self::Logs(it) => it.draw(app, buffer, area),
            Self::Execution(it) => it.draw(app, buffer, area),
            Self::Machines(it) => it.draw(app, buffer, area),
            Self::Machine(it) => it.draw(app, buffer, area),
            Self::Compare(it) => it.draw(app, buffer, area),
        }
    }
}

/// Below this there is no room for frames.
const SMALLEST: (u16, u16) = (60, 16);
/// From here on a third column shows what is under the cursor.
pub const WIDE: u16 = 160;

/// Draws everything.
pub fn draw(app: &App, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    paint(app, buffer, area);
    // What lies over a screen hides its names, and a console shows nothing of the local engine.
    let is_covered = app.dialog.is_some() || app.overlay.is_some();
    let connection = &app.health.connection;
    if app.settings.links && !is_covered && !connection.local {
        console::link(buffer, &connection.region, &app.places.names());
    }
}

/// The same without links: what is seen, as text.
pub fn paint(app: &App, buffer: &mut Buffer, area: Rect) {
    app.places.clear();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        plain::draw(app, buffer, area);
    } else if app.is_full {
        draw_full(app, buffer, area);
    } else {
        let body = chrome::draw(app, buffer, area);
        app.screen().draw(app, buffer, body);
        if app.is_stale() {
            buffer.set_style(body, app.theme().dim());
        }
        overlay::draw(app, buffer, body);
    }
    draw_dialog(app, buffer, area);
    if let Some(selection) = app.mouse.selection {
        selection.paint(buffer, app.theme().chosen());
    }
    app.theme().finish(buffer);
}

/// The screen alone: its frame falls outside, so that nothing but its text is selected with it.
fn draw_full(app: &App, buffer: &mut Buffer, area: Rect) {
    let larger = Rect::new(0, 0, area.width + 2, area.height + 2);
    let mut framed = Buffer::empty(larger);
    app.screen().draw(app, &mut framed, larger);
    for (x, y) in (0..area.width).flat_map(|x| (0..area.height).map(move |y| (x, y))) {
        buffer[(area.x + x, area.y + y)] = framed[(x + 1, y + 1)].clone();
    }
    let body = Rect {
        height: area.height - 1,
        ..area
    };
    overlay::draw(app, buffer, body);
}

fn draw_dialog(app: &App, buffer: &mut Buffer, area: Rect) {
    if let Some(open) = &app.target.sign_in {
        let cells = dialog::columns(area);
        let view = open.view(app, cells, app.theme());
        let buttons = dialog::draw(buffer, area, &view, &open.scroll, app.theme());
        return app.places.note_buttons(buttons);
    }
    if let Some(open) = &app.dialog {
        let cells = dialog::columns(area);
        let view = open.view(app, cells, app.theme());
        let buttons = dialog::draw(buffer, area, &view, open.scroll(), app.theme());
        app.places.note_buttons(buttons);
    }
}

/// The room for words inside a frame that has nothing else to show.
fn margin(inside: Rect) -> Rect {
    Rect::new(
        inside.x + 2,
        inside.y + 1,
        inside.width.saturating_sub(4),
        inside.height.saturating_sub(1),
    )
}

/// What stands where data is missing: why, and what to do.
fn absence(
    buffer: &mut Buffer,
    area: Rect,
    trouble: Option<&Trouble>,
    waiting: &str,
    theme: Theme,
) {
    let cells = area.width as usize;
    let Some(trouble) = trouble else {
        return pane::line(
            buffer,
            area,
            0,
            Line::styled(text::fit(waiting, cells), theme.dim()),
        );
    };
    let (style, shown) = if trouble.slowed {
        (Style::new(), "slowed by AWS, trying again".to_owned())
    } else {
        (theme.bad(), trouble.text.clone())
    };
    let lines = text::wrap(&shown, cells, 3);
    let after = lines.len() as u16;
    for (row, line) in (0..).zip(lines) {
        pane::line(buffer, area, row, Line::styled(line, style));
    }
    // A statement that a policy lacks takes some lines, and is to be read whole.
    let hint = trouble.hint.iter().flat_map(|it| text::wrap(it, cells, 8));
    for (row, line) in (after..).zip(hint) {
        pane::line(buffer, area, row, Line::raw(line));
    }
}
