//! The user's program: what has to be set up before the command line is read.

use std::process::ExitCode;
use std::time::Duration;

/// How long a request under way may keep the program from ending.
const LAST_WORDS: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<ExitCode> {
    fanout::cli::complete::answer();
    // A thousand items at once are a thousand connections. Where it cannot be raised, what there
    // is has to do.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    explain_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let exit = runtime.block_on(fanout::cli::run());
    runtime.shutdown_timeout(LAST_WORDS);
    Ok(exit)
}

/// Says what to do with a panic, which is always our mistake.
fn explain_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic");
        eprintln!(
            "This is a mistake in fanout {}, not yours: please report the lines above. Runs go on.",
            fanout::cli::RELEASE
        );
    }));
}
