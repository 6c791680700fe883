#![no_main]

#[path = "../targets/dtls_server.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
