//! Handshake messages (RFC 5246 section 7.4, RFC 6347 section 4.2): read in place, written whole.

use super::{
    codec::{Malformed, Put, Reader},
    extension::{CertificateType, ECDSA_SECP256R1_SHA256, Extensions, Hello, SECP256R1},
    suite::KeyExchange,
};

/// The type of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageType {
    HelloRequest = 0,
    ClientHello = 1,
    ServerHello = 2,
    HelloVerifyRequest = 3,
    Certificate = 11,
    ServerKeyExchange = 12,
    CertificateRequest = 13,
    ServerHelloDone = 14,
    CertificateVerify = 15,
    ClientKeyExchange = 16,
    Finished = 20,
}

impl MessageType {
    pub(super) fn from_code(code: u8) -> Option<Self> {
        [
            Self::HelloRequest,
            Self::ClientHello,
            Self::ServerHello,
            Self::HelloVerifyRequest,
            Self::Certificate,
            Self::ServerKeyExchange,
            Self::CertificateRequest,
            Self::ServerHelloDone,
            Self::CertificateVerify,
            Self::ClientKeyExchange,
            Self::Finished,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == code)
    }
}

/// A fragment of a handshake message; a whole message is its own only fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    pub(super) message_type: u8,
    /// Length of the whole message.
    pub(super) length: usize,
    pub(super) message_seq: u16,
    pub(super) offset: usize,
    pub(super) body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads the next fragment of a record.
    pub(super) fn read(record: &mut Reader<'a>) -> Result<Self, Malformed> {
        let message_type = record.u8()?;
        let length = record.u24()?;
        let message_seq = record.u16()?;
        let offset = record.u24()?;
        let body = record.vector24()?;
        match offset.checked_add(body.len()) {
            Some(end) if end <= length => Ok(Self {
                message_type,
                length,
                message_seq,
                offset,
                body,
            }),
            _ => Err(Malformed),
        }
    }

    pub(super) const fn is_whole(&self) -> bool {
        self.body.len() == self.length
    }

    /// Writes it, header in front.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.u8(self.message_type);
        out.u24(self.length);
        out.u16(self.message_seq);
        out.u24(self.offset);
        out.vector24(self.body);
    }
}

/// Writes a whole message, header in front: the form that goes into the transcript.
pub(super) fn whole(message_type: u8, message_seq: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len().saturating_add(HEADER));
    let fragment = Fragment {
        message_type,
        length: body.len(),
        message_seq,
        offset: 0,
        body,
    };
    fragment.write(&mut out);
    out
}

/// The length of the header of a fragment.
pub(super) const HEADER: usize = 12;

/// ClientHello up to its extensions, which are read once the cookie is good.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientHello<'a> {
    pub(super) version: [u8; 2],
    pub(super) random: [u8; 32],
    pub(super) session_id: &'a [u8],
    pub(super) cookie: &'a [u8],
    /// In pairs of bytes.
    pub(super) cipher_suites: &'a [u8],
    pub(super) compression_methods: &'a [u8],
    /// Unread.
    pub(super) extensions: Reader<'a>,
}

impl<'a> ClientHello<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let hello = Self {
            version: reader.array()?,
            random: reader.array()?,
            session_id: reader.vector8()?,
            cookie: reader.vector8()?,
            cipher_suites: reader.vector16()?,
            compression_methods: reader.vector8()?,
            extensions: reader,
        };
        if hello.session_id.len() > 32
            || hello.cipher_suites.is_empty()
            || !hello.cipher_suites.len().is_multiple_of(2)
            || hello.compression_methods.is_empty()
        {
            return Err(Malformed);
        }
        Ok(hello)
    }

    pub(super) fn extensions(&self) -> Result<Extensions<'a>, Malformed> {
        Extensions::read(self.extensions, Hello::Client)
    }

    /// The body with these extensions in place of those that were read.
    pub(super) fn write(&self, extensions: &Extensions<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        out.bytes(&self.version);
        out.bytes(&self.random);
        out.vector8(self.session_id);
        out.vector8(self.cookie);
        out.vector16(self.cipher_suites);
        out.vector8(self.compression_methods);
        extensions.write(&mut out, Hello::Client);
        out
    }

    /// A hello to be written.
    pub(super) const fn new(random: [u8; 32], cookie: &'a [u8], cipher_suites: &'a [u8]) -> Self {
        Self {
            version: DTLS_1_2,
            random,
            session_id: &[],
            cookie,
            cipher_suites,
            compression_methods: &[0],
            extensions: Reader::new(&[]),
        }
    }
}

