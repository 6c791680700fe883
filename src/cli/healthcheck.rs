//! `lightship healthcheck`: asks a running server whether it is ready, for containers without a shell.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;

use super::{https::Https, serve::complain};

/// Arguments of `healthcheck`.
#[derive(Clone, Debug, clap::Args)]
pub struct Healthcheck {
    /// Address of the HTTP side's readiness page.
    #[arg(long, default_value = "http://127.0.0.1:8083/readyz")]
    url: String,
    #[command(flatten)]
    https: Https,
}

impl Healthcheck {
    /// Exit status 0 when ready, else 1.
    pub fn run(&self) -> ExitCode {
        match self.ask() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    fn ask(&self) -> anyhow::Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .tls_config(self.https.config(&self.url)?)
            .timeout_global(Some(TIMEOUT))
            .build()
            .into();
        let asked = agent.get(&self.url).call();
        asked.with_context(|| self.url.clone())?;
        Ok(())
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);
