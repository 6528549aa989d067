//! The statements of ingest that differ between the databases: SQLite takes many rows as `VALUES` and lists
//! as JSON, PostgreSQL takes both as arrays.

use super::{NewReceipt, Tx};
use crate::chunks::{SIZES, chunks};
use dgon_protocol::chain::Head;
use dgon_protocol::receipt::{Source, Status, TokensSource};
use sqlx::Error;
use std::sync::LazyLock;

const COLUMNS: &str = "request_id, node_id, node_key_id, seq, received_at_ms, version, region, model_id, runtime, \
     source, status, ts_start, ts_end, tokens_input, tokens_output, tokens_cached, ttft_ms, latency_ms, p95_ms, \
     cache_hit, hedged, entry_hash, entry, tokens_source, org_id, verified";
const COLUMN_COUNT: usize = 26;

/// Each of them leaves out what it cannot insert, whatever the reason, and undoes nothing: were there a constraint that fails
/// the statement, SQLite would keep every page as it was before, in case.
static SQLITE_INSERTS: LazyLock<[String; SIZES.len()]> = LazyLock::new(|| {
    SIZES.map(|rows| {
        let row = format!("({})", vec!["?"; COLUMN_COUNT].join(", "));
        let values = vec![row; rows].join(", ");
        format!("INSERT OR IGNORE INTO receipts ({COLUMNS}) VALUES {values}")
    })
});

