//! How the dialog is drawn.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{CANARY, Canary, Redrive, Slot, WAYS, Way};
use crate::operations::cost::{Cost, Time};
use crate::operations::redrive::Plan;
use crate::operations::rerun::canary::Rest;
use crate::operations::{Check, rerun};
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::event::Trouble;
use crate::tui::pace::MEAN;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::{figures, text};

/// Groups that are named.
const GROUPS: usize = 5;
/// Changes that are shown.
const CHANGES: usize = 8;
/// Cells of a way's name.
const NAME: usize = 22;

pub fn view(it: &Redrive, app: &App, cells: usize, theme: Theme) -> View<'static> {
    let mut lines = vec![Line::default()];
    let mut focused_line = None;
    let slot = it.slot();
    if let Some(canary) = &it.canary {
        lines.extend(canary_lines(canary, it.rerun.get(), cells, theme));
    } else {
        if slot == Some(Slot::Way) {
            focused_line = Some(lines.len());
        }
        lines.extend(ways(it, cells, theme));
        lines.push(Line::default());
    }
    match it.way {
        _ if it.awaits_canary() => {}
        Way::Redrive => plan_lines(&it.redrive, &mut lines, cells, theme, |plan| {
            redrive_lines(plan, app, cells, theme)
        }),
        Way::Rerun => plan_lines(&it.rerun, &mut lines, cells, theme, |plan| {
            rerun_lines(plan, it.canary.is_some(), cells, theme)
        }),
        Way::Everything => plan_lines(&it.everything, &mut lines, cells, theme, |plan| {
            rerun_lines(plan, false, cells, theme)
        }),
    }
    if it.way == Way::Rerun {
        lines.extend(edits(it, cells, theme));
    }
    let is_open = it.canary.is_none();
    let hidden = it.marked.hidden.as_ref();
    if let Some((_, more)) = hidden.filter(|_| is_open && it.way == Way::Rerun) {
        lines.push(Line::default());
        if slot == Some(Slot::Hidden) {
            focused_line = Some(lines.len());
        }
        let mark = if slot == Some(Slot::Hidden) {
            "▸"
        } else {
            " "
        };
        let on = if it.with_hidden { "x" } else { " " };
        let more = figures::count(*more);
        let shown = format!("{mark}[{on}] include {more} marked lines that the filter hides");
        lines.push(Line::raw(text::fit(&shown, cells)));
    }
    if is_open {
        lines.push(Line::default());
    }
    let slots = it.slots();
    let fields = [
        (Slot::Children, "Children at once", &it.children, 14),
        (Slot::Share, "Stop again at % failed", &it.share, 14),
        (Slot::Repeat, "Repeat at most", &it.repeat, 14),
        (Slot::Pause, "Pause before each (10m)", &it.pause, 14),
        (Slot::Note, "Note", &it.note, 48),
    ];
    for (name, label, field, width) in fields {
        if !slots.contains(&name) {
            continue;
        }
        if slot == Some(name) {
            focused_line = Some(lines.len());
        }
        let width = (24 + 5 + width).min(cells);
        lines.push(dialog::field(
            label,
            24,
            field,
            width,
            slot == Some(name),
            theme,
        ));
    }
    if slots.contains(&Slot::Count) {
        lines.push(Line::default());
        let why = match it.is_prod {
            true => "PROD: type the number of items to confirm",
            false => "More than 10,000 items: type their number to confirm",
        };
        lines.push(Line::raw(why));
        let focused = slot == Some(Slot::Count);
        if focused {
            focused_line = Some(lines.len());
        }
        lines.push(dialog::field("", 0, &it.typed, 24, focused, theme));
    }
    let allowed = it.ready().map(|_| ());
    let cancel = match &it.canary {
        None => "Cancel",
        Some(Canary::Running) => "Close, it goes on",
        Some(Canary::Ended(_)) => "Stop here",
    };
    let mut buttons = vec![
        Button::new(cancel, Ok(())),
        Button::new(label(it), allowed.clone()),
    ];
    if it.has_canary() {
        buttons.push(Button::new("Canary first", allowed));
    }
    View {
        title: format!("Redrive {}", text::middle(it.execution.name(), 60)),
        lines,
        focused_line,
        buttons,
        focused_button: it.focus.button(),
        command: it.command().filter(|_| !it.awaits_canary()),
    }
}

