//! The transaction that makes receipts durable.
//!
//! [`Store::ingest_begin`] opens it; the caller reads chain heads and what is there already, decides, writes
//! in bulk and commits. The bulk forms of the two databases stand side by side in `bulk.rs`; everything else
//! is one SQL text. On PostgreSQL the heads are locked, so that two processes cannot append to one chain.

mod bulk;

use crate::db::Backend;
use crate::nodes::{LifecycleChange, bytes32, read_lifecycle, transition_on};
use crate::{Store, StoreError, System, rollups};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_model::rollup::{Ending, ReceiptFacts};
use dgon_protocol::chain::Head;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Fields, Sha256Hash, Version};
use std::collections::HashMap;

/// A verified receipt to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewReceipt<'a> {
    /// Key that it verified under, or should have.
    pub node_key_id: i64,
    /// Its place in the chain; `None` outside of a chain.
    pub seq: Option<i64>,
    /// The region that the network has its node in.
    pub region: &'a str,
    /// Whose node it is.
    pub org_id: Option<&'a str>,
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
    /// What it adds to sums.
    pub fn facts(&self) -> ReceiptFacts {
        let fields = self.fields;
        ReceiptFacts {
            node_id: fields.node_id.to_string(),
            org_id: self.org_id.map(str::to_owned),
            region: self.region.to_owned(),
            received_at_ms: self.received_at_ms,
            ending: Ending::of(fields.status),
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its row; `None` for one that is not stored yet.
    pub id: Option<i64>,
    /// First missing `seq`.
    pub from_seq: i64,
    /// Last missing `seq`.
    pub to_seq: i64,
    /// Why: `missing`, `several`, or the type of error that refused what was there.
    pub reason: String,
}

/// Evidence kept per node: enough for any judgement, and no way to fill the disk.
const EVIDENCE_PER_NODE: i64 = 200;

pub(crate) enum Tx {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

/// An open transaction, and the proof that the server opened it. Dropped without [`IngestTx::commit`] it is rolled back.
pub struct IngestTx(Tx, System);

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
    pub async fn ingest_begin(&self, by: System) -> Result<IngestTx, StoreError> {
        let failed = StoreError::query("receipt.begin");
        let tx = match &self.backend {
            Backend::Sqlite { writer, .. } => {
                Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?)
            }
            Backend::Postgres { ingest, .. } => Tx::Postgres(ingest.begin().await.map_err(failed)?),
        };
        Ok(IngestTx(tx, by))
    }
}

impl IngestTx {
    pub(crate) const fn tx(&mut self) -> &mut Tx {
        &mut self.0
    }

