use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use md5::{Digest, Md5};

use super::writing::quoted_hex;
use super::*;

fn storage() -> (TempDir, Objects) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    objects.create_bucket("bucket").unwrap();
    (folder, objects)
}

fn put(objects: &Objects, key: &str, bytes: &[u8]) -> ObjectInfo {
    let mut writing = objects.write("bucket", key).unwrap();
    writing.write_all(bytes).unwrap();
    writing.commit(false).unwrap()
}

fn put_part(objects: &Objects, upload: &UploadId, number: u16, bytes: &[u8]) -> (u16, String) {
    let mut part = objects.write_part(upload, number).unwrap();
    part.write_all(bytes).unwrap();
    (number, part.commit(None).unwrap().etag)
}

fn begin(objects: &Objects, key: &str) -> UploadId {
    objects
        .create_upload("bucket", key, Attributes::default(), None)
        .unwrap()
}

fn complete(
    objects: &Objects,
    upload: &UploadId,
    chosen: &[(u16, String)],
) -> Result<ObjectInfo, ObjectsError> {
    objects.complete_upload(upload, chosen, &Condition::Always, |_| Ok(None))
}

fn get(objects: &Objects, key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (info, mut reader) = objects.read("bucket", key).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    assert_eq!(info.size, bytes.len() as u64);
    bytes
}

