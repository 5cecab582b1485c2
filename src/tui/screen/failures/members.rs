//! Which members of a group are shown, and in what order.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::{Arc, Weak};

use super::{Failures, SORTS};
use crate::model::{Failure, Timestamp};
use crate::operations::failures::Survey;
use crate::tui::app::App;
use crate::tui::data::{FailureSet, Looking, MemberQuery, Members};
use crate::tui::event::Trouble;
use crate::tui::runtime::fits;
use crate::tui::widget::list::Order;

/// The members of the chosen group as they are listed.
pub struct List<'a> {
    survey: &'a Survey,
    /// Index of the group.
    pub group: usize,
    rows: Rows<'a>,
}

enum Rows<'a> {
    /// Numbers of members that are all kept.
    AtHand(Arc<Vec<u32>>),
    /// Read in pages.
    Stored(MemberQuery, &'a Members),
}

impl<'a> List<'a> {
    /// How many rows there are; 0 also while that is not known.
    pub fn len(&self) -> usize {
        self.total().unwrap_or_default() as usize
    }

    /// The same, `None` while it is not known.
    pub fn total(&self) -> Option<u64> {
        match &self.rows {
            Rows::AtHand(numbers) => Some(numbers.len() as u64),
            Rows::Stored(query, _) if query.is_plain() => {
                self.survey.groups.get(self.group).map(|it| it.count)
            }
            Rows::Stored(query, members) => members.total(query),
        }
    }

    /// A row, where it has been read.
    pub fn row(&self, row: usize) -> Option<&'a Failure> {
        match &self.rows {
            Rows::AtHand(numbers) => {
                let number = *numbers.get(row)?;
                self.survey.member(self.group, u64::from(number))
            }
            Rows::Stored(query, members) => {
                let kept = query.is_plain().then_some(row as u64);
                let kept = kept.and_then(|row| self.survey.member(self.group, row));
                kept.or_else(|| members.row(query, row as u64))
            }
        }
    }

    /// What is to be asked for so that these rows can be shown.
    pub fn missing(&self, rows: Range<usize>) -> Option<(MemberQuery, u64)> {
        let Rows::Stored(query, _) = &self.rows else {
            return None;
        };
        let first = match self.total() {
            None => 0,
            Some(_) => rows.into_iter().find(|row| self.row(*row).is_none())?,
        };
        Some((query.clone(), first as u64))
    }

    /// What is to be looked through until it is known which rows there are.
    pub fn unfinished(&self) -> Option<MemberQuery> {
        match &self.rows {
            Rows::Stored(query, members) => {
                let is_known = query.is_plain() || members.is_complete(query);
                (!is_known).then(|| query.clone())
            }
            Rows::AtHand(_) => None,
        }
    }

    /// How far it has been looked through, while that goes on.
    pub fn looking(&self) -> Option<Looking> {
        match &self.rows {
            Rows::Stored(query, members) => members.looking(query),
            Rows::AtHand(_) => None,
        }
    }

    /// What a list that is read in pages is of.
    pub fn query(&self) -> Option<&MemberQuery> {
        match &self.rows {
            Rows::Stored(query, _) => Some(query),
            Rows::AtHand(_) => None,
        }
    }

    pub fn trouble(&self) -> Option<&'a Trouble> {
        match &self.rows {
            Rows::AtHand(_) => None,
            Rows::Stored(query, members) => members.trouble(query),
        }
    }

    /// Whether every row can be had without asking.
    pub fn is_at_hand(&self) -> bool {
        matches!(self.rows, Rows::AtHand(_))
    }

    /// The rows that have been read: of a long list, a few.
    pub fn read(&self) -> impl Iterator<Item = &'a Failure> {
        let rows: Vec<u64> = match &self.rows {
            Rows::AtHand(numbers) => (0..numbers.len() as u64).collect(),
            Rows::Stored(query, members) => {
                let mut rows = members.rows(query);
                if query.is_plain() {
                    rows.extend(0..self.survey.kept_of(self.group));
                }
                rows.into_iter().collect()
            }
        };
        rows.into_iter().filter_map(|row| self.row(row as usize))
    }
}

#[derive(Debug, Clone)]
pub(super) struct MembersShown {
    /// Of this reading.
    survey: Weak<Survey>,
    asked: Asked,
    numbers: Arc<Vec<u32>>,
}

/// What must be the same for members still to be those asked for.
#[derive(Debug, Clone, PartialEq)]
struct Asked {
    group: usize,
    filter: String,
    order: Order,
    /// Filters may be about age.
    now: Timestamp,
}

impl Failures {
    /// The groups that the filter leaves, as indexes: what it asks of an error hides the others.
    pub fn groups_shown(&self, set: &FailureSet) -> Vec<usize> {
        let groups = set.groups().iter().enumerate();
        let fits = groups.filter(|(_, group)| self.filter.may_match(&[("error", &group.error)]));
        fits.map(|(index, _)| index).collect()
    }

    /// The members of the chosen group.
    pub fn list<'a>(&self, app: &'a App) -> Option<List<'a>> {
        let set = self.set(app)?;
        if self.at_beside(app).is_some() {
            return None;
        }
        let shown = self.groups_shown(set);
        let group = *shown.get(self.groups.row(shown.len()))?;
        let rows = match set.survey.is_at_hand(group) {
            true => Rows::AtHand(self.at_hand(set, group, app.now)),
            false => {
                let query = MemberQuery {
                    map_run: self.map_run(app)?.arn.clone(),
                    stamp: set.stamp,
                    group: group as u32,
                    filter: self.filter.text().to_owned(),
                    order: self.order,
                };
                Rows::Stored(query, &app.data().members)
            }
        };
        Some(List {
            survey: &set.survey,
            group,
            rows,
        })
    }

    /// Members of a group that is kept whole, as numbers, that fit the filter.
    fn at_hand(&self, set: &FailureSet, group: usize, now: Timestamp) -> Arc<Vec<u32>> {
        let asked = Asked {
            group,
            filter: self.filter.text().to_owned(),
            order: self.order,
            now,
        };
        let survey = Arc::downgrade(&set.survey);
        if let Some(before) = &*self.members_shown.borrow()
            && before.survey.ptr_eq(&survey)
            && before.asked == asked
        {
            return Arc::clone(&before.numbers);
        }
        let numbers = Arc::new(self.filtered(&set.survey, group, now));
        *self.members_shown.borrow_mut() = Some(MembersShown {
            survey,
            asked,
            numbers: Arc::clone(&numbers),
        });
        numbers
    }

    fn filtered(&self, survey: &Survey, group: usize, now: Timestamp) -> Vec<u32> {
        let of = |number: &u32| survey.member(group, u64::from(*number));
        let count = survey.groups.get(group).map_or(0, |it| it.count);
        let mut rows: Vec<u32> = (0..count as u32).collect();
        if !self.filter.is_empty() {
            rows.retain(|number| of(number).is_some_and(|it| fits(&self.filter, it, now)));
        }
        match self.order.name(SORTS) {
            "line" => rows.sort_by_key(|it| of(it).and_then(|it| it.line)),
            "ended" => rows.sort_by_key(|it| Reverse(of(it).and_then(|it| it.stopped))),
            _ => {}
        }
        if self.order.reversed {
            rows.reverse();
        }
        rows
    }

    /// The members that are shown, as far as they have been read.
    pub fn shown<'a>(&self, app: &'a App) -> Vec<&'a Failure> {
        self.list(app)
            .map_or_else(Vec::new, |list| list.read().collect())
    }
}
