//! What the data plane must know of a runtime: where it answers, how it behaves, what it serves.
//!
//! | module | owns |
//! |---|---|
//! | [`endpoint`] | addresses of runtimes: the well-known ports and what the owner named |
//! | [`access`] | the key and the certificates that an endpoint asks for |
//! | `connect` | a connection to an endpoint, plain or TLS |
//! | [`kind`] | the kinds of runtimes, and how each behaves towards the proxy |
//! | [`found`] | what is known of one runtime |
//! | [`registry`] | a handle on the list of runtimes that is kept fresh elsewhere |

pub mod access;
mod connect;
pub mod endpoint;
pub mod found;
pub mod kind;
pub mod registry;

pub use access::Access;
pub use connect::connect;
pub use endpoint::{Endpoint, EndpointError};
pub use found::{FoundRuntime, Readiness};
pub use kind::{RuntimeKind, StreamUsage};
pub use registry::{FIRST_LOOK, LooksWanted, Registry, RegistryFeed};
