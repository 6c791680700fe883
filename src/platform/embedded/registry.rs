//! The registry in memory: built from the parsed files as a whole, asked by credentials id, compared with its successor.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::{
    lwm2m::model::{ModelCatalog, core},
    platform::{
        Downlink,
        credentials::{Admission, BootstrapCredentials, ClientCredentials},
        downlink::Scope,
        package::{PackageId, PackageKind},
        profile::{DeviceProfile, PowerSettings},
        session::{DeviceInfo, PlatformId},
    },
};

use super::{
    folder::{Content, Folder, Problem},
    package::PackageEntry,
    settings::EmbeddedSettings,
};

/// Devices, profiles and models of one state of the folder.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By credentials id.
    by_credentials: BTreeMap<String, Arc<Admission>>,
    by_device: HashMap<PlatformId, Arc<Admission>>,
    profiles: BTreeMap<String, Arc<DeviceProfile>>,
    /// Shared attributes by endpoint client name, of all devices in files.
    shared: BTreeMap<String, Map<String, Json>>,
    /// The built-in models, overridden by those of files.
    models: ModelCatalog,
    packages: BTreeMap<PackageId, (PathBuf, PackageEntry)>,
    assigned: HashMap<PackageKind, Assigned>,
    /// Profile of unknown endpoints, if these are admitted.
    unknown: Option<Arc<DeviceProfile>>,
}

/// To whom the packages of one kind are assigned, by name.
#[derive(Debug, Default)]
struct Assigned {
    devices: HashMap<String, PackageId>,
    profiles: HashMap<String, PackageId>,
}

impl Registry {
    /// Joins the files' contents.
    ///
    /// # Errors
    /// Everything that is wrong across files, with file and JSON pointer.
    pub(super) fn build(
        folder: &Folder,
        settings: &EmbeddedSettings,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut registry = Self::default();
        registry.add_profiles(folder);
        registry.add_models(folder, &mut problems);
        registry.add_devices(folder, &mut problems);
        registry.add_packages(folder, &mut problems);
        if settings.accept_unknown {
            registry.unknown = registry.profiles.get(&settings.default_profile).cloned();
            if registry.unknown.is_none() {
                problems.push(Problem::of_file(
                    folder.root(),
                    format!(
                        "embedded.accept_unknown needs the profile that embedded.default_profile names: {}",
                        registry.unknown_profile(&settings.default_profile)
                    ),
                ));
            }
        }
        if problems.is_empty() {
            Ok(registry)
        } else {
            Err(problems)
        }
    }

    /// The device behind a credentials id; an unknown one is admitted without security if the settings say so.
    pub(super) fn admission(&self, credentials_id: &str) -> Option<Arc<Admission>> {
        if let Some(admission) = self.by_credentials.get(credentials_id) {
            return Some(admission.clone());
        }
        let profile = self.unknown.as_ref()?;
        Some(Arc::new(Admission {
            device: Arc::new(device_info(credentials_id, PlatformId::NULL, profile)),
            client: ClientCredentials::NoSec {
                endpoint: credentials_id.to_owned(),
            },
            bootstrap: Some(BootstrapCredentials::default()),
            profile: profile.clone(),
            power: PowerSettings::default(),
        }))
    }

    /// The endpoint client name of a device; that of an unknown one is its own.
    pub(super) fn endpoint<'a>(&'a self, device: &'a DeviceInfo) -> &'a str {
        self.by_device
            .get(&device.device)
            .map_or(&device.name, |admission| admission.client.endpoint())
    }

