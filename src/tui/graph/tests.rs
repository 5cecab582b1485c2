//! Pictures of definitions of any shape: what must hold of every one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::{Map, Value, json};

use super::*;

fn drawn(definition: &Value) -> String {
    let picture = Picture::of(&definition.to_string());
    let layout = picture.layout.unwrap();
    let area = Rect::new(0, 0, layout.width as u16, layout.height as u16);
    let mut buffer = Buffer::empty(area);
    let look = |_| Look {
        status: "✓ OK".to_owned(),
        style: Style::new(),
    };
    layout.draw(&picture.outline, (&mut buffer, area), (0, 0), None, look);
    let mut text = String::new();
    for y in 0..area.height {
        let line: String = (0..area.width).map(|x| buffer[(x, y)].symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn check(name: &str, definition: &Value) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots");
    settings.bind(|| insta::assert_snapshot!(name, drawn(definition)));
}

#[test]
fn the_shipped_workflow() {
    let workflow = include_str!("../../../assets/workflow.asl.json");
    check("graph_workflow", &serde_json::from_str(workflow).unwrap());
}

#[test]
fn a_poll_loop_with_branches_and_catchers() {
    let catch = json!([{"ErrorEquals": ["States.ALL"], "Next": "Tell"}]);
    let definition = json!({
        "StartAt": "Submit",
        "States": {
            "Submit": {"Type": "Task", "Next": "Wait", "Catch": catch},
            "Wait": {"Type": "Wait", "Next": "Ask"},
            "Ask": {"Type": "Task", "Next": "Done?", "Catch": catch},
            "Done?": {"Type": "Choice", "Choices": [
                {"Variable": "$.status", "StringEquals": "SUCCEEDED", "Next": "Both"},
                {"Variable": "$.status", "StringEquals": "FAILED", "Next": "Tell"}
            ], "Default": "Wait"},
            "Both": {"Type": "Parallel", "Next": "End", "Branches": [
                {"StartAt": "Archive", "States": {"Archive": {"Type": "Task", "End": true}}},
                {"StartAt": "Each", "States": {"Each": {"Type": "Map", "End": true, "ItemProcessor": {
                    "StartAt": "Mail", "States": {"Mail": {"Type": "Task", "Retry": [], "End": true}}
                }}}}
            ]},
            "Tell": {"Type": "Task", "Next": "Failed"},
            "Failed": {"Type": "Fail"},
            "End": {"Type": "Succeed"}
        }
    });
    check("graph_loop", &definition);
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let workflow = include_str!("../../../assets/workflow.asl.json");
    let picture = Picture::of(workflow);
    let layout = picture.layout.as_ref().unwrap();
    let whole = drawn(&serde_json::from_str(workflow).unwrap());
    let area = Rect::new(2, 1, 9, 5);
    let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 10));
    let look = |_| Look {
        status: "✓ OK".to_owned(),
        style: Style::new(),
    };
    layout.draw(&picture.outline, (&mut buffer, area), (4, 3), None, look);
    for y in 0..5 {
        let shown: String = (0..9).map(|x| buffer[(2 + x, 1 + y)].symbol()).collect();
        let line = whole.lines().nth(3 + usize::from(y)).unwrap();
        let part: String = line.chars().skip(4).take(9).collect();
        assert_eq!(shown.trim_end(), part.trim_end());
    }
    assert_eq!(buffer[(0, 0)].symbol(), " ");
}

#[test]
fn hundreds_of_states_are_laid_out() {
    let mut states = Map::new();
    for number in 0..600 {
        let next = format!("S{}", number + 1);
        // Every sixth leads back to the beginning of its sixty, the others to a handler.
        let far = match number % 6 {
            0 => format!("S{}", number / 60 * 60),
            _ => "S600".to_owned(),
        };
        states.insert(
            format!("S{number}"),
            json!({"Type": "Task", "Next": next, "Catch": [{"ErrorEquals": ["E"], "Next": far}]}),
        );
    }
    states.insert("S600".to_owned(), json!({"Type": "Succeed"}));
    let picture = Picture::of(&json!({"StartAt": "S0", "States": states}).to_string());
    assert_eq!(picture.outline.states.len(), 601);
    assert_eq!(picture.layout.unwrap().boxes.len(), 601);
}

