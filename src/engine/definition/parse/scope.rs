//! A scope: its states and the ways between them.

use super::{HashMap, HashSet, Object, Parser, Place, Scope, TRANSITION, Value};

impl Parser {
    pub(super) fn scope(&mut self, object: &Object, place: &str, inside: Place) -> Scope {
        let missing: Vec<&str> = ["States", "StartAt"]
            .into_iter()
            .filter(|key| !object.contains_key(*key))
            .collect();
        if !missing.is_empty() {
            let text = format!("These fields are required: [{}]", missing.join(", "));
            self.problem(place, text);
        }
        let start_at = self.text(object, place, "StartAt").unwrap_or_default();
        let mut states = HashMap::new();
        match object.get("States") {
            Some(Value::Object(members)) => {
                if members.is_empty() {
                    self.problem(&format!("{place}/States"), "Value cannot be empty");
                }
                let inner = Place {
                    is_top: false,
                    ..inside
                };
                for (name, value) in members {
                    let place = format!("{place}/States/{name}");
                    if let Some(state) = self.state(name, value, &place, inner) {
                        states.insert(name.clone(), state);
                    }
                }
                self.transitions(&start_at, members, place, inside.is_top);
            }
            Some(_) => self.problem(
                &format!("{place}/States"),
                "Expected value of type [OBJECT]",
            ),
            None => {}
        }
        Scope { start_at, states }
    }

    /// Every target exists, the state machine can end, and every state can be reached.
    fn transitions(&mut self, start: &str, states: &Object, place: &str, is_top: bool) {
        if !start.is_empty() && !states.contains_key(start) {
            let text = format!("Missing 'StartAt' target: {start}");
            self.coded(TRANSITION, &format!("{place}/StartAt"), text);
        }
        for (name, state) in states {
            for (field, at, target) in targets(state) {
                if !states.contains_key(target) {
                    let text = format!("Missing '{field}' target: {target}");
                    self.coded(TRANSITION, &format!("{place}/States/{name}/{at}"), text);
                }
            }
        }
        if is_top && !states.is_empty() && !states.values().any(ends) {
            let text = "Workflow has no terminal state";
            self.problems
                .push(super::Problem::coded("MISSING_END_STATE", "", text));
            return;
        }
        if !states.contains_key(start) {
            return;
        }
        let mut reached: HashSet<&str> = HashSet::from([start]);
        let mut open = vec![start];
        while let Some(state) = open.pop().and_then(|name| states.get(name)) {
            for (_, _, target) in targets(state) {
                if states.contains_key(target) && reached.insert(target) {
                    open.push(target);
                }
            }
        }
        for name in states
            .keys()
            .filter(|name| !reached.contains(name.as_str()))
        {
            let at = format!("{place}/States/{name}");
            let text = format!("State \"{name}\" is not reachable.");
            self.coded(TRANSITION, &at, text);
        }
    }
}

/// Whether a state may end its scope.
fn ends(state: &Value) -> bool {
    let kind = state.get("Type").and_then(Value::as_str);
    matches!(kind, Some("Succeed" | "Fail")) || state.get("End") == Some(&Value::Bool(true))
}

/// Where a state may go: the field that says so, its place, and the target.
fn targets(state: &Value) -> Vec<(&'static str, String, &str)> {
    let mut targets = Vec::new();
    for field in ["Next", "Default"] {
        let target = state.get(field).and_then(Value::as_str);
        targets.extend(target.map(|target| (field, field.to_owned(), target)));
    }
    for list in ["Choices", "Catch"] {
        let members = state.get(list).and_then(Value::as_array);
        for (index, member) in members.into_iter().flatten().enumerate() {
            let target = member.get("Next").and_then(Value::as_str);
            targets.extend(target.map(|target| ("Next", format!("{list}[{index}]/Next"), target)));
        }
    }
    targets
}
