//! The objects of a bucket below a prefix: as items themselves, or their contents as one stream of
//! items (`Transformation: LOAD_AND_FLATTEN`).

use serde_json::json;

use super::open::Store;
use super::{Item, Stop, Visit, object};
use crate::engine::definition::Format;
use crate::engine::objects::{ListQuery, ObjectInfo};

/// Objects listed at once, as S3 does.
const PAGE: usize = 1_000;

/// `format` of the contents; `None` lists the objects themselves.
pub(super) fn items(
    store: Store<'_>,
    bucket: &str,
    prefix: &str,
    format: Option<&Format>,
    visit: &mut Visit<'_>,
) -> Result<(), Stop> {
    store.check_owner()?;
    let mut query = ListQuery {
        prefix: prefix.to_owned(),
        most: PAGE,
        ..ListQuery::default()
    };
    loop {
        let page = store.objects.list(bucket, &query)?;
        for info in &page.objects {
            match format {
                None => visit(Item::plain(listed(info).to_string().as_bytes()))?,
                // A folder, as consoles make them, has no contents.
                Some(_) if info.size == 0 && info.key.ends_with('/') => {}
                Some(format) => {
                    let source = format!("S3://{bucket}/{}", info.key);
                    object(store, bucket, &info.key, None, format, &mut |item| {
                        visit(Item {
                            source: Some(&source),
                            ..item
                        })
                    })?;
                }
            }
        }
        match page.next {
            Some(next) => query.from = next,
            None => return Ok(()),
        }
    }
}

/// An object as AWS hands it over: `Etag`, not `ETag`, and whole seconds since 1970.
fn listed(info: &ObjectInfo) -> serde_json::Value {
    json!({
        "Etag": info.etag,
        "Key": info.key,
        "LastModified": info.modified.div_euclid(1_000) as f64,
        "Size": info.size,
        "StorageClass": "STANDARD",
    })
}
