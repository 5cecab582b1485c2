//! What is done with the objects of a run: read, searched, linked to.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{ExecutionArn, Object, ObjectAddress};
use crate::operations::Progress;
use crate::operations::outputs::{Hit, Listing, Output};
use crate::operations::reconcile::Reconciliation;
use crate::tui::app::{App, Overlay};
use crate::tui::data::{Remote, Search};
use crate::tui::dialog::Dialog;
use crate::tui::dialog::download::Download;
use crate::tui::dialog::merge::Merge;
use crate::tui::event::{Ask, Deed, Effect, Reply, Subject};
use crate::tui::keys::{Action, Availability};
use crate::tui::pace::Tone;
use crate::tui::preview::Preview;
use crate::tui::screen::Screen;
use crate::tui::screen::outputs::{Outputs, Pane, Rest, Row};
use crate::tui::widget::figures;
use crate::tui::widget::input::Field;
use crate::tui::widget::list::Move;

/// Pages, and lists of versions, asked for at a time.
const AT_ONCE: usize = 2;
/// Matches kept of a search.
const HITS: usize = 1_000;

impl App {
    /// Takes in a listing. The cursor stays on what it is on, whatever comes before that.
    pub(super) fn put_outputs(&mut self, arn: ExecutionArn, reply: Reply<Listing>) {
        let before = match self.screen() {
            Screen::Outputs(it) if it.run == arn => {
                it.chosen(self).map(|it| it.object.address.clone())
            }
            _ => None,
        };
        if let (Ok(listing), Screen::Outputs(it)) = (&reply, self.screen_mut())
            && it.run == arn
        {
            it.keep_versions(listing);
        }
        let entry = self.live.outputs.entry(arn).or_default();
        entry.put(reply.map(Arc::new), self.now);
        let (Some(address), Screen::Outputs(it)) = (before, self.screen()) else {
            return;
        };
        let at = it.rows(self).iter().position(|row| match row {
            Row::Object { output, .. } => output.object.address == address,
            Row::Folder(_) => false,
        });
        if let (Some(at), Screen::Outputs(it)) = (at, self.screen_mut()) {
            it.cursor.at = at;
        }
    }

    /// What the text and the facts of the object under the cursor lack.
    pub(super) fn wanted_of_object(&self, screen: &Outputs) -> Vec<Ask> {
        if screen.rest != Rest::Rested {
            return Vec::new();
        }
        let Some(output) = screen.chosen(self) else {
            return Vec::new();
        };
        let object = &output.object;
        let mut asks = Vec::new();
        let is_page = |it: &&Subject| matches!(it, Subject::Preview(_));
        let known = self.live.previews.get(&object.address);
        let current = known
            .and_then(Remote::get)
            .filter(|preview| preview.object.etag == object.etag);
        let page = match current {
            None => Some(0),
            Some(preview) => preview.wanted(screen.top(preview), screen.height.get()),
        };
        let may_ask = self.is_due(known.unwrap_or(&Remote::Waiting), |_, _| true);
        if let (Some(page), true, 1..) = (page, may_ask, object.size) {
            asks.push(Ask::Preview(Box::new(object.clone()), page));
        }
        if current.is_some_and(Preview::wants_document) {
            asks.push(Ask::Document(Box::new(object.clone())));
        }
        let whole = object.address.current();
        let versions = self.live.versions.get(&whole);
        if self.is_due(versions.unwrap_or(&Remote::Waiting), |_, _| false) {
            asks.push(Ask::Versions(whole));
        }
        if self.out.iter().filter(is_page).count() >= AT_ONCE {
            return Vec::new();
        }
        asks
    }

    /// Gives JSON under the cursor a tree to fold.
    pub(super) fn fit_document(&mut self) {
        let Screen::Outputs(it) = self.screen() else {
            return;
        };
        let preview = it.preview(self).filter(|_| !it.as_text);
        let document = preview.and_then(|it| it.document.clone());
        if let Screen::Outputs(it) = self.screen_mut() {
            it.show_document(document);
        }
    }

    /// Whether the keys move in the text of an object.
    pub fn is_reading(&self) -> bool {
        matches!(self.screen(), Screen::Outputs(it) if it.pane == Pane::Preview)
    }

