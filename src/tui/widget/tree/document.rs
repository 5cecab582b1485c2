//! JSON text as a flat list of nodes that keep the text as it was written: numbers of any length,
//! members in their order, members of one name twice.

use std::ops::Range;

use serde::de::IgnoredAny;

/// Longest text that is read as JSON; definitions end at 1 MB, payloads at 256 KiB.
const LONGEST: usize = 4 << 20;

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    text: Box<str>,
    /// Each before what it holds.
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    String,
    /// A number, `true`, `false` or `null`.
    Word,
    /// No JSON at all.
    Text,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub kind: Kind,
    pub depth: u16,
    /// Of the name within an object, without quotes.
    pub key: Option<Range<usize>>,
    /// Place within an array.
    pub index: Option<u32>,
    pub parent: Option<u32>,
    /// Of the value.
    pub span: Range<usize>,
    /// Members or elements.
    pub count: u32,
    /// The node after all that this one holds.
    pub end: u32,
}

impl Node {
    pub fn folds(&self) -> bool {
        match self.kind {
            Kind::Object | Kind::Array => self.count > 0,
            Kind::String => self.span.len() > 40,
            Kind::Word | Kind::Text => false,
        }
    }
}

impl Document {
    pub fn read(source: &str) -> Self {
        let is_json = source.len() <= LONGEST && serde_json::from_str::<IgnoredAny>(source).is_ok();
        let nodes = if is_json {
            Scanner::default().scan(source)
        } else {
            vec![Node {
                kind: Kind::Text,
                depth: 0,
                key: None,
                index: None,
                parent: None,
                span: 0..source.len(),
                count: 0,
                end: 1,
            }]
        };
        Self {
            text: source.into(),
            nodes,
        }
    }

    /// JSON that ends too early: as much of it as is whole, with what is open closed where that
    /// ends. `None` for what is no JSON so far.
    pub fn begun(source: &str) -> Option<Self> {
        Some(Self::read(&closed(source)?)).filter(Self::is_json)
    }

    pub fn is_json(&self) -> bool {
        self.nodes.first().is_some_and(|it| it.kind != Kind::Text)
    }

    pub(super) fn slice(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// JSON text of a node; strings without quotes and escapes.
    pub(super) fn value(&self, index: u32) -> String {
        let Some(node) = self.nodes.get(index as usize) else {
            return String::new();
        };
        let source = self.slice(&node.span);
        match node.kind {
            Kind::String => serde_json::from_str(source).unwrap_or_else(|_| source.to_owned()),
            _ => source.to_owned(),
        }
    }

    /// What a string begins with, enough for `cells`.
    pub(super) fn beginning(&self, index: u32, cells: usize) -> String {
        let Some(node) = self.nodes.get(index as usize) else {
            return String::new();
        };
        let source = self.slice(&node.span);
        source.chars().take(cells.saturating_mul(4)).collect()
    }

    pub(super) fn path(&self, index: u32) -> String {
        let mut steps = Vec::new();
        let mut at = Some(index);
        while let Some(node) = at.and_then(|at| self.nodes.get(at as usize)) {
            steps.push(match (&node.key, node.index) {
                (Some(key), _) => {
                    let key = self.slice(key);
                    let is_plain = key.chars().all(|c| c.is_alphanumeric() || c == '_')
                        && !key.starts_with(|c: char| c.is_ascii_digit())
                        && !key.is_empty();
                    if is_plain {
                        format!(".{key}")
                    } else {
                        format!("['{}']", key.replace('\'', "\\'"))
                    }
                }
                (None, Some(index)) => format!("[{index}]"),
                (None, None) => "$".to_owned(),
            });
            at = node.parent;
        }
        steps.reverse();
        steps.concat()
    }

    /// Nodes whose name or own text holds `needle`, whatever the case.
    pub(super) fn find(&self, needle: &str) -> Vec<u32> {
        let needle = needle.to_lowercase();
        if needle.is_empty() {
            return Vec::new();
        }
        let holds = |span: &Range<usize>| self.slice(span).to_lowercase().contains(&needle);
        let fits = |node: &Node| {
            let is_container = matches!(node.kind, Kind::Object | Kind::Array);
            node.key.as_ref().is_some_and(holds) || (!is_container && holds(&node.span))
        };
        let nodes = (0..).zip(&self.nodes);
        nodes
            .filter(|(_, node)| fits(node))
            .map(|(index, _)| index)
            .collect()
    }
}

/// The text up to the last value that is whole, and the ends of what is open there.
fn closed(source: &str) -> Option<String> {
    let bytes = source.as_bytes();
    let mut open: Vec<char> = Vec::new();
    // Where the last whole value ends, and in how many containers.
    let mut last = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                open.push(if *byte == b'{' { '}' } else { ']' });
                last = last.or(Some((at + 1, 1)));
            }
            b'}' | b']' => {
                open.pop()?;
                last = Some((at + 1, open.len()));
            }
            b',' => last = Some((at, open.len())),
            b'"' => {
                let rest = &bytes[at + 1..];
                let mut is_escaped = false;
                let end = rest.iter().position(|byte| {
                    let is_end = *byte == b'"' && !is_escaped;
                    is_escaped = *byte == b'\\' && !is_escaped;
                    is_end
                });
                let Some(end) = end else { break };
                at += end + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let (end, depth) = last?;
    let ends = open.iter().take(depth).rev();
    Some(source[..end].chars().chain(ends.copied()).collect())
}

/// Walks over text that is known to be JSON.
#[derive(Default)]
struct Scanner {
    nodes: Vec<Node>,
    /// Containers that are open.
    open: Vec<u32>,
    key: Option<Range<usize>>,
}

impl Scanner {
    fn scan(mut self, source: &str) -> Vec<Node> {
        let bytes = source.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'{' => self.push(Kind::Object, at..at),
                b'[' => self.push(Kind::Array, at..at),
                b'}' | b']' => self.close(at + 1),
                b'"' => {
                    let end = end_of_string(bytes, at);
                    if self.awaits_key() {
                        self.key = Some(at + 1..end - 1);
                    } else {
                        self.push(Kind::String, at..end);
                    }
                    at = end;
                    continue;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {}
                _ => {
                    let rest = &bytes[at..];
                    let ends = |byte: &u8| b",]} \n\r\t".contains(byte);
                    let end = at + rest.iter().position(ends).unwrap_or(rest.len());
                    self.push(Kind::Word, at..end);
                    at = end;
                    continue;
                }
            }
            at += 1;
        }
        self.nodes
    }

