//! The package of a device: question and answer (`platform-wire.md` 3.5, 4.9). Its bytes do not come this way.

use super::{halves, platform_id};
use crate::platform::{
    session::PlatformId,
    thingsboard::proto::{self, ResponseStatus},
};

/// What a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PackageKind {
    /// Object 5.
    Firmware,
    /// Object 9.
    Software,
}

impl PackageKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "FIRMWARE",
            Self::Software => "SOFTWARE",
        }
    }
}

/// A package as the core describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its id, under which its bytes are kept.
    pub id: PlatformId,
    /// What it is for; `None` when the core named neither.
    pub kind: Option<PackageKind>,
    /// Title.
    pub title: String,
    /// Version.
    pub version: String,
    /// Media type.
    pub content_type: String,
    /// File name.
    pub file_name: String,
}

/// What the core has for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// A package whose bytes it keeps.
    Package(Package),
    /// Nothing.
    Nothing,
    /// Something that cannot be fetched from it: a package that is only a URL.
    Elsewhere,
}

pub(super) fn package_question(
    device: PlatformId,
    tenant: PlatformId,
    kind: PackageKind,
) -> proto::GetOtaPackageRequestMsg {
    let (device_id_msb, device_id_lsb) = halves(device.0);
    let (tenant_id_msb, tenant_id_lsb) = halves(tenant.0);
    proto::GetOtaPackageRequestMsg {
        device_id_msb,
        device_id_lsb,
        tenant_id_msb,
        tenant_id_lsb,
        r#type: kind.name().to_owned(),
    }
}

pub(super) fn assigned(answer: proto::GetOtaPackageResponseMsg) -> Assigned {
    match answer.response_status() {
        ResponseStatus::Success => Assigned::Package(Package {
            id: platform_id(answer.ota_package_id_msb, answer.ota_package_id_lsb),
            kind: [PackageKind::Firmware, PackageKind::Software]
                .into_iter()
                .find(|kind| kind.name() == answer.r#type),
            title: answer.title,
            version: answer.version,
            content_type: answer.content_type,
            file_name: answer.file_name,
        }),
        ResponseStatus::NotFound => Assigned::Nothing,
        ResponseStatus::Failure | ResponseStatus::Unknown => Assigned::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_brings_a_package() {
        let answer = |status: ResponseStatus| proto::GetOtaPackageResponseMsg {
            response_status: status.into(),
            ota_package_id_lsb: 7,
            r#type: "SOFTWARE".to_owned(),
            title: "app".to_owned(),
            version: "2".to_owned(),
            ..proto::GetOtaPackageResponseMsg::default()
        };
        let Assigned::Package(package) = assigned(answer(ResponseStatus::Success)) else {
            panic!("no package");
        };
        assert_eq!(package.id.0.as_u64_pair(), (0, 7));
        assert_eq!(package.kind, Some(PackageKind::Software));
        for (status, expected) in [
            (ResponseStatus::NotFound, Assigned::Nothing),
            (ResponseStatus::Failure, Assigned::Elsewhere),
            (ResponseStatus::Unknown, Assigned::Elsewhere),
        ] {
            assert_eq!(assigned(answer(status)), expected);
        }
    }
}
