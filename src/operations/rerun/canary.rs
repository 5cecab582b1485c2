//! A canary: a few of each group first, as a run of their own, and what is left after it.

use std::collections::BTreeSet;

use super::gather::Subset;
use super::{Plan, Wish, plan};
use crate::client::Client;
use crate::model::{ExecutionArn, Prices, RunState, Timestamp, figures};
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

/// Whether there is more to run after a canary, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// A question.
    Some(String),
    /// Everything that was chosen has succeeded.
    None(String),
    /// Not everything has, and there is nothing more to run.
    Impossible(String),
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
        let has_ended_well = matches!(self.state, RunState::Succeeded | RunState::Part);
        if !has_ended_well && self.failed == 0 {
            return Err(format!("the canary itself is {}", self.state.word()));
        }
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

    /// What there is besides the canary.
    pub fn rest_words(&self, rest: &Plan) -> Rest {
        let all = figures::count(self.succeeded + self.failed);
        let left = figures::count(rest.items);
        let failed = figures::count(self.failed);
        let has_failed_again = self.rest_is_of_canary() && 0 < self.failed;
        match (&rest.allowed, rest.items) {
            (Err(reason), 0) if self.state != RunState::Succeeded && rest.source.is_empty() => {
                Rest::Impossible(format!("the rest cannot be run: {reason}"))
            }
            (_, 0) if self.failed == 0 => Rest::None(format!(
                "the canary ran all {all} items that were chosen, and all of them succeeded"
            )),
            (_, 0) => Rest::Impossible(format!(
                "the canary ran all {all} items that were chosen, and {failed} of them did not succeed"
            )),
            _ if has_failed_again => Rest::Some(format!(
                "run the {left} items that are left? {failed} of them have just failed in the canary"
            )),
            _ => Rest::Some(format!("run the other {left} items?")),
        }
    }

    /// Whether the rest is chosen from what the canary has written: then it has what failed there.
    fn rest_is_of_canary(&self) -> bool {
        self.rest.0.name() == self.name
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::runs::tests::{execution, run};

    fn rest(items: u64, failed: u64, of: &str) -> Rest {
        let state = match failed {
            0 => RunState::Succeeded,
            _ => RunState::Part,
        };
        let first = run(crate::model::Status::Succeeded, Vec::new());
        let arn = execution(of, crate::model::Status::Succeeded).arn;
        let ended = Ended {
            name: "canary".to_owned(),
            state,
            succeeded: 9 - failed,
            failed,
            rest: (arn, Wish::default()),
        };
        let mut plan = Plan::empty(&first, Wish::default(), Timestamp::UNIX_EPOCH);
        "FAILED_0.json".clone_into(&mut plan.source);
        plan.items = items;
        ended.rest_words(&plan)
    }

    #[test]
    fn what_is_left_after_a_canary_is_told_as_it_is() {
        let told = |rest: Rest| match rest {
            Rest::Some(words) | Rest::None(words) | Rest::Impossible(words) => words,
        };
        for (found, words) in [
            (rest(3, 0, "run"), "run the other 3 items?"),
            (
                rest(3, 2, "canary"),
                "run the 3 items that are left? 2 of them have just failed in the canary",
            ),
            (
                rest(0, 0, "canary"),
                "the canary ran all 9 items that were chosen, and all of them succeeded",
            ),
            (
                rest(0, 2, "run"),
                "the canary ran all 9 items that were chosen, and 2 of them did not succeed",
            ),
        ] {
            assert_eq!(told(found), words);
        }
        assert!(matches!(rest(0, 2, "run"), Rest::Impossible(_)));
        assert!(matches!(rest(0, 0, "run"), Rest::None(_)));
    }
}
