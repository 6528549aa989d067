//! Receipts: no bytes panic; what parses has one canonical form that parses to itself.
#![no_main]

use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::{Receipt, Verdict};
use dgon_protocol::strict;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(document) = strict::parse(input, 32) {
        let bytes = strict::canonical(&document.root);
        assert_eq!(document.is_canonical, bytes == input);
        let again = strict::parse(&bytes, 32).expect("canonical bytes parse");
        assert!(again.is_canonical);
    }
    if let Ok(receipt) = Receipt::parse(input) {
        let again = Receipt::parse(receipt.entry_bytes()).expect("entry bytes parse");
        assert_eq!(again.signed_bytes(), receipt.signed_bytes());
        assert_eq!(again.entry_hash(), receipt.entry_hash());
        assert_ne!(Receipt::verdict(input, &PublicKey::from_bytes([1; 32])), Verdict::Valid);
    }
});
