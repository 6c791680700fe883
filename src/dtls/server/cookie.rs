//! Stateless cookies (RFC 6347 section 4.2.1): a client shows that it receives what is sent to its address before
//! anything is kept for it.
//!
//! The cookie covers the address and the ClientHello without its extensions, which some clients change between the two
//! hellos. Its key belongs to a period of the wall clock, so processes with the same secret accept each other's cookies.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::dtls::{codec::Put as _, event::PeerAddress, message::ClientHello, random::Secret};

/// Makes and checks cookies.
pub(super) struct Cookies {
    secret: Secret<32>,
    period: u64,
    /// The keys of this period and of the one before.
    keys: [hmac::Key; 2],
}

impl Cookies {
    pub(super) fn new(secret: Secret<32>) -> Self {
        let keys = Self::keys(&secret, 0);
        Self {
            secret,
            period: 0,
            keys,
        }
    }

    /// `wall` is the time since 1970.
    pub(super) fn make(
        &mut self,
        wall: Duration,
        peer: PeerAddress,
        port: u16,
        hello: &ClientHello<'_>,
    ) -> hmac::Tag {
        self.turn(wall);
        let [key, _] = &self.keys;
        hmac::sign(key, &covered(peer, port, hello))
    }

    /// Whether the cookie in the hello was made for it, at most two periods ago.
    pub(super) fn is_good(
        &mut self,
        wall: Duration,
        peer: PeerAddress,
        port: u16,
        hello: &ClientHello<'_>,
    ) -> bool {
        self.turn(wall);
        let covered = covered(peer, port, hello);
        self.keys
            .iter()
            .any(|key| hmac::verify(key, &covered, hello.cookie).is_ok())
    }

    fn turn(&mut self, wall: Duration) {
        let period = wall.as_secs().checked_div(PERIOD_SECONDS).unwrap_or(0);
        if period != self.period {
            self.period = period;
            self.keys = Self::keys(&self.secret, period);
        }
    }

    fn keys(secret: &Secret<32>, period: u64) -> [hmac::Key; 2] {
        let secret = hmac::Key::new(HMAC_SHA256, &secret.0);
        [period, period.wrapping_sub(1)].map(|period| {
            let key = hmac::sign(&secret, &period.to_be_bytes());
            hmac::Key::new(HMAC_SHA256, key.as_ref())
        })
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies(..)")
    }
}

/// The bytes that a cookie covers; each part with its length in front, so that none can be taken for another.
fn covered(peer: PeerAddress, port: u16, hello: &ClientHello<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    match peer.remote.ip() {
        IpAddr::V4(ip) => out.vector8(&ip.octets()),
        IpAddr::V6(ip) => out.vector8(&ip.octets()),
    }
    out.u16(peer.remote.port());
    out.u16(port);
    out.bytes(&hello.version);
    out.bytes(&hello.random);
    out.vector8(hello.session_id);
    out.vector16(hello.cipher_suites);
    out.vector8(hello.compression_methods);
    out
}

const PERIOD_SECONDS: u64 = 5 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(1_800_000_000);

    fn peer(text: &str) -> PeerAddress {
        PeerAddress {
            remote: text.parse().expect("an address"),
            local: None,
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_address_and_hello_for_two_periods() {
        let mut cookies = Cookies::new(Secret([1; 32]));
        let one = peer("192.0.2.1:5000");
        let hello = ClientHello::new([7; 32], &[], &[0xc0, 0xa8]);
        let cookie = cookies.make(WALL, one, 5684, &hello);
        let hello = ClientHello {
            cookie: cookie.as_ref(),
            ..hello
        };
        let mut good =
            |wall, peer, port, hello: &ClientHello<'_>| cookies.is_good(wall, peer, port, hello);
        assert!(good(WALL, one, 5684, &hello));
        assert!(good(WALL + Duration::from_secs(300), one, 5684, &hello));
        assert!(!good(WALL + Duration::from_secs(601), one, 5684, &hello));
        assert!(!good(WALL, peer("192.0.2.1:5001"), 5684, &hello));
        assert!(!good(WALL, peer("192.0.2.2:5000"), 5684, &hello));
        assert!(!good(WALL, peer("[2001:db8::1]:5000"), 5684, &hello));
        assert!(!good(WALL, one, 5685, &hello));
        for other in [
            ClientHello {
                random: [8; 32],
                ..hello
            },
            ClientHello {
                session_id: &[0xc0],
                ..hello
            },
            ClientHello {
                cipher_suites: &[0xc0, 0xae],
                ..hello
            },
            ClientHello {
                compression_methods: &[0, 1],
                ..hello
            },
            ClientHello {
                version: [254, 255],
                ..hello
            },
            ClientHello {
                cookie: &[],
                ..hello
            },
        ] {
            assert!(!good(WALL, one, 5684, &other));
        }
    }

    #[test]
    fn processes_with_one_secret_accept_each_others_cookies() {
        let one = peer("192.0.2.1:5000");
        let hello = ClientHello::new([7; 32], &[], &[0xc0, 0xa8]);
        let cookie = Cookies::new(Secret([1; 32])).make(WALL, one, 5684, &hello);
        let hello = ClientHello {
            cookie: cookie.as_ref(),
            ..hello
        };
        assert!(Cookies::new(Secret([1; 32])).is_good(WALL, one, 5684, &hello));
        assert!(!Cookies::new(Secret([2; 32])).is_good(WALL, one, 5684, &hello));
    }
}
