//! What running children again may cost and how long it may take, judged by children of the same
//! Map Run that have succeeded. List prices, nothing else.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Client;
use crate::model::{MapRun, Prices, Status, figures};

/// Children whose durations are looked at: one page of a listing.
const SAMPLE: u16 = 100;
/// Memory that an Express execution is billed for at the least, in GB.
const EXPRESS_GB: f64 = 64.0 / 1_024.0;
/// The smallest memory of a function, in GB. Its real one is not ours to ask.
const LAMBDA_GB: f64 = 128.0 / 1_024.0;
/// Express executions are billed in steps of this length, in seconds.
const EXPRESS_STEP: f64 = 0.1;

/// An estimate in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub parts: Vec<Part>,
    pub dollars: f64,
    /// Whether something is left out or taken at its smallest: the parts say what.
    pub at_least: bool,
    /// Finished children that it is judged by.
    pub sample: usize,
    /// `list prices of 2026-11-23, AWS Step Functions pricing, …`
    pub prices: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub what: String,
    pub detail: String,
    pub dollars: f64,
}

/// An estimate of how long it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Time {
    pub seconds: u64,
    pub items_per_second: f64,
    /// Where the rate is from.
    pub basis: String,
}

/// What children of a Map Run are, and how those took that have succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    pub children: usize,
    /// Mean, in seconds.
    pub seconds: f64,
    /// Mean of what an Express execution is billed for, in seconds.
    pub billed: f64,
    /// States that one of them passed through; of Standard children.
    pub transitions: Option<u64>,
}

/// Looks at the newest children that have succeeded: one listing, and the history of one Standard
/// child. `None` when none has.
pub async fn sample(client: &Client, map_run: &MapRun) -> Option<Sample> {
    let succeeded = Some(Status::Succeeded);
    let page = client.children(&map_run.arn, succeeded, SAMPLE, None).await;
    let rows = page.ok()?.items;
    let seconds: Vec<f64> = rows
        .iter()
        .filter_map(|row| {
            Some(
                row.stopped?
                    .duration_since(row.started)
                    .as_secs_f64()
                    .max(0.0),
            )
        })
        .collect();
    let first = rows.first().filter(|_| !seconds.is_empty())?;
    let billed = |seconds: &f64| (seconds / EXPRESS_STEP).ceil().max(1.0) * EXPRESS_STEP;
    let count = seconds.len() as f64;
    let transitions = match first.arn.is_express() {
        true => None,
        false => client
            .history(&first.arn, false, None)
            .await
            .ok()
            .map(|page| {
                let entered = page.items.iter();
                entered
                    .filter(|event| event.kind.ends_with("StateEntered"))
                    .count() as u64
            }),
    };
    Some(Sample {
        children: seconds.len(),
        seconds: seconds.iter().sum::<f64>() / count,
        billed: seconds.iter().map(billed).sum::<f64>() / count,
        transitions,
    })
}

/// What `starts` children cost. `processor` is the Map state's ItemProcessor.
pub fn of(prices: &Prices, processor: &Value, starts: u64, sample: &Sample) -> Cost {
    let (count, shown) = (starts as f64, figures::count(starts));
    let mut parts = Vec::new();
    let mut at_least = false;
    let functions = &prices.step_functions;
    if is_express(processor) {
        let requests = count / 1e6 * functions.express_requests_per_million;
        let gb_seconds = count * sample.billed * EXPRESS_GB;
        parts.push(Part {
            what: "Step Functions".to_owned(),
            detail: format!("{shown} Express starts × {:.1} s", sample.billed),
            dollars: requests + gb_seconds * functions.express_gb_second,
        });
    } else {
        at_least |= sample.transitions.is_none();
        let each = sample.transitions.unwrap_or(1).max(1);
        parts.push(Part {
            what: "Step Functions".to_owned(),
            detail: format!("{shown} Standard children × {each} transitions"),
            dollars: count * each as f64 / 1e3 * functions.transitions_per_1000,
        });
    }
    let calls = lambda_tasks(processor);
    if 0 < calls {
        at_least = true;
        let requests = count * calls as f64 / 1e6 * prices.lambda.requests_per_million;
        parts.push(Part {
            what: "Lambda".to_owned(),
            detail: format!("{shown} × {:.1} s at 128 MB, the smallest", sample.seconds),
            dollars: requests + count * sample.seconds * LAMBDA_GB * prices.lambda.gb_second,
        });
    }
    Cost {
        dollars: parts.iter().map(|part| part.dollars).sum(),
        parts,
        at_least,
        sample: sample.children,
        prices: format!(
            "list prices of {}: {}",
            prices.date,
            prices.sources.join(", ")
        ),
    }
}

