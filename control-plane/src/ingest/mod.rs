//! Receipts: parse, verify, chain, group commit, acknowledge.
