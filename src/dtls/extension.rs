//! The extensions of both hellos (`dtls.md` section 3.3): RFC 6066, 7250, 7366, 7627, 8422, 8449, 9146, 5746.

use super::codec::{Malformed, Put, Reader, numbers};

/// The extensions of a hello that mean something here; others are skipped. All of them borrow from the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions<'a> {
    /// max_fragment_length: 1 to 4 for 512 to 4096 bytes; as sent.
    pub(super) max_fragment_length: Option<u8>,
    /// supported_groups, in pairs of bytes.
    pub(super) groups: Option<&'a [u8]>,
    /// ec_point_formats.
    pub(super) point_formats: Option<&'a [u8]>,
    /// signature_algorithms, in pairs of bytes.
    pub(super) signature_algorithms: Option<&'a [u8]>,
    /// client_certificate_type: a list in the ClientHello, one value in the ServerHello.
    pub(super) client_certificate_types: Option<&'a [u8]>,
    /// server_certificate_type, likewise.
    pub(super) server_certificate_types: Option<&'a [u8]>,
    pub(super) encrypt_then_mac: bool,
    pub(super) extended_master_secret: bool,
    pub(super) record_size_limit: Option<u16>,
    pub(super) connection_id: Option<&'a [u8]>,
    /// The renegotiated_connection of renegotiation_info.
    pub(super) renegotiation_info: Option<&'a [u8]>,
}

/// Which hello extensions are in: the two write certificate types differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Client,
    Server,
}

impl<'a> Extensions<'a> {
    /// Reads the end of a hello: nothing, or one block of extensions.
    pub(super) fn read(mut hello_end: Reader<'a>, hello: Hello) -> Result<Self, Malformed> {
        let mut extensions = Self::default();
        if hello_end.is_empty() {
            return Ok(extensions);
        }
        let mut block = Reader::new(hello_end.vector16()?);
        hello_end.end()?;
        let mut seen = [None; MAX_EXTENSIONS];
        for slot in 0.. {
            if block.is_empty() {
                break;
            }
            let code = block.u16()?;
            let mut body = Reader::new(block.vector16()?);
            if seen.contains(&Some(code)) {
                return Err(Malformed);
            }
            *seen.get_mut(slot).ok_or(Malformed)? = Some(code);
            let list8 = |mut body: Reader<'a>| {
                let list = body.vector8()?;
                body.end().map(|()| Some(list))
            };
            let list16 = |mut body: Reader<'a>| {
                let list = body.vector16()?;
                body.end()?;
                if list.is_empty() || !list.len().is_multiple_of(2) {
                    Err(Malformed)
                } else {
                    Ok(Some(list))
                }
            };
            let types = |mut body: Reader<'a>| match hello {
                Hello::Client => list8(body),
                Hello::Server => {
                    let chosen = body.bytes(1)?;
                    body.end().map(|()| Some(chosen))
                }
            };
            match code {
                MAX_FRAGMENT_LENGTH => {
                    extensions.max_fragment_length = Some(body.u8()?);
                    body.end()?;
                }
                SUPPORTED_GROUPS => extensions.groups = list16(body)?,
                EC_POINT_FORMATS => extensions.point_formats = list8(body)?,
                SIGNATURE_ALGORITHMS => extensions.signature_algorithms = list16(body)?,
                CLIENT_CERTIFICATE_TYPE => extensions.client_certificate_types = types(body)?,
                SERVER_CERTIFICATE_TYPE => extensions.server_certificate_types = types(body)?,
                ENCRYPT_THEN_MAC => {
                    extensions.encrypt_then_mac = true;
                    body.end()?;
                }
                EXTENDED_MASTER_SECRET => {
                    extensions.extended_master_secret = true;
                    body.end()?;
                }
                RECORD_SIZE_LIMIT => {
                    extensions.record_size_limit = Some(body.u16()?);
                    body.end()?;
                }
                CONNECTION_ID => extensions.connection_id = list8(body)?,
                RENEGOTIATION_INFO => extensions.renegotiation_info = list8(body)?,
                _ => {}
            }
        }
        Ok(extensions)
    }

    /// Writes the block of extensions; nothing when there are none.
    pub(super) fn write(&self, out: &mut Vec<u8>, hello: Hello) {
        let start = out.len();
        out.vector(2, |out| {
            let mut put = |code: u16, body: &dyn Fn(&mut Vec<u8>)| {
                out.u16(code);
                out.vector(2, body);
            };
            let types = |types: &[u8], out: &mut Vec<u8>| match hello {
                Hello::Client => out.vector8(types),
                Hello::Server => out.bytes(types),
            };
            if let Some(code) = self.max_fragment_length {
                put(MAX_FRAGMENT_LENGTH, &|out| out.u8(code));
            }
            if let Some(groups) = self.groups {
                put(SUPPORTED_GROUPS, &|out| out.vector16(groups));
            }
            if let Some(formats) = self.point_formats {
                put(EC_POINT_FORMATS, &|out| out.vector8(formats));
            }
            if let Some(algorithms) = self.signature_algorithms {
                put(SIGNATURE_ALGORITHMS, &|out| out.vector16(algorithms));
            }
            if let Some(chosen) = self.client_certificate_types {
                put(CLIENT_CERTIFICATE_TYPE, &|out| types(chosen, out));
            }
            if let Some(chosen) = self.server_certificate_types {
                put(SERVER_CERTIFICATE_TYPE, &|out| types(chosen, out));
            }
            if self.encrypt_then_mac {
                put(ENCRYPT_THEN_MAC, &|_| {});
            }
            if self.extended_master_secret {
                put(EXTENDED_MASTER_SECRET, &|_| {});
            }
            if let Some(limit) = self.record_size_limit {
                put(RECORD_SIZE_LIMIT, &|out| out.u16(limit));
            }
            if let Some(id) = self.connection_id {
                put(CONNECTION_ID, &|out| out.vector8(id));
            }
            if let Some(info) = self.renegotiation_info {
                put(RENEGOTIATION_INFO, &|out| out.vector8(info));
            }
        });
        if out.len() == start.saturating_add(2) {
            out.truncate(start);
        }
    }

    /// Whether the group secp256r1 may be used: it is listed, or no group is.
    pub(super) fn allows_secp256r1(&self) -> bool {
        self.groups
            .is_none_or(|groups| numbers(groups).any(|group| group == SECP256R1))
    }

    /// Whether uncompressed points may be used.
    pub(super) fn allows_uncompressed(&self) -> bool {
        self.point_formats
            .is_none_or(|formats| formats.contains(&UNCOMPRESSED))
    }

    /// Whether ecdsa_secp256r1_sha256 may be used. Small stacks that list nothing know SHA-256 and not the SHA-1 of
    /// RFC 5246 section 7.4.1.4.1.
    pub(super) fn allows_ecdsa_sha256(&self) -> bool {
        self.signature_algorithms
            .is_none_or(|list| numbers(list).any(|algorithm| algorithm == ECDSA_SECP256R1_SHA256))
    }
}