/// Inserts receipts; how many went in.
pub(super) async fn insert(tx: &mut Tx, receipts: &[NewReceipt<'_>]) -> Result<u64, Error> {
    if receipts.is_empty() {
        return Ok(0);
    }
    match tx {
        Tx::Sqlite(tx) => insert_sqlite(tx, receipts).await,
        Tx::Postgres(tx) => insert_postgres(tx, receipts).await,
    }
}

async fn insert_sqlite(
    tx: &mut sqlx::SqliteConnection,
    receipts: &[NewReceipt<'_>],
) -> Result<u64, Error> {
    let mut inserted = 0;
    for (size, chunk) in chunks(receipts) {
        let mut query = sqlx::query(SQLITE_INSERTS[size].as_str());
        for receipt in chunk {
            let f = receipt.fields;
            query = query
                .bind(f.request_id.as_str())
                .bind(f.node_id.as_str())
                .bind(receipt.node_key_id)
                .bind(receipt.seq)
                .bind(receipt.received_at_ms)
                .bind(receipt.version())
                .bind(receipt.region)
                .bind(f.model_id.as_str())
                .bind(f.runtime.as_deref())
                .bind(f.source.map(Source::as_str))
                .bind(f.status.map(Status::as_str))
                .bind(f.ts_start)
                .bind(f.ts_end)
                .bind(f.tokens_input)
                .bind(f.tokens_output)
                .bind(f.tokens_cached)
                .bind(f.ttft_ms)
                .bind(f.latency_ms)
                .bind(f.p95_ms)
                .bind(f.cache_hit)
                .bind(f.hedged)
                .bind(receipt.entry_hash.0.as_slice())
                .bind(receipt.entry)
                .bind(f.tokens_source.map(TokensSource::as_str))
                .bind(receipt.org_id)
                .bind(receipt.verified);
        }
        inserted += query.execute(&mut *tx).await?.rows_affected();
    }
    Ok(inserted)
}

async fn insert_postgres(
    tx: &mut sqlx::PgConnection,
    receipts: &[NewReceipt<'_>],
) -> Result<u64, Error> {
    macro_rules! column {
        ($receipt:ident => $value:expr) => {
            receipts.iter().map(|$receipt| $value).collect::<Vec<_>>()
        };
    }
    let sql = "INSERT INTO receipts (request_id, node_id, node_key_id, seq, received_at_ms, version, region, \
         model_id, runtime, source, status, ts_start, ts_end, tokens_input, tokens_output, tokens_cached, ttft_ms, \
         latency_ms, p95_ms, cache_hit, hedged, entry_hash, entry, tokens_source, org_id, verified) \
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], \
         $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], \
         $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::boolean[], $21::boolean[], \
         $22::bytea[], $23::bytea[], $24::text[], $25::text[], $26::boolean[]) ON CONFLICT DO NOTHING";
    let done = sqlx::query(sql)
        .bind(column!(r => r.fields.request_id.as_str()))
        .bind(column!(r => r.fields.node_id.as_str()))
        .bind(column!(r => r.node_key_id))
        .bind(column!(r => r.seq))
        .bind(column!(r => r.received_at_ms))
        .bind(column!(r => r.version()))
        .bind(column!(r => r.region))
        .bind(column!(r => r.fields.model_id.as_str()))
        .bind(column!(r => r.fields.runtime.as_deref()))
        .bind(column!(r => r.fields.source.map(Source::as_str)))
        .bind(column!(r => r.fields.status.map(Status::as_str)))
        .bind(column!(r => r.fields.ts_start))
        .bind(column!(r => r.fields.ts_end))
        .bind(column!(r => r.fields.tokens_input))
        .bind(column!(r => r.fields.tokens_output))
        .bind(column!(r => r.fields.tokens_cached))
        .bind(column!(r => r.fields.ttft_ms))
        .bind(column!(r => r.fields.latency_ms))
        .bind(column!(r => r.fields.p95_ms))
        .bind(column!(r => r.fields.cache_hit))
        .bind(column!(r => r.fields.hedged))
        .bind(column!(r => r.entry_hash.0.as_slice()))
        .bind(column!(r => r.entry))
        .bind(column!(r => r.fields.tokens_source.map(TokensSource::as_str)))
        .bind(column!(r => r.org_id))
        .bind(column!(r => r.verified))
        .execute(&mut *tx)
        .await?;
    Ok(done.rows_affected())
}

type HeadRow = (i64, i64, Vec<u8>);

pub(super) async fn heads(tx: &mut Tx, key_ids: &[i64]) -> Result<Vec<HeadRow>, Error> {
    match tx {
        Tx::Sqlite(tx) => {
            sqlx::query_as(
                "SELECT node_key_id, seq, entry_hash FROM chain_heads \
                 WHERE node_key_id IN (SELECT value FROM json_each($1))",
            )
            .bind(serde_json::to_string(key_ids).unwrap_or_default())
            .fetch_all(&mut **tx)
            .await
        }
        Tx::Postgres(tx) => {
            // In the order of locks; see the top of nodes.rs.
            sqlx::query_as(
                "SELECT id, head_seq, head_hash FROM node_keys WHERE id = ANY($1) ORDER BY id FOR UPDATE",
            )
            .bind(key_ids)
            .fetch_all(&mut **tx)
            .await
        }
    }
}

/// Rows of `(node_key_id, seq, value)` at places of chains; `column` is one of the two that are asked for.
async fn at_places<T>(tx: &mut Tx, places: &[(i64, i64)], column: Column) -> Result<Vec<T>, Error>
where
    T: Send + Unpin,
    T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>,
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    match tx {
        Tx::Sqlite(tx) => {
            let sql = match column {
                Column::Hash => {
                    "SELECT r.node_key_id, r.seq, r.entry_hash FROM json_each($1) p CROSS JOIN receipts r \
                     WHERE r.node_key_id = json_extract(p.value, '$[0]') AND r.seq = json_extract(p.value, '$[1]')"
                }
                Column::Entry => {
                    "SELECT r.node_key_id, r.seq, r.entry FROM json_each($1) p CROSS JOIN receipts r \
                     WHERE r.node_key_id = json_extract(p.value, '$[0]') AND r.seq = json_extract(p.value, '$[1]')"
                }
            };
            let places = serde_json::to_string(places).unwrap_or_default();
            sqlx::query_as(sql).bind(places).fetch_all(&mut **tx).await
        }
        Tx::Postgres(tx) => {
            let sql = match column {
                Column::Hash => {
                    "SELECT r.node_key_id, r.seq, r.entry_hash FROM UNNEST($1::bigint[], $2::bigint[]) AS p (key, seq) \
                     JOIN receipts r ON r.node_key_id = p.key AND r.seq = p.seq"
                }
                Column::Entry => {
                    "SELECT r.node_key_id, r.seq, r.entry FROM UNNEST($1::bigint[], $2::bigint[]) AS p (key, seq) \
                     JOIN receipts r ON r.node_key_id = p.key AND r.seq = p.seq"
                }
            };
            let (keys, seqs): (Vec<i64>, Vec<i64>) = places.iter().copied().unzip();
            sqlx::query_as(sql)
                .bind(keys)
                .bind(seqs)
                .fetch_all(&mut **tx)
                .await
        }
    }
}

enum Column {
    Hash,
    Entry,
}

type PlaceRow = (i64, i64, Vec<u8>);

pub(super) async fn hashes_at(tx: &mut Tx, places: &[(i64, i64)]) -> Result<Vec<PlaceRow>, Error> {
    at_places(tx, places, Column::Hash).await
}

pub(super) async fn entries_at(tx: &mut Tx, places: &[(i64, i64)]) -> Result<Vec<PlaceRow>, Error> {
    at_places(tx, places, Column::Entry).await
}

type RequestRow = (String, String, Vec<u8>);

/// Node, request id and hash of stored receipts.
pub(super) async fn by_request(
    tx: &mut Tx,
    requests: &[(&str, &str)],
) -> Result<Vec<RequestRow>, Error> {
    match tx {
        Tx::Sqlite(tx) => {
            sqlx::query_as(
                "SELECT r.node_id, r.request_id, r.entry_hash FROM json_each($1) w CROSS JOIN receipts r \
                 WHERE r.request_id = json_extract(w.value, '$[1]') AND r.node_id = json_extract(w.value, '$[0]')",
            )
            .bind(serde_json::to_string(requests).unwrap_or_default())
            .fetch_all(&mut **tx)
            .await
        }
        Tx::Postgres(tx) => {
            let (nodes, ids): (Vec<&str>, Vec<&str>) = requests.iter().copied().unzip();
            sqlx::query_as(
                "SELECT r.node_id, r.request_id, r.entry_hash FROM UNNEST($1::text[], $2::text[]) AS w (node, id) \
                 JOIN receipts r ON r.request_id = w.id AND r.node_id = w.node",
            )
            .bind(nodes)
            .bind(ids)
            .fetch_all(&mut **tx)
            .await
        }
    }
}

type GapRow = (i64, i64, i64, i64, String);

/// Id, key, first, last and reason of the gaps of these keys.
pub(super) async fn gaps(tx: &mut Tx, key_ids: &[i64]) -> Result<Vec<GapRow>, Error> {
    match tx {
        Tx::Sqlite(tx) => {
            sqlx::query_as(
                "SELECT id, node_key_id, from_seq, to_seq, reason FROM chain_gaps \
                 WHERE node_key_id IN (SELECT value FROM json_each($1)) ORDER BY from_seq",
            )
            .bind(serde_json::to_string(key_ids).unwrap_or_default())
            .fetch_all(&mut **tx)
            .await
        }
        Tx::Postgres(tx) => {
            sqlx::query_as(
                "SELECT id, node_key_id, from_seq, to_seq, reason FROM chain_gaps \
                 WHERE node_key_id = ANY($1) ORDER BY from_seq",
            )
            .bind(key_ids)
            .fetch_all(&mut **tx)
            .await
        }
    }
}

/// How many gaps these nodes have.
pub(super) async fn gap_counts(
    tx: &mut Tx,
    node_ids: &[&str],
) -> Result<Vec<(String, i64)>, Error> {
    match tx {
        Tx::Sqlite(tx) => {
            sqlx::query_as(
                "SELECT node_id, COUNT(*) FROM chain_gaps \
                 WHERE node_id IN (SELECT value FROM json_each($1)) GROUP BY node_id",
            )
            .bind(serde_json::to_string(node_ids).unwrap_or_default())
            .fetch_all(&mut **tx)
            .await
        }
        Tx::Postgres(tx) => {
            sqlx::query_as(
                "SELECT node_id, COUNT(*) FROM chain_gaps WHERE node_id = ANY($1) GROUP BY node_id",
            )
            .bind(node_ids)
            .fetch_all(&mut **tx)
            .await
        }
    }
}

/// Moves heads that [`heads`] has locked: a statement over many rows has no order of its own. How many it moved.
pub(super) async fn set_heads(tx: &mut Tx, heads: &[(i64, Head)]) -> Result<u64, Error> {
    match tx {
        Tx::Sqlite(tx) => {
            let rows: Vec<(i64, i64, String)> = heads
                .iter()
                .map(|(id, head)| (*id, seq(head), head.entry_hash.to_hex()))
                .collect();
            let moved = sqlx::query(
                "UPDATE node_keys SET head_seq = json_extract(h.value, '$[1]'), \
                 head_hash = unhex(json_extract(h.value, '$[2]')) \
                 FROM json_each($1) h WHERE node_keys.id = json_extract(h.value, '$[0]')",
            )
            .bind(serde_json::to_string(&rows).unwrap_or_default())
            .execute(&mut **tx)
            .await?;
            Ok(moved.rows_affected())
        }
        Tx::Postgres(tx) => {
            let ids: Vec<i64> = heads.iter().map(|(id, _)| *id).collect();
            let seqs: Vec<i64> = heads.iter().map(|(_, head)| seq(head)).collect();
            let hashes: Vec<&[u8]> = heads
                .iter()
                .map(|(_, head)| head.entry_hash.0.as_slice())
                .collect();
            let moved = sqlx::query(
                "UPDATE node_keys k SET head_seq = h.seq, head_hash = h.hash \
                 FROM UNNEST($1::bigint[], $2::bigint[], $3::bytea[]) AS h (id, seq, hash) WHERE k.id = h.id",
            )
            .bind(ids)
            .bind(seqs)
            .bind(hashes)
            .execute(&mut **tx)
            .await?;
            Ok(moved.rows_affected())
        }
    }
}

fn seq(head: &Head) -> i64 {
    i64::try_from(head.seq).unwrap_or(i64::MAX)
}
