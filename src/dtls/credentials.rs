//! Keys and certificates: those that we show, those that we trust, and what is proved with them.

use std::fmt;

use aws_lc_rs::{
    agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey as PeerPoint, agree_ephemeral},
    digest::Digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{
    certificate::{Certificate, p256_point, p256_spki},
    event::CertificatePath,
    extension::CertificateType,
    random::SecretBytes,
};

/// A P-256 key with the certificates for it. The same key serves as raw public key.
pub struct Credentials {
    key: EcdsaKeyPair,
    spki: Box<[u8]>,
    chain: Vec<Box<[u8]>>,
}

/// Why keys and certificates cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The key is no P-256 key in PKCS#8 or SEC1.
    #[error("not a P-256 private key in PKCS#8 or SEC1 form")]
    Key,
    /// A certificate is not well-formed.
    #[error("certificate {0} of the chain is not well-formed")]
    Certificate(usize),
    /// The first certificate is for another key.
    #[error("the first certificate is not for the private key")]
    Mismatch,
}

impl Credentials {
    /// Takes a DER key, and its certificates in DER, leaf first; none: only raw public keys are shown.
    ///
    /// # Errors
    /// They are not well-formed, or do not belong together.
    pub fn new(chain: Vec<Vec<u8>>, key: &[u8]) -> Result<Self, CredentialsError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, key))
            .map_err(|_| CredentialsError::Key)?;
        let spki = p256_spki(key.public_key().as_ref());
        for (index, der) in chain.iter().enumerate() {
            let certificate = Certificate::read(der).ok_or(CredentialsError::Certificate(index))?;
            if index == 0 && *certificate.spki != *spki {
                return Err(CredentialsError::Mismatch);
            }
        }
        Ok(Self {
            key,
            spki,
            chain: chain.into_iter().map(Vec::into_boxed_slice).collect(),
        })
    }

    /// The DER SubjectPublicKeyInfo of the key.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether they can be shown in this form.
    pub(super) fn has(&self, kind: CertificateType) -> bool {
        match kind {
            CertificateType::X509 => !self.chain.is_empty(),
            CertificateType::RawPublicKey => true,
        }
    }

    /// The body of a Certificate message.
    pub(super) fn certificate(&self, kind: CertificateType) -> Vec<u8> {
        match kind {
            CertificateType::X509 => {
                super::message::certificate(kind, self.chain.iter().map(|der| &**der))
            }
            CertificateType::RawPublicKey => {
                super::message::certificate(kind, [&*self.spki].into_iter())
            }
        }
    }

    /// Signs with ECDSA and SHA-256. `None`: the library failed.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.key.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }

    /// Signs a message whose SHA-256 digest this is.
    pub(super) fn sign_digest(&self, digest: &Digest) -> Option<Vec<u8>> {
        Some(self.key.sign_digest(digest).ok()?.as_ref().to_vec())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// Whether a message was signed by the holder of a key (DER SubjectPublicKeyInfo).
pub(super) fn is_signed(spki: &[u8], message: &[u8], signature: &[u8]) -> bool {
    p256_point(spki).is_some_and(|point| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify(message, signature)
            .is_ok()
    })
}

/// The same for a message whose SHA-256 digest this is.
pub(super) fn is_digest_signed(spki: &[u8], digest: &Digest, signature: &[u8]) -> bool {
    p256_point(spki).is_some_and(|point| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify_digest(digest, signature)
            .is_ok()
    })
}

/// Certificates of issuers whose devices are trusted.
#[derive(Debug, Default)]
pub struct TrustStore {
    anchors: Vec<TrustAnchor<'static>>,
}

impl TrustStore {
    /// Takes certificates in DER.
    ///
    /// # Errors
    /// One is not well-formed.
    pub fn new<'a>(
        certificates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, CredentialsError> {
        let mut anchors = Vec::new();
        for (index, der) in certificates.into_iter().enumerate() {
            let der = CertificateDer::from(der);
            let anchor =
                anchor_from_trusted_cert(&der).map_err(|_| CredentialsError::Certificate(index))?;
            anchors.push(anchor.to_owned());
        }
        Ok(Self { anchors })
    }

    /// Whether the first of these certificates is trusted, `now` seconds after 1970, by way of the others.
    pub(super) fn validate(&self, chain: &[Vec<u8>], now: UnixTime) -> CertificatePath {
        if self.anchors.is_empty() {
            return CertificatePath::NoTrustStore;
        }
        let mut certificates = chain.iter().map(|der| CertificateDer::from(der.as_slice()));
        let Some(leaf) = certificates.next() else {
            return CertificatePath::Untrusted;
        };
        let others: Vec<_> = certificates.collect();
        let Ok(leaf) = EndEntityCert::try_from(&leaf) else {
            return CertificatePath::Untrusted;
        };
        let usage = KeyUsage::client_auth();
        match leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &self.anchors,
            &others,
            now,
            usage,
            None,
            None,
        ) {
            Ok(_) => CertificatePath::Trusted,
            Err(_) => CertificatePath::Untrusted,
        }
    }
}

/// One side's half of a P-256 key agreement.
pub(super) struct Ephemeral {
    key: EphemeralPrivateKey,
    /// Uncompressed.
    pub(super) point: Vec<u8>,
}

