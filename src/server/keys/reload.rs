//! The keys in use, and how files that change take their place (`security.md` 6.3).

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    dtls::{Credentials, TrustStore},
    platform::peer::ServerRole,
};

use super::{
    KeyError, Watch,
    settings::{CredentialSettings, TrustSettings},
};

/// What one server shows and trusts.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Its key and certificates; `None`: only devices with pre-shared keys are served.
    pub credentials: Option<Arc<Credentials>>,
    /// Issuers whose devices are trusted.
    pub trust: Arc<TrustStore>,
}

/// Where the keys of both servers are.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    /// Of the LwM2M server.
    pub server: CredentialSettings,
    /// Of the bootstrap server.
    pub bootstrap: CredentialSettings,
    /// Of issuers.
    pub trust: TrustSettings,
}

/// The keys of both servers.
#[derive(Clone, Debug, Default)]
pub struct BothKeys {
    /// Of the LwM2M server.
    pub server: Keys,
    /// Of the bootstrap server.
    pub bootstrap: Keys,
}

impl BothKeys {
    /// Those of one of them.
    pub const fn of(&self, role: ServerRole) -> &Keys {
        match role {
            ServerRole::Bootstrap => &self.bootstrap,
            ServerRole::Lwm2m => &self.server,
        }
    }
}

/// Which setting names files that cannot be used, and why they cannot.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {error}")]
pub struct KeySettingError {
    /// The setting.
    pub setting: &'static str,
    /// Why.
    pub error: KeyError,
}

impl KeyFiles {
    /// Reads what is enabled.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn load(&self) -> Result<BothKeys, KeySettingError> {
        let of = |setting| move |error| KeySettingError { setting, error };
        let trust = if self.trust.enabled {
            self.trust.store().map_err(of("lwm2m.trust"))?
        } else {
            TrustStore::default()
        };
        let trust = Arc::new(trust);
        let keys = |settings: &CredentialSettings, alias, setting| {
            let credentials = settings
                .enabled
                .then(|| settings.credentials(alias).map(Arc::new))
                .transpose()
                .map_err(of(setting))?;
            let trust = Arc::clone(&trust);
            Ok(Keys { credentials, trust })
        };
        Ok(BothKeys {
            server: keys(&self.server, "server", "lwm2m.server.credentials")?,
            bootstrap: keys(&self.bootstrap, "bootstrap", "lwm2m.bootstrap.credentials")?,
        })
    }

    /// The files that [`Self::load`] looks at.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for settings in [&self.server, &self.bootstrap] {
            if settings.enabled {
                files.extend(settings.files());
            }
        }
        if self.trust.enabled {
            files.extend(self.trust.files());
        }
        files
    }
}

/// Looks at the files every `interval`, and puts what `load` makes of them when they changed in the place of the keys in
/// use. Files that cannot be used leave those there. Never returns.
pub async fn reload<K: Send + Sync + 'static>(
    files: Vec<PathBuf>,
    load: impl Fn() -> Result<K, KeySettingError> + Clone + Send + 'static,
    interval: Duration,
    keys: watch::Sender<K>,
) {
    let mut watch = Watch::new(files);
    let mut tries = 0;
    loop {
        tokio::time::sleep(interval).await;
        let mut changed = false;
        // Certificate and key are written one after the other: what is between is not looked at.
        loop {
            let looked = spawn_blocking(move || (watch.has_changed(), watch)).await;
            let Ok((has_changed, same)) = looked else {
                return;
            };
            watch = same;
            if !has_changed {
                break;
            }
            changed = true;
            tokio::time::sleep(SETTLE).await;
        }
        if changed {
            tries = TRIES;
        }
        if tries == 0 {
            continue;
        }
        match spawn_blocking(load.clone()).await {
            Ok(Ok(fresh)) => {
                tries = 0;
                keys.send_replace(fresh);
                tracing::info!(
                    "keys and certificates were read anew; handshakes from here on use them"
                );
            }
            Ok(Err(error)) => {
                tries -= 1;
                if changed {
                    tracing::error!(
                        "changed keys or certificates cannot be used, so those before stay: {error}"
                    );
                }
            }
            Err(_) => return,
        }
    }
}

/// How long files must rest before they are read.
const SETTLE: Duration = Duration::from_secs(2);
/// How often files that cannot be used are read until they change again.
const TRIES: u32 = 10;
