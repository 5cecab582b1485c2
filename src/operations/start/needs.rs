//! What an input must have for a state machine that nobody here has written: the places of it that
//! the definition reads before a state replaces it, each with what can stand there.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The name by which one asks for the input that a definition needs, as a template.
pub const TEMPLATE: &str = "@machine";

/// How the context names the input, in JSONPath and in JSONata; both hold in every state.
const OF_CONTEXT: [&str; 2] = ["$$.Execution.Input", "$states.context.Execution.Input"];
/// How a state names its own input, in the same order.
const OF_STATE: [&str; 2] = ["$", "$states.input"];
/// Fields of a state that do not read what it takes in, or not as the state does.
const NOT_READ: [&str; 13] = [
    "ItemProcessor",
    "Iterator",
    "Branches",
    "ResultSelector",
    "ResultPath",
    "OutputPath",
    "Output",
    "Assign",
    "Catch",
    "Retry",
    "Comment",
    "Next",
    "Default",
];

/// A place of the input that the definition reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Names of members from the outside in, joined with dots.
    pub path: String,
    /// JSON pointer into the definition: who reads it.
    pub place: String,
    #[serde(skip)]
    kind: Kind,
}

/// What stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Where the items are: what a start uploads, or names.
    Bucket,
    Key,
    List,
    Number(u32),
    Flag,
    /// Not known.
    Text,
}

/// All that the definition reads of its input, in the order of their paths. What is only asked after
/// (IsPresent, `$exists`) is not needed.
pub fn of(definition: &Value) -> Vec<Need> {
    let mut found = Found::default();
    found.read(definition, "", &OF_CONTEXT, Kind::Text);
    found.enter(definition, "", is_jsonata(definition, false));
    let mut needs: Vec<Need> = found.needs;
    needs.sort_by(|a, b| (&a.path, a.kind).cmp(&(&b.path, b.kind)));
    needs.dedup_by(|next, first| next.path == first.path);
    let paths: BTreeSet<String> = needs.iter().map(|it| it.path.clone()).collect();
    // Of an object and what is in it, the latter tells more.
    needs.retain(|it| {
        let inside = format!("{}.", it.path);
        !paths
            .range(inside.clone()..)
            .next()
            .is_some_and(|next| next.starts_with(&inside))
    });
    needs
}

/// An input that has all of it, as a template: `{{ name }}` where only the user can know.
pub fn template(definition: &Value) -> Value {
    let mut input = Map::new();
    for need in of(definition) {
        let value = match need.kind {
            Kind::Bucket => json!("{{ upload.bucket }}"),
            Kind::Key => json!("{{ upload.key }}"),
            Kind::List => json!([]),
            Kind::Number(number) => json!(number),
            Kind::Flag => json!(false),
            Kind::Text => json!(format!("{{{{ {} }}}}", need.path)),
        };
        let names: Vec<&str> = need.path.split('.').collect();
        put(&mut input, &names, value);
    }
    Value::Object(input)
}

fn put(object: &mut Map<String, Value>, names: &[&str], value: Value) {
    match names {
        [] => {}
        [last] => {
            object.insert((*last).to_owned(), value);
        }
        [first, inside @ ..] => {
            let inner = object.entry(*first).or_insert_with(|| json!({}));
            if let Value::Object(members) = inner {
                put(members, inside, value);
            }
        }
    }
}

/// Those that the input does not have.
pub fn missing(definition: &Value, input: &Value) -> Vec<Need> {
    let is_there = |need: &Need| {
        let mut names = need.path.split('.');
        names
            .try_fold(input, |value, name| value.get(name))
            .is_some()
    };
    of(definition)
        .into_iter()
        .filter(|it| !is_there(it))
        .collect()
}

fn is_jsonata(of: &Value, inherited: bool) -> bool {
    of["QueryLanguage"]
        .as_str()
        .map_or(inherited, |it| it == "JSONata")
}

#[derive(Default)]
struct Found {
    needs: Vec<Need>,
    /// Members that states have written by then.
    written: BTreeSet<String>,
}

