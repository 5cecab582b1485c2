//! What makes the engine behave as AWS does on a bad day: throttled calls, answers that are old,
//! faults. For trying how a program copes; everything is off unless asked for.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

/// Which switches are on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Switches {
    pub throttle: Throttle,
    /// How old the answers of eventually consistent operations are.
    pub delay: Duration,
    pub faults: Vec<Fault>,
}

/// Whose token buckets calls are taken from (Step Functions quotas, "Quotas related to API action
/// throttling").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Throttle {
    #[default]
    None,
    /// us-east-1, us-west-2 and eu-west-1.
    LargeRegion,
    /// All others.
    SmallRegion,
}

impl FromStr for Throttle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "aws-a" => Ok(Self::LargeRegion),
            "aws-b" => Ok(Self::SmallRegion),
            _ => Err("is none, aws-a (us-east-1, us-west-2, eu-west-1) or aws-b (others)".into()),
        }
    }
}

/// An error that an operation answers, now and then or always.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub operation: String,
    /// For example `InternalServerException`.
    pub error: String,
    /// 0 to 1.
    pub probability: f64,
}

impl FromStr for Fault {
    type Err = String;

    /// `OPERATION=ERROR` or `OPERATION=ERROR:PROBABILITY`.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "is OPERATION=ERROR or OPERATION=ERROR:PROBABILITY";
        let (operation, rest) = text.split_once('=').ok_or(form)?;
        let (error, probability) = match rest.split_once(':') {
            Some((error, text)) => (error, text.parse().map_err(|_| form)?),
            None => (rest, 1.0),
        };
        if error.is_empty() {
            return Err(form.into());
        }
        if !(0.0..=1.0).contains(&probability) {
            return Err("has a probability from 0 to 1".into());
        }
        if !super::api::sfn::is_operation(operation) {
            return Err(format!("names no operation of Step Functions: {operation}"));
        }
        Ok(Self {
            operation: operation.to_owned(),
            error: error.to_owned(),
            probability,
        })
    }
}

impl Fault {
    /// As the HTTP answer has it: what the service is to blame for is 500, the rest 400.
    pub fn status(&self) -> u16 {
        match self.error.as_str() {
            "ServiceUnavailable" | "ServiceUnavailableException" => 503,
            error if error.starts_with("Internal") => 500,
            _ => 400,
        }
    }
}

/// Size and refill per second.
type Sizes = (f64, f64);

/// The bucket of an operation, in a large and in a small Region; `None`: not throttled.
fn sizes(operation: &str, is_express: bool) -> Option<(Sizes, Sizes)> {
    let same = |size, refill| Some(((size, refill), (size, refill)));
    match operation {
        "StartExecution" if is_express => same(6_000.0, 6_000.0),
        "StartExecution" | "RedriveExecution" => Some(((1_300.0, 300.0), (800.0, 150.0))),
        "StopExecution" => Some(((1_000.0, 200.0), (500.0, 25.0))),
        "DescribeExecution" => Some(((300.0, 15.0), (250.0, 10.0))),
        "GetExecutionHistory" => same(400.0, 20.0),
        "ListExecutions" => Some(((200.0, 5.0), (100.0, 2.0))),
        "DescribeMapRun" | "DescribeStateMachineForExecution" => same(200.0, 1.0),
        "DescribeStateMachine" => same(200.0, 20.0),
        "ListStateMachines" | "ListActivities" => same(100.0, 5.0),
        "SendTaskSuccess" | "SendTaskFailure" | "SendTaskHeartbeat" | "GetActivityTask" => {
            Some(((3_000.0, 500.0), (1_500.0, 300.0)))
        }
        "TagResource" | "UntagResource" | "DescribeActivity" => same(200.0, 1.0),
        "TestState" => same(1.0, 1.0),
        "StartSyncExecution" => None,
        _ => same(100.0, 1.0),
    }
}

/// State transitions of Standard executions, size and refill per second.
const TRANSITIONS: (Sizes, Sizes) = ((5_000.0, 5_000.0), (800.0, 800.0));

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    /// Milliseconds since 1970.
    at: i64,
}

/// The switches with what they keep count of. Pure: time and chance are arguments.
#[derive(Debug, Default)]
pub struct Gate {
    switches: Switches,
    buckets: HashMap<String, Bucket>,
    transitions: Option<Bucket>,
}

impl Gate {
    pub fn new(switches: Switches) -> Self {
        Self {
            switches,
            ..Self::default()
        }
    }

