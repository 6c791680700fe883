//! The keys in use, and how files that change take their place (`security.md` 6.3).

use std::{sync::Arc, time::Duration};

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

    /// A watch on what is enabled. Begin it before [`Self::load`], or what is replaced between them is never noticed.
    pub fn watch(&self) -> Watch {
        let mut files = Vec::new();
        for settings in [&self.server, &self.bootstrap] {
            if settings.enabled {
                files.extend(settings.files());
            }
        }
        if self.trust.enabled {
            files.extend(self.trust.files());
        }
        Watch::new(files)
    }
}

/// Looks at the files every `interval`, and puts what `load` makes of them when they changed since `watch` began in the
/// place of the keys in use. Files that cannot be used leave those there. Ends with the runtime.
pub async fn reload<K: Send + Sync + 'static>(
    mut watch: Watch,
    load: impl Fn() -> Result<K, KeySettingError> + Clone + Send + 'static,
    interval: Duration,
    keys: watch::Sender<K>,
) {
    let mut debounce = Debounce::default();
    loop {
        tokio::time::sleep(debounce.wait(interval)).await;
        let looked = spawn_blocking(move || (watch.has_changed(), watch)).await;
        let Ok((has_changed, same)) = looked else {
            // The runtime ends: a look does not fail.
            return;
        };
        watch = same;
        if !debounce.is_due(has_changed) {
            continue;
        }
        let loaded = match spawn_blocking(load.clone()).await {
            Ok(loaded) => loaded.map_err(|error| error.to_string()),
            Err(_) => Err("reading them panicked".to_owned()),
        };
        match loaded {
            Ok(fresh) => {
                debounce.tries = 0;
                keys.send_replace(fresh);
                tracing::info!(
                    "keys and certificates were read anew; handshakes from here on use them"
                );
            }
            Err(reason) => {
                if debounce.tries == TRIES {
                    tracing::error!(
                        "changed keys or certificates cannot be used, so those before stay: {reason}"
                    );
                }
                debounce.tries -= 1;
            }
        }
    }
}

/// When files are read: certificate and key are written one after the other, and what is between is not looked at.
#[derive(Debug, Default)]
struct Debounce {
    is_changing: bool,
    /// How often files that cannot be used are still read.
    tries: u32,
}

impl Debounce {
    /// Takes what a look at the files showed; whether to read them.
    const fn is_due(&mut self, has_changed: bool) -> bool {
        self.is_changing = has_changed;
        if has_changed {
            self.tries = TRIES;
        }
        !has_changed && self.tries > 0
    }

    /// How long until the next look.
    const fn wait(&self, interval: Duration) -> Duration {
        if self.is_changing { SETTLE } else { interval }
    }
}

/// How long files must rest before they are read.
const SETTLE: Duration = Duration::from_secs(2);
/// How often files that cannot be used are read until they change again.
const TRIES: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// What comes of a series of looks: how long each was waited for, and whether the files are read after it.
    fn looks(debounce: &mut Debounce, changes: &[bool]) -> Vec<(Duration, bool)> {
        let look = |&has_changed| (debounce.wait(MINUTE), debounce.is_due(has_changed));
        changes.iter().map(look).collect()
    }

    #[test]
    fn s21_files_that_change_one_after_the_other_are_read_once_when_all_rest() {
        let mut debounce = Debounce::default();
        let changes = [false, true, true, true, false];
        assert_eq!(
            looks(&mut debounce, &changes),
            [
                (MINUTE, false),
                (MINUTE, false),
                (SETTLE, false),
                (SETTLE, false),
                (SETTLE, true),
            ]
        );
        debounce.tries = 0;
        assert_eq!(looks(&mut debounce, &[false]), [(MINUTE, false)]);
    }

    #[test]
    fn s21_files_that_cannot_be_used_are_read_ten_times() {
        let mut debounce = Debounce::default();
        for _ in 0..2 {
            looks(&mut debounce, &[true]);
            let reads = (0..20).filter(|_| {
                let is_due = debounce.is_due(false);
                debounce.tries -= u32::from(is_due);
                is_due
            });
            assert_eq!(reads.count(), 10);
        }
    }
}
