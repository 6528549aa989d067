//! Orders and countersignatures: no bytes panic; what parses has one canonical form that parses to itself, and nothing
//! that was not signed verifies.
#![no_main]

use dgon_protocol::countersignature::SignedCountersignature;
use dgon_protocol::order::{OrderSigningKey, SignedOrder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // No example is signed with this key.
    let key = OrderSigningKey::from_seed(&[1; 32]).public();
    if let Ok(order) = SignedOrder::parse(input) {
        let again = SignedOrder::parse(order.entry_bytes()).expect("entry bytes parse");
        assert_eq!(again, order);
        assert!(!order.verify(&key));
    }
    if let Ok(countersignature) = SignedCountersignature::parse(input) {
        let bytes = countersignature.entry_bytes();
        let again = SignedCountersignature::parse(bytes).expect("entry bytes parse");
        assert_eq!(again, countersignature);
        assert!(!countersignature.verify(&key));
    }
});
