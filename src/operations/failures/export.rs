//! All failures of a Map Run as a file, written while they are read.

use std::io::{self, BufWriter, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::client::Client;
use crate::model::{Failure, MapRun};
use crate::operations::Error;
use crate::operations::export::{Format, Rows};
use crate::operations::failures::reading::{self, Found};
use crate::operations::failures::record::Outcome;
use crate::operations::failures::{GroupKey, children, error_of, key_of};

/// The columns of a file of failures.
pub const COLUMNS: &[&str] = &[
    "line", "error", "cause", "status", "started", "ended", "redrives", "child", "group", "input",
];

/// The cells of a failure under [`COLUMNS`].
pub fn cells(failure: &Failure) -> Vec<Value> {
    let cause = failure.cause.as_deref().unwrap_or_default();
    vec![
        json!(failure.line),
        json!(failure.error),
        json!(failure.cause),
        json!(failure.status.as_str()),
        json!(failure.started),
        json!(failure.stopped),
        json!(failure.redrives),
        json!(failure.child.as_str()),
        json!(key_of(error_of(failure), cause).message),
        json!(failure.input),
    ]
}

type Fits<'w> = Box<dyn Fn(&Failure) -> bool + Send + Sync + 'w>;

/// Which failures are written.
#[derive(Default)]
pub struct Wanted<'w> {
    /// Those of one group.
    pub group: Option<GroupKey>,
    pub fits: Option<Fits<'w>>,
}

impl Wanted<'_> {
    fn has(&self, failure: &Failure) -> bool {
        let cause = failure.cause.as_deref().unwrap_or_default();
        let error = error_of(failure);
        let is_of_group = self
            .group
            .as_ref()
            .is_none_or(|group| group.error == error && *group == key_of(error, cause));
        is_of_group && self.fits.as_ref().is_none_or(|fits| fits(failure))
    }
}

/// How an export ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    pub rows: u64,
    /// Whether they are all there are.
    pub exact: bool,
    pub source: String,
}

/// Writes the failures of a Map Run that are wanted into a new file; the file is there as a whole or
/// not at all, and one of that name is left alone. Of a Map Run that is going, a sample.
///
/// # Errors
/// `File` where it exists or cannot be written, and what the service answers.
pub async fn export(
    client: &Client,
    map_run: &MapRun,
    to: &Path,
    format: Format,
    wanted: &Wanted<'_>,
) -> Result<Exported, Error> {
    const SAMPLE: usize = 1_000;
    let failed = |error: std::io::Error| Error::file(to, error);
    if to.symlink_metadata().is_ok() {
        return Err(Error::file(to, "exists already and is not overwritten"));
    }
    let folder = to.parent().filter(|it| !it.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let begin = |mut file: NamedTempFile| {
        file.as_file_mut().set_len(0)?;
        file.rewind()?;
        Rows::begin(BufWriter::new(file), format, COLUMNS)
    };
    let file = NamedTempFile::new_in(folder).map_err(failed)?;
    let mut rows = Some(begin(file).map_err(failed)?);
    let mut trouble = None;
    let mut take = |found: Found<'_>| {
        let written = match (found, rows.take()) {
            // What was written is void.
            (Found::Restart, Some(old)) => old.end().and_then(|(file, _)| {
                begin(file.into_inner().map_err(io::IntoInnerError::into_error)?)
            }),
            (Found::Record(record, _), Some(mut kept)) => {
                let failure = (record.outcome() == Outcome::Failed).then(|| record.failure());
                match failure.filter(|it| wanted.has(it)) {
                    Some(failure) => kept.row(cells(&failure)).map(|()| kept),
                    None => Ok(kept),
                }
            }
            (_, None) => return ControlFlow::Break(()),
        };
        match written {
            Ok(kept) => {
                rows = Some(kept);
                ControlFlow::Continue(())
            }
            Err(error) => {
                trouble = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let source = match map_run.status.is_closed() {
        true => reading::each(client, map_run, false, take).await?,
        false => {
            let found = children::more(client, map_run, SAMPLE, Vec::new()).await?;
            for failure in &found.items {
                if take(Found::Record(&failure.into(), None)).is_break() {
                    break;
                }
            }
            reading::Source {
                words: found.source,
                ..reading::Source::default()
            }
        }
    };
    if let Some(trouble) = trouble {
        return Err(failed(trouble));
    }
    let rows = rows.ok_or_else(|| Error::file(to, "could not be written"))?;
    let (file, count) = rows.end().map_err(failed)?;
    let mut file = file.into_inner().map_err(|it| failed(it.into_error()))?;
    file.flush().map_err(failed)?;
    file.persist_noclobber(to).map_err(|it| failed(it.error))?;
    Ok(Exported {
        rows: count,
        exact: source.exact,
        source: source.words,
    })
}
