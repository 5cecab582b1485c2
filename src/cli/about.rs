//! `config show`, `completions` and `man`: about the program itself.

use std::path::Path;

use clap::{Command, CommandFactory as _};
use serde_json::{Value, json};

use crate::cli::args::{Cli, Global, Shell};
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Output, VERSION, note};
use crate::cli::session::settings;

const NAME: &str = "fanout";

pub fn config(global: &Global, out: &mut Output) -> Result<Exit, Error> {
    let loaded = settings(global)?;
    let config = serde_json::to_value(&loaded.config).map_err(std::io::Error::other)?;
    if !out.is_text() {
        let file = &loaded.file;
        out.document(&json!({"version": VERSION, "file": file, "config": config}))?;
        return Ok(Exit::Done);
    }
    for problem in crate::tui::key_problems(&loaded.config.keys) {
        note(problem);
    }
    if let Some(file) = &loaded.file {
        out.line(format!("# {}", file.display()))?;
    }
    for (key, value) in config.as_object().into_iter().flatten() {
        if let Value::Object(tables) = value {
            for (name, table) in tables {
                out.line(format!("[{key}.{name}]"))?;
                show(table, "", out)?;
            }
            continue;
        }
        // Texts, numbers, booleans and lists of them are written the same in JSON and TOML.
        out.line(match value {
            Value::Null => format!("# {key} is not set"),
            value => format!("{key} = {value}"),
        })?;
    }
    Ok(Exit::Done)
}

/// A table's lines; those of a table inside it have dotted keys.
fn show(table: &Value, prefix: &str, out: &mut Output) -> Result<(), Error> {
    for (key, value) in table.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => show(value, &format!("{prefix}{key}."), out)?,
            value => out.line(format!("{prefix}{key} = {value}"))?,
        }
    }
    Ok(())
}

pub fn completions(shell: Shell, out: &mut Output) -> Result<Exit, Error> {
    let mut script = Vec::new();
    let program = &mut Cli::command();
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Elvish => clap_complete::Shell::Elvish,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Nushell => {
            clap_complete::generate(clap_complete_nushell::Nushell, program, NAME, &mut script);
            out.raw(&script)?;
            return Ok(Exit::Done);
        }
    };
    clap_complete::generate(shell, program, NAME, &mut script);
    out.raw(&script)?;
    Ok(Exit::Done)
}

pub fn man(verb: Option<&str>, out: &mut Output) -> Result<Exit, Error> {
    // Building hands the global flags down to the verbs.
    let mut program = Cli::command();
    program.build();
    let command: &Command = match verb {
        None => &program,
        Some(verb) => program
            .find_subcommand(verb)
            .ok_or_else(|| Error::usage(format!("there is no verb {verb}: see `fanout --help`")))?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    out.raw(&page)?;
    Ok(Exit::Done)
}

/// Every page, as `fanout.1`, `fanout-start.1` and so on.
pub fn manual(folder: &Path) -> Result<Exit, Error> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| {
            Error::refused(format!("{} cannot be written: {error}", folder.display()))
        })?;
    Ok(Exit::Done)
}
