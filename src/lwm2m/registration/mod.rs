//! Registrations: what a device says in Register and Update (OMA LwM2M Core, "Client Registration Interface").

mod binding;
mod error;
mod objects;
mod parameters;
mod parts;

pub use binding::{BindingMode, BindingModes};
pub use error::RegistrationError;
pub use objects::{ObjectList, RegisteredObject};
pub use parameters::{
    AdditionalParameters, Lifetime, RegisterParameters, UpdateParameters, endpoint_name,
};
pub use parts::RegistrationParts;

use parameters::MAX_QUERY;

use super::{
    path::{ObjectId, ObjectVersion, Path},
    version::Lwm2mVersion,
};
use crate::coap::content_format::ContentFormat;

/// What a device has registered, with its Updates applied.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistrationData {
    /// The endpoint name.
    pub endpoint: String,
    /// How long the registration lasts without an Update.
    pub lifetime: Lifetime,
    /// The enabler version.
    pub version: Lwm2mVersion,
    /// The transports the device speaks.
    pub binding: BindingModes,
    /// Whether the device may be asleep between its own messages.
    pub queue_mode: bool,
    /// The telephone number for the SMS binding.
    pub sms: Option<String>,
    /// Parameters without a meaning here.
    pub additional: AdditionalParameters,
    /// Objects, instances and content formats.
    pub objects: ObjectList,
}

impl RegistrationData {
    /// Puts together the parts of a Register. The caller may have filled in the endpoint from the security layer.
    ///
    /// # Errors
    /// [`RegistrationError::EndpointMissing`] when nobody named the endpoint.
    pub fn new(
        parameters: RegisterParameters,
        objects: ObjectList,
    ) -> Result<Self, RegistrationError> {
        Ok(Self {
            endpoint: parameters
                .endpoint
                .ok_or(RegistrationError::EndpointMissing)?,
            lifetime: parameters.lifetime,
            version: parameters.version,
            binding: parameters.binding,
            queue_mode: parameters.queue_mode,
            sms: parameters.sms,
            additional: parameters.additional,
            objects,
        })
    }

    /// Applies an Update, which changes what it states and nothing else. `objects` is the new object list, if the
    /// Update has a payload ([`ObjectList::updated`]).
    pub fn update(&mut self, parameters: UpdateParameters, objects: Option<ObjectList>) {
        self.lifetime = parameters.lifetime.unwrap_or(self.lifetime);
        self.binding = parameters.binding.unwrap_or(self.binding);
        self.queue_mode = parameters.queue_mode.unwrap_or(self.queue_mode);
        if parameters.sms.is_some() {
            self.sms = parameters.sms;
        }
        for (name, value) in parameters.additional {
            self.keep(name, value);
        }
        if let Some(objects) = objects {
            self.objects = objects;
        }
    }

    /// Keeps an additional parameter, unless Updates have brought as many as a query may hold.
    fn keep(&mut self, name: String, value: Option<String>) {
        let length = |name: &str, value: &Option<String>| {
            let value = value.as_ref().map_or(0, String::len);
            name.len().saturating_add(value)
        };
        let used = self
            .additional
            .iter()
            .filter(|(other, _)| **other != name)
            .map(|(name, value)| length(name, value))
            .fold(length(&name, &value), usize::saturating_add);
        if used <= MAX_QUERY {
            self.additional.insert(name, value);
        }
    }

    /// The version in which the device has an object; `None` if it does not list the object or an instance of it.
    pub fn supported_version(&self, object: ObjectId) -> Option<ObjectVersion> {
        Some(self.objects.objects().get(&object)?.version)
    }

    /// Whether the device has what a versioned path names: the version is the supported one, and the object or the
    /// object instance of the path is literally among the registered links.
    pub fn supports(&self, path: &Path, version: ObjectVersion) -> bool {
        let (Some(id), instance) = (path.object_id(), path.instance_id()) else {
            return false;
        };
        self.objects.objects().get(&id).is_some_and(|object| {
            let listed = object.listed || instance.is_some_and(|id| object.instances.contains(&id));
            object.version == version && listed
        })
    }

