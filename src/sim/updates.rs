//! A simulated device that takes updates: Object 5 and Object 9, instance 0, as a well-behaved client plays them.
//!
//! A package that arrives is there at once; one whose address is written is fetched from the server, whatever host the
//! address names. Installing takes a while. The first line of a package says what it is, name and version with a blank
//! between them; a package of anything else has a name of its own.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    coap::{Code, Message, Request, Token},
    lwm2m::{path::Path, value::Value},
};

use super::SimDevice;

/// The updates of one device.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// Packages that are being fetched, by the token of the request.
    fetches: Vec<(Token, &'static Managed)>,
    /// Packages that are being installed, and until when.
    installs: Vec<(Instant, &'static Managed)>,
}

/// One object, by the numbers of its resources, states and results.
#[derive(Debug)]
struct Managed {
    object: u16,
    package: u16,
    uri: u16,
    install: u16,
    state: u16,
    result: u16,
    name: u16,
    version: u16,
    /// The resource of Object 3 that shows the version.
    device_version: u16,
    /// Gives a package up.
    cancel: u16,
    ready: i64,
    /// Firmware says that it installs.
    installing: Option<i64>,
    installed: i64,
    verified: Option<i64>,
    success: i64,
    lost: i64,
}

static MANAGED: [Managed; 2] = [
    Managed {
        object: 5,
        package: 0,
        uri: 1,
        install: 2,
        state: 3,
        result: 5,
        name: 6,
        version: 7,
        device_version: 3,
        cancel: 10,
        ready: 2,
        installing: Some(3),
        installed: IDLE,
        verified: None,
        success: 1,
        lost: 4,
    },
    Managed {
        object: 9,
        package: 2,
        uri: 3,
        install: 4,
        state: 7,
        result: 9,
        name: 0,
        version: 1,
        device_version: 19,
        cancel: 6,
        ready: 3,
        installing: None,
        installed: 4,
        verified: Some(3),
        success: 2,
        lost: 52,
    },
];

impl Managed {
    const fn path(&self, resource: u16) -> Path {
        Path::resource(self.object, 0, resource)
    }
}

impl<P: Copy + Eq + Debug> SimDevice<P> {
    /// What becomes of a value that the server wrote.
    pub(super) fn update_written(&mut self, now: Instant, path: &Path) {
        let Some(managed) = self.managed(path) else {
            return;
        };
        let value = self.objects.value(path).cloned();
        if *path == managed.path(managed.package) {
            self.package_arrived(now, managed);
        } else if *path == managed.path(managed.uri)
            && let Some(Value::String(uri)) = value
        {
            self.set_number(now, managed, managed.result, INITIAL);
            if uri.is_empty() {
                return self.set_number(now, managed, managed.state, IDLE);
            }
            self.set_number(now, managed, managed.state, DOWNLOADING);
            self.download(now, managed, &uri);
        }
    }

    /// Whether the device may execute a resource, and what becomes of it.
    pub(super) fn update_executed(&mut self, now: Instant, path: &Path) -> bool {
        let Some(managed) = self.managed(path) else {
            return true;
        };
        if *path == managed.path(managed.install) {
            let state = self.objects.value(&managed.path(managed.state)).cloned();
            if state != Some(Value::Integer(managed.ready)) {
                return false;
            }
            if let Some(installing) = managed.installing {
                self.set_number(now, managed, managed.state, installing);
            }
            let installs = self.updates.as_mut().map(|own| &mut own.installs);
            installs
                .into_iter()
                .for_each(|own| own.push((now + INSTALLING, managed)));
        } else if *path == managed.path(managed.cancel) {
            self.set_number(now, managed, managed.state, IDLE);
            self.set_number(now, managed, managed.result, INITIAL);
        }
        true
    }

    /// Whether a response is that to a download, which then ends.
    pub(super) fn update_fetched(
        &mut self,
        now: Instant,
        token: Token,
        message: Option<&Message>,
    ) -> bool {
        let Some((_, managed)) = self.updates.as_mut().and_then(|own| {
            let fetches = &mut own.fetches;
            let index = fetches.iter().position(|(own, _)| *own == token)?;
            Some(fetches.swap_remove(index))
        }) else {
            return false;
        };
        match message.filter(|message| message.code() == Code::CONTENT) {
            Some(message) => {
                let value = Value::Opaque(message.payload());
                self.objects.set(managed.path(managed.package), value);
                self.package_arrived(now, managed);
            }
            None => {
                self.set_number(now, managed, managed.result, managed.lost);
                self.set_number(now, managed, managed.state, IDLE);
            }
        }
        true
    }

    /// Ends what is installed by now.
    pub(super) fn finish_installs(&mut self, now: Instant) {
        while let Some((_, managed)) = self.updates.as_mut().and_then(|own| {
            let installs = &mut own.installs;
            let index = installs.iter().position(|(until, _)| *until <= now)?;
            Some(installs.swap_remove(index))
        }) {
            let package = self.objects.value(&managed.path(managed.package)).cloned();
            let (name, version) = contents(package);
            let version = Value::String(version);
            self.set(now, managed.path(managed.name), Value::String(name));
            self.set(now, managed.path(managed.version), version.clone());
            self.set(now, Path::resource(3, 0, managed.device_version), version);
            self.set_number(now, managed, managed.result, managed.success);
            self.set_number(now, managed, managed.state, managed.installed);
        }
    }

    /// When [`Self::finish_installs`] is due.
    pub(super) fn next_install(&self) -> Option<Instant> {
        let installs = self.updates.iter().flat_map(|own| &own.installs);
        installs.map(|(until, _)| *until).min()
    }

    fn package_arrived(&mut self, now: Instant, managed: &'static Managed) {
        let result = managed.verified.unwrap_or(INITIAL);
        self.set_number(now, managed, managed.result, result);
        self.set_number(now, managed, managed.state, managed.ready);
    }

    fn download(&mut self, now: Instant, managed: &'static Managed, uri: &str) {
        let path = uri
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map_or("", |(_, path)| path);
        let request = Request {
            path: path.split('/').map(str::to_owned).collect(),
            ..Request::default()
        };
        let token = self
            .exchanges
            .request(now, self.server, &request, FETCH_TIMEOUT);
        if let Some(updates) = &mut self.updates {
            updates.fetches.push((token, managed));
        }
    }

    fn set_number(&mut self, now: Instant, managed: &Managed, resource: u16, number: i64) {
        self.set(now, managed.path(resource), Value::Integer(number));
    }

    /// The object of a path, if this device takes updates of it.
    fn managed(&self, path: &Path) -> Option<&'static Managed> {
        self.updates.as_ref()?;
        let mut all = MANAGED.iter();
        all.find(|own| Path::instance(own.object, 0).contains(path))
    }
}

/// Name and version of a package.
fn contents(package: Option<Value>) -> (String, String) {
    let bytes = match package {
        Some(Value::Opaque(bytes)) => bytes,
        _ => Bytes::new(),
    };
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let said = std::str::from_utf8(line)
        .ok()
        .filter(|line| line.len() <= MAX_LINE)
        .and_then(|line| line.trim().rsplit_once(' '));
    match said {
        Some((name, version)) => (name.to_owned(), version.to_owned()),
        None => ("package".to_owned(), format!("of {} bytes", bytes.len())),
    }
}

const IDLE: i64 = 0;
const DOWNLOADING: i64 = 1;
const INITIAL: i64 = 0;
/// How long installing takes.
const INSTALLING: Duration = Duration::from_secs(3);
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest first line that says what a package is, bytes.
const MAX_LINE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_package_says_what_it_is() {
        let said = |bytes: &'static [u8]| contents(Some(Value::Opaque(Bytes::from_static(bytes))));
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(
            said(b"My firmware 2.0\n\xff\xfe"),
            pair("My firmware", "2.0")
        );
        assert_eq!(said(b"fw 1"), pair("fw", "1"));
        assert_eq!(said(b"\xff\xfe\n"), pair("package", "of 3 bytes"));
    }
}
