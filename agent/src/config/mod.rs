//! agent.yaml and everything that overrides it.
//!
//! Owns: the sections (`model`), where a value may come from and which wins (`load`), the rules that a value
//! must keep (`check`), unknown keys (`unknown`) and default places on disk (`paths`).
//! Invariants: precedence is flag, environment, file, default; a key that no section knows is an error that
//! names the nearest known one; nothing opens a socket before the whole configuration is valid.
//! No secret is part of the configuration.

mod base_url;
mod check;
mod load;
mod model;
mod paths;
pub mod plain_http;
mod runtime_endpoint;
#[cfg(feature = "schema")]
mod schema;
mod template;
mod unknown;

pub use base_url::BaseUrl;
pub use load::{ConfigError, Loaded, Origin, Overrides, load};
pub use model::{
    Config, ControlPlane, Log, LogFormat, LogLevel, Node, Owner, Proxy, QuietHours, Runtimes,
    Spool, Telemetry,
};
pub use paths::{PathFlags, Paths, PathsError, StateDir};
pub use runtime_endpoint::RuntimeEndpoint;
pub use template::{Seed, render};

/// Exit code of a configuration or command line that cannot be used (`EX_USAGE`).
pub const EXIT_CONFIG: u8 = 64;
