//! Events told as visits: which state was entered when, by which attempts it came to its end, and
//! inside which other one. What the timeline and the graph show.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::model::{HistoryEvent, MapRunArn, Timestamp};

/// How a visit to a state stands or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Succeeded,
    /// Failed, and a catcher went on.
    Caught,
    /// Cut short, because the execution or a state around it ended.
    Stopped,
    Failed,
    TimedOut,
    /// Failed, and will be tried again.
    Retrying,
    Running,
}

impl Outcome {
    /// The word shown beside the glyph.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "RUN",
            Self::Retrying => "RETRY",
            Self::Succeeded => "OK",
            Self::Caught => "CAUGHT",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMEOUT",
            Self::Stopped => "STOPPED",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub began: Timestamp,
    pub ended: Option<Timestamp>,
    pub error: Option<String>,
}

/// One time that a state was entered.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    pub state: String,
    /// `Task`, `Map`, ….
    pub kind: String,
    pub depth: usize,
    /// Item of an inline Map, from 0.
    pub iteration: Option<u64>,
    pub entered: Timestamp,
    pub left: Option<Timestamp>,
    pub outcome: Outcome,
    /// Empty for states that only pass on.
    pub attempts: Vec<Attempt>,
    pub map_run: Option<MapRunArn>,
    /// Numbers of its first and its newest event.
    pub events: (u64, u64),
    parent: Option<u32>,
}

/// All visits to one state.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Visits {
    pub all: u64,
    pub running: u64,
    pub retrying: u64,
    pub succeeded: u64,
    pub caught: u64,
    pub failed: u64,
    pub stopped: u64,
    /// Index of the newest.
    pub newest: usize,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// In the order in which they were entered.
    pub visits: Vec<Visit>,
    by_state: HashMap<String, Visits>,
    /// The visit that an event belongs to.
    owners: HashMap<u64, u32>,
    pub began: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Whether no event is missing.
    pub is_whole: bool,
}

/// Whether an event of this kind ends its execution.
pub fn is_end(kind: &str) -> bool {
    matches!(
        kind,
        "ExecutionSucceeded" | "ExecutionFailed" | "ExecutionAborted" | "ExecutionTimedOut"
    )
}

impl Trace {
    /// Events in the order of their numbers.
    pub fn of<'a>(events: impl Iterator<Item = &'a HistoryEvent>, is_whole: bool) -> Self {
        let mut teller = Teller::default();
        for event in events {
            teller.take(event);
        }
        let mut trace = teller.trace;
        trace.is_whole = is_whole;
        for (index, visit) in trace.visits.iter().enumerate() {
            let visits = trace.by_state.entry(visit.state.clone()).or_default();
            visits.add(visit.outcome, index);
        }
        trace
    }

    pub fn state(&self, name: &str) -> Option<&Visits> {
        self.by_state.get(name)
    }

    /// The visit that an event is part of.
    pub fn owner(&self, event: u64) -> Option<&Visit> {
        self.visits.get(*self.owners.get(&event)? as usize)
    }
}

impl Visits {
    fn add(&mut self, outcome: Outcome, index: usize) {
        self.all += 1;
        self.newest = index;
        let count = match outcome {
            Outcome::Running => &mut self.running,
            Outcome::Retrying => &mut self.retrying,
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Caught => &mut self.caught,
            Outcome::Failed | Outcome::TimedOut => &mut self.failed,
            Outcome::Stopped => &mut self.stopped,
        };
        *count += 1;
    }

    /// What matters most: what goes on, else what failed, else how the newest visit went.
    pub fn outcome(&self, trace: &Trace) -> Outcome {
        let newest = trace.visits.get(self.newest).map(|it| it.outcome);
        match newest {
            _ if self.retrying > 0 && self.running == 0 => Outcome::Retrying,
            _ if self.running > 0 => Outcome::Running,
            Some(Outcome::TimedOut) => Outcome::TimedOut,
            _ if self.failed > 0 => Outcome::Failed,
            Some(outcome) => outcome,
            None => Outcome::Stopped,
        }
    }
}

/// What is remembered of an event for those that follow it.
#[derive(Clone, Copy)]
struct Place {
    /// The visit that it belongs to.
    visit: Option<u32>,
    /// It left a state: what follows stands beside that visit, not in it.
    is_exit: bool,
    iteration: Option<u64>,
}

