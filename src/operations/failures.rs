//! Failed items: sampled from children while a Map Run is going, exact from its result files after.
//!
//! [`survey`](survey()) groups them, however many there are, and leads to each; [`of`] is a list of
//! some; [`each`] streams them all.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::client::Client;
use crate::model::{Failure, MapRun};
use crate::operations::Error;

mod cause;
mod children;
mod complete;
mod export;
mod group;
mod histogram;
mod index;
mod lines;
mod mask;
mod reading;
mod record;
mod source_line;
mod survey;
mod tally;

pub use cause::{is_request_id, message, request_id};
pub use children::{more, of_child};
pub use complete::complete;
pub use export::{COLUMNS, Exported, Wanted, cells, export};
pub use group::{Group, GroupKey, Over, Spread, Trend};
pub use mask::{Kind, mask, values};
pub use reading::{File, Found, NeverStarted, Place, Source, each, never_started};
pub use record::{Outcome, Record, line_of};
pub use source_line::{Method, SourceLine, of_line, source_line};
pub use survey::{Choice, Grouping, Looked, MemberOrder, Row, Survey, sample, survey};
pub use tally::{error_of, group, key_of};

/// Failures with how complete they are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failures {
    pub items: Vec<Failure>,
    /// Whether `items` is everything there is (read from result files to their end).
    pub exact: bool,
    /// Where they were read: `FAILED_0.json …`, or `children`.
    pub source: String,
}

/// At most `limit` failures of this Map Run, the newest of those read first. Aborted children did
/// not fail and are left out, as they are from the service's own count of failures.
///
/// # Errors
/// What the service answers. Result files that are missing or damaged are no error: then the
/// children are asked instead, and `source` says why.
pub async fn of(client: &Client, map_run: &MapRun, limit: usize) -> Result<Failures, Error> {
    if !map_run.status.is_closed() {
        return more(client, map_run, limit, Vec::new()).await;
    }
    let mut items = Vec::new();
    let visit = |found: Found<'_>| {
        match found {
            Found::Restart => items.clear(),
            Found::Record(record, _) if record.outcome() != Outcome::Failed => {}
            Found::Record(..) if limit <= items.len() => return ControlFlow::Break(()),
            Found::Record(record, _) => items.push(record.failure()),
        }
        ControlFlow::Continue(())
    };
    let source = each(client, map_run, false, visit).await?;
    children::newest_first(&mut items);
    Ok(Failures {
        items,
        exact: source.exact,
        source: source.words,
    })
}
