//! Standing polls: streams of whole snapshots, so that the last one wins and nothing is lost by
//! dropping one. At most one request of a stream is out at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;

use crate::client::error::Error;
use crate::client::{Client, Snapshots};
use crate::model::{
    Execution, ExecutionArn, ExecutionDetail, MapRun, MapRunArn, Page, StateMachineArn, Status,
};

/// Rows of the newest page: more than a screen shows.
const ROWS: u16 = 100;
/// Between two rounds that nobody looks at: enough to say that a run has ended.
const UNWATCHED: Duration = Duration::from_secs(10);
/// How much longer each wait is while nothing changes.
const SLOWER: f64 = 1.5;

impl Client {
    /// Snapshots of one Map Run, ending with the first whose status is closed.
    pub fn watch_map_run(&self, arn: MapRunArn) -> Snapshots<MapRun> {
        let client = self.clone();
        poll(self.pace(), self.unwatched(), move |round| {
            let (client, arn) = (client.in_round(round), arn.clone());
            async move {
                let value = client.map_run(&arn).await?;
                let last = value.status.is_closed();
                Ok(Snapshot { value, last })
            }
        })
    }

    /// Snapshots of one execution, ending with the first whose status is closed.
    pub fn watch_execution(&self, arn: ExecutionArn) -> Snapshots<ExecutionDetail> {
        let client = self.clone();
        poll(self.pace(), self.unwatched(), move |round| {
            let (client, arn) = (client.in_round(round), arn.clone());
            async move {
                let value = client.execution(&arn).await?;
                let last = value.execution.status.is_closed();
                Ok(Snapshot { value, last })
            }
        })
    }

    /// The newest page of executions of a state machine, for ever.
    pub fn watch_executions(&self, machine: StateMachineArn) -> Snapshots<Page<Execution>> {
        let client = self.clone();
        poll(self.pace(), self.unwatched(), move |round| {
            let (client, machine) = (client.in_round(round), machine.clone());
            async move {
                let value = client.executions(&machine, None, ROWS, None).await?;
                let last = false;
                Ok(Snapshot { value, last })
            }
        })
    }

    /// The newest page of unsuccessful (FAILED, then TIMED_OUT) children, until the Map Run closes.
    pub fn watch_failed_children(&self, map_run: MapRunArn) -> Snapshots<Vec<Execution>> {
        let client = self.clone();
        poll(self.pace(), self.unwatched(), move |round| {
            let (client, map_run) = (client.in_round(round), map_run.clone());
            async move {
                // A closed Map Run's children no longer change. Its status, of which the service
                // tells one a second to a whole account, is asked only when they did not; and
                // before the children, so that the last list is complete.
                let last = round.settled && client.map_run(&map_run).await?.status.is_closed();
                let value = client.failed_children(&map_run).await?;
                Ok(Snapshot { value, last })
            }
        })
    }

    async fn failed_children(&self, map_run: &MapRunArn) -> Result<Vec<Execution>, Error> {
        let failed = self.children(map_run, Some(Status::Failed), ROWS, None);
        let mut rows = failed.await?.items;
        let room = usize::from(ROWS).saturating_sub(rows.len());
        if 0 < room {
            let timed_out = self.children(map_run, Some(Status::TimedOut), room as u16, None);
            rows.extend(timed_out.await?.items);
        }
        Ok(rows)
    }

    /// Somebody waits for the first answer; those after it may wait themselves.
    fn in_round(&self, round: Round) -> Self {
        if round.first {
            self.clone()
        } else {
            self.polling()
        }
    }

    fn unwatched(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.unwatched)
    }

    fn pace(&self) -> Pace {
        if self.shared.connection.local {
            Pace::new(Duration::from_millis(250), Duration::from_secs(2))
        } else {
            Pace::new(Duration::from_secs(1), Duration::from_secs(15))
        }
    }
}

/// What is known when a round begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Round {
    first: bool,
    /// The round before found nothing new.
    settled: bool,
}

/// What one round found, and whether it is the last round.
struct Snapshot<T> {
    value: T,
    last: bool,
}

/// Asks at once, then again and again at the given pace. A failed round is an item like any other.
fn poll<T, Ask, Answer>(pace: Pace, unwatched: Arc<AtomicBool>, ask: Ask) -> Snapshots<T>
where
    T: Clone + PartialEq + Send + 'static,
    Ask: FnMut(Round) -> Answer + Send + 'static,
    Answer: Future<Output = Result<Snapshot<T>, Error>> + Send + 'static,
{
    let start = Poll {
        ask,
        pace,
        unwatched,
        wait: Duration::ZERO,
        newest: None,
        round: Round {
            first: true,
            settled: false,
        },
        ended: false,
    };
    futures::stream::unfold(start, Poll::next).boxed()
}

