//! A Register and an Update that follows on it: what is accepted keeps the rules of a registration.

use lightship::{
    coap::{content_format::ContentFormat, link_format::Mode},
    lwm2m::{
        path::Path,
        registration::{ObjectList, RegisterParameters, RegistrationData, UpdateParameters},
    },
};

/// Reads `data`: query of Register, object list, query of Update, object list, parted by zero bytes; queries with `&`.
pub(crate) fn run(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let mut next = || parts.next().unwrap_or_default();
    let register = String::from_utf8_lossy(next());
    let Ok(parameters) = RegisterParameters::from_query(register.split('&')) else {
        return;
    };
    let version = parameters.version;
    let payload = next();
    let strict = ObjectList::parse(payload, Mode::Strict, version);
    let lenient = ObjectList::parse(payload, Mode::Lenient, version);
    if strict.is_ok() {
        assert_eq!(strict, lenient);
    }
    let Ok(objects) = lenient else {
        return;
    };
    let Ok(mut device) = RegistrationData::new(parameters, objects) else {
        return;
    };
    check(&device);

    let update = String::from_utf8_lossy(next());
    let Ok(parameters) = UpdateParameters::from_query(update.split('&'), version) else {
        return;
    };
    let objects = device.objects.updated(next(), Mode::Lenient, version).ok();
    let before = device.clone();
    device.update(parameters.clone(), objects.clone());
    check(&device);
    assert_eq!(device.endpoint, before.endpoint);
    assert_eq!(device.version, before.version);
    if parameters.lifetime.is_none() {
        assert_eq!(device.lifetime, before.lifetime);
    }
    if objects.is_none() {
        assert_eq!(device.objects, before.objects);
    }
}

fn check(device: &RegistrationData) {
    assert!(!device.endpoint.is_empty());
    assert!(!device.objects.objects().is_empty());
    let formats: &[ContentFormat] = device.content_formats();
    assert!(
        (1..formats.len()).all(|end| !formats[..end].contains(&formats[end])),
        "repeated"
    );
    for (&id, object) in device.objects.objects() {
        assert_eq!(device.supported_version(id), Some(object.version));
        let listed = device.supports(&Path::object(id), object.version);
        assert_eq!(listed, object.listed);
        for &instance in &object.instances {
            assert!(instance < u16::MAX);
            assert!(device.supports(&Path::resource(id, instance, 0), object.version));
        }
    }
}
