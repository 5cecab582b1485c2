//! The request budget: one token bucket an API action, shared by all clones of a client.
//!
//! AWS counts the requests of a whole account and Region, console tabs included, so we keep to a
//! share of each quota. What the user asked for goes first: a poll waits while a user's call waits
//! or while little is left. Time is an argument of the buckets, so that tests need no clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

mod seats;

pub(super) use seats::Seats;

/// How long "slowed by AWS" is worth saying.
const SLOWED_FOR: Duration = Duration::from_secs(10);
/// Share of a bucket that polls leave to the user.
const RESERVE: f64 = 0.2;
/// How soon a poll asks again that stood aside for a user's call.
const STAND_ASIDE: Duration = Duration::from_millis(20);
/// Regions with the larger quotas.
const LARGE_REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Somebody waits for the answer.
    User,
    /// A standing poll.
    Poll,
}

/// An action with a quota. Names are the API reference's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    StartExecution,
    RedriveExecution,
    StopExecution,
    DescribeExecution,
    GetExecutionHistory,
    ListExecutions,
    DescribeMapRun,
    ListMapRuns,
    UpdateMapRun,
    DescribeStateMachine,
    DescribeStateMachineForExecution,
    ListStateMachines,
    ListStateMachineVersions,
    ListStateMachineAliases,
    DescribeStateMachineAlias,
    ListTagsForResource,
    CreateStateMachine,
    UpdateStateMachine,
    ValidateStateMachineDefinition,
    FilterLogEvents,
    GetLogEvents,
    DescribeLogGroups,
    StartLiveTail,
    GetCallerIdentity,
}

/// Size of a bucket and tokens that come back each second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quota {
    capacity: f64,
    refill: f64,
}

/// What the embedded engine gets: it has no quota, but a runaway loop still has an end.
const ENGINE: Quota = Quota {
    capacity: 1_000.0,
    refill: 1_000.0,
};

impl Action {
    const ALL: [Self; 24] = [
        Self::StartExecution,
        Self::RedriveExecution,
        Self::StopExecution,
        Self::DescribeExecution,
        Self::GetExecutionHistory,
        Self::ListExecutions,
        Self::DescribeMapRun,
        Self::ListMapRuns,
        Self::UpdateMapRun,
        Self::DescribeStateMachine,
        Self::DescribeStateMachineForExecution,
        Self::ListStateMachines,
        Self::ListStateMachineVersions,
        Self::ListStateMachineAliases,
        Self::DescribeStateMachineAlias,
        Self::ListTagsForResource,
        Self::CreateStateMachine,
        Self::UpdateStateMachine,
        Self::ValidateStateMachineDefinition,
        Self::FilterLogEvents,
        Self::GetLogEvents,
        Self::DescribeLogGroups,
        Self::StartLiveTail,
        Self::GetCallerIdentity,
    ];

