//! The object list of Register and Update: which objects, versions and instances a device has, and which content
//! formats it announces (OMA LwM2M Core, "Register"; RFC 6690).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::error::RegistrationError;
use crate::{
    coap::{
        content_format::ContentFormat,
        link_format::{self, Link, Mode},
    },
    lwm2m::{
        path::{InstanceId, ObjectId, ObjectVersion, Path},
        version::Lwm2mVersion,
    },
};

/// The objects of a device as it listed them.
///
/// Links that are neither the root nor an object or object instance below it are kept among [`Self::links`] and
/// otherwise ignored, ids out of range among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectList {
    pub(super) root: Vec<String>,
    pub(super) content_formats: Option<Vec<ContentFormat>>,
    pub(super) objects: BTreeMap<ObjectId, RegisteredObject>,
    pub(super) links: Vec<Link>,
    pub(super) deviations: u32,
}

/// One object of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisteredObject {
    /// The version the device stated.
    pub(super) stated_version: Option<ObjectVersion>,
    /// The version that holds for it, stated or derived.
    pub version: ObjectVersion,
    /// Whether the object itself is listed, not only instances of it.
    pub listed: bool,
    /// The instances.
    pub instances: BTreeSet<InstanceId>,
}

impl ObjectList {
    /// Reads the payload of a Register by a device of this enabler version.
    ///
    /// # Errors
    /// [`RegistrationError::ObjectListMissing`] and [`RegistrationError::ObjectListInvalid`].
    pub fn parse(
        payload: &[u8],
        mode: Mode,
        version: Lwm2mVersion,
    ) -> Result<Self, RegistrationError> {
        Self::default().updated(payload, mode, version)
    }

    /// Reads the payload of an Update that follows on `self`: root, announced content formats and object versions that
    /// it does not state stay as they were.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn updated(
        &self,
        payload: &[u8],
        mode: Mode,
        version: Lwm2mVersion,
    ) -> Result<Self, RegistrationError> {
        let list =
            link_format::parse(payload, mode).map_err(|_| RegistrationError::ObjectListInvalid)?;
        let marked_root = list.links.iter().find(|link| is_root(link));
        let root = marked_root.map_or_else(
            || self.root.clone(),
            |link| link.segments().map(Cow::into_owned).collect(),
        );
        let content_formats = marked_root
            .into_iter()
            .chain(list.links.iter().filter(|link| link.uri == "/"))
            .find_map(|link| link.attribute("ct").flatten())
            .map(content_formats)
            .filter(|formats| !formats.is_empty())
            .or_else(|| self.content_formats.clone());
        let mut objects = BTreeMap::<_, RegisteredObject>::new();
        for link in &list.links {
            let Some((id, path)) =
                path_below(&root, link).and_then(|path| Some((path.object_id()?, path)))
            else {
                continue;
            };
            let object = objects.entry(id).or_default();
            match path.instance_id() {
                Some(instance) => {
                    object.instances.insert(instance);
                }
                None => object.listed = true,
            }
            let stated = link
                .attribute("ver")
                .flatten()
                .and_then(|version| version.parse().ok());
            object.stated_version = stated.or(object.stated_version);
        }
        if objects.is_empty() {
            return Err(RegistrationError::ObjectListMissing);
        }
        for (id, object) in &mut objects {
            let before = self.objects.get(id);
            object.stated_version = object
                .stated_version
                .or_else(|| before.and_then(|before| before.stated_version));
            object.version = object
                .stated_version
                .unwrap_or_else(|| default_version(*id, version));
        }
        Ok(Self {
            root,
            content_formats,
            objects,
            links: list.links,
            deviations: list.deviations,
        })
    }

    /// The segments of the root under which the device's objects lie; none for `/`.
    pub fn root(&self) -> &[String] {
        &self.root
    }

    /// The content formats the device announced, in its order; TLV alone if it announced none.
    pub fn content_formats(&self) -> &[ContentFormat] {
        self.content_formats
            .as_deref()
            .unwrap_or(&[ContentFormat::TLV])
    }

    /// The objects by id.
    pub const fn objects(&self) -> &BTreeMap<ObjectId, RegisteredObject> {
        &self.objects
    }

    /// The paths of all objects and their instances.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        self.objects.iter().flat_map(|(id, object)| {
            let instances = object.instances.iter();
            let instances = instances.map(|instance| Path::instance(*id, *instance));
            std::iter::once(Path::object(*id)).chain(instances)
        })
    }

    /// The links as they were sent, in their order.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// How many deviations from the grammar were forgiven in the links.
    pub const fn deviations(&self) -> u32 {
        self.deviations
    }
}

