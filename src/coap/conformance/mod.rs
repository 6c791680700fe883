//! One test for each row of the protocol map that the CoAP layer decides. The rows are named by the RFC section they come
//! from: C and CoAP messages (RFC 7252), O and observe (RFC 7641), A and hostile input.

mod blockwise;
mod frames;
mod hostile;
mod interleaving;
mod message_layer;
mod observe;
