//! What the network keeps for a machine that brings a token, and for a node that changes its key.
//!
//! Whoever asks has proved their right by what they bring: a token's secret, the MAC of a node, the signature of a key.
//! So the server asks for itself, and this is the one door to it for the routes of nodes.

use super::App;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::node_keys::{ClosingOutcome, KeyOwner, Rotating};
use dgon_control_plane_store::{Enrolment, NewNode, StoreError, System, WorkingToken};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::rotate::{Closing, Rotation};

impl App {
    /// The token of this hash, if it would enrol a node now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn working_token(
        &self,
        token_hash: &[u8; 32],
    ) -> Result<Option<WorkingToken>, StoreError> {
        let by = System::of_the_server();
        let now_ms = self.clock.now_ms();
        self.store
            .enrolment_token_working(by, token_hash, now_ms)
            .await
    }

    /// Whose key this is; `None` for a key that is new to the network.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_owner(&self, key: &PublicKey) -> Result<Option<KeyOwner>, StoreError> {
        let by = System::of_the_server();
        self.store.node_key_owner(by, key).await
    }

    /// Uses the token up for a new node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrol(
        &self,
        token_hash: &[u8; 32],
        node: &NewNode<'_>,
    ) -> Result<Enrolment, StoreError> {
        let by = System::of_the_server();
        self.store.enrol(by, token_hash, node).await
    }

    /// Uses the token up for a new secret of a node that is known by its key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrol_again(
        &self,
        token_hash: &[u8; 32],
        node: &NewNode<'_>,
    ) -> Result<Enrolment, StoreError> {
        let by = System::of_the_server();
        let enrolled = self.store.enrol_again(by, token_hash, node).await?;
        if matches!(enrolled, Enrolment::Enrolled { .. }) {
            self.forget_node(node.node_id);
        }
        Ok(enrolled)
    }

    /// Passes a node on to the new key of a rotation whose signatures hold.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_rotate(
        &self,
        rotation: &Rotation,
        at_ms: i64,
        audit: &AuditEntry,
    ) -> Result<Rotating, StoreError> {
        let by = System::of_the_server();
        let rotated = self.store.node_key_rotate(by, rotation, at_ms, audit).await;
        self.forget_node(&rotation.node_id);
        rotated
    }

    /// Keeps where the chain of an old key ends, said by a closing whose signature holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_close(
        &self,
        closing: &Closing,
        audit: &AuditEntry,
    ) -> Result<ClosingOutcome, StoreError> {
        let by = System::of_the_server();
        let closed = self.store.node_key_close(by, closing, audit).await;
        self.forget_node(&closing.node_id);
        closed
    }

    /// The last `seq` that is stored of the chain that the node signs now; `None` where it has no key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn acked_seq(&self, node_id: &NodeId) -> Result<Option<u64>, StoreError> {
        let by = System::of_the_server();
        let key = self.store.node_key_current(by, node_id).await?;
        Ok(key.map(|key| key.head_seq))
    }
}
