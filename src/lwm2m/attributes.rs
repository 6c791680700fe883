//! Notification attributes (OMA LwM2M Core, section "Attributes").

use serde::{Deserialize, Deserializer};

use super::{path::Path, value::ResourceType};

/// The notification attributes of one path. Those of class PROPERTIES (`dim`, `ver`, `ssid`, `uri`, `lwm2m`) are not among
/// them, because nobody writes them.
///
/// Its JSON form holds what is set; an absent member and `null` are both "not stated".
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
    /// Minimum evaluation period, seconds; since 1.1.
    pub epmin: Option<Attribute<u32>>,
    /// Maximum evaluation period, seconds; since 1.1.
    pub epmax: Option<Attribute<u32>>,
    /// Notify on the rising edge (1) or the falling edge (0) alone; since 1.2.
    pub edge: Option<Attribute<u32>>,
    /// Notify confirmably (1) or not (0); since 1.2.
    pub con: Option<Attribute<u32>>,
    /// How many values the device keeps while it cannot send; since 1.2.
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
            entry("edge", self.edge),
            entry("con", self.con),
            entry("hqmax", self.hqmax),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Reads the Uri-Query options of a Write-Attributes request.
    ///
    /// # Errors
    /// [`AttributeError::Unknown`], [`AttributeError::ReadOnly`], [`AttributeError::Number`] and
    /// [`AttributeError::Repeated`].
    pub fn from_query<'a>(
        query: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, AttributeError> {
        let mut all = Self::default();
        for option in query {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            match name {
                "pmin" => state(&mut all.pmin, value, whole),
                "pmax" => state(&mut all.pmax, value, whole),
                "gt" => state(&mut all.gt, value, decimal),
                "lt" => state(&mut all.lt, value, decimal),
                "st" => state(&mut all.st, value, decimal),
                "epmin" => state(&mut all.epmin, value, whole),
                "epmax" => state(&mut all.epmax, value, whole),
                "edge" => state(&mut all.edge, value, whole),
                "con" => state(&mut all.con, value, whole),
                "hqmax" => state(&mut all.hqmax, value, whole),
                "dim" | "ver" | "ssid" | "uri" | "lwm2m" => Err(AttributeError::ReadOnly),
                _ => Err(AttributeError::Unknown),
            }?;
        }
        Ok(all)
    }

    /// Checks the values against their ranges and against each other. A `pmax` below `pmin` breaks no rule; devices
    /// ignore it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), AttributeError> {
        let is_flag = |attribute| value(attribute).is_none_or(|flag: u32| flag <= 1);
        if !is_flag(self.edge) || !is_flag(self.con) {
            return Err(AttributeError::Flag);
        }
        let (gt, lt, st) = (value(self.gt), value(self.lt), value(self.st));
        if [gt, lt, st]
            .iter()
            .flatten()
            .any(|number| !number.is_finite())
        {
            return Err(AttributeError::Number);
        }
        if st.is_some_and(|st| st <= 0.0) {
            return Err(AttributeError::Step);
        }
        if let (Some(gt), Some(lt)) = (gt, lt) {
            if lt >= gt {
                return Err(AttributeError::Limits);
            }
            if st.is_some_and(|st| lt + 2.0 * st >= gt) {
                return Err(AttributeError::StepBetweenLimits);
            }
        }
        match (value(self.epmin), value(self.epmax)) {
            (Some(epmin), Some(epmax)) if epmin >= epmax => Err(AttributeError::EvaluationPeriods),
            _ => Ok(()),
        }
    }

    /// Checks whether the attributes may be attached to a path, which names something of this type; `None` where the type
    /// is not known.
    ///
    /// # Errors
    /// [`AttributeError::Level`] and [`AttributeError::Type`].
    pub fn check_level(
        &self,
        path: &Path,
        kind: Option<ResourceType>,
    ) -> Result<(), AttributeError> {
        let numeric = self.gt.is_some() || self.lt.is_some() || self.st.is_some();
        let boolean = self.edge.is_some();
        let lowest_depth = if numeric || boolean { 3 } else { 1 };
        if path.depth() < lowest_depth && *self != Self::default() {
            return Err(AttributeError::Level);
        }
        let is_numeric = matches!(
            kind,
            None | Some(
                ResourceType::Integer | ResourceType::UnsignedInteger | ResourceType::Float
            )
        );
        let is_boolean = matches!(kind, None | Some(ResourceType::Boolean));
        if (numeric && !is_numeric) || (boolean && !is_boolean) {
            return Err(AttributeError::Type);
        }
        Ok(())
    }

    /// The change that leaves exactly these attributes where `before` were set.
    #[must_use]
    pub fn replacing(&self, before: &Self) -> Self {
        Self {
            pmin: replacing(self.pmin, before.pmin),
            pmax: replacing(self.pmax, before.pmax),
            gt: replacing(self.gt, before.gt),
            lt: replacing(self.lt, before.lt),
            st: replacing(self.st, before.st),
            epmin: replacing(self.epmin, before.epmin),
            epmax: replacing(self.epmax, before.epmax),
            edge: replacing(self.edge, before.edge),
            con: replacing(self.con, before.con),
            hqmax: replacing(self.hqmax, before.hqmax),
        }
    }

    /// The change that does what this one does and `next` after it.
    #[must_use]
    pub fn followed_by(&self, next: &Self) -> Self {
        Self {
            pmin: next.pmin.or(self.pmin),
            pmax: next.pmax.or(self.pmax),
            gt: next.gt.or(self.gt),
            lt: next.lt.or(self.lt),
            st: next.st.or(self.st),
            epmin: next.epmin.or(self.epmin),
            epmax: next.epmax.or(self.epmax),
            edge: next.edge.or(self.edge),
            con: next.con.or(self.con),
            hqmax: next.hqmax.or(self.hqmax),
        }
    }

    /// What is set after a Write-Attributes on what was set before.
    #[must_use]
    pub fn updated(&self, change: &Self) -> Self {
        Self {
            pmin: changed(self.pmin, change.pmin),
            pmax: changed(self.pmax, change.pmax),
            gt: changed(self.gt, change.gt),
            lt: changed(self.lt, change.lt),
            st: changed(self.st, change.st),
            epmin: changed(self.epmin, change.epmin),
            epmax: changed(self.epmax, change.epmax),
            edge: changed(self.edge, change.edge),
            con: changed(self.con, change.con),
            hqmax: changed(self.hqmax, change.hqmax),
        }
    }
}

