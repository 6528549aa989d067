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
    /// The organisation that it belongs to now.
    pub org_id: Option<String>,
    /// The organisation whose receipts the key in use signs: the one before, where the node was passed on and its key is not
    /// changed yet.
    pub key_org_id: Option<String>,
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

/// What a node is told that was passed on and has not changed its key: until it has, it can speak for nobody.
pub const KEY_OF_BEFORE: &str = "the node was passed on to another organisation and has the key of the one before; change it with \
     `dgon-agent key rotate`";

impl NodeSession {
    /// Whether it was passed on, and what its key signs would be the organisation's before.
    pub fn has_key_of_before(&self) -> bool {
        self.key_org_id != self.org_id
    }

    /// Whose receipts a key signs.
    pub fn org_of(&self, key: i64) -> Option<&str> {
        if key == self.node_key_id {
            return self.key_org_id.as_deref();
        }
        let former = self.former.iter().find(|former| former.id == key)?;
        former.org_id.as_deref()
    }

    /// Whether both know the same keys.
    pub fn has_keys_of(&self, other: &Self) -> bool {
        (self.node_key_id, &self.former) == (other.node_key_id, &other.former)
    }
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
    /// The organisation whose receipts it signed.
    pub org_id: Option<String>,
}

/// What was read of nodes and is kept, so that a request costs no query. Bounded by the enrolled nodes.
#[derive(Debug)]
pub struct Known<T>(Mutex<Kept<T>>);

#[derive(Debug)]
struct Kept<T> {
    of_nodes: HashMap<NodeId, T>,
    /// Goes up whenever something is forgotten: what was read before that may be the one.
    generation: u64,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::new(Kept {
            of_nodes: HashMap::new(),
            generation: 0,
        }))
    }
}

/// An opened HMAC secret.
pub type Secret = Zeroizing<Vec<u8>>;

/// A node as it posts receipts, and when that was read, monotonic ms.
pub type Posting = (i64, Arc<NodeSession>);

/// How long a node that posts is believed to be as it was read, ms: another process may have changed it.
const POSTING_MS: i64 = 2_000;

impl<T: Clone> Known<T> {
    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, and the generation to keep it with once it was read anew.
    fn get(&self, node_id: &NodeId) -> (Option<T>, u64) {
        let kept = self.lock();
        (kept.of_nodes.get(node_id).cloned(), kept.generation)
    }

    /// Keeps what was read, unless something was forgotten since.
    fn keep(&self, generation: u64, node_id: &NodeId, known: &T) {
        let mut kept = self.lock();
        if kept.generation == generation {
            kept.of_nodes.insert(node_id.clone(), known.clone());
        }
    }

    fn forget(&self, node_id: &NodeId) {
        let mut kept = self.lock();
        kept.of_nodes.remove(node_id);
        kept.generation += 1;
    }
}

impl App {
    /// A node is gone, or has another secret or key.
    pub(crate) fn forget_node(&self, node_id: &NodeId) {
        self.secrets.forget(node_id);
        self.posting.forget(node_id);
    }

    /// The HMAC secret of a node; `None` for a node that is unknown or retired.
    ///
    /// # Errors
    /// [`StoreError`]. A secret that does not open is logged and reads as `None`.
    pub async fn node_secret(&self, node_id: &NodeId) -> Result<Option<Arc<Secret>>, StoreError> {
        let (known, generation) = self.secrets.get(node_id);
        if known.is_some() {
            return Ok(known);
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
                self.secrets.keep(generation, node_id, &secret);
                Ok(Some(secret))
            }
            Err(error) => {
                tracing::error!(%node_id, %error, "node secret unusable");
                Ok(None)
            }
        }
    }

    /// [`App::node_session`] of a node that posts receipts, as it is or was two seconds ago. Where a receipt may be of
    /// another key, ask [`App::posting_node_now`] before anybody is blamed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn posting_node(
        &self,
        node_id: &NodeId,
    ) -> Result<Option<Arc<NodeSession>>, StoreError> {
        let (known, _) = self.posting.get(node_id);
        let now_ms = self.clock.mono_ms();
        match known.filter(|(read_ms, _)| now_ms - read_ms < POSTING_MS) {
            Some((_, node)) => Ok(Some(node)),
            None => self.posting_node_now(node_id).await,
        }
    }

    /// The same, read now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn posting_node_now(
        &self,
        node_id: &NodeId,
    ) -> Result<Option<Arc<NodeSession>>, StoreError> {
        let (_, generation) = self.posting.get(node_id);
        let read_ms = self.clock.mono_ms();
        let Some(node) = self.node_session(node_id, None).await? else {
            return Ok(None);
        };
        let node = Arc::new(node);
        self.posting
            .keep(generation, node_id, &(read_ms, Arc::clone(&node)));
        Ok(Some(node))
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
                    org_id: key.org_id,
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
            key_org_id: key.org_id,
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
    fn what_was_read_before_something_was_forgotten_is_not_kept() {
        let (known, node_id) = (Known::default(), NodeId::parse("n").expect("id"));
        let (none, generation) = known.get(&node_id);
        assert_eq!(none, None);
        known.forget(&node_id);
        known.keep(generation, &node_id, &1);
        let (none, generation) = known.get(&node_id);
        assert_eq!(none, None);
        known.keep(generation, &node_id, &2);
        assert_eq!(known.get(&node_id).0, Some(2));
    }
}
