//! Who a node is: the three headers of node HTTP, freshness, replay.
//!
//! A stranger learns nothing: an unknown node and a wrong MAC get the same answer, once the body has come. Limits and the memory of
//! nonces are touched only after the MAC held, so nobody can use up another node's. Until then a body lives in the room that
//! all such bodies share.

use crate::app::{App, NonceState, Share};
use crate::http::body::{self, Held};
use crate::http::client_ip::outside;
use crate::http::error::ApiError;
use axum::body::Body;
use dgon_protocol::auth::{
    HEADER_AUTH, HEADER_NODE_ID, HEADER_NONCE, HEADER_TIMESTAMP, Request, Scheme, is_nonce,
    parse_timestamp, scheme, verify_v1, verify_v2,
};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::LINK_PATH;
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::CLOCK_SKEW;
use http::request::Parts;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Which schemes a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// v2 alone.
    V2,
    /// v1, too: the two posts of third-party agents.
    V1AndV2,
}

/// A node that proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatedNode {
    /// Which node.
    pub node_id: NodeId,
    /// How it proved that.
    pub scheme: Scheme,
}

fn unauthorized() -> ApiError {
    metrics::counter!("node_auth_failures_total", "type" => "unauthorized").increment(1);
    ApiError::new(
        ErrorType::Unauthorized,
        "node authentication failed: check X-Node-ID, X-Node-TS and X-Node-Auth, and that the node is enrolled here",
    )
}

fn header<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    parts.headers.get(name)?.to_str().ok()
}

/// Checks what costs nothing: headers and clock. Done before a body is read.
fn precheck<'p>(app: &App, parts: &'p Parts, allowed: Allowed) -> Result<Claim<'p>, ApiError> {
    let claim = Claim {
        node_id: header(parts, HEADER_NODE_ID)
            .and_then(|text| NodeId::parse(text).ok())
            .ok_or_else(unauthorized)?,
        timestamp: header(parts, HEADER_TIMESTAMP).ok_or_else(unauthorized)?,
        auth: header(parts, HEADER_AUTH).ok_or_else(unauthorized)?,
        nonce: header(parts, HEADER_NONCE).unwrap_or_default(),
    };
    let sent_s = parse_timestamp(claim.timestamp).ok_or_else(unauthorized)?;
    let now_ms = app.clock.now_ms();
    let now_s = u64::try_from(now_ms / 1000).unwrap_or(0);
    if now_s.abs_diff(sent_s) > CLOCK_SKEW.as_secs() {
        metrics::counter!("node_auth_failures_total", "type" => "stale_timestamp").increment(1);
        let message =
            "the request's timestamp is over 120 s from this server's clock; set the node's clock";
        return Err(ApiError::new(ErrorType::StaleTimestamp, message)
            .with("server_time", now_s)
            .with("server_time_ms", now_ms)
            .with("request_time", sent_s));
    }
    match scheme(claim.auth) {
        Scheme::V1 if allowed == Allowed::V2 => {
            let message = "this route takes X-Node-Auth v2 only";
            Err(ApiError::new(ErrorType::Unauthorized, message))
        }
        Scheme::V2 if !is_nonce(claim.nonce) => {
            let message = "X-Node-Nonce must be 22 to 128 of A-Z a-z 0-9 _ -";
            Err(ApiError::new(ErrorType::Unauthorized, message))
        }
        Scheme::V1 | Scheme::V2 => Ok(claim),
    }
}

struct Claim<'p> {
    node_id: NodeId,
    timestamp: &'p str,
    auth: &'p str,
    nonce: &'p str,
}

/// A node's secret. Of a node that there is it is found whatever its neighbours ask for; others are looked up while few that
/// their network named were none.
async fn known_secret(
    app: &App,
    node_id: &NodeId,
    network: Option<IpAddr>,
) -> Result<Arc<Zeroizing<Vec<u8>>>, ApiError> {
    let stranger = match app.lifecycles.get(node_id) {
        Some(_) => Stranger { app, network },
        None => Stranger::begin(app, network)?,
    };
    let secret = app.node_secret(node_id).await?;
    secret.ok_or_else(|| stranger.refused())
}

/// Somebody of whom nothing is known before the database was asked.
pub(super) struct Stranger<'a> {
    app: &'a App,
    network: Option<IpAddr>,
}

