//! The checks, one file per group. A check never fails as a function: what goes wrong is its finding.

pub(super) mod agent;
pub(super) mod config;
pub(super) mod disk;
pub(super) mod gpu;
pub(super) mod identity;
pub(super) mod network;
pub(super) mod runtime;

use std::path::Path;

use crate::net::chain;

/// A path as a word of a shell command.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
