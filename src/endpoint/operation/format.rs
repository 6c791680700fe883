//! Which content format a request asks for or carries (`rpc.md` 7).

use crate::{
    coap::ContentFormat,
    endpoint::{context::DeviceContext, text},
    lwm2m::{
        format::{supported_for_reading, supported_for_writing},
        path::Path,
        value::ResourceType,
        version::Lwm2mVersion,
    },
};

/// The format in which a path is read or observed.
///
/// # Errors
/// [`NoUsableFormat`] when the path names several values and the device announced no format for such.
pub fn for_reading(
    path: &Path,
    device: &DeviceContext<'_>,
) -> Result<ContentFormat, NoUsableFormat> {
    choose(path, device, supported_for_reading())
}

/// The format in which a path is written.
///
/// # Errors
/// As [`for_reading`].
pub fn for_writing(
    path: &Path,
    device: &DeviceContext<'_>,
) -> Result<ContentFormat, NoUsableFormat> {
    choose(path, device, supported_for_writing())
}

/// The format of a composite request and of its answer; `None` when the device announced none.
pub fn for_composite(device: &DeviceContext<'_>) -> Option<ContentFormat> {
    choose_composite(device, supported_for_reading())
}

fn choose_composite(device: &DeviceContext<'_>, built: &[ContentFormat]) -> Option<ContentFormat> {
    let announced = device.registration.content_formats();
    let mut wanted = COMPOSITE.iter();
    wanted
        .find(|format| announced.contains(format) && built.contains(format))
        .copied()
}

/// The device announced no format that can carry what the path names. `Display` is the text of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", text::NO_COMPLEX_FORMAT)]
pub struct NoUsableFormat;

