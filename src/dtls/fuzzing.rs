//! The decoders behind the public surface, for the fuzz targets: each takes any bytes and checks what it can.

use super::{
    cbc_mac,
    certificate::Certificate,
    codec::Reader,
    extension::{CertificateType, Extensions, Hello},
    message::{
        self, ClientHello, ClientKeyExchange, Fragment, ServerHello, ServerKeyExchange,
        read_certificate, read_certificate_request, read_certificate_verify,
        read_hello_verify_request,
    },
    protection::Protection,
    random::Secret,
    reassembly::Reassembly,
    record::{Header, Record},
    suite::{Cipher, KeyExchange},
};

/// A datagram; the first byte is the length of connection ids.
pub fn records(data: &[u8]) {
    let Some((length, datagram)) = data.split_first() else {
        return;
    };
    let mut datagram = datagram.to_vec();
    let mut rest = &mut datagram[..];
    while let Ok((record, more)) = Record::split_first(rest, usize::from(length & 31)) {
        let mut content = Reader::new(record.fragment);
        while let Ok(fragment) = Fragment::read(&mut content) {
            assert!(fragment.body.len() <= fragment.length);
        }
        for (cipher, encrypt_then_mac) in CIPHERS {
            let mut copy = record.fragment.to_vec();
            let copy = Record {
                header: record.header,
                fragment: &mut copy,
            };
            let opened = protection(cipher, encrypt_then_mac).open(copy);
            assert!(opened.is_none(), "a forged record is taken for authentic");
        }
        rest = more;
    }
}

/// The body of a handshake message; the first byte says which.
pub fn messages(data: &[u8]) {
    let Some((which, body)) = data.split_first() else {
        return;
    };
    let key_exchanges = [
        KeyExchange::Psk,
        KeyExchange::EcdhePsk,
        KeyExchange::EcdheEcdsa,
    ];
    match which & 15 {
        0 => {
            if let Ok(hello) = ClientHello::read(body)
                && let Ok(extensions) = hello.extensions()
            {
                let again = hello.write(&extensions);
                let read = ClientHello::read(&again).and_then(|hello| hello.extensions());
                assert_eq!(read, Ok(extensions));
            }
        }
        1 => {
            if let Ok(hello) = ServerHello::read(body) {
                assert_eq!(ServerHello::read(&hello.write()), Ok(hello));
            }
        }
        2 => {
            for hello in [Hello::Client, Hello::Server] {
                if let Ok(extensions) = Extensions::read(Reader::new(body), hello) {
                    let mut again = Vec::new();
                    extensions.write(&mut again, hello);
                    assert_eq!(Extensions::read(Reader::new(&again), hello), Ok(extensions));
                }
            }
        }
        3 => {
            for kind in [CertificateType::X509, CertificateType::RawPublicKey] {
                if let Ok(certificates) = read_certificate(body, kind)
                    && !certificates.is_empty()
                {
                    assert_eq!(
                        message::certificate(kind, certificates.iter().copied()),
                        body
                    );
                }
            }
        }
        4 => {
            for key_exchange in key_exchanges {
                if let Ok(message) = ServerKeyExchange::read(body, key_exchange) {
                    assert!(message.point.len() <= 255 && message.signature.len() <= body.len());
                }
            }
        }
        5 => {
            for key_exchange in key_exchanges {
                if let Ok(message) = ClientKeyExchange::read(body, key_exchange) {
                    assert_eq!(message.write(key_exchange), body);
                }
            }
        }
        6 => {
            if let Ok(signature) = read_certificate_verify(body) {
                assert_eq!(message::certificate_verify(signature), body);
            }
        }
        7 => {
            // Whether they are well-formed is all that matters.
            let (_, _) = (
                read_hello_verify_request(body),
                read_certificate_request(body),
            );
        }
        _ => {
            let (_, _) = (super::alert::read(body), Certificate::read(body));
        }
    }
}

/// Fragments, one after the other, of at most 15 bytes; what is put together is what was sent.
pub fn reassembly(data: &[u8]) {
    let mut reassembly = Reassembly::default();
    let mut expected = 0_u16;
    let mut rest = data;
    while let Some(([message, length, offset, size], more)) = rest.split_first_chunk() {
        let (body, more) = more.split_at(usize::from(size & 15).min(more.len()));
        let fragment = Fragment {
            message_type: message >> 4,
            length: usize::from(*length) << (message & 7),
            message_seq: expected
                .saturating_add(u16::from(message & 15))
                .saturating_sub(2),
            offset: usize::from(*offset),
            body,
        };
        if fragment.offset.saturating_add(body.len()) <= fragment.length
            && reassembly.insert(&fragment, expected, 8192).is_ok()
        {
            assert!(fragment.message_seq >= expected);
        }
        while let Some(whole) = reassembly.take(expected) {
            assert!(whole.message_seq == expected && whole.body.len() <= 8192);
            expected = expected.saturating_add(1);
        }
        rest = more;
    }
}

/// The plaintext of a CBC record, in whole blocks; the first byte chooses the header.
pub fn cbc(data: &[u8]) {
    let Some((choice, plaintext)) = data.split_first() else {
        return;
    };
    let plain = Header::new(23, 1, 7);
    let header = if choice & 1 == 0 {
        plain
    } else {
        Header {
            content_type: 25,
            cid: b"cid",
            ..plain
        }
    };
    let whole = plaintext.len().saturating_sub(plaintext.len() & 15);
    let plaintext = plaintext.get(..whole).unwrap_or_default();
    assert_eq!(
        cbc_mac::content_length(&[7; 32], &header, plaintext),
        None,
        "a forged MAC is taken for right"
    );
    // With the right MAC and padding it is taken.
    let mut sealed = Vec::new();
    protection(Cipher::Cbc, false).seal(
        Header {
            content_type: 23,
            ..header
        },
        plaintext,
        [1; 16],
        &mut sealed,
    );
    if let Ok((record, _)) = Record::split_first(&mut sealed, header.cid.len()) {
        let opened = protection(Cipher::Cbc, false).open(record);
        assert!(opened.is_some_and(|(kind, content)| kind == 23 && content == plaintext));
    }
}

fn protection(cipher: Cipher, encrypt_then_mac: bool) -> Protection {
    Protection::new(
        cipher,
        encrypt_then_mac,
        Secret([1; 16]),
        Secret([2; 4]),
        Secret([3; 32]),
    )
}

const CIPHERS: [(Cipher, bool); 5] = [
    (Cipher::Ccm8, false),
    (Cipher::Ccm, false),
    (Cipher::Gcm, false),
    (Cipher::Cbc, false),
    (Cipher::Cbc, true),
];
