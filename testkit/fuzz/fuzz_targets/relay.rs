//! Binary frames of the link: no bytes panic; what decodes encodes to the same bytes.
#![no_main]

use dgon_protocol::relay::RelayFrame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(frame) = RelayFrame::decode(input) {
        assert_eq!(frame.encode().expect("a decoded frame fits"), input);
    }
});