impl Found {
    /// Follows the input from the first state to those that replace it.
    fn enter(&mut self, machine: &Value, pointer: &str, jsonata: bool) {
        let mut ways: Vec<&str> = machine["StartAt"].as_str().into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = ways.pop() {
            let state = &machine["States"][name];
            if !seen.insert(name) || !state.is_object() {
                continue;
            }
            let jsonata = is_jsonata(state, jsonata);
            let pointer = format!("{pointer}/States/{}", escaped(name));
            if !self.state(state, &pointer, jsonata) {
                continue;
            }
            let choices = state["Choices"].as_array().into_iter().flatten();
            ways.extend(choices.filter_map(|it| it["Next"].as_str()));
            ways.extend(state["Next"].as_str());
            ways.extend(state["Default"].as_str());
        }
    }

    /// What one state reads; whether it hands its input on.
    fn state(&mut self, state: &Value, pointer: &str, jsonata: bool) -> bool {
        let roots = [OF_STATE[usize::from(jsonata)]];
        let narrowed = state["InputPath"].as_str().filter(|it| *it != "$");
        if let Some(path) = narrowed {
            self.scan(path, &format!("{pointer}/InputPath"), &roots, Kind::Text);
        }
        // From there on `$` is a part of the input, or nothing.
        if narrowed.is_some() || state.get("InputPath").is_some_and(Value::is_null) {
            return false;
        }
        for (field, value) in state.as_object().into_iter().flatten() {
            let place = format!("{pointer}/{}", escaped(field));
            match field.as_str() {
                "Choices" => {
                    for (at, choice) in value.as_array().into_iter().flatten().enumerate() {
                        self.choice(choice, &format!("{place}/{at}"), &roots);
                    }
                }
                field if NOT_READ.contains(&field) => {}
                // Each item is a context of its own, in which `$` is still the Map's input.
                field => self.read(value, &place, &roots, kind(field, Kind::Text)),
            }
        }
        let keeps_input = ["Parameters", "Arguments"]
            .iter()
            .all(|it| state.get(it).is_none());
        if let Some(branches) = state["Branches"].as_array().filter(|_| keeps_input) {
            for (at, branch) in branches.iter().enumerate() {
                self.enter(branch, &format!("{pointer}/Branches/{at}"), jsonata);
            }
        }
        if state.get("OutputPath").is_some_and(|it| it != "$") || state.get("Output").is_some() {
            return false;
        }
        let is_plain = keeps_input && state.get("Result").is_none();
        match (state["Type"].as_str(), state.get("ResultPath")) {
            (Some("Choice" | "Wait"), _) => true,
            (_, Some(Value::Null)) => true,
            (_, Some(Value::String(path))) if path != "$" => {
                let name = path.trim_start_matches("$.").split(['.', '[']).next();
                self.written.extend(name.map(str::to_owned));
                true
            }
            (Some("Pass"), _) => is_plain,
            _ => false,
        }
    }

    /// A rule of a Choice. What is asked after is not needed.
    fn choice(&mut self, rule: &Value, pointer: &str, roots: &[&str]) {
        let Some(fields) = rule.as_object() else {
            return;
        };
        if fields.contains_key("IsPresent") {
            return;
        }
        let kind = fields.keys().find_map(|operator| match operator {
            it if it.starts_with("Boolean") => Some(Kind::Flag),
            it if it.starts_with("Numeric") => Some(Kind::Number(0)),
            _ => None,
        });
        for (field, value) in fields {
            let place = format!("{pointer}/{field}");
            match (field.as_str(), value) {
                ("And" | "Or", Value::Array(rules)) => {
                    for (at, rule) in rules.iter().enumerate() {
                        self.choice(rule, &format!("{place}/{at}"), roots);
                    }
                }
                ("Not", rule) => self.choice(rule, &place, roots),
                ("Condition", Value::String(_)) => self.read(value, &place, roots, Kind::Text),
                (field, Value::String(text)) if field == "Variable" || field.ends_with("Path") => {
                    self.scan(text, &place, roots, kind.unwrap_or(Kind::Text));
                }
                _ => {}
            }
        }
    }

