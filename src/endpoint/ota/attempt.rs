//! One attempt to bring a package to a device: what is known for it, and the way that the package takes.

use std::sync::Arc;

use super::{
    object::Object,
    settings::{OtaSettings, SoftwarePath},
    slots::Slot,
    target::Target,
};
use crate::{
    endpoint::text::ota as text,
    lwm2m::path::Path,
    platform::package::{Package, PackageInfo, PackageKind},
};

/// What an attempt has come to know and to hold.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    /// State and result are observed.
    pub(super) watched: bool,
    /// What was installed has been removed.
    pub(super) cleared: bool,
    pub(super) info: Option<PackageInfo>,
    pub(super) slot: Option<Slot>,
    pub(super) package: Option<Arc<Package>>,
    /// The protocols by which the device can fetch, once it was asked.
    pub(super) protocols: Option<Vec<i64>>,
    pub(super) way: Option<Way>,
    pub(super) described: bool,
    pub(super) reset: bool,
    /// How often the present step was tried.
    pub(super) tries: u8,
    /// The device has said something of this attempt.
    pub(super) moved: bool,
    /// The package may have arrived though nobody said so.
    pub(super) lost: bool,
    /// The registration ended in the middle of the transfer.
    pub(super) interrupted: bool,
    pub(super) execution: Execution,
}

/// How far the command to install has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Execution {
    /// It has not left.
    #[default]
    Unsent,
    /// It is under way, or nobody knows what became of it: it is not repeated.
    Sent,
    /// The device refused it; it is tried again.
    Refused,
}

/// How a package reaches a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::endpoint) enum Way {
    /// It is written to this path.
    Push(Path),
    /// The device fetches it from this address.
    Fetch(String),
}

/// What an attempt has to heed, beside the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) settings: &'a OtaSettings,
    pub(super) slots: &'a super::PushSlots,
    /// The profile's work is done: what the device runs is known as far as it will be.
    pub(super) ready: bool,
    /// Number of the profile's strategy.
    pub(super) strategy: i64,
    /// What addresses begin with, by the profile.
    pub(super) base: Option<&'a str>,
    /// Whether a description goes before the package.
    pub(super) describes: bool,
    /// Whether the device registered over DTLS.
    pub(super) secured: bool,
    /// Whether the profile observes state and result.
    pub(super) observed: [bool; 2],
    /// By how much pauses vary, permille: 800 to 1200.
    pub(super) jitter: u32,
}

/// What is to be known before a way can be chosen, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Open {
    Info,
    Package,
    Protocols,
    Impossible(String),
}

/// Where a package goes by the strategy that writes it to Object 19.
pub(super) const PACKAGE_IN_OBJECT_19: Path = Path::resource(19, 0, 0);

/// Chooses the way of a package (`ota.md` 7.1 and 9.5). `delivery` is what the device says of it.
pub(super) fn choose(
    object: &Object,
    target: &Target,
    attempt: &Attempt,
    delivery: Option<i64>,
    terms: &Terms<'_>,
) -> Result<Way, Open> {
    if let Some(url) = target.url.as_deref().filter(|url| !url.is_empty()) {
        return Ok(Way::Fetch(url.to_owned()));
    }
    let Some(info) = &attempt.info else {
        return Err(Open::Info);
    };
    let push = Way::Push(object.package);
    let fetches = match (delivery, terms.strategy, object.kind) {
        (Some(0), ..) => true,
        (Some(1), ..) => return Ok(push),
        (_, 1, _) => {
            let limit = terms.settings.prefer_pull_above;
            if limit == 0 || delivery != Some(2) || address_base(terms, &[]).is_none() {
                return Ok(push);
            }
            let Some(package) = &attempt.package else {
                return Err(Open::Package);
            };
            package.bytes().len() as u64 > limit
        }
        (_, 2, _) => true,
        (_, 3, PackageKind::Firmware) => return Ok(Way::Push(PACKAGE_IN_OBJECT_19)),
        (_, number, _) => return Err(Open::Impossible(text::unsupported_strategy(number))),
    };
    if !fetches {
        return Ok(push);
    }
    let protocols = match (object.protocols, &attempt.protocols) {
        (None, _) => &[COAP][..],
        (Some(_), None) => return Err(Open::Protocols),
        (Some(_), Some(protocols)) if protocols.is_empty() => &[COAP],
        (Some(_), Some(protocols)) => protocols,
    };
    let Some(base) = address_base(terms, protocols) else {
        return Err(Open::Impossible(text::NO_ADDRESS.to_owned()));
    };
    let is_spoken = |(prefix, number): &(&str, i64)| {
        base.starts_with(prefix) && (object.protocols.is_none() || protocols.contains(number))
    };
    if SCHEMES.iter().any(is_spoken) {
        let path = match (object.kind, terms.settings.sw_path) {
            (PackageKind::Software, SoftwarePath::Tbsw) => "tbsw",
            (PackageKind::Software, SoftwarePath::Tbfw) | (PackageKind::Firmware, _) => "tbfw",
        };
        let base = base.trim_end_matches('/');
        return Ok(Way::Fetch(format!("{base}/{path}/{}", info.id)));
    }
    if delivery == Some(0) {
        return Err(Open::Impossible(text::NO_PROTOCOL.to_owned()));
    }
    Ok(push)
}

