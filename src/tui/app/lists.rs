//! Lists: marks, order, filters, and what is shown as a file.

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent};

use crate::model::{ExecutionArn, ObjectAddress};
use crate::tui::app::{App, Overlay};
use crate::tui::dialog::Dialog;
use crate::tui::dialog::several::{Several, Target};
use crate::tui::event::{Ask, Deed, Effect};
use crate::tui::export::{Format, Sheet};
use crate::tui::filter::Filter;
use crate::tui::keys::Availability;
use crate::tui::marks::Marking;
use crate::tui::pace::Tone;
use crate::tui::runtime::ExportOf;
use crate::tui::screen::outputs::Row;
use crate::tui::screen::{Pane, Screen, Tab};
use crate::tui::widget::figures;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::{Move, Order};

/// Filters that are remembered of a view.
const REMEMBERED: usize = 20;

/// The filter line while it is open.
#[derive(Debug, Clone)]
pub struct Filtering {
    pub field: Field,
    /// Which of the filters given before it shows.
    recalled: Option<usize>,
}

impl Filtering {
    pub fn new(text: String) -> Self {
        Self {
            field: Field::new(text),
            recalled: None,
        }
    }
}

impl App {
    pub(super) fn open_filter(&mut self) {
        let text = self.screen().filter().map(|it| it.text().to_owned());
        self.overlay = Some(Overlay::Filter(Filtering::new(text.unwrap_or_default())));
    }

