//! Chains the audit log. Rows are written by transactions that run beside each other, some of them long; so each is chained when
//! it is there, in the order in which it is found, by one task. How it hashes is in
//! [`audit_chain`](dgon_control_plane_model::audit_chain).

use crate::audit::{AuditRow, audit_columns};
use crate::{Store, StoreError, System};
use dgon_control_plane_model::audit_chain::{ChainedRow, Hash, Head};

const OP_CHAIN: &str = "audit.chain";
const OP_SEAL: &str = "audit.seal";

/// From where to where the chain goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditChain {
    /// The last row that was removed because it was too old.
    pub removed: Head,
    /// The last row that is sealed.
    pub head: Head,
}

/// What makes a row a link of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Which row.
    pub id: i64,
    /// What is hashed with its facts, and the commitment to them; `None` where it has none.
    pub facts: Option<(Hash, Hash)>,
    /// Its place and its hash.
    pub head: Head,
}

type ChainColumns = (i64, Vec<u8>, i64, Vec<u8>);

fn head(seq: i64, hash: &[u8]) -> Result<Head, StoreError> {
    let hash = hash.try_into().map_err(|_| StoreError::Corrupt {
        op: OP_CHAIN,
        what: "hash",
    })?;
    Ok(Head { seq, hash })
}

impl AuditRow {
    /// What its hash is of, with a commitment to its facts.
    pub fn chained(&self, commitment: Option<Hash>) -> ChainedRow<'_> {
        ChainedRow {
            at_ms: self.at_ms,
            actor: &self.actor,
            action: &self.action,
            object: &self.object,
            request_id: self.request_id.as_deref(),
            commitment,
        }
    }
}

impl Store {
    /// From where to where the chain goes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_chain(&self, _by: System) -> Result<AuditChain, StoreError> {
        let row: ChainColumns = crate::on_read!(self, conn => sqlx::query_as(
                "SELECT removed_seq, removed_hash, head_seq, head_hash FROM audit_chain")
            .fetch_one(conn)
            .await
            .map_err(StoreError::query(OP_CHAIN))?);
        Ok(AuditChain {
            removed: head(row.0, &row.1)?,
            head: head(row.2, &row.3)?,
        })
    }

    /// Rows that are not sealed yet, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_not_sealed(
        &self,
        _by: System,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        crate::on_read!(self, conn => sqlx::query_as(concat!(audit_columns!(),
                " WHERE seq IS NULL ORDER BY id LIMIT $1"))
            .bind(limit)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP_CHAIN))
    }

    /// Seals rows, each after the one before it and the first after `from`. `false` where the chain does not end there any more.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_seal(
        &self,
        _by: System,
        from: Head,
        seals: &[Seal],
    ) -> Result<bool, StoreError> {
        let Some(last) = seals.last() else {
            return Ok(true);
        };
        Ok(crate::in_tx!(self, "audit.seal", tx => {
            let moved = sqlx::query("UPDATE audit_chain SET head_seq = $1, head_hash = $2 WHERE head_seq = $3")
                .bind(last.head.seq)
                .bind(last.head.hash.as_slice())
                .bind(from.seq)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query(OP_SEAL))?;
            if moved.rows_affected() == 0 {
                return Ok(false);
            }
            for seal in seals {
                let (salt, commitment) = seal.facts.as_ref().map_or((None, None), |(salt, commitment)| {
                    (Some(salt.as_slice()), Some(commitment.as_slice()))
                });
                let sealed = sqlx::query(
                    "UPDATE audit SET salt = $2, commitment = $3, seq = $4, hash = $5 WHERE id = $1 AND seq IS NULL",
                )
                    .bind(seal.id)
                    .bind(salt)
                    .bind(commitment)
                    .bind(seal.head.seq)
                    .bind(seal.head.hash.as_slice())
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP_SEAL))?;
                // Somebody took it away, or sealed it.
                if sealed.rows_affected() == 0 {
                    return Ok(false);
                }
            }
            true
        }))
    }

    /// Sealed rows after a place, in their order.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_sealed_after(
        &self,
        _by: System,
        seq: i64,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        crate::on_page!(self, conn => sqlx::query_as(concat!(audit_columns!(),
                " WHERE seq > $1 ORDER BY seq LIMIT $2"))
            .bind(seq)
            .bind(limit)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP_CHAIN))
    }

    /// Sealed rows that lie beside the chain: after its head, or before where it begins.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_beside(
        &self,
        _by: System,
        chain: &AuditChain,
        limit: i64,
    ) -> Result<Vec<i64>, StoreError> {
        crate::on_page!(self, conn => sqlx::query_scalar(
                "SELECT seq FROM audit WHERE seq <= $1 UNION ALL SELECT seq FROM audit WHERE seq > $2 ORDER BY 1 LIMIT $3")
            .bind(chain.removed.seq)
            .bind(chain.head.seq)
            .bind(limit)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP_CHAIN))
    }

    /// What an action was done to, wherever the log says so, chained or not.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_objects(
        &self,
        _by: System,
        action: &str,
    ) -> Result<Vec<String>, StoreError> {
        crate::on_page!(self, conn => sqlx::query_scalar("SELECT object FROM audit WHERE action = $1")
            .bind(action)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP_CHAIN))
    }
}