/// The rule that attributes break. A device answers 4.00 (Bad Request).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// `epmin` is not below `epmax`.
    #[error("epmin is below epmax")]
    EvaluationPeriods,
    /// `edge` or `con` is neither 0 nor 1.
    #[error("edge and con are 0 or 1")]
    Flag,
    /// An attribute is attached above its level.
    #[error("gt, lt, st and edge belong to a resource or resource instance, nothing to the root")]
    Level,
    /// `lt` is not below `gt`.
    #[error("lt is below gt")]
    Limits,
    /// A value is no number of its kind.
    #[error("periods, edge, con and hqmax are whole numbers, gt, lt and st decimal ones")]
    Number,
    /// An attribute of class PROPERTIES.
    #[error("dim, ver, ssid, uri and lwm2m are never written")]
    ReadOnly,
    /// An attribute stands twice.
    #[error("an attribute is repeated")]
    Repeated,
    /// `st` is not above 0.
    #[error("st is above 0")]
    Step,
    /// `lt + 2 * st` is not below `gt`.
    #[error("lt + 2 * st is below gt")]
    StepBetweenLimits,
    /// `gt`, `lt` or `st` of something that is no number, or `edge` of something that is not Boolean.
    #[error("gt, lt and st belong to numbers, edge to Boolean values")]
    Type,
    /// No attribute.
    #[error("the attribute is not known")]
    Unknown,
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

/// Puts what a query says into its place.
fn state<T>(
    place: &mut Option<Attribute<T>>,
    value: Option<&str>,
    read: fn(&str) -> Option<T>,
) -> Result<(), AttributeError> {
    let attribute = match value {
        None => Attribute::Unset,
        Some(text) => Attribute::Set(read(text).ok_or(AttributeError::Number)?),
    };
    match place.replace(attribute) {
        None => Ok(()),
        Some(_) => Err(AttributeError::Repeated),
    }
}

fn whole(text: &str) -> Option<u32> {
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.parse().ok()).flatten()
}

/// `-1.5`, without exponent.
fn decimal(text: &str) -> Option<f64> {
    let is_decimal = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    is_decimal.then(|| text.parse().ok()).flatten()
}

fn value<T>(attribute: Option<Attribute<T>>) -> Option<T> {
    match attribute? {
        Attribute::Set(value) => Some(value),
        Attribute::Unset => None,
    }
}

fn replacing<T>(
    wanted: Option<Attribute<T>>,
    before: Option<Attribute<T>>,
) -> Option<Attribute<T>> {
    match wanted {
        None => before.map(|_| Attribute::Unset),
        set => set,
    }
}

