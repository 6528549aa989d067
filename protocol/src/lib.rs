//! The wire contract of DGON: ids, receipts, canonical bytes, signatures, link frames, node HTTP auth.
//!
//! Both programs and every verifier share this crate, so it does no I/O, reads no clock and draws no
//! randomness: time and entropy are arguments. Nothing in here may panic on bytes from the network.
//!
//! | module | owns |
//! |---|---|
//! | [`id`] | validated identifiers |
//! | [`limits`] | every size and rate of the wire, with its unit |
//! | [`strict`] | the strict JSON reader and RFC 8785 writer |
//! | [`key`] | ed25519 keys as they are written and used |
//! | [`receipt`] | receipts: read, check, sign |
//! | [`order`] | work orders, and the keys that sign them |
//! | [`content`] | keyed hashes of requests and answers; answers put together of their chunks |
//! | [`countersignature`] | what the gateway says of an answer that it relayed |
//! | [`statement`] | JSON objects that are signed behind a domain: what orders and countersignatures share |
//! | [`chain`] | the per-node hash chain rule |
//! | [`auth`] | the HMAC scheme of node HTTP |
//! | [`enrol`] | what a new node and the control plane say to each other |
//! | [`rotate`] | what a node signs when it changes its key |
//! | [`node`] | what a node may ask about itself |
//! | [`frame`] | text frames of the agent link |
//! | [`text`] | text from a peer, bounded by its type |
//! | [`relay`] | binary frames of the agent link: what they carry, and the credit of a stream |
//! | [`error`] | the closed list of error types |
//! | `schema` | what the OpenAPI document says of these types; behind a feature of that name |

pub mod auth;
pub mod chain;
pub mod content;
pub mod countersignature;
pub mod enrol;
pub mod error;
pub mod frame;
pub mod id;
pub mod key;
pub mod limits;
pub mod node;
pub mod order;
pub mod receipt;
pub mod relay;
pub mod rotate;
#[cfg(feature = "schema")]
pub mod schema;
pub mod statement;
pub mod strict;
mod table;
pub mod text;
