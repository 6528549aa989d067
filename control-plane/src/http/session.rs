//! Finds out who acts, once per request, and refuses changes that another site could have caused.
//!
//! A program has a key instead of a session ([`super::keys`]). A session cookie that no longer works is not the same as none: the console must refresh it instead of being
//! shown what strangers see.

use super::auth::Acting;
use super::client_ip::ClientIp;
use super::csrf;
use super::error::ApiError;
use super::keys::{self, Asked};
use super::state::HttpState;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dgon_protocol::error::ErrorType;
use http::{HeaderMap, HeaderName};
use std::net::SocketAddr;
use std::time::Instant;

/// These make or renew a session, so they cannot ask for its CSRF token.
const BEFORE_SESSION: [&str; 7] = [
    "/api/v1/auth/setup",
    "/api/v1/auth/redeem",
    "/api/v1/auth/login",
    "/api/v1/auth/wallet",
    "/api/v1/auth/register",
    "/api/v1/auth/second-factor",
    "/api/v1/auth/refresh",
];

const SIGN_OUT: &str = "/api/v1/auth/logout";

/// The layer.
pub(super) async fn layer(
    State(state): State<HttpState>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(client) = client_ip(&state, &request) {
        request.extensions_mut().insert(client);
    }
    if !request.uri().path().starts_with("/api/") {
        return next.run(request).await;
    }
    let route = request.extensions().get::<MatchedPath>().cloned();
    let asked = Asked {
        method: request.method(),
        route: route.as_ref().map(MatchedPath::as_str),
        headers: request.headers(),
        client: request.extensions().get().copied(),
    };
    let resolved = resolve(&state, request.uri().path(), asked);
    let allowed = match resolved.await {
        Ok(acting) => may_change(&state, &request, &acting).map(|()| acting),
        Err(error) => Err(error),
    };
    match allowed {
        Ok(acting) => {
            request.extensions_mut().insert(acting);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// What one person changes in a minute is limited: every change is rows, and holds others up.
fn may_change(state: &HttpState, request: &Request, acting: &Acting) -> Result<(), ApiError> {
    // Programs have room of their own: what they use up, their owner can still stop.
    let whose = match acting {
        Acting::Person(person) => person.user_id.clone(),
        Acting::Key(key) => format!("key:{}", key.user_id()),
        Acting::Nobody | Acting::Ended => return Ok(()),
    };
    let path = request.uri().path();
    // Signing in has a limit of its own, and whoever uses an account up, its owner can sign out.
    let is_free = BEFORE_SESSION.contains(&path) || path == SIGN_OUT;
    if is_free || !csrf::changes(request.method()) {
        return Ok(());
    }
    let taken = state.writes.take(&whose, Instant::now());
    taken.map_err(|wait_s| {
        metrics::counter!("http_changes_limited_total").increment(1);
        let message = "you change too much in a minute; wait as Retry-After says";
        ApiError::new(ErrorType::RateLimited, message).retry_after(wait_s)
    })
}

async fn resolve(state: &HttpState, path: &str, asked: Asked<'_>) -> Result<Acting, ApiError> {
    let (method, headers) = (asked.method, asked.headers);
    let acting = match keys::sent(headers)? {
        Some(key) => keys::acting(state, asked, &key).await?,
        None => acting(state, headers).await?,
    };
    if csrf::changes(method) {
        let public_url = state.app.settings.public_url.as_deref();
        if !csrf::is_same_site(headers, public_url) {
            return Err(ApiError::new(
                ErrorType::InvalidCsrf,
                "this request comes from another site; set public_url if a proxy changes the Host header",
            ));
        }
        let needs_token = !BEFORE_SESSION.contains(&path);
        if let (Acting::Person(person), true) = (&acting, needs_token) {
            let sent = headers
                .get(&csrf::HEADER)
                .and_then(|value| value.to_str().ok());
            if !sent.is_some_and(|sent| state.accounts.csrf_matches(person, sent)) {
                return Err(ApiError::new(
                    ErrorType::InvalidCsrf,
                    "send csrf_token of GET /api/v1/users/me in the header x-csrf-token",
                ));
            }
        }
    }
    Ok(acting)
}

async fn acting(state: &HttpState, headers: &HeaderMap) -> Result<Acting, ApiError> {
    match state.cookies.access(headers) {
        Some(access) => Ok(match state.accounts.person(access).await? {
            Some(person) => Acting::Person(person),
            None => Acting::Ended,
        }),
        None if state.cookies.refresh(headers).is_some() => Ok(Acting::Ended),
        None => Ok(Acting::Nobody),
    }
}

fn client_ip(state: &HttpState, request: &Request) -> Option<ClientIp> {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0);
    let forwarded: Vec<&str> = request
        .headers()
        .get_all(HeaderName::from_static("x-forwarded-for"))
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    ClientIp::find(peer, forwarded.into_iter(), &state.settings.trusted_proxies)
}
