//! The hint bar: what keys are good for now.

use ratatui::text::{Line, Span};

use crate::tui::app::{App, Overlay};
use crate::tui::dialog::Dialog;
use crate::tui::keys::{self, Action};
use crate::tui::screen::{Pane, Screen};
use crate::tui::theme::Theme;
use crate::tui::widget::text;

/// What the screen's keys are good for, most used first.
pub fn actions(app: &App) -> &'static [Action] {
    match app.screen() {
        Screen::Runs(_) => &[
            Action::Start,
            Action::Open,
            Action::Redrive,
            Action::Stop,
            Action::Limits,
            Action::Failures,
            Action::Outputs,
            Action::LogsHere,
            Action::Describe,
            Action::Graph,
            Action::Timeline,
            Action::Filter,
            Action::Sort,
            Action::Choose,
            Action::MarkCompare,
            Action::Compare,
            Action::Menu,
            Action::Command,
        ],
        Screen::Live(_) => &[
            Action::Redrive,
            Action::Limits,
            Action::Stop,
            Action::Failures,
            Action::FirstFailure,
            Action::Outputs,
            Action::LogsHere,
            Action::Describe,
            Action::Graph,
            Action::Freeze,
            Action::Copy,
            Action::Back,
            Action::Command,
        ],
        Screen::Failures(it) => match it.pane {
            Pane::Groups => &[
                Action::Open,
                Action::Redrive,
                Action::FirstFailure,
                Action::Filter,
                Action::ScrollDown,
                Action::NextPane,
                Action::Outputs,
                Action::Back,
                Action::Command,
            ],
            Pane::Members => &[
                Action::LogsHere,
                Action::Open,
                Action::Copy,
                Action::ScrollDown,
                Action::Choose,
                Action::Export,
                Action::Redrive,
                Action::Filter,
                Action::NextPane,
                Action::Outputs,
                Action::Back,
                Action::Command,
            ],
        },
        Screen::Outputs(_) => &[
            Action::Open,
            Action::ScrollDown,
            Action::Filter,
            Action::SearchNext,
            Action::Download,
            Action::Link,
            Action::Choose,
            Action::Reconcile,
            Action::Transfers,
            Action::Rounds,
            Action::Copy,
            Action::Export,
            Action::Browse,
            Action::Redrive,
            Action::Failures,
            Action::Back,
            Action::Command,
        ],
        Screen::Logs(_) => &[
            Action::Filter,
            Action::SearchNext,
            Action::Narrow,
            Action::Open,
            Action::Wrap,
            Action::Right,
            Action::Freeze,
            Action::Copy,
            Action::Bottom,
            Action::Back,
            Action::Command,
        ],
        Screen::Machines(_) => &[
            Action::Open,
            Action::Choose,
            Action::Start,
            Action::Filter,
            Action::Copy,
            Action::CopyArn,
            Action::Back,
            Action::Command,
        ],
        Screen::Compare(_) => &[Action::ScrollDown, Action::Back, Action::Command],
        Screen::Machine(_) => &[
            Action::NextTab,
            Action::Filter,
            Action::SearchNext,
            Action::FoldAll,
            Action::UnfoldAll,
            Action::Start,
            Action::Choose,
            Action::Copy,
            Action::CopyArn,
            Action::Back,
            Action::Command,
        ],
        Screen::Execution(_) => &[
            Action::NextTab,
            Action::Open,
            Action::Filter,
            Action::SearchNext,
            Action::FoldAll,
            Action::UnfoldAll,
            Action::Sort,
            Action::NextPane,
            Action::LogsHere,
            Action::Copy,
            Action::CopyArn,
            Action::Back,
            Action::Command,
        ],
    }
}

/// The whole bar, in `cells` cells.
pub fn line(app: &App, cells: usize) -> Line<'static> {
    let pairs = match (&app.dialog, &app.overlay) {
        (Some(dialog), _) => dialog_hints(dialog),
        (None, Some(overlay)) => overlay_hints(app, overlay),
        (None, None) => return key_hints(app, cells),
    };
    line_of_hints(
        pairs
            .into_iter()
            .map(|(key, hint)| (key.to_owned(), hint.to_owned())),
        cells,
        app.theme(),
    )
}

