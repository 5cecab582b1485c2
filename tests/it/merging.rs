//! Whatever fails, is redriven, run again or killed: the merged output is the input, mapped line by
//! line, without the lines that are still open.

use std::collections::BTreeSet;
use std::sync::Arc;

use fanout::model::{ExecutionArn, ExecutionDetail, ObjectAddress, Status};
use fanout::operations::merge::{self, Merged, To};
use fanout::operations::reconcile::{self, Reconciliation};
use fanout::operations::runs;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::plant::{BUCKET, Plant, answered};

/// One more attempt at a run's lines.
#[derive(Debug, Clone)]
struct Attempt {
    /// Lines that fail this time.
    failing: Vec<Index>,
    /// A redrive where the run can be redriven, else a re-run.
    redrives: bool,
    /// Lines of a re-run besides those that are open, and whether it runs all of these.
    others: Vec<Index>,
    runs_all: bool,
    /// Whether a re-run is merged with the newest output.
    merges: bool,
    tolerate: u32,
    /// The engine is killed once the workers have asked so often.
    killed_after: Option<usize>,
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let lines = || prop::collection::vec(any::<Index>(), 0..5);
    (
        lines(),
        any::<bool>(),
        prop::collection::vec(any::<Index>(), 0..2),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(0), Just(30), Just(100)],
        prop::option::weighted(0.3, 1usize..8),
    )
        .prop_map(
            |(failing, redrives, others, runs_all, merges, tolerate, killed_after)| Attempt {
                failing,
                redrives,
                others,
                runs_all,
                merges,
                tolerate,
                killed_after,
            },
        )
}

/// A run and all that was tried to make it whole.
struct Story {
    plant: Plant,
    lines: Vec<String>,
    run: ExecutionArn,
    /// Executions so far, to name the next one.
    count: u32,
    /// Output, failed lines and counts of the newest execution that has all lines.
    newest: Option<Value>,
    /// Lines that are known to have succeeded.
    succeeded: BTreeSet<u64>,
}

fn at(key: &str) -> Value {
    json!({"bucket": BUCKET, "key": key})
}

impl Story {
    async fn begin(lines: Vec<String>, first: &Attempt) -> Self {
        let mut plant = Plant::new().await;
        plant.small_files(700);
        let text = lines.join("\n") + "\n";
        plant.put("in/a.txt", text).await;
        plant.fail(chosen(&first.failing, lines.len()));
        let asked = plant.asked();
        let run = plant.start("a", &input(first.tolerate)).await;
        plant = killed(plant, &run, asked, first.killed_after).await;
        let mut story = Self {
            plant,
            lines,
            run: run.clone(),
            count: 0,
            newest: None,
            succeeded: BTreeSet::new(),
        };
        let ended = story.plant.ended(&run).await;
        story.take(&ended);
        story
    }

    /// Keeps the output when it has all lines.
    fn take(&mut self, ended: &ExecutionDetail) {
        let text = ended.output.as_deref();
        let output = text.map(|text| serde_json::from_str::<Value>(text).unwrap());
        if let Some(output) = output
            && output["counts"]["lines"] == self.lines.len()
        {
            self.newest = Some(output);
        }
    }

    async fn attempt(mut self, attempt: &Attempt, open: &[u64]) -> Self {
        let count = self.lines.len();
        self.plant.fail(chosen(&attempt.failing, count));
        let asked = self.plant.asked();
        let described = self.plant.client.execution(&self.run).await.unwrap();
        let can_redrive = described.execution.status == Status::Failed;
        let run = if attempt.redrives && can_redrive {
            self.plant.redrive(&self.run).await;
            self.run.clone()
        } else {
            let mut wanted: BTreeSet<u64> = chosen(&attempt.others, count).collect();
            let some = if attempt.runs_all {
                open.len()
            } else {
                open.len() / 2
            };
            wanted.extend(&open[..some]);
            if wanted.is_empty() {
                return self;
            }
            self.rerun(&wanted, attempt).await
        };
        self.plant = killed(self.plant, &run, asked, attempt.killed_after).await;
        let ended = self.plant.ended(&run).await;
        self.take(&ended);
        self
    }

    async fn rerun(&mut self, wanted: &BTreeSet<u64>, attempt: &Attempt) -> ExecutionArn {
        self.count += 1;
        let name = format!("a-r{}-{:08x}", self.count, self.count);
        let only = format!("reruns/{name}.jsonl");
        let line =
            |n: &u64| json!({"n": n, "line": self.lines[*n as usize - 1]}).to_string() + "\n";
        let text: String = wanted.iter().map(line).collect();
        self.plant.put(&only, text).await;
        let mut input = input(attempt.tolerate);
        input["only"] = at(&only);
        if let (true, Some(newest)) = (attempt.merges, &self.newest) {
            input["merge"] = json!({"output": newest["output"], "lines": self.lines.len(),
                "failed": newest.get("failed").unwrap_or(&Value::Null)});
        }
        self.plant.start(&name, &input).await
    }

