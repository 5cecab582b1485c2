//! What is remembered of a target between two visits: views, filters, orders, cursors, and lines
//! given to the palette. Marks are not: nothing should be hit because of yesterday.

mod file;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use file::{path, read, write};

use crate::model::{ExecutionArn, StateMachineArn};
use crate::operations::logs::Focus;
use crate::tui::app::App;
use crate::tui::filter::Filter;
use crate::tui::screen::{Machine, MachineTab, Machines, Runs, Screen, Tab};
use crate::tui::widget::list::Order;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// The state machine shown.
    pub machine: Option<String>,
    /// The stack, the first view first.
    pub views: Vec<View>,
    /// Filters given, newest first, by the name of their view.
    pub filters: BTreeMap<String, Vec<String>>,
    /// Lines given to the palette, newest first.
    pub recent: Vec<String>,
    /// By how much the panes of a view are larger than usual.
    pub panes: BTreeMap<String, i16>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    pub name: String,
    /// The run it is about; of the list of runs the one under the cursor.
    pub run: Option<ExecutionArn>,
    pub filter: String,
    /// Name of the order.
    pub order: String,
    pub reversed: bool,
    /// The child of the run that it is about, where it is about one.
    pub child: Option<ExecutionArn>,
    /// The state machine that it is about.
    pub machine: Option<StateMachineArn>,
    /// Name of the tab.
    pub tab: String,
}

impl View {
    fn of(screen: &Screen) -> Self {
        let order = screen.order().unwrap_or_default();
        let run = match screen {
            Screen::Runs(it) => it.anchor.clone(),
            Screen::Execution(it) => Some(it.run.clone()),
            other => other.run().cloned(),
        };
        let child = match screen {
            Screen::Execution(it) => Some(it.arn.clone()).filter(|_| it.is_child()),
            Screen::Logs(it) => it.focus.as_ref().map(|focus| focus.child.clone()),
            _ => None,
        };
        let tab = match screen {
            Screen::Execution(it) => it.tab.name(),
            Screen::Machine(it) => it.tab.name(),
            _ => "",
        };
        let machine = match screen {
            Screen::Machine(it) => Some(it.arn.clone()),
            _ => None,
        };
        Self {
            child,
            machine,
            tab: tab.to_owned(),
            name: screen.name().to_owned(),
            run,
            filter: screen.filter().map_or("", Filter::text).to_owned(),
            order: order.name(screen.sorts()).to_owned(),
            reversed: order.reversed,
        }
    }

    /// `None` for a view that there is no more, or that is not come back to.
    fn screen(&self) -> Option<Screen> {
        let run = self.run.clone();
        let mut screen = match self.name.as_str() {
            "runs" => Screen::Runs(Runs {
                anchor: run,
                ..Runs::default()
            }),
            "live" => Screen::live(run?),
            "failures" => Screen::failures(run?),
            "outputs" => Screen::outputs(run?),
            "logs" => Screen::logs(run?, self.child.clone().map(Focus::of)),
            "execution" => {
                let run = run?;
                let arn = self.child.clone().unwrap_or_else(|| run.clone());
                Screen::execution(run, arn, Tab::named(&self.tab))
            }
            "machines" => Screen::Machines(Machines::default()),
            "machine" => {
                let mut machine = Machine::new(self.machine.clone()?);
                machine.tab = MachineTab::named(&self.tab);
                Screen::Machine(Box::new(machine))
            }
            _ => return None,
        };
        let anchor = match &screen {
            Screen::Runs(it) => it.anchor.clone(),
            _ => None,
        };
        if !self.filter.is_empty() {
            screen.set_filter(Filter::new(&self.filter));
        }
        let mut sorts = screen.sorts().iter();
        if let Some(by) = sorts.position(|(name, _)| *name == self.order) {
            screen.set_order(Order {
                by,
                reversed: self.reversed,
            });
        }
        if let Screen::Runs(it) = &mut screen {
            it.anchor = anchor;
        }
        Some(screen)
    }
}

impl App {
    /// What is worth remembering of this target.
    pub fn session(&self) -> Session {
        Session {
            machine: Some(self.settings.machine.clone()),
            views: self.stack().iter().map(View::of).collect(),
            filters: self.filters_by_view().clone(),
            recent: self.recent.clone(),
            panes: self.panes.clone(),
        }
    }

