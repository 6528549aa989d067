//! Who a node is to ingest and to node HTTP: its key, and its HMAC secret.

use super::App;
use dgon_control_plane_store::{Scope, StoreError, System};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// A node on an authenticated session, as ingest needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSession {
    /// Which node.
    pub node_id: NodeId,
    /// The region that the network has it in.
    pub region: String,
    /// The organisation that it belongs to.
    pub org_id: Option<String>,
    /// Row of the key in use.
    pub node_key_id: i64,
    /// The key in use: what new receipts verify under.
    pub public_key: PublicKey,
    /// Keys that it gave up, the latest first: what was signed in their time is still good.
    pub former: Vec<FormerKey>,
    /// `seq` of the last receipt of its chain when the session opened.
    pub head_seq: u64,
    /// Name of the session; `None` for node HTTP.
    pub session_id: Option<String>,
}

/// A key that a node gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerKey {
    /// Its row.
    pub id: i64,
    /// Its short name, as receipts name it.
    pub key_id: String,
    /// The key.
    pub public_key: PublicKey,
    /// When it was given up, unix ms.
    pub valid_to_ms: i64,
    /// The last `seq` of its chain, where its holder has said so.
    pub closed_seq: Option<i64>,
}

/// Opened HMAC secrets, so that a request costs no query and no decryption. Bounded by the enrolled nodes.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<HashMap<NodeId, Arc<Secret>>>);

type Secret = Zeroizing<Vec<u8>>;

impl Secrets {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<Secret>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node is gone or has a new secret.
    pub fn forget(&self, node_id: &NodeId) {
        self.lock().remove(node_id);
    }
}

impl App {
    /// The HMAC secret of a node; `None` for a node that is unknown or retired.
    ///
    /// # Errors
    /// [`StoreError`]. A secret that does not open is logged and reads as `None`.
    pub async fn node_secret(&self, node_id: &NodeId) -> Result<Option<Arc<Secret>>, StoreError> {
        if let Some(secret) = self.secrets.lock().get(node_id) {
            return Ok(Some(Arc::clone(secret)));
        }
        let Some(sealed) = self
            .store
            .node_secret(System::of_the_server(), node_id)
            .await?
        else {
            return Ok(None);
        };
        match self.master_key.open(node_id.as_str(), &sealed) {
            Ok(secret) => {
                let secret = Arc::new(Zeroizing::new(secret));
                self.secrets
                    .lock()
                    .insert(node_id.clone(), Arc::clone(&secret));
                Ok(Some(secret))
            }
            Err(error) => {
                tracing::error!(%node_id, %error, "node secret unusable");
                Ok(None)
            }
        }
    }

    /// What ingest needs of an authenticated node; `None` when it has no key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_session(
        &self,
        node_id: &NodeId,
        session_id: Option<String>,
    ) -> Result<Option<NodeSession>, StoreError> {
        let scope = Scope::from(System::of_the_server());
        let mut current = None;
        let mut former = Vec::new();
        for key in self.store.node_keys(&scope, node_id).await? {
            match key.valid_to_ms {
                None => current = Some(key),
                Some(valid_to_ms) => former.push(FormerKey {
                    id: key.id,
                    key_id: key.public_key.key_id(),
                    public_key: key.public_key,
                    valid_to_ms,
                    closed_seq: key.closed_seq,
                }),
            }
        }
        let Some(key) = current else {
            return Ok(None);
        };
        let Some(row) = self.store.node_get(&scope, node_id).await? else {
            return Ok(None);
        };
        Ok(Some(NodeSession {
            node_id: node_id.clone(),
            region: row.region,
            org_id: row.org_id,
            node_key_id: key.id,
            public_key: key.public_key,
            former,
            head_seq: key.head.seq,
            session_id,
        }))
    }
}
