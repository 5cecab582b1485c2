//! One process of a command function: Lambda's execution environment.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::keeper::Keeper;
use super::log::Stream;
use super::runtime_api::{Invocation, RuntimeApi, Said};
use super::{Failed, Host, MAX_RESULT, Program, REGION, VERSION};

/// How often a process's memory is looked at.
const MEMORY_CHECK: Duration = Duration::from_millis(250);
/// What a pipe holds (pipe(7)): so much may have been written before an answer and not be read yet.
const PIPE: usize = 64 * 1024;
/// How long the output of a process that has ended is read: somebody else may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) struct Instance {
    child: Child,
    /// Its process group has its number.
    group: u32,
    keeper: Arc<Keeper>,
    output: Output,
    api: RuntimeApi,
    pub(super) log: Stream,
    /// Whether the runtime waits for an invocation.
    is_waiting: bool,
    memory: Memory,
    host: Arc<Host>,
    /// When it was last used.
    pub(super) used: Instant,
}

/// Why an instance cannot go on.
#[derive(Debug)]
pub(super) enum Trouble {
    NotStarted(String),
    /// With what Lambda says of such an end.
    Exited(String),
    InitError(Failed),
    TimedOut,
    /// The engine stops.
    Stopped,
}

enum Happened {
    Said(Said),
    Trouble(Trouble),
}

impl Instance {
    /// Starts the program; it has not asked for anything yet. The stream comes back when it does not
    /// start.
    pub(super) async fn start(
        function: &str,
        program: &Program,
        host: &Arc<Host>,
        log: Stream,
        timeout: Duration,
    ) -> Result<Self, (Trouble, Stream)> {
        match Self::spawn(function, program, host, &log, timeout).await {
            Ok((child, group, keeper, output, api)) => Ok(Self {
                child,
                group,
                keeper,
                output,
                api,
                log,
                is_waiting: false,
                memory: Memory::new(program.memory),
                host: Arc::clone(host),
                used: Instant::now(),
            }),
            Err(error) => {
                let problem = format!("{}: {error}", program.command.join(" "));
                Err((Trouble::NotStarted(problem), log))
            }
        }
    }

