//! Everything known of the remote side, kept once and keyed by ARN. Screens hold only keys.

mod book;
mod detail;
mod healing;
mod members;

pub use detail::{Definition, MachineView};
pub use members::{Looking, MemberPage, MemberQuery, Members};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[cfg(test)]
pub use book::tests as book_tests;
pub use book::{Book, Entry, News, Place, Placed, Shelf};

use crate::client::ObjectVersion;
use crate::model::{
    Execution, ExecutionArn, ExecutionDetail, Failure, MapRun, MapRunArn, Object, ObjectAddress,
    Page, RunState, StateMachine, StateMachineArn, Status, Timestamp,
};
use crate::operations::Progress;
use crate::operations::failures::{Group, NeverStarted, SourceLine, Survey};
use crate::operations::lineage::Healing;
use crate::operations::logs::Query;
use crate::operations::machines::Recent;
use crate::operations::outputs::{Hit, Listing, Page as Bytes};
use crate::operations::reconcile::Reconciliation;
use crate::operations::runs::Run;
use crate::tui::event::{Cause, Reply, Trouble};
use crate::tui::history::History;
use crate::tui::pace::Pace;
use crate::tui::preview::{Beginning, Preview};

/// What we know of something remote.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Remote<T> {
    #[default]
    Waiting,
    Known {
        value: T,
        at: Timestamp,
    },
    /// The newest ask failed; `last` is still worth showing, marked with its age.
    Failed {
        trouble: Trouble,
        at: Timestamp,
        last: Option<(T, Timestamp)>,
    },
}

impl<T> Remote<T> {
    /// Takes in a reply. A failure keeps the last good value.
    pub fn put(&mut self, reply: Reply<T>, now: Timestamp) {
        *self = match (reply, std::mem::take(self)) {
            (Ok(value), _) => Self::Known { value, at: now },
            (Err(trouble), old) => Self::Failed {
                trouble,
                at: now,
                last: old.into_last(),
            },
        };
    }

    fn into_last(self) -> Option<(T, Timestamp)> {
        match self {
            Self::Waiting => None,
            Self::Known { value, at } => Some((value, at)),
            Self::Failed { last, .. } => last,
        }
    }

    /// The newest good value, however old.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Failed { last, .. } => last.as_ref().map(|(value, _)| value),
            Self::Waiting => None,
        }
    }

    pub fn get_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Failed { last, .. } => last.as_mut().map(|(value, _)| value),
            Self::Waiting => None,
        }
    }

    /// When the value that [`Remote::get`] gives was read.
    pub fn read_at(&self) -> Option<Timestamp> {
        match self {
            Self::Known { at, .. } => Some(*at),
            Self::Failed { last, .. } => last.as_ref().map(|(_, at)| *at),
            Self::Waiting => None,
        }
    }

    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Failed { trouble, .. } => Some(trouble),
            _ => None,
        }
    }
}

/// Failed items of a Map Run, grouped. Made where there is time for it: not while drawing.
#[derive(Debug, Clone)]
pub struct FailureSet {
    pub survey: Arc<Survey>,
    /// Of those that are kept, group and number there, newest first.
    pub newest: Arc<Vec<(u32, u32)>>,
    /// Where a child that is kept stands.
    index: Arc<HashMap<ExecutionArn, (u32, u32)>>,
    /// The counts this was read for.
    pub stamp: Stamp,
}

/// What must be the same for failures still to be current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    pub failures: u64,
    pub status: Status,
}

impl Stamp {
    pub fn of(map_run: &MapRun) -> Self {
        Self {
            failures: map_run.items.failures(),
            status: map_run.status,
        }
    }
}

impl FailureSet {
    pub fn new(survey: Arc<Survey>, stamp: Stamp) -> Self {
        let mut newest: Vec<_> = survey
            .kept()
            .map(|(group, number, it)| (it.stopped, (group as u32, number as u32)))
            .collect();
        newest.sort_by_key(|(stopped, _)| std::cmp::Reverse(*stopped));
        Self {
            index: Arc::new(survey.places()),
            newest: Arc::new(newest.into_iter().map(|(_, place)| place).collect()),
            survey,
            stamp,
        }
    }

    pub fn groups(&self) -> &[Group] {
        &self.survey.groups
    }

    pub fn is_exact(&self) -> bool {
        self.survey.exact
    }

    /// One that is kept, by group and number.
    pub fn failure(&self, (group, number): (u32, u32)) -> Option<&Failure> {
        self.survey.member(group as usize, u64::from(number))
    }

