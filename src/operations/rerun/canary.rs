//! A canary: a few of each group first, as a run of their own, and what is left after it.

use std::collections::BTreeSet;

use super::gather::Subset;
use super::{Plan, Wish, plan};
use crate::client::Client;
use crate::model::{ExecutionArn, Prices, RunState, Timestamp};
use crate::operations::Error;
use crate::operations::runs;

/// A canary that is planned, with the wish of which it is the beginning.
pub struct Canary {
    pub plan: Plan,
    /// Its items, taken once.
    pub items: Option<Subset>,
    numbers: BTreeSet<u64>,
    whole: Wish,
}

/// How a canary ended, and how to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub name: String,
    pub state: RunState,
    pub succeeded: u64,
    pub failed: u64,
    /// The run that the rest is of, and the rest.
    pub rest: (ExecutionArn, Wish),
}

impl Canary {
    /// Gathers at most `of_each` items of each group of what is wished.
    pub async fn plan(
        client: &Client,
        execution: &ExecutionArn,
        whole: Wish,
        of_each: u64,
        prices: &Prices,
    ) -> Result<Self, Error> {
        let mut first = whole.clone();
        first.chosen.of_each_group = Some(of_each);
        let (plan, mut items) = plan(client, execution, first, Timestamp::now(), prices).await?;
        let mut numbers = BTreeSet::new();
        if let Some(items) = &mut items {
            items.each(|n, _| {
                numbers.insert(n);
                Ok(())
            })?;
        }
        Ok(Self {
            plan,
            items,
            numbers,
            whole,
        })
    }

    /// What came of it, once its run has ended. The rest is chosen from that run where it was merged
    /// into an output, else from the first one without what the canary has run.
    pub async fn ended(self, client: &Client) -> Result<Ended, Error> {
        let run = runs::describe(client, &self.plan.target()).await?;
        let counts = run.map_run().map(|it| it.items).unwrap_or_default();
        let state = run.state(Timestamp::now());
        let is_merged = self.plan.merges_with.is_some()
            && matches!(state, RunState::Succeeded | RunState::Part)
            // A mark names a child of the first run.
            && self.whole.chosen.children.is_empty();
        let rest = match is_merged {
            true => (self.plan.target(), self.whole),
            false => {
                let mut rest = self.whole;
                rest.left_out.extend(self.numbers);
                (self.plan.execution, rest)
            }
        };
        Ok(Ended {
            name: self.plan.name,
            state,
            succeeded: counts.succeeded,
            failed: counts.failures() + counts.aborted + counts.pending,
            rest,
        })
    }
}

impl Ended {
    /// Percent of its items that did not succeed.
    pub fn share(&self) -> f64 {
        self.failed as f64 * 100.0 / (self.succeeded + self.failed).max(1) as f64
    }

    /// `Err` says that more of it failed than is tolerated of the rest.
    pub fn tolerable(&self) -> Result<(), String> {
        let tolerated = self.rest.1.limits.tolerated_percentage.unwrap_or(0.0);
        match tolerated < self.share() {
            true => Err(format!(
                "{:.1} % of the canary failed and {tolerated} % are tolerated",
                self.share()
            )),
            false => Ok(()),
        }
    }

    /// `Err` says that more of it failed than a limit allows that was given.
    pub fn tolerable_rest(&self) -> Result<(), String> {
        match self.rest.1.limits.tolerated_percentage {
            Some(_) => self.tolerable(),
            None => Ok(()),
        }
    }

    pub fn words(&self) -> String {
        format!(
            "canary {} is {}: {} succeeded, {} failed ({:.1} %)",
            self.name,
            self.state.word(),
            self.succeeded,
            self.failed,
            self.share()
        )
    }
}
