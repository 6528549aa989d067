//! The transaction that makes receipts durable.
//!
//! [`Store::ingest_begin`] opens it; the caller reads chain heads and what is there already, decides, writes
//! in bulk and commits. The bulk forms of the two databases stand side by side in `bulk.rs`; everything else
//! is one SQL text. On PostgreSQL the heads are locked, so that two processes cannot append to one chain.

mod bulk;

use crate::db::Backend;
use crate::nodes::bytes32;
use crate::{Store, StoreError, rollups};
use dgon_control_plane_model::rollup::{Ending, ReceiptFacts};
use dgon_protocol::chain::Head;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Fields, Sha256Hash, Status, Version};
use std::collections::HashMap;

/// A verified receipt to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewReceipt<'a> {
    /// Key that it verified under, or should have.
    pub node_key_id: i64,
    /// Its place in the chain; `None` outside of a chain.
    pub seq: Option<i64>,
    /// What it says.
    pub fields: &'a Fields,
    /// SHA-256 of `entry`.
    pub entry_hash: Sha256Hash,
    /// Its canonical bytes.
    pub entry: &'a [u8],
    /// When it is committed, unix ms.
    pub received_at_ms: i64,
    /// Whether its signature held.
    pub verified: bool,
}

impl NewReceipt<'_> {
    fn facts(&self) -> ReceiptFacts {
        let fields = self.fields;
        ReceiptFacts {
            node_id: fields.node_id.to_string(),
            region: fields.region.clone().unwrap_or_default(),
            received_at_ms: self.received_at_ms,
            ending: match fields.status {
                Some(Status::Error) => Ending::Failed,
                Some(Status::Cancelled) => Ending::Cancelled,
                Some(Status::Ok) | None => Ending::Whole,
            },
            cache_hit: fields.cache_hit,
            tokens_input: fields.tokens_input,
            tokens_output: fields.tokens_output,
            lacks_a_count: fields
                .tokens_source
                .is_some_and(|source| source.lacks_a_count(fields.tokens_input)),
            ttft_ms: fields.ttft_ms,
            latency_ms: fields.latency_ms,
        }
    }

    fn version(&self) -> &'static str {
        match self.fields.version {
            Version::V1_0 => "1.0",
            Version::V1_1 => "1.1",
        }
    }
}

/// Bytes that were refused on a node's own session.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Which node sent them.
    pub node_id: NodeId,
    /// Why they were refused, an error type of the API.
    pub kind: &'static str,
    /// The request id they name, where they name one.
    pub request_id: Option<RequestId>,
    /// The `seq` they name, where they name one.
    pub seq: Option<i64>,
    /// When, unix ms.
    pub at_ms: i64,
    /// Over which session.
    pub session_id: Option<String>,
    /// The bytes as received.
    pub bytes: Vec<u8>,
}

/// Places of a chain that no stored receipt fills.
#[derive(Debug, Clone)]
pub struct Gap {
    /// Which node.
    pub node_id: NodeId,
    /// Which key's chain.
    pub node_key_id: i64,
    /// First missing `seq`.
    pub from_seq: i64,
    /// Last missing `seq`.
    pub to_seq: i64,
    /// Why: `missing`, or the type of error that refused what was there.
    pub reason: &'static str,
    /// When, unix ms.
    pub at_ms: i64,
}

/// Evidence kept per node: enough for any judgement, and no way to fill the disk.
const EVIDENCE_PER_NODE: i64 = 200;

pub(crate) enum Tx {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// An open transaction. Dropped without [`IngestTx::commit`] it is rolled back.
pub struct IngestTx(Tx);

impl std::fmt::Debug for IngestTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IngestTx")
    }
}

macro_rules! on_tx {
    ($self:expr, $tx:ident => $body:expr) => {
        match &mut $self.0 {
            Tx::Sqlite($tx) => $body,
            Tx::Postgres($tx) => $body,
        }
    };
}

impl Store {
    /// Opens the transaction; on SQLite it takes the write lock.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ingest_begin(&self) -> Result<IngestTx, StoreError> {
        let failed = StoreError::query("receipt.begin");
        let tx = match &self.backend {
            Backend::Sqlite { writer, .. } => {
                Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?)
            }
            Backend::Postgres(pool) => Tx::Postgres(pool.begin().await.map_err(failed)?),
        };
        Ok(IngestTx(tx))
    }
}

