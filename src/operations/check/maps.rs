//! Traps of Map states.

use serde_json::Value;

use super::Finding;
use super::places::{Place, arguments, fixed};
use crate::model::StateMachineDetail;
use crate::operations::rerun;

/// Children at once that a Map without a limit has.
const ALL_AT_ONCE: &str = "up to 10,000 children at once";

/// Of a Distributed Map every check; of an inline one what its being inline brings along.
pub fn findings(place: &Place, definition: &Value, detail: &StateMachineDetail) -> Vec<Finding> {
    if place.state["Type"] != "Map" {
        return Vec::new();
    }
    if !place.is_distributed() {
        return vec![inline(place)];
    }
    let mut findings = vec![
        results(place),
        concurrency(place),
        tolerance(place),
        retry(place),
        catch(place),
        tracing(place),
        label(place),
        children(place, detail),
    ];
    findings.extend(reader(place));
    findings.extend(batches(place));
    findings.extend(pretence(place));
    findings.extend(nested(place));
    findings.push(match rerun::obstacle(definition, place.label()) {
        None => Finding::good("rerun", &place.pointer, "chosen items can be run again"),
        Some(obstacle) => {
            let text = "chosen items cannot be run again in a new execution";
            Finding::info("rerun", &place.pointer, text).change(obstacle)
        }
    });
    findings
}

/// Buckets that the Map's reader and writer name, with the place of the name.
pub fn fixed_buckets(place: &Place) -> Vec<(String, String)> {
    if !place.is_distributed() {
        return Vec::new();
    }
    let fields = ["ItemReader", "ResultWriter"].into_iter();
    let named = fields.filter_map(|field| {
        let of = &place.state[field];
        let bucket = fixed(arguments(of), "Bucket")?;
        let form = match of.get("Parameters") {
            Some(_) => "Parameters",
            None => "Arguments",
        };
        let pointer = format!("{}/{field}/{form}/Bucket", place.pointer);
        Some((pointer, bucket.to_owned()))
    });
    named.collect()
}

fn inline(place: &Place) -> Finding {
    let text = "an inline Map: its iterations are part of the run";
    Finding::info("inline", &place.pointer, text)
        .why(
            "40 iterations at once, all in one history of 25,000 events; a failed one cannot be \
             redriven alone",
        )
        .change("for many items make it DISTRIBUTED")
}

fn results(place: &Place) -> Finding {
    const CHECK: &str = "result-writer";
    let writer = &place.state["ResultWriter"];
    if arguments(writer).is_object() {
        return Finding::good(CHECK, &place.pointer, "results go to S3");
    }
    Finding::warning(
        CHECK,
        &place.pointer,
        "no ResultWriter: results go into the state's output",
    )
    .why(
        "more than 256 KiB of them fail the run with States.DataLimitExceeded after all the \
             work is done, and a redrive then does all of it again; failures are counted exactly \
             only in result files",
    )
    .change(
        "add \"ResultWriter\": {\"Resource\": \"arn:aws:states:::s3:putObject\", \
             \"Parameters\": {\"Bucket\": …, \"Prefix\": …}}",
    )
}

fn concurrency(place: &Place) -> Finding {
    const CHECK: &str = "concurrency";
    let given = &place.state["MaxConcurrency"];
    match (place.has("MaxConcurrency"), given.as_u64()) {
        (true, Some(most @ 1..)) => {
            let text = format!("at most {most} children at once");
            Finding::good(CHECK, &place.pointer, text)
        }
        (true, None) => Finding::good(
            CHECK,
            &place.pointer,
            "the input limits the children at once",
        ),
        _ => Finding::warning(CHECK, &place.pointer, ALL_AT_ONCE)
            .why(
                "an account's functions have 1,000 calls at once together; whatever the children \
                 ask is asked that often",
            )
            .change("set MaxConcurrency, or MaxConcurrencyPath to choose it at the start"),
    }
}

/// Whether failures within limits are let pass: never, or by a share or count that is given.
fn tolerates(state: &Value) -> bool {
    ["ToleratedFailurePercentage", "ToleratedFailureCount"]
        .iter()
        .any(|field| {
            let given = &state[*field];
            let by_path = state.get(format!("{field}Path")).is_some();
            by_path || given.is_string() || given.as_f64().is_some_and(|it| 0.0 < it)
        })
}