    pub(super) fn scroll_preview(&mut self, to: Move) {
        if let Screen::Outputs(it) = self.screen_mut()
            && let Some(tree) = it.document_mut()
        {
            return tree.go(to);
        }
        let data = self.frozen.as_ref().map_or(&self.live, |(data, _)| data);
        let Screen::Outputs(it) = self.screen() else {
            return;
        };
        let address = it.chosen(self).map(|it| it.object.address.clone());
        let preview = address
            .and_then(|address| data.previews.get(&address))
            .and_then(Remote::get);
        if let (Some(preview), Some(Screen::Outputs(it))) = (preview, self.stack.last_mut()) {
            it.scroll(preview, to);
        }
    }

    /// Folds a folder, or reads an object.
    pub(super) fn open_output(&mut self) {
        let Screen::Outputs(it) = self.screen() else {
            return;
        };
        if it.tree().is_some() {
            if let Some(tree) = self.screen_mut().tree_mut() {
                tree.toggle();
            }
            return;
        }
        let fold = match it.chosen_row(self) {
            Some(Row::Folder(folder)) => Some((folder.path, !folder.is_folded)),
            _ => None,
        };
        if let Screen::Outputs(it) = self.screen_mut() {
            match fold {
                Some((path, is_folded)) => it.fold(path, is_folded),
                None => it.pane = Pane::Preview,
            }
        }
    }

    pub(super) fn sideways_in_outputs(&mut self, by: isize) {
        let Screen::Outputs(it) = self.screen() else {
            return;
        };
        let (folder, object) = match it.chosen_row(self) {
            Some(Row::Folder(folder)) => (Some(folder.path), None),
            Some(Row::Object { output, .. }) => (None, Some(output.object.address.clone())),
            None => (None, None),
        };
        if it.pane == Pane::Files
            && let Some(address) = object
            && self.turn_versions(&address, by)
        {
            return;
        }
        if let Screen::Outputs(it) = self.screen_mut() {
            match (it.pane, folder) {
                (Pane::Files, Some(path)) => it.fold(path, by < 0),
                _ => it.sideways(by),
            }
        }
    }

    /// Lists the versions of an object below it, or no longer; `false` where there is nothing to
    /// list or to leave.
    fn turn_versions(&mut self, address: &ObjectAddress, by: isize) -> bool {
        let Screen::Outputs(it) = self.screen() else {
            return false;
        };
        let whole = address.current();
        let is_listed = it.shape.versions.contains_key(&whole);
        let versions = match (0 < by, is_listed) {
            (true, false) => it.versions(self),
            (false, true) => Vec::new(),
            _ => return false,
        };
        // One that is the current one alone tells nothing that its object does not.
        if 0 < by && versions.len() < 2 {
            return false;
        }
        let rows = it.rows(self);
        let is_whole = |row: &Row<'_>| matches!(row, Row::Object { output, .. } if output.object.address == whole);
        let at = rows.iter().position(is_whole);
        if let Screen::Outputs(it) = self.screen_mut() {
            it.show_versions(&whole, versions);
            it.cursor.at = at.unwrap_or(it.cursor.at);
        }
        true
    }

    /// Asks where to: of what is marked, else of the object under the cursor.
    pub(super) fn open_download(&mut self) {
        let Screen::Outputs(it) = self.screen() else {
            return;
        };
        let object = |output: &Output| output.object.clone();
        let (shown, hidden): (Vec<Object>, Vec<Object>) = match it.marks.is_empty() {
            true => (
                it.chosen(self).iter().map(|it| object(it)).collect(),
                vec![],
            ),
            false => {
                let fitting = it.objects(self).into_iter();
                let fitting: HashSet<&ObjectAddress> =
                    fitting.map(|it| &it.object.address).collect();
                let all = self.data().outputs.get(&it.run).and_then(Remote::get);
                let listed = all.into_iter().flat_map(|all| &all.outputs);
                let marked = listed.chain(it.listed_versions());
                let marked = marked.filter(|output| it.marks.has(&output.object.address));
                marked.map(object).partition(|object| {
                    object.address.version.is_some() || fitting.contains(&object.address)
                })
            }
        };
        let to = self.download_to.as_ref();
        let to = to.unwrap_or(&self.settings.download_dir);
        let dialog = Download::open(shown, hidden, to);
        self.dialog = Some(Dialog::Download(Box::new(dialog)));
    }

    pub(super) fn merge_rounds(&mut self) {
        if let Screen::Outputs(it) = self.screen_mut() {
            it.shape.merged = !it.shape.merged;
            it.home();
        }
    }