struct Poll<T, Ask> {
    ask: Ask,
    pace: Pace,
    unwatched: Arc<AtomicBool>,
    /// Before the next round.
    wait: Duration,
    newest: Option<T>,
    round: Round,
    ended: bool,
}

impl<T, Ask, Answer> Poll<T, Ask>
where
    T: Clone + PartialEq,
    Ask: FnMut(Round) -> Answer,
    Answer: Future<Output = Result<Snapshot<T>, Error>>,
{
    async fn next(mut self) -> Option<(Result<T, Error>, Self)> {
        if self.ended {
            return None;
        }
        if !self.wait.is_zero() {
            tokio::time::sleep(pause(self.wait, &self.unwatched)).await;
        }
        let answer = (self.ask)(self.round).await;
        self.round.first = false;
        self.round.settled = match &answer {
            Ok(found) => self.newest.as_ref() == Some(&found.value),
            Err(_) => false,
        };
        let idle = self.round.settled || answer.is_err();
        self.wait = self.pace.after(idle);
        let item = answer.map(|found| {
            self.ended = found.last;
            self.newest = Some(found.value.clone());
            found.value
        });
        Some((item, self))
    }
}

/// The wait before a round, by whether somebody looks.
fn pause(wait: Duration, unwatched: &AtomicBool) -> Duration {
    match unwatched.load(Ordering::Relaxed) {
        true => wait.max(UNWATCHED),
        false => wait,
    }
}

/// How long to wait between rounds: short while things change, longer and longer while not.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pace {
    shortest: Duration,
    longest: Duration,
    current: Duration,
}

impl Pace {
    fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            current: shortest,
        }
    }

    /// The wait after a round that brought something new, or did not (`idle`; a failed one too).
    fn after(&mut self, idle: bool) -> Duration {
        self.current = if idle {
            self.current.mul_f64(SLOWER).min(self.longest)
        } else {
            self.shortest
        };
        self.current
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::client::ErrorKind;

    fn brisk() -> Pace {
        Pace::new(Duration::from_micros(1), Duration::from_micros(2))
    }

    /// A poll that finds these one after the other: value and whether it is the last.
    fn script(answers: Vec<Result<(u32, bool), ErrorKind>>) -> Snapshots<u32> {
        let mut answers = VecDeque::from(answers);
        poll(brisk(), Arc::default(), move |_| {
            let answer = answers.pop_front().expect("asked once too often");
            futures::future::ready(
                answer
                    .map(|(value, last)| Snapshot { value, last })
                    .map_err(|kind| Error::new("DescribeMapRun", "run", kind)),
            )
        })
    }

    #[test]
    fn a_quiet_poll_slows_down_and_a_change_brings_it_back() {
        let mut pace = Pace::new(Duration::from_secs(1), Duration::from_secs(15));
        let waits: Vec<f64> = (0..8).map(|_| pace.after(true).as_secs_f64()).collect();
        assert_eq!(
            waits,
            [1.5, 2.25, 3.375, 5.0625, 7.59375, 11.390_625, 15.0, 15.0]
        );
        assert_eq!(pace.after(false), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn an_error_does_not_end_a_stream_and_the_last_snapshot_does() {
        let gone = ErrorKind::Unreachable("refused".to_owned());
        let answers = vec![
            Ok((1, false)),
            Err(gone.clone()),
            Ok((1, false)),
            Ok((2, true)),
        ];
        let seen: Vec<_> = script(answers)
            .map(|item| item.map_err(|error| error.kind))
            .collect()
            .await;
        assert_eq!(seen, [Ok(1), Err(gone), Ok(1), Ok(2)]);
    }

    #[test]
    fn what_nobody_looks_at_is_asked_seldom() {
        let unwatched = AtomicBool::new(true);
        let second = Duration::from_secs(1);
        assert_eq!(pause(second, &unwatched), UNWATCHED);
        assert_eq!(pause(2 * UNWATCHED, &unwatched), 2 * UNWATCHED);
        unwatched.store(false, Ordering::Relaxed);
        assert_eq!(pause(second, &unwatched), second);
    }

    #[tokio::test]
    async fn a_round_learns_whether_it_is_the_first_and_whether_things_have_settled() {
        let mut values = VecDeque::from([1, 2, 2, 2]);
        let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = std::sync::Arc::clone(&told);
        let stream = poll(brisk(), Arc::default(), move |round| {
            log.lock().unwrap().push((round.first, round.settled));
            let value = values.pop_front().expect("asked once too often");
            let last = values.is_empty();
            futures::future::ready(Ok(Snapshot { value, last }))
        });
        assert_eq!(stream.count().await, 4);
        let (nothing, settled) = ((false, false), (false, true));
        assert_eq!(
            *told.lock().unwrap(),
            [(true, false), nothing, nothing, settled]
        );
    }
}