    pub fn of_child(&self, child: &ExecutionArn) -> Option<((u32, u32), &Failure)> {
        let place = *self.index.get(child)?;
        Some((place, self.failure(place)?))
    }
}

/// One line of "failures as they happen".
pub struct Fresh<'a> {
    pub child: &'a ExecutionArn,
    pub stopped: Option<Timestamp>,
    /// `None` while the child has only been listed, not described.
    pub failure: Option<&'a Failure>,
    /// From 1.
    pub group: Option<u32>,
}

/// Failure sets kept: each may hold thousands of inputs.
const FAILURE_SETS: usize = 4;
/// Attempts kept of a Map Run.
const ATTEMPTS: usize = 8;
/// Source lines kept, 64 KiB each at the most.
const SOURCE_LINES: usize = 64;
/// Previews kept, 256 KiB each at the most, and lists of versions.
const PREVIEWS: usize = 32;

/// A text looked for in an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    pub text: String,
    /// The first ones.
    pub hits: Vec<Hit>,
    pub count: u64,
    /// `None` once it is over.
    pub progress: Option<Progress>,
    /// Why it ended before the object did.
    pub trouble: Option<String>,
}

/// How far pages after the newest are loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum End {
    /// Not begun: the newest page says where the next one is.
    #[default]
    AfterNewest,
    /// The token of the next page.
    After(String),
    /// All there is.
    Reached,
}

#[derive(Debug, Clone, Default)]
pub struct Data {
    pub machine: Remote<StateMachineArn>,
    pub newest: Remote<Page<Execution>>,
    /// Pages after the newest, as far as the user went.
    older: Vec<Execution>,
    older_end: End,
    /// When the page after those could not be read.
    older_failed: Option<Timestamp>,
    pub runs: HashMap<ExecutionArn, Remote<Run>>,
    /// When a run was described in full; polls only tell of the parts that are known already.
    pub described: HashMap<ExecutionArn, Timestamp>,
    healings: HashMap<ExecutionArn, Healing>,
    /// When execution and Map Run were read last, where each is polled by itself.
    polled: HashMap<ExecutionArn, (Timestamp, Timestamp)>,
    paces: HashMap<MapRunArn, Pace>,
    attempts: HashMap<MapRunArn, Vec<MapRun>>,
    pub failed_children: HashMap<MapRunArn, Remote<Vec<Execution>>>,
    pub failures: HashMap<MapRunArn, Remote<FailureSet>>,
    /// Of the list that is looked at.
    pub members: Members,
    pub never_started: HashMap<MapRunArn, Remote<Option<NeverStarted>>>,
    /// By child.
    pub source_lines: HashMap<ExecutionArn, Remote<SourceLine>>,
    pub outputs: HashMap<ExecutionArn, Remote<Arc<Listing>>>,
    pub previews: HashMap<ObjectAddress, Remote<Preview>>,
    pub versions: HashMap<ObjectAddress, Remote<Option<Vec<ObjectVersion>>>>,
    pub searches: HashMap<ObjectAddress, Search>,
    pub reconciliations: HashMap<ExecutionArn, Remote<Reconciliation>>,
    pub logs: HashMap<Query, Book>,
    pub histories: HashMap<ExecutionArn, Remote<Arc<History>>>,
    pub definitions: HashMap<ExecutionArn, Remote<Arc<Definition>>>,
    pub machines: Remote<Vec<StateMachine>>,
    pub recents: HashMap<StateMachineArn, Remote<Recent>>,
    pub machine_views: HashMap<StateMachineArn, Remote<Arc<MachineView>>>,
}

impl Data {
    /// Forgets what belongs to another state machine.
    pub fn switch(&mut self) {
        *self = Self {
            machines: std::mem::take(&mut self.machines),
            recents: std::mem::take(&mut self.recents),
            machine_views: std::mem::take(&mut self.machine_views),
            ..Self::default()
        };
    }

    /// All executions loaded, newest first, each once.
    pub fn executions(&self) -> Vec<&Execution> {
        let newest = self.newest.get().map_or(&[][..], |page| &page.items[..]);
        newest.iter().chain(&self.older).collect()
    }