/// The body of a HelloVerifyRequest.
pub(super) fn hello_verify_request(version: [u8; 2], cookie: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.bytes(&version);
    out.vector8(cookie);
    out
}

/// The cookie of a HelloVerifyRequest.
pub(super) fn read_hello_verify_request(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    reader.bytes(2)?;
    let cookie = reader.vector8()?;
    reader.end().map(|()| cookie)
}

/// ServerHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerHello<'a> {
    pub(super) version: [u8; 2],
    pub(super) random: [u8; 32],
    pub(super) session_id: &'a [u8],
    pub(super) cipher_suite: u16,
    pub(super) compression_method: u8,
    pub(super) extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        Ok(Self {
            version: reader.array()?,
            random: reader.array()?,
            session_id: reader.vector8()?,
            cipher_suite: reader.u16()?,
            compression_method: reader.u8()?,
            extensions: Extensions::read(reader, Hello::Server)?,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.bytes(&self.version);
        out.bytes(&self.random);
        out.vector8(self.session_id);
        out.u16(self.cipher_suite);
        out.u8(self.compression_method);
        self.extensions.write(&mut out, Hello::Server);
        out
    }
}

/// The body of a Certificate message; the leaf comes first. A raw public key is not in a list (RFC 7250 section 3).
pub(super) fn certificate<'a>(
    kind: CertificateType,
    certificates: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut out = Vec::new();
    match kind {
        CertificateType::X509 => {
            out.vector(3, |out| certificates.for_each(|der| out.vector24(der)))
        }
        CertificateType::RawPublicKey => certificates.take(1).for_each(|spki| out.vector24(spki)),
    }
    out
}

/// What is in a Certificate message; empty: the peer has none.
pub(super) fn read_certificate(
    body: &[u8],
    kind: CertificateType,
) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new(body);
    let content = reader.vector24()?;
    reader.end()?;
    if content.is_empty() {
        return Ok(Vec::new());
    }
    match kind {
        CertificateType::RawPublicKey => Ok(vec![content]),
        CertificateType::X509 => {
            let mut list = Reader::new(content);
            let mut certificates = Vec::new();
            while !list.is_empty() {
                let certificate = list.vector24()?;
                if certificate.is_empty() || certificates.len() == MAX_CHAIN {
                    return Err(Malformed);
                }
                certificates.push(certificate);
            }
            Ok(certificates)
        }
    }
}

/// The body of a CertificateRequest: ECDSA keys, SHA-256, any issuer.
pub(super) fn certificate_request() -> Vec<u8> {
    let mut out = Vec::new();
    out.vector8(&[ECDSA_SIGN]);
    out.vector16(&ECDSA_SECP256R1_SHA256.to_be_bytes());
    out.vector16(&[]);
    out
}

/// Checks that a CertificateRequest can be answered with an ECDSA key.
pub(super) fn read_certificate_request(body: &[u8]) -> Result<(), Malformed> {
    let mut reader = Reader::new(body);
    let types = reader.vector8()?;
    reader.vector16()?;
    reader.vector16()?;
    reader.end()?;
    if types.contains(&ECDSA_SIGN) {
        Ok(())
    } else {
        Err(Malformed)
    }
}

/// The parameters that a server signs: the named curve and its point.
pub(super) fn ecdh_parameters(point: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.u8(NAMED_CURVE);
    out.u16(SECP256R1);
    out.vector8(point);
    out
}

/// ServerKeyExchange (RFC 4279 section 2, RFC 5489 section 2, RFC 8422 section 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerKeyExchange<'a> {
    /// The curve and point as they were signed, and the point alone; empty with plain PSK.
    pub(super) parameters: &'a [u8],
    pub(super) point: &'a [u8],
    /// Empty with PSK.
    pub(super) signature: &'a [u8],
}