    /// All expressions inside a value.
    fn read(&mut self, value: &Value, pointer: &str, roots: &[&str], of: Kind) {
        match value {
            Value::String(text) => self.scan(text, pointer, roots, of),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.read(item, &format!("{pointer}/{at}"), roots, of);
                }
            }
            // Asked after.
            Value::Object(members) if members.contains_key("IsPresent") => {}
            Value::Object(members) => {
                for (name, member) in members.iter().filter(|(name, _)| *name != "Comment") {
                    let is_reader = pointer.contains("/ItemReader/");
                    let of = match name.trim_end_matches(".$") {
                        "Bucket" if is_reader => Kind::Bucket,
                        "Key" if is_reader => Kind::Key,
                        name => kind(name, Kind::Text),
                    };
                    self.read(member, &format!("{pointer}/{}", escaped(name)), roots, of);
                }
            }
            _ => {}
        }
    }

    /// Every path below one of the roots in an expression.
    fn scan(&mut self, text: &str, place: &str, roots: &[&str], kind: Kind) {
        for root in roots {
            // Elsewhere a text is a text.
            let is_expression = match root.starts_with("$states") {
                true => text.trim_start().starts_with("{%"),
                false => [".$", "Path", "Variable"]
                    .iter()
                    .any(|end| place.ends_with(end)),
            };
            if !is_expression {
                continue;
            }
            for (at, _) in text.match_indices(root) {
                let before = &text[..at];
                let is_asked = before.trim_end().ends_with("$exists(");
                // `$$.` is the context, `a$.` no path.
                let is_inside = before.ends_with(|c: char| c.is_alphanumeric() || c == '$');
                let names = names(&text[at + root.len()..]);
                if names.is_empty() || is_asked || is_inside {
                    continue;
                }
                if *root == OF_STATE[0] && self.written.contains(&names[0]) {
                    continue;
                }
                self.needs.push(Need {
                    path: names.join("."),
                    place: place.to_owned(),
                    kind,
                });
            }
        }
    }
}

/// What a field takes, by its name.
fn kind(field: &str, otherwise: Kind) -> Kind {
    match field.strip_suffix("Path").unwrap_or(field) {
        "Items" => Kind::List,
        "MaxConcurrency" => Kind::Number(100),
        "ToleratedFailurePercentage" | "ToleratedFailureCount" => Kind::Number(0),
        "MaxItems" | "Seconds" => Kind::Number(1),
        "MaxItemsPerBatch" => Kind::Number(10),
        "MaxInputBytesPerBatch" => Kind::Number(262_144),
        "TimeoutSeconds" => Kind::Number(3_600),
        "HeartbeatSeconds" => Kind::Number(60),
        _ => otherwise,
    }
}

