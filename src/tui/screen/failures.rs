//! Failed items: groups of one cause at the left, the group and its members at the right, the item
//! below (or beside, where there is room).

mod draw;
mod group;
mod item;
mod members;
#[cfg(test)]
mod tests;

pub use item::{ItemTab, detail, message_of};
pub use members::List;
use members::MembersShown;

use std::cell::RefCell;

use crate::model::{ExecutionArn, Failure, MapRun};
use crate::operations::failures::GroupKey;
use crate::tui::app::App;
use crate::tui::data::FailureSet;
use crate::tui::filter::{AGE, Filter};
use crate::tui::marks::{Marking, Marks};
use crate::tui::screen::places::Rows;
use crate::tui::widget::list::{Cursor, Move, Order, Scroll, Sort};

/// The list that has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Groups,
    Members,
}

#[derive(Debug, Clone)]
pub struct Failures {
    pub run: ExecutionArn,
    pub pane: Pane,
    /// Among the groups that the filter leaves.
    pub groups: Cursor,
    pub members: Cursor,
    /// Of members; what it asks of their error, of groups too.
    pub filter: Filter,
    pub order: Order,
    /// Whole groups.
    pub group_marks: Marks<GroupKey>,
    /// Single children.
    pub marks: Marks<ExecutionArn>,
    pub tab: ItemTab,
    /// Of the item's detail.
    pub scroll: Scroll,
    /// The members as they were last asked for: a frame asks several times.
    members_shown: RefCell<Option<MembersShown>>,
}

/// What is marked: for whatever is done with chosen failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    pub groups: Vec<GroupKey>,
    pub children: Vec<ExecutionArn>,
    /// Failures in the groups, as far as they are known.
    pub in_groups: u64,
}

/// Of members.
pub const SORTS: &[Sort] = &[
    ("found", "as read"),
    ("line", "by line"),
    ("ended", "newest first"),
];

/// What a filter can ask for by name.
pub const COLUMNS: &[&str] = &["line", "error", "cause", "input", "child", AGE];

impl Failures {
    pub fn new(run: ExecutionArn) -> Self {
        Self {
            run,
            pane: Pane::Groups,
            groups: Cursor::default(),
            members: Cursor::default(),
            filter: Filter::default(),
            order: Order::default(),
            group_marks: Marks::default(),
            marks: Marks::default(),
            tab: ItemTab::default(),
            scroll: Scroll::default(),
            members_shown: RefCell::default(),
        }
    }

    fn map_run<'a>(&self, app: &'a App) -> Option<&'a MapRun> {
        app.data().map_run(&self.run)
    }

    pub fn set<'a>(&self, app: &'a App) -> Option<&'a FailureSet> {
        app.data().failure_set(&self.map_run(app)?.arn)
    }

    pub fn rows(&self, app: &App) -> usize {
        match self.pane {
            Pane::Groups => self.set(app).map_or(0, |set| self.groups_shown(set).len()),
            Pane::Members => self.list(app).map_or(0, |list| list.len()),
        }
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        match self.pane {
            Pane::Groups => {
                self.groups.go(to, rows);
                self.members = Cursor::default();
            }
            Pane::Members => self.members.go(to, rows),
        }
        self.scroll = Scroll::default();
    }

    /// The failure under the members' cursor.
    pub fn chosen<'a>(&self, app: &'a App) -> Option<&'a Failure> {
        let list = self.list(app)?;
        list.row(self.members.row(list.len()))
    }

    /// What is marked.
    pub fn marked(&self, app: &App) -> Marked {
        let groups = self.set(app).map_or(&[][..], FailureSet::groups);
        let counted = groups
            .iter()
            .filter(|group| self.group_marks.has(&group.key()));
        Marked {
            groups: self.group_marks.iter().cloned().collect(),
            children: self.marks.iter().cloned().collect(),
            in_groups: counted.map(|group| group.count).sum(),
        }
    }

    /// Marks groups, or members where they have the keys. What the service would have to be asked
    /// for cannot be marked row by row.
    ///
    /// # Errors
    /// Says so, and what to do instead.
    pub fn mark(&mut self, marking: Marking, keys: MarkKeys) -> Result<(), String> {
        match keys {
            MarkKeys::Groups(keys) => {
                self.group_marks
                    .apply(marking, &keys, self.groups.row(keys.len()));
            }
            MarkKeys::Children(keys) => {
                self.marks
                    .apply(marking, &keys, self.members.row(keys.len()));
            }
            MarkKeys::One(key) if marking == Marking::Toggle => self.marks.apply(marking, &key, 0),
            MarkKeys::One(_) if marking == Marking::Clear => {}
            MarkKeys::One(_) => {
                return Err(
                    "a list of this length is marked as a group, or exported: tab, then space"
                        .to_owned(),
                );
            }
        }
        if marking == Marking::Clear {
            self.marks = Marks::default();
            self.group_marks = Marks::default();
        }
        Ok(())
    }

    /// What can be marked now.
    pub fn mark_keys(&self, app: &App) -> MarkKeys {
        if self.pane == Pane::Groups {
            let Some(set) = self.set(app) else {
                return MarkKeys::Groups(Vec::new());
            };
            let shown = self.groups_shown(set).into_iter();
            return MarkKeys::Groups(shown.map(|index| set.groups()[index].key()).collect());
        }
        let Some(list) = self.list(app) else {
            return MarkKeys::Children(Vec::new());
        };
        match list.is_at_hand() {
            true => MarkKeys::Children(list.read().map(|it| it.child.clone()).collect()),
            false => {
                let chosen = list.row(self.members.row(list.len()));
                MarkKeys::One(chosen.map(|it| it.child.clone()).into_iter().collect())
            }
        }
    }

    /// Puts the cursors on one failure that is kept, by its group and number there.
    pub fn choose(&mut self, group: u32, number: u32) {
        self.filter = Filter::default();
        self.order = Order::default();
        self.groups.at = group as usize;
        self.members.at = number as usize;
        self.pane = Pane::Members;
    }

    /// `2 groups marked: 53,842 failures`, for titles.
    fn marked_words(&self, app: &App) -> Option<String> {
        let marked = self.marked(app);
        let count = crate::tui::widget::figures::count;
        let groups = match (marked.groups.len(), marked.in_groups) {
            (0, _) => None,
            (1, failures) => Some(format!("1 group marked: {} failures", count(failures))),
            (many, failures) => Some(format!(
                "{many} groups marked: {} failures",
                count(failures)
            )),
        };
        let shown = self.shown(app);
        let single = self.marks.words(shown.iter().map(|it| &it.child));
        match (groups, single.filter(|_| !self.marks.is_idle())) {
            (Some(groups), Some(single)) => Some(format!("{groups}, and {single}")),
            (groups, single) => groups.or(single),
        }
    }
}

/// Keys of the rows that marks apply to.
pub enum MarkKeys {
    Groups(Vec<GroupKey>),
    Children(Vec<ExecutionArn>),
    /// Only the row under the cursor is known.
    One(Vec<ExecutionArn>),
}

/// Notes where the rows of a list were drawn.
fn note(app: &App, rows: Rows) {
    app.places.note_rows(rows);
}