/// How long `items` take: at the Map Run's own rate, or after a redrive, which makes its lifetime
/// mean little, at what its children take and how many run at once.
pub fn time(map_run: &MapRun, items: u64, sample: Option<&Sample>) -> Option<Time> {
    let lived = map_run
        .stopped?
        .duration_since(map_run.started)
        .as_secs_f64();
    let (rate, basis) = if map_run.redrive_count == 0 && 0.0 < lived && 0 < map_run.items.done() {
        let rate = map_run.items.done() as f64 / lived;
        (rate, "the mean of this run".to_owned())
    } else {
        let sample = sample.filter(|sample| 0.0 < sample.seconds)?;
        let at_once = match map_run.max_concurrency {
            0 => 10_000,
            most => most.min(10_000),
        };
        let at_once = at_once.min(items.max(1)) as f64;
        let batch = map_run.items.total.max(1) as f64 / map_run.executions.total.max(1) as f64;
        let basis = format!("{at_once:.0} at once, {:.1} s each", sample.seconds);
        (at_once * batch / sample.seconds, basis)
    };
    Some(Time {
        seconds: (items as f64 / rate).ceil() as u64,
        items_per_second: rate,
        basis,
    })
}

/// Whether the children of this ItemProcessor are EXPRESS; STANDARD is the service's default.
pub fn is_express(processor: &Value) -> bool {
    processor["ProcessorConfig"]["ExecutionType"] == "EXPRESS"
}

/// Task states that call Lambda, at any depth.
fn lambda_tasks(machine: &Value) -> u64 {
    let states = machine["States"].as_object().into_iter().flatten();
    states
        .map(|(_, state)| {
            let resource = state["Resource"].as_str().unwrap_or_default();
            let calls = resource.contains(":lambda:") && state["Type"] == "Task";
            let inner = ["ItemProcessor", "Iterator"].map(|name| lambda_tasks(&state[name]));
            let branches = state["Branches"].as_array().into_iter().flatten();
            u64::from(calls) + inner.iter().sum::<u64>() + branches.map(lambda_tasks).sum::<u64>()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::runs::tests::map_run;
    use super::*;
    use crate::model::Timestamp;

    fn prices() -> Prices {
        let mut prices = Prices {
            date: "2026-01-02".to_owned(),
            ..Prices::default()
        };
        prices.step_functions.transitions_per_1000 = 0.025;
        prices.step_functions.express_requests_per_million = 1.0;
        prices.step_functions.express_gb_second = 1.667e-5;
        prices.lambda.requests_per_million = 0.2;
        prices.lambda.gb_second = 1.666_67e-5;
        prices
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn standard_children_cost_by_their_transitions_and_express_ones_by_their_time() {
        let sample = Sample {
            children: 20,
            seconds: 9.75,
            billed: 9.8,
            transitions: Some(3),
        };
        let standard = json!({"States": {"A": {"Type": "Pass"}}});
        let cost = of(&prices(), &standard, 1_000_000, &sample);
        close(cost.dollars, 75.0);
        assert!(!cost.at_least);
        let express = json!({"ProcessorConfig": {"ExecutionType": "EXPRESS"}, "States": {
            "A": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke"}}});
        let cost = of(&prices(), &express, 1_000_000, &sample);
        close(cost.parts[0].dollars, 1.0 + 9.8e6 / 16.0 * 1.667e-5);
        close(cost.parts[1].dollars, 0.2 + 9.75e6 / 8.0 * 1.666_67e-5);
        assert!(cost.at_least && cost.prices.contains("2026-01-02"));
    }

    #[test]
    fn time_follows_from_the_runs_own_rate() {
        let mut map_run = map_run("a", Status::Failed, 10);
        map_run.stopped = Timestamp::from_second(10).ok();
        let found = time(&map_run, 4, None).expect("it has done something");
        assert_eq!((found.seconds, found.items_per_second), (2, 2.0));
        map_run.redrive_count = 1;
        assert_eq!(time(&map_run, 4, None), None);
        let sample = Sample {
            children: 1,
            seconds: 0.5,
            ..Sample::default()
        };
        let found = time(&map_run, 4, Some(&sample)).expect("judged by children");
        assert_eq!(found.seconds, 1);
    }
}
