//! Where variables are assigned and read (developer guide, "Passing data between states with
//! variables"): an inner scope may read those of the scopes around it, but not assign them again;
//! children of a Distributed Map have a scope of their own.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Given, Kind, MapState, Problem, Rule, Scope, Selection, Severity, State, Template, Wait,
};
use crate::engine::query::Language;

type Each<'e> = dyn FnMut(&str) + 'e;

/// Problems of `scope`, which stands at `place` inside scopes that assign `outer`.
pub(super) fn check(
    scope: &Scope,
    place: &str,
    outer: &BTreeSet<String>,
    found: &mut Vec<Problem>,
) {
    let mut readable = outer.clone();
    for state in scope.states.values() {
        readable.extend(assigned(state));
    }
    let mut names: Vec<&String> = scope.states.keys().collect();
    names.sort();
    for name in names {
        let state = &scope.states[name];
        let place = format!("{place}/States/{name}");
        for taken in assigned(state).filter(|name| outer.contains(name)) {
            let text = format!("The variable '{taken}' is assigned in an outer scope already");
            found.push(Problem::schema(&place, text));
        }
        let mut unknown = BTreeSet::new();
        read(state, &mut |name| {
            if !readable.contains(name) {
                unknown.insert(name.to_owned());
            }
        });
        found.extend(unknown.into_iter().map(|name| Problem {
            severity: Severity::Warning,
            ..Problem::coded(
                "POSSIBLY_UNDEFINED_VARIABLE",
                &place,
                format!("The variable '{name}' may be undefined"),
            )
        }));
        match &state.kind {
            Kind::Parallel { branches } => {
                for (index, branch) in branches.iter().enumerate() {
                    check(
                        branch,
                        &format!("{place}/Branches[{index}]"),
                        &readable,
                        found,
                    );
                }
            }
            Kind::Map(map) => {
                let place = format!("{place}/ItemProcessor");
                match map.distributed {
                    Some(_) => check(&map.processor, &place, &BTreeSet::new(), found),
                    None => check(&map.processor, &place, &readable, found),
                }
            }
            _ => {}
        }
    }
}

impl Scope {
    /// The variables that states refer to, by the states' names, those inside Parallel and Map
    /// states too. States that refer to none are left out (API reference, DescribeStateMachine,
    /// "variableReferences").
    pub fn variable_references(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let mut references = BTreeMap::new();
        self.collect_references(&mut references);
        references
    }

    fn collect_references<'s>(&'s self, references: &mut BTreeMap<&'s str, BTreeSet<String>>) {
        for (name, state) in &self.states {
            let mut found = BTreeSet::new();
            read(state, &mut |variable| _ = found.insert(variable.to_owned()));
            if !found.is_empty() {
                references.insert(name, found);
            }
            match &state.kind {
                Kind::Parallel { branches } => {
                    for branch in branches {
                        branch.collect_references(references);
                    }
                }
                Kind::Map(map) => map.processor.collect_references(references),
                _ => {}
            }
        }
    }
}

/// The names that a state assigns on any way out.
fn assigned(state: &State) -> impl Iterator<Item = String> {
    let mut templates: Vec<&Template> = state.assign.iter().collect();
    templates.extend(
        state
            .catch
            .iter()
            .filter_map(|catcher| catcher.assign.as_ref()),
    );
    if let Kind::Choice { rules, .. } = &state.kind {
        templates.extend(rules.iter().filter_map(|rule| rule.assign.as_ref()));
    }
    templates.into_iter().flat_map(|template| match template {
        Template::Object(members) => members.iter().map(|(name, _)| name.clone()).collect(),
        _ => Vec::new(),
    })
}

