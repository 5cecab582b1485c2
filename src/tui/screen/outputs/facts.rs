//! The middle column: versions of the object under the cursor, what each round has written, where
//! every line of the input is, and what can be done about it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::{Outputs, tree};
use crate::operations::outputs::Kind;
use crate::tui::app::App;
use crate::tui::data::Remote;
use crate::tui::event::Subject;
use crate::tui::keys::Action;
use crate::tui::widget::{figures, pane, text};

/// Versions and rounds listed.
const MOST: usize = 6;

impl Outputs {
    /// Versions of what is under the cursor, and what each round has written.
    pub(super) fn draw_facts(&self, app: &App, buffer: &mut Buffer, area: Rect) {
        let theme = app.theme();
        let area = Rect::new(area.x + 1, area.y, area.width - 2, area.height);
        let cells = area.width as usize;
        let mut lines: Vec<Line<'static>> = Vec::new();
        let title = |text: &str| Line::styled(text::fit(text, cells), theme.bold());
        if let Some(output) = self.chosen(app) {
            let object = &output.object;
            let name = text::middle(object.address.file_name(), cells.saturating_sub(12));
            lines.push(title(&format!("Versions of {name}")));
            let known = app.data().versions.get(&object.address.current());
            match known.map(|known| (known.get(), known.trouble())) {
                Some((Some(Some(versions)), _)) => {
                    for version in versions.iter().take(MOST) {
                        let chosen = object.address.version.as_ref();
                        let mark = if chosen == Some(&version.id) {
                            "▸"
                        } else {
                            " "
                        };
                        let when = if version.is_latest {
                            "now".to_owned()
                        } else {
                            figures::moment(version.modified, app.now)
                        };
                        let size = version.size.map_or("deleted".to_owned(), figures::bytes);
                        let shown = format!("{mark} {when:<9} {size:>9}");
                        lines.push(Line::raw(text::fit(&shown, cells)));
                    }
                    let more = versions.len().saturating_sub(MOST);
                    if 0 < more {
                        lines.push(Line::styled(format!("  {more} older ones"), theme.dim()));
                    }
                    if object.address.version.is_none() && 1 < self.versions(app).len() {
                        let key = app.keymap.key_of(Action::Right);
                        let said = format!("  {key} lists them below it");
                        lines.push(Line::styled(text::fit(&said, cells), theme.dim()));
                    }
                }
                Some((Some(None), _)) => {
                    lines.push(Line::styled("  the bucket keeps none", theme.dim()));
                }
                Some((None, Some(trouble))) => {
                    let wrapped = text::wrap(&trouble.text, cells.saturating_sub(2), 3);
                    let wrapped = wrapped.into_iter();
                    lines.extend(wrapped.map(|it| Line::styled(format!("  {it}"), theme.dim())));
                }
                _ => lines.push(Line::styled("  asking…", theme.dim())),
            }
            lines.push(Line::raw(""));
        }
        let rounds = self.rounds(app);
        if !rounds.is_empty() {
            lines.push(title("Result files by round"));
            lines.extend(rounds.into_iter().take(MOST).map(|it| {
                let shown = format!("  {it}");
                Line::raw(text::fit(&shown, cells))
            }));
        }
        lines.push(Line::raw(""));
        lines.push(title("Reconcile"));
        lines.extend(self.reconciled(app, cells));
        for (row, line) in (0..).zip(lines) {
            pane::line(buffer, area, row, line);
        }
    }

    /// Where every line of the input has ended.
    fn reconciled(&self, app: &App, cells: usize) -> Vec<Line<'static>> {
        let theme = app.theme();
        let said = |text: &str| Line::styled(text::fit(&format!("  {text}"), cells), theme.dim());
        let known = app.data().reconciliations.get(&self.run);
        if app.is_out(&Subject::Reconcile(self.run.clone())) {
            return vec![said("reading all results…")];
        }
        let Some(found) = known.and_then(Remote::get) else {
            let key = app.keymap.key_of(Action::Reconcile);
            return match known.and_then(Remote::trouble) {
                Some(trouble) => {
                    let wrapped = text::wrap(&trouble.text, cells.saturating_sub(2), 3);
                    wrapped.iter().map(|it| said(it)).collect()
                }
                None => vec![said(&format!("{key} accounts for every line"))],
            };
        };
        let row = |name: &str, count: u64, style: Style| {
            let shown = format!("  {name:<14}{:>12}", figures::count(count));
            Line::styled(text::fit(&shown, cells), style)
        };
        let mark = |count: u64| if count > 0 { theme.bad() } else { Style::new() };
        let mut lines = vec![
            row("input lines", found.lines, Style::new()),
            row("succeeded", found.succeeded, Style::new()),
            row("still failed", found.failed.count, mark(found.failed.count)),
            row(
                "never started",
                found.never_started.count,
                mark(found.never_started.count),
            ),
            row("no result", found.missing.count, mark(found.missing.count)),
            row("twice", found.duplicates.count, Style::new()),
        ];
        let open = [&found.failed, &found.never_started, &found.missing];
        let named: Vec<String> = open
            .iter()
            .map(|lines| lines.named())
            .filter(|named| !named.is_empty())
            .collect();
        if found.is_complete() {
            lines.push(Line::styled("  every line succeeded", theme.good()));
        } else if !named.is_empty() {
            let named = format!("open: {}", named.join(", "));
            let wrapped = text::wrap(&named, cells.saturating_sub(2), 3);
            lines.extend(wrapped.iter().map(|it| said(it)));
        }
        lines.push(Line::raw(""));
        let offer = |action: Action, what: String| {
            let shown = format!("  {}  {what}", app.keymap.key_of(action));
            Line::raw(text::fit(&shown, cells))
        };
        let what = match found.sources.len() {
            0 | 1 => "merge into a new file".to_owned(),
            several => format!("merge all {several} sources"),
        };
        lines.push(offer(Action::Reconcile, what));
        let open = found.lines.saturating_sub(found.succeeded);
        if 0 < open && app.can_redrive().is_ok() {
            let what = format!("re-run the last {}", figures::count(open));
            lines.push(offer(Action::Redrive, what));
        }
        lines
    }

    fn rounds(&self, app: &App) -> Vec<String> {
        let mut rounds = std::collections::BTreeMap::<u32, (usize, u64)>::new();
        let objects = self.objects(app).into_iter();
        for output in objects.filter(|it| it.kind == Kind::Result) {
            let round = rounds.entry(tree::round_of(output)).or_default();
            round.0 += 1;
            round.1 = round.1.saturating_add(output.object.size);
        }
        let told = rounds.into_iter().map(|(round, (count, size))| {
            let name = match round {
                0 => "first".to_owned(),
                round => format!("redrive {round}"),
            };
            format!("{name:<11}{count:>5} {:>9}", figures::bytes(size))
        });
        told.collect()
    }
}
