//! The fuzz targets on stable: each committed corpus is replayed, and random input is tried for a while. Discovery is
//! `cargo +nightly fuzz run TARGET`.

use std::{fs, panic, path::Path};

use proptest::{collection::vec, prelude::*};

#[path = "../fuzz/targets/coap_exchanges.rs"]
mod coap_exchanges;
#[path = "../fuzz/targets/coap_link_format.rs"]
mod coap_link_format;
#[path = "../fuzz/targets/coap_message.rs"]
mod coap_message;
#[path = "../fuzz/targets/dtls_cbc.rs"]
mod dtls_cbc;
#[path = "../fuzz/targets/dtls_messages.rs"]
mod dtls_messages;
#[path = "../fuzz/targets/dtls_reassembly.rs"]
mod dtls_reassembly;
#[path = "../fuzz/targets/dtls_records.rs"]
mod dtls_records;
#[path = "../fuzz/targets/dtls_server.rs"]
mod dtls_server;
#[path = "../fuzz/targets/lwm2m_ddf.rs"]
mod lwm2m_ddf;
#[path = "../fuzz/targets/lwm2m_format.rs"]
mod lwm2m_format;
#[path = "../fuzz/targets/lwm2m_registration.rs"]
mod lwm2m_registration;
#[path = "../fuzz/targets/lwm2m_samples.rs"]
mod lwm2m_samples;
#[path = "../fuzz/targets/state_record.rs"]
mod state_record;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut inputs: Vec<_> = fs::read_dir(corpus)
        .expect("the corpus is committed")
        .map(|entry| entry.expect("the corpus is readable").path())
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    for input in inputs {
        let data = fs::read(&input).expect("the corpus is readable");
        assert!(
            panic::catch_unwind(|| run(&data)).is_ok(),
            "{}",
            input.display()
        );
    }
}

#[test]
fn coap_exchanges_corpus() {
    replay("coap_exchanges", coap_exchanges::run);
}

#[test]
fn coap_link_format_corpus() {
    replay("coap_link_format", coap_link_format::run);
}

#[test]
fn coap_message_corpus() {
    replay("coap_message", coap_message::run);
}

#[test]
fn dtls_cbc_corpus() {
    replay("dtls_cbc", dtls_cbc::run);
}

#[test]
fn dtls_messages_corpus() {
    replay("dtls_messages", dtls_messages::run);
}

#[test]
fn dtls_reassembly_corpus() {
    replay("dtls_reassembly", dtls_reassembly::run);
}

#[test]
fn dtls_records_corpus() {
    replay("dtls_records", dtls_records::run);
}

#[test]
fn dtls_server_corpus() {
    replay("dtls_server", dtls_server::run);
}

#[test]
fn lwm2m_ddf_corpus() {
    replay("lwm2m_ddf", lwm2m_ddf::run);
}

#[test]
fn lwm2m_format_corpus() {
    replay("lwm2m_format", lwm2m_format::run);
}

#[test]
fn lwm2m_registration_corpus() {
    replay("lwm2m_registration", lwm2m_registration::run);
}

#[test]
fn lwm2m_samples_corpus() {
    replay("lwm2m_samples", lwm2m_samples::run);
}

#[test]
fn state_record_corpus() {
    replay("state_record", state_record::run);
}

/// The scripts of the corpus: bytes at random seldom make a handshake.
fn dtls_scripts() -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/dtls_server");
    let read = |entry: fs::DirEntry| fs::read(entry.path()).expect("the corpus is readable");
    let entries = fs::read_dir(corpus).expect("the corpus is committed");
    let mut scripts: Vec<_> = entries
        .map(|entry| read(entry.expect("it is readable")))
        .collect();
    scripts.sort();
    scripts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn coap_exchanges_keep_their_invariants(script in vec(any::<u8>(), 0..300)) {
        coap_exchanges::run(&script);
    }

    #[test]
    fn coap_messages_are_read_like_the_reference(datagram in vec(any::<u8>(), 0..60)) {
        coap_message::run(&datagram);
    }

    #[test]
    fn dtls_servers_keep_their_invariants(script in vec(any::<u8>(), 0..200)) {
        dtls_server::run(&script);
    }

    #[test]
    fn dtls_servers_keep_their_invariants_in_spliced_scripts(
        parts in vec((any::<prop::sample::Index>(), 0_usize..60, 1_usize..60), 1..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let scripts = dtls_scripts();
        let mut script: Vec<u8> = Vec::new();
        for (index, start, length) in parts {
            script.extend(index.get(&scripts).iter().skip(start).take(length));
        }
        for (index, byte) in changes {
            if !script.is_empty() {
                let index = index.index(script.len());
                script[index] = byte;
            }
        }
        dtls_server::run(&script);
    }

    #[test]
    fn dtls_bytes_are_read_or_refused(data in vec(any::<u8>(), 0..120)) {
        dtls_cbc::run(&data);
        dtls_messages::run(&data);
        dtls_reassembly::run(&data);
        dtls_records::run(&data);
    }

    #[test]
    fn lwm2m_payloads_are_read_or_refused(
        format in 0_u8..15,
        depth in any::<u8>(),
        rest in vec(any::<u8>(), 0..60),
    ) {
        lwm2m_format::run(&[&[format, depth], rest.as_slice()].concat());
    }

    #[test]
    fn state_records_are_restored_or_refused(
        rest in vec(any::<u8>(), 0..60),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        state_record::run(&rest);
        let mut record = *include_bytes!("../fuzz/corpus/state_record/observing");
        for (index, byte) in changes {
            record[index.index(record.len())] = byte;
        }
        state_record::run(&record);
    }

    #[test]
    fn lwm2m_samples_are_read_or_refused(
        format in 3_u8..15,
        flags in any::<u8>(),
        rest in vec(any::<u8>(), 0..60),
    ) {
        lwm2m_samples::run(&[&[format, flags], rest.as_slice()].concat());
    }
}
