//! What a definition says about states and transitions, as far as a picture needs it. Lenient: the
//! service has checked the definition, and what is odd all the same is only left out.

use std::collections::HashMap;

use serde_json::Value;

use crate::tui::widget::text;

/// Cells of a transition's label.
const LABEL: usize = 24;

/// All states of a definition, those of nested scopes too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outline {
    /// In the order in which they are reached: each state stands after the one that holds it.
    pub states: Vec<State>,
    /// The states of each scope; the first is the whole machine's.
    pub scopes: Vec<Scope>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub name: String,
    /// `Task`, `Map, distributed`, ….
    pub kind: String,
    /// What a Task calls.
    pub resource: Option<String>,
    pub comment: Option<String>,
    pub edges: Vec<Edge>,
    /// Scopes inside: one of a Map, one for each branch of a Parallel.
    pub inside: Vec<usize>,
    /// The scope that it is in.
    pub scope: usize,
    /// How many Map and Parallel states are around it.
    pub depth: usize,
    /// Runs in child executions, whose events are not this execution's.
    pub in_children: bool,
    /// Label of a Map state, as it stands in the ARNs of its Map Runs.
    pub label: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    pub to: usize,
    /// When it is taken, where that is not always.
    pub label: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    pub start: Option<usize>,
    pub states: Vec<usize>,
}

/// What the states of a scope inherit.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    in_children: bool,
}

impl Outline {
    pub fn read(definition: &str) -> Self {
        let mut outline = Self::default();
        if let Ok(definition) = serde_json::from_str::<Value>(definition) {
            let place = Place {
                depth: 0,
                in_children: false,
            };
            outline.scope(&definition, place);
        }
        outline
    }

    /// Reads a scope (an object with `StartAt` and `States`) and what is inside it.
    fn scope(&mut self, source: &Value, place: Place) -> usize {
        let scope = self.scopes.len();
        self.scopes.push(Scope::default());
        let empty = serde_json::Map::new();
        let sources = source["States"].as_object().unwrap_or(&empty);
        let start = source["StartAt"].as_str();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for name in reading_order(sources, start) {
            let index = self.states.len();
            places.insert(name, index);
            self.states.push(state(name, &sources[name], scope, place));
            self.scopes[scope].states.push(index);
            self.inside(index, &sources[name], place);
        }
        for (name, source) in sources {
            if let Some(&index) = places.get(name.as_str()) {
                self.states[index].edges = edges(source, &places);
            }
        }
        self.scopes[scope].start = start.and_then(|start| places.get(start).copied());
        scope
    }

    fn inside(&mut self, index: usize, source: &Value, place: Place) {
        let processor = [&source["ItemProcessor"], &source["Iterator"]];
        let branches = source["Branches"].as_array();
        let scopes = processor
            .into_iter()
            .chain(branches.into_iter().flatten())
            .filter(|scope| scope["States"].as_object().is_some_and(|it| !it.is_empty()));
        for inner in scopes {
            let place = Place {
                depth: place.depth + 1,
                in_children: place.in_children || is_distributed(source),
            };
            let scope = self.scope(inner, place);
            self.states[index].inside.push(scope);
        }
    }
}

fn is_distributed(source: &Value) -> bool {
    source["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
}

/// Names as they are reached from the start, then those that never are.
fn reading_order<'a>(
    sources: &'a serde_json::Map<String, Value>,
    start: Option<&'a str>,
) -> Vec<&'a str> {
    let mut order: Vec<&str> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut next: std::collections::VecDeque<&str> = start.into_iter().collect();
    let mut rest = sources.keys().map(String::as_str);
    loop {
        let Some(name) = next.pop_front().or_else(|| rest.next()) else {
            return order;
        };
        let Some((name, source)) = sources.get_key_value(name) else {
            continue;
        };
        if seen.insert(name.as_str()) {
            order.push(name);
            next.extend(targets(source).into_iter().map(|(target, _)| target));
        }
    }
}

fn state(name: &str, source: &Value, scope: usize, place: Place) -> State {
    let text = |key: &str| source[key].as_str().map(str::to_owned);
    let kind = text("Type").unwrap_or_else(|| "?".to_owned());
    let kind = match (kind.as_str(), is_distributed(source)) {
        ("Map", true) => "Map, distributed".to_owned(),
        _ => kind,
    };
    State {
        name: name.to_owned(),
        label: text("Label").or_else(|| (kind.starts_with("Map")).then(|| name.to_owned())),
        kind,
        resource: text("Resource"),
        comment: text("Comment"),
        edges: Vec::new(),
        inside: Vec::new(),
        scope,
        depth: place.depth,
        in_children: place.in_children,
    }
}

