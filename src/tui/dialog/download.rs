//! Download: what, and where to. A new file is all that comes of it and nothing is ever overwritten,
//! so enter in the field of the destination is enough.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::text::Line;

use crate::model::Object;
use crate::operations::outputs;
use crate::tui::dialog::{Focus, Reaction, presses};
use crate::tui::event::Effect;
use crate::tui::theme::Theme;
use crate::tui::widget::dialog::{self, Button, View};
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Scroll;
use crate::tui::widget::{figures, text};

/// Objects that are named; of the others there is the number.
const NAMED: usize = 100;

#[derive(Debug, Clone)]
pub struct Download {
    shown: Vec<Object>,
    /// Marked ones that the filter hides.
    hidden: Vec<Object>,
    with_hidden: bool,
    to: Field,
    pub(super) focus: Focus,
    pub scroll: Scroll,
}

impl Download {
    /// `to` is offered as the folder.
    pub fn open(shown: Vec<Object>, hidden: Vec<Object>, to: &Path) -> Self {
        let fields = 1 + usize::from(!hidden.is_empty());
        Self {
            to: Field::new(as_folder(to.display().to_string())),
            focus: Focus::on_first_field(fields, 2),
            with_hidden: false,
            scroll: Scroll::default(),
            shown,
            hidden,
        }
    }

    fn wanted(&self) -> impl Iterator<Item = &Object> {
        let hidden = self.hidden.iter().filter(|_| self.with_hidden);
        self.shown.iter().chain(hidden)
    }

    fn is_on_choice(&self) -> bool {
        self.focus.field() == Some(1)
    }

    fn ready(&self) -> Result<PathBuf, String> {
        let to = self.to.value().trim();
        if to.is_empty() {
            return Err("say where to: a folder, or a new file".to_owned());
        }
        match self.wanted().count() {
            0 => Err("all that is marked is hidden by the filter".to_owned()),
            1 => Ok(PathBuf::from(to)),
            // Several cannot be one file.
            _ => Ok(PathBuf::from(as_folder(to.to_owned()))),
        }
    }

    fn begin(&self) -> Reaction {
        let Ok(to) = self.ready() else {
            return Reaction::nothing();
        };
        let wanted = self.wanted();
        let effects = wanted.map(|object| Effect::Download(object.clone(), to.clone()));
        Reaction::Close(effects.collect())
    }

    pub fn paste(&mut self, pasted: &str) {
        if self.focus.field() == Some(0) {
            self.to.paste(pasted);
        }
    }

    pub fn key(&mut self, key: KeyEvent) -> Reaction {
        let is_on_place = self.focus.field() == Some(0);
        if is_on_place && key.code == KeyCode::Enter {
            return self.begin();
        }
        if is_on_place && self.to.key(key) || self.focus.key(key) {
            return Reaction::nothing();
        }
        if !presses(key) {
            return Reaction::nothing();
        }
        if self.is_on_choice() {
            self.with_hidden = !self.with_hidden;
            return Reaction::nothing();
        }
        match self.focus.button() {
            Some(0) => Reaction::Close(Vec::new()),
            _ => self.begin(),
        }
    }