    /// The endpoint client names of all devices in files.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.shared.keys().map(String::as_str)
    }

    /// Whether a file names this endpoint.
    pub(super) fn has_endpoint(&self, endpoint: &str) -> bool {
        self.shared.contains_key(endpoint)
    }

    /// How shared attributes differ in files from `old`, by endpoint; what is there no more is null.
    pub(super) fn shared_since(&self, old: &Self) -> Vec<(String, Map<String, Json>)> {
        let none = Map::new();
        let changes = self.shared.iter().map(|(endpoint, new)| {
            let old = old.shared.get(endpoint).unwrap_or(&none);
            let gone = old.keys().filter(|key| !new.contains_key(*key));
            let gone = gone.map(|key| (key.clone(), Json::Null));
            let set = new
                .iter()
                .filter(|(key, value)| old.get(*key) != Some(value));
            let set = set.map(|(key, value)| (key.clone(), value.clone()));
            (endpoint.clone(), gone.chain(set).collect::<Map<_, _>>())
        });
        changes.filter(|(_, changes)| !changes.is_empty()).collect()
    }

    /// A device of a file.
    pub(super) fn device(&self, id: PlatformId) -> Option<&DeviceInfo> {
        let known = self.by_device.get(&id)?;
        Some(&known.device)
    }

    /// The package that is assigned to a device: its own, else that of its profile.
    pub(super) fn assigned(&self, device: &DeviceInfo, kind: PackageKind) -> Option<&PackageEntry> {
        let device = self.device(device.device).unwrap_or(device);
        let assigned = self.assigned.get(&kind)?;
        let own = assigned.devices.get(&device.name);
        let id = own.or_else(|| assigned.profiles.get(&device.kind))?;
        self.packages.get(id).map(|(_, entry)| entry)
    }

    /// A package, and the file with its bytes.
    pub(super) fn package(&self, id: PackageId) -> Option<(&PackageEntry, PathBuf)> {
        let (folder, entry) = self.packages.get(&id)?;
        Some((entry, folder.join(entry.file.as_ref()?)))
    }

    /// The object models.
    pub(super) const fn models(&self) -> &ModelCatalog {
        &self.models
    }

    /// The name of any profile, `preferred` if that exists.
    pub(super) fn any_profile<'a>(&'a self, preferred: &'a str) -> &'a str {
        if self.profiles.contains_key(preferred) {
            return preferred;
        }
        self.profiles
            .keys()
            .next()
            .map_or(preferred, String::as_str)
    }

    /// How many devices, profiles and models there are.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (
            self.by_device.len(),
            self.profiles.len(),
            self.models.iter().count(),
        )
    }

    /// What endpoints have to be told when this registry follows `old`.
    pub(super) fn changes_since(&self, old: &Self) -> Vec<(Scope, Downlink)> {
        let mut changes = Vec::new();
        for (name, profile) in &self.profiles {
            if old.profiles.get(name).is_some_and(|old| old != profile) {
                let scope = Scope::Profile(profile.id);
                changes.push((scope, Downlink::ProfileChanged(profile.clone())));
            }
        }
        for old in old.by_credentials.values() {
            let scope = Scope::Device(old.device.device);
            match self.by_device.get(&old.device.device) {
                None => changes.push((scope, Downlink::DeviceDeleted)),
                Some(new) if new.client != old.client => {
                    changes.push((scope, Downlink::CredentialsChanged));
                }
                Some(new) if new.device != old.device || new.power != old.power => {
                    let (device, power) = (new.device.clone(), new.power.clone());
                    changes.push((scope, Downlink::DeviceChanged { device, power }));
                    if new.device.profile != old.device.profile {
                        changes.push((scope, Downlink::ProfileChanged(new.profile.clone())));
                    }
                }
                Some(_) => {}
            }
        }
        let models = old.models.iter().chain(self.models.iter());
        let keys: BTreeSet<_> = models.map(|model| (model.id, model.version)).collect();
        for (object, version) in keys {
            let model = self.models.best(object, version);
            if model != old.models.best(object, version) {
                let change = Downlink::ModelChanged {
                    object,
                    version,
                    model: model.cloned(),
                };
                changes.push((Scope::All, change));
            }
        }
        changes
    }

    fn add_profiles(&mut self, folder: &Folder) {
        for (file, content) in folder.contents() {
            let Content::Profile(transport) = content else {
                continue;
            };
            let name = file
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            let profile = DeviceProfile {
                id: entity_id("profile", &name),
                name: name.clone(),
                transport: transport.as_ref().clone(),
            };
            self.profiles.insert(name, Arc::new(profile));
        }
    }

    fn add_models(&mut self, folder: &Folder, problems: &mut Vec<Problem>) {
        self.models = core::catalog();
        let mut files = HashMap::new();
        for (file, content) in folder.contents() {
            let Content::Models(models) = content else {
                continue;
            };
            for model in models {
                if let Some(first) = files.insert((model.id, model.version), file) {
                    problems.push(Problem::of_file(
                        file,
                        format!(
                            "object {} in version {} is also defined in {}",
                            model.id,
                            model.version,
                            first.display()
                        ),
                    ));
                }
                self.models.insert(model.clone());
            }
        }
    }

    fn add_devices(&mut self, folder: &Folder, problems: &mut Vec<Problem>) {
        let mut names = HashMap::new();
        let mut endpoints = HashMap::new();
        let mut ids = HashMap::new();
        for (file, pointer, entry) in folder.devices() {
            let mut wrong = entry.problems();
            let place = format!("{} {pointer}", file.display());
            let place = format!("device `{}` ({})", entry.device_name, place.trim_end());
            let (name, endpoint, id) = (
                entry.device_name.clone(),
                entry.client().endpoint().to_owned(),
                entry.credentials_id(),
            );
            if let Some(first) = names.insert(name, place.clone()) {
                wrong.push((
                    "/deviceName".to_owned(),
                    format!("the name is taken by {first}"),
                ));
            }
            // The server knows a device by its endpoint name alone, so that has to be unique as well.
            if let Some(first) = endpoints.insert(endpoint.clone(), place.clone()) {
                wrong.push((
                    "/credentials/client/endpoint".to_owned(),
                    format!(
                        "the endpoint of `{}` is taken by {first}",
                        entry.device_name
                    ),
                ));
            } else if let Some(first) = ids.insert(id.clone(), place) {
                wrong.push((
                    "/credentials/client".to_owned(),
                    format!(
                        "the credentials id `{id}` of `{}` is taken by {first}",
                        entry.device_name
                    ),
                ));
            }
            match self.profiles.get(&entry.profile) {
                Some(profile) => {
                    wrong.extend(shared_problems(&entry.shared, profile));
                    let admission = Arc::new(Admission {
                        device: Arc::new(device_info(&entry.device_name, entry.tenant(), profile)),
                        client: entry.client().clone(),
                        bootstrap: Some(entry.bootstrap().clone()),
                        profile: profile.clone(),
                        power: entry.transport_configuration.clone(),
                    });
                    self.by_device
                        .insert(admission.device.device, admission.clone());
                    self.by_credentials.insert(id, admission);
                }
                None => wrong.push(("/profile".to_owned(), self.unknown_profile(&entry.profile))),
            }
            self.shared.insert(endpoint, entry.shared.clone());
            problems.extend(wrong.into_iter().map(|(member, message)| {
                Problem::at_pointer(file, format!("{pointer}{member}"), message)
            }));
        }
    }

    fn add_packages(&mut self, folder: &Folder, problems: &mut Vec<Problem>) {
        for (file, content) in folder.contents() {
            let Content::Package(entry) = content else {
                continue;
            };
            let mut wrong: Vec<_> = entry.problems().into_iter().collect();
            let assigned = self.assigned.entry(entry.kind()).or_default();
            for (pointer, names, assigned) in [
                ("/devices", &entry.devices, &mut assigned.devices),
                ("/profiles", &entry.profiles, &mut assigned.profiles),
            ] {
                for name in names {
                    if assigned.insert(name.clone(), entry.id()).is_some() {
                        wrong.push((pointer, "another package is assigned there"));
                    }
                }
            }
            if self.packages.contains_key(&entry.id()) {
                wrong.push(("", "another file has this type, title and version"));
            }
            problems.extend(wrong.into_iter().map(|(pointer, message)| match pointer {
                "" => Problem::of_file(file, message.to_owned()),
                _ => Problem::at_pointer(file, pointer.to_owned(), message.to_owned()),
            }));
            let folder = file.parent().map(Path::to_owned).unwrap_or_default();
            self.packages
                .insert(entry.id(), (folder, entry.as_ref().clone()));
        }
    }

    fn unknown_profile(&self, name: &str) -> String {
        let known: Vec<_> = self
            .profiles
            .keys()
            .map(|known| format!("`{known}`"))
            .collect();
        match known.is_empty() {
            true => format!("there is no profile `{name}`, nor any other in profiles/"),
            false => format!("there is no profile `{name}`, but {}", known.join(", ")),
        }
    }
}

