//! What to delete and what to write, so that a device ends up with the accounts of its profile.
//!
//! Accounts that the profile does not name stay as they are, as do all other objects. The account of the bootstrap server
//! is never deleted, which clients refuse: it is written over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    coap::link_format::{self, DecodeError, Link, Mode},
    lwm2m::{
        node::{Node, ObjectInstance},
        path::{InstanceId, ObjectId, Path},
    },
};

use super::accounts::Account;

/// What a device has, by its answer to Bootstrap-Discover (OMA LwM2M Core, "Bootstrap-Discover Operation").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Discovered {
    /// Security instances of LwM2M servers, by short server id.
    security: BTreeMap<u16, InstanceId>,
    /// Server instances, by short server id.
    server: BTreeMap<u16, InstanceId>,
    /// Security instances without short server id, one of which is the bootstrap server's.
    nameless: BTreeSet<InstanceId>,
    /// All instances of the two objects.
    instances: BTreeSet<(ObjectId, InstanceId)>,
}

impl Discovered {
    /// Reads an answer; returns its links too, for the log.
    pub(super) fn read(payload: &[u8]) -> Result<(Self, Vec<Link>), DecodeError> {
        let links = link_format::parse(payload, Mode::Lenient)?.links;
        let mut found = Self::default();
        for link in &links {
            let segments: Vec<_> = link
                .segments()
                .map(|segment| segment.parse().ok())
                .collect();
            if let [Some(object @ (SECURITY | SERVER)), Some(instance)] = segments[..] {
                found.add(object, instance, link);
            }
        }
        Ok((found, links))
    }

    fn add(&mut self, object: ObjectId, instance: InstanceId, link: &Link) {
        self.instances.insert((object, instance));
        let id = link
            .attribute("ssid")
            .flatten()
            .and_then(|id| id.parse().ok())
            .filter(|id| (1..u16::MAX).contains(id));
        match (object, id) {
            (SECURITY, Some(id)) => {
                self.security.entry(id).or_insert(instance);
            }
            (SECURITY, None) => {
                self.nameless.insert(instance);
            }
            (_, Some(id)) => {
                self.server.entry(id).or_insert(instance);
            }
            (_, None) => {}
        }
    }

    /// The account of the bootstrap server, and whether there was a choice.
    pub(super) fn bootstrap(&self) -> Option<(InstanceId, bool)> {
        let first = self.nameless.first()?;
        Some((*first, self.nameless.len() > 1))
    }
}

/// One request to the device.
#[derive(Clone, PartialEq)]
pub(super) enum Step {
    /// Bootstrap-Delete
    Delete(Path),
    /// Bootstrap-Write of a whole instance
    Write(Path, Node),
}

impl fmt::Debug for Step {
    /// Prints the target, never what is written, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete(path) => write!(f, "Delete({path})"),
            Self::Write(path, _) => write!(f, "Write({path})"),
        }
    }
}

/// The requests for `accounts`, in their order: Deletes, then Writes of object 0, then of object 1, each by instance.
/// `discovered` is `None` when the device does not tell what it has.
pub(super) fn plan(accounts: Vec<Account>, discovered: Option<&Discovered>) -> Vec<Step> {
    let nothing = Discovered::default();
    let known = discovered.unwrap_or(&nothing);
    let bootstrap = known.bootstrap().map(|(instance, _)| instance);
    let mut taken = known.instances.clone();
    if bootstrap.is_none() {
        // It talks to us, so it has an account for us; where it does not say, that is the usual place.
        taken.insert((SECURITY, 0));
    }
    let mut place = |object: ObjectId, known: Option<InstanceId>| {
        known.or_else(|| {
            let free = (0..u16::MAX).find(|instance| !taken.contains(&(object, *instance)))?;
            taken.insert((object, free));
            Some(free)
        })
    };
    let (mut deletes, mut writes) = (BTreeSet::new(), BTreeMap::new());
    let mut write = |object, instance, resources| {
        let node = Node::ObjectInstance(ObjectInstance {
            id: instance,
            resources,
        });
        writes.insert(Path::instance(object, instance), node);
    };
    for account in accounts {
        let Some(id) = account.short_server_id else {
            if let Some(instance) = bootstrap {
                write(SECURITY, instance, account.security);
            }
            continue;
        };
        for (object, known, resources) in [
            (SECURITY, known.security.get(&id), account.security),
            (SERVER, known.server.get(&id), account.server),
        ] {
            if let Some(instance) = known {
                deletes.insert(Path::instance(object, *instance));
            }
            if let Some(instance) = place(object, known.copied()) {
                write(object, instance, resources);
            }
        }
    }
    let deletes = deletes.into_iter().map(Step::Delete);
    let writes = writes.into_iter();
    deletes
        .chain(writes.map(|(path, node)| Step::Write(path, node)))
        .collect()
}

/// LwM2M Security
const SECURITY: ObjectId = 0;
/// LwM2M Server
const SERVER: ObjectId = 1;

#[cfg(test)]
mod tests {
    use crate::bootstrap::{
        accounts::accounts,
        fixture::{NOSEC, admission, admission_with},
    };

    use super::*;

    /// The plan for accounts with these short server ids, `None` for the bootstrap server's, on a device that answers so.
    fn planned(ids: &[Option<u16>], discovered: Option<&str>) -> Vec<String> {
        let mut wanted = Vec::new();
        for id in ids {
            let mut account = accounts(&admission(NOSEC)).unwrap().remove(0);
            account.short_server_id = *id;
            wanted.push(account);
        }
        let discovered = discovered.map(|text| Discovered::read(text.as_bytes()).unwrap().0);
        texts(&plan(wanted, discovered.as_ref()))
    }

