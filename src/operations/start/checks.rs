//! What the state machine itself lets one know before a start.

use std::time::Duration;

use futures::future::try_join_all;
use serde_json::Value;

use crate::client::{Client, Error, Identity};
use crate::model::{StateMachineArn, Status, figures};
use crate::operations::start::{Plan, needs};
use crate::operations::{Check, shell_word};

/// Executions that tell how long this one may take.
const LAST: u16 = 3;
/// Places of the input that are named.
const NAMED: usize = 5;
/// The function by which the shipped workflow is known.
const SHIPPED: &str = "fanout-preprocess";

/// Map Runs that an account may have open at once; further ones wait.
const MAP_RUNS: usize = 1_000;
/// Running executions listed, and those of them whose Map Runs are looked at.
const RUNNING: u16 = 1_000;
const LOOKED_AT: usize = 10;
/// How long the answer to who is signed in is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who is signed in. Not to know it blocks nothing: whether one may start is answered by the
/// services that are asked to, and the one that knows names may be another's, or out of reach.
pub async fn of_sign_in(client: &Client) -> Check {
    let why = match tokio::time::timeout(PATIENCE, client.identity()).await {
        Ok(Ok(identity)) => return signed_in(&identity),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} s", PATIENCE.as_secs()),
    };
    Check::notice(format!("who is signed in is not known: {why}"))
}

fn signed_in(identity: &Identity) -> Check {
    let ends = identity.ends.map(|ends| ends.strftime("%H:%MZ"));
    let ends = ends.map_or_else(String::new, |at| format!(", until {at}"));
    Check::good(format!(
        "signed in as {}, account {}{ends}",
        identity.role(),
        identity.account
    ))
}

/// How much of the account's Map Runs this machine's running executions have taken.
async fn of_map_runs(client: &Client, machine: &StateMachineArn) -> Check {
    match open_map_runs(client, machine).await {
        Ok(open) => open.check(),
        Err(error) => Check::notice(format!("open Map Runs are not known: {error}")),
    }
}

async fn open_map_runs(client: &Client, machine: &StateMachineArn) -> Result<Open, Error> {
    let running = client
        .executions(machine, Some(Status::Running), RUNNING, None)
        .await?;
    let newest = running.items.iter().take(LOOKED_AT);
    let looked_at = try_join_all(newest.map(|it| client.open_map_runs(&it.arn))).await?;
    Ok(Open {
        executions: running.items.len(),
        looked_at: looked_at.len(),
        map_runs: looked_at.iter().sum(),
    })
}

/// Running executions, how many of them were looked at, and the open Map Runs of those.
#[derive(Debug)]
struct Open {
    executions: usize,
    looked_at: usize,
    map_runs: usize,
}

impl Open {
    fn check(&self) -> Check {
        let count = |number: usize, one: &str, many: &str| {
            let word = if number == 1 { one } else { many };
            format!("{} {word}", figures::count(number as u64))
        };
        let open = count(self.map_runs, "open Map Run", "open Map Runs");
        let quota = figures::count(MAP_RUNS as u64);
        let told = if self.looked_at < self.executions {
            let all = count(self.executions, "run goes on", "runs go on");
            format!(
                "{all}; the newest {} have {open} of the account's {quota}",
                self.looked_at
            )
        } else {
            format!("{open} of this machine, of the account's {quota}")
        };
        // Each of the others has one at the least, or will have.
        let least = self.map_runs + (self.executions - self.looked_at);
        match least < MAP_RUNS {
            true => Check::good(told),
            false => Check::notice(format!("{told}: a further one waits until others end")),
        }
    }
}

/// Checks of the state machine. What cannot be read is said, and blocks nothing: the start will
/// tell.
pub async fn of_machine(client: &Client, plan: &Plan) -> Vec<Check> {
    let mut checks = Vec::new();
    let machine = client.state_machine(&plan.machine).await;
    let kind = machine.as_ref().ok().and_then(|it| it.kind.clone());
    let is_express = kind.as_deref() == Some("EXPRESS");
    match machine {
        Ok(machine) => {
            if is_express {
                checks.push(Check::notice(
                    "the state machine is EXPRESS: its executions are neither listed nor kept, and \
                     a second start is a second execution",
                ));
            }
            checks.extend(request_url(&machine.definition, &plan.input));
            checks.extend(unmet(&machine.definition, &plan.input, plan.machine.name()));
        }
        Err(error) => checks.push(Check::notice(format!("not checked: {error}"))),
    }
    // Executions of an Express machine are not listed, and have no Map Runs.
    if is_express {
        return checks;
    }
    checks.push(of_map_runs(client, &plan.machine).await);
    let last = client
        .executions(&plan.machine, Some(Status::Succeeded), LAST, None)
        .await;
    if let Ok(page) = last {
        let took = page.items.iter().filter_map(|it| {
            let stopped = it.stopped?;
            Some(stopped.duration_since(it.started).as_secs().max(0))
        });
        checks.extend(durations(&took.collect::<Vec<_>>()));
    }
    checks
}

