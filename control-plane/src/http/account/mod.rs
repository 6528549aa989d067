//! People: sign-in, sessions, enrolment tokens, flags.

pub mod flags;
pub mod me;
pub mod sessions;
pub mod sign_in;
pub mod tokens;

use super::state::HttpState;
use super::turns;
use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post, put};

/// The routes of this module, with full paths.
pub fn routes(state: &HttpState) -> Router<HttpState> {
    // The list reads pages: of each token the nodes that it enrolled.
    let tokens = get(tokens::enrolment_token_list)
        .layer(middleware::from_fn_with_state(state.clone(), turns::layer))
        .post(tokens::enrolment_token_create);
    Router::new()
        .route("/api/v1/auth/state", get(sign_in::auth_state))
        .route("/api/v1/auth/setup", post(sign_in::auth_setup))
        .route("/api/v1/auth/redeem", post(sign_in::auth_redeem))
        .route("/api/v1/auth/login", post(sign_in::auth_login))
        .route("/api/v1/auth/refresh", post(sign_in::auth_refresh))
        .route("/api/v1/auth/logout", post(sign_in::auth_logout))
        .route("/api/v1/users/me", get(me::user_me))
        .route(
            "/api/v1/sessions",
            get(sessions::session_list).delete(sessions::session_revoke_others),
        )
        .route("/api/v1/sessions/{id}", delete(sessions::session_revoke))
        .route("/api/v1/flags", get(flags::flag_list))
        .route("/api/v1/flags/{name}", put(flags::flag_set))
        .route("/api/v1/enrolment-tokens", tokens)
        .route(
            "/api/v1/enrolment-tokens/{id}",
            delete(tokens::enrolment_token_revoke),
        )
}
