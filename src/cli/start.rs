//! `start`: plans for files, shown or carried out.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::cli::args::{Global, Start};
use crate::cli::exit::{Error, Exit};
use crate::cli::interrupt::unless_stopped;
use crate::cli::output::{Format, Meter, Output, VERSION, confirm, note};
use crate::cli::runs;
use crate::cli::session::Session;
use crate::config;
use crate::model::{ExecutionArn, ObjectAddress, Timestamp, figures};
use crate::operations::start::{self, Plan, Request, Source};
use crate::operations::{Check, Verdict};

/// Bytes of an input file. The service takes 256 KiB; a little more gives the better message.
const INPUT_LIMIT: u64 = 1 << 20;

pub async fn run(
    session: &Session,
    arguments: &Start,
    global: &Global,
    out: &mut Output,
) -> Result<Exit, Error> {
    if 1 < arguments.files.len() && arguments.name.is_some() {
        return Err(Error::usage(
            "--name names one execution: give one file with it",
        ));
    }
    let plans = plans(session, arguments).await?;
    if arguments.dry_run {
        return dry_run(&plans, out);
    }
    // One that cannot be started starts none: the user meant them all. Its notices say nothing then.
    if let Some(problem) = plans.iter().find_map(problem) {
        return Err(Error::refused(problem));
    }
    for plan in &plans {
        say_checks(&plan.checks, false);
    }
    confirm(global, &question(&plans))?;
    let mut executions = Vec::new();
    let started = unless_stopped(send(
        session,
        &plans,
        arguments,
        global,
        &mut executions,
        out,
    ));
    match started.await {
        Some(done) => done?,
        None => return Err(broken_off(session, &plans, &executions)),
    }
    if !arguments.wait {
        if out.format == Format::Json {
            out.document(
                &json!({"version": VERSION, "started": plans.iter().zip(&executions)
                .map(|(plan, arn)| view(plan, arn)).collect::<Vec<_>>()}),
            )?;
        }
        if session.owns_engine() {
            note("the embedded engine stops with this command: `fanout wait last` goes on with it");
        }
        return Ok(Exit::Done);
    }
    let ended = runs::until_closed(session, &executions, arguments.limit).await?;
    runs::print_ended(session, &ended, out).await?;
    Ok(runs::exit_of(&ended))
}

/// Uploads and starts one after the other; `executions` has those that have begun.
async fn send(
    session: &Session,
    plans: &[Plan],
    arguments: &Start,
    global: &Global,
    executions: &mut Vec<ExecutionArn>,
    out: &mut Output,
) -> Result<(), Error> {
    let state = config::state_dir().ok();
    for plan in plans {
        let meter = Meter::new(global, format!("upload {}", file_name(&plan.source)));
        let report = |progress| meter.show(progress);
        let run = start::run(&session.client, plan, state.as_deref(), report).await?;
        if 0 < run.resumed {
            let there = figures::bytes(run.resumed);
            note(format!("the upload went on: {there} had been sent before"));
        }
        let arn = run.execution;
        started(plan, &arn, arguments.wait, out)?;
        executions.push(arn);
    }
    Ok(())
}

/// What an interruption leaves behind. A start that was under way may have been taken in.
fn broken_off(session: &Session, plans: &[Plan], executions: &[ExecutionArn]) -> Error {
    let (begun, all) = (executions.len(), plans.len());
    let error = match begun {
        0 => "interrupted before it was started".to_owned(),
        _ if begun == all => format!("interrupted: {}", session.what_goes_on()),
        _ => format!("interrupted: {begun} of {all} have been started"),
    };
    let hint = match begun == all {
        true => format!("go on with `{}`", session.command("wait", executions)),
        false => "do the same again: what was uploaded is not sent again, and what has begun does \
                  not begin twice"
            .to_owned(),
    };
    Error::new(Exit::Interrupted, error).hint(hint)
}

async fn plans(session: &Session, arguments: &Start) -> Result<Vec<Plan>, Error> {
    let input = input(arguments.input.as_deref())?;
    let machine = session.machine().await?;
    let template = match &arguments.template {
        Some(name) => {
            let (client, folder) = (&session.client, templates());
            let named = start::template::named(client, &machine, &folder, name, &input);
            Some(named.await?)
        }
        None => None,
    };
    let mut plans = Vec::new();
    for file in &arguments.files {
        let request = Request {
            source: source(file)?,
            machine: machine.clone(),
            bucket: session.config.bucket.clone(),
            name: arguments.name.clone(),
            input: input.clone(),
            template: template.clone(),
            today: Timestamp::now().strftime("%Y-%m-%d").to_string(),
        };
        plans.push(start::plan(&session.client, request).await?);
    }
    Ok(plans)
}

/// Where templates are. Without a home there is no such folder, and so no template.
fn templates() -> PathBuf {
    config::config_dir().map_or_else(|_| PathBuf::new(), |folder| folder.join("templates"))
}

fn source(file: &str) -> Result<Source, Error> {
    if !file.starts_with("s3://") {
        return Ok(Source::File(PathBuf::from(file)));
    }
    let address = ObjectAddress::parse(file);
    address.map(Source::Object).ok_or_else(|| {
        Error::usage(format!(
            "{file} is not the address of an object: give s3://BUCKET/KEY"
        ))
    })
}

