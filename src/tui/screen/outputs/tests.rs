//! What the outputs look like and what their keys ask for.

use crate::client::ObjectVersion;
use crate::model::Object;
use crate::operations::Progress;
use crate::operations::outputs::{Hit, Kind, Output, PAGE, Packing, Page};
use crate::operations::reconcile::{Lines, Reconciliation};
use crate::tui::event::{Ask, Deed, Effect, Event};
use crate::tui::harness::{Harness, PART, ago, arn, output, trouble};
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
    harness.send(Event::Outputs(arn(PART), Ok(outputs())));
    harness
}

fn page(object: &Object, at: u64, bytes: &[u8]) -> Event {
    let page = Page {
        range: at..at + bytes.len() as u64,
        bytes: bytes.to_vec(),
        packing: None,
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
    harness.send(Event::Outputs(arn(PART), Ok(Vec::new())));
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
    harness.send(Event::Outputs(arn(PART), Ok(many)));
    harness.send(page(&object, 0, b"one line \x1b]0;\x07 and no end"));
    let versions = (0..20).map(|n| ObjectVersion {
        id: format!("v{n}"),
        size: (n % 3 != 1).then_some(n * 1_000),
        modified: ago(n as i64 * 86_400),
        is_latest: n == 0,
    });
    let versions = Ok(Some(versions.collect()));
    harness.send(Event::Versions(object.address, versions));
    harness.check("outputs_huge");
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
    };
    harness.send(Event::Preview(Box::new(object), Ok(page)));
    harness.taken();
    assert!(pages(&harness.keys("<enter>G").taken()).is_empty());
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

#[test]
fn every_line_is_accounted_for_when_it_is_asked_for() {
    let mut harness = read();
    harness.taken();
    let mut harness = harness.keys("M");
    let asked = harness.taken();
    let is_it = |it: &Effect| matches!(it, Effect::Ask(Ask::Reconcile(_)));
    assert!(asked.iter().any(is_it), "{asked:?}");
    assert!(harness.frame(120, 36).contains("reading all results"));
    let some = |count, first| Lines { count, first };
    let found = Reconciliation {
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
    };
    harness.send(Event::Reconciled(arn(PART), Ok(Box::new(found))));
    harness.check("outputs_reconciled");
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
