//! What the tests of this folder share.

use std::time::Instant;

/// A base to which tests add.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made from a number"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}
