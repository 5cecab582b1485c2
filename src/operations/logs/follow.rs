//! Reading a run's lines: the past from its newest end, then what comes.

use std::time::Duration;

use futures::StreamExt as _;
use jiff::SignedDuration;
use tokio::sync::mpsc;

use super::seen::Seen;
use super::{Focus, Group, KEPT, Line, Method, Origin, Phase, Query, Sources, Update, line};
use crate::client::{self, Client, ErrorKind, LiveTail, LogEvent};
use crate::model::Timestamp;
use crate::operations::Error;

/// The first stretch of the past that is read, and how much longer each one is than that before.
const STRETCH: SignedDuration = SignedDuration::from_secs(30);
const LONGER: i32 = 4;
/// Pages of one group in one stretch. A group that writes more has its stretch cut off there.
const PAGES: usize = 30;
/// How long after its end a run's lines may still come.
const LATE: SignedDuration = SignedDuration::from_secs(60);
/// Between two readings where there is no live tail: at first, and when nothing comes.
const PACE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// Between two looks at whether the run has ended and groups have come to be.
const CHECK: Duration = Duration::from_secs(15);
/// How long it is read without a live tail before one is tried again.
const WITHOUT_TAIL: Duration = Duration::from_mins(5);
/// After something that could not be read.
const RETRY: Duration = Duration::from_secs(3);
/// A function's call takes no longer (Lambda quotas).
const CALL: SignedDuration = SignedDuration::from_mins(15);
/// Around the end of a failure whose call is not known.
const AROUND: SignedDuration = SignedDuration::from_secs(30);
/// Times that lines of a fresh failure are looked for again: they may be on their way.
const LOOKS: usize = 6;

/// Who asked has gone.
struct Gone;

/// Whether a run can still write.
#[derive(PartialEq)]
enum Run {
    Going,
    /// As before, but with a group that was not there.
    Grown,
    Over,
}

