//! What admins and operators do to nodes, and the files that they take to them.

pub mod agent_yaml;
pub mod node_actions;

use super::state::HttpState;
use axum::Router;
use axum::routing::{get, post};

/// The routes of this module, with full paths.
pub fn routes() -> Router<HttpState> {
    Router::new()
        .route("/api/v1/nodes/agent.yaml", get(agent_yaml::agent_yaml))
        .route(
            "/api/v1/nodes/{node_id}/actions",
            post(node_actions::node_action),
        )
}
