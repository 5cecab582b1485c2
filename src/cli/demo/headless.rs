//! The demo without a screen: from start to healed output, every step checked.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Stage, WIDE_TOLERANCE};
use crate::cli::exit::{Error, Exit};
use crate::cli::failures::group_lines;
use crate::cli::follow::{follow, wait_for};
use crate::cli::output::{Output, VERSION};
use crate::cli::views;
use crate::model::figures;
use crate::model::{ExecutionArn, RunState, Timestamp};
use crate::operations::outputs::{self, Kind};
use crate::operations::runs::Run;
use crate::operations::{failures, redrive};

/// What any step may take before something must be wrong.
const STEP: Duration = Duration::from_mins(5);
/// Failures read of the first run.
const FAILURES: usize = 1_000_000;

pub async fn run(stage: &Stage, out: &mut Output) -> Result<(), Error> {
    let lines = stage.lines.len() as u64;
    say(
        out,
        format!(
            "{} lines in {}",
            figures::count(lines),
            stage.file.display()
        ),
    )?;
    let (first, report) = fail_first(stage, out).await?;
    let healed = heal(stage, &first, out).await?;
    let second = end_part(stage, out).await?;
    if !out.is_text() {
        out.document(&json!({
            "version": VERSION, "lines": lines, "first": report, "healed": healed, "second": second,
        }))?;
    }
    say(out, "everything is as it should be".to_owned())
}

fn say(out: &mut Output, text: String) -> Result<(), Error> {
    match out.is_text() {
        true => out.line(text),
        false => Ok(()),
    }
}

/// What is not as it should be.
fn mismatch(text: impl Into<String>) -> Error {
    Error::new(
        Exit::Failed,
        format!("the demo went wrong: {}", text.into()),
    )
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Error> {
    match holds {
        true => Ok(()),
        false => Err(mismatch(otherwise())),
    }
}

async fn ended(stage: &Stage, execution: &ExecutionArn) -> Result<Run, Error> {
    let client = &stage.session.client;
    wait_for(
        &stage.session,
        Some(STEP),
        stage
            .session
            .command("wait", std::slice::from_ref(execution)),
        follow(client, execution, |_| Ok(())),
    )
    .await
}

fn expect_state(run: &Run, expected: RunState) -> Result<(), Error> {
    let now = Timestamp::now();
    let state = run.state(now);
    expect(state == expected, || {
        format!(
            "{} should be {}, and: {}",
            run.execution().name,
            expected.word(),
            views::summary(run, now)
        )
    })
}

/// Starts the run whose failures exceed its tolerance, and explains them.
async fn fail_first(stage: &Stage, out: &mut Output) -> Result<(ExecutionArn, Value), Error> {
    let service = &stage.services[0];
    let failing = stage.failing(service);
    let execution = stage.start(service, stage.narrow_tolerance()).await?;
    let run = ended(stage, &execution).await?;
    say(out, views::summary(&run, Timestamp::now()))?;
    if failing.is_empty() {
        expect_state(&run, RunState::Succeeded)?;
        say(
            out,
            "no line fails with this seed and share: there is nothing to repair".to_owned(),
        )?;
        return Ok((execution, json!({"run": run.execution().name, "failed": 0})));
    }
    expect_state(&run, RunState::Failed)?;
    let map_run = run
        .map_run()
        .ok_or_else(|| mismatch("the failed run has no Map Run"))?;
    let found = failures::of(&stage.session.client, map_run, FAILURES).await?;
    let wrong = found.items.iter().find(|failure| {
        failure
            .line
            .is_none_or(|line| failing.binary_search(&line).is_err())
    });
    expect(wrong.is_none(), || {
        format!(
            "a line failed that should not have: {:?}",
            wrong.map(|failure| &failure.line)
        )
    })?;
    let counted = map_run.items.failures();
    expect(found.items.len() as u64 == counted, || {
        format!(
            "{} failures are listed and {counted} counted",
            found.items.len()
        )
    })?;
    let groups = failures::group(&found.items);
    for line in group_lines(&groups) {
        say(out, format!("  {line}"))?;
    }
    let report = json!({
        "run": run.execution().name,
        "failed": counted,
        "never_started": map_run.items.pending,
        "groups": groups,
    });
    Ok((execution, report))
}

/// Repairs the service, redrives, and checks the output line by line.
async fn heal(stage: &Stage, execution: &ExecutionArn, out: &mut Output) -> Result<Value, Error> {
    let client = &stage.session.client;
    if !stage.failing(&stage.services[0]).is_empty() {
        stage.services[0].repair();
        let plan = redrive::plan(
            client,
            execution,
            Timestamp::now(),
            &stage.session.config.prices,
        )
        .await?;
        redrive::run(client, &plan, &redrive::token()).await?;
        let what = figures::count(plan.will_run());
        say(
            out,
            format!(
                "repaired the service; redriven: {what} lines run again, {} are kept",
                figures::count(plan.succeeded)
            ),
        )?;
    }
    let run = ended(stage, execution).await?;
    expect_state(&run, RunState::Succeeded)?;
    say(out, views::summary(&run, Timestamp::now()))?;
    let (output, rest) = downloaded(stage, &run).await?;
    expect(rest.is_empty(), || {
        format!("a healed run has left {rest:?}")
    })?;
    let written = compare(&stage.lines, &[], &output)?;
    say(
        out,
        format!(
            "{} lines in, {} lines out, in order: {}",
            figures::count(stage.lines.len() as u64),
            figures::count(written),
            output.display()
        ),
    )?;
    Ok(json!({"run": execution.name(), "output": output, "lines": written}))
}

/// Runs the file against the calmer service: it ends well, without the lines that failed.
async fn end_part(stage: &Stage, out: &mut Output) -> Result<Value, Error> {
    let service = &stage.services[1];
    let failing = stage.failing(service);
    let execution = stage.start(service, WIDE_TOLERANCE).await?;
    let run = ended(stage, &execution).await?;
    let expected = match failing.is_empty() {
        true => RunState::Succeeded,
        false => RunState::Part,
    };
    expect_state(&run, expected)?;
    say(out, views::summary(&run, Timestamp::now()))?;
    let (output, rest) = downloaded(stage, &run).await?;
    let written = compare(&stage.lines, &failing, &output)?;
    let told = match rest.first() {
        Some(file) => failed_lines(file)?,
        None => Vec::new(),
    };
    expect(told == failing, || {
        format!("the failed lines should be {failing:?}, and are {told:?}")
    })?;
    say(
        out,
        format!(
            "{} lines out, {} told in its .failed.jsonl",
            figures::count(written),
            figures::count(told.len() as u64)
        ),
    )?;
    Ok(json!({"run": execution.name(), "output": output, "lines": written, "failed": told.len()}))
}

/// Downloads the final objects: the output, and the `.failed.jsonl` if there is one.
async fn downloaded(stage: &Stage, run: &Run) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let client = &stage.session.client;
    let folder = stage.folder.join(&run.execution().name);
    std::fs::create_dir_all(&folder).map_err(|error| super::unusable(&folder, &error))?;
    let found = outputs::list(client, run, outputs::AT_FIRST).await?.outputs;
    let mut outputs = Vec::new();
    let mut rest = Vec::new();
    for output in found.iter().filter(|output| output.kind == Kind::Final) {
        let got = outputs::download(client, &output.object, &folder, |_| {}).await?;
        match output.object.address.key.ends_with(".failed.jsonl") {
            true => rest.push(got.path),
            false => outputs.push(got.path),
        }
    }
    expect(outputs.len() == 1, || {
        format!("there should be one output, and are {outputs:?}")
    })?;
    Ok((outputs.swap_remove(0), rest))
}

