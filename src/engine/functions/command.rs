//! Functions that are programs: instances are started when calls come, used again, and ended when
//! they have had nothing to do for a while (Lambda developer guide, "Understanding the Lambda
//! execution environment lifecycle").

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::instance::{Instance, Trouble};
use super::log::{self, Report, Stream};
use super::runtime_api::Invocation;
use super::{Answer, Call, Failed, Host, Payload, Program, Refusal, Settings, arn, within};

/// How long a program may take until it asks for its first invocation. One that takes longer is
/// started again inside the call, whose time limit then counts, as on AWS.
const INIT: Duration = Duration::from_secs(10);
/// How long an instance is kept for the next call, and how often that is looked at.
const KEPT: Duration = Duration::from_mins(5);
const CHECK: Duration = Duration::from_secs(30);

/// All instances of one function.
pub(super) struct Fleet {
    name: String,
    program: Program,
    timeout: Duration,
    host: Arc<Host>,
    reserved: Option<Semaphore>,
    /// One for each process that may be there.
    places: Semaphore,
    /// Used last, used first.
    idle: Mutex<Vec<Instance>>,
}

/// An instance that waits for an invocation, and what its start cost if it is new.
struct Ready {
    instance: Instance,
    init: Option<Duration>,
    /// Where the start was a part of the call.
    deadline: Option<Instant>,
}

/// A call that did not get so far, or not to its end.
struct Broken {
    trouble: Trouble,
    log: Stream,
    init: Option<Duration>,
    memory: Option<u64>,
}

