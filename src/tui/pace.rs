//! How fast a Map Run goes, when it may end, and what holds it: computed from counts alone.

use std::collections::VecDeque;

use jiff::SignedDuration;

use crate::model::{MapRun, Status, Timestamp};
use crate::tui::widget::figures;

/// How far back samples are kept.
const KEPT: SignedDuration = SignedDuration::from_mins(15);
/// At one sample a second this is all of them.
const MOST: usize = 1_000;

/// Done items over time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pace {
    /// Items done in all attempts together: a redrive takes failed items back, and what is counted
    /// here never falls.
    samples: VecDeque<(Timestamp, i64)>,
    /// Items per second, the highest seen over ten seconds of this attempt.
    best: f64,
    /// The attempt that was seen last, and what has to be added to its count.
    attempt: u32,
    carried: i64,
    /// From when on rates are of this attempt.
    since: Option<Timestamp>,
    /// When redrives were seen first, the newest last.
    begun: VecDeque<Timestamp>,
}

/// When a Map Run may end, in seconds from the last sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eta {
    pub likely: f64,
    pub soonest: f64,
    pub latest: f64,
    /// At the best rate that was ever reached, or the service's own: it cannot be sooner.
    pub floor: f64,
}

/// The window of "now".
const NOW: SignedDuration = SignedDuration::from_secs(10);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// The window of "mean".
pub const MEAN: SignedDuration = SignedDuration::from_mins(5);

impl Pace {
    /// Nothing is known.
    pub const fn new() -> Self {
        Self {
            samples: VecDeque::new(),
            best: 0.0,
            attempt: 0,
            carried: 0,
            since: None,
            begun: VecDeque::new(),
        }
    }

    /// Takes in what the service counts now. `attempt` is how often it was redriven.
    pub fn record(&mut self, at: Timestamp, attempt: u32, done: u64) {
        let done = i64::try_from(done).unwrap_or(i64::MAX / 2);
        if let Some((_, last)) = self.samples.back() {
            let is_new = attempt != self.attempt;
            if is_new || done.saturating_add(self.carried) < *last {
                self.carried = last.saturating_sub(done);
                self.best = 0.0;
                self.since = Some(at);
                self.begun.extend(is_new.then_some(at));
            }
        }
        self.attempt = attempt;
        let done = done.saturating_add(self.carried);
        if self.samples.back().is_some_and(|(last, _)| at <= *last) {
            self.samples.pop_back();
        }
        self.samples.push_back((at, done));
        while self.samples.len() > MOST || self.oldest_age(at) > KEPT {
            self.samples.pop_front();
        }
        let kept = self.samples.front().map(|(at, _)| *at);
        while self.begun.len() > 1 && self.begun.front().copied() < kept {
            self.begun.pop_front();
        }
        if let Some(rate) = self.now() {
            self.best = self.best.max(rate);
        }
    }

    fn oldest_age(&self, now: Timestamp) -> SignedDuration {
        let oldest = self.samples.front();
        oldest.map_or(SignedDuration::ZERO, |(at, _)| now.duration_since(*at))
    }

    /// Items per second over the last ten seconds.
    pub fn now(&self) -> Option<f64> {
        self.rate(NOW)
    }

