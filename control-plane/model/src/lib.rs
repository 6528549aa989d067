//! The control plane's domain, pure: no I/O, no clock, no randomness; all are arguments.
//!
//! | module | owns |
//! |---|---|
//! | [`api_key`] | keys of programs: their form, and what they may do |
//! | [`audit_chain`] | what a row of the audit log hashes to |
//! | [`identity`] | signing in with a wallet: what is asked, and whether the answer proves it |
//! | [`lifecycle`] | which state of a node follows which, and why |
//! | [`pool`] | private pools: what one is called, and what is said about it |
//! | [`recovery_code`] | codes for when an authenticator app is gone |
//! | [`totp`] | codes of an authenticator app |
//! | [`sketch`] | quantiles that can be merged |
//! | [`rollup`] | what receipts add up to per minute |
//! | [`open_sums`] | what is not written yet of them |
//! | [`window`] | a node's last 24 hours |
//! | [`network_day`] | the network's |

pub mod api_key;
pub mod audit_chain;
mod base32;
pub mod identity;
pub mod lifecycle;
pub mod network_day;
pub mod open_sums;
pub mod pool;
pub mod recovery_code;
pub mod rollup;
pub mod sketch;
pub mod totp;
pub mod window;
