//! The states of a definition, each with where it is.

use serde_json::Value;

/// A state and its surroundings.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// JSON pointer, such as `/States/Lines`.
    pub pointer: String,
    pub name: &'a str,
    pub state: &'a Value,
    /// The states beside it.
    pub siblings: &'a Value,
    /// The innermost Distributed Map whose children enter it.
    pub children_of: Option<&'a Value>,
}

impl<'a> Place<'a> {
    pub fn is_distributed(&self) -> bool {
        self.state["Type"] == "Map" && mode(self.state) == "DISTRIBUTED"
    }

    /// Whether this is a Distributed Map with EXPRESS children.
    pub fn is_express_map(&self) -> bool {
        self.is_distributed() && is_express(self.state)
    }

    /// Whether EXPRESS children enter this state.
    pub fn is_in_express(&self) -> bool {
        self.children_of.is_some_and(is_express)
    }

    /// By which ARNs name the children's machine.
    pub fn label(&self) -> &'a str {
        self.state["Label"].as_str().unwrap_or(self.name)
    }

    /// A field that a JSONPath state may also take from a path.
    pub fn has(&self, field: &str) -> bool {
        self.state.get(field).is_some() || self.state.get(format!("{field}Path")).is_some()
    }
}

/// `Parameters` of JSONPath, `Arguments` of JSONata; null where there are none.
pub fn arguments(of: &Value) -> &Value {
    let given = of.get("Parameters").or_else(|| of.get("Arguments"));
    given.unwrap_or(&Value::Null)
}

/// Text that stands in the definition itself, no expression.
pub fn fixed<'a>(arguments: &'a Value, name: &str) -> Option<&'a str> {
    let text = arguments.get(name)?.as_str()?;
    (!text.trim_start().starts_with("{%")).then_some(text)
}

/// What a Map does for each item; an older definition calls it `Iterator`.
pub fn processor(map: &Value) -> (&'static str, &Value) {
    match map.get("ItemProcessor") {
        Some(processor) => ("ItemProcessor", processor),
        None => ("Iterator", &map["Iterator"]),
    }
}

fn mode(map: &Value) -> &str {
    let (_, processor) = processor(map);
    let mode = processor["ProcessorConfig"]["Mode"].as_str();
    mode.unwrap_or("INLINE")
}

fn is_express(map: &Value) -> bool {
    let (_, processor) = processor(map);
    processor["ProcessorConfig"]["ExecutionType"] == "EXPRESS"
}

/// All states, each before those inside it.
pub fn all(definition: &Value) -> Vec<Place<'_>> {
    let mut places = Vec::new();
    collect(definition, "", None, &mut places);
    places
}

// No deeper than the definition's JSON, whose parser has a limit.
fn collect<'a>(
    machine: &'a Value,
    pointer: &str,
    children_of: Option<&'a Value>,
    places: &mut Vec<Place<'a>>,
) {
    for (name, state) in machine["States"].as_object().into_iter().flatten() {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        let place = Place {
            pointer: format!("{pointer}/States/{escaped}"),
            name,
            state,
            siblings: &machine["States"],
            children_of,
        };
        let pointer = place.pointer.clone();
        let is_map = state["Type"] == "Map";
        let is_distributed = place.is_distributed();
        places.push(place);
        if is_map {
            let (field, inner) = processor(state);
            let children_of = match is_distributed {
                true => Some(state),
                false => children_of,
            };
            let pointer = format!("{pointer}/{field}");
            collect(inner, &pointer, children_of, places);
        }
        let branches = state["Branches"].as_array();
        for (at, branch) in branches.into_iter().flatten().enumerate() {
            let pointer = format!("{pointer}/Branches/{at}");
            collect(branch, &pointer, children_of, places);
        }
    }
}
