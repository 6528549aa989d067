//! Requests of clients: no path, header or body panics, and a body that usage was asked for in is the client's own but
//! for that.
#![no_main]

use bytes::Bytes;
use dgon_agent_core::request::usage::Repeats;
use dgon_agent_core::request::{Body, Class, Keys};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What a server reads in a body: the last of several members of one name, and JSON that this crate reads too.
fn read(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(body)
        .ok()
        .filter(Value::is_object)
}

fn without_options(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.remove("stream_options");
    }
    body
}

fn check_usage(read_body: &Body, body: &Bytes, keys: Keys, repeats: Repeats) {
    let Some(asks) = read_body.with_usage(body, keys, repeats) else {
        return;
    };
    let again = Body::read(&asks, None, None);
    assert_eq!(again.model(keys), read_body.model(keys));
    assert_eq!(again.is_stream(keys), read_body.is_stream(keys));
    // Where a second spelling stands beside the exact one, this crate's own reading is more careful than a server's.
    if keys == Keys::Folded {
        assert!(again.wants_usage(keys, repeats));
    }
    if let (Keys::Exact, Some(before), Some(after)) = (keys, read(body), read(&asks)) {
        assert_eq!(after["stream_options"]["include_usage"], true);
        assert_eq!(without_options(after), without_options(before));
    }
}

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |byte| *byte == b'\n');
    let mut line = || std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let (path, content_type, encoding) = (line(), line(), line());
    let body = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    for method in ["GET", "POST"] {
        let _ = Class::of(method, path);
    }
    let read_body = Body::read(&body, Some(content_type), Some(encoding));
    for keys in [Keys::Exact, Keys::Folded] {
        let _ = (read_body.answers(keys), read_body.model(keys).name());
        for repeats in [Repeats::Never, Repeats::Always] {
            check_usage(&read_body, &body, keys, repeats);
        }
    }
});
