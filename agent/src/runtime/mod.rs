//! The LLM runtimes on this machine: finding them, telling them apart, and what they serve.
//!
//! | module | owns |
//! |---|---|
//! | [`endpoint`] | addresses of runtimes: the well-known ports and what the owner named |
//! | [`access`] | API keys and certificates of endpoints that the owner named |
//! | `connect` | a connection to an endpoint, plain or TLS |
//! | [`found`] | what is known of one runtime |
//! | [`registry`] | the list that is kept fresh, and its watch channel |
//! | `look` | one look at one endpoint |
//! | `visit` | asking an endpoint questions, under bounds |
//! | `metrics` | a few gauges out of a Prometheus text |
//! | `adapter` | what every kind of runtime answers for itself |
//! | `ollama`, `vllm`, `tgi`, `tensorrt_llm`, `triton`, `llama_cpp`, `openai_compatible` | one kind each |
//!
//! Invariants: detection only sends GETs (and Triton's one listing POST), never runs a generation, never drains a runtime's metrics queue,
//! reads bounded answers under a deadline, and never takes the control plane or the agent's own proxy for a
//! runtime.

pub mod access;
mod adapter;
mod connect;
pub mod endpoint;
pub mod found;
mod llama_cpp;
mod look;
mod metrics;
mod ollama;
mod openai_compatible;
pub mod registry;
mod tensorrt_llm;
mod tgi;
mod triton;
mod visit;
mod vllm;

pub use access::{Access, AccessError, NamedEndpoint};
pub use endpoint::{Endpoint, EndpointError};
pub use found::{FoundRuntime, Readiness, RuntimeKind};
pub use registry::{Registry, RegistrySettings, discover};

pub(crate) use adapter::StreamUsage;
pub(crate) use connect::connect;
