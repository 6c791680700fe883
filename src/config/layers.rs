//! The layers, merged into one list of values that remember where they come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use config::{Config, ConfigError, Environment, File, FileFormat, Map, Source, Value};
use serde::Deserialize;

use super::{
    ConfigErrors, EffectiveValue, PlatformVariable, Settings, Sources,
    compat::{ALIASES, Alias, Kind, UNSERVED, WITHOUT_EFFECT},
    values::{flatten, flatten_json},
};

/// All layers merged.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<String, Value>,
    preset: Option<Value>,
    warnings: Vec<String>,
    errors: Vec<String>,
    /// What becomes of the platform's variables that are set, by name.
    effects: BTreeMap<String, Vec<Effect>>,
}

/// What becomes of a variable of the platform.
#[derive(Clone, Debug)]
enum Effect {
    /// Nothing, for this reason.
    None(String),
    /// It sets this key, unless a later layer does.
    Sets(&'static str),
}

impl Layers {
    /// Reads and merges all layers; what is wrong shows in [`Layers::settings`].
    pub(super) fn read(sources: &Sources) -> Self {
        let mut layers = Self::default();
        let environment: BTreeMap<_, _> = sources
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if environment
            .get("TB_KAFKA_SERVERS")
            .is_some_and(|servers| !servers.is_empty())
        {
            layers.set("mode", "kafka", "default, because TB_KAFKA_SERVERS is set");
        }
        layers.read_files(&sources.files, environment.get("LIGHTSHIP_CONFIG").copied());
        layers.read_aliases(&environment);
        layers.read_own_variables(sources);
        layers.read_flags(&sources.set);
        layers.apply_preset();
        layers.read_secret_files();
        layers.refuse_unknown_keys();
        layers.warn_of_unserved_keys();
        layers
    }

    /// The typed settings.
    ///
    /// # Errors
    /// Files that cannot be read, flags without value, keys that do not exist, values of a wrong type: all of them.
    pub(super) fn settings(&self) -> Result<Settings, ConfigErrors> {
        let known = known_keys();
        let mut values = self.values.clone();
        // Unknown keys are reported already.
        values.retain(|key, _| known.contains(key));
        let mut errors = Vec::new();
        loop {
            let merged = Config::builder()
                .add_source(Layer(values.clone()))
                .build()
                .and_then(Settings::deserialize);
            let error = match merged {
                Ok(settings) if self.errors.is_empty() && errors.is_empty() => return Ok(settings),
                Ok(_) => break,
                Err(error) => error,
            };
            let (key, message) = explain(&error);
            errors.push(format!("{key}: {message} (from {})", self.origin(&key)));
            // Without the wrong value the next one shows.
            if values.remove(&key).is_none() {
                break;
            }
        }
        // Sections are read in no particular order.
        errors.sort();
        Err(ConfigErrors(
            self.errors.iter().cloned().chain(errors).collect(),
        ))
    }

    /// What set a key: file, variable, flag or `default`.
    pub(super) fn origin(&self, key: &str) -> &str {
        self.values
            .get(key)
            .and_then(Value::origin)
            .unwrap_or("default")
    }

    /// Every value with its origin; keys without a value are left out.
    pub(super) fn effective(&self, settings: &Settings) -> Vec<EffectiveValue> {
        let preset = self.preset.clone().map(|value| EffectiveValue {
            key: PRESET.to_owned(),
            origin: value.origin().unwrap_or_default().to_owned(),
            value: value.into_string().unwrap_or_default().into(),
        });
        known_values(settings)
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| EffectiveValue {
                origin: self.origin(&key).to_owned(),
                key,
                value,
            })
            .chain(preset)
            .collect()
    }

