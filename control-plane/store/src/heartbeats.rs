//! Heartbeats and probes: raw rows, kept for a short time, and the latest of each node on its own row.

use crate::db::Backend;
use crate::{Store, StoreError, in_tx, on_read, on_write};
use dgon_protocol::id::{NodeId, RequestId};

/// A heartbeat to be written.
#[derive(Debug, Clone)]
pub struct NewHeartbeat {
    /// Which node.
    pub node_id: NodeId,
    /// When it came, unix ms.
    pub at_ms: i64,
    /// JSON of `protocol::frame::Heartbeat`.
    pub body: String,
    /// Whether it is kept as a raw row, too, beside being the node's latest.
    pub keep_raw: bool,
}

/// How a probe went.
#[derive(Debug, Clone, Copy)]
pub struct ProbeEnd<'a> {
    /// When, unix ms.
    pub at_ms: i64,
    /// `ok`, `failed`, `no_runtime`, `refused` or `timeout`.
    pub outcome: &'a str,
    /// Why it failed.
    pub message: Option<&'a str>,
    /// The model that answered.
    pub model: Option<&'a str>,
    /// Prompt tokens.
    pub tokens_input: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
    /// Total time, ms.
    pub latency_ms: i64,
}

/// A finished probe.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ProbeRow {
    /// When it ended, unix ms.
    pub finished_at_ms: i64,
    /// How it went.
    pub outcome: String,
    /// Why it failed.
    pub message: Option<String>,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
}

impl Store {
    /// Writes heartbeats in one transaction and makes each the latest of its node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heartbeats_write(&self, beats: &[NewHeartbeat]) -> Result<(), StoreError> {
        if beats.is_empty() {
            return Ok(());
        }
        match &self.backend {
            Backend::Sqlite { .. } => self.heartbeats_write_rows(beats).await,
            Backend::Postgres(pool) => {
                let (mut ids, mut times, mut bodies, mut raws) =
                    (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for beat in beats {
                    ids.push(beat.node_id.as_str());
                    times.push(beat.at_ms);
                    bodies.push(beat.body.as_str());
                    raws.push(beat.keep_raw);
                }
                sqlx::query(
                    "WITH beats AS (SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::boolean[]) AS b (node_id, at_ms, body, raw)), \
                     latest AS (UPDATE nodes SET last_heartbeat_at_ms = b.at_ms, last_heartbeat = b.body \
                                FROM beats b WHERE nodes.node_id = b.node_id) \
                     INSERT INTO heartbeats (node_id, at_ms, body) SELECT node_id, at_ms, body FROM beats WHERE raw",
                )
                .bind(ids)
                .bind(times)
                .bind(bodies)
                .bind(raws)
                .execute(pool)
                .await
                .map(drop)
                .map_err(StoreError::query("heartbeat.write"))
            }
        }
    }

    /// SQLite needs no bulk form: a statement costs no round trip.
    async fn heartbeats_write_rows(&self, beats: &[NewHeartbeat]) -> Result<(), StoreError> {
        const OP: &str = "heartbeat.write";
        in_tx!(self, "heartbeat.write", tx => {
            for beat in beats {
                if beat.keep_raw {
                sqlx::query("INSERT INTO heartbeats (node_id, at_ms, body) VALUES ($1, $2, $3)")
                    .bind(beat.node_id.as_str())
                    .bind(beat.at_ms)
                    .bind(beat.body.as_str())
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP))?;
                }
                sqlx::query("UPDATE nodes SET last_heartbeat_at_ms = $2, last_heartbeat = $3 WHERE node_id = $1")
                    .bind(beat.node_id.as_str())
                    .bind(beat.at_ms)
                    .bind(beat.body.as_str())
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP))?;
            }
        });
        Ok(())
    }

    /// A probe was sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn probe_started(
        &self,
        probe_id: &str,
        node_id: &NodeId,
        request_id: &RequestId,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        on_write!(self, conn => sqlx::query(
                "INSERT INTO probes (probe_id, node_id, request_id, started_at_ms) VALUES ($1, $2, $3, $4)")
            .bind(probe_id)
            .bind(node_id.as_str())
            .bind(request_id.as_str())
            .bind(at_ms)
            .execute(conn)
            .await
            .map(drop)
            .map_err(StoreError::query("probe.started")))
    }

    /// A probe ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn probe_finished(
        &self,
        probe_id: &str,
        end: &ProbeEnd<'_>,
    ) -> Result<(), StoreError> {
        on_write!(self, conn => sqlx::query(
                "UPDATE probes SET finished_at_ms = $2, outcome = $3, message = $4, model = $5, tokens_input = $6, \
                 tokens_output = $7, ttft_ms = $8, latency_ms = $9 WHERE probe_id = $1 AND finished_at_ms IS NULL")
            .bind(probe_id)
            .bind(end.at_ms)
            .bind(end.outcome)
            .bind(end.message)
            .bind(end.model)
            .bind(end.tokens_input)
            .bind(end.tokens_output)
            .bind(end.ttft_ms)
            .bind(end.latency_ms)
            .execute(conn)
            .await
            .map(drop)
            .map_err(StoreError::query("probe.finished")))
    }

    /// The last probe of a node that ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn probe_last(&self, node_id: &NodeId) -> Result<Option<ProbeRow>, StoreError> {
        on_read!(self, conn => sqlx::query_as(
                "SELECT finished_at_ms, outcome, message, ttft_ms FROM probes \
                 WHERE node_id = $1 AND finished_at_ms IS NOT NULL ORDER BY started_at_ms DESC LIMIT 1")
            .bind(node_id.as_str())
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("probe.last")))
    }
}
