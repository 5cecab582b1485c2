//! Members of one group of failures, as far as they were looked at: pages out of a million.

use std::collections::BTreeSet;

use crate::model::{Failure, MapRunArn};
use crate::tui::data::Stamp;
use crate::tui::event::{Reply, Trouble};
use crate::tui::widget::list::Order;

/// Which members are listed, and in what order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// How far a list has been looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looking {
    pub read: u64,
    pub of: u64,
}

/// Pages kept; each holds some MB at the most.
const PAGES: usize = 8;

/// The members of the list that is looked at.
#[derive(Debug, Clone, Default)]
pub struct Members {
    query: Option<MemberQuery>,
    total: Option<u64>,
    /// Until all that fit are known.
    looking: Option<Looking>,
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

    /// Whether all rows are known, if not what is in each.
    pub fn is_complete(&self, query: &MemberQuery) -> bool {
        self.total(query).is_some() && self.looking.is_none()
    }

    /// How far it has been looked through, while that goes on.
    pub fn looking(&self, query: &MemberQuery) -> Option<Looking> {
        self.looking.filter(|_| self.is_of(query))
    }

    /// Takes in what is found so far.
    pub fn put_so_far(&mut self, query: MemberQuery, looking: Looking, page: MemberPage) {
        *self = Self {
            query: Some(query),
            total: Some(page.total),
            looking: Some(looking),
            pages: vec![(0, page.rows)],
            trouble: None,
        };
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

    /// The numbers of the rows that are kept.
    pub fn rows(&self, query: &MemberQuery) -> BTreeSet<u64> {
        let pages = self.pages.iter().filter(|_| self.is_of(query));
        let rows = pages.map(|(first, rows)| *first..first + rows.len() as u64);
        rows.flatten().collect()
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
                self.looking = None;
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