    fn texts(steps: &[Step]) -> Vec<String> {
        steps
            .iter()
            .map(|step| match step {
                Step::Delete(path) => format!("DELETE {path}"),
                Step::Write(path, Node::ObjectInstance(instance)) => {
                    assert_eq!(path.instance_id(), Some(instance.id));
                    format!("PUT {path}")
                }
                Step::Write(..) => panic!("whole instances are written"),
            })
            .collect()
    }

    #[test]
    fn m10_a_fresh_device_is_written_to_without_a_delete() {
        // As a Leshan client answers (`measured.md` 4).
        let fresh = "</>;lwm2m=1.0, </0>;ver=1.2, </0/0>;uri=coap://127.0.0.1:5687, </1>";
        assert_eq!(
            planned(&[Some(123), None], Some(fresh)),
            ["PUT /0/0", "PUT /0/1", "PUT /1/0"]
        );
    }

    #[test]
    fn p32_5_accounts_that_are_there_are_deleted_and_written_in_their_place() {
        let used = "</>;lwm2m=1.1,</0/0>,</0/1>;ssid=123;uri=\"coap://h:1\",</0/2>;ssid=7,</1/0>;ssid=7,</1/3>;ssid=123,</3/0>";
        assert_eq!(
            planned(&[Some(123), None], Some(used)),
            [
                "DELETE /0/1",
                "DELETE /1/3",
                "PUT /0/0",
                "PUT /0/1",
                "PUT /1/3"
            ]
        );
    }

    #[test]
    fn b5_b6_accounts_that_the_profile_does_not_name_are_kept() {
        let used = "</0/0>;ssid=123,</0/1>,</1/0>;ssid=123";
        assert_eq!(planned(&[None], Some(used)), ["PUT /0/1"]);
        assert_eq!(planned(&[], Some(used)), [""; 0]);
        assert_eq!(
            planned(&[Some(5)], Some(used)),
            ["PUT /0/2", "PUT /1/1"],
            "beside the others"
        );
    }

    #[test]
    fn b7_three_servers_one_of_which_is_there() {
        let used = "</0/0>,</0/1>;ssid=123,</1/0>;ssid=123";
        assert_eq!(
            planned(&[Some(123), Some(125), Some(126)], Some(used)),
            [
                "DELETE /0/1",
                "DELETE /1/0",
                "PUT /0/1",
                "PUT /0/2",
                "PUT /0/3",
                "PUT /1/0",
                "PUT /1/1",
                "PUT /1/2"
            ]
        );
    }

    #[test]
    fn the_lowest_free_instances_are_used() {
        let gaps = "</0/0>;ssid=1,</0/2>;ssid=2,</0/3>,</1/1>;ssid=1,</1/2>;ssid=2";
        assert_eq!(
            planned(&[Some(8), Some(9)], Some(gaps)),
            ["PUT /0/1", "PUT /0/4", "PUT /1/0", "PUT /1/3"]
        );
    }

    #[test]
    fn b15_a_device_that_does_not_tell_keeps_its_bootstrap_account() {
        assert_eq!(planned(&[Some(123), None], None), ["PUT /0/1", "PUT /1/0"]);
        // Nor does one that does not list it.
        assert_eq!(
            planned(&[Some(123), None], Some("</>;lwm2m=1.1,</1>,</3/0>")),
            ["PUT /0/1", "PUT /1/0"]
        );
    }

    #[test]
    fn of_several_nameless_accounts_the_lowest_is_the_bootstrap_servers() {
        let (found, links) =
            Discovered::read(b"</0/4>,</0/2>;uri=\"coap://h:1\",</0/1>;ssid=9").unwrap();
        assert_eq!((found.bootstrap(), links.len()), (Some((2, true)), 3));
        let (found, _) = Discovered::read(b"</0/4>;ssid=0,</0/1>;ssid=9").unwrap();
        assert_eq!(found.bootstrap(), Some((4, false)));
        assert_eq!(Discovered::default().bootstrap(), None);
    }

    #[test]
    fn the_first_of_two_instances_of_one_server_counts() {
        let twice = "</0/0>,</0/1>;ssid=123,</0/2>;ssid=123,</1/5>;ssid=123,</1/4>;ssid=123";
        assert_eq!(
            planned(&[Some(123)], Some(twice)),
            ["DELETE /0/1", "DELETE /1/5", "PUT /0/1", "PUT /1/5"]
        );
    }

    #[test]
    fn what_is_no_instance_of_the_two_objects_is_passed_over() {
        let odd = "</21/0>;ssid=1,</0/x>,</0/70000>,</0/1/2>,</1/0>;ssid=abc,<0/3>;ssid=65535";
        let (found, _) = Discovered::read(odd.as_bytes()).unwrap();
        assert_eq!(found.bootstrap(), Some((3, false)));
        assert!(found.security.is_empty() && found.server.is_empty());
        assert!(Discovered::read(b"\xff").is_err());
    }

    #[test]
    fn server_instances_hold_the_resources_of_their_account() {
        let accounts = accounts(&admission_with(NOSEC.profile, NOSEC.credentials)).unwrap();
        let expected = accounts[0].server.clone();
        let steps = plan(accounts, None);
        let Some(Step::Write(path, Node::ObjectInstance(instance))) = steps.last() else {
            panic!("{steps:?}");
        };
        assert_eq!(
            (path.to_string().as_str(), &instance.resources),
            ("/1/0", &expected)
        );
    }
}
