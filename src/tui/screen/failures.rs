//! Failed items: groups of one cause at the left, the group and its members at the right, the item
//! below (or beside, where there is room).

mod beside;
mod draw;
mod group;
mod item;
mod lists;
mod members;
#[cfg(test)]
mod tests;

pub use item::{ItemTab, detail, message_of};
pub use members::List;
use members::MembersShown;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::{ExecutionArn, Failure, MapRun};
use crate::operations::failures::GroupKey;
use crate::operations::logs::{Focus, Query};
use crate::tui::app::App;
use crate::tui::data::{FailureSet, MemberQuery};
use crate::tui::filter::{AGE, Filter};
use crate::tui::marks::{Marking, Marks};
use crate::tui::screen::places::Rows;
use crate::tui::widget::figures;
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
    /// The failure whose log lines are followed: what the cursor only passes by is not asked about.
    rests_on: Option<ExecutionArn>,
    long: LongMarks,
    /// What is chosen below the groups is listed.
    pub is_listed: bool,
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

/// Rows of a list that is read in pages that are marked at once, one by one.
const MARKED_AT_ONCE: u64 = 10_000;

/// What the view is called, where it is remembered.
pub const VIEW: &str = "failures";

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
            rests_on: None,
            long: LongMarks::default(),
            is_listed: false,
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
            Pane::Groups => {
                let groups = self.set(app).map_or(0, |set| self.groups_shown(set).len());
                groups + self.beside(app).len()
            }
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

    /// The failure that the cursor rests on now, where its log lines are looked at.
    pub fn resting(&self, app: &App) -> Option<ExecutionArn> {
        let chosen = self.chosen(app).filter(|_| self.tab == ItemTab::Logs);
        chosen.map(|it| it.child.clone())
    }

    /// Notes where the cursor has come to rest.
    pub fn rest(&mut self, on: Option<ExecutionArn>) {
        self.rests_on = on;
    }

    /// Which log lines are wanted: those of the failure under the cursor, once it rests there.
    pub fn log_query(&self, app: &App) -> Option<Query> {
        let failure = self.chosen(app).filter(|_| self.tab == ItemTab::Logs)?;
        (self.rests_on.as_ref() == Some(&failure.child)).then(|| Query {
            run: self.run.clone(),
            focus: Some(Focus::on(failure)),
            pattern: String::new(),
            follow: true,
        })
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

    /// Marks groups, or members where they have the keys. Of a long list that no filter narrows,
    /// all are its group.
    ///
    /// # Errors
    /// Says that there are too many to be marked one by one, and what to do instead.
    pub fn mark(&mut self, marking: Marking, keys: MarkKeys) -> Result<(), String> {
        match keys {
            MarkKeys::Groups(keys, at) => self.group_marks.apply(marking, &keys, at),
            MarkKeys::Children(keys) => {
                self.marks
                    .apply(marking, &keys, self.members.row(keys.len()));
            }
            MarkKeys::Stored(stored) => self.mark_stored(marking, stored)?,
        }
        if marking == Marking::Clear {
            self.marks = Marks::default();
            self.group_marks = Marks::default();
            self.long = LongMarks::default();
        }
        Ok(())
    }

    /// Marks rows of a list that is read in pages: who is in them is asked for, see
    /// [`Failures::wanted_rows`].
    fn mark_stored(&mut self, marking: Marking, stored: Stored) -> Result<(), String> {
        let rows = match marking {
            Marking::Clear => return Ok(()),
            Marking::Toggle => {
                let key: Vec<ExecutionArn> = stored.chosen.into_iter().collect();
                self.marks.apply(marking, &key, 0);
                return Ok(());
            }
            Marking::All if stored.query.is_plain() => {
                self.group_marks.apply(marking, &[stored.group], 0);
                return Ok(());
            }
            _ if !stored.is_complete => {
                return Err("the group is still being looked through".to_owned());
            }
            Marking::All => 0..stored.len,
            Marking::Range => match self.long.range.take() {
                Some((query, from)) if query == stored.query => {
                    from.min(stored.at)..from.max(stored.at) + 1
                }
                _ => {
                    self.long.range = Some((stored.query, stored.at));
                    return Ok(());
                }
            },
        };
        if MARKED_AT_ONCE < rows.end - rows.start {
            let count = figures::count(rows.end - rows.start);
            let most = figures::count(MARKED_AT_ONCE);
            return Err(format!(
                "{count} rows are more than the {most} that are marked one by one: mark the group, or narrow it"
            ));
        }
        self.long.wanted = Some((stored.query, rows));
        Ok(())
    }

    /// Rows whose children are to be marked, and are not known yet.
    pub fn wanted_rows(&self) -> Option<&(MemberQuery, Range<u64>)> {
        self.long.wanted.as_ref()
    }

    /// Marks the children that are in these rows, unless others are wanted by now.
    pub fn mark_rows(
        &mut self,
        query: &MemberQuery,
        rows: &Range<u64>,
        children: Vec<ExecutionArn>,
    ) {
        let is_wanted =
            |(of, wanted): &mut (MemberQuery, Range<u64>)| of == query && wanted == rows;
        if self.long.wanted.take_if(is_wanted).is_none() {
            return;
        }
        self.marks.apply(Marking::All, &children, 0);
        if self.long.fitting.0 != query.filter {
            self.long.fitting = (query.filter.clone(), BTreeSet::new());
        }
        self.long.fitting.1.extend(children);
    }

    /// The children that the filter shows, as far as they are known.
    pub fn fitting(&self, app: &App) -> BTreeSet<ExecutionArn> {
        let shown = self.shown(app).into_iter().map(|it| it.child.clone());
        let (filter, marked) = &self.long.fitting;
        let marked = marked.iter().filter(|_| filter == self.filter.text());
        shown.chain(marked.cloned()).collect()
    }

    /// What can be marked now.
    pub fn mark_keys(&self, app: &App) -> MarkKeys {
        if self.pane == Pane::Groups {
            let Some(set) = self.set(app) else {
                return MarkKeys::Groups(Vec::new(), 0);
            };
            let shown = self.groups_shown(set).into_iter();
            let keys: Vec<GroupKey> = shown.map(|index| set.groups()[index].key()).collect();
            // What is below the groups is none.
            let at = match self.at_beside(app) {
                Some(_) => keys.len(),
                None => self.groups.row(keys.len()),
            };
            return MarkKeys::Groups(keys, at);
        }
        let Some(list) = self.list(app) else {
            return MarkKeys::Children(Vec::new());
        };
        match list.is_at_hand() {
            true => MarkKeys::Children(list.read().map(|it| it.child.clone()).collect()),
            false => {
                let at = self.members.row(list.len());
                let groups = self.set(app).map_or(&[][..], FailureSet::groups);
                let (Some(query), Some(group)) = (list.query(), groups.get(list.group)) else {
                    return MarkKeys::Children(Vec::new());
                };
                MarkKeys::Stored(Stored {
                    query: query.clone(),
                    group: group.key(),
                    at: at as u64,
                    chosen: list.row(at).map(|it| it.child.clone()),
                    len: list.len() as u64,
                    is_complete: list.unfinished().is_none(),
                })
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
        let count = figures::count;
        let groups = match (marked.groups.len(), marked.in_groups) {
            (0, _) => None,
            (1, failures) => Some(format!("1 group marked: {} failures", count(failures))),
            (many, failures) => Some(format!(
                "{many} groups marked: {} failures",
                count(failures)
            )),
        };
        // Looking through the rows is not for every frame.
        let single = match self.marks.is_idle() {
            true => None,
            false => self.marks.words(self.fitting(app).iter()),
        };
        let long = match (&self.long.wanted, &self.long.range) {
            (Some((_, rows)), _) => Some(format!("marking {}…", count(rows.end - rows.start))),
            (None, Some(_)) => Some("range begun".to_owned()),
            (None, None) => None,
        };
        let single: Vec<String> = single.into_iter().chain(long).collect();
        let single = (!single.is_empty()).then(|| single.join(", "));
        match (groups, single) {
            (Some(groups), Some(single)) => Some(format!("{groups}, and {single}")),
            (groups, single) => groups.or(single),
        }
    }
}

/// Keys of the rows that marks apply to.
pub enum MarkKeys {
    /// With the number of the one under the cursor.
    Groups(Vec<GroupKey>, usize),
    Children(Vec<ExecutionArn>),
    /// Of a list that is read in pages.
    Stored(Stored),
}

/// Where the cursor is in a list that is read in pages.
pub struct Stored {
    query: MemberQuery,
    group: GroupKey,
    at: u64,
    /// The child there, where it has been read.
    chosen: Option<ExecutionArn>,
    len: u64,
    /// Whether all rows are known.
    is_complete: bool,
}

/// Marks in lists that are read in pages.
#[derive(Debug, Clone, Default)]
struct LongMarks {
    /// The row in which a range began.
    range: Option<(MemberQuery, u64)>,
    /// Rows whose children are asked for.
    wanted: Option<(MemberQuery, Range<u64>)>,
    /// Children that were marked by their rows, and the filter that showed them.
    fitting: (String, BTreeSet<ExecutionArn>),
}

/// Notes where the rows of a list were drawn.
fn note(app: &App, rows: Rows) {
    app.places.note_rows(rows);
}
