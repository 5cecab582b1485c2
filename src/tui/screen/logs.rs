//! A run's log lines: followed, narrowed, searched, one by one.

#[cfg(test)]
mod cursor_tests;
mod draw;
#[cfg(test)]
mod tests;

pub use draw::excerpt;

use std::cell::Cell;
use std::collections::HashSet;

use crate::model::ExecutionArn;
use crate::operations::failures;
use crate::operations::logs::{Focus, Query};
use crate::tui::app::App;
use crate::tui::data::{Book, Entry, Place, Placed, Shelf};
use crate::tui::filter::Filter;
use crate::tui::widget::list::Move;
use crate::tui::zone;

/// Rows assumed visible before the first frame.
const UNSEEN: usize = 20;
/// Cells that one key scrolls sideways.
const SIDEWAYS: usize = 16;

#[derive(Debug, Clone)]
pub struct Logs {
    pub run: ExecutionArn,
    pub focus: Option<Focus>,
    /// In the service's filter language; the service narrows by it, also what is read anew.
    pattern: String,
    /// Narrows what is held here.
    pub filter: Filter,
    pub search: String,
    pub wraps: bool,
    /// Cells by which lines are shifted to the left.
    shift: usize,
    /// Held lines that fit the filter.
    shown: Shelf,
    /// Of the book: how much of it is in `shown`, and of which edition.
    taken: (u64, u64),
    unfolded: HashSet<u64>,
    at: usize,
    /// The line to go back to once the lines are looked through again.
    anchor: Option<Place>,
    /// Keeps to the newest line.
    pub follows: bool,
    /// First row drawn, and how many there was room for.
    top: Cell<usize>,
    height: Cell<usize>,
}

impl Logs {
    pub fn new(run: ExecutionArn, focus: Option<Focus>) -> Self {
        Self {
            run,
            // The lines of a failure are read from their beginning.
            follows: focus.is_none(),
            focus,
            pattern: String::new(),
            filter: Filter::default(),
            search: String::new(),
            wraps: false,
            shift: 0,
            shown: Shelf::default(),
            taken: (0, 0),
            unfolded: HashSet::new(),
            at: 0,
            anchor: None,
            top: Cell::new(0),
            height: Cell::new(0),
        }
    }

    /// What is asked for.
    pub fn query(&self) -> Query {
        Query {
            run: self.run.clone(),
            focus: self.focus.clone(),
            pattern: self.pattern.clone(),
            follow: true,
        }
    }

    pub fn rows(&self) -> usize {
        self.shown.len()
    }

    /// The line under the cursor with those before it, at most so many: time and text.
    pub fn newest(&self, most: usize) -> Vec<String> {
        let end = (self.at + 1).min(self.shown.len());
        let shown = (end.saturating_sub(most)..end).filter_map(|index| self.shown.get(index));
        let line = shown.map(|it| {
            let at = zone::format(it.entry.line.at, "%H:%M:%S");
            format!("{at} {}", it.entry.text)
        });
        let lines: Vec<String> = line.collect();
        match lines.is_empty() {
            true => vec!["no log line is known yet".to_owned()],
            false => lines,
        }
    }

    /// The line under the cursor.
    pub fn chosen(&self) -> Option<&Entry> {
        self.shown.get(self.at).map(|it| &*it.entry)
    }

    fn place(&self) -> Option<Place> {
        self.shown.get(self.at).map(|it| it.place)
    }

    /// Takes in what has come to the book, and keeps the cursor where it was.
    pub fn take_in(&mut self, book: &Book) {
        let (edition, arrived) = self.taken;
        if edition != book.edition || arrived > book.arrived() {
            let anchor = self.place().or(self.anchor);
            self.reset();
            self.anchor = anchor;
            self.taken.0 = book.edition;
        }
        let (_, arrived) = self.taken;
        if arrived == book.arrived() {
            return;
        }
        let anchor = self.anchor.take().or_else(|| self.place());
        if let Some(oldest) = book.entries().get(0) {
            self.shown.forget_before(oldest.place);
        }
        let new = book.entries().iter().filter(|it| it.place.1 >= arrived);
        let fitting: Vec<Placed> = new.filter(|it| self.fits(&it.entry)).cloned().collect();
        self.shown.add(fitting);
        self.taken = (book.edition, book.arrived());
        self.go_to(anchor);
    }

    /// Puts the cursor where a line is now, with the rows around it where they were.
    fn go_to(&mut self, place: Option<Place>) {
        let last = self.shown.len().saturating_sub(1);
        if self.follows {
            self.at = last;
            return;
        }
        if let Some(place) = place {
            let now = self.shown.find(place).min(last);
            let moved = now as isize - self.at as isize;
            self.top.set(self.top.get().saturating_add_signed(moved));
            self.at = now;
        }
    }

