//! JSON as a tree to fold, search and copy from. Text that is no JSON is shown as the text it is.
//!
//! A document is read once into a flat list of nodes. Which rows are seen follows from what is
//! folded and from the width, and is worked out again only when one of them changes.

mod document;
#[cfg(test)]
mod tests;

pub use document::Document;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::tui::screen::places::{self, Places};
use crate::tui::theme::Theme;
use crate::tui::widget::list::{Cursor, Move};
use crate::tui::widget::tree::document::{Kind, Node};
use crate::tui::widget::{figures, pane, text};

/// Nodes beyond which a document opens folded, but for its first level.
const OPENED: usize = 2_000;
/// Bytes of a string beyond which it opens folded.
const LONG: u32 = 1_500;
/// Rows that one string takes at most; all of it can be copied.
const STRING_ROWS: usize = 5_000;
/// Cells of indentation that are drawn: what is deeper stands beneath each other.
const DEEPEST: usize = 40;

#[derive(Debug, Clone)]
pub struct Tree {
    document: Arc<Document>,
    /// Containers and long strings that are closed.
    folded: HashSet<u32>,
    cursor: Cursor,
    search: String,
    /// Nodes that the search fits, in order.
    found: Vec<u32>,
    rows: RefCell<Rows>,
}

/// What is seen at a width.
#[derive(Debug, Clone, Default)]
struct Rows {
    /// 0 before it is worked out.
    width: usize,
    /// Node, and the line of its text.
    list: Vec<(u32, u32)>,
    /// Lines of strings that take more than one.
    wrapped: HashMap<u32, Vec<String>>,
}

impl Tree {
    pub fn new(document: Arc<Document>) -> Self {
        let is_large = document.nodes.len() > OPENED;
        let folded = (0..)
            .zip(&document.nodes)
            .filter(|(_, node)| match node.kind {
                Kind::Object | Kind::Array => is_large && node.depth > 0,
                Kind::String => node.span.len() as u32 > LONG,
                Kind::Word | Kind::Text => false,
            })
            .map(|(index, _)| index)
            .collect();
        Self {
            document,
            folded,
            cursor: Cursor::default(),
            search: String::new(),
            found: Vec::new(),
            rows: RefCell::default(),
        }
    }

    pub fn of(source: &str) -> Self {
        Self::new(Arc::new(Document::read(source)))
    }

    fn is_closed(&self, node: u32) -> bool {
        self.folded.contains(&node)
    }

    fn node(&self, index: u32) -> Option<&Node> {
        self.document.nodes.get(index as usize)
    }

    /// The node under the cursor.
    fn chosen(&self) -> u32 {
        self.prepare(None);
        let rows = self.rows.borrow();
        let row = self.cursor.row(rows.list.len());
        rows.list.get(row).map_or(0, |(node, _)| *node)
    }

    fn place_on(&mut self, node: u32) {
        self.prepare(None);
        let rows = self.rows.borrow();
        let at = rows.list.partition_point(|(it, _)| *it < node);
        self.cursor.at = at.min(rows.list.len().saturating_sub(1));
    }

    pub fn go(&mut self, to: Move) {
        self.prepare(None);
        let len = self.rows.borrow().list.len();
        self.cursor.go(to, len);
    }

    /// Folds or unfolds what is under the cursor.
    pub fn toggle(&mut self) {
        let node = self.chosen();
        let folds = self.node(node).is_some_and(Node::folds);
        if folds && !self.folded.remove(&node) {
            self.folded.insert(node);
        }
        self.refold(node);
    }

    /// Unfolds, or goes into what is open.
    pub fn right(&mut self) {
        let node = self.chosen();
        if self.folded.remove(&node) {
            return self.refold(node);
        }
        let has_children = self.node(node).is_some_and(|it| it.end > node + 1);
        if has_children {
            self.place_on(node + 1);
        }
    }

    /// Folds, or goes to what holds this.
    pub fn left(&mut self) {
        let node = self.chosen();
        let Some(it) = self.node(node) else {
            return;
        };
        let is_open_container = it.end > node + 1 && !self.is_closed(node);
        match it.parent {
            _ if is_open_container => {
                self.folded.insert(node);
                self.refold(node);
            }
            Some(parent) => self.place_on(parent),
            None => {}
        }
    }