/// What is wrong with shared attributes of a file: JSON pointer below the entry, and text. One that the profile does not
/// know would never reach the device; those of updates need no key there.
fn shared_problems(
    shared: &Map<String, Json>,
    profile: &DeviceProfile,
) -> impl Iterator<Item = (String, String)> {
    let names = &profile.transport.observe_attr.key_name;
    shared.iter().filter_map(move |(key, value)| {
        let is_update = PackageKind::of_attribute(key).is_some();
        let message = if value.is_null() {
            "null is no value".to_owned()
        } else if is_update || names.iter().any(|(_, name)| name == key) {
            return None;
        } else {
            format!("profile `{}` has no key name `{key}`", profile.name)
        };
        // RFC 6901 section 3.
        let escaped = key.replace('~', "~0").replace('/', "~1");
        Some((format!("/shared/{escaped}"), message))
    })
}

fn device_info(name: &str, tenant: PlatformId, profile: &DeviceProfile) -> DeviceInfo {
    DeviceInfo {
        tenant,
        customer: PlatformId::NULL,
        device: entity_id("device", name),
        profile: profile.id,
        name: name.to_owned(),
        kind: profile.name.clone(),
    }
}

/// The id of a named entity: the same in every run, so that what reads the output can rely on it. A UUID of version 8
/// (RFC 9562 section 5.8) from the SHA-256 of kind and name.
fn entity_id(kind: &str, name: &str) -> PlatformId {
    let digest = Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(name)
        .finalize();
    let mut bytes = [0; 16];
    for (byte, hash) in bytes.iter_mut().zip(digest) {
        *byte = hash;
    }
    let id = uuid::Builder::from_bytes(bytes)
        .with_variant(uuid::Variant::RFC4122)
        .with_version(uuid::Version::Custom)
        .into_uuid();
    PlatformId(id)
}

