//! People: sign-in, sessions, API keys, organisations, enrolment tokens, flags.

pub mod api_keys;
pub mod flags;
pub mod me;
pub mod oidc;
pub mod orgs;
pub mod own_data;
pub mod second_factor;
pub mod sessions;
pub mod sign_in;
pub mod tokens;
pub mod users;
pub mod wallets;

use super::state::HttpState;
use super::turns;
use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, patch, post, put};

/// The routes of this module, with full paths.
pub fn routes(state: &HttpState) -> Router<HttpState> {
    // Lists read pages: of each token the nodes that it enrolled, of each organisation its people and nodes.
    let page = || middleware::from_fn_with_state(state.clone(), turns::layer);
    let tokens = get(tokens::enrolment_token_list)
        .layer(page())
        .post(tokens::enrolment_token_create);
    let users = get(users::user_list).layer(page()).post(users::user_create);
    let keys = get(api_keys::api_key_list)
        .layer(page())
        .post(api_keys::api_key_create);
    let orgs = get(orgs::org_list).layer(page()).post(orgs::org_create);
    sign_in_routes()
        .merge(own_routes())
        .merge(admin_routes())
        .route(
            "/api/v1/users/me/export",
            get(own_data::user_export).layer(page()),
        )
        .route("/api/v1/users", users)
        .route("/api/v1/orgs", orgs)
        .route("/api/v1/api-keys", keys)
        .route("/api/v1/api-keys/{id}", delete(api_keys::api_key_revoke))
        .route("/api/v1/enrolment-tokens", tokens)
        .route(
            "/api/v1/enrolment-tokens/{id}",
            delete(tokens::enrolment_token_revoke),
        )
}

fn sign_in_routes() -> Router<HttpState> {
    Router::new()
        .route("/api/v1/auth/state", get(sign_in::auth_state))
        .route("/api/v1/auth/setup", post(sign_in::auth_setup))
        .route("/api/v1/auth/redeem", post(sign_in::auth_redeem))
        .route("/api/v1/auth/register", post(sign_in::auth_register))
        .route("/api/v1/auth/login", post(sign_in::auth_login))
        .route("/api/v1/auth/refresh", post(sign_in::auth_refresh))
        .route("/api/v1/auth/logout", post(sign_in::auth_logout))
        .route("/api/v1/auth/organisation", post(me::auth_organisation))
        .route("/api/v1/auth/nonce", post(wallets::auth_nonce))
        .route("/api/v1/auth/wallet", post(wallets::auth_wallet))
        .route(
            "/api/v1/auth/second-factor",
            post(second_factor::auth_second_factor),
        )
        .route(
            "/api/v1/auth/oidc/{issuer}/start",
            post(oidc::auth_oidc_start),
        )
        .route(oidc::CALLBACK, get(oidc::auth_oidc_callback))
}

fn own_routes() -> Router<HttpState> {
    Router::new()
        .route("/api/v1/identities", get(oidc::identity_list))
        .route("/api/v1/identities/{id}", delete(oidc::identity_unlink))
        .route(
            "/api/v1/users/me",
            get(me::user_me).delete(own_data::user_delete),
        )
        .route("/api/v1/users/me/password", put(me::password_set))
        .route(
            "/api/v1/users/me/second-factor",
            put(second_factor::second_factor_set),
        )
        .route(
            "/api/v1/users/me/second-factor/offer",
            post(second_factor::second_factor_offer),
        )
        .route(
            "/api/v1/users/me/second-factor/recovery-codes",
            post(second_factor::recovery_codes_renew),
        )
        .route(
            "/api/v1/users/me/second-factor/remove",
            post(second_factor::second_factor_remove),
        )
        .route(
            "/api/v1/wallets",
            get(wallets::wallet_list).post(wallets::wallet_link),
        )
        .route(
            "/api/v1/wallets/{kind}/{address}",
            delete(wallets::wallet_unlink),
        )
        .route(
            "/api/v1/sessions",
            get(sessions::session_list).delete(sessions::session_revoke_others),
        )
        .route("/api/v1/sessions/{id}", delete(sessions::session_revoke))
}

fn admin_routes() -> Router<HttpState> {
    Router::new()
        .route("/api/v1/flags", get(flags::flag_list))
        .route("/api/v1/flags/{name}", put(flags::flag_set))
        .route(
            "/api/v1/users/{user_id}",
            get(users::user_detail).patch(users::user_change),
        )
        .route(
            "/api/v1/users/{user_id}/sign-in-link",
            post(users::user_link),
        )
        .route(
            "/api/v1/users/{user_id}/reset-second-factor",
            post(second_factor::second_factor_reset),
        )
        .route(
            "/api/v1/users/{user_id}/memberships/{org_id}",
            put(users::membership_set).delete(users::membership_remove),
        )
        .route("/api/v1/orgs/{org_id}", patch(orgs::org_rename))
        .route("/api/v1/orgs/{org_id}/close", post(orgs::org_close))
}
