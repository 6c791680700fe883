//! Compiles `proto/` with prost; protox parses the files, so no `protoc` has to be installed.

use std::error::Error;

const FILES: [&str; 6] = [
    "proto/common.proto",
    "proto/core.proto",
    "proto/notifications.proto",
    "proto/rule_engine.proto",
    "proto/transport_api.proto",
    "proto/usage_stats.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    if std::env::var_os("CARGO_FEATURE_KAFKA").is_none() {
        return Ok(());
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    prost_build::Config::new()
        // Sorted metadata: the same message always has the same bytes.
        .btree_map(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
