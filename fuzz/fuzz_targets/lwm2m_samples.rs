#![no_main]

#[path = "../targets/lwm2m_samples.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
