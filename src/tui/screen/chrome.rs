//! What is around every screen: header, tabs, message line, and the hint bar's place.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::tui::app::App;
use crate::tui::dialog::start;
use crate::tui::event::Deed;
use crate::tui::keys::Action;
use crate::tui::pace::Tone;
use crate::tui::screen::{Screen, hints};
use crate::tui::theme::Theme;
use crate::tui::widget::{figures, pane, text};

/// Under this width header and tabs share a line.
const NARROW: u16 = 100;

/// Draws the chrome; returns the body's area.
pub fn draw(app: &App, buffer: &mut Buffer, area: Rect) -> Rect {
    let narrow = area.width < NARROW;
    let top = if narrow { 1 } else { 2 };
    let row = |y: u16| Rect::new(area.x, y, area.width, 1);
    if narrow {
        pane::line(
            buffer,
            row(area.y),
            0,
            short_header(app, area.width as usize),
        );
    } else {
        pane::line(buffer, row(area.y), 0, header(app, area.width as usize));
        pane::line(
            buffer,
            row(area.y + 1),
            0,
            tabs_line(app, area.width as usize),
        );
    }
    note_tabs(app, row(if narrow { area.y } else { area.y + 1 }), narrow);
    let cells = area.width as usize;
    pane::line(buffer, row(area.bottom() - 2), 0, message(app, cells));
    pane::line(buffer, row(area.bottom() - 1), 0, hints::line(app, cells));
    Rect::new(area.x, area.y + top, area.width, area.height - top - 2)
}

/// A line with a left and a right part; the left one is cut.
fn both_ends(
    mut left: Vec<Span<'static>>,
    right: Vec<Span<'static>>,
    cells: usize,
) -> Line<'static> {
    let length = |spans: &[Span<'_>]| -> usize { spans.iter().map(Span::width).sum() };
    let room = cells.saturating_sub(length(&right));
    let mut used = 0;
    for span in &mut left {
        let content = text::fit(&span.content, room.saturating_sub(used));
        used += text::width(&content);
        span.content = content.into();
    }
    left.push(Span::raw(" ".repeat(room.saturating_sub(used))));
    left.extend(right);
    Line::from(left)
}

fn chip(app: &App) -> Span<'static> {
    let theme = app.theme();
    if app.health.connection.local {
        Span::styled(" LOCAL ", theme.chosen())
    } else {
        Span::styled(" AWS ", theme.chosen())
    }
}

/// A word that nobody overlooks, where everything counts.
fn prod(app: &App) -> Span<'static> {
    match app.is_prod() {
        true => Span::styled(" PROD ", app.theme().bad().patch(app.theme().chosen())),
        false => Span::raw(""),
    }
}

fn access(app: &App) -> Span<'static> {
    if app.read_only() {
        Span::styled("READ-ONLY", app.theme().bold())
    } else {
        Span::raw("read-write")
    }
}

/// `fresh 2s`, `old 40s`, `frozen 12s`; where there is little room in whole minutes.
fn freshness(app: &App, is_short: bool) -> Span<'static> {
    let theme = app.theme();
    let span = match is_short {
        true => figures::coarse,
        false => figures::span,
    };
    if let Some((_, since)) = &app.frozen {
        let behind = span(figures::seconds_between(*since, app.now));
        return Span::styled(format!("frozen {behind}"), theme.warn());
    }
    match app.data_age() {
        None if app.is_stale() => Span::styled("no data", theme.bad()),
        None => Span::styled("loading", theme.dim()),
        Some(age) if app.is_stale() => Span::styled(format!("old {}", span(age)), theme.warn()),
        Some(age) => Span::raw(format!("fresh {}", span(age))),
    }
}

fn budget(app: &App) -> Span<'static> {
    let share = (app.health.budget_used * 100.0).round().clamp(0.0, 999.0);
    if app.health.slowed {
        return Span::styled(
            format!("slowed by AWS, API {share:.0}%"),
            app.theme().warn(),
        );
    }
    Span::raw(format!("API {share:.0}%"))
}

/// The connection's name; `local` beside the chip LOCAL would say nothing new.
fn label(app: &App) -> String {
    let connection = &app.health.connection;
    if connection.local {
        return String::new();
    }
    let account = match app.target.identity.get() {
        Some(identity) => format!(" {}", text::visible(&identity.account)),
        None => String::new(),
    };
    format!("{}{account}  ", text::fit(&connection.label, 24))
}

/// The role or user, where its name leaves room for what matters more.
fn role(app: &App, room: usize) -> Span<'static> {
    let identity = app.target.identity.get();
    let named = identity.map(|it| format!("role {}  ", text::visible(it.role())));
    let named = named.filter(|it| !app.health.connection.local && text::width(it) <= room);
    Span::raw(named.unwrap_or_default())
}

fn header(app: &App, cells: usize) -> Line<'static> {
    let mut left = vec![
        Span::styled(" fanout ", app.theme().bold()),
        chip(app),
        Span::raw(format!(
            "  {}{}  ",
            label(app),
            text::fit(&app.health.connection.region, 16)
        )),
        access(app),
        prod(app),
    ];
    let right = vec![
        budget(app),
        Span::raw("   "),
        freshness(app, false),
        Span::raw(format!("   {} ", figures::clock(app.now))),
    ];
    let used: usize = left.iter().chain(&right).map(Span::width).sum();
    left.insert(3, role(app, cells.saturating_sub(used)));
    both_ends(left, right, cells)
}

