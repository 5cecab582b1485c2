//! One failure: its error, message, input and cause; what led to it.

use jiff::SignedDuration;
use ratatui::text::{Line, Span};

use crate::model::Failure;
use crate::operations::failures;
use crate::operations::logs::Focus;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::keys::Action;
use crate::tui::screen::logs::excerpt;
use crate::tui::theme::Theme;
use crate::tui::widget::{figures, json, text};
use crate::tui::zone;

/// What is shown of a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ItemTab {
    /// Message, input and cause in one.
    #[default]
    All,
    Input,
    Error,
    Source,
    History,
    /// What was logged for it.
    Logs,
    Output,
}

impl ItemTab {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::All, "All"),
        (Self::Input, "Input"),
        (Self::Error, "Error"),
        (Self::Source, "Source"),
        (Self::History, "History"),
        (Self::Logs, "Logs"),
        (Self::Output, "Output"),
    ];

    pub fn turned(self, by: isize) -> Self {
        let at = Self::ALL.iter().position(|(tab, _)| *tab == self);
        let count = Self::ALL.len() as isize;
        let at = (at.unwrap_or_default() as isize + by).rem_euclid(count);
        Self::ALL[at as usize].0
    }

    /// `All  [Input]  Error …`
    pub fn words(self) -> String {
        let words = Self::ALL.map(|(tab, word)| match tab == self {
            true => self.word(),
            false => word.to_owned(),
        });
        words.join(" ")
    }

    /// `[Input]`
    pub fn word(self) -> String {
        let found = Self::ALL.iter().find(|(tab, _)| *tab == self);
        found.map_or_else(String::new, |(_, word)| format!("[{word}]"))
    }
}

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

/// What is masked in the failure's message: where its group's members differ. Where they do not,
/// what it worked on.
pub fn differs(failure: &Failure) -> String {
    let message = message_of(failure);
    let values = failures::values(&message);
    if values.is_empty() {
        return failure.input.clone().unwrap_or_default();
    }
    let told = values
        .into_iter()
        .map(|(kind, value)| format!("{}={value}", kind.name()));
    told.collect::<Vec<String>>().join(" ")
}

/// How long its last attempt took.
pub fn took(failure: &Failure) -> String {
    let took = failure.started.zip(failure.stopped);
    let took = took.map(|(started, stopped)| stopped.duration_since(started));
    took.filter(|it| !it.is_negative())
        .map_or_else(String::new, figures::took)
}

/// Lines of one tab, of at most `cells` cells.
pub fn lines(tab: ItemTab, app: &App, failure: &Failure, cells: usize) -> Vec<Line<'static>> {
    let theme = app.theme();
    match tab {
        ItemTab::All => detail(failure, cells, theme),
        ItemTab::Input => body(failure.input.as_deref(), cells),
        ItemTab::Error => {
            let mut lines = heading(failure, cells, theme);
            lines.push(Line::default());
            lines.extend(body(failure.cause.as_deref(), cells));
            lines
        }
        ItemTab::Source => source(app, failure, cells),
        ItemTab::History => history(app, failure, cells),
        ItemTab::Logs => logs(app, failure, cells),
        ItemTab::Output => output(app, failure, cells),
    }
}

/// Error, message, input and cause of one failure, as lines of at most `cells` cells.
pub fn detail(failure: &Failure, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = heading(failure, cells, theme);
    let message = message_of(failure);
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

fn heading(failure: &Failure, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let error = failure.error.as_deref().unwrap_or("(no error name)");
    let mut lines = vec![Line::from(vec![
        Span::styled(text::fit(error, cells), theme.bad()),
        Span::raw(format!("  {}", failure.status.as_str())),
    ])];
    let message = message_of(failure);
    lines.extend(text::wrap(&message, cells, 6).into_iter().map(Line::raw));
    lines
}

fn section(
    title: &'static str,
    source: Option<&str>,
    cells: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), Line::styled(title, theme.dim())];
    lines.extend(body(source, cells));
    lines
}

fn body(source: Option<&str>, cells: usize) -> Vec<Line<'static>> {
    match source {
        Some(source) => json::lines(source)
            .iter()
            .map(|line| Line::raw(text::fit(line, cells)))
            .collect(),
        None => vec![Line::raw("?")],
    }
}