#[derive(Default)]
struct Teller {
    trace: Trace,
    places: HashMap<u64, Place>,
}

impl Teller {
    fn take(&mut self, event: &HistoryEvent) {
        let trace = &mut self.trace;
        if trace.began.is_none() {
            trace.began = Some(event.at);
        }
        let before = self.places.get(&event.previous).copied();
        let place = if event.kind.ends_with("StateEntered") {
            self.enter(event, before)
        } else if is_end(&event.kind) {
            self.end(event);
            self.top()
        } else if event.kind == "ExecutionRedriven" {
            self.trace.ended = None;
            before.unwrap_or(self.top())
        } else {
            self.inside(event, before)
        };
        if let Some(visit) = place.visit {
            self.trace.owners.insert(event.id, visit);
            if let Some(visit) = self.visit(visit) {
                visit.events.1 = event.id;
            }
        }
        self.places.insert(event.id, place);
    }

    /// Outside of all states.
    #[expect(clippy::unused_self, reason = "reads as one of the places of a teller")]
    fn top(&self) -> Place {
        Place {
            visit: None,
            is_exit: false,
            iteration: None,
        }
    }

    fn visit(&mut self, index: u32) -> Option<&mut Visit> {
        self.trace.visits.get_mut(index as usize)
    }

    fn parent(&self, index: u32) -> Option<u32> {
        self.trace.visits.get(index as usize)?.parent
    }

    fn enter(&mut self, event: &HistoryEvent, before: Option<Place>) -> Place {
        let (parent, iteration) = match before {
            Some(Place {
                visit: Some(visit),
                is_exit: true,
                ..
            }) => {
                let it = &self.trace.visits[visit as usize];
                (it.parent, it.iteration)
            }
            Some(place) => (place.visit, place.iteration),
            None => (None, None),
        };
        let kind = event.kind.trim_end_matches("StateEntered");
        let depth = parent.map_or(0, |it| self.trace.visits[it as usize].depth + 1);
        self.push(event, kind, parent, depth, iteration)
    }

    fn push(
        &mut self,
        event: &HistoryEvent,
        kind: &str,
        parent: Option<u32>,
        depth: usize,
        iteration: Option<u64>,
    ) -> Place {
        let outcome = match kind {
            "Fail" => Outcome::Failed,
            _ => Outcome::Running,
        };
        self.trace.visits.push(Visit {
            state: event.state.clone().unwrap_or_default(),
            kind: kind.to_owned(),
            depth,
            iteration,
            entered: event.at,
            left: (kind == "Fail").then_some(event.at),
            outcome,
            attempts: Vec::new(),
            map_run: None,
            events: (event.id, event.id),
            parent,
        });
        Place {
            visit: Some(self.trace.visits.len() as u32 - 1),
            is_exit: false,
            iteration,
        }
    }

    /// An event of a state that was entered before.
    fn inside(&mut self, event: &HistoryEvent, before: Option<Place>) -> Place {
        let is_exit = event.kind.ends_with("StateExited");
        let owner = before.and_then(|place| match place.is_exit {
            true => self.parent(place.visit?),
            false => place.visit,
        });
        let Some(owner) = self.climb(event, owner) else {
            // The state was entered before the events that we have.
            if is_exit {
                let kind = event.kind.trim_end_matches("StateExited");
                let place = self.push(event, kind, None, 0, None);
                self.leave(event, place.visit);
                return Place {
                    is_exit: true,
                    ..place
                };
            }
            return self.top();
        };
        if is_exit {
            self.leave(event, Some(owner));
        } else {
            self.attempt(event, owner);
        }
        let iteration = if event.kind == "MapIterationStarted" {
            event.iteration
        } else {
            self.trace.visits[owner as usize].iteration
        };
        Place {
            visit: Some(owner),
            is_exit,
            iteration,
        }
    }

    /// From the visit whose event came before, up to the one that this event is about: the end of a
    /// Parallel follows on the failure inside one of its branches.
    fn climb(&self, event: &HistoryEvent, from: Option<u32>) -> Option<u32> {
        let mut at = from?;
        loop {
            let visit = &self.trace.visits[at as usize];
            let fits = match (&event.state, event.kind.as_str()) {
                (Some(name), kind) if kind.ends_with("StateExited") => visit.state == *name,
                (_, kind) if kind.starts_with("Map") => visit.kind == "Map",
                (_, kind) if kind.starts_with("Parallel") => visit.kind == "Parallel",
                _ => true,
            };
            if fits {
                return Some(at);
            }
            at = visit.parent?;
        }
    }