    /// The content formats the device announced, in its order; TLV alone if it announced none.
    pub fn content_formats(&self) -> &[ContentFormat] {
        self.objects.content_formats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::link_format::Mode;

    fn registration(query: &str, payload: &str) -> RegistrationData {
        let parameters = RegisterParameters::from_query(query.split('&')).unwrap();
        let objects =
            ObjectList::parse(payload.as_bytes(), Mode::Lenient, parameters.version).unwrap();
        RegistrationData::new(parameters, objects).unwrap()
    }

    #[test]
    fn p31_other_parameters_are_kept_and_bounded_over_updates() {
        let mut device = registration("ep=a&lwm2m=1.1&site=1&x", "</3/0>");
        let update = |query: &str| UpdateParameters::from_query([query], Lwm2mVersion::V1_1);
        device.update(update("site=2").unwrap(), None);
        assert_eq!(
            device.additional,
            [("site", Some("2")), ("x", None)]
                .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)))
                .into()
        );
        for n in 0..100 {
            let query = format!("n{n}={}", "x".repeat(200));
            device.update(update(&query).unwrap(), None);
        }
        assert!(device.additional.len() < 25);
        assert_eq!(device.additional["site"].as_deref(), Some("2"));
    }

    #[test]
    fn p31_sms_is_kept_until_an_update_states_another() {
        let mut device = registration("ep=a&lwm2m=1.0&b=UQS&sms=111", "</3/0>");
        let update = |query: &str| UpdateParameters::from_query([query], Lwm2mVersion::V1_0);
        device.update(update("lt=60").unwrap(), None);
        assert_eq!(device.sms.as_deref(), Some("111"));
        device.update(update("sms=222").unwrap(), None);
        assert_eq!(device.sms.as_deref(), Some("222"));
        assert!(device.queue_mode);
    }

    #[test]
    fn supports_what_lies_below_a_registered_link_in_its_version() {
        let device = registration(
            "ep=a&lwm2m=1.1",
            "</>;ct=110,</3/0>;ver=1.2,</6>,</3303/0>,</3303/12>",
        );
        let v1_2 = ObjectVersion::new(1, 2);
        assert!(device.supports(&Path::resource(3, 0, 9), v1_2));
        assert!(device.supports(&Path::instance(3, 0), v1_2));
        assert!(device.supports(&Path::resource(6, 7, 0), ObjectVersion::V1_0));
        assert!(device.supports(&Path::resource(3303, 12, 5700), ObjectVersion::V1_0));
        assert!(!device.supports(&Path::resource(3, 0, 9), ObjectVersion::V1_0));
        assert!(!device.supports(&Path::resource(3303, 1, 5700), ObjectVersion::V1_0));
        assert!(!device.supports(&Path::object(3), v1_2));
        assert!(!device.supports(&Path::object(5), ObjectVersion::V1_0));
        assert!(!device.supports(&Path::ROOT, ObjectVersion::V1_0));
        assert_eq!(device.supported_version(3), Some(v1_2));
        assert_eq!(device.supported_version(0), None);
    }

    #[test]
    fn a46_a_register_without_a_name_is_refused() {
        let parameters = RegisterParameters::from_query(["lwm2m=1.1"]).unwrap();
        assert_eq!(
            RegistrationData::new(parameters, ObjectList::default()),
            Err(RegistrationError::EndpointMissing)
        );
    }

    #[test]
    fn a77_an_update_changes_exactly_what_it_states() {
        let before = registration("ep=a&lwm2m=1.1&lt=300&b=US&Q&sms=1", "</3/0>");
        let mut device = before.clone();
        device.update(UpdateParameters::default(), None);
        assert_eq!(device, before);

        let objects = device
            .objects
            .updated(b"</5/0>", Mode::Lenient, device.version)
            .unwrap();
        let parameters = UpdateParameters::from_query(["lt=30", "b=U"], device.version).unwrap();
        device.update(parameters, Some(objects.clone()));
        assert_eq!(
            device,
            RegistrationData {
                lifetime: Lifetime::Seconds(30),
                binding: BindingModes::default(),
                objects,
                ..before
            }
        );
    }
}
