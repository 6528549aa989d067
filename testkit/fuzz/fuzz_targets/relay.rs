//! Binary frames of the link: no bytes panic; what decodes encodes to the same bytes, and payloads to what decodes again.
#![no_main]

use dgon_protocol::relay::{AnswerEnd, AnswerHead, Cancelled, Kind, OpenStream, RelayFrame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(frame) = RelayFrame::decode(input) else {
        return;
    };
    assert_eq!(frame.encode().expect("a decoded frame fits"), input);
    match frame.kind {
        Kind::Open => {
            if let Ok(open) = OpenStream::decode(frame.payload) {
                let _ = open.order();
                // Escapes may make it larger, so that it fits no more.
                if let Ok(bytes) = open.encode() {
                    OpenStream::decode(&bytes).expect("what is written is read");
                }
            }
        }
        Kind::Headers => {
            if let Ok(head) = AnswerHead::decode(frame.payload) {
                let bytes = head.encode().expect("a head is small");
                assert_eq!(AnswerHead::decode(&bytes).expect("what is written is read"), head);
            }
        }
        Kind::End => {
            if let Ok(end) = AnswerEnd::decode(frame.payload)
                && let Ok(bytes) = end.encode()
            {
                AnswerEnd::decode(&bytes).expect("what is written is read");
            }
        }
        Kind::Cancel => {
            let cancelled = Cancelled::decode(frame.payload);
            let bytes = cancelled.encode().expect("a reason is small");
            assert_eq!(Cancelled::decode(&bytes), cancelled);
        }
        Kind::Body | Kind::Window => {}
    }
});