    pub fn view(&self, cells: usize, theme: Theme) -> View<'static> {
        let field = self.focus.field();
        let width = cells.min(5 + 8 + 90);
        let to = dialog::field("Into", 8, &self.to, width, field == Some(0), theme);
        let mut lines = vec![Line::default(), to, Line::default()];
        let mut focused_line = Some(1).filter(|_| field == Some(0));
        let named = |object: &Object| {
            let name = object.address.to_string();
            let room = cells.saturating_sub(16);
            let size = figures::bytes(object.size);
            let shown = format!(
                "  {}  {size:>9}",
                text::left(&text::middle(&name, room), room)
            );
            Line::raw(text::fit(&shown, cells))
        };
        let mut name = |objects: &[Object]| {
            lines.extend(objects.iter().take(NAMED).map(named));
            let more = objects.len().saturating_sub(NAMED);
            if 0 < more {
                lines.push(Line::styled(format!("  and {more} more"), theme.dim()));
            }
        };
        name(&self.shown);
        if !self.hidden.is_empty() {
            lines.push(Line::default());
            focused_line = focused_line.or(self.is_on_choice().then_some(lines.len()));
            let mark = if self.is_on_choice() { "▸" } else { " " };
            let on = if self.with_hidden { "x" } else { " " };
            let number = self.hidden.len();
            let shown = format!("{mark}[{on}] include {number} marked but hidden by the filter");
            lines.push(Line::raw(text::fit(&shown, cells)));
        }
        lines.push(Line::default());
        for part in text::wrap(&self.summary(), cells, 3) {
            lines.push(Line::styled(part, theme.dim()));
        }
        let count = self.wanted().count();
        View {
            title: "Download".to_owned(),
            lines,
            focused_line,
            buttons: vec![
                Button::new("Cancel", Ok(())),
                Button::new(format!("Download {count}"), self.ready().map(|_| ())),
            ],
            focused_button: self.focus.button(),
            command: None,
        }
    }

    /// What will be there.
    fn summary(&self) -> String {
        let size = self.wanted().map(|it| it.size);
        let size = figures::bytes(size.fold(0, u64::saturating_add));
        let to = self.to.value().trim();
        let is_folder = to.ends_with(std::path::is_separator);
        match (self.wanted().next(), self.wanted().count()) {
            (Some(only), 1) if is_folder => {
                let name = outputs::safe_name(&only.address.key);
                format!("{size} as {to}{name}; where that exists, with a number behind the name")
            }
            (_, 1) => {
                format!("{size}; a folder keeps the object's name, what exists stays as it is")
            }
            (_, many) => format!("{many} objects, {size}; names that exist get a number"),
        }
    }
}

/// As a folder is written.
fn as_folder(mut path: String) -> String {
    if !path.is_empty() && !path.ends_with(std::path::is_separator) {
        path.push(MAIN_SEPARATOR);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::outputs::Kind;
    use crate::tui::harness::output;

    fn press(dialog: &mut Download, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\t' => KeyCode::Tab,
                '\u{8}' => KeyCode::Backspace,
                other => KeyCode::Char(other),
            };
            if let Reaction::Close(done) = dialog.key(KeyEvent::from(code)) {
                effects.extend(done);
            }
        }
        effects
    }

    fn object(key: &str) -> Object {
        output(Kind::Final, key, 5).object
    }

    #[test]
    fn one_object_can_get_a_name_of_its_own_and_several_need_a_folder() {
        let one = || Download::open(vec![object("a")], Vec::new(), Path::new("down"));
        let mut dialog = one();
        assert!(
            dialog.summary().contains("as down/a;"),
            "{}",
            dialog.summary()
        );
        assert_eq!(
            press(&mut dialog, "x.csv\n"),
            [Effect::Download(object("a"), "down/x.csv".into())]
        );
        assert!(press(&mut one(), "\t\n").is_empty(), "cancel");
        let mut empty = one();
        assert!(press(&mut empty, "\u{8}\u{8}\u{8}\u{8}\u{8}\n").is_empty());
        assert!(empty.ready().is_err());
        let both = vec![object("a"), object("b")];
        let mut several = Download::open(both, Vec::new(), Path::new("down"));
        let to = PathBuf::from("down/x/");
        assert_eq!(
            press(&mut several, "x\n"),
            [
                Effect::Download(object("a"), to.clone()),
                Effect::Download(object("b"), to)
            ]
        );
    }

    #[test]
    fn what_the_filter_hides_is_left_unless_it_is_asked_for() {
        let open = || Download::open(vec![object("a")], vec![object("h")], Path::new("d"));
        assert_eq!(press(&mut open(), "\n").len(), 1);
        assert_eq!(press(&mut open(), "\t \t\t\n").len(), 2);
    }
}
