//! Protection of records (RFC 5246 section 6.2.3, RFC 6655, RFC 7366, RFC 9146 section 5): one direction of an association.

use aes::Aes128;
use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use cbc::cipher::{Array, BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use ccm::{
    AeadInOut as _, Ccm, KeyInit as _,
    consts::{U8, U12, U16},
};

use super::{
    cbc_mac,
    codec::Put,
    random::Secret,
    record::{CID_RECORD, Header, MAX_PLAINTEXT, PLAIN_HEADER, Record},
    suite::Cipher,
};

/// The keys of one direction, and how they are used. Key schedules are made anew for each record: they would be ten times as
/// large, and save nothing that can be measured.
#[derive(Clone, Debug)]
pub(super) struct Protection {
    cipher: Cipher,
    encrypt_then_mac: bool,
    key: Secret<16>,
    implicit_nonce: Secret<4>,
    mac_key: Option<Box<Secret<32>>>,
}

impl Protection {
    pub(super) fn new(
        cipher: Cipher,
        encrypt_then_mac: bool,
        key: Secret<16>,
        implicit_nonce: Secret<4>,
        mac_key: Secret<32>,
    ) -> Self {
        let mac_key = (cipher == Cipher::Cbc).then(|| Box::new(mac_key));
        Self {
            cipher,
            encrypt_then_mac,
            key,
            implicit_nonce,
            mac_key,
        }
    }

    /// Whether forged records are found out by a tag of 8 bytes only.
    pub(super) fn has_short_tag(&self) -> bool {
        self.cipher == Cipher::Ccm8
    }

    /// Whether each record begins with random bytes.
    pub(super) fn needs_iv(&self) -> bool {
        self.cipher == Cipher::Cbc
    }

    /// By how much a record grows at most, header included.
    pub(super) fn overhead(&self, cid_length: usize) -> usize {
        let protection: usize = match self.cipher {
            Cipher::Ccm8 => 8 + 8,
            Cipher::Ccm | Cipher::Gcm => 8 + 16,
            // IV, MAC, and at most a block of padding.
            Cipher::Cbc => 16 + 32 + 16,
        };
        let inner_type = usize::from(cid_length > 0);
        protection
            .saturating_add(PLAIN_HEADER)
            .saturating_add(cid_length)
            .saturating_add(inner_type)
    }

    /// Writes one record at the end of `out`. `header` has the content type and the receiver's connection id; `iv` is
    /// random where [`Self::needs_iv`] says so.
    pub(super) fn seal(
        &self,
        header: Header<'_>,
        plaintext: &[u8],
        iv: [u8; 16],
        out: &mut Vec<u8>,
    ) {
        let (wire, inner_type) = if header.cid.is_empty() {
            (header, None)
        } else {
            (
                Header {
                    content_type: CID_RECORD,
                    ..header
                },
                Some(header.content_type),
            )
        };
        let start = out.len();
        wire.write(0, out);
        let fragment_start = out.len();
        let inner_length = plaintext
            .len()
            .saturating_add(usize::from(inner_type.is_some()));
        let explicit = {
            let [e0, e1] = header.epoch.to_be_bytes();
            let [_, _, s0, s1, s2, s3, s4, s5] = header.sequence.to_be_bytes();
            [e0, e1, s0, s1, s2, s3, s4, s5]
        };
        let head_length = if self.cipher == Cipher::Cbc {
            out.bytes(&iv);
            iv.len()
        } else {
            out.bytes(&explicit);
            explicit.len()
        };
        out.bytes(plaintext);
        out.extend(inner_type);
        let authenticated = wire.authenticated(inner_length);
        let content_start = fragment_start.saturating_add(head_length);
        match self.cipher {
            Cipher::Ccm8 | Cipher::Ccm | Cipher::Gcm => {
                let content = out.get_mut(content_start..).unwrap_or_default();
                let tag = self.seal_aead(explicit, authenticated.as_bytes(), content);
                out.bytes(tag.as_bytes());
            }
            Cipher::Cbc => self.seal_cbc(&wire, iv, content_start, out),
        }
        let length = u16::try_from(out.len().saturating_sub(fragment_start)).unwrap_or(u16::MAX);
        let length_place = fragment_start.saturating_sub(2)..fragment_start;
        debug_assert!(start < fragment_start);
        if let Some(place) = out.get_mut(length_place) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn seal_aead(&self, explicit: [u8; 8], authenticated: &[u8], content: &mut [u8]) -> Tag {
        let nonce = self.nonce(explicit);
        let mut tag = Tag {
            bytes: [0; 16],
            length: 16,
        };
        match self.cipher {
            Cipher::Ccm8 => {
                let sealed = Ccm::<Aes128, U8, U12>::new(&self.key.0.into())
                    .encrypt_inout_detached(&nonce.into(), authenticated, content.into())
                    .expect("a record is shorter than CCM allows");
                let [t0, t1, t2, t3, t4, t5, t6, t7] = sealed.into();
                tag = Tag {
                    bytes: [t0, t1, t2, t3, t4, t5, t6, t7, 0, 0, 0, 0, 0, 0, 0, 0],
                    length: 8,
                };
            }
            Cipher::Ccm => {
                tag.bytes = Ccm::<Aes128, U16, U12>::new(&self.key.0.into())
                    .encrypt_inout_detached(&nonce.into(), authenticated, content.into())
                    .expect("a record is shorter than CCM allows")
                    .into();
            }
            Cipher::Gcm => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                let sealed = self
                    .gcm_key()
                    .seal_in_place_separate_tag(nonce, Aad::from(authenticated), content)
                    .expect("a record is shorter than GCM allows");
                tag.bytes.copy_from_slice(sealed.as_ref());
            }
            Cipher::Cbc => {}
        }
        tag
    }

    /// Pads and encrypts what lies behind `content_start`, where `iv` ends; the MAC goes inside or behind.
    fn seal_cbc(&self, wire: &Header<'_>, iv: [u8; 16], content_start: usize, out: &mut Vec<u8>) {
        let content = out.get(content_start..).unwrap_or_default();
        if !self.encrypt_then_mac {
            let header = wire.authenticated(content.len());
            let mac = self.mac(&[header.as_bytes(), content]);
            out.bytes(mac.as_ref());
        }
        let unpadded = out.len().saturating_sub(content_start);
        let padding = 15_usize.saturating_sub(unpadded & 15);
        let padding_byte = u8::try_from(padding).unwrap_or_default();
        out.extend([padding_byte; 16].iter().take(padding.saturating_add(1)));
        let content = out.get_mut(content_start..).unwrap_or_default();
        let (blocks, _) = Array::slice_as_chunks_mut(content);
        cbc::Encryptor::<Aes128>::new(&self.key.0.into(), &iv.into()).encrypt_blocks(blocks);
        if self.encrypt_then_mac {
            let fragment = out
                .get(content_start.saturating_sub(iv.len())..)
                .unwrap_or_default();
            let header = wire.authenticated(fragment.len());
            let mac = self.mac(&[header.as_bytes(), fragment]);
            out.bytes(mac.as_ref());
        }
    }

    /// Decrypts a record in place: its content type and content. `None`: it is not authentic, or not well-formed; the
    /// time until then says nothing about why.
    pub(super) fn open<'a>(&self, record: Record<'a>) -> Option<(u8, &'a mut [u8])> {
        let Record { header, fragment } = record;
        let content = match self.cipher {
            Cipher::Ccm8 => self.open_aead(&header, fragment, 8)?,
            Cipher::Ccm | Cipher::Gcm => self.open_aead(&header, fragment, 16)?,
            Cipher::Cbc if self.encrypt_then_mac => {
                self.open_encrypt_then_mac(&header, fragment)?
            }
            Cipher::Cbc => self.open_mac_then_encrypt(&header, fragment)?,
        };
        if header.cid.is_empty() {
            return (content.len() <= MAX_PLAINTEXT).then_some((header.content_type, content));
        }
        let end = content.iter().rposition(|&byte| byte != 0)?;
        let (content, rest) = content.split_at_mut_checked(end)?;
        let content_type = *rest.first()?;
        (content.len() <= MAX_PLAINTEXT).then_some((content_type, content))
    }

    fn open_aead<'a>(
        &self,
        header: &Header<'_>,
        fragment: &'a mut [u8],
        tag_length: usize,
    ) -> Option<&'a mut [u8]> {
        let (explicit, sealed) = fragment.split_first_chunk_mut::<8>()?;
        let content_length = sealed.len().checked_sub(tag_length)?;
        let nonce = self.nonce(*explicit);
        let authenticated = header.authenticated(content_length);
        let authenticated = authenticated.as_bytes();
        match self.cipher {
            Cipher::Gcm => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                return self
                    .gcm_key()
                    .open_in_place(nonce, Aad::from(authenticated), sealed)
                    .ok();
            }
            Cipher::Ccm8 => {
                let (content, tag) = sealed.split_at_mut_checked(content_length)?;
                Ccm::<Aes128, U8, U12>::new(&self.key.0.into())
                    .decrypt_inout_detached(
                        &nonce.into(),
                        authenticated,
                        content.into(),
                        (&*tag).try_into().ok()?,
                    )
                    .ok()?;
            }
            Cipher::Ccm => {
                let (content, tag) = sealed.split_at_mut_checked(content_length)?;
                Ccm::<Aes128, U16, U12>::new(&self.key.0.into())
                    .decrypt_inout_detached(
                        &nonce.into(),
                        authenticated,
                        content.into(),
                        (&*tag).try_into().ok()?,
                    )
                    .ok()?;
            }
            Cipher::Cbc => return None,
        }
        sealed.get_mut(..content_length)
    }

    fn open_encrypt_then_mac<'a>(
        &self,
        header: &Header<'_>,
        fragment: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let length = fragment.len().checked_sub(32)?;
        let (encrypted, mac) = fragment.split_at_mut_checked(length)?;
        let authenticated = header.authenticated(length);
        let mut message = hmac::Context::with_key(&self.hmac_key());
        message.update(authenticated.as_bytes());
        message.update(encrypted);
        aws_lc_rs::constant_time::verify_slices_are_equal(message.sign().as_ref(), mac).ok()?;
        let content = self.decrypt_cbc(encrypted)?;
        // The padding is authentic: what it is may show.
        let padding = *content.last()?;
        let end = content
            .len()
            .checked_sub(usize::from(padding).saturating_add(1))?;
        let (content, rest) = content.split_at_mut_checked(end)?;
        rest.iter().all(|&byte| byte == padding).then_some(content)
    }

    fn open_mac_then_encrypt<'a>(
        &self,
        header: &Header<'_>,
        fragment: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let content = self.decrypt_cbc(fragment)?;
        let mac_key = self.mac_key.as_ref()?;
        let length = cbc_mac::content_length(&mac_key.0, header, content)?;
        content.get_mut(..length)
    }

    /// Decrypts IV and blocks in place; the blocks, of which there is at least one.
    fn decrypt_cbc<'a>(&self, encrypted: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (iv, content) = encrypted.split_first_chunk_mut::<16>()?;
        let (blocks, rest) = Array::slice_as_chunks_mut(content);
        if blocks.is_empty() || !rest.is_empty() {
            return None;
        }
        cbc::Decryptor::<Aes128>::new(&self.key.0.into(), &(*iv).into()).decrypt_blocks(blocks);
        Some(content)
    }

    fn nonce(&self, explicit: [u8; 8]) -> [u8; 12] {
        let [i0, i1, i2, i3] = self.implicit_nonce.0;
        let [e0, e1, e2, e3, e4, e5, e6, e7] = explicit;
        [i0, i1, i2, i3, e0, e1, e2, e3, e4, e5, e6, e7]
    }

    fn gcm_key(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_128_GCM, &self.key.0).expect("the key has 16 bytes");
        LessSafeKey::new(key)
    }

    fn mac(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut message = hmac::Context::with_key(&self.hmac_key());
        parts.iter().for_each(|part| message.update(part));
        message.sign()
    }

    fn hmac_key(&self) -> hmac::Key {
        let key = self.mac_key.as_ref().map_or(&[][..], |key| &key.0);
        hmac::Key::new(hmac::HMAC_SHA256, key)
    }

    /// Key, implicit nonce and MAC key.
    #[cfg(test)]
    pub(super) fn parts(&self) -> (&[u8], &[u8], Option<&[u8]>) {
        (
            &self.key.0,
            &self.implicit_nonce.0,
            self.mac_key.as_ref().map(|key| &key.0[..]),
        )
    }
}

