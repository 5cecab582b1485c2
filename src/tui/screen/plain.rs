//! What is shown where there is no room for frames: the facts, one a line.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::tui::app::{App, Overlay};
use crate::tui::pace::Verdict;
use crate::tui::screen::Screen;
use crate::tui::widget::{figures, pane, text};

pub fn draw(app: &App, buffer: &mut Buffer, area: Rect) {
    let theme = app.theme();
    let mut lines: Vec<(String, Style)> = Vec::new();
    let place = if app.health.connection.local {
        "LOCAL"
    } else {
        "AWS"
    };
    let access = if app.read_only() {
        "READ-ONLY"
    } else {
        "read-write"
    };
    lines.push((
        format!("fanout {place} {access} {}", figures::clock(app.now)),
        theme.bold(),
    ));
    match app.shown_execution() {
        Some(run) => {
            let state = app.data().state(run, app.now);
            lines.push((text::middle(&run.name, area.width as usize), Style::new()));
            lines.push((
                format!("{} {}", state.word(), theme.glyph(state)),
                theme.state(state),
            ));
            match app.screen() {
                Screen::Logs(logs) => {
                    let room = (area.height as usize).saturating_sub(7);
                    let newest = logs.newest(room).into_iter();
                    lines.extend(newest.map(|line| (line, Style::new())));
                }
                _ => lines.extend(counts(app).into_iter().map(|line| (line, Style::new()))),
            }
        }
        None => lines.push(("no run is known yet".to_owned(), Style::new())),
    }
    if let Some(age) = app.data_age() {
        let word = if app.is_stale() { "old" } else { "fresh" };
        lines.push((format!("{word} {}", figures::span(age)), Style::new()));
    }
    if let Some(message) = &app.message {
        lines.push((message.text.clone(), theme.bold()));
    }
    match &app.overlay {
        Some(Overlay::Transfers(_)) => {}
        Some(Overlay::Search(field)) => lines.push((format!("/{}", field.value()), theme.bold())),
        Some(Overlay::Filter(line)) => {
            lines.push((format!("/{}", line.field.value()), theme.bold()));
        }
        Some(Overlay::Palette(palette)) => {
            let sign = super::overlay::sign(palette.scope);
            lines.push((format!("{sign}{}", palette.field.value()), theme.bold()));
            lines.push((format!("enter does: {}", palette.line(app)), Style::new()));
        }
        None => {}
    }
    lines.push(("60×16 needed for the lists".to_owned(), theme.dim()));
    for (row, (line, style)) in (0..).zip(lines) {
        let shown = text::fit(&line, area.width as usize);
        pane::line(buffer, area, row, Line::styled(shown, style));
    }
}

fn counts(app: &App) -> Vec<String> {
    let run = app.shown_run();
    let Some(map_run) = run.and_then(|run| app.data().map_run(run)) else {
        return vec!["counts ?".to_owned()];
    };
    let items = &map_run.items;
    let pace = app.data().pace(&map_run.arn);
    let verdict = Verdict::of(map_run, pace, !app.health.connection.local);
    let mut lines = vec![
        format!(
            "{} of {} items, {}",
            figures::count(items.done()),
            figures::count(items.total),
            figures::percent(items.done().min(items.total), items.total)
        ),
        format!("failed {}", figures::count(items.failures())),
    ];
    if !map_run.status.is_closed() {
        let rate = pace.now().map_or_else(|| "?".to_owned(), figures::rate);
        let left = items.total.saturating_sub(items.done());
        let eta = pace.eta(left, None);
        let eta = eta.map_or_else(|| "?".to_owned(), |eta| figures::span(eta.likely as i64));
        lines.push(format!("{rate}  ETA {eta}"));
    }
    lines.push(verdict.headline);
    if let Some(set) = app.data().failure_set(&map_run.arn)
        && let Some(failure) = set.newest.first().and_then(|it| set.failure(*it))
    {
        lines.push(format!(
            "last error {}",
            failure.error.as_deref().unwrap_or("?")
        ));
    }
    lines
}
