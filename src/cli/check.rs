//! `check`: a state machine against the known traps.

use serde_json::{Value, json};

use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION};
use crate::cli::session::Session;
use crate::model::StateMachineArn;
use crate::operations::check::{self, Level, Report};
use crate::operations::runs;
use crate::operations::start::needs;

/// # Errors
/// Of reading the state machine; what is found is no error, but a ✗ is exit code 4.
pub async fn run(session: &Session, name: Option<&str>, out: &mut Output) -> Result<Exit, Error> {
    let machine = machine(session, name).await?;
    let report = check::run(&session.client, &machine).await?;
    match out.format {
        Format::Text => text(&report, out)?,
        Format::Json | Format::Ndjson => {
            out.document(&json!({"version": VERSION, "report": report}))?;
        }
    }
    Ok(match report.worst() {
        Level::Bad => Exit::Refused,
        _ => Exit::Done,
    })
}

async fn machine(session: &Session, name: Option<&str>) -> Result<StateMachineArn, Error> {
    match name {
        Some(name) => Ok(runs::machine(&session.client, name).await?),
        None => session.machine().await,
    }
}

/// Prints an input that has what the definition reads.
pub async fn input(session: &Session, name: Option<&str>, out: &mut Output) -> Result<Exit, Error> {
    let machine = machine(session, name).await?;
    let detail = session.client.state_machine(&machine).await?;
    let definition: Value = serde_json::from_str(&detail.definition).map_err(|error| {
        let problem = format!("{}: its definition: {error}", detail.name);
        Error::new(Exit::Service, problem)
    })?;
    let input = needs::template(&definition);
    match out.format {
        Format::Text => {
            let text = format!("{input:#}");
            text.lines().try_for_each(|line| out.line(line))?;
        }
        Format::Json | Format::Ndjson => out.document(
            &json!({"version": VERSION, "input": input, "reads": needs::of(&definition)}),
        )?,
    }
    Ok(Exit::Done)
}

fn text(report: &Report, out: &mut Output) -> Result<(), Error> {
    out.line(format!("{}  {}", report.machine.name(), report.kind))?;
    for finding in report.gravest_first() {
        let place = match finding.place.as_str() {
            "" => String::new(),
            place => format!("{place}: "),
        };
        let glyph = finding.level.glyph();
        out.line(format!(
            "{glyph} {place}{}  [{}]",
            finding.text, finding.check
        ))?;
        for (what, text) in [("why", &finding.why), ("change", &finding.change)] {
            if let Some(text) = text {
                out.line(format!("    {what}: {text}"))?;
            }
        }
    }
    out.line(format!("role {} must be allowed:", report.role))?;
    for statement in &report.statements {
        out.line(format!("  {}", statement.json()))?;
    }
    out.line(report.to_string())
}
