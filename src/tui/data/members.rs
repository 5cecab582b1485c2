//! Members of one group of failures, as far as they were looked at: pages out of a million.

use crate::model::{Failure, MapRunArn};
use crate::tui::data::Stamp;
use crate::tui::event::{Reply, Trouble};
use crate::tui::widget::list::Order;

/// Which members are listed, and in what order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberQuery {
    pub map_run: MapRunArn,
    /// The reading that they are members of.
    pub stamp: Stamp,
    /// Index of the group there.
    pub group: u32,
    pub filter: String,
    pub order: Order,
}

impl MemberQuery {
    /// All of them, in the order of reading.
    pub fn is_plain(&self) -> bool {
        self.filter.trim().is_empty() && self.order == Order::default()
    }
}

/// Some rows of a list of members, and how long it is.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberPage {
    pub total: u64,
    pub rows: Vec<Failure>,
}

/// Pages kept; each holds some MB at the most.
const PAGES: usize = 8;

/// The members of the list that is looked at.
#[derive(Debug, Clone, Default)]
pub struct Members {
    query: Option<MemberQuery>,
    total: Option<u64>,
    /// Number of the first row, and the rows. The newest is last.
    pages: Vec<(u64, Vec<Failure>)>,
    trouble: Option<Trouble>,
}

impl Members {
    fn is_of(&self, query: &MemberQuery) -> bool {
        self.query.as_ref() == Some(query)
    }

    /// How many there are, where that is known.
    pub fn total(&self, query: &MemberQuery) -> Option<u64> {
        self.total.filter(|_| self.is_of(query))
    }

    pub fn trouble(&self, query: &MemberQuery) -> Option<&Trouble> {
        self.trouble.as_ref().filter(|_| self.is_of(query))
    }

    pub fn row(&self, query: &MemberQuery, row: u64) -> Option<&Failure> {
        if !self.is_of(query) {
            return None;
        }
        self.pages.iter().find_map(|(first, rows)| {
            let at = row.checked_sub(*first)?;
            rows.get(usize::try_from(at).ok()?)
        })
    }

    pub fn put(&mut self, query: MemberQuery, first: u64, reply: Reply<MemberPage>) {
        if !self.is_of(&query) {
            *self = Self {
                query: Some(query),
                ..Self::default()
            };
        }
        match reply {
            Ok(page) => {
                self.trouble = None;
                self.total = Some(page.total);
                self.pages.retain(|(kept, _)| *kept != first);
                if self.pages.len() == PAGES {
                    self.pages.remove(0);
                }
                self.pages.push((first, page.rows));
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }
}
