//! What the outputs look like and what their keys ask for.

use serde_json::json;

use crate::client::ObjectVersion;
use crate::model::Object;
use crate::operations::outputs::{Hit, Kind, Listing, Output, PAGE, Packing, Page};
use crate::operations::reconcile::{Lines, Reconciliation};
use crate::operations::{Progress, merge};
use crate::tui::event::{Ask, Cause, Deed, Effect, Event, Trouble};
use crate::tui::harness::{Harness, PART, ago, arn, output, trouble};
use crate::tui::preview::Beginning;
use crate::tui::screen::Screen;

const MAP: &str = "results/6dbfe4c1-7a0e-4d5e-9b1e-1c7eddb0aaaa";

fn outputs() -> Vec<Output> {
    vec![
        output(Kind::Final, "ledger/2026-11-22/output.csv", 398_200_000),
        output(
            Kind::Final,
            "ledger/2026-11-22/output.csv.failed.jsonl",
            21_200,
        ),
        output(Kind::Result, &format!("{MAP}/manifest.json"), 1_100),
        output(Kind::Result, &format!("{MAP}/FAILED_0.json"), 188_000),
        output(
            Kind::Result,
            &format!("{MAP}/SUCCEEDED_0.json"),
            612_000_000,
        ),
        output(
            Kind::Result,
            &format!("{MAP}/Redrive-1/FAILED_0.json"),
            1_300,
        ),
        output(
            Kind::Result,
            &format!("{MAP}/Redrive-1/SUCCEEDED_0.json"),
            90_000,
        ),
        output(Kind::Source, "ledger/2026-11-22.txt", 81_000_000),
    ]
}

fn listed() -> Harness {
    let mut harness = Harness::sample().keys("jj4");
    harness.send(Event::Outputs(arn(PART), Ok(Listing::of(outputs()))));
    harness
}

fn page(object: &Object, at: u64, bytes: &[u8]) -> Event {
    let page = Page {
        range: at..at + bytes.len() as u64,
        bytes: bytes.to_vec(),
        packing: None,
        trouble: None,
    };
    Event::Preview(Box::new(object.clone()), Ok(page))
}

fn table(lines: u64) -> Vec<u8> {
    let line = |n: u64| format!("e-{n:06},4000-{},2026-11-22,\"1,{n}\",EUR\n", n % 9);
    let lines: String = (1..=lines).map(line).collect();
    let mut bytes = format!("entry_id,account,date,net,cur\n{lines}").into_bytes();
    bytes.truncate(PAGE as usize);
    bytes
}

fn read() -> Harness {
    let mut harness = listed();
    let object = outputs().remove(0).object;
    harness.send(page(&object, 0, &table(9_000)));
    harness.send(Event::Versions(object.address, Ok(None)));
    harness
}

fn pages(asked: &[Effect]) -> Vec<u64> {
    let pages = asked.iter().filter_map(|effect| match effect {
        Effect::Ask(Ask::Preview(_, at)) => Some(*at),
        _ => None,
    });
    pages.collect()
}

#[test]
fn outputs_with_preview_and_a_download() {
    let mut harness = read();
    let address = outputs().remove(0).object.address;
    let progress = Progress {
        done: 255_000_000,
        total: 398_200_000,
    };
    harness.send(Event::Progress(Deed::Download(address), progress));
    harness.check("outputs");
}

#[test]
fn outputs_being_listed() {
    Harness::sample().keys("4").check("outputs_loading");
}

#[test]
fn outputs_of_a_run_without_any() {
    let mut harness = Harness::sample().keys("jj4");
    harness.send(Event::Outputs(arn(PART), Ok(Listing::default())));
    harness.check("outputs_empty");
}

#[test]
fn outputs_that_cannot_be_listed() {
    let mut harness = Harness::sample().keys("jj4");
    let denied = trouble("ListObjectsV2 of s3://prod-out/ledger/ failed: not allowed: m");
    harness.send(Event::Outputs(arn(PART), Err(denied)));
    harness.check("outputs_failed");
}

