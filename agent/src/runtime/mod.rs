//! The LLM runtimes on this machine: finding them, telling them apart, and what they serve.
//!
//! | module | owns |
//! |---|---|
//! | [`endpoint`] | addresses of runtimes: the well-known ports and what the owner named |
//! | [`found`] | what is known of one runtime |
//! | [`registry`] | the list that is kept fresh, and its watch channel |
//! | `look` | one look at one endpoint |
//! | `visit` | asking an endpoint questions, under bounds |
//! | `adapter` | what every kind of runtime answers for itself |
//! | `ollama`, `vllm`, `tgi`, `tensorrt_llm`, `triton`, `llama_cpp`, `openai_compatible` | one kind each |
//!
//! Invariants: detection only sends GETs, never runs a generation, never drains a runtime's metrics queue,
//! reads bounded answers under a deadline, and never takes the control plane or the agent's own proxy for a
//! runtime.

mod adapter;
pub mod endpoint;
pub mod found;
mod llama_cpp;
mod look;
mod ollama;
mod openai_compatible;
pub mod registry;
mod tensorrt_llm;
mod tgi;
mod triton;
mod visit;
mod vllm;

pub use endpoint::{Endpoint, EndpointError};
pub use found::{FoundRuntime, Readiness, RuntimeKind};
pub use registry::{Registry, RegistrySettings, discover};
