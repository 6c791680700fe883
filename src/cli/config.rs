//! `lightship config check` and `lightship config print`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand};

use crate::{
    config::{self, ConfigErrors, Loaded, Mode},
    platform::embedded,
};

use super::{
    serve::{SettingsArguments, missing_registry},
    service::key_files,
};

/// Arguments of `config`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Tells what is wrong with the settings, the files of keys and the registry folder, one line each; exits with 0 or 2.
    Check(SettingsArguments),
    /// Prints every setting with the file, variable or flag it comes from; secrets are masked.
    Print(SettingsArguments),
}

impl Config {
    /// Exit status 0 when the settings can be used, else 2.
    pub fn run(&self) -> ExitCode {
        let mut out = io::stdout().lock();
        let done = match &self.action {
            Action::Check(settings) => check(config::load(&settings.sources()), &mut out),
            Action::Print(settings) => print(config::load(&settings.sources()), &mut out),
        };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(2),
            // Whoever reads the output has seen enough.
            Err(_) => ExitCode::FAILURE,
        }
    }
}

fn check(loaded: Result<Loaded, ConfigErrors>, out: &mut impl Write) -> io::Result<bool> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(&errors, out),
    };
    for variable in &loaded.variables {
        writeln!(out, "note: {variable}")?;
    }
    for warning in loaded
        .warnings
        .iter()
        .chain(&missing_registry(&loaded.settings))
    {
        writeln!(out, "warning: {warning}")?;
    }
    let mut problems: Vec<String> = match loaded.settings.mode {
        Mode::Embedded => embedded::check(&loaded.settings.embedded)
            .iter()
            .map(ToString::to_string)
            .collect(),
        Mode::Kafka => Vec::new(),
    };
    if let Err(error) = key_files(&loaded.settings).load() {
        problems.push(error.to_string());
    }
    if let Some(Err(error)) = loaded.settings.http.tls.files().map(|files| files.load()) {
        problems.push(error.to_string());
    }
    for problem in &problems {
        writeln!(out, "error: {problem}")?;
    }
    if problems.is_empty() {
        writeln!(out, "the settings are valid")?;
    }
    Ok(problems.is_empty())
}

fn print(loaded: Result<Loaded, ConfigErrors>, out: &mut impl Write) -> io::Result<bool> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(errors) => return refuse(&errors, out),
    };
    for value in &loaded.values {
        writeln!(out, "{value}")?;
    }
    // What has an effect stands beside its value.
    for variable in loaded.variables.iter().filter(|own| !own.has_effect) {
        writeln!(out, "# {variable}")?;
    }
    Ok(true)
}

fn refuse(errors: &ConfigErrors, out: &mut impl Write) -> io::Result<bool> {
    for error in &errors.0 {
        writeln!(out, "error: {error}")?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::config::Sources;

    use super::*;

    fn load(set: &[&str]) -> Result<Loaded, ConfigErrors> {
        config::load(&Sources {
            files: vec!["/dev/null".into()],
            set: set.iter().map(|flag| (*flag).to_owned()).collect(),
            environment: Vec::new(),
        })
    }

    fn text(out: Vec<u8>) -> String {
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn check_tells_every_problem_on_a_line() {
        let mut out = Vec::new();
        let wrong = load(&["lwm2m.timeout_ms=x", "coap.nstartt=1"]);
        assert!(!check(wrong, &mut out).unwrap());
        assert_eq!(
            text(out),
            "error: coap.nstartt: no such setting (from --set coap.nstartt)\n\
             error: lwm2m.timeout_ms: string \"x\" where an integer is expected (from --set lwm2m.timeout_ms)\n"
        );
    }

    #[test]
    fn check_reads_the_registry_as_well() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("devices")).unwrap();
        let registry = format!("embedded.registry_dir={}", folder.path().display());
        let mut out = Vec::new();
        assert!(check(load(&[&registry, "lwm2m.server.id=5"]), &mut out).unwrap());
        assert_eq!(
            text(out),
            "warning: without effect: lwm2m.server.id (from --set lwm2m.server.id): short server ids come from device profiles\n\
             the settings are valid\n"
        );
        fs::write(folder.path().join("devices/a.json"), "[").unwrap();
        let mut out = Vec::new();
        assert!(!check(load(&[&registry]), &mut out).unwrap());
        assert!(text(out).contains("devices/a.json:1:1: EOF"));
    }

    #[test]
    fn what_print_writes_is_a_settings_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("printed.toml");
        let loaded = load(&["lwm2m.server.port=5683", "service.id=gw-1"]).unwrap();
        let settings = loaded.settings.clone();
        let mut out = Vec::new();
        assert!(print(Ok(loaded), &mut out).unwrap());
        let out = text(out);
        assert!(out.contains("lwm2m.server.port = 5683  # --set lwm2m.server.port\n"));
        assert!(out.contains("http.bind = \"0.0.0.0:8083\"  # default\n"));
        fs::write(&file, out).unwrap();
        let again = config::load(&Sources {
            files: vec![file],
            ..Sources::default()
        });
        assert_eq!(again.unwrap().settings, settings);
    }
}