    /// Name, and bucket and refill in the large Regions and in all others, as AWS publishes them
    /// (those of Logs are ours, at the low end of what accounts get).
    const fn row(self) -> (&'static str, [f64; 2], [f64; 2]) {
        match self {
            Self::StartExecution => ("StartExecution", [1_300.0, 300.0], [800.0, 150.0]),
            Self::RedriveExecution => ("RedriveExecution", [1_300.0, 300.0], [800.0, 150.0]),
            Self::StopExecution => ("StopExecution", [1_000.0, 200.0], [500.0, 25.0]),
            Self::DescribeExecution => ("DescribeExecution", [300.0, 15.0], [250.0, 10.0]),
            Self::GetExecutionHistory => ("GetExecutionHistory", [400.0, 20.0], [400.0, 20.0]),
            Self::ListExecutions => ("ListExecutions", [200.0, 5.0], [100.0, 2.0]),
            Self::DescribeMapRun => ("DescribeMapRun", [200.0, 1.0], [200.0, 1.0]),
            Self::ListMapRuns => ("ListMapRuns", [100.0, 1.0], [100.0, 1.0]),
            Self::UpdateMapRun => ("UpdateMapRun", [100.0, 1.0], [100.0, 1.0]),
            Self::DescribeStateMachine => ("DescribeStateMachine", [200.0, 20.0], [200.0, 20.0]),
            Self::DescribeStateMachineForExecution => (
                "DescribeStateMachineForExecution",
                [200.0, 1.0],
                [200.0, 1.0],
            ),
            Self::ListStateMachines => ("ListStateMachines", [100.0, 5.0], [100.0, 5.0]),
            Self::ListStateMachineVersions => {
                ("ListStateMachineVersions", [100.0, 5.0], [100.0, 5.0])
            }
            Self::ListStateMachineAliases => {
                ("ListStateMachineAliases", [100.0, 5.0], [100.0, 5.0])
            }
            Self::DescribeStateMachineAlias => {
                ("DescribeStateMachineAlias", [100.0, 5.0], [100.0, 5.0])
            }
            Self::ListTagsForResource => ("ListTagsForResource", [100.0, 1.0], [100.0, 1.0]),
            Self::CreateStateMachine => ("CreateStateMachine", [100.0, 1.0], [100.0, 1.0]),
            Self::UpdateStateMachine => ("UpdateStateMachine", [100.0, 1.0], [100.0, 1.0]),
            Self::ValidateStateMachineDefinition => {
                ("ValidateStateMachineDefinition", [100.0, 1.0], [100.0, 1.0])
            }
            Self::FilterLogEvents => ("FilterLogEvents", [5.0, 5.0], [5.0, 5.0]),
            Self::GetCallerIdentity => ("GetCallerIdentity", [50.0, 5.0], [50.0, 5.0]),
            Self::GetLogEvents => ("GetLogEvents", [10.0, 10.0], [10.0, 10.0]),
            Self::DescribeLogGroups => ("DescribeLogGroups", [10.0, 10.0], [10.0, 10.0]),
            Self::StartLiveTail => ("StartLiveTail", [3.0, 3.0], [3.0, 3.0]),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        self.row().0
    }

    fn quota(self, region: &str) -> Quota {
        let (_, large, other) = self.row();
        let is_large = LARGE_REGIONS.contains(&region);
        let [capacity, refill] = if is_large { large } else { other };
        Quota { capacity, refill }
    }
}

/// All buckets of a target.
#[derive(Debug)]
pub(super) struct Budget {
    /// In the order of [`Action::ALL`].
    lanes: Vec<Lane>,
    slowed_at: Mutex<Option<Instant>>,
    /// Those who share the quota's part; `None` is alone.
    seats: Option<Seats>,
}

/// A bucket and the two queues before it. Only the head of a queue asks the bucket, so calls of one
/// class are served in their order.
#[derive(Debug)]
struct Lane {
    bucket: Mutex<Bucket>,
    users: tokio::sync::Mutex<()>,
    polls: tokio::sync::Mutex<()>,
}

impl Budget {
    /// A share (0 to 1) of the Region's quotas.
    pub(super) fn of_quota(region: &str, share: f64) -> Self {
        let share = share.clamp(0.01, 1.0);
        Self::new(|action| {
            let quota = action.quota(region);
            Quota {
                capacity: quota.capacity * share,
                refill: quota.refill * share,
            }
        })
    }

    /// Where there is no quota.
    pub(super) fn unlimited() -> Self {
        Self::new(|_| ENGINE)
    }

    fn new(quota: impl Fn(Action) -> Quota) -> Self {
        let now = Instant::now();
        let lanes = Action::ALL
            .into_iter()
            .map(|action| Lane {
                bucket: Mutex::new(Bucket::new(quota(action), now)),
                users: tokio::sync::Mutex::default(),
                polls: tokio::sync::Mutex::default(),
            })
            .collect();
        Self {
            lanes,
            slowed_at: Mutex::new(None),
            seats: None,
        }
    }

    /// The same, divided among all who sit there.
    pub(super) fn shared(mut self, seats: Option<Seats>) -> Self {
        self.seats = seats;
        self
    }