fn label(it: &Redrive) -> String {
    match (it.way, it.plan()) {
        _ if it.awaits_canary() => "Run the rest".to_owned(),
        (_, Some(plan)) if it.canary.is_some() => {
            format!("Run {} more", figures::count(plan.will_run()))
        }
        (Way::Redrive, Some(plan)) => match it.redrive.get().is_some_and(|it| it.after_the_map) {
            true => "Redrive what comes after".to_owned(),
            false => format!("Redrive {} items", figures::count(plan.will_run())),
        },
        (Way::Redrive, None) => "Redrive".to_owned(),
        (_, Some(plan)) => format!("Run {} items", figures::count(plan.will_run())),
        (_, None) => "Run".to_owned(),
    }
}

/// How far the canary is, and what that says of the rest.
fn canary_lines(
    canary: &Canary,
    rest: Option<&rerun::Plan>,
    cells: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut say = |text: &str, style: Style| {
        let wrapped = text::wrap(text, cells, 3).into_iter();
        lines.extend(wrapped.map(|line| Line::styled(line, style)));
    };
    match canary {
        Canary::Running => say(
            &format!("The canary runs: {CANARY} of each group at most. Its end is awaited here."),
            theme.bold(),
        ),
        Canary::Ended(ended) => {
            let style = if ended.failed == 0 {
                theme.good()
            } else {
                theme.warn()
            };
            say(&ended.words(), style);
            if let Err(reason) = ended.tolerable_rest() {
                say(&reason, theme.bad());
            }
            match rest.map(|rest| ended.rest_words(rest)) {
                None => say("What is left is looked for.", theme.bold()),
                Some(Rest::Some(question)) => say(&question, theme.bold()),
                Some(Rest::None(words)) => say(&words, theme.good()),
                Some(Rest::Impossible(words)) => say(&words, theme.bad()),
            }
        }
    }
    lines.push(Line::default());
    lines
}

/// The three ways, each with what it is or why it is none.
fn ways(it: &Redrive, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let focused = it.slot() == Some(Slot::Way);
    let rows = WAYS.iter().map(|way| {
        let on = if *way == it.way { "•" } else { " " };
        let mark = if focused && *way == it.way {
            "▸"
        } else {
            " "
        };
        let name = match way {
            Way::Redrive => "Redrive in place",
            Way::Rerun if it.marked == super::Marked::default() => "Re-run failed lines",
            Way::Rerun => "Re-run marked lines",
            Way::Everything => "Re-run everything",
        };
        let refused = refusal(it, *way);
        let what = match (&refused, way) {
            (Some(reason), _) => format!("not possible: {reason}"),
            (None, Way::Redrive) => redrive_words(it.redrive.get()),
            (None, Way::Rerun) => match it.rerun.get() {
                Some(plan) => {
                    let lines = figures::count(plan.items);
                    match &plan.merges_with {
                        Some(_) => format!("new run of {lines} lines, merged with the output"),
                        None => format!("new run of {lines} lines"),
                    }
                }
                None => "new run of the lines that did not succeed".to_owned(),
            },
            (None, Way::Everything) => "new run with the same input, all of it".to_owned(),
        };
        let style = match refused {
            Some(_) => theme.dim(),
            None if *way == it.way => theme.bold(),
            None => Style::new(),
        };
        let shown = format!("{mark}({on}) {} {what}", text::left(name, NAME));
        Line::styled(text::fit(&shown, cells), style)
    });
    rows.collect()
}

fn redrive_words(plan: Option<&Plan>) -> String {
    match plan {
        Some(plan) if plan.after_the_map => "0 lines, only the states after the map".to_owned(),
        _ => "AWS runs what failed again: same execution, input and definition".to_owned(),
    }
}

fn refusal(it: &Redrive, way: Way) -> Option<String> {
    match way {
        Way::Redrive => it.redrive.get()?.allowed.clone().err(),
        Way::Rerun => it.rerun.get()?.allowed.clone().err(),
        Way::Everything => it.everything.get()?.allowed.clone().err(),
    }
}

fn plan_lines<T>(
    plan: &Remote<T>,
    lines: &mut Vec<Line<'static>>,
    cells: usize,
    theme: Theme,
    draw: impl FnOnce(&T) -> Vec<Line<'static>>,
) {
    match plan {
        Remote::Waiting => lines.push(Line::raw("reading the counts…")),
        Remote::Failed { trouble, .. } => lines.extend(trouble_lines(trouble, cells, theme)),
        Remote::Known { value, .. } => lines.extend(draw(value)),
    }
}

