//! Each node's last 24 hours, beside the node: what the list of nodes is sorted and shown by.

use crate::db::Backend;
use crate::{Store, StoreError, System, on_read};
use dgon_control_plane_model::window::DayWindow;

const OP_SET: &str = "windows.set";
const OP_STALE: &str = "windows.stale";

/// A node's last 24 hours in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWindow {
    /// Which node.
    pub node_id: String,
    /// The last minute that is in it.
    pub minute: i64,
    /// Receipts.
    pub requests: i64,
    /// 95th percentile of the time to first token, ms.
    pub p95_ms: Option<i64>,
}

impl NodeWindow {
    /// What a day of a node comes to, as of `minute`.
    pub fn of(node_id: &str, minute: i64, day: &DayWindow) -> Self {
        Self {
            node_id: node_id.to_owned(),
            minute,
            requests: day.requests(),
            p95_ms: day.p95_ms(),
        }
    }
}

impl Store {
    /// Writes windows beside their nodes, each node once, in one statement: for many nodes that are busy it is written all
    /// the time.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn windows_set(&self, _by: System, windows: &[NodeWindow]) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite { writer, .. } => {
                let rows: Vec<(&str, i64, Option<i64>, i64)> = windows
                    .iter()
                    .map(|w| (w.node_id.as_str(), w.requests, w.p95_ms, w.minute))
                    .collect();
                sqlx::query(
                    "UPDATE nodes SET requests_24h = json_extract(w.value, '$[1]'), \
                     p95_ms = json_extract(w.value, '$[2]'), window_minute = json_extract(w.value, '$[3]') \
                     FROM json_each($1) w WHERE nodes.node_id = json_extract(w.value, '$[0]')",
                )
                .bind(serde_json::to_string(&rows).unwrap_or_default())
                .execute(writer)
                .await
                .map(drop)
            }
            Backend::Postgres { writer, .. } => {
                let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for window in windows {
                    columns.0.push(window.node_id.as_str());
                    columns.1.push(window.requests);
                    columns.2.push(window.p95_ms);
                    columns.3.push(window.minute);
                }
                sqlx::query(
                    // In the order of locks; see the top of nodes.rs. A row is written when it has come out of `locked`.
                    "WITH windows AS (SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
                                      AS w (node_id, requests, p95_ms, minute)), \
                     locked AS (SELECT node_id FROM nodes WHERE node_id = ANY($1) ORDER BY node_id COLLATE \"C\" FOR NO KEY UPDATE) \
                     UPDATE nodes SET requests_24h = w.requests, p95_ms = w.p95_ms, window_minute = w.minute \
                     FROM windows w JOIN locked l ON l.node_id = w.node_id WHERE nodes.node_id = w.node_id",
                )
                .bind(columns.0)
                .bind(columns.1)
                .bind(columns.2)
                .bind(columns.3)
                .execute(writer)
                .await
                .map(drop)
            }
        }
        .map_err(StoreError::query(OP_SET))
    }

    /// Nodes with requests in a window that was last recomputed before `minute`, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn windows_stale(
        &self,
        _by: System,
        minute: i64,
        limit: i64,
    ) -> Result<Vec<String>, StoreError> {
        on_read!(self, conn => sqlx::query_scalar(
            "SELECT node_id FROM nodes WHERE requests_24h > 0 AND window_minute < $1 ORDER BY window_minute LIMIT $2",
        )
        .bind(minute)
        .bind(limit)
        .fetch_all(conn)
        .await)
        .map_err(StoreError::query(OP_STALE))
    }
}