impl IngestTx {
    /// The heads of these keys' chains, locked until the end of the transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heads(&mut self, key_ids: &[i64]) -> Result<HashMap<i64, Head>, StoreError> {
        const OP: &str = "receipt.heads";
        let rows = bulk::heads(&mut self.0, key_ids)
            .await
            .map_err(StoreError::query(OP))?;
        rows.into_iter()
            .map(|(id, seq, hash)| {
                let head = Head {
                    seq: u64::try_from(seq).unwrap_or(0),
                    entry_hash: Sha256Hash(bytes32(OP, "chain head", &hash)?),
                };
                Ok((id, head))
            })
            .collect()
    }

    /// The hash of the receipt at a place of a chain.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn at_seq(
        &mut self,
        node_key_id: i64,
        seq: i64,
    ) -> Result<Option<Sha256Hash>, StoreError> {
        const OP: &str = "receipt.at_seq";
        let row: Option<(Vec<u8>,)> = on_tx!(self, tx => sqlx::query_as(
                "SELECT entry_hash FROM receipts WHERE node_key_id = $1 AND seq = $2")
            .bind(node_key_id)
            .bind(seq)
            .fetch_optional(&mut **tx)
            .await
            .map_err(StoreError::query(OP)))?;
        row.map(|(hash,)| Ok(Sha256Hash(bytes32(OP, "entry hash", &hash)?)))
            .transpose()
    }

    /// Why no stored receipt fills a place of a chain; `None` where nothing is known of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gap_reason(
        &mut self,
        node: (&NodeId, i64),
        seq: i64,
    ) -> Result<Option<String>, StoreError> {
        let (node_id, node_key_id) = node;
        let row: Option<(String,)> = on_tx!(self, tx => sqlx::query_as(
                "SELECT reason FROM chain_gaps WHERE node_id = $1 AND node_key_id = $2 \
                 AND from_seq <= $3 AND to_seq >= $3 ORDER BY id LIMIT 1")
            .bind(node_id.as_str())
            .bind(node_key_id)
            .bind(seq)
            .fetch_optional(&mut **tx)
            .await
            .map_err(StoreError::query("receipt.gap_reason")))?;
        Ok(row.map(|(reason,)| reason))
    }

    /// The hash of the receipt with a request id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_request(
        &mut self,
        request_id: &RequestId,
    ) -> Result<Option<Sha256Hash>, StoreError> {
        const OP: &str = "receipt.by_request";
        let row: Option<(Vec<u8>,)> = on_tx!(self, tx => sqlx::query_as(
                "SELECT entry_hash FROM receipts WHERE request_id = $1")
            .bind(request_id.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(StoreError::query(OP)))?;
        row.map(|(hash,)| Ok(Sha256Hash(bytes32(OP, "entry hash", &hash)?)))
            .transpose()
    }

    /// Inserts receipts in their order. Returns how many went in: fewer than given means that a request id or
    /// a place in a chain was taken, and the caller finds out which.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&mut self, receipts: &[NewReceipt<'_>]) -> Result<u64, StoreError> {
        bulk::insert(&mut self.0, receipts)
            .await
            .map_err(StoreError::query("receipt.insert"))
    }

    /// Moves the heads of chains.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_heads(&mut self, heads: &[(i64, Head)]) -> Result<(), StoreError> {
        bulk::set_heads(&mut self.0, heads)
            .await
            .map_err(StoreError::query("receipt.set_heads"))
    }

    /// Keeps refused bytes, up to a limit per node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn evidence(&mut self, evidence: &Evidence) -> Result<(), StoreError> {
        on_tx!(self, tx => sqlx::query(
                "INSERT INTO receipt_evidence (node_id, kind, request_id, seq, at_ms, session_id, bytes) \
                 SELECT $1, $2, $3, $4, $5, $6, $7 \
                 WHERE (SELECT COUNT(*) FROM receipt_evidence WHERE node_id = $1) < $8")
            .bind(evidence.node_id.as_str())
            .bind(evidence.kind)
            .bind(evidence.request_id.as_ref().map(RequestId::as_str))
            .bind(evidence.seq)
            .bind(evidence.at_ms)
            .bind(evidence.session_id.as_deref())
            .bind(evidence.bytes.as_slice())
            .bind(EVIDENCE_PER_NODE)
            .execute(&mut **tx)
            .await
            .map(drop)
            .map_err(StoreError::query("receipt.evidence")))
    }

    /// Records a gap.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gap(&mut self, gap: &Gap) -> Result<(), StoreError> {
        on_tx!(self, tx => sqlx::query(
                "INSERT INTO chain_gaps (node_id, node_key_id, from_seq, to_seq, reason, detected_at_ms) \
                 VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(gap.node_id.as_str())
            .bind(gap.node_key_id)
            .bind(gap.from_seq)
            .bind(gap.to_seq)
            .bind(gap.reason)
            .bind(gap.at_ms)
            .execute(&mut **tx)
            .await
            .map(drop)
            .map_err(StoreError::query("receipt.gap")))
    }

    /// Adds stored receipts to the sums per minute. Once per transaction, last before the commit.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rollups(&mut self, receipts: &[NewReceipt<'_>]) -> Result<(), StoreError> {
        let facts: Vec<ReceiptFacts> = receipts.iter().map(NewReceipt::facts).collect();
        on_tx!(self, tx => rollups::apply_on_conn(&mut **tx, &facts).await)
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// [`StoreError`]; the state is then unknown, and a repeated ingest finds out.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Tx::Sqlite(tx) => tx.commit().await,
            Tx::Postgres(tx) => tx.commit().await,
        }
        .map_err(StoreError::query("receipt.commit"))
    }
}
