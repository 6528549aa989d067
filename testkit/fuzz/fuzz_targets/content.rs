//! General JSON and chunks of answers: no bytes panic; canonical bytes are their own canonical form, and both readers
//! agree on what both take.
#![no_main]

use dgon_protocol::content::Choices;
use dgon_protocol::strict;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let general = strict::canonical_json(input, 32);
    if let Ok(bytes) = &general {
        let again = strict::canonical_json(bytes, 32).expect("canonical bytes parse");
        assert_eq!(again, *bytes);
    }
    if let Ok(document) = strict::parse(input, 32) {
        let bytes = general.expect("general JSON has all of the strict subset");
        assert_eq!(bytes, strict::canonical(&document.root));
    }
    // Each line is a chunk.
    let mut choices = Choices::default();
    for line in input.split(|byte| *byte == b'\n') {
        if choices.add(line).is_err() {
            break;
        }
    }
    let bytes = choices.canonical();
    let document = strict::parse(&bytes, 8).expect("the form of choices is strict JSON");
    assert!(document.is_canonical);
});
