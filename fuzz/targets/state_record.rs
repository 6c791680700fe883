//! What a state file may hold for an endpoint: whatever it is, it is refused, or makes an endpoint that makes a record
//! from which it could continue.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use lightship::{
    endpoint::{Endpoint, EndpointName, EndpointSettings, Output},
    platform::time::{Now, UnixMillis},
    store::record,
};

pub(crate) fn run(data: &[u8]) {
    // Without a checksum nothing else would be tried.
    record::Endpoint::from_row(data).ok();
    let Ok(first) = record::Endpoint::from_message(data) else {
        return;
    };
    let Some(second) = successor(&first).map(left_by) else {
        return;
    };
    let third = successor(&second).map(left_by);
    assert_eq!(third.as_ref(), Some(&second));
}

static NOW: LazyLock<Now> = LazyLock::new(|| Now {
    mono: start(),
    wall: UnixMillis(1_700_000_000_000),
});

/// The endpoint that continues from `record`.
fn successor(record: &record::Endpoint) -> Option<Endpoint> {
    let mut parameters = record.registration.as_ref()?.parameters.iter();
    let name = parameters.find_map(|parameter| parameter.strip_prefix("ep="))?;
    let settings = Arc::new(EndpointSettings {
        record_delay: Some(Duration::ZERO),
        ..EndpointSettings::default()
    });
    let name = EndpointName::new(name);
    Endpoint::restore(name, record, settings, [1; 32], *NOW, NOW.wall).ok()
}

/// What an endpoint leaves at a stop.
fn left_by(mut endpoint: Endpoint) -> record::Endpoint {
    endpoint.stop(*NOW);
    let mut kept = None;
    while let Some(output) = endpoint.poll_output() {
        if let Output::Save { record, .. } = output {
            kept = Some(*record);
        }
    }
    kept.expect("a stop hands the record over")
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made from a number"
)]
fn start() -> Instant {
    Instant::now()
}
