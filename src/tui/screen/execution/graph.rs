//! The state graph with what became of each state.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::model::{ExecutionArn, MapRun};
use crate::operations::machines::Drift;
use crate::operations::runs::Run;
use crate::tui::app::App;
use crate::tui::data::{Data, Remote};
use crate::tui::graph::{Look, Picture, State};
use crate::tui::history::trace::Outcome;
use crate::tui::screen::absence;
use crate::tui::screen::execution::Execution;
use crate::tui::theme::Theme;
use crate::tui::widget::{figures, pane, text};

/// The picture of an execution's definition, where it is known.
pub fn picture<'a>(data: &'a Data, arn: &ExecutionArn) -> Option<&'a Picture> {
    Some(&data.definitions.get(arn)?.get()?.picture)
}

pub fn draw(screen: &Execution, app: &App, buffer: &mut Buffer, area: Rect) {
    let data = app.data();
    let theme = app.theme();
    let known = data.definitions.get(&screen.arn);
    let Some(definition) = known.and_then(Remote::get) else {
        let trouble = known.and_then(Remote::trouble);
        return absence(buffer, area, trouble, "reading the definition…", theme);
    };
    let looks = Looks::new(screen, app);
    let strip = if area.height > 14 { 3 } else { 1 };
    let body = Rect {
        height: area.height.saturating_sub(strip),
        ..area
    };
    let below = Rect::new(area.x, body.bottom(), area.width, strip);
    let look = |state: &State| looks.of(state);
    let how = screen.graph.draw(
        &definition.picture,
        &look,
        theme,
        (buffer, (&app.places, body)),
    );
    let drift = match definition.own.drift {
        Drift::Changed => "the state machine was changed since: this is what the execution has",
        Drift::Same | Drift::Unknown => "",
    };
    let title = [looks.source(), drift.to_owned(), how]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join("  ");
    let head = Rect {
        y: area.y.saturating_sub(1),
        height: 1,
        ..area
    };
    let cells = area.width as usize;
    pane::line(
        buffer,
        head,
        0,
        Line::styled(text::fit(&title, cells), theme.dim()),
    );
    if let Some(state) = screen.graph.chosen(&definition.picture) {
        looks.draw_state(state, buffer, below);
    }
}

/// How states look in one execution, now.
struct Looks<'a> {
    app: &'a App,
    screen: &'a Execution,
    run: Option<&'a Run>,
}

impl<'a> Looks<'a> {
    fn new(screen: &'a Execution, app: &'a App) -> Self {
        Self {
            app,
            screen,
            run: app.data().run(&screen.arn),
        }
    }

    fn theme(&self) -> Theme {
        self.app.theme()
    }

    fn map_run(&self, state: &State) -> Option<&'a MapRun> {
        let label = state.label.as_deref()?;
        let mut runs = self.run?.map_runs.iter();
        runs.find(|it| it.arn.label() == label)
    }

    /// Where the states' words come from.
    fn source(&self) -> String {
        match self.app.data().history(&self.screen.arn) {
            Some(history) => Execution::extent(history),
            None if self.screen.arn.is_express() => {
                "Express executions keep no history: which states were reached is not recorded"
                    .to_owned()
            }
            None => "reading the events…".to_owned(),
        }
    }

    fn of(&self, state: &State) -> Look {
        let theme = self.theme();
        let plain = |status: &str| Look {
            status: status.to_owned(),
            style: theme.dim(),
        };
        if state.in_children {
            return plain("in the children");
        }
        let Some(history) = self.app.data().history(&self.screen.arn) else {
            return match self.screen.arn.is_express() {
                true => plain("? not recorded"),
                false => plain("? not read yet"),
            };
        };
        let trace = &history.trace;
        let Some(visits) = trace.state(&state.name) else {
            return match trace.is_whole {
                true => plain("· not reached"),
                false => plain("? not in what was read"),
            };
        };
        let outcome = visits.outcome(trace);
        let (glyph, word, style) = theme.outcome(outcome);
        let status = match (self.map_run(state), visits.all) {
            (Some(map_run), _) => {
                let items = &map_run.items;
                let failed = match items.failures() {
                    0 => String::new(),
                    failed => format!(" ✗{}", figures::count(failed)),
                };
                let done = figures::count(items.done());
                format!(
                    "{glyph} {word} {done}/{}{failed}",
                    figures::count(items.total)
                )
            }
            (None, 1) => {
                let visit = &trace.visits[visits.newest];
                let took = visit
                    .left
                    .unwrap_or(self.app.now)
                    .duration_since(visit.entered);
                let tries = match visit.attempts.len() {
                    0 | 1 => String::new(),
                    tries => format!(" ×{tries}"),
                };
                format!("{glyph} {word} {}{tries}", figures::took(took))
            }
            (None, all) => {
                let parts = [
                    (Outcome::Running, visits.running),
                    (Outcome::Retrying, visits.retrying),
                    (Outcome::Succeeded, visits.succeeded),
                    (Outcome::Caught, visits.caught),
                    (Outcome::Failed, visits.failed),
                    (Outcome::Stopped, visits.stopped),
                ];
                let parts = parts.iter().filter(|(_, count)| *count > 0 && *count < all);
                let parts = parts.map(|(outcome, count)| {
                    format!(" {}{}", theme.outcome(*outcome).0, figures::count(*count))
                });
                format!(
                    "{glyph} {word} ×{}{}",
                    figures::count(all),
                    parts.collect::<String>()
                )
            }
        };
        Look { status, style }
    }

    /// The state under the cursor, in a few lines.
    fn draw_state(&self, state: &State, buffer: &mut Buffer, area: Rect) {
        let theme = self.theme();
        let cells = area.width as usize;
        let look = self.of(state);
        let line = Line::from(vec![
            Span::styled(
                text::fit(&format!("▸ {}  ", state.name), cells / 2),
                theme.bold(),
            ),
            Span::raw(format!("{}  ", text::fit(&state.kind, 20))),
            Span::styled(text::fit(&look.status, cells / 3), look.style),
        ]);
        pane::line(buffer, area, 0, line);
        let history = self.app.data().history(&self.screen.arn);
        let visit = history.and_then(|history| {
            let visits = history.trace.state(&state.name)?;
            history.trace.visits.get(visits.newest)
        });
        let error =
            visit.and_then(|it| it.attempts.iter().rev().find_map(|it| it.error.as_deref()));
        let parts = [
            visit.map(|it| format!("entered {}", figures::clock(it.entered))),
            error.map(|error| format!("last error {error}")),
            state.resource.clone(),
        ];
        let facts: Vec<String> = parts.into_iter().flatten().collect();
        let facts = format!("  {}", facts.join("  "));
        pane::line(
            buffer,
            area,
            1,
            Line::styled(text::fit(&facts, cells), Style::new()),
        );
        if let Some(comment) = &state.comment {
            let comment = text::fit(&format!("  {comment}"), cells);
            pane::line(buffer, area, 2, Line::styled(comment, theme.dim()));
        }
    }
}
