//! `local serve|env|status|reset`: the embedded engine without a screen.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::cli::args::{Global, SwitchArgs};
use crate::cli::exit::{Error, Exit};
use crate::cli::interrupt::stopped;
use crate::cli::output::{Output, VERSION, confirm, note};
use crate::cli::session::settings;
use crate::client::Target;
use crate::local::lookup::{Lookup, Options};
use crate::local::{self, Local};

/// Variables that would send a tool elsewhere.
const UNSET: [&str; 2] = ["AWS_PROFILE", "AWS_SESSION_TOKEN"];

pub async fn serve(
    global: &Global,
    port: u16,
    switches: &SwitchArgs,
    out: &mut Output,
) -> Result<Exit, Error> {
    let config = settings(global)?.config;
    let folder = config.engine_dir()?;
    let options = local::Options {
        port,
        functions: config.functions.clone(),
        switches: local::Switches {
            throttle: switches.throttle,
            delay: switches.delay,
            faults: switches.fault.clone(),
        },
        ..local::Options::default()
    };
    let local = Local::start(&folder, &config.bucket, options).await?;
    let Target::Endpoint { url, region, .. } = local.target() else {
        return Err(Error::refused("the engine has no endpoint"));
    };
    if !local.is_ours() {
        return Err(
            Error::refused(format!("{} is served already, at {url}", folder.display()))
                .hint("stop that process first, or choose another folder with --data-dir"),
        );
    }
    match out.is_text() {
        true => out.line(&url)?,
        false => out.document(&json!({
            "version": VERSION, "endpoint": url, "region": region, "data_dir": folder,
        }))?,
    }
    note(format!(
        "serving {} until interrupted; eval \"$(fanout local env)\" points any AWS tool at it",
        folder.display()
    ));
    stopped().await;
    note("stopping; what is running goes on when the folder is next opened");
    local.stop().await;
    Ok(Exit::Done)
}

/// Serves the lookup service until interrupted.
pub async fn lookup(options: Options, port: u16, out: &mut Output) -> Result<Exit, Error> {
    if !(0.0..=100.0).contains(&options.fail_percent) {
        return Err(Error::usage("--fail is a share of the names, 0 to 100"));
    }
    let lookup = Lookup::start(options, port).await.map_err(|error| {
        Error::refused(format!(
            "port {port} of 127.0.0.1 cannot be listened on: {error}"
        ))
    })?;
    let (url, repair_url) = (lookup.url_template(), lookup.repair_url());
    match out.is_text() {
        true => out.line(&url)?,
        false => {
            out.document(&json!({"version": VERSION, "url": url, "repair_url": repair_url}))?;
        }
    }
    note(format!(
        "serving until interrupted; POST {repair_url} repairs it"
    ));
    stopped().await;
    let counts = lookup.counts();
    note(format!(
        "{} requests answered, {} failed",
        counts.answered, counts.failed
    ));
    Ok(Exit::Done)
}

pub async fn env(global: &Global, out: &mut Output) -> Result<Exit, Error> {
    let folder = settings(global)?.config.engine_dir()?;
    let Some(Target::Endpoint {
        url,
        region,
        access_key,
        secret_key,
    }) = local::find(&folder).await
    else {
        return Err(
            Error::refused(format!("no engine serves {}", folder.display()))
                .hint("start one with `fanout local serve`, or name its folder with --data-dir"),
        );
    };
    let set = BTreeMap::from([
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", access_key),
        ("AWS_SECRET_ACCESS_KEY", secret_key),
        ("AWS_REGION", region.clone()),
        ("AWS_DEFAULT_REGION", region),
        // TestState and StartSyncExecution would go to sync-127.0.0.1, which is nowhere.
        ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true".to_owned()),
    ]);
    if !out.is_text() {
        out.document(&json!({"version": VERSION, "set": set, "unset": UNSET}))?;
        return Ok(Exit::Done);
    }
    for (name, value) in &set {
        out.line(format!("export {name}='{}'", value.replace('\'', r"'\''")))?;
    }
    out.line(format!("unset {}", UNSET.join(" ")))?;
    Ok(Exit::Done)
}

pub async fn status(global: &Global, out: &mut Output) -> Result<Exit, Error> {
    let folder = settings(global)?.config.engine_dir()?;
    let endpoint = match local::find(&folder).await {
        Some(Target::Endpoint { url, .. }) => Some(url),
        _ => None,
    };
    let functions = match endpoint {
        Some(_) => local::functions(&folder),
        None => BTreeMap::new(),
    };
    if !out.is_text() {
        out.document(&json!({
            "version": VERSION,
            "serving": endpoint.is_some(),
            "endpoint": endpoint,
            "data_dir": folder,
            "functions": functions,
        }))?;
        return Ok(Exit::Done);
    }
    out.line(match endpoint {
        Some(url) => format!("serving {} at {url}", folder.display()),
        None => format!("nobody serves {}", folder.display()),
    })?;
    for (name, code) in functions {
        out.line(format!("function {name}: {code}"))?;
    }
    Ok(Exit::Done)
}

pub async fn reset(global: &Global, out: &mut Output) -> Result<Exit, Error> {
    let config = settings(global)?.config;
    if config.read_only {
        return Err(Error::refused("this session is read-only"));
    }
    let folder = config.engine_dir()?;
    confirm(
        global,
        &format!("delete everything in {}?", folder.display()),
    )?;
    empty(&folder).await?;
    match out.is_text() {
        true => out.line(format!("emptied {}", folder.display()))?,
        false => out.document(&json!({"version": VERSION, "emptied": folder}))?,
    }
    Ok(Exit::Done)
}

/// Empties an engine's folder; every reason against it is a refusal.
pub async fn empty(folder: &Path) -> Result<(), Error> {
    local::reset(folder)
        .await
        .map_err(|error| Error::refused(error.to_string()))
}
