//! What the state machine itself lets one know before a start.

use serde_json::Value;

use crate::client::Client;
use crate::model::Status;
use crate::operations::Check;
use crate::operations::start::Plan;

/// Executions that tell how long this one may take.
const LAST: u16 = 3;
/// The function by which the shipped workflow is known.
const SHIPPED: &str = "fanout-preprocess";

/// Checks of the state machine. What cannot be read is said, and blocks nothing: the start will
/// tell.
pub async fn of_machine(client: &Client, plan: &Plan) -> Vec<Check> {
    let mut checks = Vec::new();
    match client.state_machine(&plan.machine).await {
        Ok(machine) => {
            if machine.kind.as_deref() == Some("EXPRESS") {
                checks.push(Check::notice(
                    "the state machine is EXPRESS: its executions are neither listed nor kept, and \
                     a second start is a second execution",
                ));
            }
            checks.extend(request_url(&machine.definition, &plan.input));
        }
        Err(error) => checks.push(Check::notice(format!("not checked: {error}"))),
    }
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
