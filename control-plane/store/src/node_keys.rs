//! The keys of a node: every one it ever had, how it came to it, and where the chain of an old one ends.
//!
//! A key is never removed, so an old receipt can always be verified. One key of a node is in use; the database
//! holds this with an index. A key belongs to one organisation for ever, and whose a receipt is, its key says: where a node
//! passes from one organisation to another, the next one begins with a key of its own (`node_transfers`).

use crate::audit::{AuditEntry, audit_on};
use crate::nodes::bytes32;
use crate::statement::Statement;
use crate::{Dialect, Scope, Store, StoreError, System, in_tx, on_read};
use dgon_protocol::chain::Head;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::rotate::{Closing, Rotation};

/// A key that a node has or had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeKey {
    /// Row id, which receipts refer to.
    pub id: i64,
    /// The key.
    pub public_key: PublicKey,
    /// Since when it is valid, unix ms.
    pub valid_from_ms: i64,
    /// Until when it was; `None` for the key in use.
    pub valid_to_ms: Option<i64>,
    /// The end of its chain as far as it is stored.
    pub head: Head,
    /// The last `seq` of its chain, once its holder has said so.
    pub closed_seq: Option<i64>,
    /// The statement that brought it, JSON; `None` for the key that the node enrolled with.
    pub rotation: Option<String>,
    /// The statement that ended its chain, JSON.
    pub closing: Option<String>,
    /// The organisation whose receipts it signs.
    pub org_id: Option<String>,
}

/// Whose key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// Which node.
    pub node_id: String,
    /// Whether the key is the one in use, of a node that is not retired.
    pub in_use: bool,
    /// The organisation of the node, whosever the key is.
    pub org_id: Option<String>,
}

/// How a rotation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotating {
    /// The new key is in use since then, unix ms.
    Done {
        /// Start of the new key and end of the old one.
        valid_from_ms: i64,
    },
    /// The old key is not the one in use.
    NotInUse,
    /// The node has no secret that was its when it asked: it was passed on to another organisation meanwhile.
    NoSecret,
    /// Some node has or had the new key.
    KnownKey,
    /// The node has changed its key [`ROTATIONS_PER_DAY`] times within a day.
    TooOften {
        /// When it may again, unix ms.
        next_at_ms: i64,
    },
}

/// Changes of its key that a node may make within 24 hours: each makes a row and a chain, which are kept for ever.
pub const ROTATIONS_PER_DAY: u8 = 8;
/// 24 hours, ms.
const DAY_MS: i64 = 86_400_000;

/// How a closing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosingOutcome {
    /// The chain ends there.
    Done,
    /// The key is in use, or not this node's.
    NotRetired,
    /// Another end was stated before, or receipts after this end are stored.
    Contradicted,
}

type Row = (
    i64,
    Vec<u8>,
    i64,
    Option<i64>,
    i64,
    Vec<u8>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
);

fn read(op: &'static str, row: Row) -> Result<NodeKey, StoreError> {
    let (id, key, valid_from_ms, valid_to_ms, seq, hash, closed_seq, rotation, closing, org_id) =
        row;
    Ok(NodeKey {
        id,
        public_key: PublicKey::from_bytes(bytes32(op, "public key", &key)?),
        valid_from_ms,
        valid_to_ms,
        head: Head {
            seq: u64::try_from(seq).unwrap_or(0),
            entry_hash: Sha256Hash(bytes32(op, "chain head", &hash)?),
        },
        closed_seq,
        rotation,
        closing,
        org_id,
    })
}