impl<'a> ServerKeyExchange<'a> {
    pub(super) fn read(body: &'a [u8], key_exchange: KeyExchange) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let mut message = Self::default();
        if key_exchange != KeyExchange::EcdheEcdsa {
            reader.vector16()?;
        }
        if key_exchange != KeyExchange::Psk {
            let parameters = reader.rest();
            if reader.u8()? != NAMED_CURVE || reader.u16()? != SECP256R1 {
                return Err(Malformed);
            }
            message.point = reader.vector8()?;
            let length = message.point.len().saturating_add(4);
            message.parameters = parameters.get(..length).ok_or(Malformed)?;
        }
        if key_exchange == KeyExchange::EcdheEcdsa {
            message.signature = read_signature(&mut reader)?;
        }
        reader.end().map(|()| message)
    }
}

/// The body of a ServerKeyExchange with a signature.
pub(super) fn signed_server_key_exchange(parameters: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = parameters.to_vec();
    put_signature(&mut out, signature);
    out
}

/// The body of a ServerKeyExchange with an identity hint, and curve and point unless `parameters` is empty.
pub(super) fn psk_server_key_exchange(hint: &[u8], parameters: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.vector16(hint);
    out.bytes(parameters);
    out
}

/// ClientKeyExchange: a PSK identity, a point, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientKeyExchange<'a> {
    pub(super) identity: &'a [u8],
    pub(super) point: &'a [u8],
}

impl<'a> ClientKeyExchange<'a> {
    pub(super) fn read(body: &'a [u8], key_exchange: KeyExchange) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let mut message = Self::default();
        if key_exchange != KeyExchange::EcdheEcdsa {
            message.identity = reader.vector16()?;
        }
        if key_exchange != KeyExchange::Psk {
            message.point = reader.vector8()?;
        }
        reader.end().map(|()| message)
    }

    pub(super) fn write(&self, key_exchange: KeyExchange) -> Vec<u8> {
        let mut out = Vec::new();
        if key_exchange != KeyExchange::EcdheEcdsa {
            out.vector16(self.identity);
        }
        if key_exchange != KeyExchange::Psk {
            out.vector8(self.point);
        }
        out
    }
}

/// The body of a CertificateVerify.
pub(super) fn certificate_verify(signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_signature(&mut out, signature);
    out
}

/// The signature of a CertificateVerify.
pub(super) fn read_certificate_verify(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let signature = read_signature(&mut reader)?;
    reader.end().map(|()| signature)
}

fn put_signature(out: &mut Vec<u8>, signature: &[u8]) {
    out.u16(ECDSA_SECP256R1_SHA256);
    out.vector16(signature);
}

fn read_signature<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    if reader.u16()? == ECDSA_SECP256R1_SHA256 {
        reader.vector16()
    } else {
        Err(Malformed)
    }
}

/// Version 1.2 as it is on the wire.
pub(super) const DTLS_1_2: [u8; 2] = [254, 253];
/// Version 1.0, in first records and in HelloVerifyRequest.
pub(super) const DTLS_1_0: [u8; 2] = [254, 255];