fn changed<T>(before: Option<Attribute<T>>, change: Option<Attribute<T>>) -> Option<Attribute<T>> {
    match change {
        None => before,
        Some(Attribute::Unset) => None,
        set => set,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p33_query_has_the_fixed_order() {
        let all = NotificationAttributes {
            pmin: Some(Attribute::Set(10)),
            pmax: Some(Attribute::Set(60)),
            gt: Some(Attribute::Set(42.2)),
            lt: Some(Attribute::Set(-5.0)),
            st: Some(Attribute::Set(0.5)),
            epmin: Some(Attribute::Set(1)),
            epmax: Some(Attribute::Set(2)),
            edge: Some(Attribute::Set(1)),
            con: Some(Attribute::Set(0)),
            hqmax: Some(Attribute::Set(9)),
        };
        assert_eq!(
            all.to_query(),
            [
                "pmax=60", "pmin=10", "gt=42.2", "lt=-5", "st=0.5", "epmax=2", "epmin=1", "edge=1",
                "con=0", "hqmax=9"
            ]
        );
        let query = all.to_query();
        let read = NotificationAttributes::from_query(query.iter().map(String::as_str));
        assert_eq!(read, Ok(all));
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

    fn read(query: &str) -> Result<NotificationAttributes, AttributeError> {
        NotificationAttributes::from_query(query.split('&'))
    }

    #[test]
    fn p33_properties_are_never_written() {
        for name in ["dim", "ver", "ssid", "uri", "lwm2m"] {
            assert_eq!(read(&format!("{name}=1")), Err(AttributeError::ReadOnly));
            let json = format!(r#"{{"{name}":1}}"#);
            let attributes: NotificationAttributes = serde_json::from_str(&json).unwrap();
            assert!(attributes.to_query().is_empty(), "{name}");
        }
    }

    #[test]
    fn p33_values_of_another_kind_and_unknown_names_are_refused() {
        for (query, error) in [
            ("pmin=-1", AttributeError::Number),
            ("pmin=", AttributeError::Number),
            ("pmax=1.5", AttributeError::Number),
            ("pmax=4294967296", AttributeError::Number),
            ("gt=1e3", AttributeError::Number),
            ("lt=inf", AttributeError::Number),
            ("st=1,5", AttributeError::Number),
            ("pmin=1&pmin", AttributeError::Repeated),
            ("PMIN=1", AttributeError::Unknown),
            ("", AttributeError::Unknown),
        ] {
            assert_eq!(read(query), Err(error), "{query}");
        }
    }

    #[test]
    fn p33_rules_between_values_name_what_is_broken() {
        for (query, expected) in [
            ("lt=1&gt=2", Ok(())),
            ("lt=2&gt=2", Err(AttributeError::Limits)),
            ("lt=3&gt=2", Err(AttributeError::Limits)),
            ("lt=1&gt=2&st=0.25", Ok(())),
            ("lt=1&gt=2&st=0.5", Err(AttributeError::StepBetweenLimits)),
            ("gt=2&st=100", Ok(())),
            ("lt=3&gt", Ok(())),
            ("st=0", Err(AttributeError::Step)),
            ("st=-1", Err(AttributeError::Step)),
            ("epmin=1&epmax=2", Ok(())),
            ("epmin=2&epmax=2", Err(AttributeError::EvaluationPeriods)),
            ("epmin=2", Ok(())),
            ("pmin=10&pmax=5", Ok(())),
            ("pmin=0&pmax=0", Ok(())),
            ("edge=1&con=0", Ok(())),
            ("edge=2", Err(AttributeError::Flag)),
            ("con=2", Err(AttributeError::Flag)),
            ("hqmax=5", Ok(())),
        ] {
            assert_eq!(read(query).unwrap().check(), expected, "{query}");
        }
        let infinite = NotificationAttributes {
            gt: Some(Attribute::Set(f64::INFINITY)),
            ..NotificationAttributes::default()
        };
        assert_eq!(infinite.check(), Err(AttributeError::Number));
    }

    #[test]
    fn p33_attributes_have_levels_and_types() {
        let paths = [
            Path::ROOT,
            Path::object(3),
            Path::instance(3, 0),
            Path::resource(3, 0, 7),
            Path::resource_instance(3, 0, 7, 1),
        ];
        for (names, lowest) in [
            (
                ["pmin", "pmax", "epmin", "epmax", "con", "hqmax"].as_slice(),
                1,
            ),
            (&["gt", "lt", "st", "edge"], 3),
        ] {
            for name in names {
                for path in paths {
                    let allowed = read(name).unwrap().check_level(&path, None).is_ok();
                    assert_eq!(allowed, path.depth() >= lowest, "{name} at {path}");
                }
            }
        }
        let path = Path::resource(3, 0, 9);
        let on = |query, kind| read(query).unwrap().check_level(&path, Some(kind));
        assert_eq!(on("gt=1", ResourceType::Float), Ok(()));
        assert_eq!(on("lt=1", ResourceType::UnsignedInteger), Ok(()));
        assert_eq!(on("st=1", ResourceType::Integer), Ok(()));
        assert_eq!(on("st=1", ResourceType::String), Err(AttributeError::Type));
        assert_eq!(on("edge=1", ResourceType::Boolean), Ok(()));
        assert_eq!(
            on("edge=1", ResourceType::Integer),
            Err(AttributeError::Type)
        );
        assert_eq!(on("pmin=1", ResourceType::String), Ok(()));
    }

    #[test]
    fn a_later_write_sets_and_unsets_single_attributes() {
        let before = read("pmin=10&pmax=60&gt=5").unwrap();
        let after = before.updated(&read("pmin=20&gt&lt=1").unwrap());
        assert_eq!(after.to_query(), ["pmax=60", "pmin=20", "lt=1"]);
    }
}