    fn reset(&mut self) {
        self.shown = Shelf::default();
        self.taken = (0, 0);
        self.unfolded.clear();
        self.at = 0;
        self.top.set(0);
    }

    fn fits(&self, entry: &Entry) -> bool {
        if self.filter.is_empty() || is_pattern(self.filter.text()) {
            return true;
        }
        let line = &entry.line;
        let level = line.level.map_or("", |level| level.word());
        self.filter.matches(&[
            ("text", &entry.text),
            ("level", level),
            ("state", line.state.as_deref().unwrap_or_default()),
            ("request", line.request.as_deref().unwrap_or_default()),
            ("execution", line.execution.as_deref().unwrap_or_default()),
            ("group", &line.group),
            ("stream", &line.stream),
        ])
    }

    pub fn set_filter(&mut self, filter: Filter) {
        let anchor = self.place().or(self.anchor);
        if filter.is_empty() {
            self.pattern.clear();
        }
        self.filter = filter;
        // The next `take_in` looks through the book again.
        self.reset();
        self.anchor = anchor;
    }

    /// The filter is as it should be: what the service can narrow by, it is asked for.
    pub fn keep_filter(&mut self) {
        let text = self.filter.text().trim();
        let request = text.strip_prefix("request:");
        let before = std::mem::take(&mut self.pattern);
        self.pattern = match request.filter(|id| failures::is_request_id(id)) {
            Some(id) => format!("\"{id}\""),
            None if is_pattern(text) => text.to_owned(),
            None => String::new(),
        };
        if self.pattern != before {
            self.reset();
        }
    }

    pub fn go(&mut self, to: Move) {
        let page = match self.height.get() {
            0 => UNSEEN,
            height => height,
        } as isize;
        let last = self.shown.len().saturating_sub(1);
        let at = match to {
            Move::Lines(by) => self.at.saturating_add_signed(by),
            Move::Halves(by) => self.at.saturating_add_signed(by * (page / 2).max(1)),
            Move::Pages(by) => self.at.saturating_add_signed(by * page),
            Move::Top => 0,
            Move::Bottom => last,
        };
        self.at = at.min(last);
        self.follows = self.at == last && self.focus.is_none();
    }

    /// Folds the chosen line up or out: JSON as a document, other lines to their end.
    pub fn unfold(&mut self) {
        if let Some((_, number)) = self.place()
            && !self.unfolded.remove(&number)
        {
            self.unfolded.insert(number);
        }
    }

    pub fn wrap(&mut self) {
        self.wraps = !self.wraps;
        self.shift = 0;
    }

    pub fn sideways(&mut self, right: bool) {
        self.shift = match right {
            true => self.shift.saturating_add(SIDEWAYS),
            false => self.shift.saturating_sub(SIDEWAYS),
        };
        // The longest line that is kept.
        self.shift = self.shift.min(16 * 1024);
    }

    /// Goes to the next line with the searched text, or the one before; whether there is any.
    pub fn find(&mut self, forwards: bool, from_here: bool) -> bool {
        let count = self.shown.len();
        if self.search.is_empty() || count == 0 {
            return false;
        }
        let first = usize::from(!from_here);
        let found = (first..=count).find_map(|step| {
            let index = match forwards {
                true => (self.at + step) % count,
                false => (self.at + count - step % count) % count,
            };
            let entry = &self.shown.get(index)?.entry;
            has(&entry.text, &self.search).then_some(index)
        });
        if let Some(index) = found {
            self.at = index;
            self.follows = false;
        }
        found.is_some()
    }

    /// Lines with the searched text.
    pub fn matches(&self) -> usize {
        let lines = self.shown.iter();
        lines.filter(|it| has(&it.entry.text, &self.search)).count()
    }
}

/// Whether a filter is the service's own: those begin with a sign that no word begins with.
fn is_pattern(text: &str) -> bool {
    text.trim_start().starts_with(['{', '"', '%', '[', '?'])
}

/// Whether `text` has `wanted` somewhere; the case of ASCII letters does not matter.
fn has(text: &str, wanted: &str) -> bool {
    found(text, wanted).next().is_some()
}

/// Where `wanted` begins in `text`, from left to right, none inside another.
fn found<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
        let first = *wanted.first()?;
        let pair = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
        loop {
            let at = from + memchr::memchr2(pair.0, pair.1, text.get(from..)?)?;
            from = at + 1;
            let here = text.get(at..at + wanted.len())?;
            if here.eq_ignore_ascii_case(wanted) {
                from = at + wanted.len();
                return Some(at);
            }
        }
    })
}

impl App {
    /// The book that the logs screen shows.
    pub fn shown_book(&self, logs: &Logs) -> Option<&Book> {
        self.data().logs.get(&logs.query())
    }
}