    /// Seconds back from the last sample at which redrives were seen.
    pub fn attempts(&self) -> impl Iterator<Item = i64> + '_ {
        let end = self.samples.back().map(|(at, _)| *at);
        let begun = self.begun.iter();
        begun.filter_map(move |at| Some(figures::seconds_between(*at, end?)))
    }

    /// Seconds back from the last sample to the first.
    pub fn known(&self) -> i64 {
        let ends = self.samples.front().zip(self.samples.back());
        ends.map_or(0, |(first, last)| figures::seconds_between(first.0, last.0))
    }

    /// Items per second over the last `window` of this attempt: an earlier rate says nothing about
    /// it. `None` with less than a second of samples.
    pub fn rate(&self, window: SignedDuration) -> Option<f64> {
        let (end, done) = *self.samples.back()?;
        let since = |at: &Timestamp| end.duration_since(*at);
        let counts = |at: &Timestamp| since(at) <= window && Some(*at) >= self.since;
        let first = self.samples.iter().find(|(at, _)| counts(at))?;
        let seconds = since(&first.0).as_secs_f64();
        (seconds >= 1.0).then(|| (done - first.1) as f64 / seconds)
    }

    /// Seconds since the count last changed.
    pub fn unchanged_for(&self) -> i64 {
        let Some((end, done)) = self.samples.back() else {
            return 0;
        };
        let changed = self.samples.iter().rev().find(|(_, then)| then != done);
        let since = changed.or(self.samples.front()).map(|(at, _)| *at);
        let since = since.max(self.since);
        since.map_or(0, |at| end.duration_since(at).as_secs())
    }

    /// Rates of `columns` equal spans of `seconds` each, oldest first, the last ending now.
    pub fn columns(&self, columns: usize, seconds: i64) -> Vec<f64> {
        let Some((end, _)) = self.samples.back() else {
            return vec![0.0; columns];
        };
        let edge = |back: usize| {
            let span = SignedDuration::from_secs(seconds.saturating_mul(back as i64));
            end.checked_sub(span).ok().and_then(|at| self.done_at(at))
        };
        (0..columns)
            .rev()
            .map(|back| match (edge(back + 1), edge(back)) {
                (Some(from), Some(to)) => (to - from).max(0.0) / seconds.max(1) as f64,
                _ => 0.0,
            })
            .collect()
    }

    /// Done at a moment between samples, by straight lines; `None` before the first.
    fn done_at(&self, at: Timestamp) -> Option<f64> {
        let after = self.samples.partition_point(|(sample, _)| *sample < at);
        let (right, high) = self.samples.get(after)?;
        if after == 0 {
            return (*right == at).then_some(*high as f64);
        }
        let (left, low) = self.samples[after - 1];
        let whole = right.duration_since(left).as_secs_f64();
        let part = at.duration_since(left).as_secs_f64();
        Some(low as f64 + (high - low) as f64 * part / whole.max(f64::EPSILON))
    }

    /// `None` while the rate is not known or nothing moves. `ceiling` is the service's own limit in
    /// items per second, where it has one.
    pub fn eta(&self, remaining: u64, ceiling: Option<f64>) -> Option<Eta> {
        let remaining = remaining as f64;
        let minute = self.rate(MINUTE)?;
        let mean = self.rate(MEAN)?;
        let (slow, fast) = (minute.min(mean), minute.max(mean));
        if slow <= 0.0 {
            return None;
        }
        let best = ceiling.unwrap_or(self.best).max(fast);
        Some(Eta {
            likely: remaining / minute,
            soonest: remaining / fast,
            latest: remaining / slow,
            floor: remaining / best,
        })
    }
}

/// Express children that AWS starts per second and Map Run.
pub const DISPATCH_QUOTA: f64 = 1_000.0;
/// Children that AWS runs at once per Map Run.
pub const CHILDREN_AT_ONCE: u64 = 10_000;

/// How a verdict should be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Plain,
    Warn,
    Bad,
}

/// One sentence on how a Map Run is doing, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub tone: Tone,
    pub headline: String,
    pub detail: String,
}

impl Verdict {
    fn new(tone: Tone, headline: &str, detail: impl Into<String>) -> Self {
        Self {
            tone,
            headline: headline.to_owned(),
            detail: detail.into(),
        }
    }

    /// Of a Map Run, first what holds it most. `on_aws`: the service's quotas apply.
    pub fn of(map_run: &MapRun, pace: &Pace, on_aws: bool) -> Self {
        if map_run.status.is_closed() {
            return Self::of_closed(map_run);
        }
        let held = Self::of_empty(map_run)
            .or_else(|| Self::of_stalled(map_run, pace))
            .or_else(|| Self::of_writer(map_run))
            .or_else(|| Self::of_tolerance(map_run))
            .or_else(|| Self::of_limits(map_run))
            .or_else(|| Self::of_quotas(map_run, pace).filter(|_| on_aws));
        held.unwrap_or_else(|| {
            Self::new(
                Tone::Good,
                "HEALTHY",
                "nothing holds it: the children themselves take this long",
            )
        })
    }

    /// Lambda has turned so many items away for good, retries included.
    pub fn throttled_by_lambda(items: u64) -> Self {
        Self::new(
            Tone::Warn,
            "THROTTLED BY LAMBDA",
            format!(
                "about {} items failed with too many requests: lower the concurrency, or raise the function's",
                figures::count(items)
            ),
        )
    }