impl<'a> Stranger<'a> {
    /// Who comes from a network that asked in vain too often is sent away; whoever asks on this machine is not.
    pub(super) fn begin(app: &'a App, network: Option<IpAddr>) -> Result<Self, ApiError> {
        if let Some(network) = network {
            let room = app.guard.strangers.has_room(&network, app.clock.instant());
            room.map_err(|wait_s| {
                metrics::counter!("node_strangers_limited_total").increment(1);
                let message = "too many nodes and tokens from your address are not known here; wait as Retry-After says";
                ApiError::new(ErrorType::RateLimited, message).retry_after(wait_s)
            })?;
        }
        Ok(Self { app, network })
    }

    /// Counts a proof that does not hold, and what is said of it: the same as of a node that there is not, also where their
    /// network has asked in vain too often.
    fn refused(&self) -> ApiError {
        let again = Self::begin(self.app, self.network).err();
        self.failed();
        again.unwrap_or_else(unauthorized)
    }

    /// Counts what they asked in vain.
    pub(super) fn failed(&self) {
        if let Some(network) = self.network {
            // Whoever is over it already was let in beside others: nothing more is to be done.
            let now = self.app.clock.instant();
            let _ = self.app.guard.strangers.take(&network, now);
        }
    }
}

fn check(
    app: &App,
    parts: &Parts,
    body: &[u8],
    claim: Claim<'_>,
    secret: &[u8],
    share: Share,
) -> Result<AuthenticatedNode, ApiError> {
    let network = outside(&parts.extensions, &parts.headers);
    let scheme = scheme(claim.auth);
    let holds = match scheme {
        Scheme::V1 => verify_v1(secret, body, claim.timestamp, claim.auth),
        Scheme::V2 => {
            let request = Request {
                method: parts.method.as_str(),
                path_and_query: parts
                    .uri
                    .path_and_query()
                    .map_or("/", http::uri::PathAndQuery::as_str),
                timestamp: claim.timestamp,
                nonce: claim.nonce,
                body,
            };
            verify_v2(secret, &request, claim.auth)
        }
    };
    if !holds {
        return Err(Stranger { app, network }.refused());
    }
    let now_ms = app.clock.now_ms();
    if let Err(seconds) = app.guard.limits.take(claim.node_id.as_str(), share, now_ms) {
        return Err(too_many(seconds));
    }
    if scheme == Scheme::V2 {
        let nonces = match parts.uri.path() {
            LINK_PATH => &app.guard.link_nonces,
            _ => &app.guard.nonces,
        };
        match nonces.remember(&claim.node_id, claim.nonce, now_ms) {
            NonceState::Fresh => {}
            NonceState::Seen => {
                metrics::counter!("node_auth_failures_total", "type" => "replayed_request")
                    .increment(1);
                let message = "this request was seen before; make a new nonce for every request";
                return Err(ApiError::new(ErrorType::ReplayedRequest, message));
            }
            NonceState::Full => return Err(too_many(1)),
        }
    }
    Ok(AuthenticatedNode {
        node_id: claim.node_id,
        scheme,
    })
}

fn too_many(seconds: u32) -> ApiError {
    ApiError::new(
        ErrorType::RateLimited,
        "too many requests of this node; wait as Retry-After says",
    )
    .retry_after(seconds)
}

/// Authenticates a request without a body.
///
/// # Errors
/// [`ApiError`] of the types that wire.md names.
pub async fn authenticate(app: &App, parts: &Parts) -> Result<AuthenticatedNode, ApiError> {
    let claim = precheck(app, parts, Allowed::V2)?;
    let network = outside(&parts.extensions, &parts.headers);
    let secret = known_secret(app, &claim.node_id, network).await?;
    check(app, parts, &[], claim, &secret, Share::Nodes)
}

/// Reads a body of at most `limit` bytes and authenticates the request over it. Whether there is such a node is asked once
/// the body has come: a stranger who holds one back would see it otherwise. The body keeps the room of callers who have not
/// proved who they are until it is dropped or has other room.
///
/// # Errors
/// [`ApiError`] of the types that wire.md names.
pub(in crate::http) async fn authenticate_body(
    app: &App,
    parts: &Parts,
    body: Body,
    limit: usize,
    share: Share,
) -> Result<(AuthenticatedNode, Held), ApiError> {
    let claim = precheck(app, parts, Allowed::V1AndV2)?;
    let network = outside(&parts.extensions, &parts.headers);
    let body = body::read(app, network, body, limit).await?;
    let secret = known_secret(app, &claim.node_id, network).await?;
    let node = check(app, parts, &body.bytes, claim, &secret, share)?;
    Ok((node, body))
}
