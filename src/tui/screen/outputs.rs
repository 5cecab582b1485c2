//! Objects of a run as a tree, the versions and rounds of the one under the cursor, and its text,
//! read page by page.

mod draw;
mod facts;
#[cfg(test)]
mod tests;
mod tree;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::sync::Arc;

use crate::model::{ExecutionArn, ObjectAddress, Timestamp};
use crate::operations::outputs::{Hit, Kind, Listing, Output};
use crate::tui::app::App;
use crate::tui::data::{Remote, Search};
use crate::tui::filter::{AGE, Filter};
use crate::tui::marks::Marks;
use crate::tui::preview::Preview;
use crate::tui::widget::figures;
use crate::tui::widget::list::{Cursor, Move, Order, Sort};
use crate::tui::widget::tree::{Document, Tree};

use tree::Placed;
pub use tree::{Folder, Shape};

#[derive(Debug, Clone)]
pub struct Outputs {
    pub run: ExecutionArn,
    pub cursor: Cursor,
    pub filter: Filter,
    pub order: Order,
    pub marks: Marks<ObjectAddress>,
    pub shape: Shape,
    pub pane: Pane,
    /// Place in the object of the first row of the preview.
    pub at: u64,
    /// Cells by which the preview is moved to the side.
    pub shift: usize,
    /// Rows of the preview; drawing sets it.
    pub height: Cell<usize>,
    pub rest: Rest,
    /// Whether JSON is shown as it is written, and not as a tree.
    pub as_text: bool,
    /// The document under the cursor, to move in.
    tree: Option<(Arc<Document>, Tree)>,
    /// Which objects fit, and their rows: kept until something changes that they follow from.
    shown: RefCell<Option<Arc<Shown>>>,
}

/// Whether the cursor stays where it is: what it only passes is not asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rest {
    #[default]
    Rested,
    Moved,
    /// Moved, and a while has been asked for.
    Awaited,
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq)]
pub enum Row<'a> {
    Folder(Folder),
    Object {
        output: Cow<'a, Output>,
        depth: usize,
        /// What stands behind the name: of which round it is, where rounds are shown as one.
        note: String,
    },
}

#[derive(Debug)]
struct Shown {
    of: Of,
    /// Places in the listing.
    objects: Vec<usize>,
    rows: Vec<Placed>,
}

/// What the rows follow from.
#[derive(Debug)]
struct Of {
    listing: Arc<Listing>,
    filter: String,
    order: Order,
    shape: Shape,
    /// A filter may ask for an age.
    now: Option<Timestamp>,
}

impl Of {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.listing, &other.listing)
            && self.now == other.now
            && self.filter == other.filter
            && self.order == other.order
            && self.shape == other.shape
    }
}

/// What the keys move in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pane {
    #[default]
    Files,
    Preview,
}

pub const SORTS: &[Sort] = &[
    ("kind", "by kind"),
    ("key", "by name"),
    ("size", "largest first"),
    ("written", "newest first"),
];

/// What a filter can ask for by name.
pub const COLUMNS: &[&str] = &["kind", "key", "bucket", "size", AGE];
/// Cells that the preview moves to the side at once.
const SIDEWAYS: usize = 20;

pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Final => "final",
        Kind::Merged => "merged",
        Kind::Rerun => "re-run",
        Kind::Result => "result",
        Kind::Temporary => "temporary",
        Kind::Source => "source",
    }
}

impl Outputs {
    pub fn new(run: ExecutionArn) -> Self {
        Self {
            run,
            // On the first object, below its folder.
            cursor: Cursor::on(1),
            filter: Filter::default(),
            order: Order::default(),
            marks: Marks::default(),
            shape: Shape::default(),
            pane: Pane::default(),
            at: 0,
            shift: 0,
            height: Cell::new(0),
            rest: Rest::default(),
            as_text: false,
            tree: None,
            shown: RefCell::default(),
        }
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        let before = self.cursor.row(rows);
        self.cursor.go(to, rows);
        if self.cursor.row(rows) != before {
            (self.at, self.shift) = (0, 0);
            self.rest = Rest::Moved;
        }
    }

    /// Puts the cursor on the first object.
    pub fn home(&mut self) {
        self.cursor.at = usize::from(self.order == Order::default());
        (self.at, self.shift) = (0, 0);
    }