    /// Takes in the newest page. What it pushed out joins the older ones, where those are loaded:
    /// their page token begins after what was pushed out.
    pub fn put_newest(&mut self, reply: Reply<Page<Execution>>, now: Timestamp) {
        if let Ok(page) = &reply
            && self.older_end != End::AfterNewest
        {
            let shown: HashSet<&ExecutionArn> = page.items.iter().map(|it| &it.arn).collect();
            let before = self.newest.get().map_or(&[][..], |page| &page.items[..]);
            let last = page.items.last().map(|it| it.started);
            let pushed_out = before
                .iter()
                .filter(|it| last.is_some_and(|last| it.started <= last))
                .chain(&self.older)
                .filter(|it| !shown.contains(&it.arn))
                .cloned()
                .collect();
            self.older = pushed_out;
        }
        self.newest.put(reply, now);
    }

    pub fn add_older(&mut self, page: Page<Execution>) {
        let loaded: HashSet<ExecutionArn> =
            self.executions().iter().map(|it| it.arn.clone()).collect();
        let new = page
            .items
            .into_iter()
            .filter(|it| !loaded.contains(&it.arn));
        self.older.extend(new);
        self.older_end = page.next.map_or(End::Reached, End::After);
        self.older_failed = None;
    }

    /// The page after those loaded could not be read. Where its token is no longer taken, reading
    /// begins again after the newest page; what is loaded stays, and comes once.
    pub fn fail_older(&mut self, trouble: &Trouble, now: Timestamp) {
        if trouble.cause == Cause::Outdated {
            self.older_end = End::AfterNewest;
        }
        self.older_failed = Some(now);
    }

    pub fn older_failed(&self) -> Option<Timestamp> {
        self.older_failed
    }

    /// The token of the next page, `None` at the end.
    pub fn next_page(&self) -> Option<&str> {
        match &self.older_end {
            End::AfterNewest => self.newest.get()?.next.as_deref(),
            End::After(token) => Some(token),
            End::Reached => None,
        }
    }

    pub fn run(&self, arn: &ExecutionArn) -> Option<&Run> {
        self.runs.get(arn)?.get()
    }

    /// When a run was read: of one that goes on, the part that was not for longest.
    pub fn run_read_at(&self, arn: &ExecutionArn) -> Option<Timestamp> {
        let entry = self.runs.get(arn)?;
        let run = entry.get()?;
        let is_closed = run.execution().status.is_closed();
        let counts_close = run.map_run().is_none_or(|it| it.status.is_closed());
        match self.polled.get(arn) {
            Some((execution, counts)) if !is_closed && !counts_close => {
                Some(*execution.min(counts))
            }
            Some((execution, _)) if !is_closed => Some(*execution),
            _ => entry.read_at(),
        }
    }

    /// The Map Run that matters most of this execution.
    pub fn map_run(&self, arn: &ExecutionArn) -> Option<&MapRun> {
        self.run(arn)?.map_run()
    }

    /// The execution itself: the newer of the list's row and its description.
    pub fn execution(&self, arn: &ExecutionArn) -> Option<&Execution> {
        self.run(arn).map(Run::execution).or_else(|| {
            let listed = self.newest.get()?.items.iter().find(|it| it.arn == *arn);
            listed.or_else(|| self.older.iter().find(|it| it.arn == *arn))
        })
    }

    pub fn state(&self, execution: &Execution, now: Timestamp) -> RunState {
        let run = self.run(&execution.arn);
        let map_run = run.and_then(Run::map_run);
        RunState::of(execution, map_run, now)
    }