/// Tells the lines that `query` wants, and what is being done for them, until there are no more or
/// nobody listens. Something that cannot be read is told and tried again.
pub async fn follow(client: Client, query: Query, updates: mpsc::Sender<Result<Update, Error>>) {
    let sources = loop {
        match super::sources(&client, &query.run).await {
            Ok(sources) => break sources,
            Err(error) => {
                if updates.send(Err(error)).await.is_err() {
                    return;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    let mut follower = Follower {
        client,
        query,
        sources,
        seen: Seen::default(),
        updates,
        sampled: false,
    };
    // Who asked may go at any time; then there is nothing left to do.
    let _ = follower.run().await;
}

/// Whether asking again would give the same answer.
fn is_final(error: &client::Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::NotFound(_)
            | ErrorKind::Invalid(_)
            | ErrorKind::Outdated(_)
            | ErrorKind::Permission(_)
    )
}

struct Follower {
    client: Client,
    query: Query,
    sources: Sources,
    seen: Seen,
    updates: mpsc::Sender<Result<Update, Error>>,
    sampled: bool,
}

impl Follower {
    async fn run(&mut self) -> Result<(), Gone> {
        self.tell(Update::Sources(self.sources.clone())).await?;
        if let Some(focus) = self.query.focus.clone() {
            return self.focused(&focus).await;
        }
        let follows = self.query.follow && self.sources.to.is_none();
        if !follows {
            let back_to = self.past().await?;
            return self.tell(Update::Phase(Phase::Done { back_to })).await;
        }
        // Opened before the past is read, so that nothing falls between them.
        let mut tail = self.tail().await;
        let back_to = self.past().await?;
        loop {
            let next = match tail {
                Ok(tail) => {
                    self.tell(Update::Phase(Phase::Live { back_to })).await?;
                    self.listen(tail).await?
                }
                Err(why) => {
                    self.tell(Update::Phase(Phase::Polling { back_to, why }))
                        .await?;
                    self.poll().await?
                }
            };
            if next == Run::Over {
                return self.tell(Update::Phase(Phase::Done { back_to })).await;
            }
            tail = self.tail().await;
            self.window().await?;
        }
    }

    async fn tell(&self, update: Update) -> Result<(), Gone> {
        self.updates.send(Ok(update)).await.map_err(|_| Gone)
    }

    async fn complain(&self, error: impl Into<Error>) -> Result<(), Gone> {
        self.updates.send(Err(error.into())).await.map_err(|_| Gone)
    }

    /// Leaves a group out that cannot be read, and says so for as long as the others are shown.
    async fn give_up(&mut self, group: &Group, error: client::Error) -> Result<(), Gone> {
        self.sources.groups.retain(|it| it.name != group.name);
        let missing = format!("{}: {}", group.name, error.kind);
        self.sources.missing.push(missing);
        self.tell(Update::Sources(self.sources.clone())).await?;
        self.complain(error).await
    }

    /// Passes on what is new of an answer; how many lines there were.
    async fn pass_on(&mut self, events: Vec<LogEvent>) -> Result<usize, Gone> {
        let lines = events
            .into_iter()
            .filter_map(|event| line(event, &self.sources))
            .collect();
        let new = self.seen.new_ones(lines);
        let count = new.len();
        self.tell(Update::Lines(new)).await?;
        Ok(count)
    }

    fn existing(&self) -> Vec<Group> {
        let groups = self.sources.groups.iter();
        groups.filter(|group| group.exists).cloned().collect()
    }

    /// A live tail over all groups, or why there is none.
    async fn tail(&self) -> Result<LiveTail, String> {
        let groups: Vec<String> = self.existing().into_iter().map(|it| it.arn).collect();
        if groups.is_empty() {
            return Err("no log group exists yet".to_owned());
        }
        let client = self.client.polling();
        let tail = client.live_tail(&groups, &self.query.pattern).await;
        tail.map_err(|error| format!("no live tail: {}", error.kind))
    }

    /// Reads back from the end until enough is read or the run's beginning is reached.
    async fn past(&mut self) -> Result<Timestamp, Gone> {
        let begin = self.sources.from;
        let mut end = self.sources.to.map_or_else(Timestamp::now, |to| to + LATE);
        let mut stretch = STRETCH;
        let mut count = 0;
        loop {
            let from = (end - stretch).max(begin);
            for group in self.existing() {
                count += self.stretch(&group, from, end).await?;
            }
            self.tell(Update::Phase(Phase::Reading { back_to: from }))
                .await?;
            if from == begin || count >= KEPT {
                return Ok(from);
            }
            end = from - SignedDuration::from_millis(1);
            stretch *= LONGER;
        }
    }

    /// Reads a group from one moment to another, however often it takes.
    async fn stretch(
        &mut self,
        group: &Group,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<usize, Gone> {
        let (mut token, mut count) = (None, 0);
        for _ in 0..PAGES {
            let page = loop {
                let client = self.client.clone();
                let pattern = &self.query.pattern;
                let asked =
                    client.filter_log_events(&group.name, pattern, from, Some(to), token.clone());
                match asked.await {
                    Ok(page) => break page,
                    Err(error) if is_final(&error) => {
                        self.give_up(group, error).await?;
                        return Ok(count);
                    }
                    Err(error) => {
                        self.complain(error).await?;
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            count += self.pass_on(page.items).await?;
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        Ok(count)
    }

    /// Reads what has come to all groups; how many lines were new.
    async fn window(&mut self) -> Result<usize, Gone> {
        let client = self.client.polling();
        let from = self.seen.from(self.sources.from);
        let mut count = 0;
        for group in self.existing() {
            let mut token = None;
            for _ in 0..PAGES {
                let pattern = &self.query.pattern;
                let asked = client.filter_log_events(&group.name, pattern, from, None, token);
                let page = match asked.await {
                    Ok(page) => page,
                    Err(error) if is_final(&error) => {
                        self.give_up(&group, error).await?;
                        break;
                    }
                    Err(error) => {
                        self.complain(error).await?;
                        break;
                    }
                };
                count += self.pass_on(page.items).await?;
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(count)
    }

    /// Passes on what a tail tells until it ends, a group comes to be, or the run is over.
    async fn listen(&mut self, mut tail: LiveTail) -> Result<Run, Gone> {
        let mut checks = tokio::time::interval(CHECK);
        checks.reset();
        loop {
            tokio::select! {
                update = tail.next() => match update {
                    Some(Ok(update)) => {
                        if update.sampled != self.sampled {
                            self.sampled = update.sampled;
                            self.tell(Update::Sampled(update.sampled)).await?;
                        }
                        self.pass_on(update.events).await?;
                    }
                    // After three hours, or broken off: it is opened again.
                    Some(Err(error)) => {
                        tracing::info!(%error, "a live tail ended");
                        tokio::time::sleep(RETRY).await;
                        return Ok(Run::Going);
                    }
                    None => {
                        tokio::time::sleep(RETRY).await;
                        return Ok(Run::Going);
                    }
                },
                _ = checks.tick() => match self.check().await? {
                    Run::Going => {}
                    other => return Ok(other),
                },
            }
        }
    }

    /// Asks again and again, for a while or until the run is over.
    async fn poll(&mut self) -> Result<Run, Gone> {
        let begun = tokio::time::Instant::now();
        let mut checked = begun;
        let mut pace = PACE.0;
        while begun.elapsed() < WITHOUT_TAIL {
            tokio::time::sleep(pace).await;
            pace = match self.window().await? {
                0 => pace.mul_f64(1.5).min(PACE.1),
                _ => PACE.0,
            };
            if checked.elapsed() >= CHECK || self.existing().is_empty() {
                checked = tokio::time::Instant::now();
                match self.check().await? {
                    Run::Going => {}
                    other => return Ok(other),
                }
            }
        }
        Ok(Run::Going)
    }

    /// Whether the run can still write, and to what.
    async fn check(&mut self) -> Result<Run, Gone> {
        let client = self.client.polling();
        match client.execution(&self.query.run).await {
            Ok(detail) => {
                let stopped = detail.execution.stopped;
                let is_closed = detail.execution.status.is_closed();
                if is_closed && stopped.is_none_or(|at| Timestamp::now() > at + LATE) {
                    self.window().await?;
                    return Ok(Run::Over);
                }
            }
            Err(error) => self.complain(error).await?,
        }
        let mut grown = false;
        for group in self.sources.groups.iter_mut().filter(|it| !it.exists) {
            group.exists = client.has_log_group(&group.name).await.unwrap_or(false);
            grown |= group.exists;
        }
        if grown {
            self.tell(Update::Sources(self.sources.clone())).await?;
            return Ok(Run::Grown);
        }
        Ok(Run::Going)
    }

    /// The lines of one failure.
    async fn focused(&mut self, focus: &Focus) -> Result<(), Gone> {
        for look in 0..LOOKS {
            match self.look(focus).await {
                Ok((method, lines)) => {
                    let is_found = !matches!(method, Method::Window(_));
                    let is_old = focus.stopped.is_none_or(|at| Timestamp::now() > at + LATE);
                    if is_found || is_old || look + 1 == LOOKS {
                        let new = self.seen.new_ones(lines);
                        self.tell(Update::Lines(new)).await?;
                        return self.tell(Update::Phase(Phase::Found(method))).await;
                    }
                }
                Err(error) => self.complain(error).await?,
            }
            tokio::time::sleep(RETRY).await;
        }
        let gone = Method::Window("its lines could not be read");
        self.tell(Update::Phase(Phase::Found(gone))).await
    }

    async fn look(&self, focus: &Focus) -> Result<(Method, Vec<Line>), Error> {
        let stopped = focus.stopped.or(self.sources.to);
        let end = stopped.map_or_else(Timestamp::now, |at| at + LATE);
        let begin = stopped.map_or(self.sources.from, |at| at - CALL);
        let begin = begin.max(self.sources.from);
        let mut lines = Vec::new();
        let mut method = None;
        for group in self.existing() {
            let wanted = match (&group.origin, &focus.request) {
                (Origin::Machine, _) => focus.child.as_str(),
                (Origin::Function { .. }, Some(request)) => request,
                (Origin::Function { .. }, None) => continue,
            };
            let pattern = format!("\"{wanted}\"");
            let found = self.all(&group, &pattern, begin, end).await?;
            if found.is_empty() {
                continue;
            }
            match &group.origin {
                Origin::Machine => {
                    method.get_or_insert(Method::Execution);
                    lines.extend(found);
                }
                Origin::Function { .. } => {
                    method = Some(Method::Request(wanted.to_owned()));
                    lines.extend(self.call(&group, wanted, &found).await?);
                }
            }
        }
        if let Some(method) = method {
            return Ok((method, lines));
        }
        let (from, to) = stopped.map_or((begin, end), |at| (at - AROUND, at + AROUND / 6));
        for group in self.existing() {
            lines.extend(self.all(&group, &self.query.pattern, from, to).await?);
        }
        let why = match (&focus.request, lines.is_empty()) {
            (Some(_), _) => "no line has its request id",
            (None, false) => "its cause has no request id",
            (None, true) => "its cause has no request id, and nothing was logged then",
        };
        Ok((Method::Window(why), lines))
    }

    /// All lines of a call, also those that do not name it: an instance of a function serves one
    /// call at a time, so they are those of its stream from START to REPORT.
    async fn call(&self, group: &Group, request: &str, named: &[Line]) -> Result<Vec<Line>, Error> {
        let (Some(first), Some(last)) = (named.first(), named.last()) else {
            return Ok(Vec::new());
        };
        let to = last.at + SignedDuration::from_millis(1);
        let (mut events, mut token) = (Vec::new(), None);
        for _ in 0..PAGES {
            let asked = self
                .client
                .log_events(&group.name, &first.stream, first.at, to, token);
            let page = asked.await?;
            events.extend(page.items);
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        let all: Vec<Line> = events
            .into_iter()
            .filter_map(|event| line(event, &self.sources))
            .collect();
        let is_named = |it: &Line| it.message.contains(request);
        let begins = all.iter().position(is_named);
        let ends = all.iter().rposition(is_named);
        Ok(match (begins, ends) {
            (Some(begins), Some(ends)) => all[begins..=ends].to_vec(),
            _ => named.to_vec(),
        })
    }

    /// All lines of a stretch, at most [`KEPT`].
    async fn all(
        &self,
        group: &Group,
        pattern: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Line>, Error> {
        let (mut lines, mut token) = (Vec::new(), None);
        for _ in 0..PAGES {
            let asked = self
                .client
                .filter_log_events(&group.name, pattern, from, Some(to), token);
            let page = asked.await?;
            let events = page.items.into_iter();
            lines.extend(events.filter_map(|event| line(event, &self.sources)));
            token = page.next;
            if token.is_none() || lines.len() >= KEPT {
                break;
            }
        }
        Ok(lines)
    }
}
