//! The owner's pause, kept in the state directory: `owner.json`, `{"version":1,"paused":true,"since_s":…}`.
//!
//! Written whole or not at all, and durable before the owner is told. A file that is there and cannot be read
//! pauses the node: its owner once said something, and serving against it would be worse than not serving.

use crate::config::StateDir;
use crate::files;
use crate::own_command::own_command;
use serde::{Deserialize, Serialize};
use std::io;

/// Largest file that is read, bytes.
const FILE_BYTES: u64 = 4096;
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    paused: bool,
    /// When the owner said so, unix s.
    since_s: u64,
}

/// Whether the owner has paused the node.
pub fn paused(state: &StateDir) -> bool {
    match read(state) {
        Ok(saved) => saved.is_some_and(|saved| saved.paused),
        Err(error) => {
            tracing::error!(
                %error,
                file = %state.owner_file().display(),
                "the owner's last order cannot be read, so the node is paused; `{}` writes it anew",
                own_command("resume")
            );
            true
        }
    }
}

fn read(state: &StateDir) -> io::Result<Option<Saved>> {
    let bytes = match files::read_small(&state.owner_file(), FILE_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let saved: Saved = serde_json::from_slice(&bytes)?;
    if saved.version != VERSION {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("version {} is not known", saved.version),
        ));
    }
    Ok(Some(saved))
}

/// Keeps the owner's order; durable when this returns.
///
/// # Errors
/// What the system says; the order before is then still kept.
pub fn save(state: &StateDir, paused: bool) -> io::Result<()> {
    let saved = Saved {
        version: VERSION,
        paused,
        since_s: crate::clock::unix_s(),
    };
    files::write_private(&state.owner_file(), &serde_json::to_vec(&saved)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_kept_and_an_unreadable_one_pauses() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        assert!(!paused(&state));
        save(&state, true).unwrap();
        assert!(paused(&state));
        assert_eq!(files::open_to_others(&state.owner_file()).unwrap(), None);
        save(&state, false).unwrap();
        assert!(!paused(&state));
        for torn in ["", "{", r#"{"version":2,"paused":false,"since_s":1}"#] {
            std::fs::write(state.owner_file(), torn).unwrap();
            assert!(paused(&state), "{torn:?}");
        }
        save(&state, false).unwrap();
        assert!(!paused(&state));
    }
}