#[test]
fn ten_thousand_outputs_with_hostile_names_and_versions() {
    let mut harness = Harness::sample().keys("jj4");
    let names = [
        "a\u{1b}[31m\u{202e}.csv",
        "../../etc/passwd",
        "名前\u{1F600}",
    ];
    let mut many: Vec<Output> = (0..10_000)
        .map(|n| {
            let name = names[n % names.len()];
            output(
                Kind::Temporary,
                &format!("runs/r/{n}/{name}"),
                1 << (n % 40),
            )
        })
        .collect();
    many.insert(0, output(Kind::Final, &"x".repeat(1_024), u64::MAX / 2));
    let object = many[0].object.clone();
    harness.send(Event::Outputs(arn(PART), Ok(Listing::of(many))));
    harness.send(page(&object, 0, b"one line \x1b]0;\x07 and no end"));
    let versions = (0..20).map(|n| ObjectVersion {
        id: format!("v{n}"),
        size: (n % 3 != 1).then_some(n * 1_000),
        modified: ago(n as i64 * 86_400),
        is_latest: n == 0,
        etag: String::new(),
    });
    let versions = Ok(Some(versions.collect()));
    harness.send(Event::Versions(object.address, versions));
    harness.check("outputs_huge");
}

/// Three versions of the output, below it.
fn with_versions() -> Harness {
    let mut harness = read();
    let object = outputs().remove(0).object;
    let versions = [("v3", 398_200_000, 0), ("v2", 40, 2), ("v1", 38, 9)];
    let versions = versions.map(|(id, size, days)| ObjectVersion {
        id: id.to_owned(),
        size: Some(size),
        modified: ago(days * 86_400),
        is_latest: id == "v3",
        etag: if id == "v3" {
            object.etag.clone()
        } else {
            format!("\"{id}\"")
        },
    });
    harness.send(Event::Versions(object.address, Ok(Some(versions.to_vec()))));
    harness.keys("<right>")
}

#[test]
fn versions_are_listed_below_their_object_and_read_like_objects() {
    let mut harness = with_versions();
    let address = outputs().remove(0).object.address;
    let rows = |harness: &Harness| harness.app.screen().rows(&harness.app);
    assert_eq!(rows(&harness), 15);
    harness.taken();
    let mut harness = harness.keys("jj");
    harness.send(Event::Rested);
    let old = |asked: &[Effect]| -> Vec<Object> {
        let asked = asked.iter().filter_map(|effect| match effect {
            Effect::Ask(Ask::Preview(object, 0)) => Some((**object).clone()),
            _ => None,
        });
        asked.collect()
    };
    let asked = harness.taken();
    let asked = old(&asked);
    let [object] = asked.as_slice() else {
        panic!("one page of one object: {asked:?}");
    };
    assert_eq!(
        (&object.address, object.size),
        (&address.at_version("v2"), 40)
    );
    assert_eq!(object.etag, "\"v2\"");
    harness.send(page(object, 0, b"entry_id,account\ne-000001,4000-1\n"));
    harness.check("outputs_versions");
    // A link is to the version, and so is what is marked.
    let mut harness = harness.keys("u ");
    assert!(
        harness
            .taken()
            .contains(&Effect::Link(object.address.clone()))
    );
    assert!(harness.frame(200, 60).contains("1 marked"));
    // To the left they go, and the cursor is on their object.
    let harness = harness.keys("k<left>");
    assert_eq!(rows(&harness), 12);
    let Screen::Outputs(it) = harness.app.screen() else {
        panic!("outputs");
    };
    let chosen = it.chosen(&harness.app).expect("an object");
    assert_eq!(chosen.object.address, address);
}

#[test]
fn versions_that_are_no_longer_all_are_not_listed() {
    let mut harness = with_versions();
    let mut newer = outputs();
    newer[0].object.etag = "\"newer\"".to_owned();
    harness.send(Event::Outputs(arn(PART), Ok(Listing::of(newer))));
    assert_eq!(harness.app.screen().rows(&harness.app), 12);
}

#[test]
fn an_object_that_is_no_text_is_shown_as_octets() {
    let mut harness = listed().keys("G");
    let object = outputs().remove(7).object;
    harness.send(page(&object, 0, &(0..=255).collect::<Vec<u8>>().repeat(20)));
    harness.check("outputs_binary");
}

#[test]
fn a_packed_object_shows_the_beginning_of_what_is_in_it() {
    let mut harness = listed().keys("G");
    let object = outputs().remove(7).object;
    let page = Page {
        range: 0..PAGE,
        bytes: table(100),
        packing: Some(Packing::Gzip),
        trouble: Some("it is cut off here".to_owned()),
    };
    harness.send(Event::Preview(Box::new(object), Ok(page)));
    assert!(harness.frame(120, 36).contains("it is cut off here"));
    harness.taken();
    assert!(pages(&harness.keys("<enter>G").taken()).is_empty());
}

