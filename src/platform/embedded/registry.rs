//! The registry in memory: built from the parsed files as a whole, asked by credentials id, compared with its successor.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use sha2::{Digest, Sha256};

use crate::{
    lwm2m::{
        model::ObjectModel,
        path::{ObjectId, ObjectVersion},
    },
    platform::{
        Downlink,
        credentials::{Admission, ClientCredentials},
        downlink::Scope,
        profile::{DeviceProfile, PowerSettings},
        session::{DeviceInfo, PlatformId},
    },
};

use super::{
    folder::{Content, Folder, Problem},
    settings::EmbeddedSettings,
};

/// Devices, profiles and models of one state of the folder.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By credentials id.
    by_credentials: BTreeMap<String, Arc<Admission>>,
    by_device: HashMap<PlatformId, Arc<Admission>>,
    profiles: BTreeMap<String, Arc<DeviceProfile>>,
    models: BTreeMap<(ObjectId, ObjectVersion), Arc<ObjectModel>>,
    /// Profile of unknown endpoints, if these are admitted.
    unknown: Option<Arc<DeviceProfile>>,
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

    /// The model of exactly this object and version, if a file defines it.
    pub(super) fn model(&self, key: (ObjectId, ObjectVersion)) -> Option<&Arc<ObjectModel>> {
        self.models.get(&key)
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
        (self.by_device.len(), self.profiles.len(), self.models.len())
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
        let keys: BTreeSet<_> = old.models.keys().chain(self.models.keys()).collect();
        for &(object, version) in keys {
            let model = self.model((object, version));
            if model != old.model((object, version)) {
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
        let mut files = HashMap::new();
        for (file, content) in folder.contents() {
            let Content::Models(models) = content else {
                continue;
            };
            for model in models {
                let key = (model.id, model.version);
                if let Some(first) = files.insert(key, file) {
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
                self.models.insert(key, model.clone());
            }
        }
    }

    fn add_devices(&mut self, folder: &Folder, problems: &mut Vec<Problem>) {
        let mut names = HashMap::new();
        let mut endpoints = HashMap::new();
        let mut ids = HashMap::new();
        for (file, pointer, entry) in folder.devices() {
            let mut wrong = entry.problems();
            let place = format!(
                "device `{}` ({} {pointer})",
                entry.device_name,
                file.display()
            );
            let (name, endpoint, id) = (
                entry.device_name.clone(),
                entry.client().endpoint().to_owned(),
                entry.credentials_id(),
            );
            if let Some(first) = names.insert(name, place.clone()) {
                wrong.push(("/deviceName", format!("the name is taken by {first}")));
            }
            // The server knows a device by its endpoint name alone, so that has to be unique as well.
            if let Some(first) = endpoints.insert(endpoint, place.clone()) {
                wrong.push((
                    "/credentials/client/endpoint",
                    format!(
                        "the endpoint of `{}` is taken by {first}",
                        entry.device_name
                    ),
                ));
            } else if let Some(first) = ids.insert(id.clone(), place) {
                wrong.push((
                    "/credentials/client",
                    format!(
                        "the credentials id `{id}` of `{}` is taken by {first}",
                        entry.device_name
                    ),
                ));
            }
            match self.profiles.get(&entry.profile) {
                Some(profile) => {
                    let admission = Arc::new(Admission {
                        device: Arc::new(device_info(&entry.device_name, entry.tenant(), profile)),
                        client: entry.client().clone(),
                        profile: profile.clone(),
                        power: entry.transport_configuration.clone(),
                    });
                    self.by_device
                        .insert(admission.device.device, admission.clone());
                    self.by_credentials.insert(id, admission);
                }
                None => wrong.push(("/profile", self.unknown_profile(&entry.profile))),
            }
            problems.extend(wrong.into_iter().map(|(member, message)| {
                Problem::at_pointer(file, format!("{pointer}{member}"), message)
            }));
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
