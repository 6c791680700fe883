//! Writes `docs/configuration.md` from the structs: their fields and docstrings as they stand in the source, the values
//! of `Settings::default()`, and the tables of `compat`.

use std::{collections::BTreeMap, env, fmt::Write, fs, path::Path};

use syn::{Attribute, Expr, ExprLit, Fields, Item, Lit, Meta, Type};

use super::{
    Settings,
    compat::{ALIASES, UNSERVED, WITHOUT_EFFECT},
    layers::{PRESET, SECRETS},
    values::flatten_json,
};

#[test]
fn docs_configuration_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = page();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, &page).unwrap();
    }
    assert_eq!(
        fs::read_to_string(path).unwrap_or_default(),
        page,
        "docs/configuration.md is stale: run the tests with UPDATE_DOCS=1"
    );
}

#[test]
fn docstrings_name_the_variables_that_the_table_maps() {
    let all = fields();
    for (key, field) in &all {
        let named: Vec<_> = field
            .text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| ALIASES.iter().any(|alias| alias.name == *word))
            .collect();
        let mapped: Vec<_> = aliases_of(key).collect();
        // A struct may stand for two sections.
        let twins = all.iter().filter(|(_, other)| other.text == field.text);
        let of_twins: Vec<_> = twins.flat_map(|(twin, _)| aliases_of(twin)).collect();
        for name in &mapped {
            assert!(named.contains(name), "{key}: the docstring lacks {name}");
        }
        if let Some((_, upstream)) = field.text.split_once("Upstream: ") {
            for name in upstream.split('`').skip(1).step_by(2) {
                assert!(of_twins.contains(&name), "{key}: compat lacks {name}");
            }
        }
    }
}

#[test]
fn every_secret_can_come_from_a_file() {
    for (key, field) in fields() {
        assert_eq!(
            field.kind == "Secret",
            SECRETS.contains(&key.as_str()),
            "{key}"
        );
    }
}

/// One setting, as the source declares it.
struct Field {
    /// Its docstring in one line.
    text: String,
    /// Name of its type.
    kind: String,
}

/// A struct of the source: field name, docstring, type name.
type Struct = Vec<(String, String, String)>;

/// All settings by key, in the order of the structs.
fn fields() -> Vec<(String, Field)> {
    let mut structs = BTreeMap::new();
    read_structs(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut structs,
    );
    let mut fields = Vec::new();
    descend("Settings", "", &structs, &mut fields);
    fields
}

fn descend(
    kind: &str,
    prefix: &str,
    structs: &BTreeMap<String, Struct>,
    into: &mut Vec<(String, Field)>,
) {
    for (name, text, kind) in &structs[kind] {
        let key = match prefix {
            "" => name.clone(),
            _ => format!("{prefix}.{name}"),
        };
        if structs.contains_key(kind) {
            descend(kind, &key, structs, into);
        } else {
            let (text, kind) = (text.clone(), kind.clone());
            into.push((key, Field { text, kind }));
        }
    }
}

/// Collects `Settings` and all structs whose name ends so, and the transmission parameters.
fn read_structs(folder: &Path, into: &mut BTreeMap<String, Struct>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_structs(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            if !source.contains("Settings {") && !source.contains("TransmissionParameters {") {
                continue;
            }
            let file = syn::parse_file(&source).unwrap();
            for item in file.items {
                let Item::Struct(item) = item else { continue };
                let name = item.ident.to_string();
                let Fields::Named(fields) = item.fields else {
                    continue;
                };
                if name.ends_with("Settings") || name == "TransmissionParameters" {
                    let fields = fields
                        .named
                        .into_iter()
                        .map(|field| {
                            let name = field.ident.unwrap().to_string();
                            (name, docstring(&field.attrs), type_name(&field.ty))
                        })
                        .collect();
                    assert!(
                        into.insert(name.clone(), fields).is_none(),
                        "two structs are called {name}"
                    );
                }
            }
        }
    }
}

fn docstring(attributes: &[Attribute]) -> String {
    let lines: Vec<_> = attributes
        .iter()
        .filter_map(|attribute| {
            let Meta::NameValue(pair) = &attribute.meta else {
                return None;
            };
            let Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) = &pair.value
            else {
                return None;
            };
            pair.path
                .is_ident("doc")
                .then(|| text.value().trim().to_owned())
        })
        .collect();
    lines.join(" ")
}

