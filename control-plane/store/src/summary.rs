//! What the whole network adds up to, apart from the rollups. Short readings: the server makes them for all who look, once.

use crate::statement::Statement;
use crate::{Store, StoreError, System, on_read};

/// Nodes per state, and what they offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkCounts {
    /// State of the lifecycle and how many nodes are in it. Without retired nodes.
    pub by_state: Vec<(String, i64)>,
    /// Different models on active nodes.
    pub models: i64,
}

impl Store {
    /// Counts all nodes and their models: what the network adds up to is everybody's, so no scope narrows it.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn network_counts(&self, _by: System) -> Result<NetworkCounts, StoreError> {
        let (by_state, models) = (states(), models());
        on_read!(self, conn => {
            let by_state = by_state.build().build_query_as().fetch_all(&mut *conn).await;
            let by_state = by_state.map_err(StoreError::query("summary.nodes"))?;
            let models = models.build().build_query_scalar().fetch_one(conn).await;
            let models = models.map_err(StoreError::query("summary.models"))?;
            Ok(NetworkCounts { by_state, models })
        })
    }

    /// How many nodes are in each region, without retired ones; everybody's too.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_by_region(&self, _by: System) -> Result<Vec<(String, i64)>, StoreError> {
        let mut statement =
            Statement::new("SELECT n.region, COUNT(*) FROM nodes n WHERE n.state <> 'retired'");
        statement.sql(" GROUP BY n.region ORDER BY n.region");
        on_read!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
            .map_err(StoreError::query("summary.regions"))
    }
}

/// Counts nodes by state. Where all are counted it reads an index alone.
fn states() -> Statement {
    let mut statement =
        Statement::new("SELECT n.state, COUNT(*) FROM nodes n WHERE n.state <> 'retired'");
    statement.sql(" GROUP BY n.state ORDER BY n.state");
    statement
}

/// Counts models, going from each in the index to the next: many nodes have the same few, and one that is active is enough.
/// It is asked for as a value: of an `EXISTS` PostgreSQL makes a join over all nodes.
fn models() -> Statement {
    let mut statement = Statement::new(
        "WITH RECURSIVE models (model_id) AS (\
         SELECT MIN(model_id) FROM node_models WHERE model_id > '' UNION ALL \
         SELECT (SELECT MIN(m.model_id) FROM node_models m WHERE m.model_id > models.model_id) \
         FROM models WHERE models.model_id IS NOT NULL) \
         SELECT COUNT(*) FROM models WHERE model_id IS NOT NULL AND 1 = (\
         SELECT 1 FROM node_models m JOIN nodes n ON n.node_id = m.node_id \
         WHERE m.model_id = models.model_id AND n.state = 'active'",
    );
    statement.sql(" LIMIT 1)");
    statement
}