    /// Nothing was heard for so many seconds.
    pub fn unknown(seconds: i64) -> Self {
        Self::new(
            Tone::Warn,
            "NOT KNOWN",
            format!(
                "nothing was heard for {}: the run goes on by itself, what is shown is as old",
                figures::span(seconds)
            ),
        )
    }

    fn of_closed(map_run: &MapRun) -> Self {
        let items = &map_run.items;
        let failures = figures::count(items.failures());
        match map_run.status {
            Status::Succeeded if items.failures() + items.aborted == 0 => {
                Self::new(Tone::Good, "DONE", "every item succeeded")
            }
            Status::Succeeded => Self::new(
                Tone::Warn,
                "DONE IN PART",
                format!(
                    "{failures} items failed, within the tolerance: re-run them, AWS cannot redrive this"
                ),
            ),
            Status::Failed => {
                let left = figures::count(items.total.saturating_sub(items.succeeded));
                let why = match items.failures() > failures_allowed(map_run) {
                    true => format!("{failures} items failed, more than tolerated"),
                    // The reader, the writer or the state itself: the execution has the error.
                    false => {
                        "not by its failed items: its own error is in the description".to_owned()
                    }
                };
                let detail =
                    format!("{why}; a redrive goes on with the {left} that have not succeeded");
                Self::new(Tone::Bad, "FAILED", detail)
            }
            Status::TimedOut => Self::new(Tone::Bad, "TIMED OUT", "the run's time limit passed"),
            _ => Self::new(
                Tone::Plain,
                "STOPPED",
                format!("{} items never started", figures::count(items.pending)),
            ),
        }
    }

    fn of_empty(map_run: &MapRun) -> Option<Self> {
        let items = &map_run.items;
        let empty = items.total == 0 && items.done() == 0;
        empty.then(|| {
            Self::new(
                Tone::Plain,
                "WAITING",
                "no item read yet: the reader is opening the source, or too many Map Runs are open",
            )
        })
    }

    fn of_stalled(map_run: &MapRun, pace: &Pace) -> Option<Self> {
        const PATIENCE: i64 = 45;
        let still = pace.unchanged_for();
        let unfinished = map_run.items.done() < map_run.items.total;
        (unfinished && still >= PATIENCE).then(|| {
            Self::new(
                Tone::Warn,
                "STALLED",
                format!("no item has ended for {}", figures::span(still)),
            )
        })
    }

    fn of_writer(map_run: &MapRun) -> Option<Self> {
        let items = &map_run.items;
        let all_ended = items.total > 0 && items.done() >= items.total;
        all_ended.then(|| {
            Self::new(
                Tone::Plain,
                "WRITING",
                "all items ended, results are being written",
            )
        })
    }

    fn of_tolerance(map_run: &MapRun) -> Option<Self> {
        let limit = failures_allowed(map_run);
        let failures = map_run.items.failures();
        let near = limit > 0 && failures.saturating_mul(5) >= limit.saturating_mul(4);
        let (failed, tolerated) = (figures::count(failures), figures::count(limit));
        near.then(|| match failures > limit {
            true => Self::new(
                Tone::Bad,
                "OVER ITS LIMIT",
                format!("{failed} failures, {tolerated} tolerated: the run is about to fail"),
            ),
            false => Self::new(
                Tone::Warn,
                "NEAR ITS LIMIT",
                format!("{failed} of {tolerated} tolerated failures: one more wave fails the run"),
            ),
        })
    }

    fn of_limits(map_run: &MapRun) -> Option<Self> {
        let limit = map_run.max_concurrency;
        let running = map_run.executions.running;
        let held = limit > 0
            && limit < CHILDREN_AT_ONCE
            && map_run.items.pending > 0
            && running.saturating_mul(20) >= limit.saturating_mul(19);
        held.then(|| {
            Self::new(
                Tone::Plain,
                "HELD BY ITS LIMIT",
                format!(
                    "{} of {} children at once: raise the concurrency to go faster",
                    figures::count(running),
                    figures::count(limit)
                ),
            )
        })
    }

