//! Headers and keys from the network: no text panics, and nothing passes without the secret.
#![no_main]

use dgon_protocol::auth::{self, Request};
use dgon_protocol::enrol::RegisterRequest;
use dgon_protocol::key::{PublicKey, parse_signature};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let request = Request { method: "POST", path_and_query: input, timestamp: input, nonce: input, body: input.as_bytes() };
    assert!(!auth::verify_v1(b"secret", input.as_bytes(), "1767225600", input));
    assert!(!auth::verify_v2(b"secret", &request, input));
    let _ = (auth::parse_timestamp(input), auth::is_nonce(input), auth::scheme(input), parse_signature(input));
    if let Ok(key) = PublicKey::parse(input) {
        assert_eq!(PublicKey::parse(&key.to_string()), Ok(key));
        let _ = key.check_enrollable();
    }
    if let Ok(request) = serde_json::from_str::<RegisterRequest>(input) {
        let _ = request.proves_possession();
    }
});
