//! A run, its redrives and its re-runs as one: where it is to be read what became of its lines.
//!
//! An output of the shipped workflow counts before result files: it is what people use, and the
//! files are deleted once it is complete. A re-run that was merged brings its own lines only; the
//! others in its output are those of the run before.

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::lines::{
    Bits, Gathered, Meter, Pinned, Previous, ResultFile, Results, Shape, Tally, numbers,
};
use crate::model::{ExecutionArn, ObjectAddress};
use crate::operations::Error;

mod find;
mod healing;

pub use find::family;
pub(super) use find::of;
pub use healing::{Healing, first_of, healing};

/// Where it is told what became of a run's lines.
#[derive(Debug, Clone)]
pub(super) struct Lineage {
    /// The first run.
    pub root: ExecutionArn,
    /// Lines of its input, or items where its source does not tell.
    pub lines: u64,
    pub shape: Shape,
    /// Oldest first.
    pub sources: Vec<Source>,
    /// The execution, of all these, that has not ended.
    pub running: Option<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// Where the run's output is, or would be.
    pub output: Option<ObjectAddress>,
}

/// One run's part.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub run: String,
    pub evidence: Evidence,
}

#[derive(Debug, Clone)]
pub(super) enum Evidence {
    /// Result files of a Map Run, of all rounds.
    Results {
        round: u32,
        files: Vec<ResultFile>,
        shape: Shape,
        /// Of a re-run that numbers its items anew: which lines they are.
        numbers: Option<ObjectAddress>,
        is_again: bool,
    },
    /// An output, with its lines that failed.
    Output {
        output: Version,
        failed: Option<Version>,
        lines: u64,
        /// Those of them that this run worked on; `None` is all.
        own: Option<ObjectAddress>,
    },
}

/// An object as it is now.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub address: ObjectAddress,
    pub etag: String,
    pub size: u64,
}

/// A source, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub run: String,
    /// `output`, or `results of round N`.
    pub kind: String,
    pub objects: Vec<ObjectAddress>,
    /// Bytes to be read.
    pub bytes: u64,
}

impl Source {
    pub fn shown(&self) -> Shown {
        let (kind, objects, bytes) = match &self.evidence {
            Evidence::Results { round, files, .. } => (
                format!("results of round {round}"),
                files.iter().map(|file| file.address.clone()).collect(),
                files.iter().map(|file| file.size).sum(),
            ),
            Evidence::Output { output, failed, .. } => {
                let all = std::iter::once(output).chain(failed);
                let bytes = all.clone().map(|it| it.size).sum();
                let objects = all.map(|it| it.address.clone()).collect();
                ("output".to_owned(), objects, bytes)
            }
        };
        Shown {
            run: self.run.clone(),
            kind,
            objects,
            bytes,
        }
    }
}

impl Version {
    async fn of(client: &Client, address: ObjectAddress) -> Result<Option<Self>, Error> {
        let found = client.head(&address).await?;
        Ok(found.map(|(object, _)| Self {
            address,
            etag: object.etag,
            size: object.size,
        }))
    }

    fn pinned(&self) -> Pinned<'_> {
        (&self.address, &self.etag)
    }
}

impl Lineage {
    /// Bytes that gathering reads, about.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|it| it.shown().bytes).sum()
    }

    /// Reads all sources. `sorted` keeps what the lines are, to be written.
    pub async fn gather(
        &self,
        client: &Client,
        sorted: bool,
        meter: Meter,
    ) -> Result<Gathered, Error> {
        let tally = Tally::new(self.lines);
        let gathered = match sorted {
            true => Gathered::sorted(tally),
            false => Gathered::counted(tally),
        };
        let mut gathered = gathered.metered(meter);
        for (number, source) in (1..).zip(&self.sources) {
            gathered = match &source.evidence {
                Evidence::Results {
                    files,
                    shape,
                    numbers: chosen,
                    is_again,
                    ..
                } => {
                    let lines: Option<Vec<u64>> = match chosen {
                        Some(chosen) => Some(numbers(client, chosen).await?.iter().collect()),
                        None => None,
                    };
                    let results = Results {
                        files,
                        shape,
                        numbers: lines.as_deref(),
                        is_again: *is_again,
                    };
                    gathered.read_results(client, results, number).await?
                }
                Evidence::Output {
                    output,
                    failed,
                    lines,
                    own,
                } => {
                    let own: Option<Bits> = match own {
                        Some(only) => Some(numbers(client, only).await?),
                        None => None,
                    };
                    let previous = Previous {
                        output: output.pinned(),
                        failed: failed.as_ref().map(Version::pinned),
                        lines: *lines,
                    };
                    gathered
                        .read_previous(client, &previous, number, own.as_ref())
                        .await?
                }
            };
        }
        Ok(gathered)
    }
}
