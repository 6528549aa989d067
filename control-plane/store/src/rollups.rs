//! Sums of receipts per minute, node and region, and over all nodes per quarter of an hour and region.
//!
//! On SQLite the sums of a minute are in memory until it is over (`rollups_open`) and are written here once and whole; only
//! what is received in a minute that is written already, because the clock went back, is added to its rows. On PostgreSQL
//! they are written in the transaction that stores the receipts. A sketch cannot be merged by SQL: existing rows are read,
//! merged and written back. SQLite has one writer; on PostgreSQL an advisory lock, held until the commit, keeps two
//! processes from overwriting each other's sketches.

use crate::chunks::chunks;
use crate::ingest::{IngestTx, Tx};
use crate::statement::Statement;
use crate::{Scope, Store, StoreError, System, on_page, on_read};
use dgon_control_plane_model::rollup::{ReceiptFacts, RowKey, Sums, minute_of, sum_up};
use dgon_control_plane_model::sketch::Sketch;
use dgon_control_plane_model::window::first_minute;
use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, Postgres, QueryBuilder, Sqlite, SqliteConnection};

/// Serialises writers of sketches until their commit.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(1145523022, 1)";

/// Moves the border, forward only.
const SEAL: &str = "UPDATE rollups_sealed SET minute = $1 WHERE minute < $1";

const OP_APPLY: &str = "rollups.apply";
const OP_SEAL: &str = "rollups.seal";
const OP_RANGE: &str = "rollups.range";
const OP_DAY: &str = "rollups.day";
const OP_RECENT: &str = "rollups.recent";

/// A row as it is stored.
#[derive(Debug, sqlx::FromRow)]
struct RollupRow {
    node_id: String,
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
}

/// Rows that are whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WrittenSums {
    /// Oldest first.
    pub rows: Vec<(RowKey, Sums)>,
    /// The minute up to which they count; `None` where there is none.
    pub sealed: Option<i64>,
}

impl WrittenSums {
    fn of(op: &'static str, found: Vec<FoundRow>) -> Result<Self, StoreError> {
        let sealed = found.first().map(|found| found.sealed);
        let rows = found.into_iter().map(|found| convert(op, found.row));
        Ok(Self {
            rows: rows.collect::<Result<_, _>>()?,
            sealed,
        })
    }
}

/// A row, and the border as it was when it was read: one statement sees one state.
#[derive(Debug, sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    row: RollupRow,
    sealed: i64,
}

/// Which rows to read.
#[derive(Debug, Clone, Default)]
pub struct RollupRange {
    /// One node's minutes; `None` for quarters over all nodes.
    pub node_id: Option<String>,
    /// One region; `None` for all.
    pub region: Option<String>,
    /// First minute.
    pub from_minute: i64,
    /// The minute after the last.
    pub to_minute: i64,
}

fn sketch(op: &'static str, bytes: &[u8]) -> Result<Sketch, StoreError> {
    Sketch::decode(bytes).map_err(|_| StoreError::Corrupt { op, what: "sketch" })
}

