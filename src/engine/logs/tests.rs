use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits {
    total: 1 << 20,
    segment: 2_000,
    queue: 1 << 20,
};

fn open(folder: &Path, limits: Limits) -> Logs {
    Logs::open_with(folder, Arc::default(), limits).unwrap()
}

fn event(timestamp: i64, message: impl Into<String>) -> Event {
    Event {
        timestamp,
        message: message.into(),
    }
}

fn query(group: &str) -> Query {
    Query {
        group: group.to_owned(),
        streams: Streams::All,
        from: 0,
        until: i64::MAX,
        order: Order::OldestFirst,
        after: None,
        limit: 10_000,
        bytes: 1 << 20,
    }
}

/// Everything, page by page.
fn all(logs: &Logs, query: &Query) -> Vec<String> {
    let mut query = query.clone();
    let mut messages = Vec::new();
    loop {
        let page = logs.read(&query, |_| true).unwrap();
        assert!(page.events.len() <= query.limit);
        messages.extend(page.events.into_iter().map(|found| found.message));
        query.after = page.next;
        if page.next.is_none() {
            return messages;
        }
    }
}

fn only_segment(folder: &Path) -> PathBuf {
    let group = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    group.path().join("00000000.events")
}

#[tokio::test]
async fn what_was_appended_is_there_after_the_folder_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path(), SMALL);
    for number in 0..100 {
        logs.append(
            "g",
            "even",
            vec![event(2 * number, format!("{}", 2 * number))],
        );
        logs.append(
            "g",
            "odd",
            vec![event(2 * number + 1, format!("{}", 2 * number + 1))],
        );
    }
    logs.stop().await;
    let logs = open(folder.path(), SMALL);
    let numbers: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let paged = Query {
        limit: 7,
        ..query("g")
    };
    assert_eq!(all(&logs, &paged), numbers);
    fs::write(folder.path().join(".DS_Store"), "").unwrap();
    drop(logs);
    let logs = open(folder.path(), SMALL);
    let odd = Query {
        streams: Streams::Named(vec!["odd".into()]),
        from: 5,
        until: 11,
        order: Order::NewestFirst,
        limit: 2,
        ..query("g")
    };
    assert_eq!(all(&logs, &odd), ["9", "7", "5"]);
    let streams = logs.streams("g", "o").unwrap();
    assert_eq!(streams.len(), 1);
    let span = streams[0].span.unwrap();
    assert_eq!((span.first, span.last), (1, 199));
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_writing_goes_on_there() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path(), Limits::default());
    logs.append("g", "s", vec![event(1, "whole"), event(2, "also")]);
    logs.stop().await;
    let path = only_segment(folder.path());
    let whole = fs::metadata(&path).unwrap().len();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&[77; 20]).unwrap();
    let logs = open(folder.path(), Limits::default());
    assert_eq!(fs::metadata(&path).unwrap().len(), whole);
    logs.append("g", "s", vec![event(3, "later")]);
    logs.flush().await.unwrap();
    assert_eq!(all(&logs, &query("g")), ["whole", "also", "later"]);
}

#[tokio::test]
async fn a_damaged_group_is_left_out_until_it_is_mended_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path(), Limits::default());
    for group in ["good", "hurt"] {
        logs.append(group, "s", vec![event(1, group)]);
    }
    logs.stop().await;
    let groups = fs::read_dir(folder.path()).unwrap();
    let rows = groups.map(|group| group.unwrap().path().join("group.json"));
    let is_hurt = |row: &PathBuf| fs::read_to_string(row).unwrap().contains("hurt");
    let row = rows.into_iter().find(is_hurt).unwrap();
    let whole = fs::read(&row).unwrap();
    fs::write(&row, &whole[..whole.len() / 2]).unwrap();

    let logs = open(folder.path(), Limits::default());
    assert_eq!(all(&logs, &query("good")), ["good"]);
    assert_eq!(logs.group("hurt"), None);
    // The name may be used again meanwhile.
    logs.append("hurt", "s", vec![event(2, "new")]);
    logs.flush().await.unwrap();
    logs.stop().await;

    fs::write(&row, &whole).unwrap();
    let logs = open(folder.path(), Limits::default());
    let [found] = all(&logs, &query("hurt")).try_into().unwrap();
    logs.stop().await;
    let other = ["hurt", "new"].into_iter().find(|text| *text != found);
    // Whichever was left out is there as soon as the other one is out of its way.
    let groups = fs::read_dir(folder.path()).unwrap();
    let groups: Vec<PathBuf> = groups.map(|group| group.unwrap().path()).collect();
    assert_eq!(groups.len(), 3);
    let shown = groups.iter().find(|group| {
        let bytes = fs::read(group.join("00000000.events")).unwrap();
        bytes
            .windows(found.len())
            .any(|part| part == found.as_bytes())
    });
    fs::remove_dir_all(shown.unwrap()).unwrap();
    let logs = open(folder.path(), Limits::default());
    assert_eq!(all(&logs, &query("hurt")), [other.unwrap()]);
}