    /// Its word: whether an execution succeeded in whole or in part is not known before its counts
    /// are.
    pub fn state_word(&self, execution: &Execution, now: Timestamp) -> &'static str {
        match self.state(execution, now) {
            RunState::Succeeded if self.run(&execution.arn).is_none() => "OK?",
            state => state.word(),
        }
    }

    pub fn put_run(&mut self, arn: ExecutionArn, reply: Reply<Box<Run>>, now: Timestamp) {
        if let Ok(run) = &reply {
            for map_run in &run.map_runs {
                self.record(map_run, now);
            }
        }
        self.described.insert(arn.clone(), now);
        if reply.is_ok() {
            self.polled.insert(arn.clone(), (now, now));
        }
        let reply = reply.map(|run| *run);
        self.runs.entry(arn.clone()).or_default().put(reply, now);
        self.heal(&arn);
    }

    /// Takes in a poll's description. Nothing is kept of an execution whose Map Runs are unknown:
    /// its whole description is on its way and says the same.
    pub fn put_detail(
        &mut self,
        arn: &ExecutionArn,
        reply: Reply<Box<ExecutionDetail>>,
        now: Timestamp,
    ) {
        let Some(entry) = self.runs.get_mut(arn) else {
            return;
        };
        let Some(mut run) = entry.get().cloned() else {
            return;
        };
        if let (Ok(_), Some((execution, _))) = (&reply, self.polled.get_mut(arn)) {
            *execution = now;
        }
        let reply = reply.map(|detail| {
            run.detail = *detail;
            run
        });
        entry.put(reply, now);
        self.heal(arn);
    }

    pub fn put_map_run(&mut self, arn: &MapRunArn, reply: Reply<Box<MapRun>>, now: Timestamp) {
        let map_run = match reply {
            Ok(map_run) => *map_run,
            Err(trouble) => return self.fail_map_run(arn, trouble, now),
        };
        self.record(&map_run, now);
        let Some(entry) = self.runs.get_mut(&map_run.execution) else {
            return;
        };
        let Some(mut run) = entry.get().cloned() else {
            return;
        };
        match run.map_runs.iter_mut().find(|it| it.arn == *arn) {
            Some(old) => *old = map_run,
            None => run.map_runs.insert(0, map_run),
        }
        let execution = run.execution().arn.clone();
        if let Some((_, counts)) = self.polled.get_mut(&run.execution().arn) {
            *counts = now;
        }
        entry.put(Ok(run), now);
        self.heal(&execution);
    }

    fn fail_map_run(&mut self, arn: &MapRunArn, trouble: Trouble, now: Timestamp) {
        let owner = self.runs.values_mut().find(|run| {
            run.get()
                .is_some_and(|run| run.map_runs.iter().any(|it| it.arn == *arn))
        });
        if let Some(entry) = owner {
            entry.put(Err(trouble), now);
        }
    }

    fn record(&mut self, map_run: &MapRun, now: Timestamp) {
        let pace = self.paces.entry(map_run.arn.clone()).or_default();
        pace.record(now, map_run.redrive_count, map_run.items.done());
        let attempts = self.attempts.entry(map_run.arn.clone()).or_default();
        match attempts.last_mut() {
            Some(last) if last.redrive_count == map_run.redrive_count => last.clone_from(map_run),
            _ => attempts.push(map_run.clone()),
        }
        if attempts.len() > ATTEMPTS {
            attempts.remove(0);
        }
    }

    /// A Map Run as each of its attempts left it, as far as they were watched, oldest first: a
    /// redrive sets the counts of failures back, and the service keeps nothing of them.
    pub fn attempts(&self, map_run: &MapRunArn) -> &[MapRun] {
        self.attempts.get(map_run).map_or(&[], Vec::as_slice)
    }

    /// How fast a Map Run went, as far as it was watched.
    pub fn pace(&self, map_run: &MapRunArn) -> &Pace {
        static UNKNOWN: Pace = Pace::new();
        self.paces.get(map_run).unwrap_or(&UNKNOWN)
    }

    pub fn put_failures(&mut self, arn: MapRunArn, reply: Reply<FailureSet>, now: Timestamp) {
        if self.failures.len() >= FAILURE_SETS && !self.failures.contains_key(&arn) {
            self.failures.clear();
        }
        self.failures.entry(arn).or_default().put(reply, now);
    }

    /// Takes in what has been read so far. What is whole already is worth more.
    pub fn put_failures_so_far(&mut self, arn: MapRunArn, set: FailureSet, now: Timestamp) {
        if !self.failure_set(&arn).is_some_and(FailureSet::is_exact) {
            self.put_failures(arn, Ok(set), now);
        }
    }

    pub fn put_source_line(
        &mut self,
        child: ExecutionArn,
        reply: Reply<SourceLine>,
        now: Timestamp,
    ) {
        if self.source_lines.len() >= SOURCE_LINES && !self.source_lines.contains_key(&child) {
            self.source_lines.clear();
        }
        self.source_lines.entry(child).or_default().put(reply, now);
    }

    /// Takes in a page: it joins those of the same version of the object.
    pub fn put_preview(&mut self, object: Object, reply: Reply<Bytes>, now: Timestamp) {
        if self.previews.len() >= PREVIEWS && !self.previews.contains_key(&object.address) {
            self.previews.clear();
        }
        let address = object.address.clone();
        let hits = self.searches.get(&address).map_or(&[][..], |it| &it.hits);
        let entry = self.previews.entry(address).or_default();
        let known = std::mem::take(entry);
        let is_same = |known: &Preview| known.object.etag == object.etag;
        *entry = match (reply, known) {
            (
                Ok(page),
                Remote::Known { mut value, .. }
                | Remote::Failed {
                    last: Some((mut value, _)),
                    ..
                },
            ) if is_same(&value) => {
                value.put(page, hits);
                Remote::Known { value, at: now }
            }
            (reply, mut known) => {
                known.put(reply.map(|page| Preview::new(object, page)), now);
                known
            }
        };
    }

    /// Takes in the document of an object. One at a time is kept: they may be large.
    pub fn put_document(&mut self, object: &Object, read: Beginning) {
        for (address, preview) in &mut self.previews {
            if let (true, Some(preview)) = (*address != object.address, preview.get_mut()) {
                preview.drop_document();
            }
        }
        let known = self.previews.get_mut(&object.address);
        let known = known.and_then(Remote::get_mut);
        if let Some(preview) = known.filter(|it| it.object.etag == object.etag) {
            preview.put_document(read);
        }
    }

    pub fn put_versions(
        &mut self,
        address: ObjectAddress,
        reply: Reply<Option<Vec<ObjectVersion>>>,
        now: Timestamp,
    ) {
        if self.versions.len() >= PREVIEWS && !self.versions.contains_key(&address) {
            self.versions.clear();
        }
        self.versions.entry(address).or_default().put(reply, now);
    }

    /// Takes in what is told of log lines. Of another query nothing is kept: a book is large.
    pub fn put_logs(&mut self, query: Query, news: Reply<News>, now: Timestamp) {
        self.logs.retain(|known, _| *known == query);
        let book = self.logs.entry(query).or_default();
        match news {
            Ok(news) => book.put(news, now),
            Err(trouble) => book.trouble = Some(trouble),
        }
    }

    pub fn failure_set(&self, map_run: &MapRunArn) -> Option<&FailureSet> {
        self.failures.get(map_run)?.get()
    }

    /// Failures newest first: those read in full, or while there are none, children only listed.
    /// When failures come faster than they can be read, those read are worth more than a screen
    /// of names.
    pub fn fresh(&self, map_run: &MapRunArn, most: usize) -> Vec<Fresh<'_>> {
        let set = self.failure_set(map_run);
        let listed = self.failed_children.get(map_run).and_then(Remote::get);
        let known = |child: &ExecutionArn| set.is_some_and(|set| set.of_child(child).is_some());
        let unread = listed
            .into_iter()
            .flatten()
            .filter(|child| !known(&child.arn))
            .map(|child| Fresh {
                child: &child.arn,
                stopped: child.stopped,
                failure: None,
                group: None,
            });
        let read = set.into_iter().flat_map(|set| {
            let places = set.newest.iter();
            places.filter_map(|place| {
                let failure = set.failure(*place)?;
                Some(Fresh {
                    child: &failure.child,
                    stopped: failure.stopped,
                    failure: Some(failure),
                    group: Some(place.0 + 1),
                })
            })
        });
        let read: Vec<Fresh<'_>> = read.take(most).collect();
        if read.is_empty() {
            return unread.take(most).collect();
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble() -> Trouble {
        Trouble {
            text: "no connection".to_owned(),
            hint: None,
            slowed: false,
            cause: Cause::Other,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_attempt_keeps_its_counts() {
        let mut data = Data::default();
        let execution = crate::tui::harness::execution("a", Status::Failed, 60, Some(30));
        let items = crate::model::Counts {
            failed: 10,
            ..Default::default()
        };
        let run = crate::tui::harness::run(&execution, items);
        let mut map_run = run.map_runs[0].clone();
        data.record(&map_run, at(1));
        map_run.redrive_count = 1;
        map_run.items.failed = 0;
        data.record(&map_run, at(2));
        map_run.items.failed = 3;
        data.record(&map_run, at(3));
        let failed = data.attempts(&map_run.arn).iter().map(|it| it.items.failed);
        assert_eq!(failed.collect::<Vec<_>>(), [10, 3]);
    }

    #[test]
    fn a_failed_poll_keeps_the_last_value_and_its_age() {
        let mut remote = Remote::default();
        remote.put(Ok(7), at(10));
        remote.put(Err(trouble()), at(20));
        remote.put(Err(trouble()), at(30));
        assert_eq!(remote.get(), Some(&7));
        assert_eq!(remote.read_at(), Some(at(10)));
        assert!(matches!(remote, Remote::Failed { at, .. } if at == self::at(30)));
        remote.put(Ok(8), at(40));
        assert_eq!((remote.get(), remote.trouble()), (Some(&8), None));
    }
}