fn short_header(app: &App, cells: usize) -> Line<'static> {
    let access = if app.read_only() { "READ-ONLY" } else { "rw" };
    let left = vec![
        chip(app),
        Span::raw(format!(
            " {}{} ",
            label(app),
            text::fit(&app.health.connection.region, 16)
        )),
        Span::raw(access),
        prod(app),
        Span::raw("  "),
        if app.health.slowed {
            Span::styled("slowed", app.theme().warn())
        } else {
            budget(app)
        },
        Span::raw("  "),
        freshness(app, true),
    ];
    both_ends(left, tabs(app, true), cells)
}

const TABS: [(&str, &str); 6] = [
    ("1 Runs", "1Run"),
    ("2 Live", "2Live"),
    ("3 Failures", "3Fail"),
    ("4 Outputs", "4Out"),
    ("5 Logs", "5Log"),
    ("6 Machines", "6Mac"),
];

/// What a click on each does.
const TAB_ACTIONS: [Action; TABS.len()] = [
    Action::Runs,
    Action::Live,
    Action::Failures,
    Action::Outputs,
    Action::Logs,
    Action::Machines,
];

fn tabs(app: &App, short: bool) -> Vec<Span<'static>> {
    let current = match app.screen() {
        Screen::Runs(_) | Screen::Compare(_) => 0,
        Screen::Live(_) => 1,
        Screen::Failures(_) => 2,
        Screen::Outputs(_) => 3,
        Screen::Logs(_) => 4,
        Screen::Execution(_) => TABS.len(),
        Screen::Machines(_) | Screen::Machine(_) => 5,
    };
    let mut spans = Vec::new();
    for (index, (long, brief)) in TABS.into_iter().enumerate() {
        let name = if short { brief } else { long };
        let style = if index == current {
            app.theme().chosen()
        } else {
            Style::new()
        };
        // Beside a short header every cell counts: how old the data is must stay in sight, and
        // apart.
        let shown = if short {
            format!(" {name}")
        } else {
            format!(" {name} ")
        };
        spans.push(Span::styled(shown, style));
    }
    spans
}

/// Where the tabs are: at the right of a short header, at the left of a line of their own.
fn note_tabs(app: &App, row: Rect, short: bool) {
    let widths: Vec<u16> = tabs(app, short)
        .iter()
        .map(|it| it.width() as u16)
        .collect();
    let mut x = match short {
        true => row.right().saturating_sub(widths.iter().sum()),
        false => row.x,
    };
    for (width, action) in widths.into_iter().zip(TAB_ACTIONS) {
        app.places.note_tab(Rect::new(x, row.y, width, 1), action);
        x += width;
    }
}

fn tabs_line(app: &App, cells: usize) -> Line<'static> {
    let theme = app.theme();
    let mut right = Vec::new();
    if !matches!(app.screen(), Screen::Runs(_))
        && let Some(execution) = app.shown_execution()
    {
        let state = app.data().state(execution, app.now);
        right.push(Span::raw(format!(
            "{}  ",
            text::middle(&execution.name, 48)
        )));
        let word = format!("{} {} ", theme.glyph(state), state.word());
        right.push(Span::styled(word, theme.state(state)));
    }
    both_ends(tabs(app, false), right, cells)
}

fn tone(theme: Theme, tone: Tone) -> Style {
    match tone {
        Tone::Good => theme.good(),
        Tone::Plain => Style::new(),
        Tone::Warn => theme.warn(),
        Tone::Bad => theme.bad(),
    }
}

/// The last message at the left, transfers at the right.
fn message(app: &App, cells: usize) -> Line<'static> {
    let theme = app.theme();
    let left = match &app.message {
        Some(message) => {
            let mark = match message.tone {
                Tone::Bad => "✗ ",
                Tone::Warn => "! ",
                Tone::Good | Tone::Plain => "",
            };
            let shown = format!(" {mark}{}", text::visible(&message.text));
            Span::styled(shown, tone(theme, message.tone))
        }
        None => Span::raw(""),
    };
    let going = app.transfers.going().count();
    let right = app.transfers.going().next().map(|transfer| {
        let (deed, progress) = (&transfer.deed, &transfer.progress);
        let what = match deed {
            Deed::Start(name) => format!("↑ {}", text::middle(name, 24)),
            Deed::Download(address) => format!("↓ {}", text::middle(address.file_name(), 24)),
            Deed::Rerun(arn) => format!("↑ {}", text::middle(arn.name(), 24)),
            Deed::Merge(arn) => format!("⇄ {}", text::middle(arn.name(), 24)),
            Deed::Search(address) => format!("/ {}", text::middle(address.file_name(), 24)),
            Deed::Redrive(_)
            | Deed::RedriveAll
            | Deed::Stop(_)
            | Deed::Limits(_)
            | Deed::Export(_)
            | Deed::Template(_)
            | Deed::DryRun(_) => String::new(),
        };
        let others = match going {
            0 | 1 => String::new(),
            many => format!(", {} more", many - 1),
        };
        Span::raw(format!("  {what} {}{others} ", start::progress(*progress)))
    });
    both_ends(vec![left], right.into_iter().collect(), cells)
}
