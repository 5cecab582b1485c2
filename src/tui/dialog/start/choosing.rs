//! What may stand in a field: paths that are completed, templates, inputs that are offered.

use crossterm::event::{KeyCode, KeyEvent};

use crate::model::Page;
use crate::tui::dialog::start::{INPUT, SOURCE, Start, TEMPLATE};
use crate::tui::event::{Ask, Effect};
use crate::tui::widget::list::{Cursor, Move};

impl Start {
    /// Takes in candidates for the path, or a further page of those there are.
    pub fn put_paths(&mut self, begun: &str, is_further: bool, page: Page<String>) {
        if is_further {
            if self.listed.0 == begun {
                self.candidates.extend(page.items);
                self.listed.1 = page.next;
            }
            return;
        }
        if self.fields[SOURCE].value() != begun || self.focus.field() != Some(SOURCE) {
            return;
        }
        let paths = page.items;
        self.listed = (begun.to_owned(), page.next);
        if let Some(list) = &mut self.list {
            *list = Cursor::default();
            self.candidates = paths;
            return;
        }
        let common = common_start(&paths);
        let is_whole = paths.len() == 1 && !common.ends_with('/');
        let is_longer = common.len() > begun.len();
        self.completed = is_whole || !is_longer;
        if is_longer {
            self.fields[SOURCE].set(common);
        }
        self.candidates = if paths.len() > 1 { paths } else { Vec::new() };
    }

    /// What may stand in the field with the keys and is known without asking: templates that begin
    /// with what is typed, and inputs that are offered.
    pub(super) fn offered(&self) -> Vec<String> {
        match self.focus.field() {
            Some(TEMPLATE) => {
                let begun = self.fields[TEMPLATE].value().trim();
                let fitting = |it: &&String| it.starts_with(begun) && *it != begun;
                self.templates.iter().filter(fitting).cloned().collect()
            }
            Some(INPUT) if self.fields[INPUT].value().trim().is_empty() => {
                self.setting.inputs.clone()
            }
            _ => Vec::new(),
        }
    }

    /// Opens the list of what may stand in the field.
    pub(super) fn open_list(&mut self) -> Option<Vec<Effect>> {
        let asks = if self.focus.field()? == SOURCE {
            let begun = self.fields[SOURCE].value().to_owned();
            vec![Effect::Ask(Ask::Paths(begun, None))]
        } else {
            self.candidates = self.offered();
            if self.candidates.is_empty() {
                return None;
            }
            Vec::new()
        };
        self.list = Some(Cursor::default());
        Some(asks)
    }

    /// Keys while one chooses from the list; `None` leaves them to the field.
    pub(super) fn list_key(&mut self, key: KeyEvent) -> Option<Vec<Effect>> {
        let mut cursor = self.list.take()?;
        let len = self.candidates.len();
        match key.code {
            KeyCode::Down => cursor.go(Move::Lines(1), len),
            KeyCode::Up if cursor.at == 0 => {
                self.candidates.clear();
                return Some(Vec::new());
            }
            KeyCode::Up => cursor.go(Move::Lines(-1), len),
            KeyCode::PageDown => cursor.go(Move::Pages(1), len),
            KeyCode::PageUp => cursor.go(Move::Pages(-1), len),
            KeyCode::Enter | KeyCode::Right => {
                let field = self.focus.field()?;
                let chosen = self.candidates.get(cursor.row(len)).cloned()?;
                let is_folder = chosen.ends_with('/') && field == SOURCE;
                self.fields[field].set(chosen);
                self.candidates.clear();
                if is_folder {
                    return self.open_list();
                }
                self.completed = true;
                return Some(self.plan_if_new());
            }
            KeyCode::Left if self.focus.field() == Some(SOURCE) => {
                let value = self.fields[SOURCE].value().trim_end_matches('/');
                let up = value.rfind('/').map_or("", |slash| &value[..=slash]);
                let up = if up == "s3:/" { "s3://" } else { up }.to_owned();
                self.fields[SOURCE].set(up);
                self.candidates.clear();
                return self.open_list();
            }
            _ => {
                self.candidates.clear();
                return None;
            }
        }
        let is_at_end = cursor.at + 1 >= len;
        self.list = Some(cursor);
        let (begun, next) = &self.listed;
        let more = next
            .clone()
            .filter(|_| is_at_end && self.focus.field() == Some(SOURCE));
        Some(more.map_or_else(Vec::new, |token| {
            vec![Effect::Ask(Ask::Paths(begun.clone(), Some(token)))]
        }))
    }

    /// Whether tab completes the path instead of leaving the field.
    pub(super) fn completes(&self) -> bool {
        let source = self.fields[SOURCE].value();
        self.focus.field() == Some(SOURCE) && !source.is_empty() && !self.completed
    }
}

/// The longest text that all begin with.
fn common_start(paths: &[String]) -> String {
    let Some(first) = paths.first() else {
        return String::new();
    };
    let mut common = first.as_str();
    for path in &paths[1..] {
        let same = common
            .char_indices()
            .zip(path.chars())
            .find(|((_, ours), theirs)| ours != theirs)
            .map_or(common.len().min(path.len()), |((at, _), _)| at);
        common = &common[..same];
    }
    common.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_goes_as_far_as_the_candidates_agree() {
        let paths = [
            "in/ab1".to_owned(),
            "in/ab2".to_owned(),
            "in/abc".to_owned(),
        ];
        assert_eq!(common_start(&paths), "in/ab");
        assert_eq!(common_start(&["é1".to_owned(), "è".to_owned()]), "");
        assert_eq!(
            common_start(&["in/ab".to_owned(), "in/ab2".to_owned()]),
            "in/ab"
        );
    }
}