    /// Whether a string that comes now is the name of a member.
    fn awaits_key(&self) -> bool {
        let parent = self.open.last().map(|it| &self.nodes[*it as usize]);
        self.key.is_none() && parent.is_some_and(|it| it.kind == Kind::Object)
    }

    fn push(&mut self, kind: Kind, span: Range<usize>) {
        let number = self.nodes.len() as u32;
        let parent = self.open.last().copied();
        let index = parent.map(|parent| {
            let parent = &mut self.nodes[parent as usize];
            parent.count += 1;
            parent.count - 1
        });
        let key = self.key.take();
        self.nodes.push(Node {
            kind,
            depth: self.open.len() as u16,
            index: index.filter(|_| key.is_none()),
            key,
            parent,
            span,
            count: 0,
            end: number + 1,
        });
        if matches!(kind, Kind::Object | Kind::Array) {
            self.open.push(number);
        }
    }

    fn close(&mut self, end: usize) {
        let count = self.nodes.len() as u32;
        if let Some(container) = self.open.pop() {
            let container = &mut self.nodes[container as usize];
            container.span.end = end;
            container.end = count;
        }
    }
}

/// The byte after the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The value that the nodes from `at` on stand for.
    fn rebuilt(document: &Document, at: u32) -> Value {
        let node = &document.nodes[at as usize];
        let mut children = Vec::new();
        let mut child = at + 1;
        while child < node.end {
            assert_eq!(document.nodes[child as usize].parent, Some(at));
            children.push(child);
            child = document.nodes[child as usize].end;
        }
        assert_eq!(children.len(), node.count as usize);
        match node.kind {
            Kind::Array => children.iter().map(|it| rebuilt(document, *it)).collect(),
            Kind::Object => {
                let member = |it: &u32| {
                    let key = document.nodes[*it as usize].key.clone().unwrap();
                    let quoted = document.slice(&(key.start - 1..key.end + 1));
                    (
                        serde_json::from_str(quoted).unwrap(),
                        rebuilt(document, *it),
                    )
                };
                Value::Object(children.iter().map(member).collect())
            }
            _ => serde_json::from_str(document.slice(&node.span)).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn nodes_hold_the_whole_value(value in values(), pretty in any::<bool>()) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            prop_assert_eq!(rebuilt(&Document::read(&text), 0), value);
        }

        #[test]
        fn any_text_is_a_document(text in any::<String>()) {
            let document = Document::read(&text);
            prop_assert!(!document.nodes.is_empty());
            prop_assert!(document.find("a").len() <= document.nodes.len());
        }
    }

    #[test]
    fn odd_names_are_quoted_in_paths() {
        let document = Document::read(r#"{"a b": [{"it's": 1.50e3}]}"#);
        assert_eq!(document.path(3), r"$['a b'][0]['it\'s']");
        assert_eq!(document.value(3), "1.50e3");
    }

    #[test]
    fn what_is_cut_off_ends_with_its_last_whole_value() {
        for (cut, whole) in [
            ("[1,2,{\"a\":3", "[1,2]"),
            ("[1,2,{\"a\":3,\"b\":[4,", "[1,2,{\"a\":3,\"b\":[4]}]"),
            ("{\"a\":\"]},\\\"\",\"b\":\"x", "{\"a\":\"]},\\\"\"}"),
            ("[", "[]"),
            ("[[[", "[]"),
            ("{\"a\":1}", "{\"a\":1}"),
        ] {
            assert_eq!(closed(cut).as_deref(), Some(whole), "{cut}");
        }
        assert!(Document::begun("no json, at all").is_none());
        assert!(Document::begun("\"text").is_none() && Document::begun("").is_none());
        assert!(Document::begun("]").is_none());
    }

    proptest! {
        #[test]
        fn wherever_json_is_cut_off_what_is_shown_is_json_that_it_begins_with(
            value in values(), cut in 0_usize..2_000,
        ) {
            let text = format!("[{value},{value}]");
            let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
            let text = &text[..cut.unwrap_or(0)];
            if let Some(closed) = closed(text) {
                prop_assert!(serde_json::from_str::<IgnoredAny>(&closed).is_ok(), "{}", closed);
                let kept = closed.trim_end_matches([']', '}']);
                prop_assert!(text.starts_with(kept));
            }
        }

        #[test]
        fn any_text_is_a_document_or_none(text in "[\\[\\]{}\",:1a\\\\ ]{0,60}") {
            let _ = Document::begun(&text);
        }
    }
}
