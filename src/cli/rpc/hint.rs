//! Why a command cannot work, and what would. Reply bodies are the platform's word for word, so this is told beside them.

use std::cmp::Ordering;

use serde_json::Value;

use crate::{
    endpoint::{rpc::MANUAL, text},
    lwm2m::{
        model::{Operations, ResourceModel, core},
        path::{ObjectVersion, Path},
    },
    platform::time::UnixMillis,
    server::http::CommandError,
};

use super::{path_segment, shown};

/// A command that failed.
pub(super) struct Failed<'a> {
    pub(super) endpoint: &'a str,
    pub(super) method: &'a str,
    pub(super) params: &'a Value,
    /// How long it was to wait, seconds.
    pub(super) timeout: u64,
    /// Status of the HTTP answer.
    pub(super) status: u16,
    /// Its body.
    pub(super) body: &'a Value,
    /// Gets a page of the API, as JSON.
    pub(super) ask: &'a dyn Fn(&str) -> Option<Value>,
}

/// What to tell about a command that failed; nothing where the reply says it all.
pub(super) fn hint(failed: &Failed<'_>, now: UnixMillis) -> Option<String> {
    let error = failed.member("error");
    match failed.status {
        401 => Some("put the server's http.api_token into LIGHTSHIP__HTTP__API_TOKEN".to_owned()),
        404 if error == CommandError::UnknownEndpoint.to_string() => failed.unknown_endpoint(),
        503 => Some("too much waits for the server's devices; try again later".to_owned()),
        504 => failed.no_answer(now),
        _ if error.is_empty() => failed.refused_by_the_device(),
        _ => RULES
            .iter()
            .find(|(part, _)| error.contains(part))
            .and_then(|(_, rule)| rule(failed)),
    }
}

