//! The master key that belongs to the database: made at the first start, recognised at every later one.
//!
//! The database keeps the key's fingerprint. With another key every node would be turned away with a secret that does
//! not open, so no command goes on with it. A database from before fingerprints gets one when its secrets open.

use super::failure::Failure;
use crate::app::{MasterKey, MasterKeyError};
use dgon_control_plane_store::{Store, System};
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
    let known = store
        .installation_value(System::of_the_server(), FINGERPRINT)
        .await?;
    let secrets = match known {
        Some(_) => Vec::new(),
        None => {
            store
                .node_secrets_some(System::of_the_server(), TRIED)
                .await?
        }
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
                .installation_claim(
                    System::of_the_server(),
                    FINGERPRINT,
                    &key.fingerprint(),
                    now_ms,
                )
                .await?
        }
        None => return Err(MasterKeyError::Foreign { path: path() }.into()),
    };
    if known != key.fingerprint() {
        return Err(MasterKeyError::Foreign { path: path() }.into());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_control_plane_store::audit::AuditEntry;
    use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
    use dgon_control_plane_store::{Enrolment, NewNode};
    use dgon_protocol::id::NodeId;
    use dgon_protocol::key::NodeKey;

    /// A database from before fingerprints, with a node whose secret was sealed with `key`.
    async fn with_a_node(dir: &Path, key: &MasterKey) -> Store {
        let store = Store::open(&format!("sqlite:{}", dir.join("dgon.db").display()))
            .await
            .expect("open");
        store.migrate().await.expect("migrate");
        let token = NewEnrolmentToken {
            id: "t".to_owned(),
            token_hash: [1; 32],
            label: String::new(),
            region: None,
            org_id: None,
            pool_id: None,
            created_by: "test".to_owned(),
            created_at_ms: 1,
            expires_at_ms: 1_000,
            uses: 1,
            key_id: None,
        };
        store
            .enrolment_token_create(
                &System::of_the_server().into(),
                &token,
                &AuditEntry::default(),
            )
            .await
            .expect("token");
        let node = NewNode {
            node_id: &NodeId::parse("a").expect("id"),
            region: None,
            public_key: &NodeKey::from_seed(&[1; 32]).public(),
            sealed_secret: &key.seal("a", b"secret").expect("seal"),
            agent_version: "1",
            os: "linux",
            arch: "x86_64",
            hardware_hash: None,
            at_ms: 10,
            ip: None,
            request_id: None,
        };
        let enrolled = store
            .enrol(System::of_the_server(), &token.token_hash, &node)
            .await
            .expect("enrol");
        assert!(
            matches!(enrolled, Enrolment::Enrolled { .. }),
            "{enrolled:?}"
        );
        store
    }

    #[tokio::test]
    async fn an_older_database_takes_the_fingerprint_of_the_key_that_opens_its_secrets_only() {
        let dir = tempfile::tempdir().expect("dir");
        let right = MasterKey::load_or_create(dir.path()).expect("key");
        let store = with_a_node(dir.path(), &right).await;
        let other = tempfile::tempdir().expect("dir");
        assert!(
            key_of(&store, other.path(), 1).await.is_err(),
            "no key at all"
        );
        assert!(!MasterKey::path(other.path()).exists());
        std::fs::write(MasterKey::path(other.path()), [9; 32]).expect("write");
        assert!(
            key_of(&store, other.path(), 1).await.is_err(),
            "a key that opens nothing"
        );
        let known = || store.installation_value(System::of_the_server(), FINGERPRINT);
        assert_eq!(
            known().await.expect("read"),
            None,
            "nothing was written for it"
        );
        assert!(key_of(&store, dir.path(), 1).await.is_ok());
        assert_eq!(known().await.expect("read"), Some(right.fingerprint()));
    }
}