    fn of_quotas(map_run: &MapRun, pace: &Pace) -> Option<Self> {
        let running = map_run.executions.running;
        let at_once = running.saturating_mul(20) >= CHILDREN_AT_ONCE * 19;
        let children = map_run.executions.total.max(1) as f64;
        let items_a_child = (map_run.items.total as f64 / children).max(1.0);
        let starts = pace.now().unwrap_or_default() / items_a_child;
        let dispatch = starts >= DISPATCH_QUOTA * 0.95;
        let which = match (dispatch, at_once) {
            (false, false) => return None,
            (true, _) => format!("{starts:.0} of 1,000 children started per second"),
            (false, true) => format!("{} of 10,000 children at once", figures::count(running)),
        };
        Some(Self::new(
            Tone::Good,
            "AS FAST AS AWS ALLOWS",
            format!("{which}: only more lines per child go faster"),
        ))
    }
}

/// Failures at which the run still goes on; 0 when any failure ends it. `u64::MAX` when none does.
pub fn failures_allowed(map_run: &MapRun) -> u64 {
    if map_run.tolerated_percentage >= 100.0 {
        return u64::MAX;
    }
    let share = map_run.items.total as f64 * map_run.tolerated_percentage / 100.0;
    map_run.tolerated_count.max(share as u64)
}

/// `5 %`, `200 items`, `5 % or 200 items`, `none`.
pub fn tolerance(map_run: &MapRun) -> String {
    let share = map_run.tolerated_percentage;
    let count = figures::count(map_run.tolerated_count);
    match (share > 0.0, map_run.tolerated_count > 0) {
        (true, true) => format!("{share} % or {count} items"),
        (true, false) => format!("{share} %"),
        (false, true) => format!("{count} items"),
        (false, false) => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn steady(seconds: i64, per_second: u64) -> Pace {
        let mut pace = Pace::default();
        for second in 0..=seconds {
            pace.record(at(second), 0, second as u64 * per_second);
        }
        pace
    }

    #[test]
    fn a_steady_run_has_a_narrow_eta() {
        let eta = steady(600, 100).eta(6_000, None).unwrap();
        assert_eq!(
            (eta.likely, eta.soonest, eta.latest, eta.floor),
            (60.0, 60.0, 60.0, 60.0)
        );
    }

    #[test]
    fn the_service_limit_is_the_floor() {
        let eta = steady(60, 100).eta(6_000, Some(1_000.0)).unwrap();
        assert_eq!((eta.likely, eta.floor), (60.0, 6.0));
    }

    #[test]
    fn a_redrive_starts_the_rate_anew() {
        let mut pace = steady(60, 100);
        pace.record(at(61), 1, 5_000);
        assert_eq!(pace.now(), None);
        pace.record(at(63), 1, 5_020);
        assert_eq!(pace.now(), Some(10.0));
        assert_eq!(pace.eta(100, None).map(|it| it.likely), Some(10.0));
        // The chart goes on from the attempt before, without a fall or a jump.
        let columns = pace.columns(63, 1);
        assert_eq!((columns[0], columns[59], columns[60]), (100.0, 100.0, 0.0));
        assert_eq!(columns[61..], [10.0, 10.0]);
        assert_eq!(pace.attempts().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_redrive_that_takes_nothing_back_is_an_attempt_of_its_own() {
        let mut pace = steady(60, 100);
        // It lay still in between.
        pace.record(at(400), 1, 6_000);
        pace.record(at(402), 1, 6_040);
        assert_eq!(pace.rate(MEAN), Some(20.0));
        pace.record(at(450), 1, 6_040);
        assert_eq!(pace.unchanged_for(), 50);
        // More than was done before, at the first look: nobody knows how fast.
        pace.record(at(460), 2, 9_000);
        assert!(pace.columns(10, 1).iter().all(|it| *it == 0.0));
        assert_eq!(pace.attempts().count(), 2);
    }

    #[test]
    fn nothing_moving_has_no_eta_and_says_since_when() {
        let mut pace = steady(10, 100);
        for second in 11..400 {
            pace.record(at(second), 0, 1_000);
        }
        assert_eq!(pace.eta(10, None), None);
        assert_eq!(pace.unchanged_for(), 389 + 1);
    }

    #[test]
    fn columns_are_rates_with_blanks_before_the_first_sample() {
        assert_eq!(steady(10, 5).columns(4, 4), [0.0, 0.0, 5.0, 5.0]);
    }

    #[test]
    fn memory_is_bounded() {
        let pace = steady(5_000, 1);
        assert!(pace.samples.len() <= MOST);
    }
}
