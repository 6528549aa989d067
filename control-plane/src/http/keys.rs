//! Programs that call with an API key: `Authorization: Bearer dgon_sk_live_…`.
//!
//! A route that no scope names takes no key, whoever owns it: [`ROUTES`] is the whole list. A key that is wrong is refused and
//! never taken for nobody: a program must not be shown what strangers see. No CSRF token is needed, for no browser sends
//! such a header by itself.

use super::auth::Acting;
use super::client_ip::{ClientIp, network};
use super::error::ApiError;
use super::state::HttpState;
use crate::accounts::{AccountError, KeyRefused};
use dgon_control_plane_model::api_key::{ApiKey, ApiKeyError, Scope};
use dgon_protocol::error::ErrorType;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use std::time::Instant;

/// Every route that takes a key, and the scope that it needs there.
pub(super) const ROUTES: [(Method, &str, Scope); 12] = [
    (Method::GET, "/api/v1/receipts", Scope::ReceiptsRead),
    (
        Method::GET,
        "/api/v1/receipts/aggregate",
        Scope::ReceiptsRead,
    ),
    (
        Method::GET,
        "/api/v1/receipts/{request_id}",
        Scope::ReceiptsRead,
    ),
    (
        Method::GET,
        "/api/v1/receipts/{request_id}/raw",
        Scope::ReceiptsRead,
    ),
    // With which a receipt is verified.
    (
        Method::GET,
        "/api/v1/nodes/{node_id}/keys",
        Scope::ReceiptsRead,
    ),
    // And an order or a countersignature.
    (Method::GET, "/api/v1/keys", Scope::ReceiptsRead),
    (Method::GET, "/api/v1/nodes", Scope::NodesRead),
    (Method::GET, "/api/v1/nodes/{node_id}", Scope::NodesRead),
    (Method::GET, "/api/v1/pools", Scope::NodesRead),
    (Method::GET, "/api/v1/pools/{pool_id}", Scope::NodesRead),
    (
        Method::POST,
        "/api/v1/nodes/{node_id}/actions",
        Scope::NodesControl,
    ),
    (
        Method::POST,
        "/api/v1/enrolment-tokens",
        Scope::EnrolmentWrite,
    ),
];

/// What browsers send by themselves to a proxy in front of this server that asks for it. They are not for us.
const OF_BROWSERS: [&str; 4] = ["basic", "digest", "negotiate", "ntlm"];

/// What a program asks for.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// The route as it is written; `None` where there is none.
    pub(super) route: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) client: Option<ClientIp>,
}

/// The scope that a key needs for this; `None` where no key may.
pub(super) fn scope_of(method: &Method, route: &str) -> Option<Scope> {
    let method = if method == Method::HEAD {
        Method::GET
    } else {
        method.clone()
    };
    let found = ROUTES
        .iter()
        .find(|(of, path, _)| *of == method && *path == route);
    found.map(|(_, _, scope)| *scope)
}

/// The key that a request carries.
///
/// # Errors
/// `unauthorized` for whatever else is in `Authorization` but what browsers send to proxies.
pub(super) fn sent(headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let form = || AccountError::from(KeyRefused::Text(ApiKeyError::Form));
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| form())?;
    let (scheme, key) = text.split_once(' ').unwrap_or((text, ""));
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if values.next().is_none() && OF_BROWSERS.into_iter().any(is) {
        return Ok(None);
    }
    if headers.get_all(AUTHORIZATION).iter().count() > 1 || !is("bearer") {
        return Err(form().into());
    }
    let key = ApiKey::parse(key.trim_matches(' '));
    let key = key.map_err(|error| AccountError::from(KeyRefused::from(error)));
    Ok(Some(key?))
}

