//! Whether re-runs have made up for what a run left open, as far as counts alone can tell: nothing is
//! read for it.

use serde::Serialize;
use serde_json::Value;

use super::find::parsed;
use crate::model::Status;
use crate::operations::rerun::Link;
use crate::operations::runs::Run;

/// The re-run that matters to a run which has left items open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Healing {
    /// Its name.
    pub by: String,
    /// Whether nothing at all is open any more. Else it has run some of the items, or it is not known
    /// whether those were all.
    pub is_whole: bool,
}

impl Healing {
    /// `healed by a-r1-0123abcd`.
    pub fn words(&self) -> String {
        match self.is_whole {
            true => format!("healed by {}", self.by),
            false => format!("re-run by {}", self.by),
        }
    }
}

/// What `others` have done for `run`; `None` where nothing is open or none of them is its re-run.
///
/// Three things are certain: an output that a re-run has merged and that has all lines; a re-run of
/// everything that has lost nothing; and a re-run of as many items as were open, all of which
/// succeeded, where the Map Run had read all its items.
pub fn healing<'r>(run: &Run, others: impl IntoIterator<Item = &'r Run>) -> Option<Healing> {
    let map_run = run.map_run().filter(|it| it.status.is_closed())?;
    let open = map_run.items.total - map_run.items.succeeded.min(map_run.items.total);
    if open == 0 {
        return None;
    }
    let (name, first) = (&run.execution().name, first_of(run));
    let is_kin = |other: &&Run| {
        let machine = &run.execution().state_machine;
        other.execution().state_machine == *machine
            && Link::of(&other.detail).is_some_and(|link| link.first == first)
    };
    let mut kin: Vec<&Run> = others.into_iter().filter(is_kin).collect();
    kin.sort_by_key(|other| other.execution().started);
    let mine = |other: &&&Run| Link::of(&other.detail).is_some_and(|link| link.run == *name);
    let newest = kin.iter().rev().find(mine).map(|it| &it.execution().name);
    let whole = kin.iter().find(|other| {
        is_merged_whole(other) || is_everything(other, name, &first, map_run.items.total)
    });
    let whole = whole.copied().or_else(|| {
        // Who has not read all its items may have left more open than it counts.
        let is_read = map_run.status == Status::Succeeded;
        is_read.then(|| closes(name, open, &kin)).flatten()
    });
    match (whole, newest) {
        (Some(other), _) => Some(Healing {
            by: other.execution().name.clone(),
            is_whole: true,
        }),
        (None, newest) => newest.map(|newest| Healing {
            by: newest.clone(),
            is_whole: false,
        }),
    }
}

/// The name of the first run of those that `run` belongs to, which may be itself.
pub fn first_of(run: &Run) -> String {
    let linked = Link::of(&run.detail).map(|link| link.first);
    linked.unwrap_or_else(|| run.execution().name.clone())
}

/// Whether its output has every line of the first run.
fn is_merged_whole(run: &Run) -> bool {
    let (input, output) = (&run.detail.input, &run.detail.output);
    let (input, output) = (parsed(input.as_deref()), parsed(output.as_deref()));
    let lines = input["merge"]["lines"].as_u64();
    let count = |name: &str| output["counts"][name].as_u64();
    run.execution().status == Status::Succeeded
        && !matches!(output["output"], Value::Null)
        && lines.is_some()
        && (count("lines"), count("succeeded")) == (lines, lines)
}

/// Whether it has run everything of the run or of the first one, at least so many items, and all of
/// them have succeeded.
fn is_everything(other: &Run, run: &str, first: &str, least: u64) -> bool {
    let of = Link::of(&other.detail).filter(|link| link.everything);
    let items = other.map_run().map(|it| it.items).unwrap_or_default();
    other.execution().status == Status::Succeeded
        && of.is_some_and(|link| link.run == run || link.run == first)
        && least <= items.total
        && items.succeeded == items.total
}