fn trouble_lines(trouble: &Trouble, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let shown = text::wrap(&trouble.text, cells, 4).into_iter();
    let shown = shown.map(|line| Line::styled(line, theme.bad()));
    let hint = trouble.hint.iter();
    let hint = hint.flat_map(|it| text::wrap(it, cells, 6));
    shown.chain(hint.map(Line::raw)).collect()
}

fn redrive_lines(plan: &Plan, app: &App, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Err(reason) = &plan.allowed {
        let wrapped = text::wrap(&format!("Not possible: {reason}"), cells, 3);
        lines.extend(wrapped.into_iter().map(|it| Line::styled(it, theme.bad())));
        lines.push(Line::default());
    }
    let after = match plan.after_the_map {
        true => "run again",
        false => "run once, at the end",
    };
    let left = [
        count("failed", plan.failed),
        count("timed out", plan.timed_out),
        count("aborted", plan.aborted),
        count("never started", plan.never_started),
    ];
    let right = [
        count("succeeded, kept", plan.succeeded),
        count("not redrivable", plan.not_redrivable),
        format!("  {}  {after}", text::left("states after it", 15)),
    ];
    lines.push(columns("What will run", "What will not", cells).style(theme.bold()));
    for (row, left) in left.iter().enumerate() {
        let right = right.get(row).map_or("", String::as_str);
        lines.push(columns(left, right, cells));
    }
    lines.push(Line::styled(count("in all", plan.will_run()), theme.bold()));
    for reason in &plan.facts.stays {
        lines.push(Line::raw(text::fit(
            &format!("  not redrivable: {reason}"),
            cells,
        )));
    }
    lines.push(Line::default());
    let estimated = estimates(
        plan.facts.cost.as_ref(),
        plan.facts.time.as_ref(),
        cells,
        theme,
    );
    if !estimated.is_empty() {
        lines.extend(estimated);
        lines.push(Line::default());
    }
    lines.push(Line::raw(text::fit(&circumstances(plan, app), cells)));
    lines.extend(attempts(plan, cells));
    lines.extend(check_lines(&plan.checks, cells, theme));
    lines
}

/// What was changed in the editor, as a diff.
fn edits(it: &Redrive, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(mistake) = &it.mistake {
        let wrapped = text::wrap(mistake, cells, 3);
        lines.extend(wrapped.into_iter().map(|it| Line::styled(it, theme.bad())));
    }
    let Some((_, edited)) = &it.edited else {
        return lines;
    };
    let (changed, out) = (edited.edits.len(), edited.left_out.len());
    let title = format!("Edited: {changed} changed, {out} taken out");
    lines.push(Line::styled(title, theme.bold()));
    for change in edited.changes.iter().take(CHANGES) {
        let n = text::right(&figures::count(change.n), 10);
        let old = format!("{n} - {}", change.old);
        lines.push(Line::styled(text::fit(&old, cells), theme.bad()));
        if let Some(new) = &change.new {
            let new = format!("{} + {new}", " ".repeat(10));
            lines.push(Line::styled(text::fit(&new, cells), theme.good()));
        }
    }
    if let Some(more @ 1..) = edited.changes.len().checked_sub(CHANGES) {
        lines.push(Line::raw(format!("           and {more} more")));
    }
    lines
}

/// Of a plan for a new run.
fn rerun_lines(
    plan: &rerun::Plan,
    is_rest: bool,
    cells: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Err(reason) = &plan.allowed {
        let wrapped = text::wrap(&format!("Not possible: {reason}"), cells, 4);
        lines.extend(wrapped.into_iter().map(|it| Line::styled(it, theme.bad())));
        return lines;
    }
    let title = format!("What will run, as {}", plan.name);
    lines.push(Line::styled(text::fit(&title, cells), theme.bold()));
    for group in plan.groups.iter().take(GROUPS) {
        let shown = format!(
            "  {} {}: {}",
            text::right(&figures::count(group.count), 10),
            group.error,
            group.message
        );
        lines.push(Line::raw(text::fit(&shown, cells)));
    }
    if let Some(more @ 1..) = plan.groups.len().checked_sub(GROUPS) {
        lines.push(Line::raw(format!("             and {more} groups more")));
    }
    lines.push(Line::styled(count("in all", plan.items), theme.bold()));
    if !plan.wish.everything && !is_rest {
        let canary = format!(
            "  canary: {CANARY} of each group as a run of their own, then ask again; ctrl-e edits"
        );
        lines.push(Line::raw(text::fit(&canary, cells)));
    }
    lines.extend(estimates(
        plan.cost.as_ref(),
        plan.time.as_ref(),
        cells,
        theme,
    ));
    lines.extend(check_lines(&plan.checks, cells, theme));
    lines
}

