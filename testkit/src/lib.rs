//! Test doubles and harnesses of DGON that speak the real protocols over real sockets. Imported by tests only.
//!
//! | module | what |
//! |---|---|
//! | [`runtime`] | simulated LLM servers, byte-shaped like Ollama, vLLM, TGI, TensorRT-LLM and llama.cpp |
//! | [`fleet`] | simulated agents: one to step by hand, many as a load generator |
//! | [`kept`] | logs and secrets of a run of tests, for the gate to search |
//! | [`programs`] | the real programs: built, started, frozen, killed |
//! | [`fault`] | a TCP proxy that delays, throttles, swallows and cuts |
//! | [`link_server`] | a control plane's side of the agent link, to step by hand |
//! | [`log_lines`] | what one thread logs, line by line |
//! | [`odd`] | exchanges unlike the usual ones, and what their receipts must say |
//! | [`postgres`] | a throwaway PostgreSQL |
//! | [`strangers`] | who asks for what costs work, from thousands of addresses |
//! | `seed` | a store full of nodes and receipts (feature `seed`) |

pub mod fault;
pub mod fleet;
pub mod kept;
pub mod link_server;
pub mod log_lines;
pub mod odd;
pub mod postgres;
pub mod programs;
pub mod runtime;
#[cfg(feature = "seed")]
pub mod seed;
pub mod strangers;