    pub fn can_merge_rounds(&self) -> Availability {
        match self.screen() {
            Screen::Outputs(_) => Ok(()),
            _ => Err("open the outputs first"),
        }
    }

    pub fn can_open_output(&self, screen: &Outputs) -> Availability {
        match (screen.chosen_row(self), screen.pane) {
            (None, _) => Err("no object is chosen"),
            _ if screen.tree().is_some() => Ok(()),
            (Some(Row::Object { .. }), Pane::Preview) => Err("it is open already"),
            _ => Ok(()),
        }
    }

    /// Clears one thing of the text; `None` where there is nothing more to clear.
    pub(super) fn leave_preview(&mut self) -> Option<Vec<Effect>> {
        let Screen::Outputs(it) = self.screen() else {
            return None;
        };
        if it.pane == Pane::Files {
            return None;
        }
        let address = it.chosen(self).map(|it| it.object.address.clone());
        if let Some(address) = address.filter(|it| self.live.searches.contains_key(it)) {
            let is_over = self.live.searches.get(&address);
            let is_over = is_over.is_none_or(|search| search.progress.is_none());
            if is_over {
                self.live.searches.remove(&address);
                return Some(Vec::new());
            }
            return Some(self.stop_search(&address));
        }
        if let Screen::Outputs(it) = self.screen_mut() {
            it.pane = Pane::Files;
        }
        Some(Vec::new())
    }

    pub(super) fn stop_search(&mut self, address: &ObjectAddress) -> Vec<Effect> {
        if let Some(search) = self.live.searches.get_mut(address) {
            search.progress = None;
            search.trouble = Some(format!("stopped at {} matches", search.count));
        }
        let deed = Deed::Search(address.clone());
        self.transfers.cancelled(&deed);
        vec![Effect::Cancel(deed)]
    }

    pub(super) fn open_object_search(&mut self) {
        if let Screen::Outputs(it) = self.screen() {
            let text = it.search(self).map(|it| it.text.clone());
            self.overlay = Some(Overlay::Search(Field::new(text.unwrap_or_default())));
        }
    }

    /// Begins to look for a text in the object that is read.
    pub(super) fn search_object(&mut self, text: &str) -> Vec<Effect> {
        if let Some(tree) = self.screen_mut().tree_mut() {
            tree.search(text);
            if let Some(matches) = tree.matches() {
                self.say(Tone::Plain, matches);
            }
            return Vec::new();
        }
        let Screen::Outputs(it) = self.screen() else {
            return Vec::new();
        };
        let Some(object) = it.chosen(self).map(|it| it.object.clone()) else {
            return Vec::new();
        };
        if text.is_empty() {
            self.live.searches.remove(&object.address);
            return vec![Effect::Cancel(Deed::Search(object.address))];
        }
        let search = Search {
            text: text.to_owned(),
            hits: Vec::new(),
            count: 0,
            progress: Some(Progress {
                done: 0,
                total: object.size,
            }),
            trouble: None,
        };
        self.live.searches.clear();
        self.live.searches.insert(object.address.clone(), search);
        vec![Effect::Search(Box::new(object), text.to_owned())]
    }

    /// Takes in matches; the first one is gone to.
    pub(super) fn found_in_object(&mut self, address: &ObjectAddress, hits: Vec<Hit>, count: u64) {
        let Some(search) = self.live.searches.get_mut(address) else {
            return;
        };
        let is_first = search.hits.is_empty() && !hits.is_empty();
        let room = HITS.saturating_sub(search.hits.len());
        search.hits.extend(hits.into_iter().take(room));
        search.count = count;
        if is_first {
            self.hop(true);
        }
    }

    pub(super) fn search_progressed(&mut self, address: &ObjectAddress, progress: Progress) {
        if let Some(search) = self.live.searches.get_mut(address) {
            search.progress = Some(progress);
        }
    }

    pub(super) fn search_ended(&mut self, address: &ObjectAddress, reply: &Reply<String>) {
        if let Some(search) = self.live.searches.get_mut(address) {
            search.progress = None;
            search.trouble = reply.as_ref().err().map(|it| it.text.clone());
        }
    }

