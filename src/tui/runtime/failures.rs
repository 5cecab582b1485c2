//! Reading failures: what is kept between two readings, and the way from a list to its rows.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::client::Client;
use crate::model::{ExecutionArn, Failure, MapRun, MapRunArn, Timestamp};
use crate::operations;
use crate::operations::failures::{self, Choice, Looked, MemberOrder, Row, Survey, Wanted};
use crate::operations::ledger::Ledger;
use crate::tui::data::{FailureSet, Looking, MemberPage, MemberQuery, Stamp};
use crate::tui::event::{Cause, Deed, Event, Reply, Trouble};
use crate::tui::export::Format;
use crate::tui::filter::{AGE, Filter};
use crate::tui::runtime::{of_operation, tell};
use crate::tui::screen::MEMBER_SORTS;
use crate::tui::widget::figures;
use crate::tui::widget::list::Order;

/// Map Runs whose failures are kept between two readings.
const KEPT: usize = 4;
/// Failures read of a Map Run that is going.
const SAMPLE: usize = 1_000;
/// Between two reports of what has been found.
const REPORT: Duration = Duration::from_millis(300);
/// Rows of a list that are read at once.
const ROWS: u64 = 64;

/// What was read, by Map Run. Clones share it.
#[derive(Clone, Default)]
pub struct Readings {
    state: Arc<Mutex<State>>,
    /// The folder of the ledger.
    folder: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    surveys: HashMap<MapRunArn, (Stamp, Arc<Survey>)>,
    /// The list that was filtered or sorted last.
    chosen: Option<(MemberQuery, Arc<Vec<u32>>)>,
}