/// The longest chain of certificates that is read.
pub(super) const MAX_CHAIN: usize = 6;
const ECDSA_SIGN: u8 = 64;
const NAMED_CURVE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_read_as_written() {
        let fragment = Fragment {
            message_type: 16,
            length: 300,
            message_seq: 2,
            offset: 100,
            body: &[7; 50],
        };
        let mut out = Vec::new();
        fragment.write(&mut out);
        assert_eq!(
            out.get(..HEADER),
            Some(&b"\x10\x00\x01\x2c\x00\x02\x00\x00\x64\x00\x00\x32"[..])
        );
        assert_eq!(Fragment::read(&mut Reader::new(&out)), Ok(fragment));
        for length in 0..out.len() {
            assert_eq!(
                Fragment::read(&mut Reader::new(&out[..length])),
                Err(Malformed)
            );
        }
    }

    #[test]
    fn a08_a_fragment_beyond_the_end_of_its_message_is_malformed() {
        for header in [
            b"\x10\x00\x00\x01\x00\x02\x00\x00\x00\x00\x00\x02ab",
            b"\x10\x00\x00\x02\x00\x02\x00\x00\x01\x00\x00\x02ab",
            b"\x10\xff\xff\xff\x00\x02\xff\xff\xfe\x00\x00\x02ab",
        ] {
            assert_eq!(Fragment::read(&mut Reader::new(header)), Err(Malformed));
        }
    }

    #[test]
    fn hellos_are_read_as_written() {
        let extensions = Extensions {
            connection_id: Some(&[1]),
            extended_master_secret: true,
            ..Extensions::default()
        };
        let hello = ClientHello::new([9; 32], &[5; 20], &[0xc0, 0xa8, 0, 0xff]);
        let bytes = hello.write(&extensions);
        let read = ClientHello::read(&bytes).expect("well-formed");
        assert_eq!(
            (
                read.version,
                read.random,
                read.cookie,
                read.cipher_suites,
                read.compression_methods
            ),
            (
                DTLS_1_2,
                [9; 32],
                &[5; 20][..],
                &[0xc0, 0xa8, 0, 0xff][..],
                &[0][..]
            )
        );
        assert_eq!(read.extensions(), Ok(extensions));
        let without = bytes.len() - 12;
        for length in 0..bytes.len() {
            let cut = ClientHello::read(&bytes[..length]).and_then(|hello| hello.extensions());
            assert_eq!(cut.is_ok(), length == without, "{length}");
        }

        let hello = ServerHello {
            version: DTLS_1_2,
            random: [8; 32],
            session_id: &[],
            cipher_suite: 0xc0a8,
            compression_method: 0,
            extensions,
        };
        assert_eq!(ServerHello::read(&hello.write()), Ok(hello));
    }

    #[test]
    fn key_exchanges_are_read_as_written() {
        let point = [4; 65];
        let parameters = ecdh_parameters(&point);
        let ecdsa = signed_server_key_exchange(&parameters, &[6; 70]);
        assert_eq!(
            ServerKeyExchange::read(&ecdsa, KeyExchange::EcdheEcdsa),
            Ok(ServerKeyExchange {
                parameters: &parameters,
                point: &point,
                signature: &[6; 70]
            })
        );
        let psk = psk_server_key_exchange(b"hint", &parameters);
        assert_eq!(
            ServerKeyExchange::read(&psk, KeyExchange::EcdhePsk),
            Ok(ServerKeyExchange {
                parameters: &parameters,
                point: &point,
                signature: &[]
            })
        );
        for (key_exchange, identity, point) in [
            (KeyExchange::Psk, &b"id"[..], &b""[..]),
            (KeyExchange::EcdhePsk, b"id", &point),
            (KeyExchange::EcdheEcdsa, b"", &point),
        ] {
            let message = ClientKeyExchange { identity, point };
            let bytes = message.write(key_exchange);
            assert_eq!(ClientKeyExchange::read(&bytes, key_exchange), Ok(message));
            for length in 0..bytes.len() {
                assert!(ClientKeyExchange::read(&bytes[..length], key_exchange).is_err());
            }
        }
        let verify = certificate_verify(&[1; 71]);
        assert_eq!(read_certificate_verify(&verify), Ok(&[1; 71][..]));
        assert_eq!(read_certificate_request(&certificate_request()), Ok(()));
    }

    #[test]
    fn certificates_are_read_as_written() {
        let chain: [&[u8]; 2] = [b"leaf", b"issuer"];
        let body = certificate(CertificateType::X509, chain.into_iter());
        assert_eq!(body, b"\x00\x00\x10\x00\x00\x04leaf\x00\x00\x06issuer");
        assert_eq!(
            read_certificate(&body, CertificateType::X509),
            Ok(chain.to_vec())
        );
        let body = certificate(CertificateType::RawPublicKey, chain.into_iter());
        assert_eq!(body, b"\x00\x00\x04leaf");
        assert_eq!(
            read_certificate(&body, CertificateType::RawPublicKey),
            Ok(vec![chain[0]])
        );
        assert_eq!(read_certificate(&[0; 3], CertificateType::X509), Ok(vec![]));
        let long = certificate(
            CertificateType::X509,
            [&b"c"[..]; MAX_CHAIN + 1].into_iter(),
        );
        assert_eq!(
            read_certificate(&long, CertificateType::X509),
            Err(Malformed)
        );
    }
}
