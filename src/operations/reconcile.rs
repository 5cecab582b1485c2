//! Reconcile: is there a result for every line of the input, and exactly one? Over a run, its
//! redrives and its re-runs.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::lines::{Counts, Gathered, Meter, Outcome, stretches};
use crate::operations::lineage::{self, Lineage, Shown};
use crate::operations::runs::Run;
use crate::operations::{Error, Progress};

/// Stretches of lines that are named of each kind.
const NAMED: usize = 20;

/// What became of the lines of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The first run's name.
    pub run: String,
    /// Lines of the input. The next four add up to it.
    pub lines: u64,
    pub succeeded: u64,
    /// Failed, timed out or aborted, and have not succeeded since.
    pub failed: Lines,
    pub never_started: Lines,
    /// In no result at all.
    pub missing: Lines,
    /// Succeeded more than once; the newest success counts.
    pub duplicates: Lines,
    /// Whether lines were told apart; else these are counts of items, and nothing is named.
    pub numbered: bool,
    /// Where it was read, oldest first.
    pub sources: Vec<Shown>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Some lines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    pub count: u64,
    /// The first of them, as stretches of numbers from 1; at most 20.
    pub first: Vec<RangeInclusive<u64>>,
}

impl Lines {
    fn new(count: u64, first: Vec<RangeInclusive<u64>>) -> Self {
        Self { count, first }
    }

    /// `3, 7-9, …`; empty where no number is known.
    pub fn named(&self) -> String {
        let named = crate::lines::shown(&self.first);
        let known: u64 = self.first.iter().map(|it| it.end() - it.start() + 1).sum();
        match known < self.count && 0 < known {
            true => named + ", …",
            false => named,
        }
    }
}

impl Reconciliation {
    /// Whether every line has succeeded.
    pub fn is_complete(&self) -> bool {
        self.succeeded == self.lines
    }
}

/// Reads all results of `run`, of its redrives and of its re-runs; changes nothing.
///
/// # Errors
/// `Refused` when it is not known how many lines there are, or an output does not have the lines
/// that it should have; `Malformed` for result files that no Map Run writes.
pub async fn of(
    client: &Client,
    run: &Run,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Result<Reconciliation, Error> {
    let lineage = lineage::of(client, run).await?;
    let gathered = lineage
        .gather(client, false, meter(&lineage, progress))
        .await?;
    Ok(Reconciliation::new(&lineage, &gathered, run))
}

/// Adds up what is read.
pub(super) fn meter(
    lineage: &Lineage,
    progress: impl Fn(Progress) + Send + Sync + 'static,
) -> Meter {
    let (done, total) = (AtomicU64::new(0), lineage.bytes());
    Arc::new(move |bytes| {
        let done = done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let total = total.max(done);
        progress(Progress { done, total });
    })
}

impl Reconciliation {
    pub(super) fn new(lineage: &Lineage, gathered: &Gathered, run: &Run) -> Self {
        let numbered = lineage.shape.is_numbered();
        let mut notes = lineage.notes.clone();
        let counts = match numbered {
            true => gathered.tally().counts(),
            false => unnumbered(lineage, gathered, run, &mut notes),
        };
        let named = |count: u64, outcome: Option<Outcome>| match numbered && 0 < count {
            true => Lines::new(count, gathered.tally().with(outcome, NAMED)),
            false => Lines::new(count, Vec::new()),
        };
        let again = gathered.again();
        Self {
            run: lineage.root.name().to_owned(),
            lines: counts.lines,
            succeeded: counts.succeeded,
            failed: named(counts.failed, Some(Outcome::Failed)),
            never_started: named(counts.never_started, Some(Outcome::NeverStarted)),
            missing: named(counts.missing(), None),
            duplicates: Lines::new(again.count(), stretches(again.iter(), NAMED)),
            numbered,
            sources: lineage.sources.iter().map(lineage::Source::shown).collect(),
            notes,
        }
    }
}

/// Counts of items: of the result files where there are some, else the Map Run's own.
fn unnumbered(
    lineage: &Lineage,
    gathered: &Gathered,
    run: &Run,
    notes: &mut Vec<String>,
) -> Counts {
    let mut counts = gathered.unnumbered().counts();
    if let strangers @ 1.. = gathered.unnumbered().strangers() {
        notes.push(format!(
            "{strangers} items of re-runs are none of those that were open, as edited ones are and \
             ones that had succeeded before: they are not counted"
        ));
    }
    if lineage.sources.is_empty()
        && let Some(map_run) = run.map_run()
    {
        let items = map_run.items;
        counts = Counts {
            lines: 0,
            succeeded: items.succeeded,
            failed: items.failures() + items.aborted,
            never_started: items.pending + items.pending_redrive,
        };
        notes.push("the counts are the Map Run's own".to_owned());
    }
    let told = counts.succeeded + counts.failed + counts.never_started;
    if lineage.lines < told {
        let more = told - lineage.lines;
        notes.push(format!(
            "there are {more} more results than the Map Run counted items"
        ));
    }
    Counts {
        lines: lineage.lines.max(told),
        ..counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_named_and_that_there_are_more_is_said() {
        assert_eq!(Lines::new(4, vec![3..=3, 7..=9]).named(), "3, 7-9");
        assert_eq!(Lines::new(5, vec![3..=3, 7..=9]).named(), "3, 7-9, …");
        assert_eq!(Lines::new(5, vec![]).named(), "");
    }
}