    /// Goes on where the last visit ended.
    pub fn restore(&mut self, session: Session) {
        let screens: Vec<Screen> = session.views.iter().filter_map(View::screen).collect();
        self.restore_stack(screens);
        self.recent = session.recent;
        self.panes = session.panes;
        self.restore_filters(session.filters);
        if let Some(machine) = session.machine {
            self.settings.machine = machine;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tui::event::{Cause, Event, Trouble};
    use crate::tui::harness::{GOING, Harness, LOST, arn, sample, trouble};

    fn restored(session: Session) -> Harness {
        let mut harness = Harness::new();
        harness.app.restore(session);
        harness.list(&sample());
        harness
    }

    #[test]
    fn views_filters_orders_and_cursors_come_back_and_marks_do_not() {
        let before = Harness::sample().keys(":sort failed<enter>/inv<enter>jj k3");
        let session = before.app.session();
        let text = serde_json::to_string(&session).unwrap();
        let again = restored(serde_json::from_str(&text).unwrap());
        let Screen::Failures(it) = again.app.screen() else {
            panic!("{:?}", again.app.screen());
        };
        assert_eq!(it.run, *before.app.shown_run().unwrap());
        let again = again.keys("<esc>");
        let Screen::Runs(it) = again.app.screen() else {
            panic!("{:?}", again.app.screen());
        };
        assert_eq!(it.filter.text(), "inv");
        assert_eq!(
            it.under_cursor(&again.app),
            Some(before.app.shown_run().unwrap().clone())
        );
        assert!(it.marks.is_empty());
        assert_eq!(it.rows(&again.app)[0].name, LOST);
        assert_eq!(again.app.recent, ["sort failed"]);
    }

    #[test]
    fn executions_logs_and_machines_come_back_with_their_tabs() {
        let back = |keys: &str| {
            let before = Harness::sample().traced().keys(keys);
            let text = serde_json::to_string(&before.app.session()).unwrap();
            let again = restored(serde_json::from_str(&text).unwrap());
            let stacks = [before, again].map(|it| it.app.session().views);
            assert_eq!(stacks[0], stacks[1], "{keys}");
            stacks[0].last().unwrap().clone()
        };
        let graph = back("<enter>gp");
        assert_eq!((&*graph.name, &*graph.tab), ("execution", "Graph"));
        assert_eq!(back("<enter>l").name, "logs");
        assert_eq!(back("6").name, "machines");
        let resized = Harness::sample().keys("+++_");
        assert_eq!(resized.app.session().panes["runs"], 2);
        let again = restored(resized.app.session());
        assert_eq!(again.app.pane("runs"), 2);
    }

    #[test]
    fn a_run_that_is_gone_leads_back_to_the_list() {
        let mut again = restored(Harness::sample().keys("<enter>").app.session());
        assert_eq!(again.app.shown_run(), Some(&arn(GOING)));
        let mut empty = Harness::new();
        empty.app.restore(again.app.session());
        let unreachable = trouble("no connection");
        empty.send(Event::Run(arn(GOING), Err(unreachable)));
        assert!(matches!(empty.app.screen(), Screen::Live(_)));
        let gone = Trouble {
            cause: Cause::Gone,
            ..trouble("not found")
        };
        empty.send(Event::Run(arn(GOING), Err(gone)));
        assert!(matches!(empty.app.screen(), Screen::Runs(_)));
        again.taken();
    }

    proptest! {
        /// Whatever stands in the file, the list of runs comes first and nothing panics.
        #[test]
        fn any_session_is_restored(
            names in prop::collection::vec(("runs|live|failures|outputs|logs|execution|machines|machine|none", any::<Option<String>>(), ".{0,8}", "failed|line|x"), 0..5),
        ) {
            let views = names.into_iter().map(|(name, run, filter, order)| View {
                name,
                run: run.map(ExecutionArn::new),
                filter,
                order,
                reversed: true,
                ..View::default()
            });
            let harness = restored(Session { views: views.collect(), ..Session::default() });
            prop_assert!(!harness.app.stack().is_empty());
            prop_assert!(matches!(harness.app.stack()[0], Screen::Runs(_)));
        }
    }
}
