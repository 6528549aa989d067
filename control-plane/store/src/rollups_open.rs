//! Up to which minute the rows of sums are whole, and the receipts that came after it.
//!
//! On SQLite the sums of open minutes are in memory ([`OpenSums`](dgon_control_plane_model::open_sums::OpenSums)). What is
//! over is written in pieces: one that is written twice leaves what one leaves, and the last one of a minute moves the
//! border. On PostgreSQL the border is the end of time: the rows are always whole.

use crate::ingest::{IngestTx, Tx};
use crate::receipt_queries::ScanRow;
use crate::rollups::RollupConnection as _;
use crate::{Store, StoreError, System, on_read};
use dgon_control_plane_model::open_sums::Piece;
use dgon_control_plane_model::rollup::ReceiptFacts;

const OP_SEALED: &str = "rollups.sealed";
const OP_SEAL: &str = "rollups.seal";
const OP_AFTER: &str = "rollups.receipts_after";

/// A receipt to be counted.
#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    node_id: String,
    region: String,
    received_at_ms: i64,
    #[sqlx(flatten)]
    rest: ScanRow,
}

impl IngestTx {
    /// The last minute up to which the rows are whole, unix minutes. What this transaction sees stays so until it ends: on
    /// SQLite nobody else can write.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn rollups_sealed(&mut self) -> Result<i64, StoreError> {
        const TEXT: &str = "SELECT minute FROM rollups_sealed";
        match self.tx() {
            Tx::Sqlite(tx) => sqlx::query_scalar(TEXT).fetch_one(&mut **tx).await,
            Tx::Postgres(tx) => sqlx::query_scalar(TEXT).fetch_one(&mut **tx).await,
        }
        .map_err(StoreError::query(OP_SEALED))
    }
}

impl IngestTx {
    /// Writes a piece of a minute that is over; with its last piece the border goes there from where it is believed to be.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] where the border is somewhere else. The transaction is to be dropped then.
    pub async fn rollups_seal(&mut self, believed: i64, piece: &Piece) -> Result<(), StoreError> {
        if self.rollups_sealed().await? != believed {
            return Err(StoreError::Corrupt {
                op: OP_SEAL,
                what: "border of sums, which is not where it was left",
            });
        }
        macro_rules! seal {
            ($tx:expr) => {{
                let tx = $tx;
                tx.replace(&piece.rows).await?;
                if let Some(network) = &piece.network {
                    tx.apply(&mut network.clone()).await?;
                    tx.seal(piece.minute).await?;
                }
                Ok(())
            }};
        }
        match self.tx() {
            Tx::Sqlite(tx) => seal!(tx),
            Tx::Postgres(tx) => seal!(tx),
        }
    }
}

impl Store {
    /// How many receipts were received from a time to before another, unix ms.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn rollups_receipts_between(
        &self,
        _by: System,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<i64, StoreError> {
        const TEXT: &str =
            "SELECT COUNT(*) FROM receipts WHERE received_at_ms >= $1 AND received_at_ms < $2";
        on_read!(self, conn => sqlx::query_scalar(TEXT)
            .bind(from_ms)
            .bind(to_ms)
            .fetch_one(conn)
            .await)
        .map_err(StoreError::query(OP_AFTER))
    }

    /// Stored receipts after a place, which is time of receipt and order, in the order of places; each with its own.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn rollups_receipts_after(
        &self,
        _by: System,
        (at_ms, id): (i64, i64),
        limit: i64,
    ) -> Result<Vec<((i64, i64), ReceiptFacts)>, StoreError> {
        let rows: Vec<Row> = on_read!(self, conn => sqlx::query_as(
            "SELECT id, node_id, region, received_at_ms, cache_hit, status, tokens_input, tokens_output, tokens_source, \
             ttft_ms, latency_ms FROM receipts WHERE (received_at_ms, id) > ($1, $2) ORDER BY received_at_ms, id LIMIT $3")
            .bind(at_ms)
            .bind(id)
            .bind(limit)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP_AFTER))?;
        let facts = rows.into_iter().map(|row| {
            let facts = ReceiptFacts {
                node_id: row.node_id,
                region: row.region,
                received_at_ms: row.received_at_ms,
                ..row.rest.facts()
            };
            ((row.received_at_ms, row.id), facts)
        });
        Ok(facts.collect())
    }
}