    fn leave(&mut self, event: &HistoryEvent, visit: Option<u32>) {
        let Some(index) = visit else {
            return;
        };
        self.close_inside(index, event.at);
        if let Some(visit) = self.visit(index) {
            visit.left = Some(event.at);
            visit.outcome = match visit.outcome {
                Outcome::Retrying => Outcome::Caught,
                _ => Outcome::Succeeded,
            };
            if let Some(attempt) = visit.attempts.last_mut()
                && attempt.ended.is_none()
            {
                attempt.ended = Some(event.at);
            }
        }
    }

    fn attempt(&mut self, event: &HistoryEvent, index: u32) {
        let kind = event.kind.as_str();
        let is_iteration = kind.starts_with("MapIteration");
        let begins = !is_iteration
            && (kind.ends_with("Scheduled")
                || matches!(
                    kind,
                    "MapStateStarted" | "ParallelStateStarted" | "MapRunStarted" | "MapRunRedriven"
                ));
        let is_abort = kind.ends_with("StateAborted");
        let fails = !is_iteration
            && !is_abort
            && (kind.ends_with("Failed") || kind.ends_with("TimedOut") || kind == "MapRunAborted");
        let succeeds = !is_iteration && kind.ends_with("Succeeded");
        if fails || is_abort {
            self.close_inside(index, event.at);
        }
        let Some(visit) = self.visit(index) else {
            return;
        };
        visit.map_run = event.map_run.clone().or(visit.map_run.take());
        if begins {
            (visit.outcome, visit.left) = (Outcome::Running, None);
            let is_open = visit.attempts.last().is_some_and(|it| it.ended.is_none());
            if !is_open {
                visit.attempts.push(Attempt {
                    began: event.at,
                    ended: None,
                    error: None,
                });
            }
        } else if fails {
            visit.outcome = Outcome::Retrying;
            let error = event.error.clone().unwrap_or_else(|| kind.to_owned());
            match visit.attempts.last_mut() {
                Some(attempt) if attempt.ended.is_none() || attempt.error.is_none() => {
                    attempt.ended = Some(event.at);
                    attempt.error = Some(error);
                }
                Some(_) => {}
                None => visit.attempts.push(Attempt {
                    began: visit.entered,
                    ended: Some(event.at),
                    error: Some(error),
                }),
            }
        } else if succeeds {
            visit.outcome = Outcome::Running;
            if let Some(attempt) = visit.attempts.last_mut() {
                attempt.ended = Some(event.at);
                attempt.error = None;
            }
        } else if is_abort {
            (visit.outcome, visit.left) = (Outcome::Stopped, Some(event.at));
        }
    }

    /// What is open within a state that has ended, has ended with it.
    fn close_inside(&mut self, outer: u32, at: Timestamp) {
        let first = outer as usize + 1;
        // Of the visits after it, which are as many as it took: long histories have thousands.
        let mut within = vec![false; self.trace.visits.len().saturating_sub(first)];
        for index in 0..within.len() {
            let visit = &mut self.trace.visits[first + index];
            let is_within = |it: u32| {
                let it = it as usize;
                it + 1 == first || (it >= first && within[it - first])
            };
            within[index] = visit.parent.is_some_and(is_within);
            if within[index] {
                close(visit, at, Outcome::Stopped);
            }
        }
    }

    fn end(&mut self, event: &HistoryEvent) {
        self.trace.ended = Some(event.at);
        let open = match event.kind.as_str() {
            "ExecutionTimedOut" => Outcome::TimedOut,
            _ => Outcome::Stopped,
        };
        for visit in &mut self.trace.visits {
            close(visit, event.at, open);
        }
    }
}

/// Ends a visit that nothing more will happen in: one that had failed has failed for good.
fn close(visit: &mut Visit, at: Timestamp, open: Outcome) {
    if visit.left.is_some() {
        return;
    }
    visit.left = Some(at);
    visit.outcome = match visit.outcome {
        Outcome::Retrying => Outcome::Failed,
        Outcome::Running => open,
        other => other,
    };
    if let Some(attempt) = visit.attempts.last_mut()
        && attempt.ended.is_none()
    {
        attempt.ended = Some(at);
    }
}