fn tolerance(place: &Place) -> Finding {
    const CHECK: &str = "tolerance";
    let everything = place.state["ToleratedFailurePercentage"].as_f64() >= Some(100.0);
    match (tolerates(place.state), everything) {
        (_, true) => Finding::warning(CHECK, &place.pointer, "every item may fail")
            .why("a run of which nothing succeeded is SUCCEEDED, and nothing of it can be redriven")
            .change("set a ToleratedFailurePercentage that you would call a success"),
        (true, _) => Finding::info(CHECK, &place.pointer, "some items may fail").why(
            "a Map Run within its tolerance is SUCCEEDED: its failed items cannot be redriven, \
                 only run again in a new execution",
        ),
        (false, _) => Finding::info(CHECK, &place.pointer, "the first failed item fails the run")
            .why("the children that run are aborted; a redrive goes on with them")
            .change("set ToleratedFailurePercentage where the others should go on"),
    }
}

fn retry(place: &Place) -> Finding {
    const CHECK: &str = "map-retry";
    match place.state["Retry"].as_array().map(Vec::len) {
        None | Some(0) => Finding::good(CHECK, &place.pointer, "the Map itself is not retried"),
        Some(_) => Finding::warning(
            CHECK,
            &place.pointer,
            "Retry on the Map runs every item again",
        )
        .why("also those that have succeeded, in a Map Run of its own")
        .change("move Retry to the states of the ItemProcessor"),
    }
}

fn catch(place: &Place) -> Finding {
    const CHECK: &str = "map-catch";
    match place.state["Catch"].as_array().map(Vec::len) {
        None | Some(0) => Finding::good(CHECK, &place.pointer, "the Map's failure is not caught"),
        Some(_) => Finding::warning(
            CHECK,
            &place.pointer,
            "Catch on the Map keeps it from a redrive",
        )
        .why("a caught failure counts as dealt with: a redrive does not run its items")
        .change("take the Catch away, or let it tell somebody and end in Fail knowing this"),
    }
}

/// Whether a child can be led back to its item.
fn tracing(place: &Place) -> Finding {
    const CHECK: &str = "item-origin";
    let selector = place.state.get("ItemSelector");
    let selector = selector.or_else(|| place.state.get("Parameters"));
    let words = selector.map(Value::to_string).unwrap_or_default();
    let carries = |field: &str| words.contains(&format!("Map.Item.{field}"));
    // A number that the item itself has does as well, and is how our own workflow does it.
    if carries("Index") || carries("Value.n\"") {
        return Finding::good(CHECK, &place.pointer, "children know which item is theirs");
    }
    let text = "children do not know which item is theirs";
    Finding::info(CHECK, &place.pointer, text)
        .why("the line of a failed item can only be looked for by its content")
        .change(
            "add to ItemSelector: \"index.$\": \"$$.Map.Item.Index\" (in JSONata: \"index\": \"{% \
             $states.context.Map.Item.Index %}\"), and \"item.$\": \"$$.Map.Item.Value\"",
        )
}

fn label(place: &Place) -> Finding {
    const CHECK: &str = "label";
    match place.state["Label"].as_str() {
        Some(label) => Finding::good(CHECK, &place.pointer, format!("its Label is {label}")),
        None => Finding::info(CHECK, &place.pointer, "no Label: the service makes one up")
            .why("it is part of the children's ARNs, which policies and metrics name")
            .change("give it a Label"),
    }
}

fn children(place: &Place, detail: &StateMachineDetail) -> Finding {
    const CHECK: &str = "children";
    if place.is_express_map() {
        return Finding::info(CHECK, &place.pointer, "children are EXPRESS")
            .why(
                "they end after 5 minutes, go on when the run is stopped, have no history, and \
                 start over on a redrive: what they do must bear being done twice",
            )
            .change("where that does not do, make them STANDARD");
    }
    let action = format!("states:RedriveExecution on {}", child_arns(place, detail));
    Finding::info(CHECK, &place.pointer, "children are STANDARD")
        .why(
            "a redrive resumes each where it failed, and is refused child by child without a right",
        )
        .change(format!("allow the role {action}"))
}

/// The ARNs of a Map's children.
pub fn child_arns(place: &Place, detail: &StateMachineDetail) -> String {
    let prefix = detail
        .arn
        .as_str()
        .replacen(":stateMachine:", ":execution:", 1);
    match place.state["Label"].as_str() {
        Some(label) => format!("{prefix}/{label}:*"),
        None => format!("{prefix}/*:*"),
    }
}