/// Whether a link marks the root of the device's objects; `rt` may list several types.
fn is_root(link: &Link) -> bool {
    link.attribute("rt").flatten().is_some_and(|types| {
        types
            .split_ascii_whitespace()
            .any(|kind| kind == "oma.lwm2m")
    })
}

/// The numbers of a `ct` attribute, separated by blanks (or by commas, as some devices send them), without repetitions.
fn content_formats(text: &str) -> Vec<ContentFormat> {
    let mut seen = BTreeSet::new();
    text.split(|separator: char| separator == ',' || separator.is_ascii_whitespace())
        .filter_map(|number| number.parse().ok().map(ContentFormat))
        .filter(|format| seen.insert(*format))
        .collect()
}

/// The path of a link to an object or object instance below the root; nothing for any other link.
fn path_below(root: &[String], link: &Link) -> Option<Path> {
    let mut segments = link.segments();
    if !root
        .iter()
        .all(|segment| segments.next().as_deref() == Some(segment))
    {
        return None;
    }
    let rest: Vec<_> = segments.collect();
    let path: Path = rest.join("/").parse().ok()?;
    (1..=2).contains(&path.depth()).then_some(path)
}

/// The version of an object for which the device states none: the one its enabler version defines.
const fn default_version(object: ObjectId, version: Lwm2mVersion) -> ObjectVersion {
    match (version, object) {
        (Lwm2mVersion::V1_1, 0 | 1 | 3) | (Lwm2mVersion::V1_2, 5) => ObjectVersion::new(1, 1),
        (Lwm2mVersion::V1_1, 4) | (Lwm2mVersion::V1_2, 0 | 1 | 3) => ObjectVersion::new(1, 2),
        (Lwm2mVersion::V1_2, 4) => ObjectVersion::new(1, 3),
        _ => ObjectVersion::V1_0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(payload: &str) -> ObjectList {
        ObjectList::parse(payload.as_bytes(), Mode::Lenient, Lwm2mVersion::V1_1).unwrap()
    }

    fn numbers(list: &ObjectList) -> Vec<u16> {
        list.content_formats()
            .iter()
            .map(|format| format.0)
            .collect()
    }

    #[test]
    fn p31_object_list_names_objects_instances_versions_and_formats() {
        let list = list(
            r#"</>;rt="oma.lwm2m";ct="60 112",</1/0>,</3>;ver=1.2,</3/0>,</19/0>,</19/1>,</2>"#,
        );
        assert!(list.root().is_empty());
        assert_eq!(numbers(&list), [60, 112]);
        let objects = list.objects();
        assert_eq!(objects.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 19]);
        assert_eq!(objects[&3].version, ObjectVersion::new(1, 2));
        assert!(objects[&3].listed && !objects[&1].listed);
        assert_eq!(objects[&19].instances, [0, 1].into());
        assert!(objects[&2].instances.is_empty());
        assert_eq!(list.links().len(), 7);
    }

    #[test]
    fn p42_versions_follow_the_enabler_version_unless_stated() {
        let payload = b"</0/0>,</1/0>,</2/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</21/0>,</3303/0>";
        for (version, expected) in [
            (Lwm2mVersion::V1_0, [0; 10]),
            (Lwm2mVersion::V1_1, [1, 1, 0, 1, 2, 0, 0, 0, 0, 0]),
            (Lwm2mVersion::V1_2, [2, 2, 0, 2, 3, 1, 0, 0, 0, 0]),
        ] {
            let list = ObjectList::parse(payload, Mode::Lenient, version).unwrap();
            let minors: Vec<u8> = list
                .objects()
                .values()
                .map(|object| object.version.minor)
                .collect();
            assert_eq!(minors, expected, "{version}");
        }
        let stated = list(r#"</1>;ver="1.0",</3/0>;ver=1.2,</3303>;ver=2.10"#);
        assert_eq!(stated.objects()[&1].version, ObjectVersion::V1_0);
        assert_eq!(stated.objects()[&3].version, ObjectVersion::new(1, 2));
        assert_eq!(stated.objects()[&3303].version, ObjectVersion::new(2, 10));
    }

    #[test]
    fn a43_a_version_that_is_none_counts_as_not_stated() {
        let list = list("</3>;ver=x,</1>;ver,</4>;ver=,</5>;ver=1.10,</6>;ver=256.0");
        assert_eq!(list.objects()[&1].version, ObjectVersion::new(1, 1));
        assert_eq!(list.objects()[&5].version, ObjectVersion::new(1, 10));
        assert_eq!(list.objects()[&6].version, ObjectVersion::V1_0);
        assert_eq!(list.objects()[&3].version, ObjectVersion::new(1, 1));
        assert_eq!(list.objects()[&4].version, ObjectVersion::new(1, 2));
    }

    #[test]
    fn p111_percent_encoded_segments_and_unknown_attributes_are_taken() {
        let list = list(r#"</m2m%2F1>;rt="oma.lwm2m",</m2m%2F1/%33/0>;title="x";obs,</m2m/1/4>"#);
        assert_eq!(list.root(), ["m2m/1"]);
        assert_eq!(list.objects().keys().copied().collect::<Vec<_>>(), [3]);
        let link = &list.links()[1];
        assert_eq!(link.attribute("title"), Some(Some("x")));
        assert_eq!(link.attribute("obs"), Some(None));
    }

    #[test]
    fn p111_attributes_may_be_quoted_or_not() {
        for (rt, ver) in [(r#""oma.lwm2m""#, r#""1.2""#), ("oma.lwm2m", "1.2")] {
            let list = list(&format!("</x>;rt={rt};ct=11543,</x/3>;ver={ver},</x/3/0>"));
            assert_eq!(
                list.objects()[&3].version,
                ObjectVersion::new(1, 2),
                "{ver}"
            );
            assert_eq!(numbers(&list), [11543]);
        }
    }

    #[test]
    fn a43_a_quote_that_is_not_closed_is_refused_in_both_modes() {
        for mode in [Mode::Lenient, Mode::Strict] {
            let payload = br#"</>;rt="oma.lwm2m,</3/0>"#;
            assert_eq!(
                ObjectList::parse(payload, mode, Lwm2mVersion::V1_1),
                Err(RegistrationError::ObjectListInvalid)
            );
        }
    }

    #[test]
    fn a43_a_list_of_reserved_ids_alone_names_no_object() {
        assert_eq!(
            ObjectList::parse(b"</65536>,</3/65535>", Mode::Lenient, Lwm2mVersion::V1_1),
            Err(RegistrationError::ObjectListMissing)
        );
    }

    #[test]
    fn a43_ids_out_of_range_and_foreign_links_are_not_objects() {
        let list =
            list("</65536>,</3/65535>,</3/0/9>,</well-known/core>,<coap://h/5>,</+6>,</1/0>");
        assert_eq!(list.objects().keys().copied().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a43_content_formats_are_listed_in_every_spelling() {
        for (ct, expected) in [
            (r#"ct=11543"#, vec![11543]),
            (
                r#"ct="60 110 112 11542 11543""#,
                vec![60, 110, 112, 11542, 11543],
            ),
            (r#"ct="110,112""#, vec![110, 112]),
            (r#"ct="60  60 x 65536 110""#, vec![60, 110]),
        ] {
            assert_eq!(
                numbers(&list(&format!("</>;{ct},</3/0>"))),
                expected,
                "{ct}"
            );
        }
        assert_eq!(numbers(&list("</>,</3/0>")), [11542]);
        assert_eq!(numbers(&list("</3/0>")), [11542]);
        assert_eq!(numbers(&list(r#"</>;ct="",</3/0>"#)), [11542]);
        assert_eq!(numbers(&list("</>;ct=x,</3/0>")), [11542]);
    }

    #[test]
    fn a43_objects_lie_below_an_alternate_root() {
        let list = list(
            r#"</a/lwm2m>;rt="x oma.lwm2m";ct=110,</a/lwm2m/3/0>,</a/lwm2m/1>;ver=1.0,</4/0>"#,
        );
        assert_eq!(list.root(), ["a", "lwm2m"]);
        assert_eq!(numbers(&list), [110]);
        assert_eq!(list.objects().keys().copied().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a43_long_lists_are_bounded() {
        let links = |count: usize| vec!["</3>"; count].join(",");
        assert_eq!(list(&links(10_000)).links().len(), 10_000);
        let too_long =
            ObjectList::parse(links(10_001).as_bytes(), Mode::Lenient, Lwm2mVersion::V1_1);
        assert_eq!(too_long, Err(RegistrationError::ObjectListInvalid));
        let bytes = format!("</3>;title=\"{}\"", "x".repeat(64 * 1024));
        let too_long = ObjectList::parse(bytes.as_bytes(), Mode::Lenient, Lwm2mVersion::V1_1);
        assert_eq!(too_long, Err(RegistrationError::ObjectListInvalid));
    }

    #[test]
    fn p111_deviations_are_forgiven_and_counted_or_refused() {
        let payload = r#"</>;rt="oma.lwm2m";ct=110,112, <1/0>,<3/0>"#;
        let lenient = list(payload);
        assert_eq!(numbers(&lenient), [110, 112]);
        assert_eq!(
            lenient.objects().keys().copied().collect::<Vec<_>>(),
            [1, 3]
        );
        assert!(lenient.deviations() > 0);
        assert_eq!(
            ObjectList::parse(payload.as_bytes(), Mode::Strict, Lwm2mVersion::V1_1),
            Err(RegistrationError::ObjectListInvalid)
        );
    }

    #[test]
    fn p111_an_empty_payload_of_register_is_an_error() {
        for payload in ["", r#"</>;rt="oma.lwm2m""#] {
            assert_eq!(
                ObjectList::parse(payload.as_bytes(), Mode::Lenient, Lwm2mVersion::V1_1),
                Err(RegistrationError::ObjectListMissing),
                "{payload}"
            );
        }
        assert_eq!(
            ObjectList::parse(b"no links", Mode::Lenient, Lwm2mVersion::V1_1),
            Err(RegistrationError::ObjectListInvalid)
        );
    }

    #[test]
    fn a77_an_update_keeps_the_formats_root_and_versions_it_does_not_state() {
        let registered = list(
            r#"</l>;rt="oma.lwm2m";ct="60 110",</l/3>;ver=1.2,</l/3/0>,</l/5>;ver=1.1,</l/19/0>"#,
        );
        let updated = registered
            .updated(
                b"</l/3/0>,</l/5>;ver=1.2,</l/6/0>",
                Mode::Lenient,
                Lwm2mVersion::V1_1,
            )
            .unwrap();
        assert_eq!(updated.root(), ["l"]);
        assert_eq!(numbers(&updated), [60, 110]);
        assert_eq!(updated.objects()[&3].version, ObjectVersion::new(1, 2));
        assert_eq!(updated.objects()[&5].version, ObjectVersion::new(1, 2));
        assert_eq!(updated.objects()[&6].version, ObjectVersion::V1_0);
        assert!(!updated.objects().contains_key(&19));
    }
}
