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
pub struct Secrets(Mutex<Opened>);

#[derive(Debug, Default)]
struct Opened {
    secrets: HashMap<NodeId, Arc<Secret>>,
    /// Goes up whenever one is forgotten: what was read before that may be the one.
    generation: u64,
}

type Secret = Zeroizing<Vec<u8>>;

impl Secrets {
    fn lock(&self) -> MutexGuard<'_, Opened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret, or the generation to keep it with once it was read.
    fn get(&self, node_id: &NodeId) -> Result<Arc<Secret>, u64> {
        let opened = self.lock();
        match opened.secrets.get(node_id) {
            Some(secret) => Ok(Arc::clone(secret)),
            None => Err(opened.generation),
        }
    }

    /// Keeps what was read, unless one was forgotten since.
    fn keep(&self, generation: u64, node_id: &NodeId, secret: &Arc<Secret>) {
        let mut opened = self.lock();
        if opened.generation == generation {
            opened.secrets.insert(node_id.clone(), Arc::clone(secret));
        }
    }

    /// A node is gone or has a new secret.
    pub fn forget(&self, node_id: &NodeId) {
        let mut opened = self.lock();
        opened.secrets.remove(node_id);
        opened.generation += 1;
    }
}

impl App {
    /// The HMAC secret of a node; `None` for a node that is unknown or retired.
    ///
    /// # Errors
    /// [`StoreError`]. A secret that does not open is logged and reads as `None`.
    pub async fn node_secret(&self, node_id: &NodeId) -> Result<Option<Arc<Secret>>, StoreError> {
        let generation = match self.secrets.get(node_id) {
            Ok(secret) => return Ok(Some(secret)),
            Err(generation) => generation,
        };
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
                self.secrets.keep(generation, node_id, &secret);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_read_before_one_was_forgotten_is_not_kept() {
        let (secrets, node_id) = (Secrets::default(), NodeId::parse("n").expect("id"));
        let secret = Arc::new(Zeroizing::new(vec![7]));
        let generation = secrets.get(&node_id).expect_err("none yet");
        secrets.forget(&node_id);
        secrets.keep(generation, &node_id, &secret);
        let generation = secrets.get(&node_id).expect_err("the old one");
        secrets.keep(generation, &node_id, &secret);
        assert!(secrets.get(&node_id).is_ok());
    }
}