fn reader(place: &Place) -> Vec<Finding> {
    const CHECK: &str = "reader";
    let reader = &place.state["ItemReader"];
    let pointer = format!("{}/ItemReader", place.pointer);
    let Some(resource) = reader["Resource"].as_str() else {
        let text = "items come from the state's input: 256 KiB of them at most";
        let found = Finding::info(CHECK, &place.pointer, text);
        return vec![found.change("for more give it an ItemReader")];
    };
    let config = &reader["ReaderConfig"];
    let mut findings = Vec::new();
    let lists = resource.ends_with(":s3:listObjectsV2");
    if lists && config.get("Transformation").is_none_or(|it| it == "NONE") {
        let text = "objects are listed, and markers of folders are objects";
        findings.push(
            Finding::warning(CHECK, &pointer, text)
                .why("an object of no bytes whose key ends with / becomes an item too")
                .change("let the ItemProcessor begin with a Choice that ends where $.Size is 0"),
        );
    } else if config["InputType"] == "CSV" {
        let text = "delimited text: every value is a text, fields too many are dropped";
        findings.push(Finding::info(CHECK, &pointer, text));
    } else if config.get("ManifestType").is_some() || config["InputType"] == "MANIFEST" {
        let text = "the object names others that have the items";
        findings.push(
            Finding::info(CHECK, &pointer, text)
                .why("an item is a row of any of them: its line in a file is not known"),
        );
    } else if config["InputType"] == "PARQUET" {
        let text = "items are rows of a Parquet file, which has no lines";
        findings.push(
            Finding::info(CHECK, &pointer, text)
                .why("failed items are told by their content and index only")
                .change("for chosen ones to run again, let it read JSONL"),
        );
    } else {
        findings.push(Finding::good(CHECK, &pointer, "items are read from S3"));
    }
    if config.get("MaxItems").is_some_and(|most| most != 0) {
        let text = format!("only the first {} items are read", config["MaxItems"]);
        let place = format!("{pointer}/ReaderConfig/MaxItems");
        findings
            .push(Finding::warning("max-items", &place, text).why("the rest is left out silently"));
    }
    findings
}

fn batches(place: &Place) -> Option<Finding> {
    const CHECK: &str = "batch";
    let batcher = place.state.get("ItemBatcher")?;
    let pointer = format!("{}/ItemBatcher", place.pointer);
    let text = "a child gets a batch: one item that fails fails them all";
    let found =
        Finding::info(CHECK, &pointer, text).why("which item it was is in the error at best");
    let is_chosen =
        batcher.get("MaxItemsPerBatchPath").is_some() || batcher["MaxItemsPerBatch"].is_string();
    Some(match is_chosen {
        true => found,
        false => found.change(
            "take the size from the input (\"MaxItemsPerBatchPath\": \"$$.Execution.Input.batch\"): \
             failed batches can then be run again item by item",
        ),
    })
}

/// A state after a tolerant Map that fails the run, for it to be redriven.
fn pretence(place: &Place) -> Option<Finding> {
    let next = place.state["Next"].as_str()?;
    let choice = &place.siblings[next];
    if choice["Type"] != "Choice" || !tolerates(place.state) {
        return None;
    }
    let choices = choice["Choices"].as_array().into_iter().flatten();
    let ways = choices.filter_map(|it| it["Next"].as_str());
    let mut ways = ways.chain(choice["Default"].as_str());
    let fails = ways.any(|way| place.siblings[way]["Type"] == "Fail");
    fails.then(|| {
        let text = format!("{next} may fail the run after a Map that has succeeded");
        Finding::warning("choice-fail", &place.pointer, text)
            .why("a redrive then goes on at Fail: the Map is done, and its items do not run again")
            .change("lower the tolerance instead")
    })
}

fn nested(place: &Place) -> Option<Finding> {
    const CHECK: &str = "nested";
    place.children_of?;
    if place.is_in_express() {
        let text = "a Distributed Map cannot run in EXPRESS children";
        let found = Finding::bad(CHECK, &place.pointer, text);
        return Some(found.change("make the outer Map's children STANDARD"));
    }
    let text = "each child of the outer Map opens a Map Run of its own";
    Some(
        Finding::warning(CHECK, &place.pointer, text)
            .why("an account has 1,000 open at once; more wait with all counts at zero")
            .change("keep the outer MaxConcurrency well below 1,000"),
    )
}
