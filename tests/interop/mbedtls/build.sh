#!/bin/sh
# Builds the client with Mbed TLS from the sources inside a crate.
# Usage: build.sh FOLDER, which is where crates are fetched to and the program is put
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
cat >Cargo.toml <<'END'
[package]
name = "peer"
version = "0.0.0"
[lib]
path = "lib.rs"
[dependencies]
mbedtls-rs-sys = { version = "=0.3.1", default-features = false }
[workspace]
END
: >lib.rs
cargo vendor --quiet >cargo.out
mbedtls=vendor/mbedtls-rs-sys/mbedtls
cc -O1 -w -I "$mbedtls/include" "$mbedtls"/library/*.c "$here/client.c" -o client
# What was only there to be built from.
rm -r Cargo.toml Cargo.lock lib.rs cargo.out vendor
