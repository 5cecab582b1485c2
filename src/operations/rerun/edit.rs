//! Chosen items in an editor: written as JSON Lines, read back, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::gather::Subset;
use crate::operations::Error;
use crate::operations::records::write_new;

/// Items that one edits by hand at once.
pub const MOST: u64 = 10_000;
/// The member that holds the line of the shipped workflow, and the item of any other.
const LINE: &str = "line";
const ITEM: &str = "item";

/// What was changed in an editor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edited {
    /// New lines or items, by number.
    pub edits: BTreeMap<u64, Value>,
    /// Those that were taken out.
    pub left_out: BTreeSet<u64>,
    pub changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub n: u64,
    pub old: String,
    /// `None` where it was taken out.
    pub new: Option<String>,
}

/// The items as one edits them: JSON Lines, each with its number.
///
/// # Errors
/// `Refused` when they are too many.
pub fn text(subset: &mut Subset) -> Result<String, Error> {
    if MOST < subset.len() {
        return Err(Error::Refused(format!(
            "{} items are too many to edit: choose {MOST} at the most",
            subset.len()
        )));
    }
    let mut text = String::new();
    subset.each(|n, item| {
        let shown = match line_of(&item) {
            Some(line) => json!({"n": n, LINE: line}),
            None => json!({"n": n, ITEM: item}),
        };
        text += &shown.to_string();
        text.push('\n');
        Ok(())
    })?;
    Ok(text)
}

/// Writes the items into a new file that only its owner can read.
///
/// # Errors
/// `Refused` when they are too many, `File`.
pub fn write(subset: &mut Subset, path: &Path) -> Result<(), Error> {
    let text = text(subset)?;
    write_new(path, &text).map_err(|error| Error::file(path, error))
}

/// Reads an edited file and compares it with the items.
///
/// # Errors
/// `File` names the first line that is wrong, and what is wrong with it. The file stays.
pub fn read(subset: &mut Subset, path: &Path) -> Result<Edited, Error> {
    let text = fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    compare(subset, &text, path)
}

/// Compares an edited text, which `name` stands for, with the items.
///
/// # Errors
/// `File` names the first line that is wrong, and what is wrong with it.
pub fn compare(subset: &mut Subset, text: &str, name: &Path) -> Result<Edited, Error> {
    let mut given: BTreeMap<u64, (usize, Value)> = BTreeMap::new();
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |problem: String| Error::file(name, format!("line {number}: {problem}"));
        let (n, value) = parse(line).map_err(wrong)?;
        if given.insert(n, (number, value)).is_some() {
            return Err(wrong(format!("{n} is there twice")));
        }
    }
    let mut edited = Edited::default();
    subset.each(|n, item| {
        let (member, old) = match line_of(&item) {
            Some(line) => (LINE, json!(line)),
            None => (ITEM, item),
        };
        let Some((number, mut value)) = given.remove(&n) else {
            edited.left_out.insert(n);
            edited.changes.push(Change {
                n,
                old: shown(&old),
                new: None,
            });
            return Ok(());
        };
        let wrong = |problem: &str| Error::file(name, format!("line {number}: {problem}"));
        let new = match value.get_mut(member) {
            Some(new) => new.take(),
            None => return Err(wrong(&format!("{member} is missing"))),
        };
        if member == LINE {
            match new.as_str() {
                None => return Err(wrong("line is no text")),
                Some(text) if text.contains(['\n', '\r']) => {
                    return Err(wrong("line has a line break inside"));
                }
                Some(_) => {}
            }
        }
        if new != old {
            edited.changes.push(Change {
                n,
                old: shown(&old),
                new: Some(shown(&new)),
            });
            edited.edits.insert(n, new);
        }
        Ok(())
    })?;
    if let Some((n, (number, _))) = given.first_key_value() {
        let problem =
            format!("line {number}: {n} is not among the chosen: only what failed can be edited");
        return Err(Error::file(name, problem));
    }
    if edited.left_out.len() as u64 == subset.len() {
        return Err(Error::file(
            name,
            "everything was taken out: nothing is left to run",
        ));
    }
    Ok(edited)
}

fn parse(line: &str) -> Result<(u64, Value), String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if !value.is_object() {
        return Err("is no JSON object".to_owned());
    }
    match value["n"].as_u64() {
        Some(n) => Ok((n, value)),
        None => Err("n is missing: it tells which item this is".to_owned()),
    }
}

/// The line of an item of the shipped workflow.
fn line_of(item: &Value) -> Option<&str> {
    let members = item.as_object()?;
    members.get("n")?.as_u64()?;
    members.get(LINE)?.as_str().filter(|_| members.len() == 2)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