    pub(super) fn filter_key(&mut self, mut line: Filtering, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => {
                self.keep_filter();
                self.doubt_columns();
                return self.remember_filter(line.field.value());
            }
            KeyCode::Esc => line.field = Field::default(),
            KeyCode::Up => self.recall_filter(&mut line, 1),
            KeyCode::Down if line.recalled.is_some() => self.recall_filter(&mut line, -1),
            KeyCode::Down => {
                self.move_cursor(Move::Lines(1));
                return self.remember_filter(line.field.value());
            }
            _ => {
                line.field.key(key);
                line.recalled = None;
            }
        }
        self.screen_mut()
            .set_filter(Filter::new(line.field.value()));
        if key.code != KeyCode::Esc {
            self.overlay = Some(Overlay::Filter(line));
        }
    }

    /// Filters given in this view, newest first.
    pub fn filters(&self) -> &[String] {
        let remembered = self.filters.get(self.screen().name());
        remembered.map_or(&[], Vec::as_slice)
    }

    pub fn filters_by_view(&self) -> &BTreeMap<String, Vec<String>> {
        &self.filters
    }

    pub fn restore_filters(&mut self, filters: BTreeMap<String, Vec<String>>) {
        self.filters = filters;
    }

    fn remember_filter(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let filters = self.filters.entry(self.screen().name().to_owned());
        let filters = filters.or_default();
        filters.retain(|it| it != text);
        filters.insert(0, text.to_owned());
        filters.truncate(REMEMBERED);
    }

    /// Goes to an older filter, or by -1 to a newer one and at last to none.
    fn recall_filter(&self, line: &mut Filtering, by: isize) {
        let at = match (line.recalled, by) {
            (None, 1..) => Some(0),
            (Some(at), _) => at.checked_add_signed(by),
            (None, _) => None,
        };
        match at.and_then(|at| Some((at, self.filters().get(at)?))) {
            Some((at, text)) => {
                line.recalled = Some(at);
                line.field.set(text.clone());
            }
            None if by < 0 => {
                line.recalled = None;
                line.field = Field::default();
            }
            None => {}
        }
    }

    /// Shows the runs of the last so many hours or days: a part of their filter.
    pub(super) fn since(&mut self, span: &str) {
        self.close_to(1);
        let Screen::Runs(runs) = self.screen() else {
            return;
        };
        let kept = runs.filter.text().split_whitespace();
        let kept: Vec<&str> = kept.filter(|it| !it.starts_with("since:")).collect();
        let text = format!("{} since:{span}", kept.join(" "));
        self.set_filter(text.trim());
    }

    /// Says so where a filter names a column that is not there.
    fn doubt_columns(&mut self) {
        let columns = self.screen().columns();
        let filter = self.screen().filter();
        let unknown = filter.filter(|_| !columns.is_empty());
        let unknown = unknown.and_then(|it| it.unknown(columns));
        if let Some(unknown) = unknown {
            let named = columns.join(", ");
            let text = format!("there is no column {unknown}: searched as text; there are {named}");
            self.say(Tone::Warn, text);
        }
    }

    pub(super) fn set_filter(&mut self, text: &str) {
        self.screen_mut().set_filter(Filter::new(text));
        self.doubt_columns();
        self.remember_filter(text);
    }

    pub(super) fn sort(&mut self, name: &str) -> Result<(), String> {
        let sorts = self.screen().sorts();
        let by = sorts.iter().position(|(known, _)| *known == name);
        let Some(by) = by else {
            let names: Vec<&str> = sorts.iter().map(|(name, _)| *name).collect();
            return Err(match names.is_empty() {
                true => "there is no list to sort here".to_owned(),
                false => format!("there is no order {name}, there are {}", names.join(", ")),
            });
        };
        self.reorder(Order {
            by,
            reversed: false,
        });
        Ok(())
    }

    pub(super) fn reverse(&mut self) {
        if let Screen::Execution(it) = self.screen_mut() {
            return it.reverse();
        }
        if let Some(order) = self.screen().order() {
            self.reorder(Order {
                reversed: !order.reversed,
                ..order
            });
        }
    }

    /// The cursor stays on what it was on where that has a key; else it goes to the top.
    fn reorder(&mut self, order: Order) {
        self.screen_mut().set_order(order);
        match self.screen_mut() {
            Screen::Failures(it) => it.members.at = 0,
            Screen::Outputs(it) => it.home(),
            _ => {}
        }
    }

    pub fn can_sort(&self) -> Availability {
        match self.screen() {
            Screen::Execution(it) if it.tab == Tab::Events => Ok(()),
            screen if !screen.sorts().is_empty() => Ok(()),
            _ => Err("there is no list to sort here"),
        }
    }

    pub fn can_mark(&self) -> Availability {
        match self.screen() {
            Screen::Runs(_) | Screen::Outputs(_) => Ok(()),
            Screen::Failures(it) => self.has_items(it),
            _ => Err("there is nothing to mark here"),
        }
    }

    pub(super) fn mark(&mut self, marking: Marking) {
        match self.screen() {
            Screen::Runs(it) => {
                let rows = it.rows(self);
                let at = it.cursor.row(rows.len());
                let keys: Vec<ExecutionArn> = rows.iter().map(|run| run.arn.clone()).collect();
                if let Screen::Runs(it) = self.screen_mut() {
                    it.marks.apply(marking, &keys, at);
                }
            }
            Screen::Failures(it) => {
                let keys = it.mark_keys(self);
                let marked = match self.screen_mut() {
                    Screen::Failures(it) => it.mark(marking, keys),
                    _ => Ok(()),
                };
                if let Err(why) = marked {
                    self.say(Tone::Warn, why);
                }
            }
            Screen::Outputs(it) => {
                let rows = it.rows(self);
                let at = it.cursor.row(rows.len());
                let address = |row: &Row<'_>| match row {
                    Row::Object { output, .. } => Some(output.object.address.clone()),
                    Row::Folder(_) => None,
                };
                let folder = match rows.get(at) {
                    Some(Row::Folder(folder)) => Some(it.inside(self, folder)),
                    _ => None,
                };
                let before = rows.iter().take(at).filter_map(address).count();
                let keys: Vec<ObjectAddress> = match marking {
                    // What is folded is shown by its folder.
                    Marking::All => {
                        let objects = it.objects(self).into_iter();
                        objects.map(|it| it.object.address.clone()).collect()
                    }
                    _ => rows.iter().filter_map(address).collect(),
                };
                if let Screen::Outputs(it) = self.screen_mut() {
                    match (folder, marking) {
                        // A folder is what is in it.
                        (Some(inside), Marking::Toggle) => it.marks.toggle_all(&inside),
                        _ => it.marks.apply(marking, &keys, before),
                    }
                }
            }
            _ => return,
        }
        if marking == Marking::Toggle {
            self.move_cursor(Move::Lines(1));
        }
    }

    /// The marked runs, those hidden by the filter told apart.
    fn marked_runs(&self) -> Vec<Target> {
        let Screen::Runs(it) = self.screen() else {
            return Vec::new();
        };
        let shown = it.rows(self);
        let targets = it.marks.iter().map(|arn| {
            let execution = self.data().execution(arn);
            let state = execution.map(|run| self.data().state(run, self.now));
            let is_shown = shown.iter().any(|run| run.arn == *arn);
            let items = self.data().map_run(arn).map(|it| it.items.total);
            let state = state.map_or("?", crate::model::RunState::word);
            let note = format!("{state}, {} items", figures::maybe(items));
            Target::new(arn.clone(), note, !is_shown)
        });
        targets.collect()
    }

    pub fn has_marked_runs(&self) -> bool {
        matches!(self.screen(), Screen::Runs(it) if !it.marks.is_empty())
    }

    pub(super) fn stop_marked(&mut self) {
        let mut targets = self.marked_runs();
        for target in &mut targets {
            if let Some(run) = self.data().execution(target.arn())
                && run.status.is_closed()
            {
                target.refused = Some("it has ended".to_owned());
            }
        }
        let dialog = Several::stop(targets);
        self.dialog = Some(Dialog::Several(Box::new(dialog)));
    }

    pub(super) fn redrive_marked(&mut self) -> Vec<Effect> {
        let targets = self.marked_runs();
        let arns = targets.iter().map(Target::arn).cloned();
        let asks = arns.map(|arn| Effect::Ask(Ask::PlanRedrive(arn))).collect();
        let dialog = Several::redrive(targets);
        self.dialog = Some(Dialog::Several(Box::new(dialog)));
        asks
    }

    pub(super) fn clear_marks(&mut self) {
        self.mark(Marking::Clear);
    }

    /// Writes what is shown into a file of the download folder.
    pub(super) fn export(&mut self, format: Format) -> Vec<Effect> {
        let at = self.now.strftime("%Y%m%dT%H%M%SZ");
        let file = format!("{}-{at}.{}", self.screen().name(), format.extension());
        let path = self.settings.download_dir.join(file);
        let deed = Deed::Export(path.clone());
        let effect = match self.failures_to_export(format) {
            Some(asked) => Effect::ExportFailures(deed, Box::new(asked)),
            None => match Sheet::of(self) {
                Some(sheet) => Effect::Export(deed, sheet.text(format)),
                None => {
                    self.say(Tone::Warn, "there is no list to export here");
                    return Vec::new();
                }
            },
        };
        self.say(Tone::Plain, format!("writing {}…", path.display()));
        vec![effect]
    }

    /// Of the failures of a run that has ended, all that fit the filter, or those of the chosen group
    /// where its members have the keys: they are read while they are written.
    fn failures_to_export(&self, format: Format) -> Option<ExportOf> {
        let Screen::Failures(it) = self.screen() else {
            return None;
        };
        let map_run = self.data().map_run(&it.run)?;
        let set = it.set(self)?;
        let list = it.list(self)?;
        let group = set.groups().get(list.group)?;
        map_run.status.is_closed().then(|| ExportOf {
            map_run: Box::new(map_run.clone()),
            format,
            group: (it.pane == Pane::Members).then(|| group.key()),
            filter: it.filter.text().to_owned(),
        })
    }

    pub fn can_export(&self) -> Availability {
        match self.screen() {
            Screen::Runs(_) | Screen::Outputs(_) => Ok(()),
            Screen::Failures(it) => self.has_items(it),
            _ => Err("there is no list to export here"),
        }
    }

    /// The page of the AWS console about what is under the cursor.
    pub fn console_address(&self) -> Option<String> {
        let region = &self.health.connection.region;
        if let Screen::Outputs(it) = self.screen() {
            let address = &it.chosen(self)?.object.address;
            let (bucket, key) = (in_address(&address.bucket), in_address(&address.key));
            return Some(format!(
                "https://{region}.console.aws.amazon.com/s3/object/{bucket}?region={region}&prefix={key}"
            ));
        }
        let arn = match self.screen() {
            Screen::Failures(it) if it.pane == Pane::Members => {
                it.chosen(self).map(|it| it.child.clone())
            }
            _ => self.shown_run().cloned(),
        };
        let arn = in_address(arn?.as_str());
        Some(format!(
            "https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{arn}"
        ))
    }

    pub fn can_browse(&self) -> Availability {
        if self.health.connection.local {
            return Err("the embedded engine is not in the AWS console");
        }
        self.has_subject()
    }
}

/// A name as a part of an address. ARNs keep their colons: the console wants them.
fn in_address(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/".contains(&byte);
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match plain(byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