/// What addresses begin with for a device that speaks these protocols.
fn address_base<'a>(terms: &Terms<'a>, protocols: &[i64]) -> Option<&'a str> {
    let given = |base: &'a str| (!base.is_empty()).then_some(base);
    let settings = terms.settings;
    let secured = (terms.secured && protocols.contains(&COAPS))
        .then(|| given(&settings.public_coaps_base))
        .flatten();
    secured
        .or_else(|| given(terms.base?))
        .or_else(|| given(&settings.public_coap_base))
}

/// Values of Firmware Update Protocol Support.
const COAP: i64 = 0;
const COAPS: i64 = 1;
const SCHEMES: [(&str, i64); 6] = [
    ("coap://", COAP),
    ("coaps://", COAPS),
    ("http://", 2),
    ("https://", 3),
    ("coap+tcp://", 4),
    ("coaps+tcp://", 5),
];

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{
        super::{PushSlots, firmware, software},
        *,
    };
    use crate::platform::package::PackageId;

    const ID: &str = "00000000-0000-0000-0000-000000000007";

    struct Case {
        object: &'static Object,
        delivery: Option<i64>,
        strategy: i64,
        base: Option<&'static str>,
        secured: bool,
        settings: OtaSettings,
        attempt: Attempt,
        target: Target,
    }

    fn case(object: &'static Object, strategy: i64) -> Case {
        Case {
            object,
            delivery: None,
            strategy,
            base: Some("coap://h:5685"),
            secured: false,
            settings: OtaSettings::default(),
            attempt: Attempt {
                info: Some(PackageInfo {
                    id: PackageId(Uuid::from_u128(7)),
                    title: "fw".to_owned(),
                    version: "1".to_owned(),
                    file_name: "fw.bin".to_owned(),
                }),
                protocols: Some(Vec::new()),
                ..Attempt::default()
            },
            target: Target::default(),
        }
    }

    impl Case {
        fn way(&self) -> Result<Way, Open> {
            let slots = PushSlots::new(0);
            let terms = Terms {
                settings: &self.settings,
                slots: &slots,
                ready: true,
                strategy: self.strategy,
                base: self.base,
                describes: false,
                secured: self.secured,
                observed: [true; 2],
                jitter: 1000,
            };
            choose(
                self.object,
                &self.target,
                &self.attempt,
                self.delivery,
                &terms,
            )
        }
    }

    fn fetch(base: &str, path: &str) -> Result<Way, Open> {
        Ok(Way::Fetch(format!("{base}/{path}/{ID}")))
    }

    #[test]
    fn the_strategy_of_the_profile_decides_unless_the_device_can_do_one_thing_only() {
        let push = Ok(Way::Push(Path::resource(5, 0, 0)));
        for delivery in [None, Some(2)] {
            for (strategy, way) in [
                (1, push.clone()),
                (2, fetch("coap://h:5685", "tbfw")),
                (3, Ok(Way::Push(Path::resource(19, 0, 0)))),
                (
                    4,
                    Err(Open::Impossible("Unsupported strategy: 4".to_owned())),
                ),
            ] {
                let case = Case {
                    delivery,
                    ..case(&firmware::OBJECT, strategy)
                };
                assert_eq!(case.way(), way, "{delivery:?} {strategy}");
            }
        }
        for strategy in 1..=3 {
            let case = |delivery| Case {
                delivery: Some(delivery),
                ..case(&firmware::OBJECT, strategy)
            };
            assert_eq!(case(0).way(), fetch("coap://h:5685", "tbfw"));
            assert_eq!(case(1).way(), push);
        }
    }

    #[test]
    fn o7_a_device_that_only_fetches_is_given_an_address() {
        let case = Case {
            delivery: Some(0),
            ..case(&firmware::OBJECT, 1)
        };
        assert_eq!(case.way(), fetch("coap://h:5685", "tbfw"));
    }

    #[test]
    fn software_has_two_strategies_and_may_have_a_path_of_its_own() {
        assert_eq!(
            case(&software::OBJECT, 1).way(),
            Ok(Way::Push(Path::resource(9, 0, 2)))
        );
        assert_eq!(
            case(&software::OBJECT, 2).way(),
            fetch("coap://h:5685", "tbfw")
        );
        let mut own = case(&software::OBJECT, 2);
        own.settings.sw_path = SoftwarePath::Tbsw;
        assert_eq!(own.way(), fetch("coap://h:5685", "tbsw"));
        let third = Err(Open::Impossible("Unsupported strategy: 3".to_owned()));
        assert_eq!(case(&software::OBJECT, 3).way(), third);
    }

    #[test]
    fn o5_an_address_of_the_platform_is_given_as_it_is() {
        let mut elsewhere = case(&firmware::OBJECT, 1);
        elsewhere.target.url = Some("https://example.org/fw.bin".to_owned());
        elsewhere.attempt = Attempt::default();
        let given = Ok(Way::Fetch("https://example.org/fw.bin".to_owned()));
        assert_eq!(elsewhere.way(), given);
    }

    #[test]
    fn without_a_base_the_settings_give_one_or_the_update_fails() {
        let mut pull = Case {
            base: None,
            ..case(&firmware::OBJECT, 2)
        };
        assert_eq!(
            pull.way(),
            Err(Open::Impossible(text::NO_ADDRESS.to_owned()))
        );
        pull.settings.public_coap_base = "coap://here:5685/".to_owned();
        assert_eq!(pull.way(), fetch("coap://here:5685", "tbfw"));
    }

    #[test]
    fn the_device_must_speak_the_protocol_of_the_address() {
        let mut pull = case(&firmware::OBJECT, 2);
        pull.attempt.protocols = None;
        assert_eq!(pull.way(), Err(Open::Protocols));
        pull.attempt.protocols = Some(vec![2, 3]);
        assert_eq!(
            pull.way(),
            Ok(Way::Push(Path::resource(5, 0, 0))),
            "sent instead"
        );
        pull.delivery = Some(0);
        assert_eq!(
            pull.way(),
            Err(Open::Impossible(text::NO_PROTOCOL.to_owned()))
        );
        pull.attempt.protocols = Some(vec![0, 1]);
        pull.settings.public_coaps_base = "coaps://h:5686".to_owned();
        assert_eq!(pull.way(), fetch("coap://h:5685", "tbfw"));
        pull.secured = true;
        assert_eq!(pull.way(), fetch("coaps://h:5686", "tbfw"));
    }

    #[test]
    fn large_packages_are_fetched_if_the_device_can_and_the_settings_want_it() {
        let mut push = Case {
            delivery: Some(2),
            ..case(&firmware::OBJECT, 1)
        };
        push.settings.prefer_pull_above = 100;
        assert_eq!(push.way(), Err(Open::Package));
        for (length, fetched) in [(100, false), (101, true)] {
            push.attempt.package = Some(Arc::new(Package::new(vec![0; length].into())));
            assert_eq!(matches!(push.way(), Ok(Way::Fetch(_))), fetched, "{length}");
        }
        push.delivery = None;
        assert!(matches!(push.way(), Ok(Way::Push(_))));
    }
}
