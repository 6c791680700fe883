//! The log: text for people, JSON for programs, on standard output.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Starts the log of this process.
///
/// # Errors
/// When `log.level` is no filter, or a log was started before.
pub(crate) fn init(settings: &LogSettings) -> anyhow::Result<()> {
    // Whatever this client says is said here once more, in our words. A directive of the settings wins.
    let filter = EnvFilter::try_new(format!("zookeeper_client=error,{}", settings.level))?;
    let terminal = io::stdout().is_terminal();
    let text = settings
        .format
        .map_or(terminal, |format| format == LogFormat::Text);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal);
    if text {
        log.with_target(false).try_init()
    } else {
        log.json().flatten_event(true).try_init()
    }
    .map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
