//! What the whole network adds up to, apart from the rollups. Short readings: the server makes them for all who look, once.
//! Every node counts, whoever's it is and whatever hides it: sums tell of none.

use crate::{Store, StoreError, System, on_read};

/// Reads an index alone.
const STATES: &str =
    "SELECT state, COUNT(*) FROM nodes WHERE state <> 'retired' GROUP BY state ORDER BY state";

/// Goes from each model in the index to the next: many nodes have the same few, and one that is active is enough. It is asked
/// for as a value: of an `EXISTS` PostgreSQL makes a join over all nodes.
const MODELS: &str = "WITH RECURSIVE models (model_id) AS (\
     SELECT MIN(model_id) FROM node_models WHERE model_id > '' UNION ALL \
     SELECT (SELECT MIN(m.model_id) FROM node_models m WHERE m.model_id > models.model_id) \
     FROM models WHERE models.model_id IS NOT NULL) \
     SELECT COUNT(*) FROM models WHERE model_id IS NOT NULL AND 1 = (\
     SELECT 1 FROM node_models m JOIN nodes n ON n.node_id = m.node_id \
     WHERE m.model_id = models.model_id AND n.state = 'active' LIMIT 1)";

const REGIONS: &str =
    "SELECT region, COUNT(*) FROM nodes WHERE state <> 'retired' GROUP BY region ORDER BY region";

/// Nodes per state, and what they offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkCounts {
    /// State of the lifecycle and how many nodes are in it. Without retired nodes.
    pub by_state: Vec<(String, i64)>,
    /// Different models on active nodes.
    pub models: i64,
}

impl Store {
    /// Counts all nodes and their models.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn network_counts(&self, _by: System) -> Result<NetworkCounts, StoreError> {
        on_read!(self, conn => {
            let by_state = sqlx::query_as(STATES).fetch_all(&mut *conn).await;
            let by_state = by_state.map_err(StoreError::query("summary.nodes"))?;
            let models = sqlx::query_scalar(MODELS).fetch_one(conn).await;
            let models = models.map_err(StoreError::query("summary.models"))?;
            Ok(NetworkCounts { by_state, models })
        })
    }

    /// How many nodes are in each region, without retired ones.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_by_region(&self, _by: System) -> Result<Vec<(String, i64)>, StoreError> {
        on_read!(self, conn => sqlx::query_as(REGIONS).fetch_all(conn).await)
            .map_err(StoreError::query("summary.regions"))
    }
}
