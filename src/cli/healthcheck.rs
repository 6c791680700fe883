//! `lightship healthcheck`: asks a running server whether it is ready, for containers without a shell.

use std::{process::ExitCode, time::Duration};

use super::serve::complain;

/// Arguments of `healthcheck`.
#[derive(Clone, Debug, clap::Args)]
pub struct Healthcheck {
    /// Address of the HTTP side's readiness page.
    #[arg(long, default_value = "http://127.0.0.1:8083/readyz")]
    url: String,
}

impl Healthcheck {
    /// Exit status 0 when ready, else 1.
    pub fn run(&self) -> ExitCode {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .build()
            .into();
        match agent.get(&self.url).call() {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format_args!("{}: {error}", self.url));
                ExitCode::FAILURE
            }
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);
