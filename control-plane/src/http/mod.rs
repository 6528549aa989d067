//! The HTTP API and the console. Handlers authorise and parse, call `app` and `accounts`, and answer; they hold
//! no rules.

pub mod account;
pub mod admin;
mod anonymous;
mod assets;
pub mod auth;
mod body;
mod client_ip;
mod connections;
mod cookies;
pub mod csrf;
pub mod downloads;
pub mod error;
pub mod extract;
pub mod health;
mod keys;
pub mod metrics;
pub mod node;
mod nowhere;
pub mod openapi;
mod paging;
mod parameters;
pub mod query;
mod reason;
mod request_id;
mod router;
mod security;
pub mod server;
mod session;
mod state;
mod turns;

pub use client_ip::{ClientIp, IpBlock};
pub use request_id::RequestId;
pub use router::router;
pub use security::CONTENT_SECURITY_POLICY;
pub use state::{HttpSettings, HttpState};