/// A tag of 8 or 16 bytes.
struct Tag {
    bytes: [u8; 16],
    length: usize,
}

impl Tag {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::{record::APPLICATION_DATA, test_support::hex};

    const CIPHERS: [(Cipher, bool); 5] = [
        (Cipher::Ccm8, false),
        (Cipher::Ccm, false),
        (Cipher::Gcm, false),
        (Cipher::Cbc, false),
        (Cipher::Cbc, true),
    ];

    fn protection((cipher, encrypt_then_mac): (Cipher, bool)) -> Protection {
        Protection::new(
            cipher,
            encrypt_then_mac,
            Secret([1; 16]),
            Secret([2; 4]),
            Secret([3; 32]),
        )
    }

    fn open(protection: &Protection, datagram: &[u8], cid_length: usize) -> Option<(u8, Vec<u8>)> {
        let mut datagram = datagram.to_vec();
        let (record, rest) = Record::split_first(&mut datagram, cid_length).ok()?;
        assert!(rest.is_empty());
        protection
            .open(record)
            .map(|(content_type, content)| (content_type, content.to_vec()))
    }

    /// NIST SP 800-38C, example 3: a nonce of 12 bytes and a tag of 8, as in a record.
    #[test]
    fn ccm_8_gives_the_published_vector() {
        let cipher = Protection::new(
            Cipher::Ccm8,
            false,
            Secret(
                hex("404142434445464748494a4b4c4d4e4f")
                    .try_into()
                    .expect("16 bytes"),
            ),
            Secret([0x10, 0x11, 0x12, 0x13]),
            Secret([0; 32]),
        );
        let explicit = hex("1415161718191a1b").try_into().expect("8 bytes");
        let mut content = hex("202122232425262728292a2b2c2d2e2f3031323334353637");
        let tag = cipher.seal_aead(
            explicit,
            &hex("000102030405060708090a0b0c0d0e0f10111213"),
            &mut content,
        );
        assert_eq!(
            content,
            hex("e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5")
        );
        assert_eq!(tag.as_bytes(), hex("484392fbc1b09951"));
    }