/// The shipped workflow asks the URL of its input, or else one that its deployment names.
fn request_url(definition: &str, input: &Value) -> Option<Check> {
    let is_shipped = definition.contains(SHIPPED);
    let is_missing = input.pointer("/request/url").is_none();
    (is_shipped && is_missing).then(|| {
        Check::notice(
            "the input gives no request.url: unless the deployment names a service to ask, the run \
             fails in its first state. Such as {\"request\": {\"url\": \"https://…/{line}\"}}",
        )
    })
}

/// What the definition of somebody else's state machine reads and the input does not have.
fn unmet(definition: &str, input: &Value, machine: &str) -> Option<Check> {
    let is_shipped = definition.contains(SHIPPED);
    let definition: Value = serde_json::from_str(definition).ok()?;
    let missing = needs::missing(&definition, input);
    let first = missing.first().filter(|_| !is_shipped)?;
    let mut names: Vec<&str> = missing
        .iter()
        .take(NAMED)
        .map(|it| it.path.as_str())
        .collect();
    if NAMED < missing.len() {
        names.push("…");
    }
    Some(Check::notice(format!(
        "the input does not have {}, which the definition reads (at {}): --template {} fills in \
         what can be known, and `fanout check {} --input` prints it",
        names.join(", "),
        first.place,
        needs::TEMPLATE,
        shell_word(machine),
    )))
}

fn durations(seconds: &[i64]) -> Option<Check> {
    let (shortest, longest) = (seconds.iter().min()?, seconds.iter().max()?);
    let told = |seconds: i64| match seconds {
        0..120 => format!("{seconds} s"),
        _ => format!("{} min", (seconds + 30) / 60),
    };
    let (shortest, longest) = (told(*shortest), told(*longest));
    let span = match shortest == longest {
        true => shortest,
        false => format!("{shortest} to {longest}"),
    };
    Some(Check::good(match seconds.len() {
        1 => format!("the last run took {span}"),
        count => format!("the last {count} runs took {span}"),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::Verdict;

    #[test]
    fn a_missing_url_is_said_of_the_shipped_workflow_only() {
        let shipped = include_str!("../../../assets/workflow.asl.json");
        let missing = request_url(shipped, &json!({"source": {}})).expect("said");
        assert_eq!(missing.verdict, Verdict::Notice);
        assert!(missing.text.contains("request.url"));
        let given = json!({"request": {"url": "http://h/{line}"}});
        assert_eq!(request_url(shipped, &given), None);
        assert_eq!(request_url("{}", &json!({})), None);
    }

    #[test]
    fn who_is_signed_in_and_until_when() {
        let mut identity = Identity {
            account: "472100009012".to_owned(),
            arn: "arn:aws:sts::472100009012:assumed-role/DataOps/me".to_owned(),
            ends: None,
        };
        assert_eq!(
            signed_in(&identity).text,
            "signed in as DataOps, account 472100009012"
        );
        identity.ends = Some("2026-11-23T21:10:00Z".parse().unwrap());
        let said = signed_in(&identity);
        assert_eq!(
            (said.text.as_str(), said.verdict),
            (
                "signed in as DataOps, account 472100009012, until 21:10Z",
                Verdict::Good
            )
        );
    }

    #[test]
    fn open_map_runs_are_told_against_the_quota() {
        let check = |executions, looked_at, map_runs| {
            let open = Open {
                executions,
                looked_at,
                map_runs,
            };
            open.check()
        };
        let none = check(0, 0, 0);
        assert_eq!(
            (none.text.as_str(), none.verdict),
            (
                "0 open Map Runs of this machine, of the account's 1,000",
                Verdict::Good
            )
        );
        assert!(check(1, 1, 1).text.starts_with("1 open Map Run of this"));
        let many = check(40, 10, 12);
        assert_eq!(
            (many.text.as_str(), many.verdict),
            (
                "40 runs go on; the newest 10 have 12 open Map Runs of the account's 1,000",
                Verdict::Good
            )
        );
        let full = check(1_000, 10, 10);
        assert_eq!(full.verdict, Verdict::Notice);
        assert!(full.text.ends_with("a further one waits until others end"));
    }

    #[test]
    fn what_another_machine_reads_is_named_with_who_reads_it() {
        let definition = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "End": true,
            "ItemReader": {"Parameters": {"Bucket.$": "$.bucket", "Key.$": "$.key"}}}}})
        .to_string();
        let unmet = |input| unmet(&definition, &input, "m");
        let check = unmet(json!({"source": {"key": "k"}, "bucket": "b"})).expect("said");
        assert_eq!(check.verdict, Verdict::Notice);
        for part in [
            "not have key,",
            "/States/M/ItemReader/Parameters/Key.$",
            "@machine",
        ] {
            assert!(check.text.contains(part), "{part}: {}", check.text);
        }
        assert_eq!(unmet(json!({"bucket": "b", "key": "k"})), None);
    }

    #[test]
    fn how_long_it_took_is_a_span() {
        let text = |seconds: &[i64]| durations(seconds).map(|it| it.text);
        assert_eq!(
            text(&[2_300, 2_460, 2_400]).as_deref(),
            Some("the last 3 runs took 38 min to 41 min")
        );
        assert_eq!(text(&[7]).as_deref(), Some("the last run took 7 s"));
        assert_eq!(text(&[]), None);
    }
}