#[tokio::test]
async fn a_segment_whose_index_is_damaged_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path(), SMALL);
    for number in 0..100 {
        logs.append("g", "s", vec![event(number, "x".repeat(50))]);
    }
    logs.stop().await;
    let index = only_segment(folder.path()).with_extension("index");
    assert!(index.exists(), "more than one segment");
    fs::write(&index, "rubbish").unwrap();
    let logs = open(folder.path(), SMALL);
    assert_eq!(all(&logs, &query("g")).len(), 100);
}

#[tokio::test]
async fn the_oldest_events_go_when_there_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        total: 10_000,
        ..SMALL
    };
    let clock = Arc::<Clock>::default();
    let logs = Logs::open_with(folder.path(), Arc::clone(&clock), limits).unwrap();
    logs.append("quiet", "s", vec![event(0, "old")]);
    clock.advance(std::time::Duration::from_secs(1));
    for number in 0..500 {
        logs.append("g", "s", vec![event(number, format!("{number:050}"))]);
    }
    logs.flush().await.unwrap();
    let left = all(&logs, &query("g"));
    assert!(!left.is_empty() && left.len() < 200, "{}", left.len());
    assert_eq!(left.last().unwrap(), &format!("{:050}", 499));
    let total: u64 = logs
        .groups(None, 50, |_| true)
        .0
        .iter()
        .map(|(_, bytes)| bytes)
        .sum();
    assert!(total <= limits.total + limits.segment, "{total}");
    // The group is still there, and takes new events.
    assert_eq!(all(&logs, &query("quiet")), Vec::<String>::new());
    logs.append("quiet", "s", vec![event(1, "new")]);
    logs.flush().await.unwrap();
    assert_eq!(all(&logs, &query("quiet")), ["new"]);
}

#[tokio::test]
async fn expired_events_are_not_shown_and_their_files_go() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::<Clock>::default();
    let logs = Logs::open_with(folder.path(), Arc::clone(&clock), SMALL).unwrap();
    let now = clock.now();
    for number in 0..100 {
        logs.append("g", "s", vec![event(now + number, "x".repeat(50))]);
    }
    logs.retain("g", Some(1)).await.unwrap();
    assert_eq!(all(&logs, &query("g")).len(), 100);
    clock.advance(std::time::Duration::from_hours(25));
    assert_eq!(all(&logs, &query("g")).len(), 0);
    logs.retain("g", Some(1)).await.unwrap();
    let (groups, _) = logs.groups(None, 1, |_| true);
    assert!(groups[0].1 < 100, "{}", groups[0].1);
}