/// What is in a Certificate message (RFC 7250 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateType {
    X509 = 0,
    RawPublicKey = 2,
}

impl CertificateType {
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::X509),
            2 => Some(Self::RawPublicKey),
            _ => None,
        }
    }
}

/// The bytes that a max_fragment_length code stands for.
pub(super) const fn fragment_length(code: u8) -> Option<u16> {
    match code {
        1 => Some(512),
        2 => Some(1024),
        3 => Some(2048),
        4 => Some(4096),
        _ => None,
    }
}

pub(super) const SECP256R1: u16 = 23;
pub(super) const ECDSA_SECP256R1_SHA256: u16 = 0x0403;
pub(super) const UNCOMPRESSED: u8 = 0;

const MAX_FRAGMENT_LENGTH: u16 = 1;
const SUPPORTED_GROUPS: u16 = 10;
const EC_POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const CLIENT_CERTIFICATE_TYPE: u16 = 19;
const SERVER_CERTIFICATE_TYPE: u16 = 20;
const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;
const RECORD_SIZE_LIMIT: u16 = 28;
const CONNECTION_ID: u16 = 54;
const RENEGOTIATION_INFO: u16 = 0xff01;

/// A hello with more is malformed: looking for repeated ones must not take long.
const MAX_EXTENSIONS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Extensions<'static> {
        Extensions {
            max_fragment_length: Some(2),
            groups: Some(&[0, 23, 0, 24]),
            point_formats: Some(&[0]),
            signature_algorithms: Some(&[4, 3]),
            client_certificate_types: Some(&[2]),
            server_certificate_types: Some(&[0]),
            encrypt_then_mac: true,
            extended_master_secret: true,
            record_size_limit: Some(1200),
            connection_id: Some(&[1, 2, 3]),
            renegotiation_info: Some(&[]),
        }
    }

    #[test]
    fn extensions_are_read_as_written() {
        for hello in [Hello::Client, Hello::Server] {
            let mut out = Vec::new();
            all().write(&mut out, hello);
            assert_eq!(Extensions::read(Reader::new(&out), hello), Ok(all()));
            for length in 1..out.len() {
                let cut = out.get(..length).expect("shorter");
                assert_eq!(
                    Extensions::read(Reader::new(cut), hello),
                    Err(Malformed),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn no_extensions_take_no_block() {
        let mut out = Vec::new();
        Extensions::default().write(&mut out, Hello::Server);
        assert!(out.is_empty());
        assert_eq!(
            Extensions::read(Reader::new(&out), Hello::Client),
            Ok(Extensions::default())
        );
    }

    #[test]
    fn any_order_unknown_ones_and_grease_are_read() {
        let block =
            b"\x00\x12\x0a\x0a\x00\x01\x07\x00\x17\x00\x00\x00\x35\x00\x01\x00\x00\x16\x00\x00";
        let extensions = Extensions::read(Reader::new(block), Hello::Client).expect("well-formed");
        let expected = Extensions {
            encrypt_then_mac: true,
            extended_master_secret: true,
            ..Extensions::default()
        };
        assert_eq!(extensions, expected);
    }

    #[test]
    fn a_repeated_extension_is_malformed() {
        for block in [
            &b"\x00\x08\x00\x17\x00\x00\x00\x17\x00\x00"[..],
            b"\x00\x08\x12\x34\x00\x00\x12\x34\x00\x00",
        ] {
            assert_eq!(
                Extensions::read(Reader::new(block), Hello::Client),
                Err(Malformed)
            );
        }
    }

    #[test]
    fn absent_lists_allow_what_small_stacks_know() {
        let none = Extensions::default();
        assert!(
            none.allows_secp256r1() && none.allows_uncompressed() && none.allows_ecdsa_sha256()
        );
        let others = Extensions {
            groups: Some(&[0, 29]),
            point_formats: Some(&[1]),
            signature_algorithms: Some(&[8, 4]),
            ..none
        };
        assert!(
            !others.allows_secp256r1()
                && !others.allows_uncompressed()
                && !others.allows_ecdsa_sha256()
        );
    }
}
