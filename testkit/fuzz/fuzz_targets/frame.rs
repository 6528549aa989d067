//! Text frames of the link: no bytes panic; what is known encodes to something that is known again.
#![no_main]

use dgon_protocol::frame::{Incoming, ToAgent, ToControlPlane};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    if let Ok(Incoming::Known(frame)) = ToControlPlane::decode(input) {
        let text = frame.encode(1);
        assert!(matches!(ToControlPlane::decode(&text), Ok(Incoming::Known(again)) if again.kind() == frame.kind()));
    }
    if let Ok(Incoming::Known(frame)) = ToAgent::decode(input) {
        let text = frame.encode(1);
        assert!(matches!(ToAgent::decode(&text), Ok(Incoming::Known(again)) if again.kind() == frame.kind()));
    }
});
