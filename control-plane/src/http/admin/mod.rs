//! What admins and operators do to nodes, and the files that they take to them.

pub mod agent_yaml;
pub mod assignments;
pub mod node_actions;

use super::state::HttpState;
use super::turns;
use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

/// The routes of this module, with full paths.
pub fn routes(state: &HttpState) -> Router<HttpState> {
    let page = middleware::from_fn_with_state(state.clone(), turns::layer);
    Router::new()
        .route("/api/v1/nodes/agent.yaml", get(agent_yaml::agent_yaml))
        .route(
            "/api/v1/nodes/{node_id}/actions",
            post(node_actions::node_action),
        )
        .route(
            "/api/v1/nodes/{node_id}/assign",
            post(assignments::node_assign),
        )
        .route(
            "/api/v1/assignments",
            get(assignments::assignment_list).layer(page),
        )
}
