//! What the whole network adds up to, apart from the rollups. Short readings: the server makes them for all who look, once.

use crate::{Scope, Store, StoreError, on_read};

/// Nodes per state, and what they offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkCounts {
    /// State of the lifecycle and how many nodes are in it. Without retired nodes.
    pub by_state: Vec<(String, i64)>,
    /// Different models on active nodes.
    pub models: i64,
}

impl Store {
    /// Counts the nodes in scope and their models; a stranger's are all, because the network's figures are public.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn network_counts(&self, scope: &Scope) -> Result<NetworkCounts, StoreError> {
        on_read!(self, conn => {
            let by_state = sqlx::query_as(
                "SELECT state, COUNT(*) FROM nodes WHERE state <> 'retired' \
                 AND ($1 OR org_id = $2) GROUP BY state ORDER BY state",
            )
            .bind(scope.sees_all_public())
            .bind(scope.org_id())
            .fetch_all(&mut *conn)
            .await
            .map_err(StoreError::query("summary.nodes"))?;
            let models = sqlx::query_scalar(
                "SELECT COUNT(DISTINCT m.model_id) FROM node_models m JOIN nodes n ON n.node_id = m.node_id \
                 WHERE n.state = 'active' AND m.model_id <> '' AND ($1 OR n.org_id = $2)",
            )
            .bind(scope.sees_all_public())
            .bind(scope.org_id())
            .fetch_one(conn)
            .await
            .map_err(StoreError::query("summary.models"))?;
            Ok(NetworkCounts { by_state, models })
        })
    }

    /// How many nodes in scope are in each region, without retired ones; a stranger's are all.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_by_region(&self, scope: &Scope) -> Result<Vec<(String, i64)>, StoreError> {
        on_read!(self, conn => sqlx::query_as(
                "SELECT region, COUNT(*) FROM nodes WHERE state <> 'retired' \
                 AND ($1 OR org_id = $2) GROUP BY region ORDER BY region",
            )
            .bind(scope.sees_all_public())
            .bind(scope.org_id())
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query("summary.regions"))
    }
}
