//! Bytes of a spool segment after a crash: no bytes panic; what counts is in order and in bounds.
#![no_main]

use dgon_agent_core::spool::{record, segment};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = segment::Header::decode(input);
    let mut last = 0;
    let scan = record::scan(input, 1, |offset, record| {
        assert!(offset < input.len());
        assert!(record.seq > last);
        last = record.seq;
    });
    assert!(scan.valid_len <= input.len());
    assert!(scan.next_seq > last);
});
