//! Compiles `proto/` with prost; protox parses the files, so no `protoc` has to be installed.

use std::error::Error;

/// The record of an endpoint.
const STATE: [&str; 1] = ["proto/state.proto"];
/// What is exchanged with the platform core.
const PLATFORM: [&str; 7] = [
    "proto/common.proto",
    "proto/core.proto",
    "proto/discovery.proto",
    "proto/notifications.proto",
    "proto/rule_engine.proto",
    "proto/transport_api.proto",
    "proto/usage_stats.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    compile(&STATE)?;
    if std::env::var_os("CARGO_FEATURE_KAFKA").is_some() {
        compile(&PLATFORM)?;
    }
    Ok(())
}

fn compile(files: &[&str]) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new()
        // Sorted metadata: the same message always has the same bytes.
        .btree_map(["."])
        .bytes([".lightship"])
        .compile_fds(descriptors)?;
    Ok(())
}
