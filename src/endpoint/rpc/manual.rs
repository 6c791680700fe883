//! What each command is for, as help texts and descriptions tell it.

/// One command in a sentence and an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manual {
    /// Its name.
    pub method: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Parameters with which the device of `lightship demo` carries it out, as JSON; `null` where it takes none.
    pub example: &'static str,
}

/// All commands, in an order in which the examples work one after the other.
pub const MANUAL: [Manual; 17] = [
    Manual {
        method: "Read",
        does: "Reads a resource, an object instance or an object.",
        example: r#"{"id":"/3/0/9"}"#,
    },
    Manual {
        method: "ReadComposite",
        does: "Reads several paths in one request; the device must speak SenML.",
        example: r#"{"ids":["/3/0/9","/3303/0/5700"]}"#,
    },
    Manual {
        method: "Discover",
        does: "Asks the device what it has below a path, and with which attributes.",
        example: r#"{"id":"/3"}"#,
    },
    Manual {
        method: "DiscoverAll",
        does: "Lists the objects and instances that the device registered.",
        example: "null",
    },
    Manual {
        method: "Observe",
        does: "Has the device report a value whenever it changes; answers with the value.",
        example: r#"{"id":"/3/0/14"}"#,
    },
    Manual {
        method: "ObserveComposite",
        does: "Observes several paths together, none of which is observed by itself.",
        example: r#"{"ids":["/3/0/0","/3303/0/5701"]}"#,
    },
    Manual {
        method: "ObserveReadAll",
        does: "Lists what is observed.",
        example: "null",
    },
    Manual {
        method: "ObserveCancel",
        does: "Ends the observation of a path; answers how many ended.",
        example: r#"{"id":"/3/0/9"}"#,
    },
    Manual {
        method: "ObserveCompositeCancel",
        does: "Ends the observation of these paths together.",
        example: r#"{"ids":["/3/0/0","/3303/0/5701"]}"#,
    },
    Manual {
        method: "ObserveCancelAll",
        does: "Ends all observations, those of the profile until the device registers again.",
        example: "null",
    },
    Manual {
        method: "Execute",
        does: "Executes a resource; arguments go into \"value\", such as \"0='a',1\".",
        example: r#"{"id":"/3/0/4"}"#,
    },
    Manual {
        method: "WriteReplace",
        does: "Writes a resource; a multiple one takes {\"0\":1,\"1\":5} as value.",
        example: r#"{"id":"/3/0/14","value":"+02:00"}"#,
    },
    Manual {
        method: "WriteUpdate",
        does: "Writes some resources of an object instance, or some instances of a resource.",
        example: r#"{"id":"/3/0","value":{"14":"+02:00","15":"Europe/Kyiv"}}"#,
    },
    Manual {
        method: "WriteComposite",
        does: "Writes several resources in one request, by path or by key name of the profile.",
        example: r#"{"nodes":{"/3/0/14":"+02:00","/3/0/15":"Europe/Kyiv"}}"#,
    },
    Manual {
        method: "WriteAttributes",
        does: "Sets when the device reports a value (pmin, pmax, gt, lt, st); null takes one away.",
        example: r#"{"id":"/3303/0/5700","attributes":{"pmin":10,"gt":25.5}}"#,
    },
    Manual {
        method: "Create",
        does: "Creates an instance of an object; the device chooses an id where none is given.",
        example: r#"{"id":"/3303/1","value":{"5750":"Kitchen"}}"#,
    },
    Manual {
        method: "Delete",
        does: "Deletes an object instance.",
        example: r#"{"id":"/3303/1"}"#,
    },
];

#[cfg(test)]
mod tests {
    use super::{super::commands::CATALOGUE, *};

    #[test]
    fn all_commands_and_no_others_are_explained() {
        let mut explained = MANUAL.map(|manual| manual.method);
        let mut known = CATALOGUE.map(|(name, _)| name);
        explained.sort_unstable();
        known.sort_unstable();
        assert_eq!(explained, known);
    }
}
