//! The query of Register and Update (OMA LwM2M Core, "Register" and "Update").

use std::{collections::BTreeMap, time::Duration};

use super::{binding::BindingModes, error::RegistrationError};
use crate::lwm2m::version::{Lwm2mVersion, Lwm2mVersionError};

/// What a Register says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterParameters {
    /// `ep`. May be missing where the security layer names the endpoint.
    pub endpoint: Option<String>,
    /// `lt`
    pub lifetime: Lifetime,
    /// `lwm2m`
    pub version: Lwm2mVersion,
    /// `b`
    pub binding: BindingModes,
    /// The `Q` flag, or `Q` in the binding of LwM2M 1.0.
    pub queue_mode: bool,
    /// `sms`, the telephone number.
    pub sms: Option<String>,
    /// All others by name, `pid` of LwM2M 1.2 among them; a flag has no value.
    pub additional: AdditionalParameters,
}

/// Parameters without a meaning here, by name; a flag has no value.
pub type AdditionalParameters = BTreeMap<String, Option<String>>;

impl RegisterParameters {
    /// Reads the Uri-Query options of a Register, `ep=urn:x` for instance.
    ///
    /// # Errors
    /// The first rule that is broken. [`RegistrationError::VersionUnsupported`] is for 4.12, all others are for 4.00.
    pub fn from_query<'a>(
        query: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, RegistrationError> {
        let stated = Stated::from_query(query)?;
        let version = match stated.version.map(str::parse) {
            None => return Err(RegistrationError::VersionMissing),
            Some(Err(Lwm2mVersionError::Syntax)) => return Err(RegistrationError::VersionInvalid),
            Some(Err(Lwm2mVersionError::Unsupported)) => {
                return Err(RegistrationError::VersionUnsupported);
            }
            Some(Ok(version)) => version,
        };
        let binding = stated
            .binding
            .map(|letters| BindingModes::parse(letters, version))
            .transpose()?
            .unwrap_or_default();
        let queue_mode = match (version, stated.queue_mode) {
            (Lwm2mVersion::V1_0, Some(_)) | (_, Some(Some(_))) => {
                return Err(RegistrationError::QueueModeInvalid);
            }
            (Lwm2mVersion::V1_0, None) => binding.queue_mode(),
            (_, flag) => flag.is_some(),
        };
        Ok(Self {
            endpoint: stated.endpoint.map(endpoint_name).transpose()?.flatten(),
            lifetime: stated
                .lifetime
                .map(|seconds| Lifetime::parse(seconds, version))
                .transpose()?
                .unwrap_or_default(),
            version,
            binding,
            queue_mode,
            sms: stated.sms.map(str::to_owned),
            additional: stated.additional,
        })
    }
}

/// What an Update changes; what is `None` stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateParameters {
    /// `lt`
    pub lifetime: Option<Lifetime>,
    /// `b`
    pub binding: Option<BindingModes>,
    /// The `Q` flag, or whether `Q` is in the binding of LwM2M 1.0.
    pub queue_mode: Option<bool>,
    /// `sms`, the telephone number.
    pub sms: Option<String>,
    /// All others.
    pub additional: AdditionalParameters,
}

impl UpdateParameters {
    /// Reads the Uri-Query options of an Update by a device that registered with `version`.
    ///
    /// `ep` and `lwm2m` cannot change and are ignored, as is a `Q` that the version does not define.
    ///
    /// # Errors
    /// The first rule that is broken; all are for 4.00.
    pub fn from_query<'a>(
        query: impl IntoIterator<Item = &'a str>,
        version: Lwm2mVersion,
    ) -> Result<Self, RegistrationError> {
        let stated = Stated::from_query(query)?;
        let binding = stated
            .binding
            .map(|letters| BindingModes::parse(letters, version))
            .transpose()?;
        let queue_mode = match version {
            Lwm2mVersion::V1_0 => binding.map(BindingModes::queue_mode),
            Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2 => {
                (stated.queue_mode == Some(None)).then_some(true)
            }
        };
        Ok(Self {
            lifetime: stated
                .lifetime
                .map(|seconds| Lifetime::parse(seconds, version))
                .transpose()?,
            binding,
            queue_mode,
            sms: stated.sms.map(str::to_owned),
            additional: stated.additional,
        })
    }
}

