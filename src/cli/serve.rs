//! `lightship serve`: the service until it is told to stop, and the ordered shutdown (`rulings` 4.1).

use std::{path::PathBuf, process::ExitCode};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Mode, Settings, Sources};

use super::{
    logging,
    service::{Service, StartOptions},
};

/// Where settings come from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SettingsArguments {
    /// File with settings (TOML); may be given several times, later ones win.
    #[arg(long = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One setting, `lwm2m.server.port=5683` for instance; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingsArguments {
    /// The layers to read.
    pub fn sources(&self) -> Sources {
        Sources::new(self.files.clone(), self.set.clone())
    }
}

/// Arguments of `serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Serve {
    #[command(flatten)]
    settings: SettingsArguments,
}

impl Serve {
    /// Runs the service. Exit status: 0 stopped in order; 1 failed; 2 wrong settings; 3 a port is taken; 4 the platform
    /// cannot be reached; 5 another process has the state of this instance.
    pub fn run(&self) -> ExitCode {
        let loaded = match config::load(&self.settings.sources()) {
            Ok(loaded) => loaded,
            Err(errors) => {
                complain(&errors);
                return ExitCode::from(2);
            }
        };
        if let Err(error) = logging::init(&loaded.settings.log) {
            complain(&error);
            return ExitCode::from(2);
        }
        for warning in loaded
            .warnings
            .iter()
            .chain(&missing_registry(&loaded.settings))
        {
            tracing::warn!("{warning}");
        }
        actix::System::new().block_on(async move {
            let mut signals = match Signals::new() {
                Ok(signals) => signals,
                Err(error) => {
                    tracing::error!(%error, "signals cannot be received");
                    return ExitCode::FAILURE;
                }
            };
            let started = tokio::select! {
                started = Service::start(loaded.settings, StartOptions::default()) => started,
                () = signals.next() => {
                    tracing::info!("stopped before anything was served");
                    // A thread may wait for the broker, for long; nothing has been taken that could be lost.
                    std::process::exit(0);
                }
            };
            let service = match started {
                Ok(service) => service,
                Err(error) => {
                    tracing::error!("{error:#}");
                    return ExitCode::from(exit_code(&error));
                }
            };
            signals.next().await;
            tracing::info!("stopping; another signal hurries, a third one ends at once");
            stop(service, &mut signals).await;
            ExitCode::SUCCESS
        })
    }
}

/// The stop, in its order: (1) not ready, (2) newcomers are met with silence, (3) no more notifications of the core,
/// (4) exchanges finish; (5) sockets are read no more, what is pending is flushed, acknowledgements leave, (6) endpoints
/// end and close their sessions, or are kept for the next start, (7) sockets close, (8) store, platform side and HTTP end. A signal on the way skips to (5).
pub(crate) async fn stop(service: Service, signals: &mut Signals) {
    tokio::select! {
        () = service.wind_down() => {}
        () = signals.next() => tracing::info!("hurrying"),
    }
    tokio::select! {
        () = service.stop() => tracing::info!("stopped"),
        () = signals.next() => {
            tracing::warn!("ended at once");
            std::process::exit(1);
        }
    }
}

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The exit status for a start that failed (`operations.md` 2).
fn exit_code(error: &anyhow::Error) -> u8 {
    use crate::{platform::embedded, server, server::http::HttpError, store};
    if let Some(error) = error.downcast_ref::<server::StartError>() {
        return match error {
            server::StartError::Bind { .. } => PORT_TAKEN,
            server::StartError::Random(_)
            | server::StartError::Socket(_)
            | server::StartError::Worker => FAILED,
        };
    }
    if error.is::<server::keys::KeySettingError>() {
        return WRONG_SETTINGS;
    }
    if let Some(error) = error.downcast_ref::<HttpError>() {
        return match error {
            HttpError::Bind { .. } => PORT_TAKEN,
            HttpError::Thread(_) => FAILED,
            HttpError::Unprotected(_) | HttpError::Keys(_) => WRONG_SETTINGS,
        };
    }
    if let Some(error) = error.downcast_ref::<store::OpenError>() {
        return match error {
            store::OpenError::InUse { .. } => FENCED,
            store::OpenError::Owner { .. } | store::OpenError::Schema { .. } => WRONG_SETTINGS,
            store::OpenError::Damaged { .. }
            | store::OpenError::Database { .. }
            | store::OpenError::Io { .. }
            | store::OpenError::Thread(_) => FAILED,
        };
    }
    #[cfg(feature = "kafka")]
    if let Some(error) = error.downcast_ref::<crate::platform::thingsboard::StartError>() {
        return if error.is_of_settings() {
            WRONG_SETTINGS
        } else {
            NO_PLATFORM
        };
    }
    match error.downcast_ref::<embedded::StartError>() {
        Some(embedded::StartError::Output { .. } | embedded::StartError::Registry(_)) => {
            WRONG_SETTINGS
        }
        Some(embedded::StartError::Thread(_)) | None => FAILED,
    }
}

