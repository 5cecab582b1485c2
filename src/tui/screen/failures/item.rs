//! One failure: its error, message, input and cause.

use ratatui::text::{Line, Span};

use crate::model::Failure;
use crate::operations::failures;
use crate::tui::theme::Theme;
use crate::tui::widget::{json, text};

/// The readable part of a failure's cause.
pub fn message_of(failure: &Failure) -> String {
    /// Causes are cut by the service at 32 KiB; a line needs far less.
    const ENOUGH: usize = 4 * 1024;
    let cause = failure.cause.as_deref().unwrap_or_default();
    if cause.len() > ENOUGH {
        return cause.chars().take(ENOUGH / 4).collect();
    }
    failures::message(cause)
}

/// Error, message, input and cause of one failure, as lines of at most `cells` cells.
pub fn detail(failure: &Failure, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let error = failure.error.as_deref().unwrap_or("(no error name)");
    let mut lines = vec![Line::from(vec![
        Span::styled(text::fit(error, cells), theme.bad()),
        Span::raw(format!("  {}", failure.status.as_str())),
    ])];
    let message = message_of(failure);
    lines.extend(text::wrap(&message, cells, 6).into_iter().map(Line::raw));
    lines.extend(section("Input", failure.input.as_deref(), cells, theme));
    let cause = failure.cause.as_deref().filter(|cause| **cause != message);
    if cause.is_some() {
        lines.extend(section("Cause", cause, cells, theme));
    }
    let child = format!("child {}", failure.child.name());
    lines.push(Line::default());
    lines.push(Line::styled(text::middle(&child, cells), theme.dim()));
    lines
}

fn section(
    title: &'static str,
    source: Option<&str>,
    cells: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), Line::styled(title, theme.dim())];
    match source {
        Some(source) => lines.extend(
            json::lines(source)
                .iter()
                .map(|line| Line::raw(text::fit(line, cells))),
        ),
        None => lines.push(Line::raw("?")),
    }
    lines
}
