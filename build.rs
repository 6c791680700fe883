//! Compiles `proto/` with prost; protox parses the files, so no `protoc` has to be installed.

fn main() {}