/// `["a", "b c"]` of `.a['b c'][0].d`: as far as members are named.
fn names(mut rest: &str) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let quoted = ["['", "[\"", ".`"].iter().find_map(|open| {
            let inner = rest.strip_prefix(open)?;
            let close = match *open {
                "['" => "']",
                "[\"" => "\"]",
                _ => "`",
            };
            inner.split_once(close)
        });
        let (name, after) = match (quoted, rest.strip_prefix('.')) {
            (Some(found), _) => found,
            (None, Some(plain)) => {
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                plain.split_at(plain.find(|c| !is_part(c)).unwrap_or(plain.len()))
            }
            (None, None) => return names,
        };
        // A dot in a name could not be told from one between names.
        if name.is_empty() || name.contains('.') {
            return names;
        }
        names.push(name.to_owned());
        rest = after;
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(definition: &Value) -> Vec<String> {
        of(definition).into_iter().map(|it| it.path).collect()
    }

    fn map() -> Value {
        json!({"StartAt": "Check", "States": {
            "Check": {"Type": "Choice", "Default": "Note", "Choices": [
                {"Variable": "$.dry", "BooleanEquals": true, "Next": "Done"},
                {"And": [{"Variable": "$.only", "IsPresent": true},
                    {"Variable": "$.most", "NumericGreaterThan": 5}], "Next": "Note"}]},
            "Note": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": "f", "Payload": {"who.$": "$.owner.name"}},
                "ResultPath": "$.note", "Next": "Lines"},
            "Lines": {"Type": "Map", "Next": "Done", "MaxConcurrencyPath": "$.concurrency",
                "ItemReader": {"Resource": "arn:aws:states:::s3:getObject",
                    "Parameters": {"Bucket.$": "$.in.bucket", "Key.$": "$['in'].key"}},
                "ItemBatcher": {"BatchInput": {"at.$": "$$.Execution.Input.at", "n.$": "$.note.id"}},
                "ItemSelector": {"region.$": "States.Format('{}-{}', $.region, $.zone)"},
                "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true,
                    "Parameters": {"x.$": "$.of_item", "at.$": "$$.Execution.Input.deep"}}}}},
            "Done": {"Type": "Pass", "End": true, "Parameters": {"late.$": "$.result"}}}})
    }

    #[test]
    fn what_is_read_before_the_input_is_replaced_is_needed() {
        let expected = [
            "at",
            "concurrency",
            "deep",
            "dry",
            "in.bucket",
            "in.key",
            "most",
            "owner.name",
            "region",
            "result",
            "zone",
        ];
        // `result` by the way past the Map; `note` is the Task's, `of_item` the item's.
        assert_eq!(paths(&map()), expected);
        let whole = json!({"in": {"bucket": "b", "key": "k"}, "at": 1, "concurrency": 1});
        let missing = missing(&map(), &whole);
        assert_eq!(missing.len(), expected.len() - 4);
        assert_eq!(missing[1].path, "dry");
        assert_eq!(missing[1].place, "/States/Check/Choices/0/Variable");
    }

    #[test]
    fn the_template_names_the_source_where_items_are_read() {
        assert_eq!(
            template(&map()),
            json!({"in": {"bucket": "{{ upload.bucket }}", "key": "{{ upload.key }}"},
                "at": "{{ at }}", "concurrency": 100, "deep": "{{ deep }}", "dry": false,
                "most": 0, "owner": {"name": "{{ owner.name }}"}, "region": "{{ region }}",
                "result": "{{ result }}", "zone": "{{ zone }}"})
        );
        let own = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "End": true,
            "ItemsPath": "$.rows", "ToleratedFailurePercentagePath": "$.tolerate"}}});
        assert_eq!(template(&own), json!({"rows": [], "tolerate": 0}));
        assert_eq!(template(&json!({})), json!({}));
    }

    #[test]
    fn expressions_of_jsonata_are_read() {
        let definition = json!({"QueryLanguage": "JSONata", "StartAt": "W", "States": {
            "W": {"Type": "Wait", "Seconds": "{% $states.input.pause %}", "Next": "M"},
            "M": {"Type": "Map", "End": true, "Items": "{% $states.input.`all rows`[id > 3] %}",
                "ToleratedFailurePercentage":
                    "{% $exists($states.input.t) ? $states.context.Execution.Input.share : 5 %}",
                "ItemSelector": {"text": "$states.input.not_read"}}}});
        assert_eq!(
            template(&definition),
            json!({"all rows": [], "pause": 1, "share": 0})
        );
    }

    #[test]
    fn a_part_of_the_input_hides_the_rest() {
        let definition = json!({"StartAt": "P", "States": {
            "P": {"Type": "Pass", "InputPath": "$.job", "Parameters": {"a.$": "$.inner"}, "Next": "Q"},
            "Q": {"Type": "Pass", "End": true, "Parameters": {"b.$": "$.later"}}}});
        assert_eq!(paths(&definition), ["job"]);
    }

    proptest! {
        #[test]
        fn any_expression_is_read(text in "[{}%$.a\\[\\]'`\" é(]{0,24}", jsonata: bool) {
            let language = if jsonata { "JSONata" } else { "JSONPath" };
            let definition = json!({"QueryLanguage": language, "StartAt": "P", "States": {
                "P": {"Type": "Pass", "Parameters": {"x.$": text}, "InputPath": "$", "End": true}}});
            let input = template(&definition);
            prop_assert!(missing(&definition, &input).is_empty(), "{input}");
        }
    }
}