fn convert(op: &'static str, row: RollupRow) -> Result<(RowKey, Sums), StoreError> {
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
                    QueryBuilder::<$database>::new("WITH wanted (node_id, minute, region) AS (");
                query.push_values(rows, |mut values, (key, _)| {
                    values
                        .push_bind(key.node_id.clone())
                        .push_bind(key.minute)
                        .push_bind(key.region.clone());
                });
                query.push(
                    ") SELECT r.* FROM wanted w CROSS JOIN rollups r \
                     WHERE r.node_id = w.node_id AND r.minute = w.minute AND r.region = w.region",
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
                        .push("(SELECT org_id FROM nodes WHERE node_id = ")
                        .push_bind_unseparated(key.node_id.clone())
                        .push_unseparated(")");
                });
                query.push(
                    " ON CONFLICT (node_id, minute, region) DO UPDATE SET requests = excluded.requests, \
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

/// A connection on which [`apply_on_conn`] works.
pub(crate) trait RollupConnection {
    /// Merges rows, sorted by key, into the table.
    async fn apply(&mut self, rows: &mut [(RowKey, Sums)]) -> Result<(), StoreError>;

    /// Puts rows in the place of those that are there.
    async fn replace(&mut self, rows: &[(RowKey, Sums)]) -> Result<(), StoreError>;

    /// The rows are whole up to a minute.
    async fn seal(&mut self, minute: i64) -> Result<(), StoreError>;
}

impl RollupConnection for SqliteConnection {
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
    async fn apply(&mut self, rows: &mut [(RowKey, Sums)]) -> Result<(), StoreError> {
        sqlx::query(POSTGRES_LOCK)
            .execute(&mut *self)
            .await
            .map_err(StoreError::query(OP_APPLY))?;
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
    let Some(last) = minutes.max() else {
        return Ok(());
    };
    let mut rows: Vec<(RowKey, Sums)> = sum_up(receipts).into_iter().collect();
    conn.apply(&mut rows).await?;
    conn.seal(last).await
}

impl Store {
    /// The rows of a range, oldest first. Sums of the whole network are public; a node's are its organisation's.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub(crate) async fn rollups_range(
        &self,
        scope: &Scope,
        range: &RollupRange,
    ) -> Result<WrittenSums, StoreError> {
        let statement = range_statement(scope, range);
        let found: Vec<FoundRow> =
            on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_RANGE))?;
        WrittenSums::of(OP_RANGE, found)
    }

    /// What the rows of a range add up to, and the minute up to which they count; `None` where there is none. Row by row:
    /// whoever asks holds one of them, however many there are.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub async fn rollups_total(
        &self,
        scope: &Scope,
        range: &RollupRange,
    ) -> Result<(Sums, Option<i64>), StoreError> {
        let statement = range_statement(scope, range);
        on_page!(self, conn => {
            let mut query = statement.build();
            let mut rows = query.build_query_as::<FoundRow>().fetch(conn);
            let (mut total, mut sealed) = (Sums::default(), None);
            loop {
                match rows.try_next().await.map_err(StoreError::query(OP_RANGE)) {
                    Ok(Some(found)) => {
                        sealed = Some(found.sealed);
                        match convert(OP_RANGE, found.row) {
                            Ok((_, sums)) => total.merge(&sums),
                            Err(error) => break Err(error),
                        }
                    }
                    Ok(None) => break Ok((total, sealed)),
                    Err(error) => break Err(error),
                }
            }
        })
    }

    /// The network's rows from a minute on: what the server reads for all who look, once.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub async fn rollups_recent(
        &self,
        scope: &Scope,
        from_minute: i64,
    ) -> Result<WrittenSums, StoreError> {
        let range = RollupRange {
            node_id: None,
            region: None,
            from_minute,
            to_minute: i64::MAX,
        };
        let statement = range_statement(scope, &range);
        let found: Vec<FoundRow> =
            on_read!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_RECENT))?;
        WrittenSums::of(OP_RECENT, found)
    }

    /// A node's rows of the last 24 hours up to and with the hour of `minute`.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub async fn rollups_day(
        &self,
        by: System,
        node_id: &str,
        minute: i64,
    ) -> Result<WrittenSums, StoreError> {
        let range = RollupRange {
            node_id: Some(node_id.to_owned()),
            region: None,
            from_minute: first_minute(minute),
            to_minute: minute + 1,
        };
        let statement = range_statement(&by.into(), &range);
        let found: Vec<FoundRow> =
            on_read!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_DAY))?;
        WrittenSums::of(OP_DAY, found)
    }
}

/// Every row.
pub(crate) async fn all(tx: &mut IngestTx) -> Result<Vec<(RowKey, Sums)>, StoreError> {
    const TEXT: &str = "SELECT * FROM rollups";
    let rows: Result<Vec<RollupRow>, _> = match tx.tx() {
        Tx::Sqlite(tx) => sqlx::query_as(TEXT).fetch_all(&mut **tx).await,
        Tx::Postgres(tx) => sqlx::query_as(TEXT).fetch_all(&mut **tx).await,
    };
    let rows = rows.map_err(StoreError::query(OP_RANGE))?;
    rows.into_iter().map(|row| convert(OP_RANGE, row)).collect()
}

fn range_statement(scope: &Scope, range: &RollupRange) -> Statement {
    let mut statement = Statement::new(
        "SELECT rollups.*, (SELECT s.minute FROM rollups_sealed s) AS sealed FROM rollups \
         WHERE +minute <= (SELECT s.minute FROM rollups_sealed s) AND node_id = ",
    );
    // The unary plus leaves the other border of the range to the index.
    statement
        .text(range.node_id.as_deref().unwrap_or_default())
        .sql(" AND minute >= ")
        .int(range.from_minute)
        .sql(" AND minute < ")
        .int(range.to_minute);
    if let Some(region) = &range.region {
        statement.sql(" AND region = ").text(region.as_str());
    }
    // The network's own sums are everybody's.
    if !scope.is_system()
        && let Some(node_id) = &range.node_id
    {
        statement
            .sql(" AND EXISTS (SELECT 1 FROM nodes n WHERE n.node_id = ")
            .text(node_id.as_str())
            .sql(" AND n.org_id = ")
            .text(scope.org_id().unwrap_or_default())
            .sql(")");
    }
    statement.sql(" ORDER BY minute");
    statement
}
