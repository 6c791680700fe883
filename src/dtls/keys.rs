//! From the premaster secret to keys (RFC 5246 sections 5, 6.3, 7.4.9 and 8.1, RFC 7627 section 4, RFC 4279 section 2).

use std::fmt;

use aws_lc_rs::{
    digest::{self, SHA256},
    tls_prf::{P_SHA256, Secret as PrfSecret},
};
use zeroize::Zeroizing;

use super::{
    codec::Put,
    protection::Protection,
    random::{Secret, SecretBytes},
    suite::{Cipher, CipherSuite},
};

/// A key shared with a device, 1 to 64 bytes; wiped when dropped, not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey(Zeroizing<Box<[u8]>>);

impl PreSharedKey {
    /// `None`: it is empty, or longer than 64 bytes.
    pub fn new(key: &[u8]) -> Option<Self> {
        matches!(key.len(), 1..=64).then(|| Self(Zeroizing::new(key.into())))
    }

    /// The premaster secret with a shared point, or with zeros in its place (RFC 5489 section 2, RFC 4279 section 2).
    pub(super) fn premaster(&self, shared_point: Option<&[u8]>) -> SecretBytes {
        let zeros = [0; 64];
        let other = shared_point
            .or_else(|| zeros.get(..self.0.len()))
            .unwrap_or_default();
        let mut premaster =
            Vec::with_capacity(other.len().saturating_add(self.0.len()).saturating_add(4));
        premaster.vector16(other);
        premaster.vector16(&self.0);
        SecretBytes::new(premaster)
    }
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSharedKey(..)")
    }
}

/// The randoms of both hellos.
#[derive(Clone, Copy, Debug)]
pub(super) struct Randoms {
    pub(super) client: [u8; 32],
    pub(super) server: [u8; 32],
}

/// The messages of a handshake so far, each as if it were not fragmented (RFC 6347 section 4.2.6).
#[derive(Clone)]
pub(super) struct Transcript(digest::Context);

impl Transcript {
    pub(super) fn new() -> Self {
        Self(digest::Context::new(&SHA256))
    }

    /// Adds a message, header included.
    pub(super) fn add(&mut self, message: &[u8]) {
        self.0.update(message);
    }

    pub(super) fn digest(&self) -> digest::Digest {
        self.0.clone().finish()
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transcript(..)")
    }
}

/// The master secret of a handshake.
#[derive(Clone, Debug)]
pub(super) struct MasterSecret(Secret<48>);

impl MasterSecret {
    /// RFC 5246 section 8.1
    pub(super) fn plain(premaster: &[u8], randoms: &Randoms) -> Self {
        Self(Secret(prf(
            premaster,
            b"master secret",
            &randoms.client,
            &randoms.server,
        )))
    }

    /// RFC 7627 section 4; `session_hash` covers all messages up to ClientKeyExchange.
    pub(super) fn extended(premaster: &[u8], session_hash: &[u8]) -> Self {
        Self(Secret(prf(
            premaster,
            b"extended master secret",
            session_hash,
            &[],
        )))
    }

    /// How the client and how the server protects what it writes.
    pub(super) fn protections(
        &self,
        suite: CipherSuite,
        encrypt_then_mac: bool,
        randoms: &Randoms,
    ) -> (Protection, Protection) {
        // The longest key block: two MAC keys of 32 bytes, two keys of 16.
        let block: [u8; 96] = prf(
            &self.0.0,
            b"key expansion",
            &randoms.server,
            &randoms.client,
        );
        let block = Zeroizing::new(block);
        let part = |start: usize| move |block: &[u8]| part_of(block, start);
        let protection = |mac: usize, key: usize, iv: usize| {
            Protection::new(
                suite.cipher(),
                encrypt_then_mac,
                Secret(part(key)(block.as_slice())),
                Secret(part_of(block.as_slice(), iv)),
                Secret(part_of(block.as_slice(), mac)),
            )
        };
        match suite.cipher() {
            Cipher::Cbc => (protection(0, 64, 0), protection(32, 80, 0)),
            Cipher::Ccm8 | Cipher::Ccm | Cipher::Gcm => {
                (protection(0, 0, 32), protection(0, 16, 36))
            }
        }
    }

