//! The checks, one file per group. A check never fails as a function: what goes wrong is its finding.

mod agent;
mod config;
mod disk;
mod generation;
mod gpu;
mod identity;
mod network;
mod owner;
mod plane;
mod runtime;
mod service;
mod settings;
mod spool;
mod websocket;

use super::examine::Examination;
use super::fix::System;
use dgon_agent_core::error::chain;

/// The system whose commands are printed.
const HERE: System = System::here();

/// All examinations. They run at once.
pub(super) const EXAMINATIONS: &[Examination] = &[
    config::EXAMINATION,
    identity::EXAMINATION,
    network::EXAMINATION,
    gpu::EXAMINATION,
    runtime::EXAMINATION,
    disk::EXAMINATION,
    spool::EXAMINATION,
    agent::EXAMINATION,
    service::EXAMINATION,
    owner::EXAMINATION,
];
