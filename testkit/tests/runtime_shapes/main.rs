//! Simulated runtimes against recorded and source-checked exchanges of the real ones (`exchanges/`).
//!
//! A *shape* is the exact bytes with every scalar's value taken out: framing, key order, which members are there,
//! which are null. Runs of equal events and of equal array elements count as one, so lengths do not matter.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod llama_cpp;
mod load;
mod ollama;
mod support;
mod tensorrt_llm;
mod tgi;
mod triton;
mod vllm;