    /// The content of a Finished message, of the client or the server.
    pub(super) fn verify_data(&self, label: &[u8], transcript: &Transcript) -> [u8; 12] {
        prf(&self.0.0, label, transcript.digest().as_ref(), &[])
    }
}

/// The label of the client's Finished.
pub(super) const CLIENT_FINISHED: &[u8] = b"client finished";
/// The label of the server's Finished.
pub(super) const SERVER_FINISHED: &[u8] = b"server finished";

fn part_of<const N: usize>(block: &[u8], start: usize) -> [u8; N] {
    block
        .get(start..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .unwrap_or([0; N])
}

/// The pseudo-random function with SHA-256 (RFC 5246 section 5).
fn prf<const N: usize>(secret: &[u8], label: &[u8], seed1: &[u8], seed2: &[u8]) -> [u8; N] {
    PrfSecret::new(&P_SHA256, secret)
        .and_then(|secret| secret.derive_with_seed_concatination(label, seed1, seed2, N))
        .and_then(TryInto::try_into)
        .expect("the secret is not empty and the output is of the length asked for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::test_support::hex;

    /// The vector of the TLS working group's list for P_SHA256, shortened to what is derived here.
    #[test]
    fn the_prf_gives_the_published_vector() {
        let output: [u8; 100] = prf(
            &hex("9bbe436ba940f017b17652849a71db35"),
            b"test label",
            &hex("a0ba9f936cda3118"),
            &hex("27a6f796ffd5198c"),
        );
        let expected = hex(
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077d\
             ef17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66",
        );
        assert_eq!(output[..], expected);
    }

    /// `security.md` section 13
    #[test]
    fn the_premaster_secret_of_the_reference_key() {
        let key = PreSharedKey::new(&hex("73656372657450534b73656372657450")).expect("16 bytes");
        let expected =
            hex("0010000000000000000000000000000000000010_73656372657450534b73656372657450");
        assert_eq!(key.premaster(None).as_bytes(), expected);
        assert_eq!(
            key.premaster(Some(&[1, 2])).as_bytes(),
            hex("00020102_0010_73656372657450534b73656372657450")
        );
    }

    #[test]
    fn keys_are_1_to_64_bytes_and_not_shown() {
        assert!(PreSharedKey::new(&[]).is_none() && PreSharedKey::new(&[0; 65]).is_none());
        let key = PreSharedKey::new(&[0x41; 64]).expect("64 bytes");
        assert_eq!(
            format!("{key:?} {:?}", Secret([0x41; 4])),
            "PreSharedKey(..) Secret(..)"
        );
    }

    #[test]
    fn the_key_block_is_dealt_out_in_the_order_of_the_standard() {
        let randoms = Randoms {
            client: [1; 32],
            server: [2; 32],
        };
        let master = MasterSecret::plain(&[3; 36], &randoms);
        let block: [u8; 96] = prf(&master.0.0, b"key expansion", &[2; 32], &[1; 32]);
        let (client, server) = master.protections(CipherSuite::PskWithAes128Ccm8, false, &randoms);
        assert_eq!(client.parts(), (&block[..16], &block[32..36], None));
        assert_eq!(server.parts(), (&block[16..32], &block[36..40], None));
        let (client, server) =
            master.protections(CipherSuite::PskWithAes128CbcSha256, true, &randoms);
        assert_eq!(
            client.parts(),
            (&block[64..80], &block[..4], Some(&block[..32]))
        );
        assert_eq!(
            server.parts(),
            (&block[80..], &block[..4], Some(&block[32..64]))
        );
    }
}