/// A warning when embedded mode has nothing to read: perhaps the folder's name is misspelt.
pub(super) fn missing_registry(settings: &Settings) -> Option<String> {
    let folder = &settings.embedded.registry_dir;
    (settings.mode == Mode::Embedded && !folder.is_dir()).then(|| {
        format!(
            "there is no folder {} (embedded.registry_dir): no device is known",
            folder.display()
        )
    })
}

/// Says what is wrong before there is a log.
#[expect(clippy::print_stderr, reason = "there is no log yet")]
pub(crate) fn complain(error: &dyn std::fmt::Display) {
    eprintln!("lightship: {error}");
}

const FAILED: u8 = 1;
const WRONG_SETTINGS: u8 = 2;
const PORT_TAKEN: u8 = 3;
#[cfg(feature = "kafka")]
const NO_PLATFORM: u8 = 4;
const FENCED: u8 = 5;

#[cfg(test)]
mod tests {
    use std::{io, net::SocketAddr};

    use super::*;

    #[test]
    fn a_failed_start_says_by_its_status_what_to_look_at() {
        use crate::{
            server::{StartError, http::HttpError},
            store::OpenError,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 5685));
        let taken = || io::Error::from(io::ErrorKind::AddrInUse);
        let bind = StartError::Bind {
            address,
            source: taken(),
        };
        let http = HttpError::Bind {
            address,
            source: taken(),
        };
        for (error, status) in [
            (bind.into(), 3),
            (StartError::Worker.into(), 1),
            (http.into(), 3),
            (HttpError::Unprotected(address).into(), 2),
            (OpenError::InUse { path: "x".into() }.into(), 5),
            (
                OpenError::Schema {
                    path: "x".into(),
                    found: 2,
                }
                .into(),
                2,
            ),
            (OpenError::Damaged { path: "x".into() }.into(), 1),
            (anyhow::anyhow!("anything else"), 1),
        ] {
            assert_eq!(exit_code(&error), status, "{error}");
        }
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn unusable_kafka_settings_are_told_from_an_absent_core() {
        use crate::platform::thingsboard::{StartError, ThingsBoard, ThingsBoardSettings};
        #[derive(Debug)]
        struct Nobody;
        impl crate::platform::DownlinkSink for Nobody {
            fn deliver(
                &self,
                _: crate::platform::SessionId,
                _: crate::platform::Downlink,
            ) -> Result<(), crate::platform::Undeliverable> {
                Ok(())
            }
            fn broadcast(
                &self,
                _: crate::platform::downlink::Scope,
                _: &crate::platform::Downlink,
            ) {
            }
        }
        let status = |service_id: &str, extra: &str| {
            let mut settings = ThingsBoardSettings {
                service_id: service_id.to_owned(),
                ..ThingsBoardSettings::default()
            };
            settings.kafka.extra = crate::platform::secret::Secret::new(extra);
            let error = ThingsBoard::start(&settings, std::sync::Arc::new(Nobody)).unwrap_err();
            exit_code(&error.into())
        };
        assert_eq!(status("with blanks", ""), 2);
        assert_eq!(status("ls-0", "without a colon"), 2);
        assert_eq!(status("ls-0", "no.such.property:1"), 2);
        assert_eq!(exit_code(&StartError::NoCore.into()), 4);
    }
}