    async fn reconciled(&self) -> Reconciliation {
        let run = runs::describe(&self.plant.client, &self.run).await.unwrap();
        let found = reconcile::of(&self.plant.client, &run, |_| {}).await;
        found.unwrap()
    }

    /// Reconciles and merges; returns the lines that are open.
    async fn check(&mut self) -> Vec<u64> {
        let found = self.reconciled().await;
        assert_eq!(found.lines, self.lines.len() as u64, "{found:?}");
        assert_eq!(found.missing.count, 0, "{found:?}");
        let kinds = [&found.failed, &found.never_started];
        let open: BTreeSet<u64> = kinds
            .iter()
            .flat_map(|it| it.first.iter().cloned().flatten())
            .collect();
        assert_eq!(
            open.len() as u64,
            found.lines - found.succeeded,
            "{found:?}"
        );
        // Nothing that has succeeded is ever lost again.
        assert!(open.is_disjoint(&self.succeeded), "{found:?}");
        self.succeeded = (1..=found.lines).filter(|n| !open.contains(n)).collect();

        let merged = self.merged().await;
        let expected: String = self
            .succeeded
            .iter()
            .map(|n| answered(&self.lines[*n as usize - 1]) + "\n")
            .collect();
        assert_eq!(self.text(&merged.output).await, expected, "{found:?}");
        assert_eq!(merged.failed.is_some(), !open.is_empty());
        if let Some(failed) = &merged.failed {
            let text = self.text(failed).await;
            let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["n"].as_u64();
            let left: Vec<u64> = text.lines().filter_map(number).collect();
            assert!(left.iter().eq(&open), "{left:?} {open:?}");
        }
        open.into_iter().collect()
    }

    /// Merges once broken off after its first bytes, and once to the end.
    async fn merged(&self) -> Merged {
        let client = &self.plant.client;
        let run = runs::describe(client, &self.run).await.unwrap();
        let plan = merge::plan(client, &run, None).await.unwrap();
        let begun = Arc::new(Notify::new());
        let told = Arc::clone(&begun);
        tokio::select! {
            _ = merge::run(client, &plan, move |_| told.notify_one()) => {}
            () = begun.notified() => {}
        }
        merge::run(client, &plan, |_| {}).await.unwrap()
    }

    async fn text(&self, to: &To) -> String {
        match to {
            To::Object(ObjectAddress { key, .. }) => self.plant.get(key).await.unwrap(),
            To::File(path) => panic!("{} was not asked for", path.display()),
        }
    }
}

fn input(tolerate: u32) -> Value {
    json!({"source": at("in/a.txt"), "output": {"key": "out/a.txt"}, "tolerate": tolerate,
        "concurrency": 3})
}

fn chosen(indices: &[Index], lines: usize) -> impl Iterator<Item = u64> {
    indices
        .iter()
        .map(move |index| index.index(lines) as u64 + 1)
}

async fn killed(plant: Plant, run: &ExecutionArn, asked: usize, after: Option<usize>) -> Plant {
    let Some(after) = after else { return plant };
    plant.asks_or_ends(run, asked + after).await;
    plant.reopen().await
}

async fn holds(lines: Vec<String>, attempts: Vec<Attempt>) {
    let mut story = Story::begin(lines, &attempts[0]).await;
    let mut open = story.check().await;
    for attempt in &attempts[1..] {
        story = story.attempt(attempt, &open).await;
        open = story.check().await;
    }
    // Repaired at last.
    let repaired = Attempt {
        failing: vec![],
        others: vec![],
        runs_all: true,
        killed_after: None,
        ..attempts[0].clone()
    };
    story = story.attempt(&repaired, &open).await;
    assert!(story.check().await.is_empty());
    assert!(story.reconciled().await.is_complete());
}

/// How many stories: `FANOUT_STORIES=500`.
fn stories() -> u32 {
    let wanted = std::env::var("FANOUT_STORIES").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: stories(),
        max_shrink_iters: 30,
        // A story that does not end takes a minute each time it is told.
        max_shrink_time: 120_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_merged_output_is_the_input_line_by_line(
        lines in prop::collection::vec("[a-c\"\\\\,{}\u{e9} ]{0,6}", 1..20),
        attempts in prop::collection::vec(any_attempt(), 1..5),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(holds(lines, attempts));
    }
}