impl Readings {
    pub fn new(folder: Option<&Path>) -> Self {
        Self {
            folder: folder.map(Path::to_owned),
            ..Self::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, map_run: &MapRunArn) -> Option<(Stamp, Arc<Survey>)> {
        self.state().surveys.get(map_run).cloned()
    }

    fn keep(&self, map_run: &MapRunArn, stamp: Stamp, survey: Arc<Survey>) {
        let mut state = self.state();
        if state.surveys.len() >= KEPT && !state.surveys.contains_key(map_run) {
            state.surveys.clear();
        }
        state.surveys.insert(map_run.clone(), (stamp, survey));
    }

    /// Reads and groups failures; tells what it has so far while it goes on.
    pub async fn read(
        &self,
        client: &Client,
        map_run: &MapRun,
        events: &mpsc::Sender<Event>,
    ) -> Reply<FailureSet> {
        let stamp = Stamp::of(map_run);
        let mut survey = if map_run.status.is_closed() {
            let report = |survey: Survey| {
                let set = FailureSet::new(Arc::new(survey), stamp);
                // What does not fit is left out: the next report says more.
                let _ = events.try_send(Event::FailuresSoFar(map_run.arn.clone(), set));
            };
            failures::survey(client, map_run, report).await
        } else {
            let known = self.known(&map_run.arn).map(|(_, survey)| {
                let kept = survey.kept().map(|(_, _, failure)| failure.clone());
                kept.collect::<Vec<Failure>>()
            });
            failures::sample(client, map_run, SAMPLE, known.unwrap_or_default()).await
        }
        .map_err(of_operation)?;
        let ledger = self.folder.as_deref().map(Ledger::in_folder);
        let now = Timestamp::now();
        let completed = failures::complete(client, map_run, &mut survey, ledger.as_ref(), now);
        if let Err(error) = completed.await {
            // The groups are worth more than what is told beside them.
            let said = format!("of the groups is not known all: {error}");
            tell(events, Event::Said(said)).await;
        }
        let survey = Arc::new(survey);
        self.keep(&map_run.arn, stamp, Arc::clone(&survey));
        Ok(FailureSet::new(survey, stamp))
    }

    /// Rows of a list of members, from `first` on.
    pub async fn members(
        &self,
        client: &Client,
        query: &MemberQuery,
        first: u64,
    ) -> Reply<MemberPage> {
        let survey = self.of(query)?;
        self.page(client, query, &survey, first)
            .await
            .map_err(of_operation)
    }

    /// The reading that a list is of.
    fn of(&self, query: &MemberQuery) -> Reply<Arc<Survey>> {
        let known = self.known(&query.map_run);
        match known.filter(|(stamp, _)| *stamp == query.stamp) {
            Some((_, survey)) => Ok(survey),
            None => Err(Trouble {
                text: "the failures were read anew meanwhile".to_owned(),
                hint: None,
                slowed: false,
                cause: Cause::Other,
            }),
        }
    }

    /// Looks through a group for the members that a list shows; tells what it has found so far while
    /// it goes on, and in the end the list's first rows.
    pub async fn look(&self, client: &Client, query: MemberQuery, events: mpsc::Sender<Event>) {
        let page = match self.of(&query) {
            Ok(survey) => self.look_through(client, &query, &survey, &events).await,
            Err(trouble) => Err(trouble),
        };
        tell(&events, Event::Members(query, 0, page)).await;
    }

    async fn look_through(
        &self,
        client: &Client,
        query: &MemberQuery,
        survey: &Survey,
        events: &mpsc::Sender<Event>,
    ) -> Reply<MemberPage> {
        let (mut rows, mut total) = (Vec::new(), 0);
        let mut told: Option<Instant> = None;
        let report = |looked: Looked<'_>| {
            // In any other order the first ones are not known before the last is.
            if query.order == Order::default() {
                let room = (ROWS as usize).saturating_sub(rows.len());
                rows.extend(looked.found.iter().take(room).map(|it| (*it).clone()));
            }
            let is_first_hit = total == 0 && !looked.found.is_empty();
            total += looked.found.len() as u64;
            if is_first_hit || told.is_none_or(|at| REPORT <= at.elapsed()) {
                told = Some(Instant::now());
                let looking = Looking {
                    read: looked.read,
                    of: looked.of,
                };
                let rows = rows.clone();
                let page = MemberPage { total, rows };
                // What does not fit is left out: the next report says more.
                let _ = events.try_send(Event::MembersSoFar(query.clone(), looking, page));
            }
        };
        let chosen = self.choose(client, query, survey, report).await;
        chosen.map_err(of_operation)?;
        self.page(client, query, survey, 0)
            .await
            .map_err(of_operation)
    }

    /// The children in some rows of a list.
    pub async fn children(
        &self,
        client: &Client,
        query: &MemberQuery,
        rows: Range<u64>,
    ) -> Reply<Vec<ExecutionArn>> {
        let survey = self.of(query)?;
        self.children_of(client, query, &survey, rows)
            .await
            .map_err(of_operation)
    }

    async fn children_of(
        &self,
        client: &Client,
        query: &MemberQuery,
        survey: &Survey,
        rows: Range<u64>,
    ) -> Result<Vec<ExecutionArn>, operations::Error> {
        let numbers: Vec<u32> = if query.is_plain() {
            rows.map(|row| row as u32).collect()
        } else {
            let chosen = self.choose(client, query, survey, |_| {}).await?;
            let rows = rows.start as usize..chosen.len().min(rows.end as usize);
            chosen.get(rows).unwrap_or_default().to_vec()
        };
        let mut children = Vec::with_capacity(numbers.len());
        while let Some(rest) = numbers.get(children.len()..).filter(|it| !it.is_empty()) {
            let read = survey.failures(client, query.group as usize, rest).await?;
            if read.is_empty() {
                break;
            }
            children.extend(read.into_iter().map(|it| it.child));
        }
        Ok(children)
    }

