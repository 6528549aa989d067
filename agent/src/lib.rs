//! The agent of DGON as a library; `main` is a thin shell around it.

pub mod proxy;
pub mod runtime;