/// Lines written, each of which begins with its line of the input, in order, without the `missing`
/// ones (numbers from 1, ascending).
fn compare(input: &[String], missing: &[u64], output: &Path) -> Result<u64, Error> {
    let file = File::open(output).map_err(|error| super::unusable(output, &error))?;
    let mut written = BufReader::new(file).lines();
    let mut count = 0;
    for (number, line) in (1..).zip(input) {
        if missing.binary_search(&number).is_ok() {
            continue;
        }
        let there = match written.next() {
            Some(Ok(there)) => there,
            Some(Err(error)) => return Err(super::unusable(output, &error)),
            None => {
                return Err(mismatch(format!(
                    "the output ends before line {number}, {line:?}"
                )));
            }
        };
        expect(
            there
                .strip_prefix(line.as_str())
                .is_some_and(|rest| rest.starts_with(" = ")),
            || format!("line {number} is {line:?}, and the output has {there:?}"),
        )?;
        count += 1;
    }
    expect(written.next().is_none(), || {
        "the output has lines that the input has not".to_owned()
    })?;
    Ok(count)
}

/// The numbers in a `.failed.jsonl`.
fn failed_lines(path: &Path) -> Result<Vec<u64>, Error> {
    let file = File::open(path).map_err(|error| super::unusable(path, &error))?;
    let number = |line: std::io::Result<String>| {
        let record: Value = serde_json::from_str(&line.ok()?).ok()?;
        record["n"].as_u64()
    };
    let numbers: Option<Vec<u64>> = BufReader::new(file).lines().map(number).collect();
    numbers.ok_or_else(|| mismatch(format!("{} is damaged", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_compared_line_by_line() {
        let input = ["Quito, Ecuador", "Lima, Peru", "Oslo, Norway"].map(str::to_owned);
        let folder = tempfile::tempdir().expect("a folder");
        let check = |text: &str, missing: &[u64]| {
            let path = folder.path().join("out");
            std::fs::write(&path, text).expect("written");
            compare(&input, missing, &path).map_err(|error| error.text)
        };
        let whole = "Quito, Ecuador = EC\nLima, Peru = PE\nOslo, Norway = NO\n";
        assert_eq!(check(whole, &[]), Ok(3));
        assert_eq!(
            check("Quito, Ecuador = EC\nOslo, Norway = NO\n", &[2]),
            Ok(2)
        );
        let swapped = check(
            "Lima, Peru = PE\nQuito, Ecuador = EC\nOslo, Norway = NO\n",
            &[],
        );
        assert!(swapped.expect_err("swapped").contains("line 1"));
        assert!(
            check("Quito, Ecuador = EC\n", &[])
                .expect_err("short")
                .contains("line 2")
        );
        assert!(check(&format!("{whole}x\n"), &[]).is_err());
    }
}
