//! What admins and operators do to nodes, and the files that they take to them.

pub mod agent_yaml;
pub mod assignments;
pub mod node_actions;
pub mod pools;

use super::state::HttpState;
use super::turns;
use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

/// The routes of this module, with full paths.
pub fn routes(state: &HttpState) -> Router<HttpState> {
    let page = || middleware::from_fn_with_state(state.clone(), turns::layer);
    let pools = get(pools::pool_list).layer(page()).post(pools::pool_create);
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
            get(assignments::assignment_list).layer(page()),
        )
        .route("/api/v1/pools", pools)
        .route(
            "/api/v1/pools/{pool_id}",
            get(pools::pool_detail).patch(pools::pool_change),
        )
        .route("/api/v1/pools/{pool_id}/nodes", post(pools::pool_node))
        .route("/api/v1/pools/{pool_id}/members", post(pools::pool_member))
}
