//! Which members of a group are shown, and in what order.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};

use super::{Failures, SORTS};
use crate::model::{Failure, Timestamp};
use crate::operations::failures;
use crate::tui::app::App;
use crate::tui::data::FailureSet;
use crate::tui::filter::AGE;
use crate::tui::widget::figures;
use crate::tui::widget::list::Order;

#[derive(Debug, Clone)]
pub(super) struct MembersShown {
    /// Of this reading.
    list: Weak<failures::Failures>,
    asked: Asked,
    members: Arc<Vec<u32>>,
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
    /// Members of the chosen group, as indexes into the list, that fit the filter.
    pub(super) fn filtered(&self, set: &FailureSet, now: Timestamp) -> Arc<Vec<u32>> {
        let asked = Asked {
            group: self.groups.row(set.groups.len()),
            filter: self.filter.text().to_owned(),
            order: self.order,
            now,
        };
        let list = Arc::downgrade(&set.list);
        if let Some(before) = &*self.members_shown.borrow()
            && before.list.ptr_eq(&list)
            && before.asked == asked
        {
            return Arc::clone(&before.members);
        }
        let members = Arc::new(self.filter_members(set, asked.group, now));
        *self.members_shown.borrow_mut() = Some(MembersShown {
            list,
            asked,
            members: Arc::clone(&members),
        });
        members
    }

    fn filter_members(&self, set: &FailureSet, group: usize, now: Timestamp) -> Vec<u32> {
        let Some((_, members)) = set.groups.get(group) else {
            return Vec::new();
        };
        let mut rows = members.clone();
        if !self.filter.is_empty() {
            rows.retain(|index| set.failure(*index).is_some_and(|it| self.fits(it, now)));
        }
        let of = |index: &u32| set.failure(*index);
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

    /// The members that are shown.
    pub fn shown<'a>(&self, app: &'a App) -> Vec<&'a Failure> {
        let Some(set) = self.set(app) else {
            return Vec::new();
        };
        let members = self.filtered(set, app.now);
        members
            .iter()
            .filter_map(|index| set.failure(*index))
            .collect()
    }

    fn fits(&self, failure: &Failure, now: Timestamp) -> bool {
        let age = failure.stopped.map(|at| figures::seconds_between(at, now));
        let age = age.map_or_else(|| "?".to_owned(), |age| age.to_string());
        let line = failure
            .line
            .map(|line| line.to_string())
            .unwrap_or_default();
        self.filter.matches(&[
            ("line", &line),
            ("error", failure.error.as_deref().unwrap_or_default()),
            ("cause", failure.cause.as_deref().unwrap_or_default()),
            ("input", failure.input.as_deref().unwrap_or_default()),
            ("child", failure.child.name()),
            (AGE, &age),
        ])
    }
}