fn type_name(kind: &Type) -> String {
    let Type::Path(path) = kind else {
        return String::new();
    };
    path.path.segments.last().unwrap().ident.to_string()
}

fn aliases_of(key: &str) -> impl Iterator<Item = &'static str> {
    ALIASES
        .iter()
        .filter(move |alias| alias.key == key)
        .map(|alias| alias.name)
}

fn page() -> String {
    let mut defaults = Vec::new();
    flatten_json(
        serde_json::to_value(Settings::default()).unwrap(),
        "",
        &mut defaults,
    );
    let defaults: BTreeMap<_, _> = defaults.into_iter().collect();
    let mut page = HEAD.to_owned();
    let mut section = "";
    let fields = fields();
    for (key, field) in &fields {
        let (own, _) = key.split_once('.').unwrap_or(("mode", ""));
        if own != section {
            section = own;
            write!(page, "\n## `{section}`\n\n{TABLE}").unwrap();
        }
        let default = &defaults[key];
        let default = match default.as_str() {
            Some("") => String::new(),
            Some(text) => format!("`{text}`"),
            None if default.is_null() => String::new(),
            None => format!("`{default}`"),
        };
        let aliases: Vec<_> = aliases_of(key).map(|name| format!("`{name}`")).collect();
        let text = meaning(&field.text, &default);
        let aliases = aliases.join(", ");
        writeln!(page, "| `{key}` | {default} | {aliases} | {text} |").unwrap();
        if SECRETS.contains(&key.as_str()) {
            writeln!(
                page,
                "| `{key}_file` | | | A file whose content, without a last line break, is `{key}`. |"
            )
            .unwrap();
        }
        if key == "coap.pings_per_second" {
            writeln!(page, "| `{PRESET}` | `rfc7252` | | {PRESET_TEXT} |").unwrap();
        }
    }
    page.push_str(WITHOUT_EFFECT_HEAD);
    for (beginning, reason) in UNSERVED {
        let more = if beginning.ends_with(['.', '_']) {
            "*"
        } else {
            ""
        };
        writeln!(page, "| `{beginning}{more}` | {reason} |").unwrap();
    }
    for (names, reason) in WITHOUT_EFFECT {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(page, "| {} | {reason} |", names.join(", ")).unwrap();
    }
    page
}

/// The docstring without what stands in columns of its own.
fn meaning(text: &str, default: &str) -> String {
    let text = text.split(" Upstream: ").next().unwrap_or(text);
    let bare = default.trim_matches('`');
    [default, bare, "empty"]
        .iter()
        .fold(text.trim_end().to_owned(), |text, value| {
            text.replace(&format!(" Default {value}."), "")
        })
}

const HEAD: &str = "\
# Configuration

<!-- Generated by a test from the settings structs; UPDATE_DOCS=1 writes it anew. -->

Settings come from layers; a later one wins:

1. the defaults below;
2. TOML files: those given by `--config`, else those in `LIGHTSHIP_CONFIG` (separated by `:`), else
   `/etc/lightship/lightship.toml` and `./lightship.toml` where they exist;
3. the environment names of ThingsBoard's LwM2M transport, so that an environment made for it works unchanged (an empty
   variable counts as not set; those of `kafka.ssl` count while `TB_KAFKA_SSL_ENABLED` is true, those of `kafka.sasl` while
   `TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD` is);
4. `LIGHTSHIP__SECTION__KEY` variables: `LIGHTSHIP__LWM2M__SERVER__PORT=5683` sets `lwm2m.server.port`;
5. `--set section.key=value`.

A key that does not exist is an error. `lightship config check` reads all layers, says of every variable of ThingsBoard what
it sets, and tells everything that is wrong or has no effect; `lightship config print` shows every value with the layer it
comes from, and then, as comments, the variables that set nothing. Both exit with 2 when the settings cannot be used.
";

const TABLE: &str = "| Key | Default | ThingsBoard name | Meaning |\n|---|---|---|---|\n";

const PRESET_TEXT: &str = "Defaults of this section: `rfc7252`, or `thingsboard`, which retransmits as often as \
                           ThingsBoard does (`coap.max_retransmit` 10).";

const WITHOUT_EFFECT_HEAD: &str = "
## Without effect

These are read, or known from ThingsBoard, and have no effect; `lightship config check` names those that are set.

| Names | Why |
|---|---|
";