#[test]
fn json_longer_than_a_page_is_a_tree_of_its_beginning_and_text_as_a_whole() {
    let mut harness = listed().keys("jjjj");
    let object = outputs().remove(3).object;
    let rows: Vec<String> = (0..9_000).map(|n| format!(r#"{{"item":{n}}},"#)).collect();
    let rows = rows.concat();
    let bytes = format!("[{rows}").into_bytes();
    harness.send(Event::Rested);
    harness.send(page(&object, 0, &bytes[..PAGE as usize]));
    let ask = Effect::Ask(Ask::Document(Box::new(object.clone())));
    assert!(harness.taken().contains(&ask));
    let read = Page {
        range: 0..bytes.len() as u64,
        bytes,
        packing: None,
        trouble: None,
    };
    let read = Ok(Beginning::of(&object, &read));
    harness.send(Event::Document(Box::new(object), read));
    harness.check("outputs_json");
    let mut harness = harness.keys("]");
    let frame = harness.frame(120, 36);
    assert!(
        !frame.contains("a tree of") && frame.contains("[{\"item\":0}"),
        "{frame}"
    );
    assert!(!harness.taken().contains(&ask), "it is known");
    assert!(harness.keys("]").frame(120, 36).contains("a tree of"));
}

#[test]
fn reading_on_asks_for_the_next_page_and_no_more() {
    let mut harness = read().keys("<enter>");
    harness.frame(120, 36);
    harness.taken();
    let mut harness = harness.keys("jjj");
    assert!(pages(&harness.taken()).is_empty());
    for _ in 0..2_000 {
        harness = harness.keys("J");
    }
    assert_eq!(pages(&harness.taken()), [PAGE], "once, while it is out");
    let object = outputs().remove(0).object;
    harness.send(page(&object, PAGE, &table(9_000)));
    let mut harness = harness.keys("G");
    assert_eq!(pages(&harness.taken()), [object.size - PAGE]);
}

#[test]
fn a_search_goes_to_its_first_match_and_on() {
    let mut harness = read().keys("<enter>/e-000300<enter>");
    let object = outputs().remove(0).object;
    let asked = harness.taken();
    let search = Effect::Search(Box::new(object.clone()), "e-000300".to_owned());
    assert!(asked.contains(&search), "{asked:?}");
    let hit = |line: u64, at: u64| Hit {
        line,
        at,
        text: "e-000300".to_owned(),
    };
    let deed = Deed::Search(object.address.clone());
    let progress = Progress {
        done: 112_000_000,
        total: object.size,
    };
    harness.send(Event::Progress(deed.clone(), progress));
    let bytes = table(9_000);
    let near = bytes.windows(8).position(|it| it == b"e-000300");
    let far = 200_000_000;
    let hits = vec![hit(301, near.unwrap() as u64), hit(4_000_000, far)];
    harness.send(Event::Hits(object.address.clone(), hits, 2));
    harness.check("outputs_search");
    let mut harness = harness.keys("n");
    assert_eq!(pages(&harness.taken()), [far - PAGE / 4]);
    // Escape stops it, clears it, leaves the text, and only then the view.
    let mut harness = harness.keys("<esc>");
    assert!(harness.taken().contains(&Effect::Cancel(deed)));
    let harness = harness.keys("<esc><esc>");
    assert!(matches!(harness.app.screen(), Screen::Outputs(_)));
    let harness = harness.keys("<esc>");
    assert!(!matches!(harness.app.screen(), Screen::Outputs(_)));
}

#[test]
fn rounds_are_folded_and_shown_as_one() {
    let rows = |harness: &Harness| harness.app.screen().rows(&harness.app);
    let harness = listed();
    assert_eq!(rows(&harness), 12);
    let harness = harness.keys("jj<enter>");
    assert_eq!(rows(&harness), 6);
    let harness = harness.keys("<right>V");
    assert_eq!(rows(&harness), 11);
    harness.check("outputs_rounds");
}

fn reconciliation() -> Reconciliation {
    let some = |count, first| Lines { count, first };
    Reconciliation {
        run: PART.to_owned(),
        lines: 402_118,
        succeeded: 402_115,
        failed: some(2, vec![30_017..=30_018]),
        never_started: some(0, Vec::new()),
        missing: some(1, vec![9..=9]),
        duplicates: some(0, Vec::new()),
        numbered: true,
        sources: Vec::new(),
        notes: Vec::new(),
    }
}

#[test]
fn every_line_is_accounted_for_when_it_is_asked_for() {
    let mut harness = read();
    harness.taken();
    let mut harness = harness.keys("M");
    let asked = harness.taken();
    let is_it = |it: &Effect| matches!(it, Effect::Ask(Ask::Reconcile(_)));
    assert!(asked.iter().any(is_it), "{asked:?}");
    assert!(harness.frame(120, 36).contains("reading all results"));
    harness.send(Event::Reconciled(arn(PART), Ok(Box::new(reconciliation()))));
    let said = "402,115 of 402,118 lines succeeded, 3 are open";
    assert!(
        harness.frame(80, 24).contains(said),
        "where there is no room for all"
    );
    harness.check("outputs_reconciled");
}

fn merge_plan(to: &str) -> merge::Plan {
    let source = |run: &str, kind: &str, key: &str, bytes| {
        json!({"run": run, "kind": kind, "objects": [{"bucket": "prod-out", "key": key}],
            "bytes": bytes})
    };
    let plan = json!({
        "execution": arn(PART),
        "to": merge::To::parse(to).unwrap(),
        "lines": 402_118,
        "sources": [
            source(PART, "output", "ledger/2026-11-22/output.csv", 398_200_000),
            source("ledger-2026-11-22-19aa-r1-0a1b", "output", "ledger/r1/output.csv", 38_000),
        ],
        "digest": "0123abcd4567ef89",
        "checks": [{"verdict": "good", "text": format!("{to} is new")}],
    });
    serde_json::from_value(plan).unwrap()
}

/// Where the dialog is open with its plan.
fn merging() -> Harness {
    let mut harness = read();
    let counted = Reconciliation {
        sources: merge_plan("all.csv").sources,
        ..reconciliation()
    };
    harness.send(Event::Reconciled(arn(PART), Ok(Box::new(counted))));
    let mut harness = harness.keys("M");
    let ask = Effect::Ask(Ask::PlanMerge(arn(PART), None));
    assert!(harness.taken().contains(&ask), "the second M merges");
    let plan = merge_plan("s3://prod-out/ledger/2026-11-22/output.merged-0123abcd.csv");
    harness.send(Event::MergePlan(arn(PART), None, Ok(Box::new(plan))));
    harness
}

#[test]
fn a_merge_says_what_goes_in_and_what_stays_open_before_it_is_done() {
    let harness = merging();
    harness.check("merge");
    // What was counted before a re-run is not told of what there is after it.
    let mut since = read();
    since.send(Event::Reconciled(arn(PART), Ok(Box::new(reconciliation()))));
    let mut since = since.keys("M");
    let plan = Ok(Box::new(merge_plan("all.csv")));
    since.send(Event::MergePlan(arn(PART), None, plan));
    assert!(since.frame(120, 36).contains("open: not counted yet"));
    // Enter on Cancel, which has the focus at first, does nothing.
    let mut cancelled = merging().keys("<enter>");
    let is_merge = |it: &Effect| matches!(it, Effect::Merge(_));
    assert!(!cancelled.taken().iter().any(is_merge) && cancelled.app.dialog.is_none());
    let mut harness = harness.keys("<tab><enter>");
    let done = harness.taken();
    assert!(done.iter().any(is_merge), "{done:?}");
    // It goes on in the drawer, whatever is shown.
    let deed = Deed::Merge(arn(PART));
    let (done, total) = (100_000_000, 398_238_000);
    harness.send(Event::Progress(deed.clone(), Progress { done, total }));
    let harness = harness.keys("1T");
    let frame = harness.frame(200, 60);
    assert!(frame.contains("⇄ ledger-2026-11-22-19aa"), "{frame}");
    assert!(frame.contains("100.0 MB of 398.2 MB"), "{frame}");
    let mut harness = harness.keys("<esc><ctrl-c>");
    assert!(!harness.taken().contains(&Effect::Quit));
    assert!(
        harness
            .frame(200, 60)
            .contains("1 merge (`fanout resume` goes on")
    );
    let mut harness = harness.keys("Tx");
    assert!(harness.taken().contains(&Effect::Cancel(deed)));
}

#[test]
fn another_destination_is_planned_for_before_anything_can_be_merged() {
    let mut harness = merging().keys("<shift-tab><ctrl-u>all.csv");
    harness.taken();
    let refused = harness.frame(120, 36);
    assert!(!refused.contains("all.csv is new"), "{refused}");
    let mut harness = harness.keys("<tab>");
    let to = Some("all.csv".to_owned());
    let ask = Effect::Ask(Ask::PlanMerge(arn(PART), to.clone()));
    assert!(harness.taken().contains(&ask));
    // An answer about the first destination comes too late.
    let late = Ok(Box::new(merge_plan("s3://prod-out/late.csv")));
    harness.send(Event::MergePlan(arn(PART), None, late));
    assert!(!harness.frame(120, 36).contains("late.csv"));
    let is_merge = |it: &Effect| matches!(it, Effect::Merge(_));
    let mut harness = harness.keys("<tab><enter>");
    assert!(!harness.taken().iter().any(is_merge), "not planned yet");
    harness.send(Event::MergePlan(
        arn(PART),
        to,
        Ok(Box::new(merge_plan("all.csv"))),
    ));
    let merged = harness.keys("<enter>").taken();
    let is_there =
        |it: &Effect| matches!(it, Effect::Merge(plan) if plan.to.to_string() == "all.csv");
    assert!(merged.iter().any(is_there), "{merged:?}");
}

#[test]
fn there_are_more_objects_when_one_comes_to_the_end_and_the_cursor_stays_on_its_object() {
    let mut harness = Harness::sample().keys("jj4");
    let temporary = |n: usize| output(Kind::Temporary, &format!("runs/r/{n:05}"), 1);
    let source = || output(Kind::Source, "in/a.txt", 9);
    let some = |n: usize| (0..n).map(temporary).chain([source()]).collect();
    harness.send(Event::Outputs(arn(PART), Ok(Listing::begun(some(100)))));
    let more = |asked: Vec<Effect>| -> usize {
        let is_more = |it: &&Effect| matches!(it, Effect::Ask(Ask::MoreOutputs(..)));
        asked.iter().filter(is_more).count()
    };
    assert_eq!(more(harness.taken()), 0, "not before they are needed");
    assert!(harness.frame(120, 36).contains("there are more: G"));
    let mut harness = harness.keys("G");
    assert_eq!(more(harness.taken()), 1);
    let mut harness = harness.keys("kj");
    assert_eq!(more(harness.taken()), 0, "once, while it is out");
    harness.send(Event::Outputs(arn(PART), Ok(Listing::of(some(300)))));
    assert_eq!(more(harness.taken()), 0);
    let Screen::Outputs(it) = harness.app.screen() else {
        panic!("outputs");
    };
    let chosen = it.chosen(&harness.app).expect("an object");
    assert_eq!(chosen.object.address.key, "in/a.txt");
    assert!(!harness.frame(120, 36).contains("there are more"));
}

#[test]
fn what_the_cursor_only_passes_is_not_asked_about() {
    let mut harness = read();
    harness.taken();
    let mut harness = harness.keys("j");
    let asked = harness.taken();
    assert!(asked.contains(&Effect::Rest) && pages(&asked).is_empty());
    let mut harness = harness.keys("jj");
    assert!(pages(&harness.taken()).is_empty());
    harness.send(Event::Rested);
    assert_eq!(pages(&harness.taken()), [0], "of the one it rests on");
}

#[test]
fn a_folder_is_marked_as_a_whole_even_when_it_is_folded() {
    let harness = listed().keys("jj<enter> ");
    let Screen::Outputs(it) = harness.app.screen() else {
        panic!("outputs");
    };
    assert_eq!(it.marks.len(), 5);
}

#[test]
fn a_download_asks_where_to_and_offers_the_last_place() {
    let harness = listed().keys("D");
    harness.check("outputs_download");
    let object = outputs().remove(0).object;
    let mut harness = harness.keys("<ctrl-u>/data/out.csv<enter>");
    let download = Effect::Download(object.clone(), "/data/out.csv".into());
    assert!(harness.taken().contains(&download));
    // What was in the way is told with the key that helps, not with the flag of a verb.
    let refused = Trouble {
        cause: Cause::Refused,
        ..trouble("/data/out.csv exists already and is not overwritten")
    };
    harness.send(Event::Done(Deed::Download(object.address), Err(refused)));
    let frame = harness.frame(200, 60);
    assert!(
        frame.contains("not overwritten — D asks for another place"),
        "{frame}"
    );
    let mut harness = harness.keys("jD<enter>");
    let next = outputs().remove(1).object;
    assert!(
        harness
            .taken()
            .contains(&Effect::Download(next, "/data/".into()))
    );
}

#[test]
fn a_link_is_copied_and_said_until_when_it_is_valid() {
    let mut harness = listed().keys("u");
    let address = outputs().remove(0).object.address;
    assert!(harness.taken().contains(&Effect::Link(address.clone())));
    let url = "https://example.com/?X-Amz-Signature=s3cret".to_owned();
    harness.send(Event::Linked(address, Ok((url.clone(), ago(-3_600)))));
    assert!(harness.taken().contains(&Effect::Copy(url)));
    harness.send(Event::Copied(43, "xclip"));
    let frame = harness.frame(200, 60);
    assert!(
        frame.contains("anybody can read output.csv until"),
        "{frame}"
    );
    assert!(!frame.contains("s3cret"));
}