    fn listing<'a>(&self, app: &'a App) -> Option<&'a Arc<Listing>> {
        app.data().outputs.get(&self.run).and_then(Remote::get)
    }

    /// Which objects are shown, and in which rows.
    fn shown(&self, app: &App) -> Option<Arc<Shown>> {
        let of = Of {
            listing: Arc::clone(self.listing(app)?),
            filter: self.filter.text().to_owned(),
            order: self.order,
            shape: self.shape.clone(),
            now: (!self.filter.is_empty()).then_some(app.now),
        };
        let known = self.shown.borrow().clone();
        if let Some(known) = known.filter(|known| known.of.is_same(&of)) {
            return Some(known);
        }
        let made = Arc::new(self.make(of, app.now));
        *self.shown.borrow_mut() = Some(Arc::clone(&made));
        Some(made)
    }

    fn make(&self, of: Of, now: Timestamp) -> Shown {
        let outputs = &of.listing.outputs;
        let fits = |index: &usize| {
            let (kind, object) = (outputs[*index].kind, &outputs[*index].object);
            let age = figures::seconds_between(object.modified, now).to_string();
            self.filter.matches(&[
                ("kind", word(kind)),
                ("key", &object.address.key),
                ("bucket", &object.address.bucket),
                ("size", &object.size.to_string()),
                (AGE, &age),
            ])
        };
        let mut objects: Vec<usize> = (0..outputs.len()).collect();
        if !self.filter.is_empty() {
            objects.retain(fits);
        }
        let object = |index: &usize| &outputs[*index].object;
        match self.order.name(SORTS) {
            "key" => objects.sort_by(|one, other| {
                let key = |index| &object(index).address.key;
                key(one).cmp(key(other))
            }),
            "size" => objects.sort_by_key(|it| Reverse(object(it).size)),
            "written" => objects.sort_by_key(|it| Reverse(object(it).modified)),
            _ => {}
        }
        if self.order.reversed {
            objects.reverse();
        }
        let listed: Vec<&Output> = objects.iter().map(|index| &outputs[*index]).collect();
        let rows = match self.order == Order::default() {
            true => tree::rows(&listed, &self.shape),
            false => (0..objects.len()).map(Placed::flat).collect(),
        };
        let rows = tree::with_versions(rows, &listed, &self.shape);
        Shown { of, objects, rows }
    }

    /// Objects that fit the filter, in the order chosen.
    pub fn objects<'a>(&self, app: &'a App) -> Vec<&'a Output> {
        let listed = self.listing(app).zip(self.shown(app));
        listed.map_or_else(Vec::new, |(listing, shown)| {
            let objects = shown.objects.iter();
            objects.map(|index| &listing.outputs[*index]).collect()
        })
    }

    /// How many rows there are.
    pub fn len(&self, app: &App) -> usize {
        self.shown(app).map_or(0, |shown| shown.rows.len())
    }

    /// The objects as they are shown: by kind as a tree, in any other order as a list.
    pub fn rows<'a>(&self, app: &'a App) -> Vec<Row<'a>> {
        let len = self.len(app);
        self.window(app, 0..len)
    }

    /// Some of the rows.
    pub fn window<'a>(&self, app: &'a App, rows: std::ops::Range<usize>) -> Vec<Row<'a>> {
        let Some((listing, shown)) = self.listing(app).zip(self.shown(app)) else {
            return Vec::new();
        };
        let rows = shown.rows.get(rows).unwrap_or_default().iter();
        let rows = rows.map(|row| match row {
            Placed::Folder(folder) => Row::Folder(folder.clone()),
            Placed::Object { index, depth, note } => Row::Object {
                output: Cow::Borrowed(&listing.outputs[shown.objects[*index]]),
                depth: *depth,
                note: note.clone(),
            },
            Placed::Version { output, depth } => Row::Object {
                output: Cow::Owned(output.as_ref().clone()),
                depth: *depth,
                note: String::new(),
            },
        });
        rows.collect()
    }

    pub fn chosen<'a>(&self, app: &'a App) -> Option<Cow<'a, Output>> {
        match self.chosen_row(app)? {
            Row::Object { output, .. } => Some(output),
            Row::Folder(_) => None,
        }
    }

    pub fn chosen_row<'a>(&self, app: &'a App) -> Option<Row<'a>> {
        let at = self.cursor.row(self.len(app));
        self.window(app, at..at + 1).pop()
    }

    /// Objects in a folder.
    pub fn inside(&self, app: &App, folder: &Folder) -> Vec<ObjectAddress> {
        // As if nothing were folded: what is folded is in it all the same.
        let shape = Shape {
            merged: self.shape.merged,
            ..Shape::default()
        };
        let objects = self.objects(app);
        let rows = tree::rows(&objects, &shape);
        let from = rows
            .iter()
            .position(|row| matches!(row, Placed::Folder(it) if it.path == folder.path));
        let behind = rows.iter().skip(from.map_or(usize::MAX, |at| at + 1));
        let within = behind.take_while(|row| match row {
            Placed::Folder(it) => folder.depth < it.depth,
            Placed::Object { depth, .. } | Placed::Version { depth, .. } => folder.depth < *depth,
        });
        let objects = within.filter_map(|row| match row {
            Placed::Object { index, .. } => Some(objects[*index].object.address.clone()),
            Placed::Folder(_) | Placed::Version { .. } => None,
        });
        objects.collect()
    }

    /// Folds the folder under the cursor, or unfolds it.
    pub fn fold(&mut self, path: String, is_folded: bool) {
        match is_folded {
            true => self.shape.folded.insert(path),
            false => self.shape.folded.remove(&path),
        };
    }

    /// Earlier versions of the object under the cursor that can be listed below it, itself
    /// included; none where they are not known.
    pub fn versions(&self, app: &App) -> Vec<Arc<Output>> {
        let Some(chosen) = self.chosen(app) else {
            return Vec::new();
        };
        let address = &chosen.object.address;
        let known = app.data().versions.get(&address.current());
        let Some(Some(versions)) = known.and_then(Remote::get) else {
            return Vec::new();
        };
        let objects = versions.iter().filter_map(|it| it.object(address));
        let outputs = objects.map(|object| {
            Arc::new(Output {
                object,
                ..chosen.as_ref().clone()
            })
        });
        outputs.collect()
    }

    /// Lists versions below their object, or no longer. The cursor stays on the object.
    pub fn show_versions(&mut self, address: &ObjectAddress, versions: Vec<Arc<Output>>) {
        match versions.is_empty() {
            true => self.shape.versions.remove(address),
            false => self.shape.versions.insert(address.clone(), versions),
        };
    }

    /// Lists no longer what there is more of by now.
    pub fn keep_versions(&mut self, listing: &Listing) {
        self.shape.versions.retain(|address, versions| {
            let mut objects = listing.outputs.iter().map(|it| &it.object);
            let now = objects.find(|it| it.address == *address);
            let newest = versions.first().map(|it| &it.object);
            now.zip(newest)
                .is_some_and(|(now, newest)| now.etag == newest.etag)
        });
    }

    /// The versions that are listed.
    pub fn listed_versions(&self) -> impl Iterator<Item = &Output> {
        self.shape.versions.values().flatten().map(AsRef::as_ref)
    }

    pub fn preview<'a>(&self, app: &'a App) -> Option<&'a Preview> {
        let chosen = self.chosen(app)?;
        let known = app.data().previews.get(&chosen.object.address);
        known.and_then(Remote::get)
    }

    pub fn search<'a>(&self, app: &'a App) -> Option<&'a Search> {
        let chosen = self.chosen(app)?;
        app.data().searches.get(&chosen.object.address)
    }

    /// Gives the document under the cursor a tree, as long as it is there.
    pub fn show_document(&mut self, document: Option<Arc<Document>>) {
        let known = self.tree.as_ref().map(|(document, _)| document);
        let is_same = match (known, &document) {
            (Some(known), Some(document)) => Arc::ptr_eq(known, document),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.tree = document.map(|it| (Arc::clone(&it), Tree::new(it)));
        }
    }

    /// The document under the cursor.
    pub fn document(&self) -> Option<&Tree> {
        self.tree.as_ref().map(|(_, tree)| tree)
    }

    pub fn document_mut(&mut self) -> Option<&mut Tree> {
        self.tree.as_mut().map(|(_, tree)| tree)
    }

    /// The tree that has the keys.
    pub fn tree(&self) -> Option<&Tree> {
        self.document().filter(|_| self.pane == Pane::Preview)
    }

    pub fn tree_mut(&mut self) -> Option<&mut Tree> {
        match self.pane {
            Pane::Preview => self.document_mut(),
            Pane::Files => None,
        }
    }

    /// The place of the first row, with as many rows below it as there is room for.
    pub fn top(&self, preview: &Preview) -> u64 {
        self.at.min(preview.last(self.height.get().max(1)))
    }

    pub fn scroll(&mut self, preview: &Preview, to: Move) {
        let height = self.height.get().max(1);
        let by = |rows: isize| preview.moved(self.top(preview), rows);
        let at = match to {
            Move::Lines(lines) => by(lines),
            Move::Halves(halves) => by(halves * (height / 2).max(1) as isize),
            Move::Pages(pages) => by(pages * height as isize),
            Move::Top => 0,
            Move::Bottom => preview.last(height),
        };
        self.at = at.min(preview.last(height));
    }

    pub fn sideways(&mut self, by: isize) {
        self.shift = self.shift.saturating_add_signed(by * SIDEWAYS as isize);
    }

    /// The match after or before what is shown, and its number; round the end of the object.
    pub fn hit<'a>(&self, hits: &'a [Hit], forwards: bool) -> Option<(usize, &'a Hit)> {
        let index = match forwards {
            true => hits.iter().position(|hit| self.at < hit.at).unwrap_or(0),
            false => {
                let before = hits.iter().rposition(|hit| hit.at < self.at);
                before.unwrap_or(hits.len().saturating_sub(1))
            }
        };
        hits.get(index).map(|hit| (index, hit))
    }
}