    async fn spawn(
        function: &str,
        program: &Program,
        host: &Arc<Host>,
        log: &Stream,
        timeout: Duration,
    ) -> io::Result<(Child, u32, Arc<Keeper>, Output, RuntimeApi)> {
        let keeper = host.keeper()?;
        let api = RuntimeApi::start().await?;
        // One pipe for both, so that lines stay in order.
        let (reader, writer) = io::pipe()?;
        let (name, arguments) = program
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("there is no command"))?;
        let is_path = name.contains('/');
        let mut command = match is_path {
            true => Command::new(program.folder.join(name)),
            false => Command::new(name),
        };
        command
            .args(arguments)
            .current_dir(&program.folder)
            .env_clear()
            .envs(environment(function, program, host, log, &api, timeout))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn()?;
        // Or its copies of the pipe's end would keep the pipe open.
        drop(command);
        let group = child.id().unwrap_or_default();
        keeper.begin(group);
        let output = Output::new(reader)?;
        Ok((child, group, keeper, output, api))
    }

    /// Resolves once the runtime asks for an invocation.
    pub(super) async fn ready(&mut self, until: Instant) -> Result<(), Trouble> {
        while !self.is_waiting {
            match self.happens(until).await {
                Happened::Said(Said::Next) => self.is_waiting = true,
                Happened::Said(Said::InitError { payload, kind }) => {
                    let failed = Failed::reported(payload, kind.as_deref());
                    return Err(Trouble::InitError(failed));
                }
                Happened::Said(_) => {}
                Happened::Trouble(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// Whether it is still there and asks for an invocation; one that was used ends otherwise.
    pub(super) async fn is_alive(&mut self, until: Instant) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && self.ready(until).await.is_ok()
    }

    /// Has a runtime that waits do one invocation.
    pub(super) async fn invoke(
        &mut self,
        invocation: Invocation,
        until: Instant,
    ) -> Result<Result<Bytes, Failed>, Trouble> {
        self.is_waiting = false;
        self.memory.begin();
        self.api.give(invocation);
        loop {
            return match self.happens(until).await {
                Happened::Said(Said::Response(body)) => Ok(Ok(body)),
                Happened::Said(Said::Error { payload, kind }) => {
                    Ok(Err(Failed::reported(payload, kind.as_deref())))
                }
                Happened::Said(Said::TooLarge(size)) => Ok(Err(Failed::service(
                    "Function.ResponseSizeTooLarge",
                    &format!(
                        "Response payload size ({size} bytes) exceeded maximum allowed payload size ({MAX_RESULT} bytes)."
                    ),
                ))),
                Happened::Said(Said::InitError { payload, kind }) => {
                    let failed = Failed::reported(payload, kind.as_deref());
                    Err(Trouble::InitError(failed))
                }
                Happened::Said(Said::Next) => continue,
                Happened::Trouble(trouble) => Err(trouble),
            };
        }
    }

    /// The next thing that happens, while output goes to the log.
    async fn happens(&mut self, until: Instant) -> Happened {
        let stop = self.host.stop.clone();
        loop {
            let output = tokio::select! {
                biased;
                () = stop.cancelled() => return Happened::Trouble(Trouble::Stopped),
                () = tokio::time::sleep_until(until) => {
                    return Happened::Trouble(Trouble::TimedOut);
                }
                () = self.memory.tick() => {
                    if self.memory.is_over(self.group) {
                        // Its end is what happens next.
                        let _ = self.child.start_kill();
                    }
                    continue;
                }
                said = self.api.said() => {
                    self.take_written();
                    return Happened::Said(said);
                }
                status = self.child.wait() => {
                    self.keeper.end(self.group);
                    self.take_last_words().await;
                    let reason = status.map_or_else(|error| error.to_string(), end_of);
                    return Happened::Trouble(Trouble::Exited(reason));
                }
                read = self.output.read() => read,
            };
            self.log.output(output);
            if self.log.is_full() {
                self.log.flush().await;
            }
        }
    }

    /// Takes in what was written before the runtime spoke.
    fn take_written(&mut self) {
        let mut taken = 0;
        while taken <= PIPE
            && let Some(output) = tokio::task::unconstrained(self.output.read()).now_or_never()
        {
            taken += output.len();
            self.log.output(output);
        }
    }

    /// Takes in what a process that has ended has left.
    async fn take_last_words(&mut self) {
        let until = Instant::now() + LAST_WORDS;
        while self.output.is_open {
            let Ok(output) = tokio::time::timeout_at(until, self.output.read_or_end()).await else {
                break;
            };
            self.log.output(output);
            if self.log.is_full() {
                self.log.flush().await;
            }
        }
        self.log.close_line();
    }

    /// Most memory that was seen since the invocation began, MB; `None` where the system does not
    /// tell.
    pub(super) fn memory_used(&mut self) -> Option<u64> {
        self.memory.is_over(self.group);
        let used = self.memory.peak?;
        Some(used.div_ceil(1024 * 1024))
    }

    /// Ends the process, and with it all that it started; the stream can be used again.
    pub(super) async fn end(mut self) -> Stream {
        self.keeper.end(self.group);
        // Already ended is as good.
        let _ = self.child.kill().await;
        self.take_last_words().await;
        let unused = Stream::new("", Arc::clone(&self.host));
        std::mem::replace(&mut self.log, unused)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The process itself goes with its handle.
        self.keeper.end(self.group);
    }
}

/// Standard output and standard error.
struct Output {
    pipe: pipe::Receiver,
    buffer: Vec<u8>,
    is_open: bool,
}

impl Output {
    fn new(reader: io::PipeReader) -> io::Result<Self> {
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?,
            buffer: vec![0; 16 * 1024],
            is_open: true,
        })
    }

    /// What is written next; pending for ever after the end.
    async fn read(&mut self) -> &[u8] {
        let size = match self.is_open {
            true => self.pipe.read(&mut self.buffer).await.unwrap_or_default(),
            false => 0,
        };
        if size == 0 {
            self.is_open = false;
            std::future::pending::<()>().await;
        }
        &self.buffer[..size]
    }

    /// What is written next; nothing at the end.
    async fn read_or_end(&mut self) -> &[u8] {
        let size = self.pipe.read(&mut self.buffer).await.unwrap_or_default();
        self.is_open = size > 0;
        &self.buffer[..size]
    }
}