/// The line of the source that it worked on, and how that was found.
fn source(app: &App, failure: &Failure, cells: usize) -> Vec<Line<'static>> {
    let theme = app.theme();
    let wrapped = |said: &str| -> Vec<Line<'static>> {
        let lines = text::wrap(said, cells, 6).into_iter();
        lines.map(Line::raw).collect()
    };
    let known = app.data().source_lines.get(&failure.child);
    let found = match known {
        Some(Remote::Known { value, .. }) => value,
        Some(remote) => match remote.trouble() {
            Some(trouble) => return wrapped(&trouble.text),
            None => return wrapped("looking for it in the source…"),
        },
        None => return wrapped("not looked for yet"),
    };
    let mut lines = Vec::new();
    if let Some(line) = &found.text {
        let shown = text::wrap(line, cells, 12).into_iter();
        lines.extend(shown.map(Line::raw));
        lines.push(Line::default());
    }
    lines.extend(wrapped(&found.words()));
    if let Some(advice) = &found.advice {
        lines.push(Line::default());
        let told = text::wrap(advice, cells, 12).into_iter();
        lines.extend(told.map(|it| Line::styled(it, theme.dim())));
    }
    lines
}

/// The events of a Standard child; of Express ones the service keeps none.
fn history(app: &App, failure: &Failure, cells: usize) -> Vec<Line<'static>> {
    if failure.child.is_express() {
        let why = "An Express child has no history. The log lines of its call may tell more.";
        return text::wrap(why, cells, 3)
            .into_iter()
            .map(Line::raw)
            .collect();
    }
    let known = app.data().histories.get(&failure.child);
    let Some(history) = known.and_then(Remote::get) else {
        let trouble = known.and_then(Remote::trouble);
        let said = trouble.map_or("reading its history…", |it| it.text.as_str());
        return vec![Line::raw(text::fit(said, cells))];
    };
    let events: Vec<_> = history.events().collect();
    let begun = events.first().map(|it| it.at);
    let told = events.iter().map(|event| {
        let since = begun.map_or(SignedDuration::ZERO, |begun| event.at.duration_since(begun));
        let state = event.state.as_deref().unwrap_or_default();
        let error = event.error.as_deref().unwrap_or_default();
        let line = format!(
            "{}  {:>8}  {}  {state}{error}",
            zone::format(event.at, "%H:%M:%S%.3f"),
            figures::took(since),
            event.kind
        );
        Line::raw(text::fit(&line, cells))
    });
    told.collect()
}

/// What was logged for it, once the cursor rests on it.
fn logs(app: &App, failure: &Failure, cells: usize) -> Vec<Line<'static>> {
    let focus = Focus::on(failure);
    let mut books = app.data().logs.iter();
    let book = books.find(|(query, _)| query.focus.as_ref() == Some(&focus));
    let mut lines = excerpt(book.map(|(_, book)| book), cells, app.theme());
    if book.is_some_and(|(_, book)| 0 < book.entries().len()) {
        let key = app.keymap.key_of(Action::LogsHere);
        let said = format!("{key} opens them, to be searched and narrowed");
        lines.push(Line::styled(text::fit(&said, cells), app.theme().dim()));
    }
    lines
}

/// What it had come to: a failed child returns nothing, but states of it may have.
fn output(app: &App, failure: &Failure, cells: usize) -> Vec<Line<'static>> {
    let theme = app.theme();
    let told = |said: &str| -> Vec<Line<'static>> {
        let lines = text::wrap(said, cells, 6).into_iter();
        lines.map(Line::raw).collect()
    };
    let none = format!("It is {}, so it returned nothing.", failure.status.as_str());
    if failure.child.is_express() {
        return told(&format!(
            "{none} An Express child has no history that would tell what its states had returned."
        ));
    }
    let history = app.data().histories.get(&failure.child);
    let Some(history) = history.and_then(Remote::get) else {
        return self::history(app, failure, cells);
    };
    let last = history.events().rfind(|it| it.output.is_some());
    let Some(event) = last else {
        return told(&format!("{none} No state of it had returned anything."));
    };
    let state = event.state.as_deref().unwrap_or(&event.kind);
    let mut lines = told(&format!("{none} The last that was returned, by {state}:"));
    lines.insert(0, Line::styled("Output", theme.dim()));
    lines.extend(body(event.output.as_deref(), cells));
    lines
}
