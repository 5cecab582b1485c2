//! What re-runs have done for runs that left items open, as far as both are described.

use crate::model::ExecutionArn;
use crate::operations::lineage::{self, Healing};
use crate::operations::runs::Run;
use crate::tui::data::{Data, Remote};

impl Data {
    pub fn healing(&self, run: &ExecutionArn) -> Option<&Healing> {
        self.healings.get(run)
    }

    /// Looks again at a run of which something new is known, and at its kin.
    pub(super) fn heal(&mut self, arn: &ExecutionArn) {
        let Some(told) = self.run(arn) else {
            return;
        };
        let first = lineage::first_of(told);
        let runs = self.runs.values().filter_map(Remote::get);
        let kin: Vec<&Run> = runs.filter(|run| lineage::first_of(run) == first).collect();
        let found = kin.iter().map(|run| {
            let healing = lineage::healing(run, kin.iter().copied());
            (run.execution().arn.clone(), healing)
        });
        let found: Vec<(ExecutionArn, Option<Healing>)> = found.collect();
        for (run, healing) in found {
            match healing {
                Some(healing) => drop(self.healings.insert(run, healing)),
                None => drop(self.healings.remove(&run)),
            }
        }
    }
}
