//! Notification attributes (OMA LwM2M Core, section "Attributes").

use serde::{Deserialize, Deserializer};

/// The notification attributes of one path; those of class PROPERTIES cannot be written to devices.
///
/// Its JSON form holds what is set; an absent member and `null` are both "not stated". What profiles do not have is no
/// part of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NotificationAttributes {
    /// Minimum period, seconds.
    pub pmin: Option<Attribute<u32>>,
    /// Maximum period, seconds.
    pub pmax: Option<Attribute<u32>>,
    /// Greater than.
    pub gt: Option<Attribute<f64>>,
    /// Less than.
    pub lt: Option<Attribute<f64>>,
    /// Step.
    pub st: Option<Attribute<f64>>,
    /// Minimum evaluation period, seconds.
    pub epmin: Option<Attribute<u32>>,
    /// Maximum evaluation period, seconds.
    pub epmax: Option<Attribute<u32>>,
    /// Whether a rising edge notifies, or a falling one (LwM2M 1.2).
    #[serde(skip)]
    pub edge: Option<Attribute<bool>>,
    /// Whether notifications are confirmable (LwM2M 1.2).
    #[serde(skip)]
    pub con: Option<Attribute<bool>>,
    /// How many notifications a device keeps that it could not send (LwM2M 1.2).
    #[serde(skip)]
    pub hqmax: Option<Attribute<u32>>,
}

/// What happens to one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute<T> {
    /// It gets a value.
    Set(T),
    /// It is removed, so that the attribute of a higher level or the default applies again.
    Unset,
}

impl NotificationAttributes {
    /// The Uri-Query options of a Write-Attributes request, in the order pmax, pmin, gt, lt, st, epmax, epmin, edge, con,
    /// hqmax.
    ///
    /// `pmin=10` sets, a bare `pmin` unsets. Numbers are decimal without exponent, as the grammar of the attributes
    /// demands.
    pub fn to_query(&self) -> Vec<String> {
        [
            entry("pmax", self.pmax),
            entry("pmin", self.pmin),
            entry("gt", self.gt),
            entry("lt", self.lt),
            entry("st", self.st),
            entry("epmax", self.epmax),
            entry("epmin", self.epmin),
            entry("edge", self.edge.map(Attribute::number)),
            entry("con", self.con.map(Attribute::number)),
            entry("hqmax", self.hqmax),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Attribute<bool> {
    /// 1 for true, 0 for false.
    fn number(self) -> Attribute<u8> {
        match self {
            Self::Set(flag) => Attribute::Set(u8::from(flag)),
            Self::Unset => Attribute::Unset,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Attribute<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Set)
    }
}

fn entry<T: ToString>(name: &str, attribute: Option<Attribute<T>>) -> Option<String> {
    Some(match attribute? {
        Attribute::Set(value) => format!("{name}={}", value.to_string()),
        Attribute::Unset => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_has_the_fixed_order() {
        let all = NotificationAttributes {
            pmin: Some(Attribute::Set(10)),
            pmax: Some(Attribute::Set(60)),
            gt: Some(Attribute::Set(42.2)),
            lt: Some(Attribute::Set(-5.0)),
            st: Some(Attribute::Set(0.5)),
            epmin: Some(Attribute::Set(1)),
            epmax: Some(Attribute::Set(2)),
            edge: Some(Attribute::Set(true)),
            con: Some(Attribute::Set(false)),
            hqmax: Some(Attribute::Set(3)),
        };
        assert_eq!(
            all.to_query(),
            [
                "pmax=60", "pmin=10", "gt=42.2", "lt=-5", "st=0.5", "epmax=2", "epmin=1", "edge=1",
                "con=0", "hqmax=3"
            ]
        );
    }

    #[test]
    fn what_is_not_stated_is_not_sent() {
        let json = r#"{"pmin":10,"dim":3,"gt":null}"#;
        let attributes: NotificationAttributes = serde_json::from_str(json).unwrap();
        assert_eq!(attributes.to_query(), ["pmin=10"]);
        assert!(NotificationAttributes::default().to_query().is_empty());
    }

    #[test]
    fn unset_attributes_have_no_value() {
        let attributes = NotificationAttributes {
            pmin: Some(Attribute::Unset),
            st: Some(Attribute::Unset),
            ..NotificationAttributes::default()
        };
        assert_eq!(attributes.to_query(), ["pmin", "st"]);
    }

    #[test]
    fn large_numbers_are_written_without_exponent() {
        let attributes = NotificationAttributes {
            gt: Some(Attribute::Set(1e21)),
            lt: Some(Attribute::Set(1e-7)),
            ..NotificationAttributes::default()
        };
        assert_eq!(
            attributes.to_query(),
            ["gt=1000000000000000000000", "lt=0.0000001"]
        );
    }
}