    pub fn fold_all(&mut self) {
        let node = self.chosen();
        let nodes = (0..).zip(&self.document.nodes);
        let folding =
            nodes.filter(|(_, it)| it.folds() && (it.depth > 0 || it.kind == Kind::String));
        self.folded = folding.map(|(index, _)| index).collect();
        let mut top = node;
        while let Some(it) = self.node(top)
            && it.depth > 1
            && let Some(parent) = it.parent
        {
            top = parent;
        }
        self.refold(top);
    }

    pub fn unfold_all(&mut self) {
        let node = self.chosen();
        self.folded.clear();
        self.refold(node);
    }

    fn refold(&mut self, node: u32) {
        let width = self.rows.borrow().width;
        self.rows.borrow_mut().width = 0;
        self.prepare(Some(width));
        self.place_on(node);
    }

    /// Marks what holds the text, in keys or values; case does not matter. Goes to the first one
    /// from the cursor on.
    pub fn search(&mut self, needle: &str) {
        needle.clone_into(&mut self.search);
        self.found = self.document.find(needle);
        let from = self.chosen();
        let next = self
            .found
            .iter()
            .find(|it| **it >= from)
            .or(self.found.first());
        if let Some(next) = next.copied() {
            self.reveal(next);
        }
    }

    /// Goes to the next (or the previous) place that fits, around the end.
    pub fn next_match(&mut self, forward: bool) {
        let from = self.chosen();
        let found = &self.found;
        let next = if forward {
            found.iter().find(|it| **it > from).or(found.first())
        } else {
            found.iter().rev().find(|it| **it < from).or(found.last())
        };
        if let Some(next) = next.copied() {
            self.reveal(next);
        }
    }

    /// Unfolds all that hides a node, and goes to it.
    fn reveal(&mut self, node: u32) {
        let mut at = Some(node);
        while let Some(index) = at {
            at = self.node(index).and_then(|it| it.parent);
            self.folded.remove(&index);
        }
        self.refold(node);
    }

    /// `3 of 17 places`, while something is searched for.
    pub fn matches(&self) -> Option<String> {
        if self.search.is_empty() {
            return None;
        }
        let at = self.chosen();
        let count = self.found.len() as u64;
        Some(match self.found.binary_search(&at) {
            Ok(place) => format!(
                "{} of {} places",
                figures::count(place as u64 + 1),
                figures::count(count)
            ),
            Err(_) => format!("{} places", figures::count(count)),
        })
    }

    /// What is under the cursor: JSON text, or a string without its quotes.
    pub fn value(&self) -> String {
        self.document.value(self.chosen())
    }

    /// Where that is: `$.items[3].name`.
    pub fn path(&self) -> String {
        self.document.path(self.chosen())
    }

    /// Works out the rows, where they are not known for this width. Without a width the last one
    /// stands.
    fn prepare(&self, width: Option<usize>) {
        let mut rows = self.rows.borrow_mut();
        let width = width.unwrap_or(rows.width);
        let width = if width == 0 { 80 } else { width };
        if rows.width == width {
            return;
        }
        rows.width = width;
        rows.list.clear();
        rows.wrapped.clear();
        let mut index = 0;
        while let Some(node) = self.node(index) {
            let closed = self.is_closed(index);
            let lines = match node.kind {
                Kind::String | Kind::Text if !closed => self.wrap(index, node, width),
                _ => Vec::new(),
            };
            let count = lines.len().max(1) as u32;
            rows.list.extend((0..count).map(|line| (index, line)));
            if lines.len() > 1 {
                rows.wrapped.insert(index, lines);
            }
            index = if closed { node.end } else { index + 1 };
        }
    }

    /// The lines of a string; none when it fits beside its key.
    fn wrap(&self, index: u32, node: &Node, width: usize) -> Vec<String> {
        // No character takes more cells than bytes.
        let key = node.key.as_ref().map_or(10, |key| key.len() + 2);
        let longest = width.saturating_sub(indent(node) + 2 + key);
        if node.kind == Kind::String && node.span.len() <= longest {
            return Vec::new();
        }
        let room = width.saturating_sub(indent(node) + 2 + text::width(&self.label(node)));
        let value = self.document.value(index);
        let mut lines = Vec::new();
        for line in value.lines() {
            let left = STRING_ROWS.saturating_sub(lines.len());
            let wrapped = text::wrap(&line.replace('\t', "    "), room.max(8), left);
            if wrapped.is_empty() && left > 0 {
                lines.push(String::new());
            }
            lines.extend(wrapped);
        }
        lines
    }