/// The text itself, or `@FILE`.
fn input(given: Option<&str>) -> Result<Value, Error> {
    let Some(given) = given else {
        return Ok(Value::Null);
    };
    let text = match given.strip_prefix('@') {
        None => given.to_owned(),
        Some(path) => {
            let mut text = String::new();
            let read =
                File::open(path).and_then(|file| file.take(INPUT_LIMIT).read_to_string(&mut text));
            read.map_err(|error| Error::usage(format!("--input @{path}: {error}")))?;
            text
        }
    };
    let input: Value = serde_json::from_str(&text)
        .map_err(|error| Error::usage(format!("--input is not JSON: {error}")))?;
    match &input {
        Value::Object(members) if members.contains_key("source") => Err(Error::usage(
            "--input has a `source` of its own: fanout sets it from the file, leave it out",
        )),
        Value::Object(_) => Ok(input),
        _ => Err(Error::usage(
            "--input is JSON, but no object such as '{\"tolerate\": 5}'",
        )),
    }
}

/// Why this plan cannot be carried out, with the file it is about.
fn problem(plan: &Plan) -> Option<String> {
    let bad = plan
        .checks
        .iter()
        .find(|check| check.verdict == Verdict::Bad)?;
    Some(format!("{}: {}", file_name(&plan.source), bad.text))
}

fn question(plans: &[Plan]) -> String {
    match plans {
        [plan] => format!("start {} on {}?", plan.name, plan.machine.name()),
        plans => format!("start {} executions?", plans.len()),
    }
}

fn dry_run(plans: &[Plan], out: &mut Output) -> Result<Exit, Error> {
    match out.format {
        Format::Json => out.document(&json!({"version": VERSION, "plans": plans}))?,
        Format::Ndjson => {
            for plan in plans {
                out.row(plan)?;
            }
        }
        Format::Text => {
            for plan in plans {
                show(plan, out)?;
            }
        }
    }
    match plans.iter().any(|plan| problem(plan).is_some()) {
        true => Ok(Exit::Refused),
        false => Ok(Exit::Done),
    }
}

fn show(plan: &Plan, out: &mut Output) -> Result<(), Error> {
    out.line(format!("name     {}", plan.name))?;
    out.line(format!("machine  {}", plan.machine))?;
    let lines = plan.lines.map_or(String::new(), |lines| {
        format!(", {} lines", figures::count(lines))
    });
    out.line(format!(
        "source   {}, {}{lines}",
        file_name(&plan.source),
        figures::bytes(plan.size)
    ))?;
    if let Some(upload) = &plan.upload {
        out.line(format!("upload   {upload}"))?;
    }
    if let Some(template) = &plan.template {
        out.line(format!("template {template}"))?;
    }
    for it in &plan.filled {
        out.line(format!("         {} → {}", it.placeholder, it.value))?;
    }
    out.line(format!("input    {}", plan.input))?;
    for check in &plan.checks {
        out.line(format!("  {} {}", mark(check.verdict), check.text))?;
    }
    out.line(format!("same as  {}", plan.command()))
}

/// Says on stderr what the checks found.
pub fn say_checks(checks: &[Check], with_good: bool) {
    for check in checks {
        let said = match check.verdict {
            Verdict::Good => with_good,
            Verdict::Notice => true,
            // These come back as the error.
            Verdict::Bad => false,
        };
        if said {
            note(format!("{} {}", mark(check.verdict), check.text));
        }
    }
}

pub fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "✓",
        Verdict::Notice => "!",
        Verdict::Bad => "✗",
    }
}

fn file_name(source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::Object(address) => address.to_string(),
    }
}

/// Says at once that an execution has begun: what follows may be interrupted.
fn started(plan: &Plan, arn: &ExecutionArn, waits: bool, out: &mut Output) -> Result<(), Error> {
    match (out.format, waits) {
        (Format::Text, false) => out.line(format!("started {} {arn}", plan.name)),
        (Format::Ndjson, _) => {
            out.document(&json!({"version": VERSION, "event": "started", "run": view(plan, arn)}))
        }
        _ => {
            note(format!("started {}", plan.name));
            Ok(())
        }
    }
}

fn view(plan: &Plan, arn: &ExecutionArn) -> Value {
    json!({
        "name": plan.name,
        "arn": arn,
        "input": plan.input,
        "lines": plan.lines,
        "upload": plan.upload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_text_or_a_file() {
        assert_eq!(input(None).expect("none"), Value::Null);
        assert_eq!(
            input(Some(r#"{"tolerate":5}"#)).expect("JSON"),
            json!({"tolerate": 5})
        );
        assert!(
            input(Some("{tolerate"))
                .expect_err("not JSON")
                .text
                .contains("--input")
        );
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "{\"a\": 1}\n").expect("written");
        let path = format!("@{}", file.path().display());
        assert_eq!(input(Some(&path)).expect("a file"), json!({"a": 1}));
        assert!(input(Some("@/none")).is_err());
    }

    #[test]
    fn an_address_is_complete_or_an_error() {
        assert_eq!(
            source("s3://b/k").expect("complete"),
            Source::Object(ObjectAddress::new("b", "k"))
        );
        assert!(source("s3://b").is_err());
        assert_eq!(
            source("b/k").expect("a path"),
            Source::File(PathBuf::from("b/k"))
        );
    }
}