fn blob_files(folder: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(folder.join("blobs")).unwrap();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[test]
fn an_object_has_its_md5_as_etag() {
    let (_folder, objects) = storage();
    let info = put(&objects, "a", b"hello");
    assert_eq!(info.etag, "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(objects.head("bucket", "a").unwrap(), info);
    assert_eq!(get(&objects, "a"), b"hello");
}

#[test]
fn an_object_is_invisible_before_its_commit_and_leaves_nothing_without_one() {
    let (folder, objects) = storage();
    let mut writing = objects.write("bucket", "a").unwrap();
    writing.write_all(b"half").unwrap();
    assert!(matches!(
        objects.head("bucket", "a"),
        Err(ObjectsError::NoSuchKey(_))
    ));
    drop(writing);
    assert_eq!(blob_files(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn what_a_killed_writer_left_goes_at_the_next_start() {
    let (folder, objects) = storage();
    put(&objects, "kept", b"kept");
    let upload = begin(&objects, "later");
    let part = put_part(&objects, &upload, 1, b"part");
    let mut writing = objects.write("bucket", "a").unwrap();
    writing.write_all(b"half").unwrap();
    writing.flush().unwrap();
    let mut sealed = objects.write("bucket", "b").unwrap();
    sealed.write_all(b"synced but not in the index").unwrap();
    sealed.blob.seal().unwrap();
    // A killed process runs no destructor: its blobs stay, and so would its lock on the index but
    // for the system, which is why the copy and not the folder itself is opened again.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    assert_eq!(blob_files(copy.path()).len(), 4);

    let reopened = Objects::open(copy.path()).unwrap();
    assert_eq!(blob_files(copy.path()).len(), 2);
    assert_eq!(get(&reopened, "kept"), b"kept");
    complete(&reopened, &upload, &[part]).unwrap();
    assert_eq!(get(&reopened, "later"), b"part");
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn a_reader_keeps_the_bytes_it_began_with() {
    let (folder, objects) = storage();
    let upload = begin(&objects, "a");
    let first = vec![1; MIN_PART as usize];
    let parts = [
        put_part(&objects, &upload, 1, &first),
        put_part(&objects, &upload, 2, b"old"),
    ];
    complete(&objects, &upload, &parts).unwrap();
    let (_, mut reader) = objects.read("bucket", "a").unwrap();
    put(&objects, "a", b"new");
    objects.delete("bucket", "a", &Condition::Always).unwrap();

    reader.seek(SeekFrom::End(-4)).unwrap();
    let mut tail = Vec::new();
    reader.read_to_end(&mut tail).unwrap();
    assert_eq!(tail, b"\x01old");
    assert_eq!(blob_files(folder.path()).len(), 2);
    drop(reader);
    assert_eq!(blob_files(folder.path()).len(), 0);
}

#[test]
fn a_replaced_object_leaves_no_blob() {
    let (folder, objects) = storage();
    put(&objects, "a", b"one");
    put(&objects, "a", b"two");
    assert_eq!(get(&objects, "a"), b"two");
    assert_eq!(blob_files(folder.path()).len(), 1);
}

#[test]
fn readers_and_writers_of_one_key_do_not_disturb_each_other() {
    let (folder, objects) = storage();
    put(&objects, "a", b"0");
    std::thread::scope(|scope| {
        for writer in 1..=2_u8 {
            let objects = &objects;
            scope.spawn(move || {
                for round in 1..=15 {
                    put(objects, "a", &vec![writer; round * 1000]);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let (info, mut reader) = objects.read("bucket", "a").unwrap();
                    let mut bytes = Vec::new();
                    reader.read_to_end(&mut bytes).unwrap();
                    assert_eq!(quoted_hex(&Md5::digest(&bytes)), info.etag);
                }
            });
        }
    });
    assert_eq!(blob_files(folder.path()).len(), 1);
}

#[test]
fn keys_are_names_and_never_paths() {
    let (_folder, objects) = storage();
    let long = "é".repeat(512);
    let keys = [
        "a", "a/b", "a//b", "/", "..", "../../x", "a\0b", "con", "\u{202e}", &long,
    ];
    for key in keys {
        put(&objects, key, key.as_bytes());
    }
    for key in keys {
        assert_eq!(get(&objects, key), key.as_bytes());
    }
    let too_long = format!("{long}x");
    assert!(matches!(
        objects.write("bucket", &too_long),
        Err(ObjectsError::KeyLength(1025))
    ));
    assert!(matches!(
        objects.write("bucket", ""),
        Err(ObjectsError::KeyLength(0))
    ));
}

#[test]
fn conditions_are_checked_when_the_object_becomes_visible() {
    let (folder, objects) = storage();
    let late = objects.write("bucket", "a").unwrap();
    let etag = put(&objects, "a", b"first").etag;
    assert!(matches!(
        late.commit_if(&Condition::Absent, false),
        Err(ObjectsError::PreconditionFailed(_))
    ));
    let update = objects.write("bucket", "a").unwrap();
    update
        .commit_if(&Condition::Etag(etag.clone()), false)
        .unwrap();
    let stale = objects.write("bucket", "a").unwrap();
    assert!(matches!(
        stale.commit_if(&Condition::Etag(etag), false),
        Err(ObjectsError::PreconditionFailed(_))
    ));
    assert_eq!(get(&objects, "a"), b"");
    assert_eq!(blob_files(folder.path()).len(), 1);
    assert!(matches!(
        objects.delete("bucket", "b", &Condition::Present),
        Err(ObjectsError::NoSuchKey(_))
    ));
}

#[test]
fn parts_become_one_object() {
    let (folder, objects) = storage();
    let upload = begin(&objects, "a");
    let five = vec![b'x'; MIN_PART as usize];
    put_part(&objects, &upload, 1, b"replaced");
    let first = put_part(&objects, &upload, 1, &five);
    put_part(&objects, &upload, 2, b"left out");
    let last = put_part(&objects, &upload, 9, b"end");
    let info = complete(&objects, &upload, &[first, last]).unwrap();

    assert_eq!(info.size, MIN_PART + 3);
    assert!(info.etag.ends_with("-2\""), "{}", info.etag);
    assert_eq!(info.parts, [MIN_PART, 3]);
    let mut bytes = five;
    bytes.extend_from_slice(b"end");
    assert_eq!(get(&objects, "a"), bytes);
    assert_eq!(blob_files(folder.path()).len(), 2);
    assert!(matches!(
        objects.parts(&upload, 0, 10),
        Err(ObjectsError::NoSuchUpload(_))
    ));
}

#[test]
fn an_upload_that_cannot_be_completed_stays_as_it_was() {
    let (_folder, objects) = storage();
    put(&objects, "a", b"there");
    let upload = begin(&objects, "a");
    let one = put_part(&objects, &upload, 1, b"small");
    let two = put_part(&objects, &upload, 2, b"end");
    let check = |chosen: &[(u16, String)], expected: fn(&ObjectsError) -> bool| {
        let error = complete(&objects, &upload, chosen).unwrap_err();
        assert!(expected(&error), "{error}");
    };
    check(&[one.clone(), two.clone()], |error| {
        matches!(error, ObjectsError::PartTooSmall(1))
    });
    check(&[two.clone(), one.clone()], |error| {
        matches!(error, ObjectsError::InvalidPartOrder)
    });
    check(&[(1, two.1.clone())], |error| {
        matches!(error, ObjectsError::InvalidPart(1))
    });
    check(&[(3, one.1.clone())], |error| {
        matches!(error, ObjectsError::InvalidPart(3))
    });
    assert!(matches!(
        objects.complete_upload(
            &upload,
            std::slice::from_ref(&two),
            &Condition::Absent,
            |_| Ok(None)
        ),
        Err(ObjectsError::PreconditionFailed(_))
    ));
    assert_eq!(objects.parts(&upload, 0, 10).unwrap().len(), 2);
    complete(&objects, &upload, &[two]).unwrap();
    assert_eq!(get(&objects, "a"), b"end");
}

#[test]
fn the_etag_of_one_part_is_the_multipart_form() {
    let (_folder, objects) = storage();
    let mut writing = objects.write("bucket", "a").unwrap();
    writing.write_all(b"hello").unwrap();
    let direct = writing.commit(true).unwrap();
    let upload = begin(&objects, "b");
    let part = put_part(&objects, &upload, 1, b"hello");
    let uploaded = complete(&objects, &upload, &[part]).unwrap();
    assert_eq!(direct.etag, uploaded.etag);
    assert!(direct.etag.ends_with("-1\""));
}

#[test]
fn uploads_are_listed_by_key_and_begin() {
    let (_folder, objects) = storage();
    let b = begin(&objects, "b");
    let a = begin(&objects, "a");
    let ab = begin(&objects, "ab");
    let ids = |prefix: &str, behind: (&str, Option<&str>), most| {
        let uploads = objects.uploads("bucket", prefix, behind, most).unwrap();
        uploads.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("", ("", None), 10), [a.clone(), ab.clone(), b.clone()]);
    assert_eq!(ids("a", ("", None), 10), [a.clone(), ab.clone()]);
    assert_eq!(ids("", ("a", None), 1), std::slice::from_ref(&ab));
    assert_eq!(ids("", ("a", Some(&a.id)), 10), [ab.clone(), b.clone()]);
    assert_eq!(ids("", ("a", Some("")), 1), std::slice::from_ref(&a));
    objects.abort_upload(&a).unwrap();
    assert_eq!(ids("", ("", None), 10), [ab, b]);
}

#[test]
fn a_bucket_with_objects_cannot_be_deleted() {
    let (folder, objects) = storage();
    put(&objects, "a", b"a");
    assert!(matches!(
        objects.delete_bucket("bucket"),
        Err(ObjectsError::BucketNotEmpty(_))
    ));
    objects.delete_all("bucket", ["a", "not there"]).unwrap();
    let upload = begin(&objects, "a");
    put_part(&objects, &upload, 1, b"part");
    objects.create_bucket("bucket2").unwrap();
    objects.delete_bucket("bucket").unwrap();
    assert!(matches!(
        objects.read("bucket", "a"),
        Err(ObjectsError::NoSuchBucket(_))
    ));
    assert_eq!(blob_files(folder.path()).len(), 0);
    assert_eq!(objects.buckets().unwrap().len(), 1);
}

#[test]
fn a_second_owner_is_told_who_is_in_the_way() {
    let (folder, _objects) = storage();
    let error = Objects::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

#[test]
fn a_damaged_index_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    drop(Objects::open(folder.path()).unwrap());
    std::fs::write(folder.path().join("objects.redb"), b"not an index").unwrap();
    let error = Objects::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("objects.redb"), "{error}");
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, objects) = storage();
    put(&objects, "a", b"a");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let blob = blob_files(folder.path()).remove(0);
    assert_eq!(mode(&blob), 0o600);
    assert_eq!(mode(blob.parent().unwrap()), 0o700);
    assert_eq!(mode(&folder.path().join("blobs")), 0o700);
    assert_eq!(mode(&folder.path().join("objects.redb")), 0o600);
}

#[test]
fn nothing_sorts_between_a_prefix_and_what_is_after_it() {
    assert_eq!(after_prefix("a/").as_deref(), Some("a0"));
    assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
    assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
    assert_eq!(after_prefix("\u{10ffff}"), None);
}

/// The listing that S3 describes, without an index: what [`Objects::list`] must agree with.
fn expected(
    keys: &BTreeSet<String>,
    query: &ListQuery,
) -> (Vec<String>, BTreeSet<String>, Option<String>) {
    let (mut plain, mut rolled_up) = (Vec::new(), BTreeSet::new());
    let wanted = keys.range(query.from.clone()..);
    for key in wanted.filter(|key| key.starts_with(&query.prefix)) {
        let group = query.delimiter.as_deref().and_then(|delimiter| {
            let rest = &key[query.prefix.len()..];
            let at = rest.find(delimiter)?;
            Some(key[..query.prefix.len() + at + delimiter.len()].to_owned())
        });
        if group
            .as_ref()
            .is_some_and(|group| rolled_up.contains(group))
        {
            continue;
        }
        if plain.len() + rolled_up.len() == query.most {
            return (plain, rolled_up, Some(key.clone()));
        }
        if let Some(group) = group {
            rolled_up.insert(group);
        } else {
            plain.push(key.clone());
        }
    }
    (plain, rolled_up, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn listings_agree_with_a_plain_map(
        keys in prop::collection::btree_set("[ab/é\u{10ffff}]{1,5}", 0..24),
        queries in prop::collection::vec(
            ("[ab/]{0,2}", prop::option::of("/|b|/a|\u{10ffff}"), "[ab/é]{0,3}", 1_usize..6),
            12,
        ),
    ) {
        let (_folder, objects) = storage();
        objects.create_bucket("aaa").unwrap();
        objects.create_bucket("zzz").unwrap();
        objects.write("zzz", "a").unwrap().commit(false).unwrap();
        // Keys alone, for a listing does not look at bytes and the disk is slow to sync them.
        let template = put(&objects, "template", b"");
        objects.delete("bucket", "template", &Condition::Always).unwrap();
        for key in &keys {
            let info = ObjectInfo { key: key.clone(), ..template.clone() };
            let row = index::ObjectRow { info, segments: Vec::new() };
            objects.index.put_object("bucket", &row, &Condition::Always).unwrap();
        }
        for (prefix, delimiter, from, most) in queries {
            let mut query = ListQuery { prefix, delimiter, from, most };
            loop {
                let listing = objects.list("bucket", &query).unwrap();
                let (plain, rolled_up, next) = expected(&keys, &query);
                let found: Vec<String> = listing.objects.iter().map(|it| it.key.clone()).collect();
                prop_assert_eq!(found, plain);
                prop_assert_eq!(listing.prefixes, rolled_up.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(&listing.next, &next);
                let Some(next) = next else { break };
                query.from = next;
            }
        }
    }

    #[test]
    fn a_reader_reads_like_the_bytes_themselves(
        tail in prop::collection::vec(any::<u8>(), 0..50),
        moves in prop::collection::vec((0_u64..100, 0_usize..80), 1..20),
    ) {
        let (_folder, objects) = storage();
        let upload = begin(&objects, "a");
        let head = vec![7; MIN_PART as usize];
        let parts = [put_part(&objects, &upload, 1, &head), put_part(&objects, &upload, 2, &tail)];
        complete(&objects, &upload, &parts).unwrap();
        let mut bytes = head;
        bytes.extend_from_slice(&tail);
        let mut plain = std::io::Cursor::new(bytes);
        let (_, mut reader) = objects.read("bucket", "a").unwrap();
        for (back, count) in moves {
            let to = SeekFrom::Start(MIN_PART + 50 - back);
            prop_assert_eq!(reader.seek(to).unwrap(), plain.seek(to).unwrap());
            let (mut one, mut other) = (Vec::new(), Vec::new());
            (&mut reader).take(count as u64).read_to_end(&mut one).unwrap();
            (&mut plain).take(count as u64).read_to_end(&mut other).unwrap();
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn the_storage_is_a_durable_map(
        changes in prop::collection::vec(("[abc]", prop::option::of("[xy]{0,9}"), any::<bool>()), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut objects = Objects::open(folder.path()).unwrap();
        objects.create_bucket("bucket").unwrap();
        let mut model = BTreeMap::new();
        for (key, value, reopen) in changes {
            if let Some(value) = value {
                put(&objects, &key, value.as_bytes());
                model.insert(key, value);
            } else {
                objects.delete("bucket", &key, &Condition::Always).unwrap();
                model.remove(&key);
            }
            if reopen {
                drop(objects);
                objects = Objects::open(folder.path()).unwrap();
            }
        }
        let query = ListQuery { most: 100, ..ListQuery::default() };
        let listed = objects.list("bucket", &query).unwrap().objects;
        let found: BTreeMap<String, String> = listed
            .into_iter()
            .map(|it| (it.key.clone(), String::from_utf8(get(&objects, &it.key)).unwrap()))
            .collect();
        prop_assert_eq!(&found, &model);
        prop_assert_eq!(blob_files(folder.path()).len(), model.len());
    }
}
