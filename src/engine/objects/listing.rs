//! Pages of a bucket in the order of its keys.

use std::ops::Bound;

use redb::ReadableTable;
use serde::Deserialize;

use super::index::{ObjectKey, decode};
use super::{ObjectInfo, ObjectsError};

/// What of a bucket to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListQuery {
    pub prefix: String,
    /// Keys that have it behind the prefix are rolled up.
    pub delimiter: Option<String>,
    /// First key wanted, itself included; see [`after_key`] and [`after_prefix`].
    pub from: String,
    /// Most entries on the page.
    pub most: usize,
}

/// One page of keys.
#[derive(Debug, Default, PartialEq)]
pub struct Listing {
    pub objects: Vec<ObjectInfo>,
    /// What keys with the delimiter were rolled up to, the delimiter included.
    pub prefixes: Vec<String>,
    /// First key of the next page; `None` on the last one.
    pub next: Option<String>,
}

impl Listing {
    /// Entries on the page.
    pub fn len(&self) -> usize {
        self.objects.len() + self.prefixes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The beginning of `key` up to and with the first `delimiter` behind `prefix`.
fn roll_up<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// The least string greater than `key`.
pub fn after_key(key: &str) -> String {
    format!("{key}\0")
}

/// The least string greater than everything that begins with `prefix`, if there is any.
///
/// UTF-8 orders bytes as Unicode orders characters, so it is enough to count up the last
/// character that can be counted up.
pub fn after_prefix(prefix: &str) -> Option<String> {
    let mut kept = prefix.to_owned();
    while let Some(last) = kept.pop() {
        // A range of characters steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            kept.push(next);
            return Some(kept);
        }
    }
    None
}

/// The part of an object's row that a listing needs.
#[derive(Deserialize)]
struct ListedRow {
    info: ObjectInfo,
}

/// One page. What the delimiter rolls up becomes one entry, and the table is entered again behind
/// it instead of walked through.
pub(super) fn page(
    objects: &impl ReadableTable<ObjectKey, &'static [u8]>,
    bucket: &str,
    query: &ListQuery,
) -> Result<Listing, ObjectsError> {
    let mut listing = Listing::default();
    if query.most == 0 {
        return Ok(listing);
    }
    let prefix = query.prefix.as_str();
    let mut from = prefix.max(&query.from).to_owned();
    'enter: loop {
        let range = (Bound::Included((bucket, from.as_str())), Bound::Unbounded);
        for row in objects.range::<(&str, &str)>(range)? {
            let (row_key, row) = row?;
            let (of, key) = row_key.value();
            if of != bucket || !key.starts_with(prefix) {
                return Ok(listing);
            }
            if listing.len() == query.most {
                listing.next = Some(key.to_owned());
                return Ok(listing);
            }
            let delimiter = query.delimiter.as_deref();
            let rolled_up = delimiter.and_then(|delimiter| roll_up(key, prefix, delimiter));
            let Some(rolled_up) = rolled_up else {
                let ListedRow { info } = decode(row.value())?;
                listing.objects.push(info);
                continue;
            };
            let rolled_up = rolled_up.to_owned();
            let behind = after_prefix(&rolled_up);
            listing.prefixes.push(rolled_up);
            match behind {
                Some(behind) => from = behind,
                None => return Ok(listing),
            }
            continue 'enter;
        }
        return Ok(listing);
    }
}
