//! All SQL of the control plane: the only crate with sqlx.
//!
//! [`Store`] answers alike on SQLite and PostgreSQL; every test in `tests/` runs on both. One file per
//! resource, each with its rows as plain structs. Not found is `None`; times are unix ms; nothing in here
//! decides anything: rules live in the model crate. Every method says first whose rows it is about: [`Scope`].

pub mod api_keys;
pub mod assignments;
pub mod audit;
mod audit_sealing;
mod chunks;
mod db;
mod enrolment;
pub mod enrolment_tokens;
mod error;
pub mod flags;
mod heartbeats;
pub mod identities;
mod ingest;
pub mod inspect;
mod installation;
pub mod links;
pub mod memberships;
pub mod node_keys;
mod node_offers;
pub mod node_orders;
pub mod node_queries;
mod node_sight;
pub mod node_transfers;
pub mod node_windows;
mod nodes;
pub mod order_keys;
pub mod orgs;
pub mod own_data;
pub mod own_sessions;
mod pool_contents;
pub mod pools;
mod probes;
mod reading;
mod receipt_bounds;
mod receipt_list;
pub mod receipt_queries;
mod receipt_scan;
mod receipt_search;
pub mod registration;
pub mod retention;
mod rollups;
mod rollups_closed;
pub mod rollups_fold;
mod rollups_open;
pub mod rollups_range;
mod scope;
pub mod second_factors;
mod serve_lock;
pub mod session_refresh;
pub mod sessions;
mod statement;
pub mod summary;
pub mod users;
pub mod wallets;
mod ways_in;
mod write_ahead_log;

pub use audit_sealing::{AuditChain, Seal};
pub use db::{Dialect, Store};
pub use enrolment::{Enrolment, NewNode, UNKNOWN_REGION, WorkingToken};
pub use error::{Fault, StoreError};
pub use heartbeats::NewHeartbeat;
pub use ingest::{Evidence, Gap, IngestTx, NewReceipt};
pub use nodes::{Connected, LifecycleChange, LifecycleEventRow, NodeKeyRow, NodeRow, NodeState};
pub use probes::{NewProbe, ProbeEnd, ProbeRow};
pub use reading::ReadLimits;
pub use receipt_bounds::Ends;
pub use receipt_scan::ReceiptScan;
pub use rollups_closed::Closing;
pub use rollups_open::Network;
pub use scope::{Scope, System};
pub use serve_lock::ServeLock;
