//! Sums of receipts per minute, node and region, and over all nodes per quarter of an hour and region. What is made of them when
//! a quarter is over is in `rollups_closed`, how they are read in [`rollups_range`](crate::rollups_range).
//!
//! On SQLite the sums of a minute are in memory until it is over (`rollups_open`) and are written here once and whole; only
//! what is received in a minute that is written already, because the clock went back, is added to its rows. On PostgreSQL
//! they are written in the transaction that stores the receipts. A sketch cannot be merged by SQL: existing rows are read,
//! merged and written back. SQLite has one writer; on PostgreSQL an advisory lock, held until the commit, keeps two
//! processes from overwriting each other's sketches.

use crate::StoreError;
use crate::chunks::chunks;
use crate::ingest::{IngestTx, Tx};
use crate::rollups_closed::Closed;
use dgon_control_plane_model::rollup::{
    ReceiptFacts, RowKey, Sums, minute_of, sum_up, sum_up_closed,
};
use dgon_control_plane_model::sketch::Sketch;
use sqlx::{PgConnection, Postgres, QueryBuilder, Sqlite, SqliteConnection};

/// Serialises writers of sketches until their commit.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(1145523022, 1)";

/// Moves the border, forward only.
const SEAL: &str = "UPDATE rollups_sealed SET minute = $1 WHERE minute < $1";

const OP_APPLY: &str = "rollups.apply";
const OP_SEAL: &str = "rollups.seal";
const OP_ALL: &str = "rollups.all";
const OP_CLOSED: &str = "rollups.closed";
/// How far quarters are closed.
const CLOSED: &str = "SELECT minute, closing, late FROM rollups_closed";
/// Says that a minute was added to whose rows are being made, or there.
const LATE: &str = "UPDATE rollups_closed SET late = late + 1";

/// A row as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct RollupRow {
    pub(crate) node_id: String,
    minute: i64,
    region: String,
    requests: i64,
    errors: i64,
    cache_hits: i64,
    cache_known: i64,
    tokens_input: i64,
    tokens_output: i64,
    tokens_not_counted: i64,
    ttft: Vec<u8>,
    latency: Vec<u8>,
    org_id: String,
}

fn sketch(op: &'static str, bytes: &[u8]) -> Result<Sketch, StoreError> {
    Sketch::decode(bytes).map_err(|_| StoreError::Corrupt { op, what: "sketch" })
}

/// What a stored row says.
///
/// # Errors
/// [`StoreError::Corrupt`] where a sketch is damaged.
pub(crate) fn convert(op: &'static str, row: RollupRow) -> Result<(RowKey, Sums), StoreError> {
    let sums = Sums {
        requests: row.requests,
        errors: row.errors,
        cache_hits: row.cache_hits,
        cache_known: row.cache_known,
        tokens_input: row.tokens_input,
        tokens_output: row.tokens_output,
        tokens_not_counted: row.tokens_not_counted,
        ttft: sketch(op, &row.ttft)?,
        latency: sketch(op, &row.latency)?,
    };
    let key = RowKey {
        node_id: row.node_id,
        minute: row.minute,
        region: row.region,
        org_id: row.org_id,
    };
    Ok((key, sums))
}

/// Expands one text per connection type.
macro_rules! on_database {
    ($merge:ident, $replace:ident, $connection:ty, $database:ty) => {
        async fn $merge(conn: &mut $connection, rows: &mut [(RowKey, Sums)]) -> Result<(), StoreError> {
            let mut stored: Vec<RollupRow> = Vec::new();
            for (_, rows) in chunks(rows) {
                let mut query =
                    QueryBuilder::<$database>::new("WITH wanted (node_id, minute, region, org_id) AS (");
                query.push_values(rows, |mut values, (key, _)| {
                    values
                        .push_bind(key.node_id.clone())
                        .push_bind(key.minute)
                        .push_bind(key.region.clone())
                        .push_bind(key.org_id.clone());
                });
                query.push(
                    ") SELECT r.* FROM wanted w CROSS JOIN rollups r \
                     WHERE r.node_id = w.node_id AND r.minute = w.minute AND r.region = w.region \
                     AND r.org_id = w.org_id",
                );
                stored.extend(
                    query
                        .build_query_as::<RollupRow>()
                        .fetch_all(&mut *conn)
                        .await
                        .map_err(StoreError::query(OP_APPLY))?,
                );
            }
            for row in stored {
                let (key, sums) = convert(OP_APPLY, row)?;
                if let Ok(at) = rows.binary_search_by(|row| row.0.cmp(&key)) {
                    rows[at].1.merge(&sums);
                }
            }
            Ok(())
        }

        async fn $replace(conn: &mut $connection, rows: &[(RowKey, Sums)]) -> Result<(), StoreError> {
            for (_, rows) in chunks(rows) {
                let mut query = QueryBuilder::<$database>::new(
                    "INSERT INTO rollups (node_id, minute, region, requests, errors, cache_hits, \
                     cache_known, tokens_input, tokens_output, tokens_not_counted, ttft, latency, org_id) ",
                );
                query.push_values(rows, |mut values, (key, sums)| {
                    values
                        .push_bind(key.node_id.clone())
                        .push_bind(key.minute)
                        .push_bind(key.region.clone())
                        .push_bind(sums.requests)
                        .push_bind(sums.errors)
                        .push_bind(sums.cache_hits)
                        .push_bind(sums.cache_known)
                        .push_bind(sums.tokens_input)
                        .push_bind(sums.tokens_output)
                        .push_bind(sums.tokens_not_counted)
                        .push_bind(sums.ttft.encode())
                        .push_bind(sums.latency.encode())
                        .push_bind(key.org_id.clone());
                });
                query.push(
                    " ON CONFLICT (node_id, minute, region, org_id) DO UPDATE SET requests = excluded.requests, \
                     errors = excluded.errors, cache_hits = excluded.cache_hits, \
                     cache_known = excluded.cache_known, tokens_input = excluded.tokens_input, tokens_output = excluded.tokens_output, \
                     tokens_not_counted = excluded.tokens_not_counted, \
                     ttft = excluded.ttft, latency = excluded.latency",
                );
                query
                    .build()
                    .execute(&mut *conn)
                    .await
                    .map_err(StoreError::query(OP_APPLY))?;
            }
            Ok(())
        }
    };
}