/// How long a registration lasts after the last Register or Update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// At most 2^31 seconds.
    Seconds(u32),
    /// Until the device de-registers (`lt=0` since LwM2M 1.2).
    Infinite,
}

impl Lifetime {
    /// The lifetime as a duration; `None` when it never ends.
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds as u64)),
            Self::Infinite => None,
        }
    }

    fn parse(text: &str, version: Lwm2mVersion) -> Result<Self, RegistrationError> {
        let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds = digits
            .and_then(|digits| digits.parse().ok())
            .filter(|seconds| *seconds <= MAX_LIFETIME)
            .ok_or(RegistrationError::LifetimeInvalid)?;
        Ok(match (seconds, version) {
            (0, Lwm2mVersion::V1_2) => Self::Infinite,
            (0, Lwm2mVersion::V1_0 | Lwm2mVersion::V1_1) => Self::Seconds(MIN_LIFETIME),
            (seconds, _) => Self::Seconds(seconds),
        })
    }
}

impl Default for Lifetime {
    /// 86,400 seconds, the lifetime of a device that states none.
    fn default() -> Self {
        Self::Seconds(86_400)
    }
}

/// The values of the known parameters, as they were sent.
#[derive(Default)]
struct Stated<'a> {
    endpoint: Option<&'a str>,
    lifetime: Option<&'a str>,
    version: Option<&'a str>,
    binding: Option<&'a str>,
    /// The inner `None` is a flag without a value.
    queue_mode: Option<Option<&'a str>>,
    sms: Option<&'a str>,
    additional: AdditionalParameters,
}

impl<'a> Stated<'a> {
    fn from_query(query: impl IntoIterator<Item = &'a str>) -> Result<Self, RegistrationError> {
        let mut stated = Self::default();
        let mut length = 0_usize;
        for parameter in query {
            length = length.saturating_add(parameter.len());
            if length > MAX_QUERY {
                return Err(RegistrationError::QueryTooLong);
            }
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (parameter, None),
            };
            let repeated = match name {
                "ep" => stated.endpoint.replace(value.unwrap_or_default()).is_some(),
                "lt" => stated.lifetime.replace(value.unwrap_or_default()).is_some(),
                "lwm2m" => stated.version.replace(value.unwrap_or_default()).is_some(),
                "b" => stated.binding.replace(value.unwrap_or_default()).is_some(),
                "Q" => stated.queue_mode.replace(value).is_some(),
                "sms" => stated.sms.replace(value.unwrap_or_default()).is_some(),
                _ => {
                    let value = value.map(str::to_owned);
                    stated.additional.insert(name.to_owned(), value);
                    false
                }
            };
            if repeated {
                return Err(RegistrationError::Repeated);
            }
        }
        Ok(stated)
    }
}