impl Store {
    /// All keys of a node in sight, the one in use first, then the latest. Nothing of a key is private. An organisation sees those
    /// of its own time also on a node that another's pool hides now, for its receipts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_keys(
        &self,
        scope: &Scope,
        node_id: &NodeId,
    ) -> Result<Vec<NodeKey>, StoreError> {
        const OP: &str = "node_key.list";
        let mut statement = Statement::new(
            "SELECT k.id, k.public_key, k.valid_from_ms, k.valid_to_ms, h.seq, h.entry_hash, k.closed_seq, k.rotation, \
             k.closing, k.org_id FROM node_keys k JOIN chain_heads h ON h.node_key_id = k.id \
             JOIN nodes n ON n.node_id = k.node_id WHERE k.node_id = ",
        );
        statement.text(node_id.as_str());
        statement.sql(" AND (");
        if let Some(org_id) = scope.org_id() {
            statement.sql("k.org_id = ").text(org_id).sql(" OR ");
        }
        statement.sql("(TRUE");
        scope.push_in_sight(&mut statement);
        statement.sql(")) ORDER BY k.valid_from_ms DESC, k.id DESC");
        let rows: Vec<Row> =
            on_read!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP))?;
        rows.into_iter().map(|row| read(OP, row)).collect()
    }

    /// Whose key this is; `None` for a key that is new to the network.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_key_owner(
        &self,
        _by: System,
        key: &PublicKey,
    ) -> Result<Option<KeyOwner>, StoreError> {
        let row: Option<(String, Option<i64>, String, Option<String>)> = on_read!(self, conn => sqlx::query_as(
                "SELECT n.node_id, k.valid_to_ms, n.state, n.org_id \
                 FROM node_keys k JOIN nodes n ON n.node_id = k.node_id WHERE k.public_key = $1")
            .bind(key.as_bytes().as_slice())
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("node_key.owner")))?;
        Ok(row.map(|(node_id, valid_to_ms, state, org_id)| KeyOwner {
            node_id,
            in_use: valid_to_ms.is_none() && state != "retired",
            org_id,
        }))
    }

    /// Ends the key in use and begins the new one, with the audit entry, in one transaction. A rotation that was
    /// done before is done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_key_rotate(
        &self,
        by: System,
        rotation: &Rotation,
        at_ms: i64,
        audit: &AuditEntry,
    ) -> Result<Rotating, StoreError> {
        let outcome = self.try_rotate(rotation, at_ms, audit).await?;
        if matches!(outcome, Rotating::Done { .. }) {
            return Ok(outcome);
        }
        // The answer of an earlier post may have been lost.
        let keys = self.node_keys(&by.into(), &rotation.node_id).await?;
        let after = keys
            .iter()
            .position(|key| key.public_key == rotation.new_key);
        let done = after.and_then(|at| Some((keys.get(at)?, keys.get(at + 1)?)));
        Ok(match done {
            Some((new, old)) if old.public_key == rotation.old_key && new.rotation.is_some() => {
                Rotating::Done {
                    valid_from_ms: new.valid_from_ms,
                }
            }
            _ => outcome,
        })
    }

    async fn try_rotate(
        &self,
        rotation: &Rotation,
        at_ms: i64,
        audit: &AuditEntry,
    ) -> Result<Rotating, StoreError> {
        const OP: &str = "node_key.rotate";
        let failed = StoreError::query(OP);
        let statement = serde_json::to_string(rotation).unwrap_or_default();
        in_tx!(self, "node_key.rotate", tx => {
            let ended = sqlx::query(
                    "UPDATE node_keys SET valid_to_ms = $3 \
                     WHERE node_id = $1 AND public_key = $2 AND valid_to_ms IS NULL")
                .bind(rotation.node_id.as_str())
                .bind(rotation.old_key.as_bytes().as_slice())
                .bind(at_ms)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if ended.rows_affected() == 0 {
                return Ok(Rotating::NotInUse);
            }
            // The row of the key in use is locked by now, so that no other change of this node is counted at once, and nobody
            // passes it on. Who proved the secret of the organisation before brings no key for the one after.
            let secret: Option<(i64,)> = sqlx::query_as(
                    "SELECT created_at_ms FROM node_secrets WHERE node_id = $1 AND created_at_ms <= $2")
                .bind(rotation.node_id.as_str())
                .bind(at_ms)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            if secret.is_none() {
                return Ok(Rotating::NoSecret);
            }
            let first_counted: Option<i64> = sqlx::query_scalar(
                    "SELECT valid_from_ms FROM node_keys WHERE node_id = $1 AND rotation IS NOT NULL \
                     ORDER BY valid_from_ms DESC LIMIT 1 OFFSET $2")
                .bind(rotation.node_id.as_str())
                .bind(i64::from(ROTATIONS_PER_DAY) - 1)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            let next_at_ms = first_counted.map_or(i64::MIN, |at| at.saturating_add(DAY_MS));
            if at_ms < next_at_ms {
                return Ok(Rotating::TooOften { next_at_ms });
            }
            let begun = sqlx::query(
                    "INSERT INTO node_keys (node_id, key_id, public_key, valid_from_ms, head_seq, head_hash, rotation, org_id) \
                     VALUES ($1, $2, $3, $4, 0, $5, $6, (SELECT org_id FROM nodes WHERE node_id = $1)) ON CONFLICT DO NOTHING")
                .bind(rotation.node_id.as_str())
                .bind(rotation.new_key.key_id())
                .bind(rotation.new_key.as_bytes().as_slice())
                .bind(at_ms)
                .bind(Sha256Hash::ZERO.0.as_slice())
                .bind(&statement)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if begun.rows_affected() == 0 {
                return Ok(Rotating::KnownKey);
            }
            audit_on!(&mut *tx, audit, "node_key.rotate");
        });
        Ok(Rotating::Done {
            valid_from_ms: at_ms,
        })
    }

    /// Keeps where the chain of a key that was rotated away ends. The same closing again is done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_key_close(
        &self,
        by: System,
        closing: &Closing,
        audit: &AuditEntry,
    ) -> Result<ClosingOutcome, StoreError> {
        const OP: &str = "node_key.close";
        macro_rules! close_where {
            ($end:literal) => {
                concat!(
                    "UPDATE node_keys SET closed_seq = $3, closing = $4 \
                     WHERE node_id = $1 AND public_key = $2 AND valid_to_ms IS NOT NULL AND closing IS NULL AND ",
                    $end
                )
            };
        }
        let close = match self.dialect() {
            Dialect::Sqlite => close_where!(
                "EXISTS (SELECT 1 FROM chain_heads h WHERE h.node_key_id = node_keys.id \
                 AND (h.seq < $3 OR (h.seq = $3 AND h.entry_hash = $5)))"
            ),
            // Of the row itself: after a wait for its lock these are read again, and a view of it is not.
            Dialect::Postgres => {
                close_where!("(head_seq < $3 OR (head_seq = $3 AND head_hash = $5))")
            }
        };
        let failed = StoreError::query(OP);
        let statement = serde_json::to_string(closing).unwrap_or_default();
        let last_seq = i64::try_from(closing.last_seq).unwrap_or(i64::MAX);
        let closed = in_tx!(self, "node_key.close", tx => {
            let closed = sqlx::query(close)
                .bind(closing.node_id.as_str())
                .bind(closing.public_key.as_bytes().as_slice())
                .bind(last_seq)
                .bind(&statement)
                .bind(closing.last_hash.0.as_slice())
                .execute(&mut *tx)
                .await
                .map_err(&failed)?
                .rows_affected();
            if closed == 1 {
                audit_on!(&mut *tx, audit, "node_key.close");
            }
            closed == 1
        });
        if closed {
            return Ok(ClosingOutcome::Done);
        }
        let keys = self.node_keys(&by.into(), &closing.node_id).await?;
        let key = keys.iter().find(|key| key.public_key == closing.public_key);
        Ok(match key {
            Some(key) if key.closing.as_deref() == Some(&statement) => ClosingOutcome::Done,
            Some(key) if key.valid_to_ms.is_some() => ClosingOutcome::Contradicted,
            Some(_) | None => ClosingOutcome::NotRetired,
        })
    }
}
