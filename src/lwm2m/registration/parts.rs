//! A registration taken apart into what a device would have to say for it, and put together again.

use std::collections::BTreeMap;

use super::{
    Lifetime, ObjectList, RegisterParameters, RegisteredObject, RegistrationData, RegistrationError,
};
use crate::{
    coap::{
        content_format::ContentFormat,
        link_format::{self, Mode},
    },
    lwm2m::{
        path::{ObjectId, ObjectVersion},
        version::Lwm2mVersion,
    },
};

/// Everything that [`RegistrationData`] holds, in the terms of Register and Update.
///
/// The object list is that of the latest Register or Update; what it may leave out because an earlier one stated it
/// stands beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrationParts {
    /// The query of a Register that states what holds, `name=value` or `name` each.
    pub parameters: Vec<String>,
    /// The links of the latest object list.
    pub links: String,
    /// The segments of the root under which the objects lie.
    pub root: Vec<String>,
    /// The content formats that the device announced; empty if it announced none.
    pub content_formats: Vec<ContentFormat>,
    /// The versions that the device stated for objects.
    pub versions: Vec<(ObjectId, ObjectVersion)>,
}

impl RegistrationData {
    /// Takes the registration apart.
    pub fn to_parts(&self) -> RegistrationParts {
        let lifetime = match self.lifetime {
            Lifetime::Seconds(seconds) => seconds,
            Lifetime::Infinite => 0,
        };
        let mut parameters = vec![
            format!("ep={}", self.endpoint),
            format!("lt={lifetime}"),
            format!("lwm2m={}", self.version),
        ];
        let letters: String = self
            .binding
            .iter()
            .map(|mode| format!("{mode:?}"))
            .collect();
        if !letters.is_empty() {
            parameters.push(format!("b={letters}"));
        }
        if self.queue_mode && self.version != Lwm2mVersion::V1_0 {
            parameters.push("Q".to_owned());
        }
        parameters.extend(self.sms.iter().map(|sms| format!("sms={sms}")));
        for (name, value) in &self.additional {
            parameters.push(match value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            });
        }
        let objects = &self.objects;
        let versions = objects.objects().iter();
        RegistrationParts {
            parameters,
            links: link_format::write(objects.links()),
            root: objects.root.clone(),
            content_formats: objects.content_formats.clone().unwrap_or_default(),
            versions: versions
                .filter_map(|(id, object)| Some((*id, object.stated_version?)))
                .collect(),
        }
    }

    /// Puts a registration together.
    ///
    /// # Errors
    /// As for a Register that says the same.
    pub fn from_parts(parts: &RegistrationParts) -> Result<Self, RegistrationError> {
        let parameters =
            RegisterParameters::from_query(parts.parameters.iter().map(String::as_str))?;
        let earlier: BTreeMap<_, _> = parts
            .versions
            .iter()
            .map(|(id, version)| {
                let object = RegisteredObject {
                    stated_version: Some(*version),
                    ..RegisteredObject::default()
                };
                (*id, object)
            })
            .collect();
        let earlier = ObjectList {
            root: parts.root.clone(),
            content_formats: (!parts.content_formats.is_empty())
                .then(|| parts.content_formats.clone()),
            objects: earlier,
            ..ObjectList::default()
        };
        let objects = earlier.updated(parts.links.as_bytes(), Mode::Lenient, parameters.version)?;
        Self::new(parameters, objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lwm2m::registration::UpdateParameters;

    fn registration(query: &str, links: &str) -> RegistrationData {
        let parameters = RegisterParameters::from_query(query.split('&')).unwrap();
        let objects =
            ObjectList::parse(links.as_bytes(), Mode::Lenient, parameters.version).unwrap();
        RegistrationData::new(parameters, objects).unwrap()
    }

    /// Without the count of what was forgiven, which is of the message and not of the registration.
    fn assert_same(restored: &RegistrationData, data: &RegistrationData) {
        let mut data = data.clone();
        data.objects.deviations = restored.objects.deviations;
        assert_eq!(restored, &data);
    }

    #[test]
    fn what_is_taken_apart_can_be_put_together() {
        for (query, links) in [
            ("ep=a=b&lwm2m=1.0&b=UQS&sms=111&lt=300", "</3/0>,</3303/12>"),
            (
                "ep=urn:x&lwm2m=1.1&lt=0&Q&site=1&flag&empty=",
                "</>;ct=\"60 110\",</3>;ver=1.2,</3/0>",
            ),
            (
                "ep=Süd&lwm2m=1.2&lt=0&b=UTN&pid=7f",
                "</lwm2m>;rt=\"oma.lwm2m\";ct=11543,</lwm2m/3/0>",
            ),
            ("ep=x&lwm2m=1.1", "</3/0> ; ver=1.1, </strange>;x=\"a,b\""),
        ] {
            let data = registration(query, links);
            assert_same(
                &RegistrationData::from_parts(&data.to_parts()).unwrap(),
                &data,
            );
        }
    }

    #[test]
    fn what_an_earlier_list_stated_is_kept() {
        let mut data = registration(
            "ep=a&lwm2m=1.1",
            "</lwm2m>;rt=\"oma.lwm2m\";ct=\"60 110\",</lwm2m/3>;ver=1.2,</lwm2m/3/0>",
        );
        let list = b"</lwm2m/3/0>,</lwm2m/6/0>";
        let objects = data
            .objects
            .updated(list, Mode::Lenient, data.version)
            .unwrap();
        let parameters = UpdateParameters::from_query(["lt=30", "b=U"], data.version).unwrap();
        data.update(parameters, Some(objects));
        let restored = RegistrationData::from_parts(&data.to_parts()).unwrap();
        assert_same(&restored, &data);
        assert_eq!(
            restored.supported_version(3),
            Some(ObjectVersion::new(1, 2))
        );
        assert_eq!(restored.content_formats().len(), 2);
    }
}