    /// What is worth a WARN line.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn set(&mut self, key: &str, value: &str, origin: &str) {
        let value = Value::new(Some(&origin.to_owned()), value);
        self.values.insert(key.to_owned(), value);
    }

    fn read_files(&mut self, files: &[PathBuf], variable: Option<&str>) {
        let usual = USUAL_FILES.map(PathBuf::from);
        let files: Vec<_> = match (files, variable.filter(|list| !list.is_empty())) {
            ([], Some(list)) => list.split(':').map(PathBuf::from).collect(),
            ([], None) => usual.into_iter().filter(|file| file.exists()).collect(),
            (files, _) => files.to_vec(),
        };
        for file in files {
            let name = file.display().to_string();
            match read_toml(&file) {
                Ok(table) => {
                    let mut values = BTreeMap::new();
                    flatten(Value::from(table), "", &mut values);
                    self.values.extend(
                        values
                            .into_iter()
                            .map(|(key, value)| (key, Value::new(Some(&name), value.kind))),
                    );
                }
                Err(error) => self.errors.push(format!("{name}: {error}")),
            }
        }
    }

    fn read_aliases(&mut self, environment: &BTreeMap<&str, &str>) {
        let set = |name: &str| environment.get(name).copied().filter(|v| !v.is_empty());
        let is_on = |name: &str| set(name).and_then(switch) == Some(true);
        let switches = ALIASES.iter().flat_map(|alias| {
            let own = matches!(alias.kind, Kind::Switch(_) | Kind::Never).then_some(alias.name);
            own.into_iter().chain(alias.kind.switch())
        });
        for name in switches.collect::<BTreeSet<_>>() {
            if set(name).is_some_and(|value| switch(value).is_none()) {
                self.errors.push(format!(
                    "environment variable {name}: neither true nor false"
                ));
            }
        }
        let known = known_keys();
        let mut off: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for Alias { name, key, kind } in ALIASES {
            let value = match *kind == Kind::Optional {
                true => environment.get(name).copied(),
                false => set(name),
            };
            let (Some(value), true) = (value, known.contains(*key)) else {
                continue;
            };
            if let Some(switch) = kind.switch().filter(|switch| !is_on(switch)) {
                off.entry(switch).or_default().insert(name);
                continue;
            }
            match self.carried_over(*kind, key, value, is_on(name)) {
                Some(value) => {
                    self.set(key, &value, &format!("environment variable {name}"));
                    self.note(name, Effect::Sets(key));
                }
                None => self.note(name, Effect::None("its value changes nothing".into())),
            }
        }
        let off = off.into_iter().map(|(switch, names)| {
            let names = names.into_iter().collect::<Vec<_>>();
            (names, format!("{switch} is not true"))
        });
        let listed = WITHOUT_EFFECT.iter().map(|(names, reason)| {
            let names = names.iter().filter(|name| set(name).is_some());
            (names.copied().collect(), (*reason).to_owned())
        });
        for (names, reason) in off.chain(listed) {
            if !names.is_empty() {
                self.warnings
                    .push(format!("without effect: {}: {reason}", names.join(", ")));
            }
            for name in names {
                self.note(name, Effect::None(reason.clone()));
            }
        }
    }

    /// The value that `kind` makes of a variable; `None` for none.
    fn carried_over(&mut self, kind: Kind, key: &str, value: &str, is_on: bool) -> Option<String> {
        Some(match kind {
            Kind::Copy | Kind::Optional | Kind::When(_) => value.to_owned(),
            Kind::Compression if value == "zstd" => {
                let message = "zstd is not built in, lz4 is used: whoever reads records knows it";
                self.warnings.push(format!("{key}: {message}"));
                "lz4".to_owned()
            }
            Kind::Compression => value.to_owned(),
            Kind::Queue if value == "in-memory" => "embedded".to_owned(),
            Kind::Queue => value.to_owned(),
            Kind::Never => {
                return (switch(value) == Some(false)).then(|| "0".to_owned());
            }
            Kind::Switch(text) => return is_on.then(|| text.to_owned()),
            // Anything else is an error of the setting: a slip must not switch the check off.
            Kind::Https(_) => match value.trim() {
                name if name.eq_ignore_ascii_case("https") => "true".to_owned(),
                name if name.eq_ignore_ascii_case("none") => "false".to_owned(),
                _ => value.to_owned(),
            },
            Kind::Login { member, .. } => return login_member(value, member),
            Kind::Host => {
                let (_, port) = self.host_and_port(key);
                match value.contains(':') && !value.starts_with('[') {
                    true => format!("[{value}]:{port}"),
                    false => format!("{value}:{port}"),
                }
            }
            Kind::Port => {
                let (host, _) = self.host_and_port(key);
                format!("{host}:{value}")
            }
        })
    }

    fn note(&mut self, name: &str, effect: Effect) {
        self.effects
            .entry(name.to_owned())
            .or_default()
            .push(effect);
    }

    /// Every variable of the platform that is set, and what becomes of it.
    pub(super) fn variables(&self) -> Vec<PlatformVariable> {
        let effects = self.effects.iter();
        effects
            .map(|(name, effects)| {
                let sets = |effect: &Effect| matches!(effect, Effect::Sets(_));
                let origin = format!("environment variable {name}");
                let texts: Vec<_> = effects
                    .iter()
                    // One that sets something may say nothing of the rest.
                    .filter(|effect| sets(effect) || !effects.iter().any(sets))
                    .map(|effect| self.explain_effect(&origin, effect))
                    .collect();
                PlatformVariable {
                    name: name.clone(),
                    has_effect: texts.iter().any(|(_, has_effect)| *has_effect),
                    effect: texts
                        .into_iter()
                        .map(|(text, _)| text)
                        .collect::<Vec<_>>()
                        .join("; "),
                }
            })
            .collect()
    }

    fn explain_effect(&self, origin: &str, effect: &Effect) -> (String, bool) {
        match effect {
            Effect::None(reason) => (format!("no effect: {reason}"), false),
            Effect::Sets(key) => {
                let winner = self.origin(key);
                let unserved = UNSERVED.iter().find(|(start, _)| key.starts_with(start));
                // Host and port of one key come from two variables.
                let shares = ALIASES.iter().any(|alias| {
                    let half = matches!(alias.kind, Kind::Host | Kind::Port);
                    half && alias.key == *key && winner.ends_with(alias.name)
                });
                if winner != origin && !shares {
                    (format!("no effect on {key}: {winner} sets it"), false)
                } else if let Some((_, reason)) = unserved {
                    (format!("sets {key}, without effect: {reason}"), false)
                } else {
                    (format!("sets {key}"), true)
                }
            }
        }
    }

    /// Host and port of what a `host:port` key is so far.
    fn host_and_port(&self, key: &str) -> (String, String) {
        let current = match self.values.get(key) {
            Some(value) => value.clone().into_string().unwrap_or_default(),
            None => default_text(key),
        };
        let (host, port) = current.rsplit_once(':').unwrap_or((&current, ""));
        (host.to_owned(), port.to_owned())
    }

    fn read_own_variables(&mut self, sources: &Sources) {
        let environment = sources.environment.iter().cloned().collect();
        let collected = Environment::with_prefix(PREFIX)
            .prefix_separator(SEPARATOR)
            .separator(SEPARATOR)
            .source(Some(environment))
            .collect();
        let variables = match collected {
            Ok(variables) => variables,
            Err(error) => return self.errors.push(error.to_string()),
        };
        for (key, value) in variables {
            let name = variable_name(&key);
            let origin = format!("environment variable {name}");
            if let Some(other) = self.values.get(&key).and_then(Value::origin)
                && ALIASES.iter().any(|alias| other.ends_with(alias.name))
            {
                self.warnings
                    .push(format!("{key}: {name} wins over {other}"));
            }
            self.values
                .insert(key, Value::new(Some(&origin), value.kind));
        }
    }

    fn read_flags(&mut self, flags: &[String]) {
        for flag in flags {
            match flag.split_once('=') {
                Some((key, value)) => self.set(key.trim(), value, &format!("--set {key}")),
                None => self
                    .errors
                    .push(format!("--set {flag}: key=value is needed")),
            }
        }
    }

    /// A preset gives defaults: explicit keys win.
    fn apply_preset(&mut self) {
        self.preset = self.values.remove(PRESET);
        let Some(preset) = &self.preset else {
            return;
        };
        let origin = preset.origin().unwrap_or_default().to_owned();
        match preset.clone().into_string().as_deref() {
            Ok("rfc7252") => {}
            Ok("thingsboard") => {
                let value = Value::new(Some(&format!("coap.preset in {origin}")), 10_u64);
                self.values
                    .entry("coap.max_retransmit".to_owned())
                    .or_insert(value);
            }
            Ok(_) | Err(_) => self.errors.push(format!(
                "{PRESET}: expected `rfc7252` or `thingsboard` (from {origin})"
            )),
        }
    }

    fn read_secret_files(&mut self) {
        for secret in SECRETS {
            let key = format!("{secret}_file");
            let Some(value) = self.values.remove(&key) else {
                continue;
            };
            let origin = value.origin().unwrap_or_default().to_owned();
            let file = value.into_string().unwrap_or_default();
            if self.values.contains_key(*secret) {
                self.errors
                    .push(format!("{key}: {secret} is set as well (from {origin})"));
                continue;
            }
            match std::fs::read_to_string(&file) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    let text = text.strip_suffix('\r').unwrap_or(text);
                    self.set(secret, text, &format!("file {file}"));
                }
                Err(error) => self
                    .errors
                    .push(format!("{key}: {file}: {error} (from {origin})")),
            }
        }
    }

    fn refuse_unknown_keys(&mut self) {
        let known = known_keys();
        let errors: Vec<_> = self
            .values
            .keys()
            .filter(|key| !known.contains(*key))
            .map(|key| format!("{key}: no such setting (from {})", self.origin(key)))
            .collect();
        self.errors.extend(errors);
    }

    fn warn_of_unserved_keys(&mut self) {
        for (prefix, reason) in UNSERVED {
            let keys: Vec<_> = self
                .values
                .keys()
                .filter(|key| key.starts_with(prefix))
                .map(|key| format!("{key} (from {})", self.origin(key)))
                .collect();
            if !keys.is_empty() {
                self.warnings
                    .push(format!("without effect: {}: {reason}", keys.join(", ")));
            }
        }
    }
}

