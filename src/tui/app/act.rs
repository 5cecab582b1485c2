//! What actions do.

use crate::model::ExecutionArn;
use crate::tui::app::{App, Overlay};
use crate::tui::data::FailureSet;
use crate::tui::dialog::Dialog;
use crate::tui::dialog::limits::Limits;
use crate::tui::dialog::redrive::Redrive;
use crate::tui::dialog::stop::Stop;
use crate::tui::event::{Ask, Effect, Subject};
use crate::tui::keys::{self, Action};
use crate::tui::marks::Marking;
use crate::tui::pace::Tone;
use crate::tui::palette::Scope;
use crate::tui::screen::outputs::Pane as OutputsPane;
use crate::tui::screen::{ItemTab, Machine, Machines, Pane, Screen, Tab, chosen_machine};
use crate::tui::widget::list::{Cursor, Move, Scroll};
use crate::tui::widget::tree::Tree;

impl App {
    /// Does it, or says why not.
    pub fn act_if_available(&mut self, action: Action) -> Vec<Effect> {
        match (keys::of(action).available)(self) {
            Ok(()) => self.act(action),
            Err(reason) => {
                let name = keys::of(action).hint;
                self.say(Tone::Warn, format!("{name}: {reason}"));
                Vec::new()
            }
        }
    }

