//! What is in no group: items that never ran, that wait, or that the service does not repair. They
//! stand below the groups, and one of them can be chosen like a group.

use ratatui::text::Line;

use super::Failures;
use crate::model::MapRun;
use crate::tui::app::App;
use crate::tui::data::{FailureSet, Remote};
use crate::tui::keys::Action;
use crate::tui::theme::Theme;
use crate::tui::widget::{figures, text};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    NotRedrivable,
    PendingRedrive,
    NeverStarted,
    Stopped,
}

impl Beside {
    pub fn words(self) -> &'static str {
        match self {
            Self::NotRedrivable => "Not redrivable by AWS",
            Self::PendingRedrive => "Pending redrive",
            Self::NeverStarted => "Lines never started",
            Self::Stopped => "Stopped with the run",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::NotRedrivable => {
                "Failed children that a redrive leaves as they are, because they ended too long ago or their history is full. A re-run takes them up."
            }
            Self::PendingRedrive => "Children that a redrive will run again and has not begun yet.",
            Self::NeverStarted => {
                "Items that never became a child execution, since the Map Run ended before their turn. A redrive starts them."
            }
            Self::Stopped => {
                "Children that were stopped because the Map Run was. They did not fail; a redrive runs them again."
            }
        }
    }
}

/// What there is beside the groups, each with how many items that are.
pub fn beside(map_run: &MapRun, set: &FailureSet) -> Vec<(Beside, u64)> {
    let items = &map_run.items;
    let mut rows = vec![
        (Beside::NotRedrivable, items.failures_not_redrivable),
        (Beside::PendingRedrive, items.pending_redrive),
        (Beside::NeverStarted, items.pending),
    ];
    let stopped = items.aborted.max(set.survey.aborted);
    if 0 < stopped {
        rows.push((Beside::Stopped, stopped));
    }
    rows
}

impl Failures {
    /// What stands below the groups.
    pub fn beside(&self, app: &App) -> Vec<(Beside, u64)> {
        match (self.map_run(app), self.set(app)) {
            (Some(map_run), Some(set)) if !self.groups_shown(set).is_empty() => {
                beside(map_run, set)
            }
            _ => Vec::new(),
        }
    }

    /// The index of the row below the groups that the cursor is on.
    pub fn at_beside(&self, app: &App) -> Option<usize> {
        let groups = self.groups_shown(self.set(app)?).len();
        let last = self.beside(app).len().checked_sub(1)?;
        Some(self.groups.at.checked_sub(groups)?.min(last))
    }

    /// What the cursor is on below the groups, and how many items that are.
    pub fn chosen_beside(&self, app: &App) -> Option<(Beside, u64)> {
        self.beside(app).get(self.at_beside(app)?).copied()
    }

    /// Whether the lines that never started are to be listed.
    pub fn wants_never_started(&self, app: &App) -> bool {
        let is_chosen = |(what, count): (Beside, u64)| what == Beside::NeverStarted && 0 < count;
        self.is_listed && self.chosen_beside(app).is_some_and(is_chosen)
    }

    /// What is told of the row below the groups, in lines of at most `cells` cells.
    pub(super) fn beside_lines(&self, app: &App, cells: usize) -> Vec<Line<'static>> {
        let Some((what, count)) = self.chosen_beside(app) else {
            return Vec::new();
        };
        let theme = app.theme();
        let mut lines = wrapped(what.meaning(), cells, theme);
        let Some(map_run) = self.map_run(app).filter(|_| what == Beside::NeverStarted) else {
            return lines;
        };
        lines.push(Line::default());
        let known = app.data().never_started.get(&map_run.arn);
        let told = match known {
            _ if count == 0 => return lines,
            _ if !map_run.status.is_closed() => {
                "The Map Run goes on: which of them it starts is not known yet.".to_owned()
            }
            _ if !self.is_listed => {
                let key = app.keymap.key_of(Action::Open);
                format!("{key} lists their lines")
            }
            Some(Remote::Known { value: None, .. }) => {
                "The Map Run has written no result files that would list them.".to_owned()
            }
            Some(Remote::Known {
                value: Some(found), ..
            }) => {
                let more = match found.unlisted {
                    0 => String::new(),
                    more if found.lines.is_empty() => {
                        format!(
                            "{} items that carry no number of a line",
                            figures::count(more)
                        )
                    }
                    more => format!(", and {} more", figures::count(more)),
                };
                format!("{}{more}", found.words())
            }
            other => match other.and_then(Remote::trouble) {
                Some(trouble) => trouble.text.clone(),
                None => "reading which they are…".to_owned(),
            },
        };
        let told = text::wrap(&told, cells, LISTED);
        lines.extend(told.into_iter().map(Line::raw));
        lines
    }
}

/// Screen lines of line numbers.
const LISTED: usize = 1_000;

fn wrapped(words: &str, cells: usize, theme: Theme) -> Vec<Line<'static>> {
    let lines = text::wrap(words, cells, 6).into_iter();
    lines.map(|it| Line::styled(it, theme.dim())).collect()
}