/// A member of a line for the login of the Java client.
#[cfg(feature = "kafka")]
fn login_member(line: &str, member: &str) -> Option<String> {
    crate::platform::thingsboard::security::jaas_value(line, member)
}

/// No login without brokers.
#[cfg(not(feature = "kafka"))]
const fn login_member(_: &str, _: &str) -> Option<String> {
    None
}

/// What a switch of the platform says: the words that Spring takes (`StringToBooleanConverter`).
fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

fn read_toml(file: &Path) -> Result<Map<String, Value>, String> {
    let yaml = ["yaml", "yml"].map(OsStr::new);
    if file
        .extension()
        .is_some_and(|extension| yaml.contains(&extension))
    {
        return Err("only TOML is read".to_owned());
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    File::from_str(&text, FileFormat::Toml)
        .collect()
        .map_err(|error| error.to_string())
}

/// Values as a source of `config`, which puts dotted keys into sections.
#[derive(Clone, Debug)]
struct Layer(BTreeMap<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone().into_iter().collect())
    }
}

/// The key at fault and what is wrong with its value.
fn explain(error: &ConfigError) -> (String, String) {
    if let ConfigError::Type {
        unexpected,
        expected,
        key: Some(key),
        ..
    } = error
    {
        return (
            key.clone(),
            format!("{unexpected} where {expected} is expected"),
        );
    }
    if let ConfigError::At {
        error,
        key: Some(key),
        ..
    } = error
    {
        let message = error.to_string();
        let message = match message.split_once(" does not have variant constructor ") {
            Some((_, value)) => format!("`{value}` is none of its values"),
            None => message,
        };
        return (key.clone(), message);
    }
    (String::new(), error.to_string())
}