/// The last of a chain of re-runs, each of all that the one before it left open.
fn closes<'r>(name: &str, open: u64, kin: &[&'r Run]) -> Option<&'r Run> {
    kin.iter().enumerate().find_map(|(at, other)| {
        let items = other.map_run()?.items;
        if Link::of(&other.detail)?.run != name || items.total != open {
            return None;
        }
        match open - items.succeeded.min(open) {
            0 => Some(*other),
            // Re-runs are newer than what they are of, so this ends.
            left => closes(&other.execution().name, left, &kin[at + 1..]),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Timestamp;
    use crate::operations::runs::tests::{execution, map_run, run};

    fn first(status: Status, failed: u64) -> Run {
        let mut first = run(Status::Succeeded, vec![map_run("a", status, failed)]);
        first.detail.execution = execution("a", Status::Succeeded);
        first
    }

    /// A re-run of `all` items of `of`.
    fn again(of: &str, name: &str, at: i64, all: u64, failed: u64) -> Run {
        let mut map_run = map_run(name, Status::Succeeded, failed);
        map_run.items.total = all;
        map_run.items.succeeded = all - failed;
        let mut again = run(Status::Succeeded, vec![map_run]);
        again.detail.execution = execution(name, Status::Succeeded);
        again.detail.execution.started = Timestamp::from_second(at).expect("a small number");
        let key = format!("fanout/reruns/a/{of}/{name}/only.jsonl");
        again.detail.input = Some(json!({"key": key}).to_string());
        again
    }

    fn healed(run: &Run, others: &[Run]) -> Option<(String, bool)> {
        healing(run, others).map(|it| (it.by, it.is_whole))
    }

    #[test]
    fn a_chain_of_re_runs_of_all_that_was_open_heals() {
        let lost = first(Status::Succeeded, 5);
        assert_eq!(healed(&lost, &[]), None);
        assert_eq!(healed(&first(Status::Succeeded, 0), &[]), None);
        let some = again("a", "b", 1, 3, 0);
        let other = again("a", "c", 2, 3, 0);
        let both = [some, other.clone()];
        assert_eq!(healed(&lost, &both), Some(("c".to_owned(), false)));
        let all = again("a", "d", 3, 5, 2);
        let tried = [other, all.clone()];
        assert_eq!(healed(&lost, &tried), Some(("d".to_owned(), false)));
        let chain = [all, again("d", "e", 4, 2, 0)];
        assert_eq!(healed(&lost, &chain), Some(("e".to_owned(), true)));
        // The one in between has been healed by it too.
        assert_eq!(healed(&chain[0], &chain), Some(("e".to_owned(), true)));
    }

    #[test]
    fn a_re_run_of_everything_heals_whatever_it_is_called() {
        let lost = first(Status::Failed, 5);
        let total = lost.map_runs[0].items.total;
        let everything = |failed: u64| {
            let mut all = again("a", "once-more", 1, total, failed);
            all.detail.input.clone_from(&lost.detail.input);
            let mut link = Link::new(&lost.detail, "once-more");
            link.everything = true;
            all.detail.trace_header = link.trace_header(Timestamp::UNIX_EPOCH);
            all
        };
        let found = healed(&lost, &[everything(0)]);
        assert_eq!(found, Some(("once-more".to_owned(), true)));
        let found = healed(&lost, &[everything(1)]);
        assert_eq!(found, Some(("once-more".to_owned(), false)));
    }

    #[test]
    fn who_has_not_read_all_is_not_healed_by_counts() {
        let all = [again("a", "b", 1, 5, 0)];
        let tripped = first(Status::Failed, 5);
        assert_eq!(healed(&tripped, &all), Some(("b".to_owned(), false)));
    }

    #[test]
    fn a_merged_output_with_all_lines_heals_and_one_with_open_lines_does_not() {
        let mut merged = again("a", "b", 1, 2, 0);
        let key = "fanout/reruns/a/a/b/only.jsonl";
        let input = json!({"only": {"key": key}, "merge": {"lines": 15}});
        merged.detail.input = Some(input.to_string());
        let with = |succeeded: u64| {
            let counts = json!({"lines": 15, "succeeded": succeeded});
            Some(json!({"output": {"key": "k"}, "counts": counts}).to_string())
        };
        merged.detail.output = with(14);
        let lost = first(Status::Succeeded, 5);
        let found = healed(&lost, std::slice::from_ref(&merged));
        assert_eq!(found, Some(("b".to_owned(), false)));
        merged.detail.output = with(15);
        assert_eq!(healed(&lost, &[merged]), Some(("b".to_owned(), true)));
    }
}
