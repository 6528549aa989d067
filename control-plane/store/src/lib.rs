//! All SQL of the control plane: the only crate with sqlx.
//!
//! [`Store`] answers alike on SQLite and PostgreSQL; every test in `tests/` runs on both. One file per
//! resource, each with its rows as plain structs. Not found is `None`; times are unix ms; nothing in here
//! decides anything: rules live in the model crate.

mod db;
mod error;
mod heartbeats;
mod ingest;
mod nodes;
pub mod rollups;
mod tokens;

pub use db::{Dialect, Store};
pub use error::StoreError;
pub use heartbeats::{NewHeartbeat, ProbeEnd, ProbeRow};
pub use ingest::{Evidence, Gap, IngestTx, NewReceipt};
pub use nodes::{Connected, LifecycleChange, LifecycleEventRow, NodeKeyRow, NodeRow, NodeState};
pub use tokens::{Enrolment, NewNode, NewToken, TokenRow};