/// Every key of the settings.
fn known_keys() -> BTreeSet<String> {
    known_values(&Settings::default())
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}

fn known_values(settings: &Settings) -> Vec<(String, serde_json::Value)> {
    let mut values = Vec::new();
    if let Ok(tree) = serde_json::to_value(settings) {
        flatten_json(tree, "", &mut values);
    }
    values
}

fn default_text(key: &str) -> String {
    known_values(&Settings::default())
        .into_iter()
        .find(|(known, _)| known == key)
        .and_then(|(_, value)| Some(value.as_str()?.to_owned()))
        .unwrap_or_default()
}

fn variable_name(key: &str) -> String {
    format!("{PREFIX}{SEPARATOR}{}", key.replace('.', SEPARATOR)).to_uppercase()
}

const PREFIX: &str = "LIGHTSHIP";
/// A single underscore would catch the `LIGHTSHIP_PORT_..` variables that Kubernetes makes of a Service `lightship`.
const SEPARATOR: &str = "__";
const USUAL_FILES: [&str; 2] = ["/etc/lightship/lightship.toml", "./lightship.toml"];
/// Chooses defaults for `coap`.
pub(super) const PRESET: &str = "coap.preset";
/// Keys whose value may stand in a file named by `<key>_file`.
pub(super) const SECRETS: &[&str] = &[
    "http.api_token",
    "http.tls.key_password",
    "kafka.consumer_extra",
    "kafka.extra",
    "kafka.sasl.password",
    "kafka.ssl.key_password",
    "kafka.ssl.keystore_password",
    "lwm2m.bootstrap.credentials.key_password",
    "lwm2m.bootstrap.credentials.keystore_password",
    "lwm2m.server.credentials.key_password",
    "lwm2m.server.credentials.keystore_password",
    "lwm2m.trust.keystore_password",
    "redis.password",
];