/// Who acts with a key, where it may be used for what is asked.
///
/// # Errors
/// `unauthorized` for a key that does not work, `forbidden` for what it may not do, `rate_limited` where its network sent too
/// many that do not work, `invalid_request` beside the cookie of a session.
pub(super) async fn acting(
    state: &HttpState,
    asked: Asked<'_>,
    key: &ApiKey,
) -> Result<Acting, ApiError> {
    let cookies = &state.cookies;
    if cookies.access(asked.headers).is_some() || cookies.refresh(asked.headers).is_some() {
        return Err(ApiError::invalid(
            "the request has an API key and the cookie of a session: send one of them, so that it is plain who asks",
        ));
    }
    let network = asked.client.map(network);
    // One that was good a moment ago is looked up whatever its neighbours send.
    if let Some(network) = network.filter(|_| !state.accounts.was_good(key)) {
        let room = state.key_failures.has_room(&network, Instant::now());
        room.map_err(|wait_s| {
            let message =
                "too many API keys from your address do not work; wait as Retry-After says";
            ApiError::new(ErrorType::RateLimited, message).retry_after(wait_s)
        })?;
    }
    let ip = asked.client.map(|client| client.0.to_string());
    let holder = state.accounts.key_holder(key, ip).await;
    if let (Err(AccountError::Key(_)), Some(network)) = (&holder, network) {
        metrics::counter!("http_keys_refused_total").increment(1);
        // Whoever is over it already was let in beside others: nothing more is to be done.
        let _ = state.key_failures.take(&network, Instant::now());
    }
    let holder = holder?;
    if let Some(route) = asked.route {
        let scope = scope_of(asked.method, route);
        holder.may(scope.ok_or_else(ApiError::takes_a_person)?)?;
    }
    Ok(Acting::Key(holder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi::document;
    use dgon_control_plane_model::api_key::RANDOM_BYTES;
    use http::HeaderValue;

    fn key() -> String {
        let bytes: [u8; RANDOM_BYTES] = std::array::from_fn(|at| at as u8);
        ApiKey::from_random(&bytes).reveal().to_string()
    }

    fn of(values: &[&str]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(AUTHORIZATION, value);
        }
        match sent(&headers) {
            Ok(key) => Ok(key.map(|key| key.reveal().to_string())),
            Err(error) => Err(error.kind().as_str().to_owned()),
        }
    }

    #[test]
    fn what_is_sent_is_a_key_or_refused() {
        let key = key();
        for good in [format!("Bearer {key}"), format!("bearer  {key} ")] {
            assert_eq!(of(&[&good]), Ok(Some(key.clone())), "{good}");
        }
        for proxys in ["Basic YTpi", "Negotiate abc", "basic", "Digest a=\"b\""] {
            assert_eq!(of(&[proxys]), Ok(None), "{proxys}");
        }
        assert_eq!(of(&[]), Ok(None));
        let good = format!("Bearer {key}");
        let mistyped = good.replacen("_live_x", "_live_y", 1);
        assert_ne!(good, mistyped);
        for bad in [
            &[""][..],
            &["Bearer"],
            &["Bearer "],
            &[&key],
            &["Bearer é"],
            &["Token abc"],
            &["Bearer eyJhbGciOiJub25lIn0.e30."],
            &[&mistyped],
            &[&good, &good],
            &["Basic YTpi", &good],
            &[&good, "Basic YTpi"],
            &["Basic YTpi", "Basic YTpi"],
        ] {
            assert_eq!(of(bad), Err("unauthorized".to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn every_route_that_takes_a_key_is_one() {
        let api = serde_json::to_value(document()).expect("document");
        for (method, path, scope) in &ROUTES {
            let name = method.as_str().to_lowercase();
            let operation = &api["paths"][path][&name];
            let security = operation["security"].to_string();
            assert!(
                security.contains(scope.as_str()),
                "{method} {path}: {security}"
            );
            assert_eq!(scope_of(method, path), Some(*scope));
        }
        let head = scope_of(&Method::HEAD, "/api/v1/receipts");
        assert_eq!(head, Some(Scope::ReceiptsRead));
        assert_eq!(scope_of(&Method::POST, "/api/v1/receipts"), None);
    }
}