fn check_lines(checks: &[Check], cells: usize, theme: Theme) -> Vec<Line<'static>> {
    if checks.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::default(), Line::styled("Checks", theme.bold())];
    lines.extend(dialog::checks(checks, cells, theme));
    lines
}

/// `Cost` with its parts, and `Time`.
fn estimates(
    cost: Option<&Cost>,
    time: Option<&Time>,
    cells: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(cost) = cost {
        let sample = figures::count(cost.sample as u64);
        let title = format!(
            "Cost (from {sample} finished children of this run; {})",
            cost.prices
        );
        let title = text::wrap(&title, cells, 3).into_iter();
        lines.extend(title.map(|it| Line::styled(it, theme.bold())));
        for part in &cost.parts {
            let sum = text::right(&figures::dollars(part.dollars), 12);
            let shown = format!("  {}{sum}  {}", text::left(&part.what, 15), part.detail);
            lines.push(Line::raw(text::fit(&shown, cells)));
        }
        let least = if cost.at_least { "at least " } else { "~" };
        let sum = text::right(&format!("{least}{}", figures::dollars(cost.dollars)), 27);
        lines.push(Line::raw(text::fit(&format!("  {sum}  in all"), cells)));
    }
    if let Some(time) = time {
        let seconds = i64::try_from(time.seconds).unwrap_or(i64::MAX);
        let (span, rate) = (figures::span(seconds), figures::rate(time.items_per_second));
        let spans = vec![
            Span::styled("Time", theme.bold()),
            Span::raw(format!("  about {span} at {rate}, {}", time.basis)),
        ];
        lines.push(Line::from(spans));
    }
    lines
}

/// `  failed     60,113`.
fn count(label: &str, number: u64) -> String {
    entry(label, &figures::count(number))
}

fn entry(label: &str, value: &str) -> String {
    format!("  {}{}", text::left(label, 15), text::right(value, 10))
}

fn columns(left: &str, right: &str, cells: usize) -> Line<'static> {
    let left = text::left(left, (cells / 2).max(28));
    Line::raw(text::fit(&(left + right), cells))
}

/// What earlier attempts left, as the ledger has it: whether a redrive helps.
fn attempts(plan: &Plan, cells: usize) -> Vec<Line<'static>> {
    let rows = plan.facts.attempts.iter().map(|attempt| {
        let lost = figures::count(attempt.counts.failures() + attempt.counts.aborted);
        let group = attempt.groups.first();
        let group = group.map_or_else(String::new, |it| format!(", most of them {}", it.error));
        let number = attempt.attempt + 1;
        Line::raw(text::fit(
            &format!("attempt {number} left {lost} failed{group}"),
            cells,
        ))
    });
    rows.collect()
}

/// Redrives so far, time left, and how long it may take at this run's own rate.
fn circumstances(plan: &Plan, app: &App) -> String {
    let mut parts = vec![match plan.redrives_so_far {
        0 => "not redriven before".to_owned(),
        1 => "redriven once before".to_owned(),
        times => format!("redriven {times} times before"),
    }];
    if let Some(left) = plan.seconds_left {
        parts.push(format!("{} left to redrive", figures::span(left)));
    }
    if plan.facts.time.is_none() {
        let map_run = app.data().map_run(&plan.execution);
        let mean = map_run.and_then(|it| app.data().pace(&it.arn).rate(MEAN));
        if let Some(rate) = mean.filter(|rate| *rate > 0.0) {
            let seconds = plan.will_run() as f64 / rate;
            let rate = figures::rate(rate);
            parts.push(format!("about {} at {rate}", figures::span(seconds as i64)));
        }
    }
    parts.join("   ")
}
