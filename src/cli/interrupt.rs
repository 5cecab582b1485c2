//! Ctrl-C and SIGTERM, by which a service manager or a CI job ends a command: heard once for the
//! whole program, so that none is lost between two things that are waited for.

use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::exit::Exit;

static HEARD: OnceLock<watch::Receiver<bool>> = OnceLock::new();
/// Whether somebody is being asked: reading the answer leaves no room to hear anything else.
static ASKING: AtomicBool = AtomicBool::new(false);

/// Returns when the program has been told to end since somebody first asked. Told a second time,
/// the program ends at once.
pub fn stopped() -> impl Future<Output = ()> + Send + 'static {
    let mut heard = HEARD.get_or_init(listen).clone();
    async move {
        // Where nothing can be heard the process just ends, which the store survives.
        if heard.wait_for(|heard| *heard).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Does `work`; `None` when it was not done before the program was told to end.
pub async fn unless_stopped<T>(work: impl Future<Output = T>) -> Option<T> {
    let stopped = stopped();
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => Some(done),
        // What is inside may know better what an interruption means for it, and has not heard yet.
        () = stopped => work.now_or_never(),
    }
}

/// Asks somebody who may answer by Ctrl-C.
pub fn while_asking<T>(ask: impl FnOnce() -> T) -> T {
    ASKING.store(true, Ordering::Relaxed);
    let answer = ask();
    ASKING.store(false, Ordering::Relaxed);
    answer
}

fn listen() -> watch::Receiver<bool> {
    let (heard, receiver) = watch::channel(false);
    let listening = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    if let (Ok(mut interrupt), Ok(mut terminate)) = listening {
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if heard.send_replace(true) || ASKING.load(Ordering::Relaxed) {
                    std::process::exit(Exit::Interrupted.code().into());
                }
            }
        });
    }
    receiver
}