on_database!(merge_on_sqlite, replace_on_sqlite, SqliteConnection, Sqlite);
on_database!(
    merge_on_postgres,
    replace_on_postgres,
    PgConnection,
    Postgres
);

/// What is the same on either connection.
macro_rules! on_closed {
    () => {
        async fn closed(&mut self) -> Result<Closed, StoreError> {
            sqlx::query_as(CLOSED)
                .fetch_one(self)
                .await
                .map_err(StoreError::query(OP_CLOSED))
        }

        async fn late(&mut self) -> Result<(), StoreError> {
            sqlx::query(LATE)
                .execute(self)
                .await
                .map(drop)
                .map_err(StoreError::query(OP_CLOSED))
        }
    };
}

/// A connection on which [`apply_on_conn`] works.
pub(crate) trait RollupConnection {
    /// Keeps other writers of sums waiting until the end of the transaction. Before what is read to be written back.
    async fn lock_sums(&mut self) -> Result<(), StoreError>;

    /// How far quarters are closed, which stays so while sums are locked.
    async fn closed(&mut self) -> Result<Closed, StoreError>;

    /// Something was added to a minute before [`Closed::closing`].
    async fn late(&mut self) -> Result<(), StoreError>;

    /// Merges rows, sorted by key, into the table. Sums are locked.
    async fn apply(&mut self, rows: &mut [(RowKey, Sums)]) -> Result<(), StoreError>;

    /// Puts rows in the place of those that are there.
    async fn replace(&mut self, rows: &[(RowKey, Sums)]) -> Result<(), StoreError>;

    /// The rows are whole up to a minute.
    async fn seal(&mut self, minute: i64) -> Result<(), StoreError>;
}

impl RollupConnection for SqliteConnection {
    async fn lock_sums(&mut self) -> Result<(), StoreError> {
        // It has one writer.
        Ok(())
    }

    on_closed!();

    async fn apply(&mut self, rows: &mut [(RowKey, Sums)]) -> Result<(), StoreError> {
        merge_on_sqlite(self, rows).await?;
        self.replace(rows).await
    }

    async fn replace(&mut self, rows: &[(RowKey, Sums)]) -> Result<(), StoreError> {
        replace_on_sqlite(self, rows).await
    }

    async fn seal(&mut self, minute: i64) -> Result<(), StoreError> {
        sqlx::query(SEAL)
            .bind(minute)
            .execute(self)
            .await
            .map(drop)
            .map_err(StoreError::query(OP_SEAL))
    }
}

impl RollupConnection for PgConnection {
    async fn lock_sums(&mut self) -> Result<(), StoreError> {
        sqlx::query(POSTGRES_LOCK)
            .execute(self)
            .await
            .map(drop)
            .map_err(StoreError::query(OP_APPLY))
    }

    on_closed!();

    async fn apply(&mut self, rows: &mut [(RowKey, Sums)]) -> Result<(), StoreError> {
        merge_on_postgres(self, rows).await?;
        self.replace(rows).await
    }

    async fn replace(&mut self, rows: &[(RowKey, Sums)]) -> Result<(), StoreError> {
        replace_on_postgres(self, rows).await
    }

    async fn seal(&mut self, _minute: i64) -> Result<(), StoreError> {
        // They always are.
        Ok(())
    }
}

/// Adds receipts to the rows, on the connection of the transaction that stores them: those of sealed minutes, and of such
/// as are sealed by it.
///
/// Call it once per transaction and last: on PostgreSQL it waits for other processes' commits.
pub(crate) async fn apply_on_conn<C: RollupConnection>(
    conn: &mut C,
    receipts: &[ReceiptFacts],
) -> Result<(), StoreError> {
    let minutes = receipts.iter().map(|facts| minute_of(facts.received_at_ms));
    let (Some(first), Some(last)) = (minutes.clone().min(), minutes.max()) else {
        return Ok(());
    };
    conn.lock_sums().await?;
    let (closed, mut rows) = (conn.closed().await?, sum_up(receipts));
    if first < closed.closing {
        conn.late().await?;
        rows.append(&mut sum_up_closed(receipts, closed.minute));
    }
    let mut rows: Vec<(RowKey, Sums)> = rows.into_iter().collect();
    conn.apply(&mut rows).await?;
    conn.seal(last).await
}

/// Every row.
pub(crate) async fn all(tx: &mut IngestTx) -> Result<Vec<(RowKey, Sums)>, StoreError> {
    const TEXT: &str = "SELECT * FROM rollups";
    let rows: Result<Vec<RollupRow>, _> = match tx.tx() {
        Tx::Sqlite(tx) => sqlx::query_as(TEXT).fetch_all(&mut **tx).await,
        Tx::Postgres(tx) => sqlx::query_as(TEXT).fetch_all(&mut **tx).await,
    };
    let rows = rows.map_err(StoreError::query(OP_ALL))?;
    rows.into_iter().map(|row| convert(OP_ALL, row)).collect()
}