    /// A lane's bucket, as large as our part of it is now.
    fn bucket<'a>(&self, lane: &'a Lane, now: Instant) -> MutexGuard<'a, Bucket> {
        let processes = self.seats.as_ref().map_or(1, |seats| seats.processes(now));
        let mut bucket = lock(&lane.bucket);
        bucket.divide(processes, now);
        bucket
    }

    /// Waits for a token.
    pub(super) async fn take(&self, action: Action, class: Class) {
        let Some(lane) = self.lanes.get(action as usize) else {
            return;
        };
        let _waiting = (class == Class::User).then(|| Waiting::announce(lane));
        let queue = match class {
            Class::User => &lane.users,
            Class::Poll => &lane.polls,
        };
        let _turn = queue.lock().await;
        loop {
            let now = Instant::now();
            let taken = self.bucket(lane, now).take(now, class);
            match taken {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// The service throttled `action`. An action without a bucket (S3) only counts as slowed.
    pub(super) fn throttled(&self, action: &str, now: Instant) {
        *lock(&self.slowed_at) = Some(now);
        let lanes = self.lanes.iter().zip(Action::ALL);
        for (lane, _) in lanes.filter(|(_, known)| known.name() == action) {
            lock(&lane.bucket).empty(now);
        }
    }

    pub(super) fn slowed(&self, now: Instant) -> bool {
        lock(&self.slowed_at).is_some_and(|at| now.saturating_duration_since(at) < SLOWED_FOR)
    }

    /// Requests a minute that come back to each bucket, by action.
    pub(super) fn rates(&self, now: Instant) -> Vec<(&'static str, f64)> {
        let lanes = self.lanes.iter().zip(Action::ALL);
        let rates = lanes.map(|(lane, action)| {
            let refill = self.bucket(lane, now).quota.refill;
            (action.name(), 60.0 * refill)
        });
        rates.collect()
    }

    /// Share in use, of the fullest bucket.
    pub(super) fn used(&self, now: Instant) -> f64 {
        self.lanes
            .iter()
            .map(|lane| self.bucket(lane, now).used(now))
            .fold(0.0, f64::max)
    }
}

/// A bucket stays right when somebody panicked beside it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A user's call between its wish and its token; ends also when the call is given up.
struct Waiting<'a>(&'a Lane);

impl<'a> Waiting<'a> {
    fn announce(lane: &'a Lane) -> Self {
        lock(&lane.bucket).users_waiting += 1;
        Self(lane)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut bucket = lock(&self.0.bucket);
        bucket.users_waiting = bucket.users_waiting.saturating_sub(1);
    }
}

/// Tokens that come back with time.
#[derive(Debug)]
struct Bucket {
    /// What one process has that is alone.
    whole: Quota,
    quota: Quota,
    tokens: f64,
    /// When `tokens` was right.
    at: Instant,
    users_waiting: usize,
}

impl Bucket {
    /// A full one. It holds two tokens at least, else its polls would never have a turn.
    fn new(quota: Quota, now: Instant) -> Self {
        let capacity = quota.capacity.max(2.0);
        Self {
            whole: quota,
            quota: Quota { capacity, ..quota },
            tokens: capacity,
            at: now,
            users_waiting: 0,
        }
    }

    /// Takes a token, or says when to ask again.
    fn take(&mut self, now: Instant, class: Class) -> Result<(), Duration> {
        self.refill(now);
        let floor = match class {
            Class::User => 0.0,
            Class::Poll => self.quota.capacity * RESERVE,
        };
        let missing = floor + 1.0 - self.tokens;
        // Less than any token: what rounding leaves must not make us wait again.
        if missing > 1e-6 {
            return Err(Duration::from_secs_f64(missing / self.quota.refill));
        }
        if class == Class::Poll && 0 < self.users_waiting {
            return Err(STAND_ASIDE);
        }
        self.tokens = (self.tokens - 1.0).max(0.0);
        Ok(())
    }

    /// Makes it the part of one among so many. What was saved up beyond that is given up.
    fn divide(&mut self, processes: u32, now: Instant) {
        let part = Quota {
            capacity: (self.whole.capacity / f64::from(processes)).max(2.0),
            refill: self.whole.refill / f64::from(processes),
        };
        if part != self.quota {
            self.refill(now);
            self.quota = part;
            self.tokens = self.tokens.min(part.capacity);
        }
    }

    fn empty(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = 0.0;
    }

    fn used(&mut self, now: Instant) -> f64 {
        self.refill(now);
        1.0 - self.tokens / self.quota.capacity
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        let back = elapsed.as_secs_f64() * self.quota.refill;
        self.tokens = (self.tokens + back).min(self.quota.capacity);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(capacity: f64, refill: f64) -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::new(Quota { capacity, refill }, now), now)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (mut bucket, start) = bucket(10.0, 2.0);
        for _ in 0..10 {
            assert_eq!(bucket.take(start, Class::User), Ok(()));
        }
        let wait = bucket.take(start, Class::User).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(bucket.take(start + wait, Class::User), Ok(()));
        assert!(bucket.take(start + wait, Class::User).is_err());
    }

    #[test]
    fn polls_leave_a_fifth_to_the_user() {
        let (mut bucket, start) = bucket(10.0, 1.0);
        let polled = (0..20)
            .filter(|_| bucket.take(start, Class::Poll).is_ok())
            .count();
        assert_eq!(polled, 8);
        assert_eq!(bucket.take(start, Class::User), Ok(()));
        assert_eq!(bucket.take(start, Class::User), Ok(()));
        assert_eq!(bucket.take(start, Class::Poll), Err(Duration::from_secs(3)));
    }

    #[test]
    fn a_poll_stands_aside_for_a_waiting_user() {
        let (mut bucket, start) = bucket(10.0, 1.0);
        bucket.users_waiting = 1;
        assert_eq!(bucket.take(start, Class::Poll), Err(STAND_ASIDE));
        assert_eq!(bucket.take(start, Class::User), Ok(()));
        bucket.users_waiting = 0;
        assert_eq!(bucket.take(start, Class::Poll), Ok(()));
    }

    #[test]
    fn a_throttled_reply_empties_one_bucket_and_shows_for_ten_seconds() {
        let budget = Budget::of_quota("eu-central-1", 0.4);
        let now = Instant::now();
        assert!(!budget.slowed(now));
        budget.throttled("DescribeMapRun", now);
        assert!(budget.slowed(now + Duration::from_secs(9)));
        assert!(!budget.slowed(now + Duration::from_secs(10)));
        assert!(budget.used(now) > 0.99);
        let mut map_run = lock(&budget.lanes[Action::DescribeMapRun as usize].bucket);
        assert!(map_run.take(now, Class::User).is_err());
        let mut list = lock(&budget.lanes[Action::ListExecutions as usize].bucket);
        assert_eq!(list.take(now, Class::User), Ok(()));
    }

    #[test]
    fn processes_divide_burst_and_rate_and_get_them_back() {
        let (mut bucket, start) = bucket(12.0, 3.0);
        bucket.divide(3, start);
        let taken = (0..20).filter(|_| bucket.take(start, Class::User).is_ok());
        assert_eq!(taken.count(), 4);
        let wait = bucket.take(start, Class::User).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
        bucket.divide(1, start);
        let wait = bucket.take(start, Class::User).unwrap_err();
        assert_eq!(wait, Duration::from_secs_f64(1.0 / 3.0));
    }

    #[test]
    fn two_processes_have_half_of_each_bucket() {
        let folder = tempfile::tempdir().unwrap();
        let sit = || Seats::take(folder.path(), "account").ok();
        let budget = || Budget::of_quota("us-east-1", 0.5).shared(sit());
        let (one, _other) = (budget(), budget());
        let lane = &one.lanes[Action::ListExecutions as usize];
        let quota = one.bucket(lane, Instant::now()).quota;
        assert_eq!((quota.capacity, quota.refill), (50.0, 1.25));
    }

    #[test]
    fn an_unknown_action_only_counts_as_slowed() {
        let budget = Budget::unlimited();
        let now = Instant::now();
        budget.throttled("GetObject", now);
        assert!(budget.slowed(now));
        assert!(budget.used(now) < 0.01);
    }

    #[test]
    fn the_region_and_the_share_make_the_bucket() {
        let large = Budget::of_quota("us-east-1", 0.5);
        let other = Budget::of_quota("sa-east-1", 0.5);
        let of =
            |budget: &Budget| lock(&budget.lanes[Action::ListExecutions as usize].bucket).quota;
        assert_eq!(
            of(&large),
            Quota {
                capacity: 100.0,
                refill: 2.5
            }
        );
        assert_eq!(
            of(&other),
            Quota {
                capacity: 50.0,
                refill: 1.0
            }
        );
    }

    #[test]
    fn every_action_finds_its_own_lane() {
        for (index, action) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, index);
        }
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_no_longer_waits() {
        let budget = Budget::of_quota("eu-central-1", 0.4);
        budget.throttled("UpdateMapRun", Instant::now());
        let lane = &budget.lanes[Action::UpdateMapRun as usize];
        {
            let call = budget.take(Action::UpdateMapRun, Class::User);
            futures::pin_mut!(call);
            assert!(futures::poll!(call.as_mut()).is_pending());
            assert_eq!(lock(&lane.bucket).users_waiting, 1);
        }
        assert_eq!(lock(&lane.bucket).users_waiting, 0);
    }

    proptest! {
        /// Whatever the order of calls, no more are let through than burst and refill allow, and
        /// waiting as long as told is enough.
        #[test]
        fn never_more_than_the_quota(
            capacity in 2.0_f64..50.0,
            refill in 0.1_f64..50.0,
            steps in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..200),
        ) {
            let (mut bucket, start) = bucket(capacity, refill);
            let mut now = start;
            let mut served = 0.0;
            for (millis, user) in steps {
                now += Duration::from_millis(millis);
                let class = if user { Class::User } else { Class::Poll };
                if let Err(wait) = bucket.take(now, class) {
                    now += wait;
                    prop_assert_eq!(bucket.take(now, class), Ok(()));
                }
                served += 1.0;
                let allowed = capacity + now.duration_since(start).as_secs_f64() * refill;
                prop_assert!(served <= allowed + 0.01, "{} of {}", served, allowed);
            }
        }
    }
}
