//! Heartbeats: raw rows, kept for a short time, and the latest of each node on its own row.

use crate::chunks::chunks;
use crate::db::Backend;
use crate::{Store, StoreError, System, in_tx};
use dgon_protocol::id::NodeId;
use sqlx::QueryBuilder;

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

/// What stands before and after the values of node, time and body. As values and not as JSON: a body may be large, and to
/// parse it again and again would hold up other writers.
const INSERT_RAW: (&str, &str) = (
    "INSERT INTO heartbeats (node_id, at_ms, body, org_id) SELECT b.column1, b.column2, b.column3, \
     (SELECT n.org_id FROM nodes n WHERE n.node_id = b.column1) FROM (",
    ") AS b",
);
const SET_LATEST: (&str, &str) = (
    "UPDATE nodes SET last_heartbeat_at_ms = b.column2, last_heartbeat = b.column3 FROM (",
    ") AS b WHERE nodes.node_id = b.column1",
);

impl Store {
    /// Writes heartbeats in one transaction and makes each the latest of its node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn heartbeats_write(
        &self,
        _by: System,
        beats: &[NewHeartbeat],
    ) -> Result<(), StoreError> {
        if beats.is_empty() {
            return Ok(());
        }
        match &self.backend {
            Backend::Sqlite { .. } => self.heartbeats_write_rows(beats).await,
            Backend::Postgres { writer: pool, .. } => {
                let (mut ids, mut times, mut bodies, mut raws) =
                    (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for beat in beats {
                    ids.push(beat.node_id.as_str());
                    times.push(beat.at_ms);
                    bodies.push(beat.body.as_str());
                    raws.push(beat.keep_raw);
                }
                sqlx::query(
                    // In the order of locks; see the top of nodes.rs. A row is written when it has come out of `locked`.
                    "WITH beats AS (SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::boolean[]) AS b (node_id, at_ms, body, raw)), \
                     locked AS (SELECT node_id FROM nodes WHERE node_id = ANY($1) ORDER BY node_id COLLATE \"C\" FOR NO KEY UPDATE), \
                     latest AS (UPDATE nodes SET last_heartbeat_at_ms = b.at_ms, last_heartbeat = b.body \
                                FROM beats b JOIN locked l ON l.node_id = b.node_id WHERE nodes.node_id = b.node_id) \
                     INSERT INTO heartbeats (node_id, at_ms, body, org_id) SELECT b.node_id, b.at_ms, b.body, n.org_id \
                     FROM beats b LEFT JOIN nodes n ON n.node_id = b.node_id WHERE b.raw",
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

    /// The same on SQLite, many rows in a statement: each is a way to its thread and back.
    async fn heartbeats_write_rows(&self, beats: &[NewHeartbeat]) -> Result<(), StoreError> {
        const OP: &str = "heartbeat.write";
        let raw: Vec<&NewHeartbeat> = beats.iter().filter(|beat| beat.keep_raw).collect();
        let all: Vec<&NewHeartbeat> = beats.iter().collect();
        in_tx!(self, "heartbeat.write", tx => {
            for ((head, tail), beats) in [(INSERT_RAW, &raw), (SET_LATEST, &all)] {
                for (_, chunk) in chunks(beats) {
                    let mut query = QueryBuilder::new(head);
                    query.push_values(chunk, |mut row, beat| {
                        row.push_bind(beat.node_id.as_str())
                            .push_bind(beat.at_ms)
                            .push_bind(beat.body.as_str());
                    });
                    query.push(tail);
                    let done = query.build().execute(&mut *tx).await;
                    done.map_err(StoreError::query(OP))?;
                }
            }
        });
        Ok(())
    }
}
