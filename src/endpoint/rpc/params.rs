//! The parameters of a command (`rpc.md` 4).

use serde_json::{Map, Value as Json};

use crate::{
    coap::ContentFormat,
    endpoint::{context::DeviceContext, text},
};

use super::{json, target::Target};

/// The JSON object that came with a command. Members that a command does not know are ignored.
#[derive(Debug)]
pub(super) struct Params<'a> {
    text: &'a str,
    members: Map<String, Json>,
}

impl<'a> Params<'a> {
    /// Reads the parameters; nothing at all and `null` are an object without members.
    ///
    /// # Errors
    /// The text of the reply.
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let members = if text.trim().is_empty() {
            Map::new()
        } else {
            match serde_json::from_str(text) {
                Ok(Json::Object(members)) => members,
                Ok(Json::Null) => Map::new(),
                Ok(_) | Err(_) => return Err(text::malformed_parameters(text)),
            }
        };
        Ok(Self { text, members })
    }

    /// The id of the target: that of `key` in the profile, else `id` as given. Empty ones count as missing.
    ///
    /// # Errors
    /// The text of the reply.
    pub(super) fn id(&self, device: &DeviceContext<'_>) -> Result<String, String> {
        let (key, id) = (self.string("key")?, self.string("id")?);
        if let Some(key) = key {
            return Target::of_key(&key, device)
                .map(|target| target.to_string())
                .ok_or_else(|| text::key_not_configured(&key));
        }
        id.ok_or_else(|| text::TARGET_MISSING.to_owned())
    }

    /// The ids of several targets, none twice: those of `keys` in the profile, else `ids` as given. Empty lists count as
    /// missing.
    ///
    /// # Errors
    /// The text of the reply; one key that the profile does not have is enough.
    pub(super) fn ids(&self, device: &DeviceContext<'_>) -> Result<Vec<String>, String> {
        let (keys, ids) = (self.strings("keys")?, self.strings("ids")?);
        let ids = if keys.is_empty() {
            ids
        } else {
            keys.iter()
                .map(|key| {
                    Target::of_key(key, device)
                        .map(|target| target.to_string())
                        .ok_or_else(|| text::key_not_configured(key))
                })
                .collect::<Result<_, _>>()?
        };
        let mut unique = Vec::new();
        for id in ids {
            if !unique.contains(&id) {
                unique.push(id);
            }
        }
        if unique.is_empty() {
            return Err(text::TARGET_MISSING.to_owned());
        }
        Ok(unique)
    }

    /// The member `value`.
    pub(super) fn value(&self) -> &Json {
        self.members.get("value").unwrap_or(&Json::Null)
    }

    /// A member that is an object; `None` when it is missing or null.
    ///
    /// # Errors
    /// The text of the reply.
    pub(super) fn object(&self, name: &str) -> Result<Option<&Map<String, Json>>, String> {
        match self.members.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Object(members)) => Ok(Some(members)),
            Some(_) => Err(self.malformed()),
        }
    }

    /// The text for parameters that are JSON, but not what the command takes.
    pub(super) fn malformed(&self) -> String {
        text::malformed_parameters(self.text)
    }

    /// The format that `contentFormat` names or numbers, where that is honoured.
    ///
    /// # Errors
    /// The text of the reply.
    pub(super) fn content_format(
        &self,
        device: &DeviceContext<'_>,
    ) -> Result<Option<ContentFormat>, String> {
        let name = self.string("contentFormat")?;
        let Some(name) = name.filter(|_| device.settings.honour_content_format) else {
            return Ok(None);
        };
        FORMATS
            .iter()
            .find(|format| format.name() == Some(&name) || format.0.to_string() == name)
            .map(|format| Some(*format))
            .ok_or_else(|| text::unknown_content_format(&name))
    }

    /// A text member; `None` when it is missing, null or empty. Numbers and booleans are taken as their text.
    fn string(&self, name: &str) -> Result<Option<String>, String> {
        match self.members.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value @ (Json::String(_) | Json::Number(_) | Json::Bool(_))) => {
                Ok(Some(json::text(value)).filter(|text| !text.is_empty()))
            }
            Some(Json::Array(_) | Json::Object(_)) => Err(self.malformed()),
        }
    }

    /// A member that is a list of texts; empty when it is missing or null.
    fn strings(&self, name: &str) -> Result<Vec<String>, String> {
        let values = match self.members.get(name) {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(Json::Array(values)) => values,
            Some(_) => return Err(self.malformed()),
        };
        values
            .iter()
            .map(|value| match value {
                Json::String(_) | Json::Number(_) | Json::Bool(_) => Ok(json::text(value)),
                Json::Null | Json::Array(_) | Json::Object(_) => Err(self.malformed()),
            })
            .collect()
    }
}

/// The formats a command may ask for.
const FORMATS: [ContentFormat; 7] = [
    ContentFormat::TEXT,
    ContentFormat::OPAQUE,
    ContentFormat::CBOR,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::TLV,
    ContentFormat::JSON,
];