/// Definitions with loops, unreachable states, missing targets, and scopes within scopes.
fn scopes(depth: u32) -> BoxedStrategy<Value> {
    let inner = if depth == 0 {
        Just(Vec::new()).boxed()
    } else {
        prop::collection::vec(scopes(depth - 1), 0..3).boxed()
    };
    let state = (
        0_usize..6,
        prop::collection::vec((0_usize..9, "[a-z日é]{0,30}"), 0..4),
        prop::option::of(0_usize..9),
        inner,
    );
    prop::collection::vec(state, 0..8)
        .prop_map(|states| {
            let count = states.len();
            let mut members = Map::new();
            for (number, (kind, choices, next, inner)) in states.into_iter().enumerate() {
                let mut state = json!({});
                state["Type"] = ["Task", "Pass", "Wait", "Choice", "Succeed", "Fail"][kind].into();
                let rules = choices.iter();
                let rules = rules.map(|(to, when)| json!({"Condition": when, "Next": name(*to)}));
                state["Choices"] = rules.collect();
                if let Some(next) = next.filter(|_| kind < 3) {
                    state["Next"] = name(next).into();
                }
                match inner.as_slice() {
                    [] => {}
                    [only] => {
                        state["Type"] = "Map".into();
                        state["ItemProcessor"] = only.clone();
                    }
                    several => {
                        state["Type"] = "Parallel".into();
                        state["Branches"] = several.into();
                    }
                }
                members.insert(name(number), state);
            }
            let start = name(count / 3);
            json!({"StartAt": start, "States": members})
        })
        .boxed()
}

fn name(number: usize) -> String {
    format!("state {number}")
}

fn cells(area: Area) -> impl Iterator<Item = (i32, i32)> {
    (area.y..area.bottom()).flat_map(move |y| (area.x..area.right()).map(move |x| (y, x)))
}

/// All cells that lines lead to from `from`, in whatever direction.
fn flood(lines: &BTreeMap<(i32, i32), u8>, from: (i32, i32)) -> BTreeSet<(i32, i32)> {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some((y, x)) = open.pop() {
        let bits = lines.get(&(y, x)).copied().unwrap_or_default();
        let steps = [
            (1, (y - 1, x)),
            (2, (y + 1, x)),
            (4, (y, x - 1)),
            (8, (y, x + 1)),
        ];
        for (bit, next) in steps {
            // A port's side bits are those of its box's border.
            let back = [0, 2, 1, 0, 8, 0, 0, 0, 4][bit as usize];
            let leads_back = lines.get(&next).is_some_and(|it| it & back != 0);
            if bits & bit != 0 && leads_back && seen.insert(next) {
                open.push(next);
            }
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn boxes_stay_apart_and_inside_and_lines_lead_where_they_should(definition in scopes(2)) {
        let picture = Picture::of(&definition.to_string());
        let (outline, Some(layout)) = (&picture.outline, &picture.layout) else {
            prop_assert!(picture.outline.states.is_empty());
            return Ok(());
        };
        let drawn: BTreeSet<usize> = layout.boxes.iter().map(|it| it.state).collect();
        prop_assert_eq!(layout.boxes.len(), outline.states.len(), "each state once");
        prop_assert_eq!(drawn.len(), outline.states.len());

        let whole = Area { x: 0, y: 0, width: layout.width, height: layout.height };
        let holds = |outer: Area, inner: Area| {
            outer.x <= inner.x && outer.y <= inner.y
                && inner.right() <= outer.right() && inner.bottom() <= outer.bottom()
        };
        for placed in &layout.boxes {
            prop_assert!(holds(whole, placed.area));
        }
        for (y, x) in layout.lines.keys() {
            prop_assert!((0..layout.width).contains(x) && (0..layout.height).contains(y));
        }

        // Frames hold what is inside them; nothing else shares a cell.
        let parents: BTreeMap<usize, usize> = outline.states.iter().enumerate()
            .flat_map(|(index, state)| state.inside.iter().map(move |scope| (*scope, index)))
            .collect();
        let mut taken: BTreeMap<(i32, i32), usize> = BTreeMap::new();
        for placed in &layout.boxes {
            let parent = parents.get(&outline.states[placed.state].scope).copied();
            if let Some(parent) = parent {
                let frame = layout.area_of(parent).unwrap();
                prop_assert!(frame.x < placed.area.x && frame.y + 2 < placed.area.y);
                prop_assert!(placed.area.right() < frame.right() && placed.area.bottom() < frame.bottom());
            }
            for cell in cells(placed.area) {
                prop_assert_eq!(taken.insert(cell, placed.state), parent, "{:?}", cell);
            }
        }
        let leaf = |cell: &(i32, i32)| taken.get(cell).is_some_and(|it| outline.states[*it].inside.is_empty());
        for label in &layout.labels {
            let width = text::width(&label.text) as i32;
            for x in label.x..label.x + width {
                prop_assert!(!leaf(&(label.y, x)), "a label on a box");
            }
        }
        for (y, x) in layout.lines.keys() {
            if let Some(state) = taken.get(&(*y, *x)).filter(|_| leaf(&(*y, *x))) {
                let area = layout.area_of(*state).unwrap();
                prop_assert_eq!(*y, area.bottom() - 1, "lines touch a box at its bottom only");
            }
        }
        for (index, state) in outline.states.iter().enumerate() {
            let area = layout.area_of(index).unwrap();
            if state.edges.is_empty() {
                continue;
            }
            let reached = flood(&layout.lines, (area.bottom() - 1, area.x + area.width / 2));
            for edge in &state.edges {
                let to = layout.area_of(edge.to).unwrap();
                let head = (to.y - 1, to.x + to.width / 2);
                prop_assert!(reached.contains(&head), "{} to {}", index, edge.to);
            }
        }
    }
}