type Rule = fn(&Failed<'_>) -> Option<String>;

/// What is told of which error; the first part that is found decides.
const RULES: [(&str, Rule); 23] = [
    ("Unsupported operation type: ", |own| own.unknown_method()),
    ("is not valid version!", |own| own.wrong_version()),
    ("absent in the list supported objects", |own| {
        own.no_such_object()
    }),
    (text::TARGET_MISSING, |own| own.usage()),
    ("cannot be transformed to Json object", |own| own.usage()),
    (text::VALUE_NULL, |own| own.usage()),
    (text::VALUE_NO_MAP, |own| own.usage()),
    (text::NODES_EMPTY, |own| own.usage()),
    (text::ATTRIBUTES_MISSING, |own| own.usage()),
    ("is absent in system", |own| own.no_model()),
    ("is not executable", |own| own.executable()),
    ("Only resource can be executed", |own| own.executable()),
    ("Could not find active Observe", |own| own.observed()),
    ("is already registered", |_| {
        Some(
            "end that observation first: ObserveCancel, ObserveCompositeCancel or ObserveCancelAll"
                .to_owned(),
        )
    }),
    (text::NO_COMPOSITE, |_| {
        Some("it announced no SenML (ct=110 or 112) when it registered; send one command for each path".to_owned())
    }),
    ("Discover request cannot target", |_| {
        Some("name the resource, the object instance or the object instead".to_owned())
    }),
    ("only be used for Resource or ResourceInstance", |own| {
        own.usage_of("WriteUpdate")
    }),
    ("only be used for ObjectInstance or", |own| {
        own.usage_of("WriteReplace")
    }),
    ("Only object instances can be delete", |own| own.instances()),
    ("Object must be Multiple", |_| {
        Some("the object has one instance by its model, and the device has that; write its resources instead".to_owned())
    }),
    (text::REGISTRATION_EMPTY, |_| {
        Some("the device registers anew at this moment; try again".to_owned())
    }),
    (" cancelled", |_| {
        Some("the device de-registered or moved before it answered; whether it did as told is not known".to_owned())
    }),
    ("is not configured in the device profile!", |own| {
        match own.member("error").strip_prefix("Resource ") {
            Some(_) => own.no_model(),
            None => Some("the profile's keyName has no such name for an object that the device has; name the path with \"id\"".to_owned()),
        }
    }),
];

impl Failed<'_> {
    fn member(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// The path that the command names, and the version in it.
    fn path(&self) -> Option<(Path, Option<ObjectVersion>)> {
        let id = self.params["id"].as_str()?.trim_start_matches('/');
        let (object, rest) = id.split_once('/').unwrap_or((id, ""));
        let (object, version) = object.split_once('_').unwrap_or((object, ""));
        let path = format!("/{object}/{rest}");
        let path = path.trim_end_matches('/').parse().ok()?;
        Some((path, version.parse().ok()))
    }

    fn summary(&self) -> Option<Value> {
        (self.ask)(&format!("/api/endpoints/{}", path_segment(self.endpoint)))
    }

    /// The version in which the device has an object.
    fn version(&self, object: u16) -> Option<ObjectVersion> {
        let summary = self.summary()?;
        summary["versions"][object.to_string()]
            .as_str()?
            .parse()
            .ok()
    }

    fn unknown_endpoint(&self) -> Option<String> {
        let all = (self.ask)("/api/endpoints")?;
        let names = all.as_array()?.iter();
        let names: Vec<_> = names.filter_map(|one| one["endpoint"].as_str()).collect();
        if names.is_empty() {
            return Some("none is; the server's log says who was refused, and why".to_owned());
        }
        let shown: Vec<_> = names.iter().take(SHOWN).copied().collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let meant = meant(self.endpoint, names.iter().copied());
        Some(format!("{meant}registered are {}{more}", shown.join(", ")))
    }

    fn no_answer(&self, now: UnixMillis) -> Option<String> {
        let summary = self.summary()?;
        let heard = summary["last_heard"].as_i64()?;
        let ago = now.0.saturating_sub(heard).max(0) / 1000;
        let timeout = self.timeout;
        Some(if summary["asleep"] == true {
            format!(
                "the device sleeps; it was heard last {ago} s ago. A command waits until the device wakes up or --timeout \
                 ({timeout} s) is over: give it longer than the device sleeps"
            )
        } else {
            format!(
                "the device was heard last {ago} s ago and did not answer within {timeout} s; it may be gone, or need a \
                 longer --timeout"
            )
        })
    }

    fn unknown_method(&self) -> Option<String> {
        let names = MANUAL.map(|manual| manual.method);
        let meant = meant(self.method, names.into_iter());
        Some(format!("{meant}commands are {}", names.join(", ")))
    }

    fn usage(&self) -> Option<String> {
        self.usage_of(self.method)
    }

    fn usage_of(&self, method: &str) -> Option<String> {
        let manual = MANUAL.iter().find(|manual| manual.method == method)?;
        let params = shown(manual.example);
        Some(format!(
            "{method}: {} For example: lightship rpc {} {method} {params}",
            manual.does, self.endpoint
        ))
    }

    fn wrong_version(&self) -> Option<String> {
        let (path, _) = self.path()?;
        let object = path.object_id()?;
        let version = self.version(object)?;
        let plain = path.to_string();
        let rest = plain.strip_prefix(&format!("/{object}")).unwrap_or("");
        Some(format!(
            "the device has object {object} in version {version}: /{object}_{version}{rest}; with rpc.lenient_version, \
             {plain} means the same"
        ))
    }

    fn no_such_object(&self) -> Option<String> {
        let summary = self.summary()?;
        let versions = summary["versions"].as_object()?.iter();
        let objects =
            versions.map(|(id, version)| format!("/{id}_{}", version.as_str().unwrap_or_default()));
        let objects: Vec<_> = objects.collect();
        Some(format!("the device registered {}", objects.join(", ")))
    }

    fn no_model(&self) -> Option<String> {
        let (path, _) = self.path()?;
        let object = path.object_id()?;
        let version = self.version(object)?;
        let known = core::catalog();
        Some(match (known.best(object, version), path.resource_id()) {
            (Some(model), Some(resource)) => {
                format!(
                    "{} in version {version} has no resource {resource}; Discover shows what the device has, and a model \
                     in models/ can describe it",
                    model.name
                )
            }
            _ => format!(
                "put the definition of object {object} in version {version} into the registry's models/"
            ),
        })
    }

    fn executable(&self) -> Option<String> {
        let (path, _) = self.path()?;
        let object = path.object_id()?;
        let instance = path.instance_id().unwrap_or_default();
        let known = core::catalog();
        let model = known.best(object, self.version(object)?)?;
        let executable = model.resources.values();
        let executable: Vec<_> = executable
            .filter(|resource| resource.operations.execute)
            .map(|resource| format!("/{object}/{instance}/{} ({})", resource.id, resource.name))
            .collect();
        Some(if executable.is_empty() {
            format!("nothing of {} is executable", model.name)
        } else {
            format!(
                "of {}, executable are {}",
                model.name,
                executable.join(", ")
            )
        })
    }

    fn observed(&self) -> Option<String> {
        let summary = self.summary()?;
        let observed = summary["observed"].as_array()?.iter();
        let observed: Vec<_> = observed.filter_map(Value::as_str).collect();
        Some(match observed.is_empty() {
            true => "nothing is observed".to_owned(),
            false => format!("observed are {}", observed.join(", ")),
        })
    }

    fn instances(&self) -> Option<String> {
        let (path, _) = self.path()?;
        let object = path.object_id()?;
        let summary = self.summary()?;
        let links = summary["objects"].as_array()?.iter();
        let links: Vec<_> = links
            .filter_map(Value::as_str)
            .filter(|link| {
                let path: Option<Path> = link.parse().ok();
                path.is_some_and(|path| path.depth() == 2 && path.object_id() == Some(object))
            })
            .collect();
        Some(format!(
            "of object {object} the device registered the instances {}",
            links.join(", ")
        ))
    }

    /// The device answered with a code and no text.
    fn refused_by_the_device(&self) -> Option<String> {
        let (path, _) = self.path()?;
        let object = path.object_id()?;
        match self.member("result") {
            "NOT_FOUND" => Some(format!(
                "the device has nothing at {path}; what it has: lightship rpc {} Discover /{object}",
                self.endpoint
            )),
            "METHOD_NOT_ALLOWED" => {
                let known = core::catalog();
                let model = known.best(object, self.version(object)?)?;
                let resource = model.resources.get(&path.resource_id()?)?;
                let may = operations(resource);
                Some(format!(
                    "the device refuses this; by its model, {} of {} can be {may}",
                    resource.name, model.name
                ))
            }
            _ => None,
        }
    }
}

fn operations(resource: &ResourceModel) -> &'static str {
    let Operations {
        read,
        write,
        execute,
    } = resource.operations;
    match (read, write, execute) {
        (true, true, _) => "read and written",
        (true, false, _) => "read only",
        (false, true, _) => "written only",
        (false, false, true) => "executed only",
        (false, false, false) => "used by the device alone",
    }
}

/// `did you mean X? ` when one of the names is not far from what was given.
fn meant<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> String {
    let given = given.to_lowercase();
    let closeness = names.map(|name| {
        let same = strsim::jaro_winkler(&given, &name.to_lowercase());
        (same, name)
    });
    closeness
        .max_by(|(one, _), (other, _)| one.partial_cmp(other).unwrap_or(Ordering::Equal))
        .filter(|(same, _)| *same > NEAR)
        .map_or_else(String::new, |(_, name)| format!("did you mean {name}? "))
}

/// Endpoints that are listed.
const SHOWN: usize = 10;
/// From which likeness (Jaro-Winkler, 0 to 1) on a name is likely to have been meant.
const NEAR: f64 = 0.8;

#[cfg(test)]
mod tests;
