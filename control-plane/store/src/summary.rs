//! What the whole network adds up to, apart from the rollups.

use crate::{Store, StoreError, on_page};

/// Nodes per state, and what they offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkCounts {
    /// State of the lifecycle and how many nodes are in it. Without retired nodes.
    pub by_state: Vec<(String, i64)>,
    /// Different models on active nodes.
    pub models: i64,
}

impl Store {
    /// Counts nodes and models.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn network_counts(&self) -> Result<NetworkCounts, StoreError> {
        on_page!(self, conn => {
            let by_state = sqlx::query_as(
                "SELECT state, COUNT(*) FROM nodes WHERE state <> 'retired' GROUP BY state ORDER BY state",
            )
            .fetch_all(&mut *conn)
            .await
            .map_err(StoreError::query("summary.nodes"))?;
            let models = sqlx::query_scalar(
                "SELECT COUNT(DISTINCT m.model_id) FROM node_models m JOIN nodes n ON n.node_id = m.node_id \
                 WHERE n.state = 'active' AND m.model_id <> ''",
            )
            .fetch_one(conn)
            .await
            .map_err(StoreError::query("summary.models"))?;
            Ok(NetworkCounts { by_state, models })
        })
    }

    /// How many nodes are in each region, without retired ones.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_by_region(&self) -> Result<Vec<(String, i64)>, StoreError> {
        on_page!(self, conn => sqlx::query_as(
                "SELECT region, COUNT(*) FROM nodes WHERE state <> 'retired' GROUP BY region ORDER BY region",
            )
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query("summary.regions"))
    }
}
