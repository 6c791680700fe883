//! Who may know whom: every `use` and every inline path under `src`, held against the table of
//! `docs/architecture.md`.
//!
//! A layer may use itself and the modules listed for it; no layer but those marked may name the foreign crates and
//! standard modules that do I/O. Unit tests (`#[cfg(test)]`) may do I/O, but keep to the modules. Clocks and random
//! numbers are the business of `clippy.toml`, which sees calls and not only names.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::Visit;

/// One row of the table.
struct Layer {
    /// The module the layer is, with everything in it that is not a row of its own.
    module: &'static str,
    /// Modules of this crate it may use beside itself; `*` is all of them.
    may_use: &'static [&'static str],
    /// Foreign crates and standard modules it must not name.
    must_not_use: &'static [&'static [&'static str]],
}

const LAYERS: &[Layer] = &[
    Layer {
        module: "coap",
        may_use: &[],
        must_not_use: &[ACTORS, RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "dtls",
        may_use: &[],
        must_not_use: &[ACTORS, RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "lwm2m",
        may_use: &["coap::link_format", "coap::content_format"],
        must_not_use: &[ACTORS, RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "platform",
        may_use: &["lwm2m"],
        must_not_use: &[ACTORS, RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "platform::thingsboard",
        may_use: &["platform", "lwm2m"],
        must_not_use: &[DEVICE_SIDE],
    },
    Layer {
        module: "platform::embedded",
        may_use: &["platform", "lwm2m"],
        must_not_use: &[DEVICE_SIDE, PLATFORM_CLIENTS],
    },
    Layer {
        module: "endpoint",
        may_use: &[
            "endpoint::actor",
            "coap",
            "lwm2m",
            "platform",
            "store::record",
        ],
        must_not_use: &[ACTORS, RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "endpoint::actor",
        may_use: &["endpoint", "coap", "lwm2m", "platform", "store::record"],
        must_not_use: &[RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "bootstrap",
        may_use: &["bootstrap::actor", "coap", "lwm2m", "platform"],
        must_not_use: &[ACTORS, RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "bootstrap::actor",
        may_use: &["bootstrap", "coap", "lwm2m", "platform"],
        must_not_use: &[RUNTIME, IO, PLATFORM_CLIENTS],
    },
    Layer {
        module: "store",
        may_use: &["store::record"],
        must_not_use: &[ACTORS, DEVICE_SIDE, PLATFORM_CLIENTS],
    },
    Layer {
        module: "store::record",
        may_use: &[],
        must_not_use: &[ACTORS, RUNTIME, IO],
    },
    Layer {
        module: "sim",
        may_use: &["coap", "dtls", "lwm2m"],
        must_not_use: &[PLATFORM_CLIENTS],
    },
    Layer {
        module: "server",
        may_use: &[
            "coap",
            "dtls",
            "lwm2m::version",
            "endpoint",
            "endpoint::actor",
            "bootstrap",
            "bootstrap::actor",
            "store",
            "store::record",
            "platform",
        ],
        must_not_use: &[PLATFORM_CLIENTS],
    },
    Layer {
        module: "config",
        may_use: &["*"],
        must_not_use: &[],
    },
    Layer {
        module: "cli",
        may_use: &["*"],
        must_not_use: &[],
    },
];

/// Actors: `actor.rs` alone is one.
const ACTORS: &[&str] = &["actix"];
/// Whatever else drives tasks.
const RUNTIME: &[&str] = &["futures_util", "std::thread", "tokio", "tokio_rustls"];
/// Files, processes, sockets, HTTP.
const IO: &[&str] = &[
    "axum",
    "quinn_udp",
    "socket2",
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "ureq",
];
/// What talks to devices: the platform sides have no part in it.
const DEVICE_SIDE: &[&str] = &[
    "coap_lite",
    "quinn_udp",
    "std::net::UdpSocket",
    "tokio::net::UdpSocket",
];
/// What talks to the platform core: known to `platform::thingsboard` alone.
const PLATFORM_CLIENTS: &[&str] = &["prost", "rdkafka", "zookeeper_client"];

#[test]
fn every_use_runs_downwards() {
    let mut violations = Vec::new();
    for file in rust_files(Path::new("src")) {
        let source = fs::read_to_string(&file).expect("a source file can be read");
        violations.extend(check(&file, &source));
    }
    let report: Vec<_> = violations.iter().map(Violation::to_string).collect();
    assert!(report.is_empty(), "\n{}\n", report.join("\n"));
}

#[test]
fn upward_use_is_found_wherever_it_hides() {
    for (file, source, finding) in [
        (
            "src/coap/message.rs",
            "use crate::endpoint::Endpoint;",
            "1: coap must not use crate::endpoint::Endpoint",
        ),
        (
            "src/coap/mod.rs",
            "use crate::{lwm2m, coap::code};",
            "1: coap must not use crate::lwm2m",
        ),
        (
            "src/coap/mod.rs",
            "\nfn f() { crate::server::run() }",
            "2: coap must not use crate::server::run",
        ),
        (
            "src/coap/mod.rs",
            "use super::endpoint::*;",
            "1: coap must not use crate::endpoint",
        ),
        (
            "src/coap/code.rs",
            "use super::super::sim::Device;",
            "1: coap must not use crate::sim::Device",
        ),
        (
            "src/coap/code.rs",
            "mod tests { use super::super::super::sim; }",
            "1: coap must not use crate::sim",
        ),
        (
            "src/coap/code.rs",
            "fn f() { assert!(crate::sim::on()) }",
            "1: coap must not use crate::sim::on",
        ),
        (
            "src/coap/mod.rs",
            "use tokio::time::sleep;",
            "1: coap must not use tokio::time::sleep",
        ),
        (
            "src/coap/mod.rs",
            "use std::{fmt, net::{IpAddr, UdpSocket}};",
            "1: coap must not use std::net::UdpSocket",
        ),
        (
            "src/lwm2m/path.rs",
            "use crate::coap::message;",
            "1: lwm2m must not use crate::coap::message",
        ),
        (
            "src/lwm2m/path.rs",
            "fn f(_: actix::Addr<T>) {}",
            "1: lwm2m must not use actix::Addr",
        ),
        (
            "src/platform/mod.rs",
            "use embedded::Embedded;\nmod embedded;",
            "1: platform must not use crate::platform::embedded::Embedded",
        ),
        (
            "src/platform/uplink.rs",
            "use crate::platform::thingsboard::wire;",
            "1: platform must not use crate::platform::thingsboard::wire",
        ),
        (
            "src/platform/embedded/mod.rs",
            "use crate::platform::thingsboard;",
            "1: platform::embedded must not use crate::platform::thingsboard",
        ),
        (
            "src/endpoint/mod.rs",
            "use actix::Actor;",
            "1: endpoint must not use actix::Actor",
        ),
        (
            "src/server/mod.rs",
            "use crate::cli;",
            "1: server must not use crate::cli",
        ),
        (
            "src/server/mod.rs",
            "use prost::Message;",
            "1: server must not use prost::Message",
        ),
        (
            "src/gateway/mod.rs",
            "fn f() {}",
            "1: gateway has no row in the table of layers",
        ),
    ] {
        let found: Vec<_> = check(Path::new(file), source)
            .iter()
            .map(Violation::to_string)
            .collect();
        assert_eq!(found, [format!("{file}:{finding}")]);
    }
}

#[test]
fn downward_use_passes() {
    for (file, source) in [
        (
            "src/lwm2m/path.rs",
            "use crate::coap::content_format::ContentFormat;",
        ),
        (
            "src/endpoint/actor.rs",
            "use actix::Actor;\nuse super::Endpoint;",
        ),
        (
            "src/endpoint/mod.rs",
            "use crate::platform::{Uplink, profile::Profile};",
        ),
        (
            "src/platform/thingsboard/mod.rs",
            "use rdkafka::producer::BaseProducer;",
        ),
        (
            "src/coap/mod.rs",
            "use std::net::SocketAddr; pub mod message; use message::Message; pub use self::code::Code;",
        ),
        (
            "src/lwm2m/model/mod.rs",
            "#[cfg(test)] mod tests { fn f() { std::fs::read(\"3.xml\"); } }",
        ),
        (
            "src/cli/serve.rs",
            "use crate::platform::embedded::Embedded;",
        ),
        ("src/main.rs", "fn main() { lightship::cli::main() }"),
    ] {
        let found: Vec<_> = check(Path::new(file), source)
            .iter()
            .map(Violation::to_string)
            .collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

/// One path that the table forbids.
struct Violation {
    file: PathBuf,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.rule)
    }
}

/// Checks one source file; its name says which module it is.
fn check(file: &Path, source: &str) -> Vec<Violation> {
    let module = module_of(file);
    if module.is_empty() {
        // The crate's root declares modules and calls `cli`.
        return Vec::new();
    }
    let violation = |line, rule| Violation {
        file: file.to_owned(),
        line,
        rule,
    };
    let Some(layer) = layer_of(&module) else {
        return vec![violation(
            1,
            format!("{} has no row in the table of layers", module.join("::")),
        )];
    };
    let syntax = match syn::parse_file(source) {
        Ok(syntax) => syntax,
        Err(error) => return vec![violation(error.span().start().line, error.to_string())],
    };
    let children = syntax.items.iter().filter_map(|item| {
        let syn::Item::Mod(child) = item else {
            return None;
        };
        Some(child.ident.to_string())
    });
    let mut checker = Checker {
        file,
        layer,
        children: children.collect(),
        module,
        in_test: is_test(&syntax.attrs),
        violations: Vec::new(),
    };
    checker.visit_file(&syntax);
    checker.violations
}

/// Whether the attributes of a file or module say `cfg(test)`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// Walks a file and judges every path in it.
struct Checker<'a> {
    file: &'a Path,
    layer: &'static Layer,
    /// Modules declared at the top of the file: paths may begin with their names.
    children: Vec<String>,
    /// Where the walk is, inline modules included.
    module: Vec<String>,
    in_test: bool,
    violations: Vec<Violation>,
}

impl Checker<'_> {
    /// Judges one path, given as its segments.
    fn judge(&mut self, segments: &[String], line: usize) {
        let Some(allowed) = self.is_allowed(segments) else {
            return;
        };
        if let Err(path) = allowed {
            let rule = format!("{} must not use {path}", self.layer.module);
            self.violations.push(Violation {
                file: self.file.to_owned(),
                line,
                rule,
            });
        }
    }

    /// `None`: a name of the file itself. `Err`: the forbidden path in full.
    fn is_allowed(&self, segments: &[String]) -> Option<Result<(), String>> {
        let first = segments.first()?.as_str();
        let own = match first {
            "crate" | "lightship" => segments.get(1..)?.to_vec(),
            "self" => [&self.module, segments.get(1..)?].concat(),
            "super" => {
                let ups = segments
                    .iter()
                    .take_while(|segment| *segment == "super")
                    .count();
                let base = self.module.len().checked_sub(ups)?;
                [&self.module[..base], &segments[ups..]].concat()
            }
            _ if self.children.iter().any(|child| child == first) => {
                [&self.module, segments].concat()
            }
            _ => {
                let foreign = segments.join("::");
                let forbidden = self
                    .layer
                    .must_not_use
                    .iter()
                    .flat_map(|group| group.iter());
                let hit =
                    !self.in_test && forbidden.copied().any(|banned| is_within(&foreign, banned));
                return Some(if hit { Err(foreign) } else { Ok(()) });
            }
        };
        let target = layer_of(&own)?;
        let path = own.join("::");
        let allowed = target.module == self.layer.module
            || self.layer.may_use.iter().any(|&module| {
                // A permission for `platform` is none for `platform::embedded`, which has a row of its own.
                module == "*" || is_within(&path, module) && is_within(module, target.module)
            });
        Some(if allowed {
            Ok(())
        } else {
            Err(format!("crate::{path}"))
        })
    }

    fn judge_use(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.judge_use(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.judge_use(prefix, tree)),
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.judge(prefix, name.span().start().line)
            }
            syn::UseTree::Name(name) => self.judge(&with(&name.ident), name.span().start().line),
            syn::UseTree::Rename(name) => self.judge(&with(&name.ident), name.span().start().line),
            syn::UseTree::Glob(glob) => self.judge(prefix, glob.span().start().line),
        }
    }
}

impl<'ast> Visit<'ast> for Checker<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let outside = self.in_test;
        self.in_test |= is_test(&item.attrs);
        self.module.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.module.pop();
        self.in_test = outside;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.judge_use(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if segments.len() > 1 {
            self.judge(&segments, path.span().start().line);
        }
        syn::visit::visit_path(self, path);
    }

    /// The arguments of a macro are no syntax tree; paths are picked from their text.
    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        let line = invocation.span().start().line;
        let text = invocation.tokens.to_string().replace(" :: ", "::");
        for path in
            text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':')
        {
            let segments: Vec<_> = path.split("::").map(str::to_owned).collect();
            if segments.len() > 1 {
                self.judge(&segments, line);
            }
        }
        syn::visit::visit_macro(self, invocation);
    }
}

/// Returns the module a file is, `src/coap/message.rs` being `[coap, message]` and `src/lib.rs` `[]`.
fn module_of(file: &Path) -> Vec<String> {
    let inside = file
        .strip_prefix("src")
        .expect("checked files are under src")
        .with_extension("");
    let mut module: Vec<_> = inside
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if matches!(module.last().map(String::as_str), Some("mod"))
        || module.len() == 1 && matches!(module[0].as_str(), "lib" | "main")
    {
        module.pop();
    }
    module
}

/// Returns the most specific row that covers a path of this crate.
fn layer_of(path: &[String]) -> Option<&'static Layer> {
    let path = path.join("::");
    LAYERS
        .iter()
        .filter(|layer| is_within(&path, layer.module))
        .max_by_key(|layer| layer.module.len())
}

/// Tells whether `path` is `module` or lies in it.
fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the source folder can be read") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