/// Takes the value of `ep` when it can be shown and logged as it is; an empty one counts as missing.
///
/// # Errors
/// [`RegistrationError::EndpointInvalid`] for a name of more than 255 bytes or with control characters.
pub fn endpoint_name(name: &str) -> Result<Option<String>, RegistrationError> {
    if name.len() > MAX_ENDPOINT_NAME || name.chars().any(char::is_control) {
        return Err(RegistrationError::EndpointInvalid);
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// All parameters together, bytes.
pub(super) const MAX_QUERY: usize = 4096;
/// The longest endpoint name, bytes.
const MAX_ENDPOINT_NAME: usize = 255;
/// The longest lifetime, seconds.
const MAX_LIFETIME: u32 = 1 << 31;
/// The lifetime of a device that asks for none before LwM2M 1.2, seconds.
const MIN_LIFETIME: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn register(query: &str) -> Result<RegisterParameters, RegistrationError> {
        RegisterParameters::from_query(query.split('&'))
    }

    fn update(query: &str, version: Lwm2mVersion) -> Result<UpdateParameters, RegistrationError> {
        UpdateParameters::from_query(query.split('&'), version)
    }

    #[test]
    fn p31_register_parameters_are_read_in_any_order() {
        let parameters = register("lwm2m=1.1&ep=urn:imei:1&b=US&sms=%2B4912&lt=300&Q&x=y").unwrap();
        assert_eq!(parameters.endpoint.as_deref(), Some("urn:imei:1"));
        assert_eq!(parameters.lifetime, Lifetime::Seconds(300));
        assert_eq!(parameters.version, Lwm2mVersion::V1_1);
        assert_eq!(parameters.binding.to_string(), "U, S");
        assert!(parameters.queue_mode);
        assert_eq!(parameters.sms.as_deref(), Some("%2B4912"));
    }

    #[test]
    fn p31_ep_lt_and_b_have_defaults() {
        let parameters = register("ep=a&lwm2m=1.0").unwrap();
        assert_eq!(
            parameters.lifetime.duration(),
            Some(Duration::from_secs(86_400))
        );
        assert_eq!(parameters.binding, BindingModes::default());
        assert!(!parameters.queue_mode);
        assert_eq!(register("lwm2m=1.1").unwrap().endpoint, None);
        assert_eq!(register("ep=&lwm2m=1.1").unwrap().endpoint, None);
    }

    #[test]
    fn p31_ep_takes_every_usual_form() {
        let longest = "x".repeat(255);
        for name in [
            "urn:imei:490154203237518",
            "urn:uuid:f81d4fae",
            "Zähler 7 / Süd",
            &longest,
        ] {
            let parameters = register(&format!("ep={name}&lwm2m=1.1")).unwrap();
            assert_eq!(parameters.endpoint.as_deref(), Some(name));
        }
        // Only the first equals sign separates.
        let parameters = register("ep=a=b&lwm2m=1.1").unwrap();
        assert_eq!(parameters.endpoint.as_deref(), Some("a=b"));
    }

    #[test]
    fn p31_lwm2m_takes_1_0_to_1_2_and_later_minor_versions_as_1_2() {
        for (text, version) in [
            ("1.0", Lwm2mVersion::V1_0),
            ("1.1", Lwm2mVersion::V1_1),
            ("1.2", Lwm2mVersion::V1_2),
            ("1.7", Lwm2mVersion::V1_2),
        ] {
            let parameters = register(&format!("ep=a&lwm2m={text}")).unwrap();
            assert_eq!(parameters.version, version, "{text}");
        }
        for (text, error) in [
            ("", RegistrationError::VersionInvalid),
            ("01.1", RegistrationError::VersionInvalid),
            ("1.1.0", RegistrationError::VersionInvalid),
            ("2.0", RegistrationError::VersionUnsupported),
        ] {
            assert_eq!(
                register(&format!("ep=a&lwm2m={text}")),
                Err(error),
                "{text}"
            );
        }
    }

    #[test]
    fn p31_pid_and_other_parameters_are_kept() {
        let parameters = register("ep=a&lwm2m=1.2&pid=7f&vendor=x=y&flag&empty=").unwrap();
        let expected = [
            ("pid", Some("7f")),
            ("vendor", Some("x=y")),
            ("flag", None),
            ("empty", Some("")),
        ];
        assert_eq!(
            parameters.additional,
            expected
                .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
                .into()
        );
    }

    #[test]
    fn a46_a_query_of_10_kib_is_refused() {
        let query = format!("ep=a&lwm2m=1.1{}", "&x=1234567".repeat(1000));
        assert_eq!(register(&query), Err(RegistrationError::QueryTooLong));
        assert_eq!(
            update(&query, Lwm2mVersion::V1_1),
            Err(RegistrationError::QueryTooLong)
        );
        assert!(register(&format!("ep=a&lwm2m=1.1{}", "&x=1".repeat(1000))).is_ok());
    }

    #[test]
    fn a46_lifetimes_out_of_range_are_refused() {
        for text in [
            "-1",
            "2147483649",
            "9223372036854775808",
            "99999999999999999999",
            "",
            "1.5",
            "+1",
        ] {
            assert_eq!(
                register(&format!("ep=a&lwm2m=1.1&lt={text}")),
                Err(RegistrationError::LifetimeInvalid),
                "{text}"
            );
        }
        let longest = register("ep=a&lwm2m=1.1&lt=2147483648").unwrap();
        assert_eq!(longest.lifetime, Lifetime::Seconds(1 << 31));
    }

    #[test]
    fn a46_lifetime_zero_is_a_minute_before_1_2_and_endless_since() {
        for (version, lifetime) in [
            ("1.0", Lifetime::Seconds(60)),
            ("1.1", Lifetime::Seconds(60)),
            ("1.2", Lifetime::Infinite),
        ] {
            let parameters = register(&format!("ep=a&lwm2m={version}&lt=0")).unwrap();
            assert_eq!(parameters.lifetime, lifetime, "{version}");
        }
        assert_eq!(Lifetime::Infinite.duration(), None);
    }

    #[test]
    fn a46_versions_are_missing_malformed_or_unsupported() {
        assert_eq!(register("ep=a"), Err(RegistrationError::VersionMissing));
        assert_eq!(
            register("ep=a&lwm2m=1"),
            Err(RegistrationError::VersionInvalid)
        );
        assert_eq!(
            register("ep=a&lwm2m=9.9"),
            Err(RegistrationError::VersionUnsupported)
        );
    }

    #[test]
    fn a46_bindings_depend_on_the_version() {
        for query in [
            "lwm2m=1.0&b=X",
            "lwm2m=1.0&b=UT",
            "lwm2m=1.1&b=UQ",
            "lwm2m=1.1&b=",
        ] {
            assert_eq!(
                register(&format!("ep=a&{query}")),
                Err(RegistrationError::BindingInvalid),
                "{query}"
            );
        }
    }

    #[test]
    fn a46_endpoint_names_with_control_characters_or_too_long_are_refused() {
        for name in ["a\nb", "a\u{85}", "\0", &"x".repeat(1024)] {
            assert_eq!(
                register(&format!("lwm2m=1.1&ep={name}")),
                Err(RegistrationError::EndpointInvalid)
            );
        }
        let look_alike = register("lwm2m=1.1&ep=urn:dеv").unwrap();
        assert_eq!(look_alike.endpoint.as_deref(), Some("urn:dеv"));
    }

    #[test]
    fn p31_q_is_a_flag_since_1_1_and_part_of_the_binding_before() {
        assert!(register("ep=a&lwm2m=1.0&b=UQ").unwrap().queue_mode);
        assert!(register("ep=a&lwm2m=1.1&Q").unwrap().queue_mode);
        for query in ["lwm2m=1.0&Q", "lwm2m=1.1&Q=1", "lwm2m=1.1&Q="] {
            assert_eq!(
                register(&format!("ep=a&{query}")),
                Err(RegistrationError::QueueModeInvalid),
                "{query}"
            );
        }
    }

    #[test]
    fn a_repeated_parameter_is_refused() {
        assert_eq!(
            register("ep=a&ep=b&lwm2m=1.1"),
            Err(RegistrationError::Repeated)
        );
    }

    #[test]
    fn a77_an_update_states_only_what_it_changes() {
        assert_eq!(
            UpdateParameters::from_query([], Lwm2mVersion::V1_1),
            Ok(UpdateParameters::default())
        );
        let changed = update("lt=30&lwm2m=2.0&ep=other", Lwm2mVersion::V1_1).unwrap();
        assert_eq!(
            changed,
            UpdateParameters {
                lifetime: Some(Lifetime::Seconds(30)),
                ..UpdateParameters::default()
            }
        );
    }

    #[test]
    fn an_update_checks_what_it_states() {
        assert_eq!(
            update("b=UT", Lwm2mVersion::V1_0),
            Err(RegistrationError::BindingInvalid)
        );
        assert_eq!(
            update("b=UQ", Lwm2mVersion::V1_1),
            Err(RegistrationError::BindingInvalid)
        );
        assert_eq!(
            update("lt=-1", Lwm2mVersion::V1_1),
            Err(RegistrationError::LifetimeInvalid)
        );
    }

    #[test]
    fn p31_q_in_an_update_changes_queue_mode() {
        let by_flag = update("Q", Lwm2mVersion::V1_1).unwrap();
        assert_eq!(by_flag.queue_mode, Some(true));
        let by_binding = update("b=U", Lwm2mVersion::V1_0).unwrap();
        assert_eq!(by_binding.queue_mode, Some(false));
        assert_eq!(update("Q", Lwm2mVersion::V1_0).unwrap().queue_mode, None);
        assert_eq!(update("Q=1", Lwm2mVersion::V1_1).unwrap().queue_mode, None);
    }
}