fn choose(
    path: &Path,
    device: &DeviceContext<'_>,
    built: &[ContentFormat],
) -> Result<ContentFormat, NoUsableFormat> {
    let version = device.registration.version;
    let single = device
        .resource_model(path)
        .filter(|model| !model.multiple)
        .map(|model| model.kind);
    let wanted = match (single, version) {
        (Some(ResourceType::Opaque), _) => OPAQUE,
        (Some(_), _) => SINGLE,
        (None, Lwm2mVersion::V1_0) => return Ok(ContentFormat::TLV),
        (None, Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => COMPLEX,
    };
    let announced = device.registration.content_formats();
    let found = wanted
        .iter()
        .find(|format| announced.contains(format) && built.contains(format));
    match (found, single, version) {
        (Some(format), _, _) => Ok(*format),
        (None, Some(_), Lwm2mVersion::V1_0) => Ok(ContentFormat::TLV),
        (None, Some(_), Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => Ok(ContentFormat::TEXT),
        (None, None, _) => Err(NoUsableFormat),
    }
}

// In the order in which the platform prefers formats that a device announced: TLV, JSON, OPAQUE, CBOR, SENML_JSON,
// SENML_CBOR; what the platform does not know comes last.

/// One value.
const SINGLE: &[ContentFormat] = &[
    ContentFormat::CBOR,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::LWM2M_CBOR,
];
/// One value of type OPAQUE.
const OPAQUE: &[ContentFormat] = &[
    ContentFormat::OPAQUE,
    ContentFormat::CBOR,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::LWM2M_CBOR,
];
/// Several values, or a value of which nothing is known.
const COMPLEX: &[ContentFormat] = &[
    ContentFormat::TLV,
    ContentFormat::JSON,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::LWM2M_CBOR,
];

/// Values of several paths.
const COMPOSITE: &[ContentFormat] = &[
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::LWM2M_CBOR,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::Fixture;

    /// Every format of the table, built or not.
    const ALL: &[ContentFormat] = &[
        ContentFormat::TEXT,
        ContentFormat::LINK,
        ContentFormat::OPAQUE,
        ContentFormat::CBOR,
        ContentFormat::SENML_JSON,
        ContentFormat::SENML_CBOR,
        ContentFormat::TLV,
        ContentFormat::JSON,
    ];
    /// Single INTEGER, single OPAQUE, multiple, instance of a multiple, object instance, unknown resource.
    const PATHS: [&str; 6] = ["/3/0/9", "/6/0/4", "/3/0/7", "/3/0/7/0", "/3/0", "/3/0/99"];

    /// What is chosen for each of [`PATHS`] by a device of `version` with this root link, when `built` is.
    fn chosen(
        version: &str,
        root: &str,
        built: &[ContentFormat],
    ) -> [Result<ContentFormat, NoUsableFormat>; 6] {
        let links = format!("{root}</3>;ver=1.2,</3/0>,</6/0>");
        let fixture = Fixture::new(&format!("lwm2m={version}"), &links, "{}");
        PATHS.map(|path| choose(&path.parse().unwrap(), &fixture.context(), built))
    }

    fn all(format: ContentFormat) -> [Result<ContentFormat, NoUsableFormat>; 6] {
        [Ok(format); 6]
    }

    #[test]
    fn p2_13_a_device_of_1_0_gets_tlv_for_what_it_announced_no_format_for() {
        for ct in ["0", "40 42", "11542", "4711"] {
            let root = format!("</>;ct=\"{ct}\",");
            let [single, _, complex @ ..] = chosen("1.0", &root, ALL);
            assert_eq!(single, Ok(ContentFormat::TLV), "{ct}");
            assert_eq!(complex, [Ok(ContentFormat::TLV); 4], "{ct}");
        }
    }

    #[test]
    fn p2_14_a_device_of_1_1_gets_text_for_what_it_announced_no_format_for() {
        let [single, opaque, complex @ ..] = chosen("1.1", "</>;ct=\"11543\",", ALL);
        assert_eq!(
            (single, opaque),
            (Ok(ContentFormat::TEXT), Ok(ContentFormat::TEXT))
        );
        assert_eq!(complex, [Ok(ContentFormat::JSON); 4]);
        for (ct, format) in [
            ("112", ContentFormat::SENML_CBOR),
            ("112 110", ContentFormat::SENML_JSON),
            ("112 110 11543", ContentFormat::JSON),
            ("112 110 11543 11542", ContentFormat::TLV),
        ] {
            let root = format!("</>;ct=\"{ct}\",");
            let [_, _, complex @ ..] = chosen("1.1", &root, ALL);
            assert_eq!(complex, [Ok(format); 4], "{ct}");
        }
    }

    #[test]
    fn p2_15_a_device_of_1_2_gets_lwm2m_cbor_when_it_announced_nothing_older() {
        let built = supported_for_reading();
        let chosen = |ct| chosen("1.2", &format!("</>;ct=\"{ct}\","), built);
        assert_eq!(chosen("11544"), all(ContentFormat::LWM2M_CBOR));
        assert_eq!(chosen("11544 112"), all(ContentFormat::SENML_CBOR));
        let [single, opaque, complex @ ..] = chosen("0 42 60 11544");
        assert_eq!(
            (single, opaque),
            (Ok(ContentFormat::CBOR), Ok(ContentFormat::OPAQUE))
        );
        assert_eq!(complex, [Ok(ContentFormat::LWM2M_CBOR); 4]);
    }

    #[test]
    fn an_object_link_is_never_asked_for_as_link_format() {
        let path = "/10/0/0".parse().unwrap();
        for (ct, format) in [
            ("40 42 60 110 112", ContentFormat::CBOR),
            ("40 110 112", ContentFormat::SENML_JSON),
            ("40", ContentFormat::TEXT),
        ] {
            let links = format!("</>;ct=\"{ct}\",</10/0>");
            let fixture = Fixture::new("lwm2m=1.1", &links, "{}");
            assert_eq!(choose(&path, &fixture.context(), ALL), Ok(format), "{ct}");
        }
    }

    #[test]
    fn all_formats_announced() {
        let root = "</>;ct=\"0 40 42 60 110 112 11542 11543\",";
        let [single, opaque, complex @ ..] = chosen("1.1", root, ALL);
        assert_eq!(single, Ok(ContentFormat::CBOR));
        assert_eq!(opaque, Ok(ContentFormat::OPAQUE));
        assert_eq!(complex, [Ok(ContentFormat::TLV); 4]);
        let [single, opaque, complex @ ..] = chosen("1.0", root, ALL);
        assert_eq!(single, Ok(ContentFormat::CBOR));
        assert_eq!(opaque, Ok(ContentFormat::OPAQUE));
        assert_eq!(complex, [Ok(ContentFormat::TLV); 4]);
    }

    #[test]
    fn no_format_announced() {
        assert_eq!(chosen("1.0", "", ALL), all(ContentFormat::TLV));
        let [single, opaque, complex @ ..] = chosen("1.1", "", ALL);
        assert_eq!(
            (single, opaque),
            (Ok(ContentFormat::TEXT), Ok(ContentFormat::TEXT))
        );
        assert_eq!(complex, [Ok(ContentFormat::TLV); 4]);
    }

    #[test]
    fn senml_alone_serves_everything() {
        let root = "</>;ct=\"112 110\",";
        assert_eq!(chosen("1.1", root, ALL), all(ContentFormat::SENML_JSON));
        assert_eq!(chosen("1.2", root, ALL), all(ContentFormat::SENML_JSON));
    }

    #[test]
    fn a_format_that_is_not_built_is_passed_over() {
        let root = "</>;ct=\"60 110 112 11542\",";
        let without_cbor = [
            ContentFormat::TEXT,
            ContentFormat::SENML_CBOR,
            ContentFormat::TLV,
        ];
        let [single, _, multiple, ..] = chosen("1.1", root, &without_cbor);
        assert_eq!(
            (single, multiple),
            (Ok(ContentFormat::SENML_CBOR), Ok(ContentFormat::TLV))
        );
    }

    #[test]
    fn composite_requests_take_senml_json_before_senml_cbor() {
        for (ct, format) in [
            ("60 112 110 11542", Some(ContentFormat::SENML_JSON)),
            ("112 11544", Some(ContentFormat::SENML_CBOR)),
            ("11544", Some(ContentFormat::LWM2M_CBOR)),
            ("60 11542 11543", None),
        ] {
            let links = format!("</>;ct=\"{ct}\",</3/0>");
            let fixture = Fixture::new("lwm2m=1.2", &links, "{}");
            let built = [ALL, &[ContentFormat::LWM2M_CBOR]].concat();
            assert_eq!(choose_composite(&fixture.context(), &built), format);
        }
        let fixture = Fixture::new("lwm2m=1.1", "</3/0>", "{}");
        assert_eq!(choose_composite(&fixture.context(), ALL), None);
    }

    #[test]
    fn several_values_need_a_format_for_them() {
        let [single, opaque, complex @ ..] = chosen("1.1", "</>;ct=0,", ALL);
        assert_eq!(
            (single, opaque),
            (Ok(ContentFormat::TEXT), Ok(ContentFormat::TEXT))
        );
        assert_eq!(complex, [Err(NoUsableFormat); 4]);
    }
}
