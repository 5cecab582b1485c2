//! Objects of a run as a tree: what came out, what each Map Run and each of its rounds wrote, what
//! is cleared away later, and what went in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::ObjectAddress;
use crate::operations::outputs::{Kind, Output};

/// A row of the tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Placed {
    Folder(Folder),
    Object {
        /// Place among the objects given.
        index: usize,
        depth: usize,
        /// What stands behind the name: of which round it is, where rounds are shown as one.
        note: String,
    },
    /// One version of the object above.
    Version {
        output: Arc<Output>,
        depth: usize,
    },
}

impl Placed {
    /// A row of a list without folders.
    pub fn flat(index: usize) -> Self {
        Self::Object {
            index,
            depth: 0,
            note: String::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// What it is remembered by.
    pub path: String,
    pub name: String,
    pub depth: usize,
    pub objects: usize,
    /// Bytes of all objects in it.
    pub size: u64,
    pub is_folded: bool,
}

/// How a tree is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    pub folded: BTreeSet<String>,
    /// Objects below which their versions are listed.
    pub versions: BTreeMap<ObjectAddress, Vec<Arc<Output>>>,
    /// The rounds of a Map Run as one list, with what later rounds have replaced said so.
    pub merged: bool,
}

/// An object with the folders that it is shown in.
struct Leaf<'a> {
    folders: Vec<String>,
    output: &'a Output,
    index: usize,
}

/// Rows of the tree of `outputs`, which are in the order of their kinds.
pub fn rows(outputs: &[&Output], shape: &Shape) -> Vec<Placed> {
    let leaves = outputs.iter().enumerate().map(|(index, output)| Leaf {
        folders: place(output, shape.merged),
        output,
        index,
    });
    let mut leaves: Vec<Leaf<'_>> = leaves.collect();
    // Stable: within a folder the order stays.
    leaves.sort_by(|one, other| {
        (one.output.kind, &one.folders).cmp(&(other.output.kind, &other.folders))
    });
    let mut rows = Vec::new();
    level(&leaves, 0, "", shape, &mut rows);
    rows
}

/// The same rows, with the versions that are to be listed below their objects.
pub fn with_versions(rows: Vec<Placed>, outputs: &[&Output], shape: &Shape) -> Vec<Placed> {
    if shape.versions.is_empty() {
        return rows;
    }
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let below = match &row {
            Placed::Object { index, depth, .. } => {
                let versions = shape.versions.get(&outputs[*index].object.address);
                versions.map(|versions| (versions, depth + 1))
            }
            _ => None,
        };
        let (versions, depth) = below.unzip();
        let versions: Vec<Arc<Output>> = versions.cloned().unwrap_or_default();
        all.push(row);
        all.extend(versions.into_iter().map(|output| Placed::Version {
            output,
            depth: depth.unwrap_or_default(),
        }));
    }
    all
}

/// The folders that an object is shown in.
fn place(output: &Output, merged: bool) -> Vec<String> {
    let key = &output.object.address.key;
    let mut folders: Vec<&str> = key.split('/').collect();
    folders.pop();
    match output.kind {
        Kind::Final => vec!["final".to_owned()],
        Kind::Merged => vec!["merged".to_owned()],
        Kind::Rerun => {
            let run = output.run.as_deref().unwrap_or_default();
            vec!["retries".to_owned(), run.to_owned()]
        }
        Kind::Source => vec!["source".to_owned()],
        Kind::Temporary => vec!["temporary".to_owned()],
        Kind::Result => {
            let round = folders.pop_if(|name| round(name).is_some());
            let map_run = folders.last().copied().unwrap_or_default();
            let map_run = format!("map {}", short(map_run));
            let round = round.filter(|_| !merged).map(str::to_owned);
            std::iter::once(map_run).chain(round).collect()
        }
    }
}

/// The number in `Redrive-2`.
fn round(folder: &str) -> Option<u32> {
    folder.strip_prefix("Redrive-")?.parse().ok()
}

/// Of which round of its Map Run an object is.
pub fn round_of(output: &Output) -> u32 {
    let mut folders = output.object.address.key.rsplit('/').skip(1);
    folders.next().and_then(round).unwrap_or(0)
}

/// `6dbf…eddb` of a UUID.
fn short(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    match letters.len() {
        0..=12 => name.to_owned(),
        many => {
            let (head, tail) = (&letters[..4], &letters[many - 4..]);
            head.iter().chain(&['…']).chain(tail).collect()
        }
    }
}