impl Ephemeral {
    /// `None`: the library failed.
    pub(super) fn generate() -> Option<Self> {
        let key = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).ok()?;
        let point = key.compute_public_key().ok()?.as_ref().to_vec();
        Some(Self { key, point })
    }

    /// The shared secret. `None`: what the peer sent is no point of the curve.
    pub(super) fn agree(self, point: &[u8]) -> Option<SecretBytes> {
        let peer = PeerPoint::new(&ECDH_P256, point);
        agree_ephemeral(self.key, peer, (), |secret| {
            Ok(SecretBytes::new(secret.to_vec()))
        })
        .ok()
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ephemeral(..)")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn both_sides_agree_and_points_off_the_curve_are_refused() {
        let (one, two) = (
            Ephemeral::generate().expect("a key"),
            Ephemeral::generate().expect("a key"),
        );
        let (point_one, point_two) = (one.point.clone(), two.point.clone());
        assert_eq!(one.agree(&point_two), two.agree(&point_one));
        let mut off = point_one;
        off[40] ^= 1;
        for point in [&off[..], &[], &[0], &off[..33]] {
            assert_eq!(Ephemeral::generate().expect("a key").agree(point), None);
        }
    }

    #[test]
    fn keys_are_taken_in_both_forms_and_must_fit_the_certificate() {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default()
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec();
        let credentials =
            Credentials::new(vec![certificate.clone()], key.serialized_der()).expect("they fit");
        assert!(credentials.has(CertificateType::X509));
        assert_eq!(p256_point(credentials.spki()), Some(key.public_key_raw()));
        let signature = credentials.sign(b"message").expect("signed");
        assert!(is_signed(credentials.spki(), b"message", &signature));
        assert!(!is_signed(credentials.spki(), b"another", &signature));

        let other = KeyPair::generate().expect("a key");
        let mismatch = Credentials::new(vec![certificate], other.serialized_der());
        assert_eq!(mismatch.map(|_| ()), Err(CredentialsError::Mismatch));
        assert_eq!(
            Credentials::new(vec![], b"no key").map(|_| ()),
            Err(CredentialsError::Key)
        );
        let only_key = Credentials::new(vec![], other.serialized_der()).expect("a key");
        assert!(
            !only_key.has(CertificateType::X509) && only_key.has(CertificateType::RawPublicKey)
        );
        assert!(!format!("{only_key:?}").contains("key"));
    }

    #[test]
    fn a14_a_blank_signature_proves_nothing() {
        let key = KeyPair::generate().expect("a key");
        let credentials = Credentials::new(vec![], key.serialized_der()).expect("a key");
        // r = s = 0, as CVE-2022-21449 has it; then r = s = the order of the curve; then nothing.
        let order = "022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
        let order = crate::dtls::test_support::hex(&format!("3046{order}{order}"));
        for blank in [&[0x30, 6, 2, 1, 0, 2, 1, 0][..], &order, &[]] {
            assert!(!is_signed(credentials.spki(), b"message", blank));
        }
    }

    #[test]
    fn a14_paths_are_validated() {
        let root_key = KeyPair::generate().expect("a key");
        let authority = |is_ca: IsCa| {
            let mut params = CertificateParams::default();
            params.is_ca = is_ca;
            params
        };
        let root_params = authority(IsCa::Ca(BasicConstraints::Unconstrained));
        let root = root_params.self_signed(&root_key).expect("a certificate");
        let root_issuer = Issuer::new(root_params, root_key);
        let trust = TrustStore::new([&**root.der()]).expect("well-formed");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));

        let chain = |issuer_is: IsCa| {
            let issuer_key = KeyPair::generate().expect("a key");
            let mut params = authority(issuer_is);
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, "intermediate");
            let intermediate = params
                .clone()
                .signed_by(&issuer_key, &root_issuer)
                .expect("a certificate");
            let issuer = Issuer::new(params, issuer_key);
            let leaf_key = KeyPair::generate().expect("a key");
            let leaf = CertificateParams::default()
                .signed_by(&leaf_key, &issuer)
                .expect("a certificate");
            vec![leaf.der().to_vec(), intermediate.der().to_vec()]
        };
        let good = chain(IsCa::Ca(BasicConstraints::Unconstrained));
        assert_eq!(trust.validate(&good, now), CertificatePath::Trusted);
        assert_eq!(
            TrustStore::default().validate(&good, now),
            CertificatePath::NoTrustStore
        );
        assert_eq!(
            trust.validate(&good[..1], now),
            CertificatePath::Untrusted,
            "without the intermediate"
        );
        assert_eq!(
            trust.validate(&chain(IsCa::ExplicitNoCa), now),
            CertificatePath::Untrusted,
            "the issuer is none"
        );
        let stranger = TrustStore::new([&*good[0]]).expect("well-formed");
        assert_eq!(
            stranger.validate(&good[1..], now),
            CertificatePath::Untrusted,
            "another issuer"
        );
        let past = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
        assert_eq!(
            trust.validate(&good, past),
            CertificatePath::Untrusted,
            "not valid yet"
        );
    }
}