fn dialog_hints(dialog: &Dialog) -> Vec<(&'static str, &'static str)> {
    let mut hints = vec![("tab", "next field"), ("enter", "press the focused button")];
    if !matches!(dialog, Dialog::Start(_)) {
        hints.push(("←→", "choose a button"));
    }
    hints.push(("ctrl-y", "copy as command"));
    if let Dialog::Redrive(dialog) = dialog {
        hints.push(("ctrl-o", "write the plan, run nothing"));
        hints.extend(dialog.edits_lines().then_some(("ctrl-e", "edit lines")));
    }
    hints.push(("esc", "cancel"));
    hints
}

fn overlay_hints(app: &App, overlay: &Overlay) -> Vec<(&'static str, &'static str)> {
    match overlay {
        Overlay::Filter(_) if matches!(app.screen(), Screen::Logs(_)) => vec![
            ("enter", "keep"),
            ("esc", "clear"),
            ("level:error", "in a column"),
            ("!text", "not"),
            ("{ $.a = 1 }", "CloudWatch's own pattern"),
        ],
        Overlay::Filter(_) => vec![
            ("enter", "keep"),
            ("esc", "clear"),
            ("↑", "filters before"),
            ("↓", "to the list"),
        ],
        Overlay::Transfers(_) => vec![
            ("j k", "choose"),
            ("x", "cancel"),
            ("r", "again, or go on"),
            ("c", "clear what ended"),
            ("esc", "close"),
        ],
        Overlay::Search(_) => vec![("enter", "keep"), ("esc", "clear"), ("n N", "go on after")],
        Overlay::Palette(palette) if palette.is_menu() => vec![
            ("a letter", "does it"),
            ("↑↓", "choose"),
            ("enter", "do it"),
            ("esc", "leave"),
        ],
        Overlay::Palette(_) => vec![
            ("type", "search"),
            ("↑↓", "choose"),
            ("tab", "take over"),
            ("enter", "do it"),
            ("esc", "leave"),
        ],
    }
}

/// Only what works now; host actions follow; help is always last and always seen.
fn key_hints(app: &App, cells: usize) -> Line<'static> {
    let available = actions(app)
        .iter()
        .map(|action| keys::of(*action))
        .filter(|binding| (binding.available)(app).is_ok())
        .map(|binding| {
            let key = app.keymap.key_of(binding.action);
            let hint = match (binding.action, app.screen()) {
                (Action::Filter, Screen::Logs(_)) => "search",
                (Action::Filter, _) if app.is_reading() => "search",
                (Action::Open, Screen::Logs(_)) => "unfold",
                (Action::Right, Screen::Logs(_)) => "sideways",
                (Action::Bottom, Screen::Logs(_)) => "newest",
                (Action::Freeze, _) if app.frozen.is_some() => "go on",
                _ => binding.hint,
            };
            (key.to_owned(), hint.to_owned())
        })
        // Its keys may have been taken away.
        .filter(|(key, _)| !key.is_empty());
    let hosts = app.settings.hosts.iter();
    let hosts = hosts.filter(|(key, _)| !app.health.spent.contains(key));
    let hosts = hosts.map(|(key, title)| (key.to_string(), (*title).to_owned()));
    let help = (
        app.keymap.key_of(Action::Help).to_owned(),
        "help".to_owned(),
    );
    let last = text::width(&help.0) + text::width(&help.1) + 3;
    let mut line = line_of_hints(
        hosts.chain(available),
        cells.saturating_sub(last),
        app.theme(),
    );
    line.spans.extend(hint(&help, app.theme()));
    line
}

fn hint((key, what): &(String, String), theme: Theme) -> [Span<'static>; 2] {
    [
        Span::styled(format!(" {key}"), theme.bold()),
        Span::styled(format!(" {what} "), theme.dim()),
    ]
}

fn line_of_hints(
    pairs: impl Iterator<Item = (String, String)>,
    cells: usize,
    theme: Theme,
) -> Line<'static> {
    let mut used = 0;
    let mut spans = Vec::new();
    for pair in pairs {
        used += text::width(&pair.0) + text::width(&pair.1) + 3;
        if used > cells {
            break;
        }
        spans.extend(hint(&pair, theme));
    }
    Line::from(spans)
}
