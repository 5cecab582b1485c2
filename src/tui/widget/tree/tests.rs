//! Trees drawn, folded and searched.

use super::*;

fn drawn(tree: &Tree, width: u16, height: u16) -> Vec<String> {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let theme = Theme::default();
    tree.draw((&mut buffer, area), true, theme, &Places::default());
    let line = |y| {
        (0..width)
            .map(|x| buffer[(x, y)].symbol())
            .collect::<String>()
    };
    let lines = (0..height).map(|y| line(y).trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

const SAMPLE: &str =
    r#"{"source": {"bucket": "in", "key": "a.txt"}, "tags": [1, true], "none": {}}"#;

#[test]
fn a_document_is_shown_with_its_keys() {
    assert_eq!(
        drawn(&Tree::of(SAMPLE), 40, 10),
        [
            "▾ {3}",
            "  ▾ source: {2}",
            "      bucket: \"in\"",
            "      key: \"a.txt\"",
            "  ▾ tags: [2]",
            "      0: 1",
            "      1: true",
            "    none: {}",
        ]
    );
}

#[test]
fn folding_hides_and_keeps_the_cursor() {
    let mut tree = Tree::of(SAMPLE);
    drawn(&tree, 40, 10);
    tree.go(Move::Lines(3));
    assert_eq!(
        (tree.path().as_str(), tree.value().as_str()),
        ("$.source.key", "a.txt")
    );
    tree.left();
    assert_eq!(tree.path(), "$.source");
    tree.left();
    assert_eq!(
        drawn(&tree, 40, 10)[1],
        "  ▸ source: {2} {\"bucket\": \"in\", \"key\":…"
    );
    tree.go(Move::Lines(1));
    assert_eq!(tree.path(), "$.tags");
    tree.fold_all();
    assert_eq!(drawn(&tree, 40, 10).len(), 4);
    tree.unfold_all();
    assert_eq!(drawn(&tree, 40, 10).len(), 8);
    assert_eq!(tree.path(), "$.tags");
    tree.right();
    assert_eq!(tree.path(), "$.tags[0]");
}

#[test]
fn what_is_searched_for_is_found_behind_folds_and_around_the_end() {
    let mut tree = Tree::of(SAMPLE);
    drawn(&tree, 40, 10);
    tree.fold_all();
    tree.search("A.TXT");
    assert_eq!(tree.path(), "$.source.key");
    tree.search("t");
    assert_eq!(tree.matches().unwrap(), "2 of 4 places");
    tree.next_match(true);
    assert_eq!(tree.path(), "$.tags");
    tree.next_match(true);
    tree.next_match(true);
    assert_eq!(tree.path(), "$.source.bucket", "{:?}", tree.matches());
    tree.next_match(false);
    assert_eq!(tree.path(), "$.tags[1]");
}

#[test]
fn long_strings_are_wrapped_and_hostile_ones_made_visible() {
    let source = serde_json::json!({"cause": "one two three four five\nsix \u{1b}[31m"});
    let tree = Tree::of(&source.to_string());
    assert_eq!(
        drawn(&tree, 24, 10),
        [
            "▾ {1}",
            "  ▾ cause: one two three",
            "           four five",
            "           six ␛[31m",
        ]
    );
    assert_eq!(drawn(&Tree::of("no {json"), 20, 3), ["  no {json"]);
    assert_eq!(drawn(&Tree::of(""), 20, 3), Vec::<String>::new());
}

#[test]
fn a_payload_of_the_largest_size_is_searched_and_folded() {
    let row = r#"{"n": 1, "line": "F-20481, ACME, 41.50", "deep": [[[]]]}"#;
    let source = format!("[{}]", vec![row; 262_144 / row.len() - 1].join(","));
    let mut tree = Tree::of(&source);
    // Folded: only the rows that are seen are worked out.
    drawn(&tree, 100, 40);
    assert_eq!(tree.rows.borrow().list.len(), 262_144 / row.len());
    tree.unfold_all();
    drawn(&tree, 100, 40);
    tree.search("20481");
    assert_eq!(tree.found.len(), 262_144 / row.len() - 1);
    tree.next_match(false);
    assert_eq!(tree.path(), format!("$[{}].line", 262_144 / row.len() - 2));
}
