//! All chains of this node as they lie on the disk: that of the key in use and those of keys before it.
//!
//! Read beside a running agent, like [`View`]; takes no lock and writes nothing.

use super::{FilesError, Record, files};
use crate::config::StateDir;
use crate::spool::Stored;
use crate::spool::view::View;
use dgon_protocol::key::PublicKey;
use std::io;

/// One chain.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The key that signed it.
    pub key: PublicKey,
    /// Its receipts.
    pub view: View,
    /// The change that ended it; `None` for the key in use.
    pub ended: Option<Record>,
}

/// The chains of a node, the one in use first, then the latest.
///
/// # Errors
/// [`FilesError`] when the statements of the changes cannot be read.
pub fn chains(state: &StateDir, key: PublicKey) -> Result<Vec<Chain>, FilesError> {
    let mut chains = vec![Chain {
        key,
        view: View::of(&state.spool_dir()),
        ended: None,
    }];
    for record in files::history(state, &key)? {
        chains.push(Chain {
            key: record.rotation.old_key,
            view: View::of(&state.retired_dir(&record.old_id())),
            ended: Some(record),
        });
    }
    Ok(chains)
}

/// Walks the receipts of all chains, newest first, until `visit` returns `false`.
///
/// # Errors
/// When a folder or a file cannot be read.
pub fn walk_newest_first(
    chains: &[Chain],
    mut visit: impl FnMut(&Chain, Stored) -> bool,
) -> io::Result<()> {
    for chain in chains {
        let mut go_on = true;
        chain.view.walk_newest_first(|stored| {
            go_on = visit(chain, stored);
            go_on
        })?;
        if !go_on {
            break;
        }
    }
    Ok(())
}
