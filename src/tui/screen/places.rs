//! Where the last frame put things, for the mouse and for links. Drawing notes it, as it notes how
//! far lists are scrolled: only drawing knows.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use ratatui::layout::Rect;

use crate::tui::keys::Action;

#[derive(Debug, Default)]
pub struct Places {
    rows: RefCell<Vec<Rows>>,
    /// Rows that are boxes, each by itself; those inside others come in any order.
    boxes: RefCell<Vec<Rows>>,
    tabs: RefCell<Vec<(Rect, Action)>>,
    names: RefCell<Vec<(Rect, String)>>,
    /// Of the open dialog, in their order.
    buttons: RefCell<Vec<Rect>>,
    /// The choices of the palette, a line each.
    choices: Cell<Option<(Rect, usize)>>,
}

/// A list's rows on the screen.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// Without the header.
    pub area: Rect,
    /// Lines that a row takes.
    pub height: u16,
    /// What is in the first row, and what is chosen.
    pub first: usize,
    pub chosen: usize,
    pub len: usize,
    /// Whether the keys move in this list.
    pub has_keys: bool,
}

/// A row that was clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clicked {
    /// Rows below the chosen one.
    pub from_chosen: isize,
    pub has_keys: bool,
}

impl Places {
    /// A new frame begins.
    pub fn clear(&self) {
        self.rows.borrow_mut().clear();
        self.boxes.borrow_mut().clear();
        self.tabs.borrow_mut().clear();
        self.names.borrow_mut().clear();
        self.buttons.borrow_mut().clear();
        self.choices.set(None);
    }

    pub fn note_buttons(&self, buttons: Vec<Rect>) {
        *self.buttons.borrow_mut() = buttons;
    }

    /// The palette's lines, the first of them being choice number `first`.
    pub fn note_choices(&self, area: Rect, first: usize) {
        self.choices.set(Some((area, first)));
    }

    pub fn button(&self, at: (u16, u16)) -> Option<usize> {
        let buttons = self.buttons.borrow();
        buttons.iter().position(|area| area.contains(at.into()))
    }

    pub fn choice(&self, at: (u16, u16)) -> Option<usize> {
        let (area, first) = self.choices.get()?;
        let line = usize::from(at.1.checked_sub(area.y)?);
        area.contains(at.into()).then_some(first + line)
    }

    pub fn note_rows(&self, rows: Rows) {
        self.rows.borrow_mut().push(rows);
    }

    /// A list below its header, a line a row.
    pub fn note_list(&self, area: Rect, shown: Range<usize>, chosen: usize, len: usize) {
        self.note_rows(Rows {
            area: below_header(area),
            height: 1,
            first: shown.start,
            chosen,
            len,
            has_keys: true,
        });
    }

    /// A box of a picture, which is one row of what the keys move in.
    pub fn note_box(&self, area: Rect, index: usize, chosen: usize) {
        self.boxes.borrow_mut().push(Rows {
            area,
            height: area.height,
            first: index,
            chosen,
            len: index + 1,
            has_keys: true,
        });
    }

    pub fn note_tab(&self, area: Rect, action: Action) {
        self.tabs.borrow_mut().push((area, action));
    }

    /// A place whose text does not say in full what it names.
    pub fn note_name(&self, area: Rect, name: String) {
        self.names.borrow_mut().push((area, name));
    }

    pub fn names(&self) -> Vec<(Rect, String)> {
        self.names.borrow().clone()
    }

    pub fn tab(&self, at: (u16, u16)) -> Option<Action> {
        let tabs = self.tabs.borrow();
        let found = tabs.iter().find(|(area, _)| area.contains(at.into()));
        found.map(|(_, action)| *action)
    }

    /// Whether the list there has the keys; `None` where there is none.
    pub fn list(&self, at: (u16, u16)) -> Option<bool> {
        let lists = self.rows.borrow();
        let rows = lists.iter().find(|rows| rows.area.contains(at.into()))?;
        Some(rows.has_keys)
    }

    pub fn row(&self, at: (u16, u16)) -> Option<Clicked> {
        let (lists, boxes) = (self.rows.borrow(), self.boxes.borrow());
        let is_there = |rows: &&Rows| rows.area.contains(at.into());
        let innermost = boxes
            .iter()
            .filter(is_there)
            .min_by_key(|it| it.area.area());
        let rows = lists.iter().find(is_there).or(innermost)?;
        let line = (at.1 - rows.area.y) / rows.height.max(1);
        let index = rows.first + line as usize;
        (index < rows.len).then(|| Clicked {
            from_chosen: index as isize - rows.chosen as isize,
            has_keys: rows.has_keys,
        })
    }
}

/// The area of a list without the row that names its columns.
pub fn below_header(area: Rect) -> Rect {
    Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    }
}