    #[test]
    fn records_are_opened_as_sealed() {
        for cipher in CIPHERS {
            let protection = protection(cipher);
            for cid in [&b""[..], b"c", b"a connection id of 32 bytes long"] {
                for length in [0, 1, 15, 16, 100, 1200] {
                    let header = Header {
                        cid,
                        ..Header::new(APPLICATION_DATA, 1, 77)
                    };
                    let plaintext: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
                    let mut out = Vec::new();
                    protection.seal(header, &plaintext, [9; 16], &mut out);
                    assert!(out.len() <= plaintext.len() + protection.overhead(cid.len()));
                    assert_eq!(
                        open(&protection, &out, cid.len()),
                        Some((APPLICATION_DATA, plaintext))
                    );
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_found() {
        for cipher in CIPHERS {
            let protection = protection(cipher);
            for cid in [&b""[..], b"cid"] {
                let mut out = Vec::new();
                let header = Header {
                    cid,
                    ..Header::new(APPLICATION_DATA, 1, 77)
                };
                protection.seal(header, b"plaintext of some length", [9; 16], &mut out);
                for index in (0..out.len())
                    .filter(|index| ![11, 12].contains(&(index - cid.len().min(*index))))
                {
                    let mut changed = out.clone();
                    changed[index] ^= 1;
                    assert_eq!(
                        open(&protection, &changed, cid.len()),
                        None,
                        "{cipher:?} {index}"
                    );
                }
                for length in 13 + cid.len()..out.len() {
                    let mut cut = out[..length].to_vec();
                    let fragment = u16::try_from(length - 13 - cid.len()).expect("short");
                    cut[11 + cid.len()..13 + cid.len()].copy_from_slice(&fragment.to_be_bytes());
                    assert_eq!(
                        open(&protection, &cut, cid.len()),
                        None,
                        "{cipher:?} {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn zeros_behind_the_inner_type_are_no_content() {
        for cipher in CIPHERS {
            let protection = protection(cipher);
            // Sealed as a record whose type is 0, these are a content, its type and padding.
            let header = Header {
                cid: b"cid",
                ..Header::new(0, 1, 1)
            };
            let mut out = Vec::new();
            protection.seal(header, b"content\x17\0\0\0", [9; 16], &mut out);
            assert_eq!(
                open(&protection, &out, 3),
                Some((APPLICATION_DATA, b"content".to_vec()))
            );
            out.clear();
            protection.seal(header, &[0; 20], [9; 16], &mut out);
            assert_eq!(open(&protection, &out, 3), None, "nothing but zeros");
        }
    }

    #[test]
    fn the_nonce_is_read_and_not_assumed() {
        let protection = protection((Cipher::Gcm, false));
        let mut content = b"content".to_vec();
        let header = Header::new(APPLICATION_DATA, 1, 5);
        let explicit = [0xaa; 8];
        let tag = protection.seal_aead(explicit, header.authenticated(7).as_bytes(), &mut content);
        let mut out = Vec::new();
        header.write(8 + 7 + 16, &mut out);
        out.extend([&explicit[..], &content, tag.as_bytes()].concat());
        assert_eq!(
            open(&protection, &out, 0),
            Some((APPLICATION_DATA, b"content".to_vec()))
        );
    }
}
