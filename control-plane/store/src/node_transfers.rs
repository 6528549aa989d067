//! A node passes from one organisation to another.
//!
//! What changes at once is whose the node is. Its secret is gone, so that whoever had it until then can no longer speak for
//! it; its key stays the last one of the organisation before, and whatever that key signed and signs is that organisation's,
//! whenever it comes. The new organisation enrols the machine again with a token of its own, and then changes the key: the new key
//! is the first of its own, and its receipts are those of that key. Nothing that was stored is written anew.

use crate::audit::{AuditEntry, audit_on};
use crate::{Scope, Store, StoreError};
use dgon_control_plane_model::lifecycle::State;
use serde_json::json;

/// Why a node's history has a line where its state did not change.
pub const TRANSFERRED: &str = "transferred";

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transfer {
    /// The node is the other organisation's now.
    Done,
    /// There is no such node, or it is out of scope.
    NoNode,
    /// The node was retired.
    Retired,
    /// It is that organisation's already.
    SameOrganisation,
    /// There is no such organisation, or it is closed.
    NoOrganisation,
}

impl Store {
    /// Passes a node on to another organisation, with what that ends: its secret, orders that wait for it, the assignments of
    /// people, and that it is in a pool. The audit row says whose it was.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn node_transfer(
        &self,
        scope: &Scope,
        (node_id, org_id): (&str, &str),
        audit: &AuditEntry,
    ) -> Result<Transfer, StoreError> {
        if !scope.is_system() {
            return Ok(Transfer::NoNode);
        }
        let failed = StoreError::query("node.transfer");
        Ok(crate::in_tx!(self, "node.transfer", tx => {
            // Whoever closes it waits, and then finds that it has a node.
            let open = sqlx::query("UPDATE orgs SET name = name WHERE org_id = $1 AND closed_at_ms IS NULL")
                .bind(org_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            // Whoever changes the key or enrols the machine again waits for this, or this for them.
            let keys = "UPDATE node_keys SET valid_to_ms = valid_to_ms WHERE node_id = $1 AND valid_to_ms IS NULL";
            sqlx::query(keys).bind(node_id).execute(&mut *tx).await.map_err(&failed)?;
            let node: Option<(String, Option<String>, Option<String>)> =
                sqlx::query_as("UPDATE nodes SET state = state WHERE node_id = $1 RETURNING state, org_id, pool_id")
                    .bind(node_id)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(&failed)?;
            let Some((state, before, pool_id)) = node else {
                return Ok(Transfer::NoNode);
            };
            if state == State::Retired.as_str() {
                return Ok(Transfer::Retired);
            }
            if before.as_deref() == Some(org_id) {
                return Ok(Transfer::SameOrganisation);
            }
            if open.rows_affected() == 0 {
                return Ok(Transfer::NoOrganisation);
            }
            // Leases: once there are any, a node with one that runs is refused here, in this transaction.
            sqlx::query("UPDATE nodes SET org_id = $2, pool_id = NULL WHERE node_id = $1")
                .bind(node_id)
                .bind(org_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            sqlx::query("DELETE FROM node_secrets WHERE node_id = $1")
                .bind(node_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            sqlx::query("UPDATE node_orders SET state = 'expired' WHERE node_id = $1 AND state = 'queued'")
                .bind(node_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let assignments = sqlx::query("DELETE FROM node_assignments WHERE node_id = $1")
                .bind(node_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?
                .rows_affected();
            sqlx::query(
                    "INSERT INTO lifecycle_events (node_id, at_ms, from_state, to_state, reason, actor, detail, org_id) \
                     VALUES ($1, $2, $3, $3, $4, $5, $6, $7)")
                .bind(node_id)
                .bind(audit.at_ms)
                .bind(&state)
                .bind(TRANSFERRED)
                .bind(&audit.actor)
                .bind(&audit.facts.reason)
                .bind(org_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let mut audit = audit.clone();
            audit.facts.before = Some(match &pool_id {
                Some(pool_id) => json!({ "org_id": before, "pool_id": pool_id }),
                None => json!({ "org_id": before }),
            });
            audit.facts.after = Some(json!({ "org_id": org_id, "ended": { "assignments": assignments } }));
            audit_on!(&mut *tx, &audit, "node.transfer");
            Transfer::Done
        }))
    }
}