    pub fn delay(&self) -> Duration {
        self.switches.delay
    }

    fn pick(&self, (large, small): (Sizes, Sizes)) -> Option<Sizes> {
        match self.switches.throttle {
            Throttle::None => None,
            Throttle::LargeRegion => Some(large),
            Throttle::SmallRegion => Some(small),
        }
    }

    /// Whether a call may pass, or its bucket is empty.
    pub fn admits(&mut self, operation: &str, is_express: bool, now: i64) -> bool {
        let sizes = sizes(operation, is_express).and_then(|sizes| self.pick(sizes));
        let Some((size, refill)) = sizes else {
            return true;
        };
        // Starts of Express executions have a bucket of their own.
        let name = if is_express { "Express" } else { operation };
        let bucket = self.buckets.entry(name.to_owned()).or_insert(Bucket {
            tokens: size,
            at: now,
        });
        bucket.fill(size, refill, now);
        let admits = bucket.tokens >= 1.0;
        if admits {
            bucket.tokens -= 1.0;
        }
        admits
    }

    /// The fault that a call meets. `draw` is a random number from 0 up to 1.
    pub fn fault(&self, operation: &str, draw: f64) -> Option<&Fault> {
        let mut faults = self.switches.faults.iter();
        faults.find(|fault| fault.operation == operation && draw < fault.probability)
    }

    /// Takes state transitions of a Standard execution; how long it has to wait for them. An empty
    /// bucket delays executions and fails none.
    pub fn transit(&mut self, count: u64, now: i64) -> Duration {
        let Some((size, refill)) = self.pick(TRANSITIONS) else {
            return Duration::ZERO;
        };
        let bucket = self.transitions.get_or_insert(Bucket {
            tokens: size,
            at: now,
        });
        bucket.fill(size, refill, now);
        bucket.tokens -= count as f64;
        Duration::from_secs_f64((-bucket.tokens).max(0.0) / refill)
    }
}

impl Bucket {
    fn fill(&mut self, size: f64, refill: f64, now: i64) {
        let passed = (now - self.at).max(0) as f64 / 1_000.0;
        self.tokens = (self.tokens + passed * refill).min(size);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(throttle: Throttle) -> Gate {
        Gate::new(Switches {
            throttle,
            ..Switches::default()
        })
    }

    /// How many of a thousand calls at once pass.
    fn burst(gate: &mut Gate, operation: &str, now: i64) -> usize {
        let passed = (0..10_000).filter(|_| gate.admits(operation, false, now));
        passed.count()
    }

    #[test]
    fn buckets_have_the_sizes_of_the_region_and_fill_again() {
        let mut large = gate(Throttle::LargeRegion);
        assert_eq!(burst(&mut large, "ListExecutions", 0), 200);
        assert_eq!(burst(&mut large, "ListExecutions", 1_000), 5);
        assert_eq!(burst(&mut large, "DescribeMapRun", 1_000), 200);
        assert_eq!(burst(&mut large, "ListExecutions", 3_600_000), 200);
        let mut small = gate(Throttle::SmallRegion);
        assert_eq!(burst(&mut small, "ListExecutions", 0), 100);
        assert_eq!(burst(&mut small, "StartExecution", 0), 800);
        assert!(small.admits("StartExecution", true, 0));
        assert_eq!(
            burst(&mut gate(Throttle::None), "ListExecutions", 0),
            10_000
        );
    }

    #[test]
    fn too_many_transitions_wait_and_do_not_fail() {
        let mut small = gate(Throttle::SmallRegion);
        assert_eq!(small.transit(800, 0), Duration::ZERO);
        assert_eq!(small.transit(80, 0), Duration::from_millis(100));
        assert_eq!(small.transit(80, 0), Duration::from_millis(200));
        assert_eq!(small.transit(0, 1_000), Duration::ZERO);
    }

    #[test]
    fn faults_are_read_and_drawn() {
        let fault: Fault = "StartExecution=InternalServerException:0.25"
            .parse()
            .unwrap();
        assert_eq!((fault.status(), fault.probability), (500, 0.25));
        let gate = Gate::new(Switches {
            faults: vec![fault],
            ..Switches::default()
        });
        assert!(gate.fault("StartExecution", 0.2).is_some());
        assert!(gate.fault("StartExecution", 0.3).is_none());
        assert!(gate.fault("StopExecution", 0.0).is_none());
        for bad in [
            "",
            "StartExecution",
            "Start=X",
            "StopExecution=",
            "StopExecution=X:2",
        ] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
