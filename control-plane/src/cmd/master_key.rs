//! The master key that belongs to the database: made at the first start, recognised at every later one.
//!
//! The database keeps the key's fingerprint. With another key every node would be turned away with a secret that does
//! not open, so no command goes on with it. A database from before fingerprints gets one when its secrets open.

use super::failure::Failure;
use crate::app::{MasterKey, MasterKeyError};
use dgon_control_plane_store::Store;
use std::path::Path;

const FINGERPRINT: &str = "master_key_fingerprint";
/// Sealed secrets that a key is tried on: one that opens is enough, and one row may be damaged.
const TRIED: i64 = 16;

impl From<MasterKeyError> for Failure {
    fn from(error: MasterKeyError) -> Self {
        match error {
            MasterKeyError::File { .. }
            | MasterKeyError::Malformed { .. }
            | MasterKeyError::Foreign { .. }
            | MasterKeyError::Missing { .. } => Self::data_dir(error),
            MasterKeyError::Randomness | MasterKeyError::Open => Self::other(error),
        }
    }
}

/// The key in `data_dir`, if it is the one of `store`; made where neither has one.
pub(super) async fn key_of(
    store: &Store,
    data_dir: &Path,
    now_ms: i64,
) -> Result<MasterKey, Failure> {
    let path = || MasterKey::path(data_dir);
    let known = store.installation_value(FINGERPRINT).await?;
    let secrets = match known {
        Some(_) => Vec::new(),
        None => store.node_secrets_some(TRIED).await?,
    };
    let key = match MasterKey::load(data_dir)? {
        Some(key) => key,
        None if known.is_some() || !secrets.is_empty() => {
            return Err(MasterKeyError::Missing { path: path() }.into());
        }
        None => MasterKey::load_or_create(data_dir)?,
    };
    let opens = |(node_id, sealed): &(String, Vec<u8>)| key.open(node_id, sealed).is_ok();
    let known = match known {
        Some(known) => known,
        None if secrets.is_empty() || secrets.iter().any(opens) => {
            store
                .installation_claim(FINGERPRINT, &key.fingerprint(), now_ms)
                .await?
        }
        None => return Err(MasterKeyError::Foreign { path: path() }.into()),
    };
    if known != key.fingerprint() {
        return Err(MasterKeyError::Foreign { path: path() }.into());
    }
    Ok(key)
}