    pub fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Down => self.move_cursor(Move::Lines(1)),
            Action::Up => self.move_cursor(Move::Lines(-1)),
            Action::Top => self.move_cursor(Move::Top),
            Action::Bottom => self.move_cursor(Move::Bottom),
            Action::HalfDown => self.move_cursor(Move::Halves(1)),
            Action::HalfUp => self.move_cursor(Move::Halves(-1)),
            Action::PageDown => self.move_cursor(Move::Pages(1)),
            Action::PageUp => self.move_cursor(Move::Pages(-1)),
            Action::ScrollDown => self.scroll(Move::Lines(1)),
            Action::ScrollUp => self.scroll(Move::Lines(-1)),
            Action::NextPane | Action::PreviousPane => self.switch_pane(),
            Action::Open => self.open(),
            Action::Back => return self.back(),
            Action::Leave if self.stack.len() > 1 => return self.back(),
            Action::Leave | Action::Quit => return self.quit(),
            Action::Runs => self.close_to(1),
            Action::Live => self.show_for_run(Screen::live),
            Action::Failures => self.show_for_run(Screen::failures),
            Action::Outputs => self.show_for_run(Screen::outputs),
            Action::Logs => self.show_for_run(|run| Screen::logs(run, None)),
            Action::LogsHere => self.logs_here(),
            Action::Narrow => self.open_filter(),
            Action::SearchNext => self.search_on(true),
            Action::SearchPrevious => self.search_on(false),
            Action::Wrap => self.wrap(),
            Action::Describe => self.show_execution(Tab::Summary),
            Action::Graph => self.show_execution(Tab::Graph),
            Action::Timeline => self.show_execution(Tab::Timeline),
            Action::Events => self.show_execution(Tab::Events),
            Action::Payload => self.show_execution(Tab::Payload),
            Action::Child => self.show_child(Tab::Summary),
            Action::NextTab => self.turn(1),
            Action::PreviousTab => self.turn(-1),
            Action::Left => self.sideways(-1),
            Action::Right => self.sideways(1),
            Action::Choose if self.screen().tree().is_some() => return self.choose(),
            Action::Choose if self.can_mark().is_ok() => self.mark(Marking::Toggle),
            Action::Choose => return self.choose(),
            Action::Machines => self.show(Screen::Machines(Machines::default())),
            Action::FoldAll => self.in_tree(Tree::fold_all),
            Action::UnfoldAll => self.in_tree(Tree::unfold_all),
            Action::FirstFailure => self.first_failure(),
            Action::SourceLine => return self.find_source_line(),
            Action::Sort if matches!(self.screen(), Screen::Execution(_)) => self.reverse(),
            Action::Sort => self.open_palette(Scope::Sort),
            Action::Reverse => self.reverse(),
            Action::MarkRange => self.mark(Marking::Range),
            Action::MarkAll => self.mark(Marking::All),
            Action::ClearMarks => self.clear_marks(),
            Action::Export => self.open_palette(Scope::Export),
            Action::Profile => self.open_profiles(),
            Action::Region => self.open_palette(Scope::Regions),
            Action::Browse => {
                let address = self.console_address();
                return address.map(Effect::Browse).into_iter().collect();
            }
            Action::Filter if matches!(self.screen(), Screen::Logs(_)) => self.open_search(),
            Action::Filter if self.is_reading() => self.open_object_search(),
            Action::Filter => self.open_filter(),
            Action::Command => self.open_palette(Scope::All),
            Action::Help => self.open_palette(Scope::Keys),
            Action::Menu => self.open_palette(Scope::Here),
            Action::LastView => self.last_view(),
            Action::HistoryBack => self.history_back(),
            Action::HistoryForward => self.history_forward(),
            Action::FullScreen => self.is_full = !self.is_full,
            Action::Freeze => self.freeze(),
            Action::Start => return self.open_start(""),
            Action::Redrive if self.has_marked_runs() => return self.redrive_marked(),
            Action::Redrive => return self.open_redrive(),
            Action::Stop if self.has_marked_runs() => self.stop_marked(),
            Action::Stop => self.open_stop(),
            Action::Limits => self.open_limits(),
            Action::Download => self.open_download(),
            Action::Link => return self.link(),
            Action::Rounds => self.merge_rounds(),
            Action::Reconcile => return self.reconcile(),
            Action::Transfers => self.overlay = Some(Overlay::Transfers(Cursor::default())),
            Action::Copy => return self.copy(Self::subject),
            Action::CopyArn => return self.copy(Self::subject_in_full),
            Action::Mouse => return self.switch_mouse(),
            Action::Trail => return self.open_trail(),
            Action::MarkCompare => self.mark_for_comparison(),
            Action::Compare => self.compare(),
            Action::Grow => self.resize_pane(1),
            Action::Shrink => self.resize_pane(-1),
            Action::Refresh => return self.refresh(),
            Action::Redraw => return vec![Effect::Redraw],
            Action::Suspend => return vec![Effect::Suspend],
        }
        Vec::new()
    }

    pub(super) fn move_cursor(&mut self, to: Move) {
        if self.is_reading() {
            return self.scroll_preview(to);
        }
        let len = self.screen().rows(self);
        self.screen_mut().go(to, len);
        if let Screen::Runs(runs) = self.screen() {
            let anchor = runs.under_cursor(self);
            if let Screen::Runs(runs) = self.screen_mut() {
                runs.anchor = anchor;
            }
        }
    }

    pub(super) fn scroll(&mut self, to: Move) {
        match self.screen_mut() {
            Screen::Failures(it) => it.scroll.go(to),
            Screen::Outputs(_) => self.scroll_preview(to),
            Screen::Execution(it) => it.scroll(to),
            Screen::Machine(it) => it.scroll(to),
            Screen::Compare(it) => it.scroll.go(to),
            Screen::Runs(_) | Screen::Live(_) | Screen::Logs(_) | Screen::Machines(_) => {}
        }
    }

    fn switch_pane(&mut self) {
        match self.screen_mut() {
            Screen::Failures(it) => {
                it.pane = match it.pane {
                    Pane::Groups => Pane::Members,
                    Pane::Members => Pane::Groups,
                };
            }
            Screen::Execution(it) => it.switch_pane(),
            Screen::Outputs(it) => {
                it.pane = match it.pane {
                    OutputsPane::Files => OutputsPane::Preview,
                    OutputsPane::Preview => OutputsPane::Files,
                };
            }
            _ => {}
        }
    }

    /// Shows the execution that the screen is about; the child that is shown, where one is.
    fn show_execution(&mut self, tab: Tab) {
        if let Screen::Execution(it) = self.screen_mut() {
            it.tab = tab;
            return;
        }
        self.show_for_run(|run| Screen::execution(run.clone(), run, tab));
    }

    fn show_child(&mut self, tab: Tab) {
        if let (Some(run), Some(child)) = (self.shown_run().cloned(), self.shown_child()) {
            self.show(Screen::execution(run, child, tab));
        }
    }

    /// The child execution under the cursor.
    pub fn shown_child(&self) -> Option<ExecutionArn> {
        match self.screen() {
            Screen::Live(it) => it.chosen(self),
            Screen::Failures(it) => it.chosen(self).map(|it| it.child.clone()),
            _ => None,
        }
    }

    fn turn(&mut self, by: isize) {
        match self.screen_mut() {
            Screen::Execution(it) => it.turn(by),
            Screen::Machine(it) => it.turn(by),
            Screen::Outputs(it) => it.as_text = !it.as_text,
            Screen::Failures(it) => {
                it.tab = it.tab.turned(by);
                it.scroll = Scroll::default();
            }
            _ => {}
        }
        self.rest();
    }

    /// Folds what is under the cursor; of machines, shows its runs.
    fn choose(&mut self) -> Vec<Effect> {
        if let Some(tree) = self.screen_mut().tree_mut() {
            tree.toggle();
            return Vec::new();
        }
        let machine = chosen_machine(self);
        machine.map_or_else(Vec::new, |arn| self.use_machine(arn.0))
    }

    fn sideways(&mut self, by: isize) {
        match (self.screen_mut().tree_mut(), by) {
            (Some(tree), ..0) => return tree.left(),
            (Some(tree), _) => return tree.right(),
            (None, _) => {}
        }
        match self.screen_mut() {
            Screen::Execution(it) => it.sideways(by),
            Screen::Machine(it) => it.sideways(by),
            Screen::Logs(it) => it.sideways(by > 0),
            Screen::Outputs(_) => self.sideways_in_outputs(by),
            _ => {}
        }
    }

    fn in_tree(&mut self, what: impl Fn(&mut Tree)) {
        if let Some(tree) = self.screen_mut().tree_mut() {
            what(tree);
        }
    }

    /// Goes one level deeper.
    fn open(&mut self) {
        match self.screen() {
            Screen::Runs(_) => self.show_for_run(Screen::live),
            Screen::Live(live) => {
                let child = live.chosen(self);
                self.show_for_run(Screen::failures);
                if let Some(child) = child {
                    self.choose_failure(|set| set.of_child(&child).map(|(place, _)| place));
                }
            }
            Screen::Logs(_) => {
                if let Screen::Logs(it) = self.screen_mut() {
                    it.unfold();
                }
            }
            Screen::Failures(it) => match it.pane {
                Pane::Groups if it.at_beside(self).is_some() => {
                    if let Screen::Failures(it) = self.screen_mut() {
                        it.is_listed = true;
                    }
                }
                Pane::Groups => self.switch_pane(),
                Pane::Members => self.show_child(Tab::Payload),
            },
            Screen::Execution(_) => {
                let data = self.frozen.as_ref().map_or(&self.live, |(data, _)| data);
                if let Some(Screen::Execution(it)) = self.stack.last_mut() {
                    it.open(data);
                }
            }
            Screen::Machines(it) => {
                let arn = it.chosen(self).map(|it| it.arn.clone());
                if let Some(arn) = arn {
                    self.show(Screen::Machine(Box::new(Machine::new(arn))));
                }
            }
            Screen::Machine(_) => self.in_tree(Tree::toggle),
            Screen::Outputs(_) => self.open_output(),
            Screen::Compare(_) => {}
        }
    }

    /// Clears one thing or goes back one level; never quits.
    fn back(&mut self) -> Vec<Effect> {
        if self.is_full {
            self.is_full = false;
            return Vec::new();
        }
        if self.frozen.take().is_some() {
            return Vec::new();
        }
        if let Some(effects) = self.leave_preview() {
            return effects;
        }
        if self.screen().filter().is_some_and(|it| !it.is_empty()) {
            self.screen_mut()
                .set_filter(crate::tui::filter::Filter::default());
            return Vec::new();
        }
        if let Screen::Logs(it) = self.screen_mut()
            && !it.search.is_empty()
        {
            it.search.clear();
            return Vec::new();
        }
        if let Screen::Execution(it) = self.screen_mut()
            && it.in_payload()
        {
            it.switch_pane();
            return Vec::new();
        }
        if let Screen::Failures(it) = self.screen_mut()
            && it.pane == Pane::Members
        {
            it.pane = Pane::Groups;
            return Vec::new();
        }
        self.close_to(self.stack.len() - 1);
        Vec::new()
    }

    /// Quits; with a transfer under way, or runs that would be lost, only when asked twice.
    fn quit(&mut self) -> Vec<Effect> {
        let lost = self.lost_by_quitting();
        let reason = match (self.transfers.warning(), lost.as_slice()) {
            _ if self.is_leaving => return vec![Effect::Quit],
            (None, []) => return vec![Effect::Quit],
            (None, [one]) => format!("{one} goes on and ends with the demo"),
            (None, [one, ..]) => {
                format!(
                    "{one} and {} more go on and end with the demo",
                    lost.len() - 1
                )
            }
            (Some(warning), _) => format!("under way: {warning}"),
        };
        self.is_leaving = true;
        self.say(Tone::Warn, format!("{reason}; once more quits"));
        Vec::new()
    }

    pub(super) fn show_for_run(&mut self, screen: impl Fn(ExecutionArn) -> Screen) {
        if let Some(run) = self.shown_run().cloned() {
            self.show(screen(run));
        }
    }

    /// Looks for the line that the failure under the cursor worked on, and shows it.
    fn find_source_line(&mut self) -> Vec<Effect> {
        let Screen::Failures(it) = self.screen() else {
            return Vec::new();
        };
        let known = it.chosen(self).zip(self.data().map_run(&it.run));
        let ask = known.map(|(failure, map_run)| {
            Ask::SourceLine(Box::new(map_run.clone()), Box::new(failure.clone()))
        });
        if let Screen::Failures(it) = self.screen_mut() {
            it.tab = ItemTab::Source;
            it.scroll = Scroll::default();
        }
        let Some(ask) = ask else {
            return Vec::new();
        };
        if let Ask::SourceLine(_, failure) = &ask {
            self.live
                .source_lines
                .entry(failure.child.clone())
                .or_default();
        }
        vec![Effect::Ask(ask)]
    }

    fn first_failure(&mut self) {
        self.show_for_run(Screen::failures);
        self.choose_failure(|set| {
            let groups = (0..).zip(set.groups());
            let first = groups
                .filter_map(|(group, it)| Some((it.first_line?, group, it.first_member?)))
                .min();
            first.map_or(Some((0, 0)), |(_, group, member)| {
                Some((group, u32::try_from(member).ok()?))
            })
        });
    }

    /// Puts the cursors of the failures screen on one failure, by its group and number there.
    fn choose_failure(&mut self, which: impl Fn(&FailureSet) -> Option<(u32, u32)>) {
        let Screen::Failures(it) = self.screen() else {
            return;
        };
        let found = it.set(self).and_then(which);
        if let (Some((group, number)), Screen::Failures(it)) = (found, self.screen_mut()) {
            it.choose(group, number);
        }
    }

    fn freeze(&mut self) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some((Box::new(self.live.clone()), self.now)),
        };
    }

    fn open_redrive(&mut self) -> Vec<Effect> {
        let Some(run) = self.shown_run().cloned() else {
            return Vec::new();
        };
        let marked = match self.marked_failures() {
            Ok(marked) => marked,
            Err(reason) => {
                self.say(Tone::Warn, reason);
                return Vec::new();
            }
        };
        let (dialog, asks) = Redrive::open(run, marked, self.is_prod());
        self.dialog = Some(Dialog::Redrive(Box::new(dialog)));
        asks
    }

    fn open_trail(&mut self) -> Vec<Effect> {
        self.dialog = Some(Dialog::Trail(Box::default()));
        vec![Effect::Ask(Ask::Trail)]
    }

    fn open_stop(&mut self) {
        let Some(run) = self.shown_run().cloned() else {
            return;
        };
        let items = self.data().map_run(&run).map(|it| it.items);
        let unfinished = items.map(|it| it.total.saturating_sub(it.done()));
        self.dialog = Some(Dialog::Stop(Box::new(Stop::open(
            run,
            unfinished,
            self.is_prod(),
        ))));
    }

    fn open_limits(&mut self) {
        let map_run = self.shown_run().and_then(|run| self.data().map_run(run));
        if let Some(map_run) = map_run {
            self.dialog = Some(Dialog::Limits(Box::new(Limits::open(
                map_run,
                self.is_prod(),
            ))));
        }
    }

    /// Forgets how fresh things are, so that all that is shown is asked for again.
    fn refresh(&mut self) -> Vec<Effect> {
        let mut effects = vec![Effect::Refresh];
        if let Some(run) = self.shown_run().cloned() {
            let map_run = self.data().map_run(&run).map(|it| it.arn.clone());
            self.live.outputs.remove(&run);
            self.live.reconciliations.remove(&run);
            if let Some(map_run) = map_run {
                self.live.failures.remove(&map_run);
            }
            if !self.is_out(&Subject::Describe(run.clone())) {
                effects.push(Effect::Ask(Ask::Describe(run)));
            }
        }
        match self.screen() {
            Screen::Machines(_) => {
                effects.push(Effect::Ask(Ask::Machines));
                self.live.recents.clear();
            }
            Screen::Machine(it) => effects.push(Effect::Ask(Ask::MachineView(it.arn.clone()))),
            _ => {}
        }
        self.say(Tone::Plain, "refreshing");
        effects
    }
}
