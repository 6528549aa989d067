//! The control plane's domain, pure: no I/O, no clock, no randomness; all are arguments.
//!
//! | module | owns |
//! |---|---|
//! | [`lifecycle`] | which state of a node follows which, and why |
//! | [`sketch`] | quantiles that can be merged |
//! | [`rollup`] | what receipts add up to per minute |
//! | [`window`] | a node's last 24 hours |

pub mod lifecycle;
pub mod open_sums;
pub mod rollup;
pub mod sketch;
pub mod window;
