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
mod spool;
mod websocket;

use super::examine::Examination;
use dgon_agent_core::error::chain;
use std::path::Path;

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

/// A path as a word of a shell command.
fn word(path: &Path) -> String {
    text_word(&path.display().to_string())
}

/// Text as a word of a shell command.
fn text_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The command that sets the clock of this system.
fn set_clock() -> &'static str {
    match std::env::consts::OS {
        "macos" => "sudo sntp -sS time.apple.com",
        "windows" => "w32tm /resync",
        _ => "sudo timedatectl set-ntp true",
    }
}
