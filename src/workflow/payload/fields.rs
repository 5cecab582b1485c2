//! Reading an object field by field, so that what is wrong is named by its path.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::workflow::error::HandlerError;
use crate::workflow::payload::invalid;

/// The fields of an object in the input that are not read yet. Null is as good as absent.
pub struct Fields {
    path: String,
    left: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    pub fn of(path: &str, value: Value) -> Result<Self, HandlerError> {
        match value {
            Value::Object(left) => Ok(Self {
                path: path.to_owned(),
                left,
                known: Vec::new(),
            }),
            _ => Err(invalid(format!("{path} must be an object"))),
        }
    }

    /// An absent section is an empty one.
    pub fn section(&mut self, name: &'static str) -> Result<Self, HandlerError> {
        let value = self.next(name).unwrap_or_else(|| Value::Object(Map::new()));
        Self::of(&format!("{}.{name}", self.path), value)
    }

    /// Whether the field is given.
    pub fn has(&mut self, name: &'static str) -> bool {
        match self.next(name) {
            Some(value) => {
                self.left.insert(name.to_owned(), value);
                true
            }
            None => false,
        }
    }

    pub fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, HandlerError> {
        self.next(name)
            .map(serde_json::from_value)
            .transpose()
            .map_err(|_| invalid(format!("{}.{name} must be {expected}", self.path)))
    }

    /// A text that says something.
    pub fn take_text(&mut self, name: &'static str) -> Result<Option<String>, HandlerError> {
        let text: Option<String> = self.take(name, "a text")?;
        if text.as_ref().is_some_and(String::is_empty) {
            return Err(invalid(format!("{}.{name} is empty", self.path)));
        }
        Ok(text)
    }

    pub fn required(&mut self, name: &'static str) -> Result<String, HandlerError> {
        self.take_text(name)?
            .ok_or_else(|| invalid(format!("{}.{name} is missing", self.path)))
    }

    /// Refuses what nobody asked for: most likely it is misspelt.
    pub fn finish(self) -> Result<(), HandlerError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(format!(
                "{}.{} is unknown; there are {}",
                self.path,
                name.escape_debug(),
                self.known.join(", ")
            ))),
        }
    }

    fn next(&mut self, name: &'static str) -> Option<Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        // Order does not matter: only the names of what is left are shown.
        self.left.swap_remove(name).filter(|value| !value.is_null())
    }
}