/// Calls `each` with every variable that a state may read.
fn read(state: &State, each: &mut Each<'_>) {
    let templates = [
        &state.parameters,
        &state.result_selector,
        &state.output,
        &state.assign,
    ];
    templates
        .into_iter()
        .flatten()
        .for_each(|it| it.variables(each));
    for selection in [&state.input_path, &state.output_path] {
        if let Selection::Path(path) = selection {
            path.variable().into_iter().for_each(&mut *each);
        }
    }
    for catcher in &state.catch {
        let templates = [&catcher.output, &catcher.assign];
        templates
            .into_iter()
            .flatten()
            .for_each(|it| it.variables(each));
    }
    match &state.kind {
        Kind::Choice { rules, .. } => {
            for rule in rules {
                rule.rule.variables(each);
                let templates = [&rule.output, &rule.assign];
                templates
                    .into_iter()
                    .flatten()
                    .for_each(|it| it.variables(each));
            }
        }
        Kind::Wait(Wait::Seconds(given)) => given.variables(each),
        Kind::Wait(Wait::Timestamp(given)) => given.variables(each),
        Kind::Fail { error, cause } => {
            for given in [error, cause].into_iter().flatten() {
                given.variables(each);
            }
        }
        Kind::Task(task) => {
            for given in [&task.timeout, &task.heartbeat].into_iter().flatten() {
                given.variables(each);
            }
        }
        Kind::Map(map) => read_by_map(map, each),
        Kind::Pass { .. } | Kind::Succeed | Kind::Parallel { .. } => {}
    }
}

fn read_by_map(map: &MapState, each: &mut Each<'_>) {
    let mut templates: Vec<&Template> = map.items.iter().chain(&map.selector).collect();
    let mut limits: Vec<&Given<u64>> = map.max_concurrency.iter().collect();
    let path = map.items_path.as_ref().and_then(|path| path.variable());
    path.into_iter().for_each(&mut *each);
    if let Some(distributed) = &map.distributed {
        limits.extend(&distributed.tolerated_count);
        if let Some(given) = &distributed.tolerated_percentage {
            given.variables(each);
        }
        if let Some(reader) = &distributed.reader {
            templates.push(&reader.parameters);
            if let Some(given) = &reader.max_items {
                given.variables(each);
            }
        }
        if let Some(batcher) = &distributed.batcher {
            templates.extend(&batcher.input);
            limits.extend(batcher.max_items.iter().chain(&batcher.max_bytes));
        }
        templates.extend(
            distributed
                .writer
                .iter()
                .filter_map(|it| it.parameters.as_ref()),
        );
    }
    for template in templates {
        template.variables(each);
    }
    for limit in limits {
        limit.variables(each);
    }
}

/// Warns of a text that looks like an expression, below a key that does not make it one.
pub(super) fn check_dollars(
    value: &serde_json::Value,
    place: &str,
    language: Language,
    found: &mut Vec<Problem>,
) {
    use serde_json::Value;

    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let place = format!("{place}/{key}");
                let looks = value.as_str().is_some_and(|text| {
                    text.starts_with("$.") || text.starts_with("$$.") || text.starts_with("States.")
                });
                if looks && language == Language::JsonPath && !key.ends_with(".$") {
                    let text = format!(
                        "The value of the field '{key}' looks like a JSONPath or an intrinsic function call, but the field's name does not end with '.$'"
                    );
                    found.push(Problem {
                        severity: Severity::Warning,
                        ..Problem::coded("NO_DOLLAR", &place, text)
                    });
                }
                check_dollars(value, &place, language, found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                check_dollars(value, &format!("{place}[{index}]"), language, found);
            }
        }
        _ => {}
    }
}

impl Rule {
    fn variables(&self, each: &mut Each<'_>) {
        match self {
            Self::And(rules) | Self::Or(rules) => rules.iter().for_each(|it| it.variables(each)),
            Self::Not(rule) => rule.variables(each),
            Self::Condition(given) => given.variables(each),
            Self::Test { variable, test } => {
                let with = test.path().and_then(|path| path.variable());
                variable.variable().into_iter().chain(with).for_each(each);
            }
        }
    }
}