#[cfg(test)]
mod tests {
    use crate::{
        lwm2m::path::ObjectVersion,
        platform::embedded::test_support::{PROFILE, RegistryFolder, device, model},
    };

    use super::*;

    fn build(
        folder: &RegistryFolder,
        settings: &EmbeddedSettings,
    ) -> Result<Registry, Vec<String>> {
        let mut problems = Vec::new();
        let mut files = Folder::new(folder.path().to_owned());
        files.refresh(&mut problems);
        assert_eq!(problems, []);
        Registry::build(&files, settings)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn sound(folder: &RegistryFolder) -> Registry {
        build(folder, &EmbeddedSettings::default()).unwrap()
    }

    #[test]
    fn every_problem_across_files_is_told_at_once_with_its_place() {
        let folder = RegistryFolder::new();
        folder.write("profiles/p.json", PROFILE);
        folder.write("devices/a.json", &device("A", "p", "ep-1"));
        let list = format!(
            "[{}, {}, {}]",
            device("B", "p", "ep-1"),
            device("A", "q", "ep-2"),
            device("C", "p", " ")
        );
        folder.write("devices/b.json", &list);
        let settings = EmbeddedSettings {
            accept_unknown: true,
            ..EmbeddedSettings::default()
        };
        let root = folder.path().display();
        assert_eq!(
            build(&folder, &settings).unwrap_err(),
            [
                format!(
                    "{root}/devices/b.json: /0/credentials/client/endpoint: the endpoint of `B` is taken by device `A` ({root}/devices/a.json)"
                ),
                format!(
                    "{root}/devices/b.json: /1/deviceName: the name is taken by device `A` ({root}/devices/a.json)"
                ),
                format!("{root}/devices/b.json: /1/profile: there is no profile `q`, but `p`"),
                format!(
                    "{root}/devices/b.json: /2/credentials/client/endpoint: the endpoint is blank"
                ),
                format!(
                    "{root}: embedded.accept_unknown needs the profile that embedded.default_profile names: there is no profile `default`, but `p`"
                ),
            ]
        );
    }

    #[test]
    fn shared_attributes_of_a_file_need_a_value_and_a_key_of_the_profile() {
        let folder = RegistryFolder::new();
        folder.write("profiles/p.json", PROFILE);
        let with = |shared: &str| {
            let device = device("A", "p", "ep-1");
            let (device, _) = device.rsplit_once('}').unwrap();
            format!(r#"[{device},"shared":{shared}}}]"#)
        };
        folder.write(
            "devices/a.json",
            &with(r#"{"batteryLevel":null,"a/b~":1,"fw_title":"x","sw_titel":"x"}"#),
        );
        let root = folder.path().display();
        assert_eq!(
            build(&folder, &EmbeddedSettings::default()).unwrap_err(),
            [
                format!("{root}/devices/a.json: /0/shared/batteryLevel: null is no value"),
                format!(
                    "{root}/devices/a.json: /0/shared/a~1b~0: profile `p` has no key name `a/b~`"
                ),
                format!(
                    "{root}/devices/a.json: /0/shared/sw_titel: profile `p` has no key name `sw_titel`"
                ),
            ]
        );
        folder.write("devices/a.json", &with(r#"{"batteryLevel":7,"fw_tag":1}"#));
        let old = sound(&folder);
        assert!(old.has_endpoint("ep-1") && !old.has_endpoint("ep-2"));
        folder.write("devices/a.json", &with(r#"{"batteryLevel":8}"#));
        let changes = sound(&folder).shared_since(&old);
        let expected = serde_json::json!([["ep-1", {"fw_tag": null, "batteryLevel": 8}]]);
        assert_eq!(serde_json::to_value(changes).unwrap(), expected);
    }

    #[test]
    fn a_psk_identity_that_equals_an_endpoint_is_a_duplicate_of_both_devices() {
        let folder = RegistryFolder::new();
        folder.write("profiles/p.json", PROFILE);
        folder.write("devices/a.json", &device("A", "p", "same"));
        folder.write(
            "devices/b.json",
            r#"{"deviceName":"B","profile":"p","credentials":{"client":{"securityConfigClientMode":"PSK",
                "endpoint":"ep-b","identity":"same","key":"73656372657450534b73656372657450"}}}"#,
        );
        let problems = build(&folder, &EmbeddedSettings::default()).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].contains("the credentials id `same` of `B` is taken by device `A`"),
            "{}",
            problems[0]
        );
    }

    #[test]
    fn models_of_two_files_may_not_be_the_same() {
        let folder = RegistryFolder::new();
        folder.write("models/a.xml", &model(10_300, "1.0", "A"));
        folder.write("models/b.xml", &model(10_300, "1.0", "B"));
        folder.write("models/c.xml", &model(10_300, "1.1", "C"));
        let problems = build(&folder, &EmbeddedSettings::default()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("b.xml: object 10300 in version 1.0 is also defined in"));
    }

    #[test]
    fn models_of_files_come_before_the_built_in_ones() {
        let folder = RegistryFolder::new();
        let name = |registry: &Registry| {
            let model = registry.models().exact(3, ObjectVersion::V1_0);
            model.unwrap().name.clone()
        };
        assert_eq!(name(&sound(&folder)), "Device");
        folder.write("models/3.xml", &model(3, "1.0", "Ours"));
        assert_eq!(name(&sound(&folder)), "Ours");
    }

    #[test]
    fn p42_a_model_that_goes_is_replaced_by_the_newest_of_its_major_version() {
        let folder = RegistryFolder::new();
        folder.write("models/older.xml", &model(10_300, "1.0", "Older"));
        folder.write("models/newer.xml", &model(10_300, "1.1", "Newer"));
        let old = sound(&folder);
        folder.remove("models/newer.xml");
        let new = sound(&folder);
        assert_eq!(
            new.changes_since(&old),
            [(
                Scope::All,
                Downlink::ModelChanged {
                    object: 10_300,
                    version: ObjectVersion::new(1, 1),
                    model: new.models().exact(10_300, ObjectVersion::V1_0).cloned(),
                }
            )]
        );
    }

    #[test]
    fn devices_keep_their_ids() {
        let folder = RegistryFolder::new();
        folder.write("profiles/p.json", PROFILE);
        folder.write("devices/a.json", &device("A", "p", "ep-1"));
        let admission = sound(&folder).admission("ep-1").unwrap();
        let id = admission.device.device.0;
        // The first 16 bytes of SHA-256 of "device", a zero byte and "A", with version 8 and variant 10 set.
        assert_eq!(id.get_version_num(), 8);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(
            sound(&folder).admission("ep-1").unwrap().device.device.0,
            id
        );
        assert_ne!(entity_id("device", "B").0, id);
        assert_eq!(admission.device.kind, "p");
        assert_eq!(admission.device.tenant, PlatformId::NULL);
        assert_eq!(sound(&folder).endpoint(&admission.device), "ep-1");
        assert_eq!(sound(&folder).admission("ep-2"), None);
    }

    #[test]
    fn unknown_endpoints_get_the_default_profile_when_accepted() {
        let folder = RegistryFolder::new();
        folder.write("profiles/default.json", PROFILE);
        let settings = EmbeddedSettings {
            accept_unknown: true,
            ..EmbeddedSettings::default()
        };
        let registry = build(&folder, &settings).unwrap();
        let admission = registry.admission("stranger").unwrap();
        assert_eq!(admission.client.mode(), "NO_SEC");
        assert_eq!(admission.profile.name, "default");
        assert_eq!(registry.endpoint(&admission.device), "stranger");
        assert_eq!(registry.admission("stranger"), Some(admission));
    }

    #[test]
    fn changes_name_the_endpoints_concerned() {
        let folder = RegistryFolder::new();
        folder.write("profiles/p.json", PROFILE);
        folder.write("profiles/q.json", PROFILE);
        for name in ["same", "gone", "moved", "rekeyed"] {
            folder.write(&format!("devices/{name}.json"), &device(name, "p", name));
        }
        folder.write("models/x.xml", &model(10_300, "1.0", "X"));
        let old = sound(&folder);
        assert_eq!(sound(&folder).changes_since(&old), []);

        folder.remove("devices/gone.json");
        folder.write("devices/moved.json", &device("moved", "q", "moved"));
        folder.write("devices/rekeyed.json", &device("rekeyed", "p", "other"));
        folder.write(
            "profiles/p.json",
            &PROFILE.replace("batteryLevel", "charge"),
        );
        folder.remove("models/x.xml");
        let new = sound(&folder);
        let by_name = |name| Scope::Device(entity_id("device", name));
        let changes = new.changes_since(&old);
        let scopes: Vec<_> = changes.iter().map(|(scope, _)| *scope).collect();
        assert_eq!(
            scopes,
            [
                Scope::Profile(entity_id("profile", "p")),
                by_name("gone"),
                by_name("moved"),
                by_name("moved"),
                by_name("rekeyed"),
                Scope::All,
            ]
        );
        assert!(matches!(&changes[0].1, Downlink::ProfileChanged(profile) if profile.name == "p"));
        assert_eq!(changes[1].1, Downlink::DeviceDeleted);
        assert!(
            matches!(&changes[2].1, Downlink::DeviceChanged { device, .. } if device.kind == "q")
        );
        assert!(matches!(&changes[3].1, Downlink::ProfileChanged(profile) if profile.name == "q"));
        assert_eq!(changes[4].1, Downlink::CredentialsChanged);
        assert_eq!(
            changes[5].1,
            Downlink::ModelChanged {
                object: 10_300,
                version: ObjectVersion::V1_0,
                model: None
            }
        );
    }

    #[test]
    fn packages_that_are_wrong_or_in_each_others_way_are_told_with_their_place() {
        let folder = RegistryFolder::new();
        folder.write("profiles/p.json", PROFILE);
        let entry = |rest: &str| format!(r#"{{"type":"FIRMWARE","title":"fw",{rest}}}"#);
        folder.write(
            "packages/a.json",
            &entry(r#""version":"1","file":"a.bin","profiles":["p"]"#),
        );
        folder.write(
            "packages/b.json",
            &entry(r#""version":"2","file":"../b.bin","profiles":["p"]"#),
        );
        folder.write(
            "packages/c.json",
            &entry(r#""version":" ","checksum":"12""#),
        );
        let root = folder.path().display();
        assert_eq!(
            build(&folder, &EmbeddedSettings::default()).unwrap_err(),
            [
                format!("{root}/packages/b.json: /file: not the name of a file in packages/"),
                format!("{root}/packages/b.json: /profiles: another package is assigned there"),
                format!("{root}/packages/c.json: /version: the version is blank"),
                format!("{root}/packages/c.json: either `file` or `url` is needed"),
                format!(
                    "{root}/packages/c.json: /checksum: not the 64 hexadecimal digits of a SHA-256"
                ),
            ]
        );
    }
}
