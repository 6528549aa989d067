//! A change of keys while no agent runs: `dgon-agent key rotate` does it all by itself.

use super::files::{self, Record};
use super::{AskError, Asked, ask};
use crate::api::Api;
use crate::config::StateDir;
use crate::identity::{self, Identity};
use crate::receipts::ChainEnd;
use crate::spool::{Folder, Lock, Spool};
use dgon_agent_core::spool::Limits;
use dgon_protocol::key::PublicKey;
use std::time::Duration;

/// A change that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The key before.
    pub old: PublicKey,
    /// The key now.
    pub new: PublicKey,
    /// Since when, unix ms by the control plane's clock.
    pub valid_from_ms: i64,
}

/// A node may ask so much in a second, and an agent that has just ended may have asked: a command waits for the next ones.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: usize = 2;

/// Asks the control plane and changes over. `_lock` is that of the state directory: no agent may start meanwhile.
///
/// # Errors
/// [`AskError`]; trying again goes on where this stopped.
pub async fn change(
    api: &Api,
    state: &StateDir,
    identity: &Identity,
    now_s: u64,
    _lock: &Lock,
) -> Result<Changed, AskError> {
    let mut record = begin(state, identity, now_s)?;
    let mut asked = ask(api, &identity.enrolment, state, &mut record, now_s).await;
    for _ in 0..TRIES {
        if !asked.as_ref().is_err_and(AskError::is_too_often) {
            break;
        }
        tokio::time::sleep(AGAIN).await;
        asked = ask(api, &identity.enrolment, state, &mut record, now_s).await;
    }
    let Asked::Taken { valid_from_ms } = give_up_refused(state, asked)?;
    let end = end_of_spool(state, &identity.key.public().key_id(), now_s);
    files::change_over(state, &identity.key, &mut record, end).map_err(AskError::Files)?;
    Ok(Changed {
        old: record.rotation.old_key,
        new: record.rotation.new_key,
        valid_from_ms,
    })
}

/// The statement of the change from the key in use.
pub(crate) fn begin(state: &StateDir, identity: &Identity, now_s: u64) -> Result<Record, AskError> {
    files::prepare(state, identity.node_id(), &identity.key, now_s).map_err(AskError::Files)
}

/// A key that the network will not have is forgotten, so that the next try makes another.
pub(crate) fn give_up_refused(
    state: &StateDir,
    asked: Result<Asked, AskError>,
) -> Result<Asked, AskError> {
    if let Err(AskError::NewKeyRefused(_)) = &asked {
        files::abandon(state).map_err(AskError::Files)?;
    }
    asked
}

/// Where the chain ends; `None` where the spool has lost its end, and then nobody signs one.
fn end_of_spool(state: &StateDir, key_id: &str, now_s: u64) -> Option<ChainEnd> {
    if !state.spool_dir().is_dir() {
        return None;
    }
    let folder = Folder::open(&state.spool_dir()).ok()?;
    let spool = Spool::open(folder, key_id, Limits::default(), now_s).ok()?;
    spool.fault().is_none().then(|| ChainEnd {
        last_seq: spool.index().last_seq(),
        last_hash: spool.head(),
    })
}

/// Whether a change has begun from the key in use and is not done.
pub fn is_pending(state: &StateDir) -> bool {
    state.next_key_file().exists() && identity::load_key(state).is_ok()
}