fn level(leaves: &[Leaf<'_>], depth: usize, within: &str, shape: &Shape, rows: &mut Vec<Placed>) {
    let mut at = 0;
    while at < leaves.len() {
        let Some(name) = leaves[at].folders.get(depth) else {
            let leaf = &leaves[at];
            rows.push(Placed::Object {
                index: leaf.index,
                depth,
                note: note(leaf.output, leaves, shape.merged),
            });
            at += 1;
            continue;
        };
        let same = |leaf: &&Leaf<'_>| leaf.folders.get(depth) == Some(name);
        let count = leaves[at..].iter().take_while(same).count();
        let inside = &leaves[at..at + count];
        let path = format!("{within}{name}/");
        let is_folded = shape.folded.contains(&path);
        rows.push(Placed::Folder(Folder {
            name: name.clone(),
            depth,
            objects: count,
            size: total(inside.iter().map(|leaf| leaf.output)),
            is_folded,
            path: path.clone(),
        }));
        if !is_folded {
            level(inside, depth + 1, &path, shape, rows);
        }
        at += count;
    }
}

/// Bytes of all of them, whatever a service says.
pub fn total<'a>(outputs: impl Iterator<Item = &'a Output>) -> u64 {
    let sizes = outputs.map(|output| output.object.size);
    sizes.fold(0, u64::saturating_add)
}

/// Where rounds are one list: successes of all of them count, but what failed or was pending only
/// in the last one.
fn note(output: &Output, beside: &[Leaf<'_>], merged: bool) -> String {
    if !merged || output.kind != Kind::Result {
        return String::new();
    }
    let mine = round_of(output);
    let newest = beside.iter().map(|it| round_of(it.output)).max();
    let newest = newest.unwrap_or(0);
    let is_success = output.object.address.file_name().starts_with("SUCCEEDED_");
    match mine {
        _ if mine < newest && !is_success => format!("r{mine} old"),
        _ => format!("r{mine}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::harness::output;

    const MAP: &str = "results/6dbfe4c1-7a0e-4d5e-9b1e-1c7eddb0aaaa";

    fn outputs() -> Vec<Output> {
        vec![
            output(Kind::Final, "out/a.csv", 10),
            output(Kind::Result, &format!("{MAP}/FAILED_0.json"), 1),
            output(Kind::Result, &format!("{MAP}/SUCCEEDED_0.json"), 2),
            output(Kind::Result, &format!("{MAP}/Redrive-1/FAILED_0.json"), 3),
            output(
                Kind::Result,
                &format!("{MAP}/Redrive-1/SUCCEEDED_0.json"),
                4,
            ),
            output(Kind::Source, "in/a.csv", 9),
        ]
    }

    fn told(shape: &Shape) -> Vec<String> {
        let outputs = outputs();
        let outputs: Vec<&Output> = outputs.iter().collect();
        rows(&outputs, shape)
            .iter()
            .map(|row| match row {
                Placed::Folder(it) => {
                    let sign = if it.is_folded { "▸" } else { "▾" };
                    let (depth, name) = (it.depth, &it.name);
                    format!("{depth}{sign}{name} {} {}", it.objects, it.size)
                }
                Placed::Object { index, depth, note } => {
                    let address = &outputs[*index].object.address;
                    format!("{depth} {} {note}", address.file_name())
                }
                Placed::Version { output, depth } => format!("{depth} {}", output.object.address),
            })
            .collect()
    }

    #[test]
    fn rounds_are_folders_of_their_map_run() {
        let mut shape = Shape::default();
        assert_eq!(
            told(&shape),
            [
                "0▾final 1 10",
                "1 a.csv ",
                "0▾map 6dbf…aaaa 4 10",
                "1 FAILED_0.json ",
                "1 SUCCEEDED_0.json ",
                "1▾Redrive-1 2 7",
                "2 FAILED_0.json ",
                "2 SUCCEEDED_0.json ",
                "0▾source 1 9",
                "1 a.csv ",
            ]
        );
        shape.folded.insert("map 6dbf…aaaa/".to_owned());
        assert_eq!(
            told(&shape)[2..],
            ["0▸map 6dbf…aaaa 4 10", "0▾source 1 9", "1 a.csv "]
        );
    }

    #[test]
    fn merged_outputs_and_those_of_re_runs_have_folders_of_their_own() {
        let rerun = Output {
            run: Some("a-r1-0a1b".to_owned()),
            ..output(Kind::Rerun, "out/r1.csv", 3)
        };
        let outputs = [
            output(Kind::Final, "out/a.csv", 10),
            output(Kind::Merged, "out/a.merged-0123abcd.csv", 10),
            rerun,
        ];
        let outputs: Vec<&Output> = outputs.iter().collect();
        let rows = rows(&outputs, &Shape::default());
        let folders = rows.iter().filter_map(|row| match row {
            Placed::Folder(it) => Some(it.path.as_str()),
            _ => None,
        });
        let folders: Vec<&str> = folders.collect();
        assert_eq!(
            folders,
            ["final/", "merged/", "retries/", "retries/a-r1-0a1b/"]
        );
    }

    #[test]
    fn rounds_as_one_say_what_was_replaced() {
        let shape = Shape {
            merged: true,
            ..Shape::default()
        };
        assert_eq!(
            told(&shape)[2..7],
            [
                "0▾map 6dbf…aaaa 4 10",
                "1 FAILED_0.json r0 old",
                "1 SUCCEEDED_0.json r0",
                "1 FAILED_0.json r1",
                "1 SUCCEEDED_0.json r1",
            ]
        );
    }
}
