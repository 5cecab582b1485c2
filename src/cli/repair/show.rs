//! A plan as lines for a person.

use crate::cli::exit::Error;
use crate::cli::output::Output;
use crate::cli::start::mark;
use crate::model::figures;
use crate::operations::cost::{Cost, Time};
use crate::operations::plan::Plan;
use crate::operations::{redrive, rerun};

pub fn show(plan: &Plan, out: &mut Output) -> Result<(), Error> {
    match plan {
        Plan::Redrive(plan) => show_redrive(plan, out)?,
        Plan::Rerun(plan) => show_rerun(plan, out)?,
        Plan::Merge(plan) => {
            let (name, lines) = (plan.execution.name(), figures::count(plan.lines));
            out.line(format!("merge {name}, {lines} lines, into {}", plan.to))?;
        }
    }
    if plan.allowed().is_err() {
        return Ok(());
    }
    for check in plan.checks() {
        out.line(format!("  {} {}", mark(check.verdict), check.text))?;
    }
    out.line(format!("same as  {}", plan.command()))
}

fn show_redrive(plan: &redrive::Plan, out: &mut Output) -> Result<(), Error> {
    out.line(format!(
        "redrive {} {}",
        plan.execution.name(),
        plan.state.word()
    ))?;
    if let Err(reason) = &plan.allowed {
        return out.line(format!("  ✗ {reason}"));
    }
    for (what, count) in [
        ("failed", plan.failed),
        ("timed out", plan.timed_out),
        ("aborted", plan.aborted),
        ("never started", plan.never_started),
        ("not redrivable", plan.not_redrivable),
        ("will run", plan.will_run()),
        ("succeeded, kept", plan.succeeded),
    ] {
        figure(what, &figures::count(count), out)?;
    }
    for attempt in &plan.facts.attempts {
        let lost = attempt.counts.failures() + attempt.counts.aborted;
        let largest = attempt.groups.first();
        let largest =
            largest.map_or_else(String::new, |it| format!(", {} × {}", it.count, it.error));
        let (number, lost) = (attempt.attempt + 1, figures::count(lost));
        out.line(format!("  attempt {number} left {lost} failed{largest}"))?;
    }
    for reason in &plan.facts.stays {
        out.line(format!("  not redrivable: {reason}"))?;
    }
    estimates(plan.facts.cost.as_ref(), plan.facts.time.as_ref(), out)
}

fn show_rerun(plan: &rerun::Plan, out: &mut Output) -> Result<(), Error> {
    let run = plan.execution.name();
    out.line(format!("re-run {run} {}", plan.state.word()))?;
    if let Err(reason) = &plan.allowed {
        return out.line(format!("  ✗ {reason}"));
    }
    out.line(format!("  as {}", plan.name))?;
    figure("will run", &figures::count(plan.items), out)?;
    for group in &plan.groups {
        let count = figures::count(group.count);
        out.line(format!("    {count} {}: {}", group.error, group.message))?;
    }
    let (edited, left_out) = (plan.wish.edits.len(), plan.wish.left_out.len());
    if 0 < edited + left_out {
        out.line(format!("  {edited} edited, {left_out} taken out"))?;
    }
    out.line(format!("  read from {}", plan.source))?;
    out.line(format!(
        "  into {}, {}",
        plan.subset,
        figures::bytes(plan.bytes)
    ))?;
    estimates(plan.cost.as_ref(), plan.time.as_ref(), out)
}

fn figure(what: &str, figure: &str, out: &mut Output) -> Result<(), Error> {
    out.line(format!("  {what:<16} {figure:>12}"))
}

/// Cost and time, where they can be told.
fn estimates(cost: Option<&Cost>, time: Option<&Time>, out: &mut Output) -> Result<(), Error> {
    if let Some(cost) = cost {
        let least = if cost.at_least { "≥ " } else { "" };
        let sum = format!("{least}{}", figures::dollars(cost.dollars));
        figure("cost", &sum, out)?;
        for part in &cost.parts {
            out.line(format!(
                "    {}: {}, {}",
                part.what,
                part.detail,
                figures::dollars(part.dollars)
            ))?;
        }
        let sample = cost.sample;
        out.line(format!(
            "    judged by {sample} finished children; {}",
            cost.prices
        ))?;
    }
    if let Some(time) = time {
        let seconds = i64::try_from(time.seconds).unwrap_or(i64::MAX);
        let shown = jiff::SignedDuration::from_secs(seconds);
        figure("time", &format!("~{shown:#}"), out)?;
        out.line(format!(
            "    {:.1} items/s, {}",
            time.items_per_second, time.basis
        ))?;
    }
    Ok(())
}