#[tokio::test]
async fn groups_and_streams_are_made_once_and_go_with_their_events() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path(), SMALL);
    assert_eq!(logs.create_stream("g", "s").await, Err(Error::NoGroup));
    let tags = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    logs.create_group("g", tags.clone()).await.unwrap();
    assert_eq!(
        logs.create_group("g", BTreeMap::new()).await,
        Err(Error::GroupExists)
    );
    assert_eq!(
        logs.put("g", "s", vec![event(1, "a")]).await,
        Err(Error::NoStream)
    );
    logs.create_stream("g", "s").await.unwrap();
    assert_eq!(logs.create_stream("g", "s").await, Err(Error::StreamExists));
    logs.put("g", "s", vec![event(1, "a")]).await.unwrap();
    logs.delete_stream("g", "s").await.unwrap();
    logs.create_stream("g", "s").await.unwrap();
    assert_eq!(
        all(&logs, &query("g")),
        Vec::<String>::new(),
        "a new stream is empty"
    );
    assert_eq!(logs.group("g").unwrap().tags, tags);
    logs.delete_group("g").await.unwrap();
    assert_eq!(logs.delete_group("g").await, Err(Error::NoGroup));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn who_follows_gets_what_is_selected_and_no_more_than_an_update_holds() {
    let folder = tempfile::tempdir().unwrap();
    let logs = open(folder.path(), SMALL);
    let tail = logs.follow(Selection {
        groups: vec![("g".into(), vec![Streams::Prefix("a".into())])],
        accepts: Box::new(|message| message != "no"),
    });
    logs.append(
        "g",
        "ab",
        vec![event(2, "yes"), event(1, "no"), event(0, "first")],
    );
    logs.append("g", "b", vec![event(1, "yes")]);
    logs.append("h", "a", vec![event(1, "yes")]);
    logs.flush().await.unwrap();
    let update = tail.take();
    let messages: Vec<_> = update
        .events
        .iter()
        .map(|it| it.event.message.as_str())
        .collect();
    assert_eq!((messages, update.sampled), (vec!["first", "yes"], false));
    assert_eq!(tail.take(), Update::default());
    logs.append("g", "a", (0..2_000).map(|at| event(at, "many")).collect());
    logs.flush().await.unwrap();
    let update = tail.take();
    assert_eq!((update.events.len(), update.sampled), (500, true));
    assert!(
        update.events.iter().any(|it| it.event.timestamp >= 1_000),
        "of all of them"
    );
}

#[tokio::test]
async fn events_that_come_too_fast_are_dropped_and_their_stream_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { queue: 0, ..SMALL };
    let logs = open(folder.path(), limits);
    logs.append("g", "s", vec![event(1, "lost"), event(2, "lost too")]);
    // Nobody waits for it, and it is told when the thread looks next.
    logs.stop().await;
    let logs = open(folder.path(), SMALL);
    let told = all(&logs, &query("g"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("WARN 2 log events"), "{told:?}");
    logs.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever order events come in, pages of any size give all of them once, in order.
    #[test]
    fn pages_are_in_order_and_complete(
        batches in proptest::collection::vec(proptest::collection::vec((0_i64..60, 0_usize..40), 1..12), 1..30),
        limit in 1_usize..20,
        bytes in 1_usize..600,
        from in 0_i64..30,
        until in 20_i64..70,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { segment: 600, ..SMALL };
        let logs = open(folder.path(), limits);
        let mut expected = Vec::new();
        for (batch, events) in batches.iter().enumerate() {
            let events: Vec<Event> = events
                .iter()
                .enumerate()
                .map(|(index, (at, length))| event(*at, format!("{batch:03}/{index:03}{}", "x".repeat(*length))))
                .collect();
            expected.extend(events.iter().filter(|event| (from..until).contains(&event.timestamp)).cloned());
            logs.append("g", if batch % 3 == 0 { "a" } else { "b" }, events);
        }
        // Nothing to wait for but the writer, which ends when everything is written.
        drop(logs);
        let logs = open(folder.path(), limits);
        expected.sort_by_key(|event| event.timestamp);
        let expected: Vec<String> = expected.into_iter().map(|event| event.message).collect();
        let oldest = Query { from, until, limit, bytes, ..query("g") };
        prop_assert_eq!(all(&logs, &oldest), expected.clone());
        let newest = Query { order: Order::NewestFirst, ..oldest };
        let mut backwards = all(&logs, &newest);
        backwards.reverse();
        prop_assert_eq!(backwards, expected);
    }

    #[test]
    fn decoding_an_event_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = segment::decode(&bytes);
    }
}
