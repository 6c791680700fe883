//! Real peers for the tests: programs that nobody here wrote, each fetched once into a cache folder.
//!
//! | module | peer | needs |
//! |---|---|---|
//! | [`aiocoap`] | a LwM2M 1.1 client of ours on aiocoap | Python 3.11; pip to fetch it |
//! | [`kcat`] | kcat, a Kafka client | Debian's `kcat` |
//! | [`kafka`] | Apache Kafka, one KRaft node | Java 17; Maven to fetch it |
//! | [`cluster`] | Apache Kafka, a controller and two brokers | the same |
//! | [`leshan`] | a LwM2M 1.1 client on the Eclipse Leshan libraries | Java 17; Maven and `javac` to build it |
//! | [`libcoap`] | libcoap's `coap-client-notls` | Debian's `libcoap3-bin` |
//! | [`mbedtls`] | a DTLS client on Mbed TLS, with connection ids | cargo to fetch it, a C compiler to build it |
//! | [`openapi`] | the validator of OpenAPI documents on PyPI | Python 3.10; pip to fetch it |
//! | [`protobuf`] | Google's protobuf library, with protoc | Python 3.11; pip to fetch it |
//! | | OpenSSL's `openssl`, GnuTLS' `gnutls-cli`, libcoap's `coap-client-openssl` and `-gnutls` | Debian's `openssl`, `gnutls-bin`, `libcoap3-bin` |
//! | [`scandium`] | a DTLS client on Scandium, with connection ids | as Leshan |
//! | [`tinydtls`] | a DTLS client on tinydtls | Python 3.11; pip, a C compiler, autoconf, automake, libtool, Python's headers to build it |
//! | [`wakaama`] | Eclipse Wakaama's example client, LwM2M 1.0 | npm, tar and a C compiler to build it |
//! | [`zookeeper`] | Apache ZooKeeper, one server | Java 17; Maven to fetch it |
//!
//! Nothing is fetched unasked: `LIGHTSHIP_FETCH_PEERS=1` allows it, `LIGHTSHIP_REQUIRE_PEERS=1` allows it and turns
//! every skip into a failure. A peer that cannot be had is `None`, after one line on standard error that says why.
//! Every process is ended by its pid when its guard goes, and also when the test program itself dies.
#![allow(
    dead_code,
    reason = "every test program uses its own part of the peers"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "real processes live in real time"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test support fails by panicking"
)]

pub(crate) mod aiocoap;
pub(crate) mod cache;
#[cfg(feature = "kafka")]
pub(crate) mod cluster;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
pub(crate) mod kcat;
pub(crate) mod leshan;
pub(crate) mod libcoap;
pub(crate) mod mbedtls;
pub(crate) mod openapi;
pub(crate) mod process;
pub(crate) mod protobuf;
pub(crate) mod scandium;
pub(crate) mod tinydtls;
pub(crate) mod wakaama;
#[cfg(feature = "kafka")]
pub(crate) mod zookeeper;

use std::net::UdpSocket;

/// Returns a UDP port of the loopback address that nothing used a moment ago.
pub(crate) fn free_udp_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free UDP port");
    socket
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
