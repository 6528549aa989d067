//! Up to which minute the rows of sums are whole, and the receipts that came after it.
//!
//! On SQLite the sums of open minutes are in memory ([`OpenSums`](dgon_control_plane_model::open_sums::OpenSums)). What is
//! over is written in pieces: one that is written twice leaves what one leaves, and the last one of a minute moves the
//! border. On PostgreSQL the border is the end of time: the rows are always whole.

use crate::ingest::{IngestTx, Tx};
use crate::receipt_scan::{ScanRow, rows_of_json, scan_json};
use crate::rollups::RollupConnection as _;
use crate::{Dialect, Store, StoreError, System, on_read};
use dgon_control_plane_model::open_sums::Piece;
use dgon_control_plane_model::rollup::ReceiptFacts;
use serde::Deserialize;

const OP_SEALED: &str = "rollups.sealed";
const OP_AFTER: &str = "rollups.receipts_after";

macro_rules! receipts_where {
    ($condition:literal) => {
        concat!(
            "SELECT id, node_id, org_id, region, received_at_ms, cache_hit, status, tokens_input, tokens_output, tokens_source, \
             ttft_ms, latency_ms FROM receipts WHERE ",
            $condition,
            " LIMIT $3"
        )
    };
}

/// The same on SQLite as one JSON text.
macro_rules! receipts_in_one_where {
    ($condition:literal) => {
        concat!(
            "SELECT json_group_array(json_array(id, node_id, org_id, region, received_at_ms, ",
            scan_json!(),
            ")) FROM (",
            receipts_where!($condition),
            ")"
        )
    };
}

/// The two statements that find what comes after a place: those of the same time first, for as one condition over both each page
/// would pass all that came at that time again.
macro_rules! after {
    ($receipts:ident) => {
        [
            $receipts!("received_at_ms = $1 AND id > $2 ORDER BY id"),
            $receipts!("received_at_ms > $1 AND $2 = $2 ORDER BY received_at_ms, id"),
        ]
    };
}
const ROWS_AFTER: [&str; 2] = after!(receipts_where);
const IN_ONE_AFTER: [&str; 2] = after!(receipts_in_one_where);

/// A receipt to be counted.
#[derive(sqlx::FromRow, Deserialize)]
struct Row {
    id: i64,
    node_id: String,
    org_id: Option<String>,
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

    /// Writes a piece of a minute that is over; with its last piece the border goes there.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Corrupt`] where a row of the network that is there cannot be read and is to be added to.
    /// The transaction is to be dropped then.
    pub async fn rollups_seal(
        &mut self,
        piece: &Piece,
        network: Network,
    ) -> Result<(), StoreError> {
        macro_rules! seal {
            ($tx:expr) => {{
                let tx = $tx;
                tx.replace(&piece.rows).await?;
                let Some(rows) = &piece.network else {
                    return Ok(());
                };
                tx.lock_sums().await?;
                match network {
                    Network::Adds => tx.apply(&mut rows.clone()).await?,
                    Network::Whole => tx.replace(rows).await?,
                }
                // After its quarter was closed, by a clock that is another now.
                let closed = tx.closed().await?;
                if piece.minute < closed.closing {
                    tx.late().await?;
                }
                if piece.minute < closed.minute {
                    tx.apply(&mut piece.closed.clone()).await?;
                }
                tx.seal(piece.minute).await
            }};
        }
        match self.tx() {
            Tx::Sqlite(tx) => seal!(tx),
            Tx::Postgres(tx) => seal!(tx),
        }
    }

    /// How many receipts were received from a time to before another, unix ms.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn rollups_receipts_between(
        &mut self,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<i64, StoreError> {
        const TEXT: &str =
            "SELECT COUNT(*) FROM receipts WHERE received_at_ms >= $1 AND received_at_ms < $2";
        macro_rules! count {
            ($tx:expr) => {
                sqlx::query_scalar(TEXT)
                    .bind(from_ms)
                    .bind(to_ms)
                    .fetch_one(&mut **$tx)
                    .await
            };
        }
        match self.tx() {
            Tx::Sqlite(tx) => count!(tx),
            Tx::Postgres(tx) => count!(tx),
        }
        .map_err(StoreError::query(OP_AFTER))
    }
}

/// What the rows of the network in a [`Piece`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// What the minute adds to the rows of its quarter of an hour.
    Adds,
    /// Those rows, as they are to be.
    Whole,
}

impl Store {
    /// When the last receipt was received, unix ms; 0 where there is none.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn last_received_ms(&self, _by: System) -> Result<i64, StoreError> {
        let last: Option<i64> = on_read!(self, conn => sqlx::query_scalar(
            "SELECT MAX(received_at_ms) FROM receipts")
            .fetch_one(conn)
            .await)
        .map_err(StoreError::query(OP_AFTER))?;
        Ok(last.unwrap_or(0))
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
        let mut rows: Vec<Row> = Vec::new();
        for (in_rows, in_one) in ROWS_AFTER.into_iter().zip(IN_ONE_AFTER) {
            let left = limit - i64::try_from(rows.len()).unwrap_or(limit);
            let more = match self.dialect() {
                Dialect::Sqlite => {
                    let json: String = on_read!(self, conn => sqlx::query_scalar(in_one)
                        .bind(at_ms)
                        .bind(id)
                        .bind(left)
                        .fetch_one(conn)
                        .await)
                    .map_err(StoreError::query(OP_AFTER))?;
                    let mut more: Vec<Row> = rows_of_json(OP_AFTER, &json)?;
                    // In which order an array is made SQLite does not promise.
                    more.sort_unstable_by_key(|row| (row.received_at_ms, row.id));
                    more
                }
                Dialect::Postgres => on_read!(self, conn => sqlx::query_as(in_rows)
                    .bind(at_ms)
                    .bind(id)
                    .bind(left)
                    .fetch_all(conn)
                    .await)
                .map_err(StoreError::query(OP_AFTER))?,
            };
            rows.extend(more);
        }
        let facts = rows.into_iter().map(|row| {
            let facts = ReceiptFacts {
                node_id: row.node_id,
                org_id: row.org_id,
                region: row.region,
                received_at_ms: row.received_at_ms,
                ..row.rest.facts()
            };
            ((row.received_at_ms, row.id), facts)
        });
        Ok(facts.collect())
    }
}