    /// `name: `, `[3]: `.
    fn label(&self, node: &Node) -> String {
        match (&node.key, node.index) {
            (Some(key), _) => format!("{}: ", text::fit(self.document.slice(key), 60)),
            (None, Some(index)) => format!("{index}: "),
            (None, None) => String::new(),
        }
    }

    /// Draws the rows that fit and notes where they are; `focused` shows the cursor.
    pub fn draw(
        &self,
        (buffer, area): (&mut Buffer, Rect),
        focused: bool,
        theme: Theme,
        places: &Places,
    ) {
        self.prepare(Some(area.width as usize));
        let rows = self.rows.borrow();
        let window = self.cursor.window(rows.list.len(), area.height as usize);
        let chosen = self.cursor.row(rows.list.len());
        places.note_rows(places::Rows {
            area,
            height: 1,
            first: window.start,
            chosen,
            len: rows.list.len(),
            has_keys: focused,
        });
        for (line, row) in (0..).zip(window) {
            let (index, part) = rows.list[row];
            let spans = self.spans(&rows, index, part, area.width as usize, theme);
            pane::line(buffer, area, line, Line::from(spans));
            if row == chosen && focused {
                let strip = Rect::new(area.x, area.y + line, area.width, 1);
                buffer.set_style(strip, theme.chosen());
            }
        }
    }

    fn spans(
        &self,
        rows: &Rows,
        index: u32,
        part: u32,
        width: usize,
        theme: Theme,
    ) -> Vec<Span<'static>> {
        let Some(node) = self.node(index) else {
            return Vec::new();
        };
        let label = self.label(node);
        let before = indent(node);
        let room = width.saturating_sub(before + 2 + text::width(&label));
        let style = match node.kind {
            Kind::String => theme.good(),
            Kind::Word => theme.bold(),
            Kind::Object | Kind::Array | Kind::Text => Style::new(),
        };
        if part > 0 {
            let wrapped = rows
                .wrapped
                .get(&index)
                .and_then(|lines| lines.get(part as usize));
            let gap = " ".repeat(before + 2 + text::width(&label));
            return vec![
                Span::raw(gap),
                Span::styled(wrapped.cloned().unwrap_or_default(), style),
            ];
        }
        let closed = self.is_closed(index);
        let mark = match (node.folds(), closed) {
            (true, true) => "▸ ",
            (true, false) if node.kind != Kind::String || rows.wrapped.contains_key(&index) => "▾ ",
            _ => "  ",
        };
        let is_found = self.found.binary_search(&index).is_ok();
        let key = if is_found {
            theme.accent().patch(theme.chosen())
        } else {
            theme.accent()
        };
        let value = match rows.wrapped.get(&index).and_then(|lines| lines.first()) {
            Some(line) => line.clone(),
            None => self.short(index, node, closed, room),
        };
        let style = if is_found && label.is_empty() {
            theme.chosen()
        } else {
            style
        };
        vec![
            Span::raw(format!("{}{mark}", " ".repeat(before))),
            Span::styled(label, key),
            Span::styled(text::fit(&value, room), style),
        ]
    }

    /// A value on one line.
    fn short(&self, index: u32, node: &Node, closed: bool, room: usize) -> String {
        let source = self.document.slice(&node.span);
        match node.kind {
            Kind::Object | Kind::Array if node.count == 0 => source.split_whitespace().collect(),
            Kind::Object | Kind::Array => {
                let (open, close) = match node.kind {
                    Kind::Object => ('{', '}'),
                    _ => ('[', ']'),
                };
                let size = format!("{open}{}{close}", figures::count(node.count.into()));
                if !closed {
                    return size;
                }
                let most = room.saturating_mul(4);
                let start: String = source.chars().take(most).collect();
                format!(
                    "{size} {}",
                    start.split_whitespace().collect::<Vec<_>>().join(" ")
                )
            }
            Kind::String if closed => {
                let size = figures::bytes(node.span.len() as u64);
                let shown = text::fit(
                    &self.document.beginning(index, room),
                    room.saturating_sub(size.len() + 2),
                );
                format!("{shown} ({size})")
            }
            Kind::String | Kind::Word => source.to_owned(),
            Kind::Text => self.document.beginning(index, room),
        }
    }
}

fn indent(node: &Node) -> usize {
    (usize::from(node.depth) * 2).min(DEEPEST)
}
