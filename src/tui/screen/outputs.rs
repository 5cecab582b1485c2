//! Objects of a run as a tree, the versions and rounds of the one under the cursor, and its text,
//! read page by page.

mod draw;
#[cfg(test)]
mod tests;
mod tree;

use std::cell::Cell;
use std::cmp::Reverse;

use crate::model::{ExecutionArn, ObjectAddress};
use crate::operations::outputs::{Hit, Kind, Output};
use crate::tui::app::App;
use crate::tui::data::{Remote, Search};
use crate::tui::filter::{AGE, Filter};
use crate::tui::marks::Marks;
use crate::tui::preview::Preview;
use crate::tui::widget::figures;
use crate::tui::widget::list::{Cursor, Move, Order, Sort};

pub use tree::{Folder, Row, Shape};

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
        }
    }

    pub fn go(&mut self, to: Move, rows: usize) {
        let before = self.cursor.row(rows);
        self.cursor.go(to, rows);
        if self.cursor.row(rows) != before {
            (self.at, self.shift) = (0, 0);
        }
    }

    /// Puts the cursor on the first object.
    pub fn home(&mut self) {
        self.cursor.at = usize::from(self.order == Order::default());
        (self.at, self.shift) = (0, 0);
    }

    /// Objects that fit the filter, in the order chosen.
    pub fn objects<'a>(&self, app: &'a App) -> Vec<&'a Output> {
        let outputs = app.data().outputs.get(&self.run).and_then(Remote::get);
        let fits = |output: &&Output| {
            let object = &output.object;
            let age = figures::seconds_between(object.modified, app.now).to_string();
            self.filter.matches(&[
                ("kind", word(output.kind)),
                ("key", &object.address.key),
                ("bucket", &object.address.bucket),
                ("size", &object.size.to_string()),
                (AGE, &age),
            ])
        };
        let mut rows: Vec<&Output> = outputs.into_iter().flatten().filter(fits).collect();
        match self.order.name(SORTS) {
            "key" => {
                rows.sort_by(|one, other| one.object.address.key.cmp(&other.object.address.key));
            }
            "size" => rows.sort_by_key(|it| Reverse(it.object.size)),
            "written" => rows.sort_by_key(|it| Reverse(it.object.modified)),
            _ => {}
        }
        if self.order.reversed {
            rows.reverse();
        }
        rows
    }

    /// The objects as they are shown: by kind as a tree, in any other order as a list.
    pub fn rows<'a>(&self, app: &'a App) -> Vec<Row<'a>> {
        let objects = self.objects(app);
        if self.order == Order::default() {
            return tree::rows(&objects, &self.shape);
        }
        let whole = |output| Row::Object {
            output,
            depth: 0,
            note: String::new(),
        };
        objects.into_iter().map(whole).collect()
    }

    pub fn chosen<'a>(&self, app: &'a App) -> Option<&'a Output> {
        match self.chosen_row(app)? {
            Row::Object { output, .. } => Some(output),
            Row::Folder(_) => None,
        }
    }

    pub fn chosen_row<'a>(&self, app: &'a App) -> Option<Row<'a>> {
        let mut rows = self.rows(app);
        let at = self.cursor.row(rows.len());
        (at < rows.len()).then(|| rows.swap_remove(at))
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
            .position(|row| matches!(row, Row::Folder(it) if it.path == folder.path));
        let behind = rows.into_iter().skip(from.map_or(usize::MAX, |at| at + 1));
        let within = behind.take_while(|row| match row {
            Row::Folder(it) => folder.depth < it.depth,
            Row::Object { depth, .. } => folder.depth < *depth,
        });
        let objects = within.filter_map(|row| match row {
            Row::Object { output, .. } => Some(output.object.address.clone()),
            Row::Folder(_) => None,
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

    pub fn preview<'a>(&self, app: &'a App) -> Option<&'a Preview> {
        let address = &self.chosen(app)?.object.address;
        app.data().previews.get(address).and_then(Remote::get)
    }

    pub fn search<'a>(&self, app: &'a App) -> Option<&'a Search> {
        let address = &self.chosen(app)?.object.address;
        app.data().searches.get(address)
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
