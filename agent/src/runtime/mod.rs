//! The LLM runtimes on this machine: finding them, telling them apart, and what they serve.
//!
//! | module | owns |
//! |---|---|
//! | [`endpoint`] | addresses of runtimes: the well-known ports and what the owner named |
//! | [`found`] | what is known of one runtime |
//! | [`registry`] | the list that is kept fresh, and its watch channel |
//!
//! Invariants: detection only sends GETs, never runs a generation, never drains a runtime's metrics queue,
//! reads bounded answers under a deadline, and never takes the control plane or the agent's own proxy for a
//! runtime.

pub mod endpoint;
pub mod found;
pub mod registry;

pub use endpoint::{Endpoint, EndpointError};
pub use found::{FoundRuntime, Readiness, RuntimeKind};
pub use registry::{Registry, RegistrySettings, discover};
