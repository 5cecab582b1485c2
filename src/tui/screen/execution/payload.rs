//! Input, output and error of an execution or of one event, as one tree.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::model::ExecutionDetail;
use crate::tui::app::App;
use crate::tui::widget::list::Move;
use crate::tui::widget::pane;
use crate::tui::widget::tree::Tree;

/// The parts, each under its name.
pub type Parts<'a> = Vec<(&'static str, Option<&'a str>)>;

#[derive(Debug, Default)]
pub struct Payload {
    tree: Option<Tree>,
    /// The text that the tree is of.
    source: String,
}

/// Views that are only remembered hold no megabytes: what is shown again is read again.
impl Clone for Payload {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Payload {
    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    pub fn tree_mut(&mut self) -> Option<&mut Tree> {
        self.tree.as_mut()
    }

    pub fn go(&mut self, to: Move) {
        if let Some(tree) = &mut self.tree {
            tree.go(to);
        }
    }

    pub fn settle(&mut self, detail: Option<&ExecutionDetail>) {
        let parts = detail.map_or_else(Vec::new, |it| {
            vec![
                ("error", it.error.as_deref()),
                ("cause", it.cause.as_deref()),
                ("input", it.input.as_deref()),
                ("output", it.output.as_deref()),
            ]
        });
        self.put(&parts);
    }

    /// Shows these parts, unless they are shown already.
    pub fn put(&mut self, parts: &Parts<'_>) {
        let source = joined(parts);
        if self.tree.is_some() && source == self.source {
            return;
        }
        self.tree = (!source.is_empty()).then(|| Tree::of(&source));
        self.source = source;
    }

    pub fn draw(&self, app: &App, buffer: &mut Buffer, area: Rect, focused: bool) {
        match &self.tree {
            Some(tree) => tree.draw((buffer, area), focused, app.theme(), &app.places),
            None => pane::line(
                buffer,
                area,
                0,
                Line::styled("neither input nor output", app.theme().dim()),
            ),
        }
    }
}

/// One JSON text of all parts; those that are no JSON become strings.
fn joined(parts: &Parts<'_>) -> String {
    let members: Vec<String> = parts
        .iter()
        .filter_map(|(name, text)| {
            let text = (*text)?;
            // An error's name is a word, though it may look like a number.
            let is_json =
                *name != "error" && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            let text = if is_json {
                text.to_owned()
            } else {
                serde_json::Value::from(text).to_string()
            };
            Some(format!("\"{name}\": {text}"))
        })
        .collect();
    if members.is_empty() {
        return String::new();
    }
    format!("{{{}}}", members.join(", "))
}

/// The path within a part: `$.input.source.key` is `$.source.key` to whoever writes a definition.
pub fn path(whole: &str) -> String {
    let parts = ["input", "output", "cause", "error"];
    let rest = parts
        .iter()
        .find_map(|part| whole.strip_prefix("$.")?.strip_prefix(part));
    rest.map_or_else(|| whole.to_owned(), |rest| format!("${rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_document_and_paths_are_of_the_part() {
        let mut payload = Payload::default();
        payload.put(&vec![
            ("error", Some("404")),
            ("input", Some(r#"{"a": [1]}"#)),
            ("cause", Some("not {json")),
            ("output", None),
        ]);
        assert_eq!(
            payload.source,
            r#"{"error": "404", "input": {"a": [1]}, "cause": "not {json"}"#
        );
        assert_eq!(path("$.input.a[0]"), "$.a[0]");
        assert_eq!(path("$.input"), "$");
        assert_eq!(path("$"), "$");
        payload.put(&Vec::new());
        assert!(payload.tree().is_none());
    }
}