    async fn page(
        &self,
        client: &Client,
        query: &MemberQuery,
        survey: &Survey,
        first: u64,
    ) -> Result<MemberPage, operations::Error> {
        let group = query.group as usize;
        if query.is_plain() {
            let total = survey.groups.get(group).map_or(0, |it| it.count);
            let rows = survey.page(client, group, first..first + ROWS).await?;
            return Ok(MemberPage { total, rows });
        }
        let numbers = self.choose(client, query, survey, |_| {}).await?;
        let from = (first as usize).min(numbers.len());
        let until = (from + ROWS as usize).min(numbers.len());
        let rows = survey.failures(client, group, &numbers[from..until]);
        Ok(MemberPage {
            total: numbers.len() as u64,
            rows: rows.await?,
        })
    }

    async fn choose(
        &self,
        client: &Client,
        query: &MemberQuery,
        survey: &Survey,
        report: impl FnMut(Looked<'_>),
    ) -> Result<Arc<Vec<u32>>, operations::Error> {
        if let Some((known, numbers)) = &self.state().chosen
            && known == query
        {
            return Ok(Arc::clone(numbers));
        }
        let group = query.group as usize;
        let error = survey.groups.get(group).map(|it| it.error.clone());
        let error = error.unwrap_or_default();
        let filter = Filter::new(&query.filter);
        let now = Timestamp::now();
        let entry = |row: &Row| {
            let line = row.line.map(|it| it.to_string()).unwrap_or_default();
            let age = age(row.stopped, now);
            filter.may_match(&[("line", &line), ("error", &error), (AGE, &age)])
        };
        let failure = |failure: &Failure| fits(&filter, failure, now);
        let is_quick = filter.needs_only(&["line", "error", AGE]);
        let choice = Choice {
            entry: &entry,
            failure: (!is_quick).then_some(&failure as _),
            order: match query.order.name(MEMBER_SORTS) {
                "line" => MemberOrder::Line,
                "ended" => MemberOrder::Ended,
                _ => MemberOrder::Found,
            },
            reversed: query.order.reversed,
        };
        let numbers = Arc::new(survey.choose(client, group, &choice, report).await?);
        self.state().chosen = Some((query.clone(), Arc::clone(&numbers)));
        Ok(numbers)
    }
}

fn age(stopped: Option<Timestamp>, now: Timestamp) -> String {
    let age = stopped.map(|at| figures::seconds_between(at, now));
    age.map_or_else(|| "?".to_owned(), |age| age.to_string())
}

/// Whether a failure is one of those that a filter asks for.
pub fn fits(filter: &Filter, failure: &Failure, now: Timestamp) -> bool {
    let line = failure.line.map(|it| it.to_string()).unwrap_or_default();
    filter.matches(&[
        ("line", &line),
        ("error", failures::error_of(failure)),
        ("cause", failure.cause.as_deref().unwrap_or_default()),
        ("input", failure.input.as_deref().unwrap_or_default()),
        ("child", failure.child.name()),
        (AGE, &age(failure.stopped, now)),
    ])
}

/// A file of failures that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportOf {
    pub map_run: Box<MapRun>,
    pub format: Format,
    /// Only those of this group.
    pub group: Option<failures::GroupKey>,
    pub filter: String,
}

/// Writes failures into the deed's file while they are read.
pub async fn export(client: Client, deed: Deed, asked: ExportOf, events: mpsc::Sender<Event>) {
    let Deed::Export(path) = &deed else {
        return;
    };
    let filter = Filter::new(&asked.filter);
    let now = Timestamp::now();
    let is_all = filter.is_empty();
    let wanted = Wanted {
        group: asked.group,
        fits: (!is_all).then(|| Box::new(|it: &Failure| fits(&filter, it, now)) as _),
    };
    let done = failures::export(&client, &asked.map_run, path, asked.format, &wanted).await;
    let said = done.map(|done| {
        let of = if done.exact {
            ""
        } else {
            ", a part of what failed"
        };
        let rows = figures::count(done.rows);
        format!("wrote {} with {rows} failures{of}", path.display())
    });
    tell(&events, Event::Done(deed, said.map_err(of_operation))).await;
}
