//! The LLM runtimes on this machine: finding them, telling them apart, and what they serve.
//!
//! | module | owns |
//! |---|---|
//! | [`access`] | API keys and certificates of endpoints that the owner named |
//! | [`registry`] | keeps the list of runtimes fresh |
//! | `detection` | one look at one endpoint |
//! | [`report`] | what a look came to, for people |
//! | `client` | asking an endpoint questions, under bounds |
//! | `metrics` | a few gauges out of a Prometheus text |
//! | `adapter` | what every kind of runtime answers for itself |
//! | `ollama`, `vllm`, `tgi`, `tensorrt_llm`, `triton`, `llama_cpp`, `openai_compatible` | one kind each |
//!
//! Invariants: detection only sends GETs (and Triton's one listing POST), never runs a generation, never drains a runtime's metrics queue,
//! reads bounded answers under a deadline, and never takes the control plane or the agent's own proxy for a
//! runtime.

pub mod access;
mod adapter;
mod client;
mod detection;
mod llama_cpp;
mod metrics;
mod ollama;
mod openai_compatible;
mod poll_backoff;
pub mod registry;
pub mod report;
mod tensorrt_llm;
mod tgi;
mod triton;
mod vllm;

pub use access::{AccessError, NamedEndpoint, load_access};
pub use dgon_agent_dataplane::runtime::{
    Access, Endpoint, EndpointError, FIRST_LOOK, FoundRuntime, Readiness, Registry, RuntimeKind,
};
pub use registry::{
    EndpointReports, Look, RegistrySettings, discover, look_once, watch_and_report, watch_endpoints,
};
pub use report::{EndpointReport, EndpointState, RuntimeReport};

pub(crate) use dgon_agent_dataplane::runtime::connect;