impl Fleet {
    pub(super) fn new(
        name: &str,
        program: Program,
        settings: &Settings,
        host: Arc<Host>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            timeout: settings.timeout,
            reserved: settings.reserved.map(Semaphore::new),
            places: Semaphore::new(program.instances),
            program,
            host,
            idle: Mutex::default(),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the instances that have nothing to do.
    pub(super) fn clear(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    pub(super) async fn call(self: &Arc<Self>, call: Call) -> Result<Answer, Refusal> {
        within(self.reserved.as_ref(), self.call_when_free(call)).await?
    }

    async fn call_when_free(self: &Arc<Self>, call: Call) -> Result<Answer, Refusal> {
        let stopping = self.host.stop.cancelled();
        let place = tokio::select! {
            place = self.places.acquire() => place.map_err(|_| Refusal::Stopping)?,
            () = stopping => return Err(Refusal::Stopping),
        };
        let answer = self.run(call).await;
        drop(place);
        answer
    }

    async fn run(self: &Arc<Self>, call: Call) -> Result<Answer, Refusal> {
        let began = Instant::now();
        let request = call.request.clone();
        let wants_log = call.wants_log;
        let ready = match self.warm().await {
            Some(instance) => Ok(Ready {
                instance,
                init: None,
                deadline: None,
            }),
            None => self.cold(&request).await,
        };
        let (started, done) = match ready {
            Ok(ready) => {
                let started = ready.deadline.map_or_else(Instant::now, |_| began);
                (started, self.invoke(ready, call).await)
            }
            Err(broken) => (began, Err(broken)),
        };
        let duration = started.elapsed();
        let (result, mut log) = match done {
            Ok((mut instance, init, result)) => {
                let report = Report {
                    init,
                    memory: Some((self.program.memory, instance.memory_used())),
                    ..Report::new(duration.min(self.timeout))
                };
                write_end(&mut instance.log, &request, &report);
                instance.log.flush().await;
                let tail = instance.log.take_tail();
                self.keep(instance);
                return Ok(answer(result, tail, wants_log));
            }
            Err(broken) => self.explain(broken, &request, duration)?,
        };
        log.flush().await;
        Ok(answer(Err(result), log.take_tail(), wants_log))
    }

    /// An instance that is there already.
    async fn warm(&self) -> Option<Instance> {
        loop {
            let mut instance = self.idle().pop()?;
            if instance.is_alive(Instant::now() + INIT).await {
                instance.log.take_tail();
                return Some(instance);
            }
            let mut log = instance.end().await;
            log.flush().await;
        }
    }

    /// A new instance.
    async fn cold(&self, request: &str) -> Result<Ready, Broken> {
        let log = Stream::new(&self.name, Arc::clone(&self.host));
        let began = Instant::now();
        let broken = match self.start(log, began + INIT).await {
            Ok(instance) => {
                return Ok(Ready {
                    instance,
                    init: Some(began.elapsed()),
                    deadline: None,
                });
            }
            Err(broken) if matches!(broken.trouble, Trouble::Stopped) => return Err(broken),
            Err(broken) => broken,
        };
        // As on AWS: the start that failed is logged, and tried again as a part of the call.
        let mut log = broken.log;
        log.line(init_report(&broken.trouble, began.elapsed()));
        log.line(log::start(request));
        let deadline = Instant::now() + self.timeout;
        let instance = self.start(log, deadline).await?;
        Ok(Ready {
            instance,
            init: None,
            deadline: Some(deadline),
        })
    }

    async fn start(&self, log: Stream, until: Instant) -> Result<Instance, Broken> {
        let broken = |(trouble, log)| Broken {
            trouble,
            log,
            init: None,
            memory: None,
        };
        let (name, host) = (&self.name, &self.host);
        let started = Instance::start(name, &self.program, host, log, self.timeout).await;
        let mut instance = started.map_err(broken)?;
        match instance.ready(until).await {
            Ok(()) => Ok(instance),
            Err(trouble) => Err(broken((trouble, instance.end().await))),
        }
    }

    async fn invoke(
        &self,
        ready: Ready,
        call: Call,
    ) -> Result<(Instance, Option<Duration>, Result<Payload, Failed>), Broken> {
        let Ready {
            mut instance,
            init,
            deadline,
        } = ready;
        if deadline.is_none() {
            instance.log.line(log::start(&call.request));
        }
        let until = deadline.unwrap_or_else(|| Instant::now() + self.timeout);
        let left = i64::try_from((until - Instant::now()).as_millis()).unwrap_or(i64::MAX);
        let invocation = Invocation {
            deadline: Timestamp::now().as_millisecond().saturating_add(left),
            arn: arn(&self.name),
            trace: trace(),
            client_context: call.client_context,
            event: call.event.into_text(),
            request: call.request,
        };
        match instance.invoke(invocation, until).await {
            Ok(result) => Ok((instance, init, result.map(Payload::Text))),
            Err(trouble) => Err(Broken {
                trouble,
                memory: instance.memory_used(),
                log: instance.end().await,
                init,
            }),
        }
    }

    /// A call that broke off, in Lambda's words, with its last lines written.
    fn explain(
        &self,
        broken: Broken,
        request: &str,
        duration: Duration,
    ) -> Result<(Failed, Stream), Refusal> {
        let mut log = broken.log;
        let mut report = Report {
            init: broken.init,
            memory: Some((self.program.memory, broken.memory)),
            ..Report::new(duration)
        };
        let failed = match broken.trouble {
            Trouble::Stopped => return Err(Refusal::Stopping),
            Trouble::TimedOut => {
                let text = format!(
                    "Task timed out after {:.2} seconds",
                    self.timeout.as_secs_f64()
                );
                let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
                log.line(format!("{now} {request} {text}\n\n"));
                report.duration = self.timeout;
                report.status = Some("timeout".to_owned());
                let message = format!("RequestId: {request} Error: {text}");
                Failed::service("Sandbox.Timedout", &message)
            }
            Trouble::InitError(failed) => failed,
            Trouble::Exited(reason) => {
                let message = format!("RequestId: {request} Error: {reason}");
                log.line(format!("{message}\nRuntime.ExitError\n"));
                Failed::service("Runtime.ExitError", &message)
            }
            Trouble::NotStarted(problem) => {
                let message = format!("RequestId: {request} Error: {problem}");
                log.line(format!("{message}\nRuntime.InvalidEntrypoint\n"));
                Failed::service("Runtime.InvalidEntrypoint", &message)
            }
        };
        if report.status.is_none() {
            report.status = Some("error".to_owned());
            report.error_type = Some(failed.error_type.clone());
        }
        write_end(&mut log, request, &report);
        Ok((failed, log))
    }

    /// Puts an instance back for the next call.
    fn keep(self: &Arc<Self>, mut instance: Instance) {
        if self.host.stop.is_cancelled() {
            return;
        }
        instance.used = Instant::now();
        let mut idle = self.idle();
        if idle.is_empty() {
            tokio::spawn(let_go(Arc::downgrade(self)));
        }
        idle.push(instance);
    }
}

/// Ends instances that have been idle for long, until there are none.
async fn let_go(fleet: Weak<Fleet>) {
    loop {
        tokio::time::sleep(CHECK).await;
        let Some(fleet) = fleet.upgrade() else { return };
        let mut idle = fleet.idle();
        let old = idle.extract_if(.., |it| KEPT < it.used.elapsed());
        let old: Vec<Instance> = old.collect();
        let is_empty = idle.is_empty();
        drop(idle);
        drop(old);
        if is_empty {
            return;
        }
    }
}

fn answer(result: Result<Payload, Failed>, tail: Vec<u8>, wants_log: bool) -> Answer {
    let log = if wants_log { tail } else { Vec::new() };
    Answer { result, log }
}

fn write_end(log: &mut Stream, request: &str, report: &Report) {
    log.close_line();
    log.line(log::end(request));
    log.line(report.line(request));
}

fn init_report(trouble: &Trouble, took: Duration) -> String {
    let status = match trouble {
        Trouble::TimedOut => "timeout".to_owned(),
        Trouble::InitError(failed) => format!("error\tError Type: {}", failed.error_type),
        Trouble::NotStarted(_) => "error\tError Type: Runtime.InvalidEntrypoint".to_owned(),
        Trouble::Exited(_) | Trouble::Stopped => "error\tError Type: Runtime.ExitError".to_owned(),
    };
    let took = log::milliseconds(took);
    format!("INIT_REPORT Init Duration: {took:.2} ms\tPhase: init\tStatus: {status}\n")
}

/// A trace header of X-Ray's form that asks for no trace.
fn trace() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let now = Timestamp::now().as_second();
    format!(
        "Root=1-{now:08x}-{};Parent={};Sampled=0",
        &id[..24],
        &uuid::Uuid::new_v4().simple().to_string()[..16]
    )
}