    /// Goes to the next match, or to the one before.
    pub(super) fn hop(&mut self, forwards: bool) {
        if let Some(tree) = self.screen_mut().tree_mut() {
            tree.next_match(forwards);
            if let Some(matches) = tree.matches() {
                self.say(Tone::Plain, matches);
            }
            return;
        }
        let Screen::Outputs(it) = self.screen() else {
            return;
        };
        let Some(search) = it.search(self) else {
            return;
        };
        let Some((index, hit)) = it.hit(&search.hits, forwards) else {
            return;
        };
        let (number, line, at) = (index + 1, hit.line, hit.at);
        let of = match search.count as usize > search.hits.len() {
            true => format!("the first {}", search.hits.len()),
            false => search.hits.len().to_string(),
        };
        if let Screen::Outputs(it) = self.screen_mut() {
            (it.at, it.shift) = (at, 0);
        }
        let line = figures::count(line);
        self.say(Tone::Plain, format!("match {number} of {of}, line {line}"));
    }

    pub fn has_hits(&self, screen: &Outputs) -> Availability {
        if let Some(tree) = screen.tree() {
            let matches = tree.matches().map(|_| ());
            return matches.ok_or("nothing is searched for: / searches");
        }
        match screen.search(self) {
            Some(search) if !search.hits.is_empty() => Ok(()),
            Some(_) => Err("nothing is found"),
            None => Err("nothing is searched for: open the object, / searches"),
        }
    }

    pub fn can_reconcile(&self) -> Availability {
        let Screen::Outputs(it) = self.screen() else {
            return Err("open the outputs first");
        };
        let run = self.data().run(&it.run).ok_or("the run is not known yet")?;
        match run.execution().status.is_closed() {
            true => Ok(()),
            false => Err("the run is still going"),
        }
    }

    /// Has all results read: they may be large, so only when it is asked for. Once it is known where
    /// every line is, asks to merge them.
    pub(super) fn reconcile(&mut self) -> Vec<Effect> {
        let Screen::Outputs(it) = self.screen() else {
            return Vec::new();
        };
        let known = self.live.reconciliations.get(&it.run);
        if known.and_then(Remote::get).is_some()
            && !self.is_out(&Subject::Reconcile(it.run.clone()))
        {
            let (dialog, ask) = Merge::open(it.run.clone(), self.is_prod());
            self.dialog = Some(Dialog::Merge(Box::new(dialog)));
            return vec![ask];
        }
        let run = self.data().run(&it.run).cloned();
        self.say(
            Tone::Plain,
            "reading all results to account for every line…",
        );
        let ask = run.map(|run| Effect::Ask(Ask::Reconcile(Box::new(run))));
        ask.into_iter().collect()
    }

    /// Takes in where every line is. That there is no room for all of it on a narrow screen is no
    /// reason not to know it.
    pub(super) fn put_reconciliation(
        &mut self,
        arn: ExecutionArn,
        reply: Reply<Box<Reconciliation>>,
    ) {
        if let Ok(found) = &reply {
            let [succeeded, lines] = [found.succeeded, found.lines].map(figures::count);
            let (tone, open) = match found.lines.saturating_sub(found.succeeded) {
                0 => (Tone::Good, String::new()),
                open => (Tone::Warn, format!(", {} are open", figures::count(open))),
            };
            let key = self.keymap.key_of(Action::Reconcile);
            let said = format!("{succeeded} of {lines} lines succeeded{open}; {key} merges them");
            self.say(tone, said);
        }
        let entry = self.live.reconciliations.entry(arn).or_default();
        entry.put(reply.map(|it| *it), self.now);
    }

    pub fn can_link(&self) -> Availability {
        if self.read_only() {
            return Err("this session is read-only");
        }
        self.can_download()
    }

    pub(super) fn link(&mut self) -> Vec<Effect> {
        let Screen::Outputs(it) = self.screen() else {
            return Vec::new();
        };
        let address = it.chosen(self).map(|it| it.object.address.clone());
        address.map(Effect::Link).into_iter().collect()
    }

    /// Copies a link: it is a secret, so it is shown nowhere.
    pub(super) fn linked(
        &mut self,
        address: &ObjectAddress,
        reply: Reply<(String, crate::model::Timestamp)>,
    ) -> Vec<Effect> {
        match reply {
            Ok((url, until)) => {
                let name = address.file_name();
                let until = figures::full(until);
                self.copying = Some(format!(
                    "a link by which anybody can read {name} until {until},"
                ));
                vec![Effect::Copy(url)]
            }
            Err(trouble) => {
                self.say_trouble(&trouble);
                Vec::new()
            }
        }
    }
}