    /// SQLite's data version: it changes when another connection has written to the database, as who restores a copy does, or
    /// a command beside the server; always 0 on PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn data_version(&mut self) -> Result<i64, StoreError> {
        match &mut self.0 {
            Tx::Sqlite(tx) => sqlx::query_scalar("PRAGMA data_version")
                .fetch_one(&mut **tx)
                .await
                .map_err(StoreError::query("receipt.data_version")),
            Tx::Postgres(_) => Ok(0),
        }
    }

    /// The heads of these keys' chains, locked until the end of the transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heads(&mut self, key_ids: &[i64]) -> Result<HashMap<i64, Head>, StoreError> {
        const OP: &str = "receipt.heads";
        if key_ids.is_empty() {
            return Ok(HashMap::new());
        }
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

    /// The hashes of the receipts at places of chains, given as key row and `seq`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hashes_at(
        &mut self,
        places: &[(i64, i64)],
    ) -> Result<HashMap<(i64, i64), Sha256Hash>, StoreError> {
        const OP: &str = "receipt.hashes_at";
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = bulk::hashes_at(&mut self.0, places).await;
        rows.map_err(StoreError::query(OP))?
            .into_iter()
            .map(|(key, seq, hash)| Ok(((key, seq), entry_hash(OP, &hash)?)))
            .collect()
    }

    /// The bytes of the receipts at places of chains.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_at(
        &mut self,
        places: &[(i64, i64)],
    ) -> Result<HashMap<(i64, i64), Vec<u8>>, StoreError> {
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = bulk::entries_at(&mut self.0, places).await;
        let rows = rows.map_err(StoreError::query("receipt.entries_at"))?;
        Ok(rows
            .into_iter()
            .map(|(key, seq, entry)| ((key, seq), entry))
            .collect())
    }

    /// The hashes of the receipts with these pairs of node and request id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn by_request(
        &mut self,
        requests: &[(&str, &str)],
    ) -> Result<HashMap<(String, String), Sha256Hash>, StoreError> {
        const OP: &str = "receipt.by_request";
        if requests.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = bulk::by_request(&mut self.0, requests).await;
        rows.map_err(StoreError::query(OP))?
            .into_iter()
            .map(|(node, request, hash)| Ok(((node, request), entry_hash(OP, &hash)?)))
            .collect()
    }

    /// The gaps of these keys' chains, each in the order of places.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gaps(&mut self, key_ids: &[i64]) -> Result<HashMap<i64, Vec<Gap>>, StoreError> {
        if key_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = bulk::gaps(&mut self.0, key_ids).await;
        let mut gaps: HashMap<i64, Vec<Gap>> = HashMap::new();
        for (id, key, from_seq, to_seq, reason) in
            rows.map_err(StoreError::query("receipt.gaps"))?
        {
            let gap = Gap {
                id: Some(id),
                from_seq,
                to_seq,
                reason,
            };
            gaps.entry(key).or_default().push(gap);
        }
        Ok(gaps)
    }

    /// How many gaps each of these nodes has, in all its chains.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gap_counts(
        &mut self,
        node_ids: &[&str],
    ) -> Result<HashMap<String, usize>, StoreError> {
        let rows = bulk::gap_counts(&mut self.0, node_ids).await;
        let rows = rows.map_err(StoreError::query("receipt.gap_counts"))?;
        let count = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
        Ok(rows.into_iter().map(|(id, n)| (id, count(n))).collect())
    }

    /// Inserts receipts in their order. Returns the positions of those whose request id their node had used for
    /// other bytes: they are not stored, the others are. The caller has made sure that none is stored already.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] where a receipt is left out for another reason than its request id.
    pub async fn insert(&mut self, receipts: &[NewReceipt<'_>]) -> Result<Vec<usize>, StoreError> {
        const OP: &str = "receipt.insert";
        let inserted = bulk::insert(&mut self.0, receipts)
            .await
            .map_err(StoreError::query(OP))?;
        if inserted == receipts.len() as u64 {
            return Ok(Vec::new());
        }
        let names: Vec<(&str, &str)> = receipts
            .iter()
            .map(|r| (r.fields.node_id.as_str(), r.fields.request_id.as_str()))
            .collect();
        let stored = self.by_request(&names).await?;
        // No fault of its node: it is stored, or its place in the chain is taken, and the head does not know of it.
        let behind = StoreError::Corrupt {
            op: OP,
            what: "head of a chain that lacks a stored receipt",
        };
        let mut others = Vec::new();
        for (position, receipt) in receipts.iter().enumerate() {
            let name = (
                receipt.fields.node_id.to_string(),
                receipt.fields.request_id.to_string(),
            );
            match stored.get(&name) {
                Some(hash) if *hash == receipt.entry_hash => {}
                Some(_) => others.push(position),
                None => return Err(behind),
            }
        }
        // One that is there with its own bytes and was not inserted now would be counted twice.
        match inserted + others.len() as u64 == receipts.len() as u64 {
            true => Ok(others),
            false => Err(behind),
        }
    }

    /// Moves the heads of chains, after these receipts were inserted. On SQLite a head that is one of them is not written: the
    /// last receipt of a chain is its head (view `chain_heads`).
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] where one of the keys is gone.
    pub async fn set_heads(
        &mut self,
        heads: &[(i64, Head)],
        inserted: &[NewReceipt<'_>],
    ) -> Result<(), StoreError> {
        const OP: &str = "receipt.set_heads";
        let mut unsaid = heads.to_vec();
        if matches!(self.0, Tx::Sqlite(_)) {
            let places = inserted.iter().filter_map(|receipt| {
                let seq = u64::try_from(receipt.seq?).ok()?;
                Some(((receipt.node_key_id, seq), receipt.entry_hash))
            });
            let places: HashMap<_, _> = places.collect();
            unsaid.retain(|(key, head)| places.get(&(*key, head.seq)) != Some(&head.entry_hash));
        }
        let heads = unsaid.as_slice();
        if heads.is_empty() {
            return Ok(());
        }
        let moved = bulk::set_heads(&mut self.0, heads).await;
        match moved.map_err(StoreError::query(OP))? == heads.len() as u64 {
            true => Ok(()),
            false => Err(StoreError::Corrupt {
                op: OP,
                what: "key of a chain",
            }),
        }
    }

    /// Keeps refused bytes, up to a limit per node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn evidence(&mut self, evidence: &Evidence) -> Result<(), StoreError> {
        on_tx!(self, tx => sqlx::query(
                "INSERT INTO receipt_evidence (node_id, kind, request_id, seq, at_ms, session_id, bytes, org_id) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, (SELECT org_id FROM nodes WHERE node_id = $1) \
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

    /// Records a gap of a node's chain, or changes one that is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gap_write(
        &mut self,
        node: (&NodeId, i64),
        gap: &Gap,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        const OP: &str = "receipt.gap";
        const CHANGE: &str = "UPDATE chain_gaps SET from_seq = $2, to_seq = $3, reason = $4, detected_at_ms = $5 WHERE id = $1";
        const ADD: &str = "INSERT INTO chain_gaps (node_id, node_key_id, from_seq, to_seq, reason, detected_at_ms, org_id) \
             VALUES ($1, $2, $3, $4, $5, $6, (SELECT org_id FROM node_keys WHERE id = $2))";
        let (node_id, node_key_id) = node;
        on_tx!(self, tx => match gap.id {
            Some(id) => sqlx::query(CHANGE)
                .bind(id)
                .bind(gap.from_seq)
                .bind(gap.to_seq)
                .bind(gap.reason.as_str())
                .bind(at_ms)
                .execute(&mut **tx)
                .await
                .map(drop),
            None => sqlx::query(ADD)
                .bind(node_id.as_str())
                .bind(node_key_id)
                .bind(gap.from_seq)
                .bind(gap.to_seq)
                .bind(gap.reason.as_str())
                .bind(at_ms)
                .execute(&mut **tx)
                .await
                .map(drop),
        })
        .map_err(StoreError::query(OP))
    }

    /// State and reason of a node; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lifecycle(
        &mut self,
        node_id: &NodeId,
    ) -> Result<Option<(State, Reason)>, StoreError> {
        const OP: &str = "receipt.lifecycle";
        let row: Option<(String, String)> = on_tx!(self, tx => sqlx::query_as(
                "SELECT state, state_reason FROM nodes WHERE node_id = $1")
            .bind(node_id.as_str())
            .fetch_optional(&mut **tx)
            .await
            .map_err(StoreError::query(OP)))?;
        row.map(|(state, reason)| read_lifecycle(OP, &state, &reason))
            .transpose()
    }

    /// Changes the state of a node that [`IngestTx::lifecycle`] has just read, with its event and audit row; false
    /// where it is another state by now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn transition(&mut self, change: &LifecycleChange<'_>) -> Result<bool, StoreError> {
        let by = self.1;
        Ok(on_tx!(self, tx => transition_on!(&mut **tx, &by.into(), change, "receipt.transition")))
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

fn entry_hash(op: &'static str, bytes: &[u8]) -> Result<Sha256Hash, StoreError> {
    Ok(Sha256Hash(bytes32(op, "entry hash", bytes)?))
}
