//! What is known of executions and state machines in depth: histories, definitions.

use std::sync::Arc;

use crate::model::{ExecutionArn, HistoryEvent, Page, StateMachineArn, Timestamp};
use crate::operations::check::Report;
use crate::operations::machines::{Machine, OwnDefinition, Recent};
use crate::tui::data::{Data, Remote};
use crate::tui::event::Reply;
use crate::tui::graph::Picture;
use crate::tui::history::{History, Part};
use crate::tui::widget::tree::Document;

/// Histories and definitions kept: each may hold megabytes.
const HISTORIES: usize = 4;
const DEFINITIONS: usize = 16;

/// The definition that an execution has, read and laid out. Made where there is time for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub own: OwnDefinition,
    pub picture: Picture,
}

impl Definition {
    pub fn new(own: OwnDefinition) -> Self {
        let picture = Picture::of(&own.detail.definition);
        Self { own, picture }
    }
}

/// A state machine, its definition read and laid out.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineView {
    pub machine: Machine,
    /// The known traps; `Err` is why it could not be checked.
    pub report: Result<Report, String>,
    pub picture: Picture,
    pub document: Arc<Document>,
}

impl MachineView {
    pub fn new(machine: Machine, report: Result<Report, String>) -> Self {
        let definition = &machine.detail.definition;
        Self {
            picture: Picture::of(definition),
            document: Arc::new(Document::read(definition)),
            machine,
            report,
        }
    }
}

impl Data {
    pub fn history(&self, arn: &ExecutionArn) -> Option<&History> {
        self.histories.get(arn)?.get().map(AsRef::as_ref)
    }

    /// Takes in a page of events.
    pub fn put_history(
        &mut self,
        arn: ExecutionArn,
        part: &Part,
        reply: Reply<Page<HistoryEvent>>,
        now: Timestamp,
    ) {
        if self.histories.len() >= HISTORIES && !self.histories.contains_key(&arn) {
            self.histories.clear();
        }
        let entry = self.histories.entry(arn).or_default();
        let reply = reply.map(|page| {
            let mut history = entry.get().cloned().unwrap_or_default();
            Arc::make_mut(&mut history).put(part, page);
            history
        });
        entry.put(reply, now);
    }

    /// A page's token is no longer taken: what is known stays, and reading begins again at its end
    /// of the history.
    pub fn begin_history_anew(&mut self, arn: &ExecutionArn, part: &Part) {
        let Some(
            Remote::Known { value, .. }
            | Remote::Failed {
                last: Some((value, _)),
                ..
            },
        ) = self.histories.get_mut(arn)
        else {
            return;
        };
        Arc::make_mut(value).begin_anew(part);
    }

    pub fn put_definition(
        &mut self,
        arn: ExecutionArn,
        reply: Reply<Arc<Definition>>,
        now: Timestamp,
    ) {
        if self.definitions.len() >= DEFINITIONS && !self.definitions.contains_key(&arn) {
            self.definitions.clear();
        }
        self.definitions.entry(arn).or_default().put(reply, now);
    }

    pub fn put_machine_view(
        &mut self,
        arn: StateMachineArn,
        reply: Reply<Arc<MachineView>>,
        now: Timestamp,
    ) {
        if self.machine_views.len() >= DEFINITIONS && !self.machine_views.contains_key(&arn) {
            self.machine_views.clear();
        }
        self.machine_views.entry(arn).or_default().put(reply, now);
    }

    pub fn recent(&self, arn: &StateMachineArn) -> Option<&Recent> {
        self.recents.get(arn).and_then(Remote::get)
    }
}