/// Names of the states that may follow, each with the reason.
fn targets(source: &Value) -> Vec<(&str, Option<String>)> {
    let mut targets = Vec::new();
    let list = |key: &str| source[key].as_array().into_iter().flatten();
    for rule in list("Choices") {
        targets.extend(rule["Next"].as_str().map(|to| (to, Some(condition(rule)))));
    }
    let default = source["Default"].as_str();
    targets.extend(default.map(|to| (to, Some("otherwise".to_owned()))));
    targets.extend(source["Next"].as_str().map(|to| (to, None)));
    for catcher in list("Catch") {
        let names: Vec<&str> = catcher["ErrorEquals"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let label = format!("catch {}", names.join(", "));
        targets.extend(catcher["Next"].as_str().map(|to| (to, Some(label))));
    }
    targets
}

fn edges(source: &Value, places: &HashMap<&str, usize>) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for (to, label) in targets(source) {
        let Some(&to) = places.get(to) else {
            continue;
        };
        let edge = Edge {
            to,
            label: label.map(|label| text::fit(&label, LABEL)),
        };
        if !edges.contains(&edge) {
            edges.push(edge);
        }
    }
    edges
}

/// A choice rule in a few words: `$.size > 10`, `not …`, `all of 3`.
fn condition(rule: &Value) -> String {
    /// Nested rules that are spelled out.
    const DEPTH: usize = 3;
    fn words(rule: &Value, depth: usize) -> String {
        if let Some(expression) = rule["Condition"].as_str() {
            let inner = expression.trim().strip_prefix("{%");
            let inner = inner.and_then(|it| it.strip_suffix("%}"));
            return inner.unwrap_or(expression).trim().to_owned();
        }
        if depth < DEPTH && rule["Not"].is_object() {
            return format!("not {}", words(&rule["Not"], depth + 1));
        }
        for (key, sign) in [("And", "all"), ("Or", "any")] {
            match rule[key].as_array().map(Vec::as_slice) {
                Some([only]) if depth < DEPTH => return words(only, depth + 1),
                Some(several) => return format!("{sign} of {}", several.len()),
                None => {}
            }
        }
        comparison(rule).unwrap_or_else(|| "?".to_owned())
    }
    words(rule, 0)
}

fn comparison(rule: &Value) -> Option<String> {
    let variable = rule["Variable"].as_str()?;
    let mut members = rule.as_object()?.iter();
    let (operator, operand) =
        members.find(|(key, _)| !matches!(key.as_str(), "Variable" | "Next" | "Comment"))?;
    let operator_name = operator.trim_end_matches("Path");
    let sign = if let Some(kind) = operator_name.strip_prefix("Is") {
        let is = if *operand == Value::Bool(false) {
            "is not"
        } else {
            "is"
        };
        return Some(format!("{variable} {is} {}", kind.to_lowercase()));
    } else if operator_name.ends_with("LessThanEquals") {
        "≤"
    } else if operator_name.ends_with("GreaterThanEquals") {
        "≥"
    } else if operator_name.ends_with("LessThan") {
        "<"
    } else if operator_name.ends_with("GreaterThan") {
        ">"
    } else if operator_name.ends_with("Matches") {
        "like"
    } else {
        "="
    };
    Some(format!("{variable} {sign} {operand}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn choices_are_told_in_a_few_words() {
        let words = |rule: Value| condition(&rule);
        assert_eq!(
            words(json!({"Variable": "$.n", "NumericGreaterThanEquals": 3, "Next": "A"})),
            "$.n ≥ 3"
        );
        assert_eq!(
            words(json!({"Not": {"Variable": "$.x", "IsPresent": true}, "Next": "A"})),
            "not $.x is present"
        );
        assert_eq!(words(json!({"And": [{}, {}], "Next": "A"})), "all of 2");
        assert_eq!(words(json!({"Condition": "{% $n > 1 %}"})), "$n > 1");
        assert_eq!(words(json!({})), "?");
    }

    #[test]
    fn nested_states_know_whether_they_run_in_children() {
        let outline = Outline::read(include_str!("../../../assets/workflow.asl.json"));
        let names: Vec<&str> = outline.states.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["Preprocess", "Lines", "Worker", "Postprocess"]);
        let children: Vec<bool> = outline.states.iter().map(|it| it.in_children).collect();
        assert_eq!(children, [false, false, true, false]);
        assert_eq!(outline.states[1].kind, "Map, distributed");
    }

    #[test]
    fn what_is_no_definition_has_no_states() {
        for odd in ["", "[]", "{\"States\":7}", "{\"StartAt\":\"A\"}"] {
            assert!(Outline::read(odd).states.is_empty(), "{odd}");
        }
        let dangling = r#"{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"Nowhere"}}}"#;
        assert!(Outline::read(dangling).states[0].edges.is_empty());
    }
}
