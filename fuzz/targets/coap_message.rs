//! One datagram: it is a message or an error, and what reads it agrees with `coap-lite`.

use bytes::Bytes;
use coap_lite::Packet;
use lightship::coap::{Message, stranger};

/// Reads `data` as a message.
pub(crate) fn run(data: &[u8]) {
    let parsed = Message::parse(Bytes::copy_from_slice(data));
    if let stranger::Verdict::Settled {
        answer: Some(answer),
        ..
    } = stranger::judge(parsed.as_ref())
    {
        assert!(
            answer.len() <= data.len(),
            "an answer larger than its message"
        );
        assert!(Message::parse(answer).is_ok());
    }
    let message = match parsed {
        Ok(message) => message,
        Err(error) => return assert!(error.offset <= data.len()),
    };

    let packet = Packet::from_bytes(data).expect("coap-lite knows fewer errors");
    assert_eq!(message.code().0, u8::from(packet.header.code));
    assert_eq!(message.message_id().0, packet.header.message_id);
    assert_eq!(message.token().as_bytes(), packet.get_token());
    assert_eq!(message.payload(), packet.payload);
    let options = packet
        .options()
        .flat_map(|(&number, values)| values.iter().map(move |value| (number, value.as_slice())));
    assert!(message.options().eq(options));

    let texts = message.uri_path().chain(message.uri_query());
    assert!(
        texts
            .chain(message.location_path())
            .all(|text| text.len() <= 255)
    );
    assert!(message.observe().is_none_or(|value| value < 1 << 24));
    for block in [message.block1(), message.block2()].into_iter().flatten() {
        assert!(block.number < 1 << 20 && block.size() <= 2048);
    }
    for getter in [Message::max_age, Message::size1, Message::size2] {
        getter(&message);
    }
    for getter in [Message::content_format, Message::accept] {
        getter(&message);
    }
    assert!(message.etag().is_none_or(|etag| etag.len() <= 8));
    assert!(
        message
            .diagnostic()
            .is_none_or(|text| text.len() == message.payload().len())
    );
}
