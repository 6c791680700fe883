//! Lightship: a Lightweight M2M transport server.
//!
//! | folder | what lives there |
//! |---|---|
//! | [`coap`] | RFC 7252 messages, reliability, de-duplication, request/response matching; RFC 7641 observe |
//! | [`dtls`] | the DTLS 1.2 engine: RFC 6347, 9146, 7250, 4279; the server's side, and a client's |
//! | [`lwm2m`] | the OMA data model: paths, values, nodes, object models, content formats, the registration payload |
//! | [`platform`] | the vocabulary between a device and the platform core, and its two implementations |
//! | [`endpoint`] | what the server decides for one registered endpoint |
//! | [`bootstrap`] | what the bootstrap server does for one endpoint |
//! | [`store`] | makes the records of endpoints survive a restart |
//! | [`server`] | sockets, threads, directory, clock, shutdown, HTTP |
//! | [`sim`] | a simulated LwM2M client on the same codecs |
//! | [`config`], [`cli`] | settings and commands |
//!
//! `docs/architecture.md` says who may use whom; `tests/layering.rs` enforces it.

pub mod bootstrap;
pub mod cli;
pub mod coap;
pub mod config;
pub mod dtls;
pub mod endpoint;
pub mod lwm2m;
pub mod platform;
pub mod server;
pub mod sim;
pub mod store;