/// The variables that Lambda defines (Lambda developer guide, "Defined runtime environment
/// variables"), those of the function, and of ours only what programs need to be found and to run.
fn environment(
    function: &str,
    program: &Program,
    host: &Host,
    log: &Stream,
    api: &RuntimeApi,
    timeout: Duration,
) -> Vec<(String, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    for name in ["PATH", "HOME", "TMPDIR"] {
        all.extend(std::env::var(name).ok().map(|value| (name, value)));
    }
    all.extend([
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("_HANDLER", program.handler.clone()),
        ("LAMBDA_TASK_ROOT", program.folder.display().to_string()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", api.address.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", VERSION.to_owned()),
        (
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            program.memory.to_string(),
        ),
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", timeout.as_secs().to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", log.group.clone()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log.name.clone()),
    ]);
    if let Some((url, credentials)) = host.endpoint.get() {
        all.extend([
            ("AWS_ENDPOINT_URL", url.clone()),
            ("AWS_ACCESS_KEY_ID", credentials.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_key.clone()),
        ]);
    }
    let own = program.environment.iter();
    let own = own.map(|(name, value)| (name.clone(), value.clone()));
    // The function's own come last, and so win; those of Lambda are reserved in the configuration.
    let all = all.into_iter().map(|(name, it)| (name.to_owned(), it));
    all.chain(own).collect()
}

/// How Lambda words the end of a runtime.
fn end_of(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, Some(signal)) => {
            let name = match signal {
                1 => "hangup",
                2 => "interrupt",
                3 => "quit",
                4 => "illegal instruction",
                6 => "aborted",
                7 => "bus error",
                8 => "floating point exception",
                9 => "killed",
                11 => "segmentation fault",
                13 => "broken pipe",
                15 => "terminated",
                other => return format!("Runtime exited with error: signal {other}"),
            };
            format!("Runtime exited with error: signal: {name}")
        }
        (None, None) => format!("Runtime exited with error: {status}"),
    }
}

/// Watches what a process and its descendants take. Only Linux tells; elsewhere nothing is limited.
struct Memory {
    /// Bytes.
    limit: u64,
    peak: Option<u64>,
    ticks: Interval,
}

impl Memory {
    fn new(limit: u32) -> Self {
        let mut ticks = tokio::time::interval(MEMORY_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            limit: u64::from(limit) * 1024 * 1024,
            peak: None,
            ticks,
        }
    }

    fn begin(&mut self) {
        self.peak = None;
    }

    async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Looks at a process. Pages that several processes share are counted for each of them.
    fn is_over(&mut self, process: u32) -> bool {
        let Some(resident) = resident(process) else {
            return false;
        };
        self.peak = Some(self.peak.unwrap_or_default().max(resident));
        self.limit < resident
    }
}

/// Bytes in memory of a process and its descendants (proc(5)).
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let own: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).ok();
    let children = tasks.into_iter().flatten().flatten().flat_map(|task| {
        let children = std::fs::read_to_string(task.path().join("children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|it| it.parse().ok());
        children.collect::<Vec<u32>>()
    });
    Some(own * 1024 + children.filter_map(resident).sum::<u64>())
}
