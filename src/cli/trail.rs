//! `trail`: who changed what and when.

use serde_json::json;

use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Format, Output, VERSION, note};
use crate::config;
use crate::operations::trail::{Entry, Trail};

pub fn run(limit: usize, out: &mut Output) -> Result<Exit, Error> {
    let found = Trail::new(&config::state_dir()?).newest(limit)?;
    if 0 < found.skipped {
        note(format!(
            "{} rows of the trail cannot be read",
            found.skipped
        ));
    }
    match out.format {
        Format::Text => {
            for entry in &found.rows {
                out.line(line(entry))?;
            }
        }
        Format::Json => out.document(&json!({"version": VERSION, "trail": found.rows}))?,
        Format::Ndjson => {
            for entry in &found.rows {
                out.row(entry)?;
            }
        }
    }
    Ok(Exit::Done)
}

fn line(entry: &Entry) -> String {
    let outcome = match &entry.outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("failed: {error}"),
    };
    let at = entry.at.strftime("%Y-%m-%d %H:%M:%SZ");
    format!(
        "{at}  {}  {}  {}  {outcome}",
        entry.who, entry.target, entry.command
    )
}
