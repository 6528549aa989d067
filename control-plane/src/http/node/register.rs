//! A token and a key become a node.
//!
//! The nonce is a sealed timestamp, so nothing is kept for strangers who never come back. It may be signed
//! again within its time, which gains nothing: the key must be new to the network, or the token good once more.
//!
//! A machine that is known by its key, and brings a good token of its own organisation, is the same node again: it
//! gets a new secret, and keeps its name, state and chain.

use super::SMALL_BODY_BYTES;
use super::auth::Stranger;
use super::reserved;
use crate::accounts::Origin;
use crate::app::App;
use crate::bus::Event;
use crate::http::auth::Caller;
use crate::http::body;
use crate::http::client_ip::outside;
use crate::http::error::ApiError;
use crate::http::extract::Object;
use axum::Json;
use axum::extract::{Request, State};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use dgon_control_plane_model::lifecycle::{Reason, State as NodeState};
use dgon_control_plane_store::node_keys::KeyOwner;
use dgon_control_plane_store::{Enrolment, NewNode, UNKNOWN_REGION};
use dgon_protocol::enrol::{RegisterNonce, RegisterRequest, RegisterResponse};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::LINK_PATH;
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Sha256Hash;
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;
use zeroize::Zeroizing;

const NONCE_PURPOSE: &str = "register-nonce";
const NONCE_LIFETIME_S: u32 = 300;
const LABEL_CHARS: usize = 128;
/// A made-up name that is taken is made up again, a few times.
const NAME_TRIES: usize = 5;

/// A nonce to sign with the new key.
#[utoipa::path(
    post, path = "/api/v1/nodes/register/nonce", tag = "nodes",
    responses((status = 200, description = "The nonce.", body = RegisterNonce))
)]
pub(super) async fn nonce(State(app): State<Arc<App>>) -> Result<Json<RegisterNonce>, ApiError> {
    let sealed = app
        .master_key
        .seal(NONCE_PURPOSE, &app.clock.now_ms().to_be_bytes())
        .map_err(|error| ApiError::internal(&error))?;
    Ok(Json(RegisterNonce {
        nonce: URL_SAFE_NO_PAD.encode(sealed),
        expires_s: NONCE_LIFETIME_S,
    }))
}

/// Enrols a node: consumes the token and stores the key, both or neither.
///
/// # Errors
/// `invalid_request`, also for a name that is an address of this API, a region that is none of this network's, and a nonce that
/// is older than five minutes; `invalid_token`; `conflict` for a name that is taken; `invalid_key` for a key that is not acceptable, or
/// not proven.
#[utoipa::path(
    post, path = "/api/v1/nodes/register", tag = "nodes", request_body = RegisterRequest,
    responses((status = 201, description = "The node. Its secret is shown this once.", body = RegisterResponse))
)]
pub(super) async fn register(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, Json<RegisterResponse>), ApiError> {
    let (parts, body) = request.into_parts();
    let network = outside(&parts.extensions, &parts.headers);
    // Held to the end: nobody has proved anything before the token is used up.
    let stranger = Stranger::begin(&app, network)?;
    let body = body::read(&app, network, body, SMALL_BODY_BYTES).await?;
    let wish = read_wish(&app, &body.bytes).inspect_err(|_| stranger.failed())?;
    let mut secret = Zeroizing::new([0u8; 32]);
    fill(secret.as_mut_slice())?;
    let origin = Caller::of(&parts).origin;
    let enrolled = enrol(&app, &wish, secret.as_slice(), &origin).await;
    let (node_id, region) = enrolled.inspect_err(|_| stranger.failed())?;
    // A node that was enrolled again keeps its state: a quarantine is not left by a new secret.
    if app.lifecycles.get(&node_id).is_none() {
        app.lifecycles.set(
            &node_id,
            NodeState::Registered,
            Reason::Enrolled,
            app.clock.mono_ms(),
        );
    }
    app.bus.send(Event::Node {
        node_id: node_id.clone(),
    });
    tracing::info!(%node_id, key_id = wish.public_key.key_id(), "node enrolled");
    let response = RegisterResponse {
        node_id,
        node_secret: STANDARD.encode(secret.as_slice()),
        link_url: link_url(app.settings.public_url.as_deref(), &parts.headers)?,
        region,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// What is asked for, looked at as far as it goes without the database.
fn read_wish(app: &App, body: &[u8]) -> Result<RegisterRequest, ApiError> {
    let Object(wish): Object<RegisterRequest> = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid(format!("not a registration: {error}")))?;
    check_wish(app, &wish)?;
    Ok(wish)
}

fn check_wish(app: &App, wish: &RegisterRequest) -> Result<(), ApiError> {
    let printable = |text: &str, most: usize| {
        text.chars().count() <= most && !text.chars().any(char::is_control)
    };
    let texts = [&wish.agent_version, &wish.os, &wish.arch];
    let fits = texts
        .into_iter()
        .chain(&wish.hardware_hash)
        .all(|text| printable(text, LABEL_CHARS));
    if !fits {
        let message = "agent_version, os, arch and hardware_hash have at most 128 characters";
        return Err(ApiError::new(ErrorType::InvalidRequest, message));
    }
    if !nonce_holds(app, &wish.nonce) {
        let message = "the nonce is not of this server or older than 300 s; fetch a new one";
        return Err(ApiError::new(ErrorType::InvalidRequest, message));
    }
    if wish.public_key.check_enrollable().is_err() {
        let message = "the public key is not a canonically encoded ed25519 key of prime order; make a new one";
        return Err(ApiError::new(ErrorType::InvalidKey, message));
    }
    if !wish.proves_possession() {
        let message = "the signature does not prove that the holder of the key is asking";
        return Err(ApiError::new(ErrorType::InvalidKey, message));
    }
    Ok(())
}

fn nonce_holds(app: &App, nonce: &str) -> bool {
    let opened = URL_SAFE_NO_PAD
        .decode(nonce)
        .ok()
        .and_then(|sealed| app.master_key.open(NONCE_PURPOSE, &sealed).ok())
        .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    opened.is_some_and(|bytes| {
        let age_ms = app.clock.now_ms().saturating_sub(i64::from_be_bytes(bytes));
        (0..=i64::from(NONCE_LIFETIME_S) * 1000).contains(&age_ms)
    })
}

async fn enrol(
    app: &App,
    wish: &RegisterRequest,
    secret: &[u8],
    origin: &Origin,
) -> Result<(NodeId, String), ApiError> {
    let token_hash = Sha256Hash::of(wish.token.as_bytes()).0;
    // Whoever brings junk is told so by a plain read: it must hold up no writer.
    let token = app.working_token(&token_hash).await?;
    let token = token.ok_or_else(|| refusal(&Enrolment::InvalidToken))?;
    if let Some(owner) = app.key_owner(&wish.public_key).await? {
        return enrol_again(app, wish, secret, (&token_hash, &owner), origin).await;
    }
    // A node of before keeps its name, whatever routes came since.
    if let Some(wanted) = &wish.node_id {
        reserved::check(wanted).map_err(|error| ApiError::invalid(error.to_string()))?;
    }
    // The list may have changed since the token was made.
    if let Some(region) = chosen(wish).or(token.region.as_deref()) {
        app.settings.regions.check(region)?;
    }
    for _ in 0..NAME_TRIES {
        let node_id = match &wish.node_id {
            Some(node_id) => node_id.clone(),
            None => invent_name()?,
        };
        let sealed = seal(app, &node_id, secret)?;
        let node = new_node(app, wish, &node_id, &sealed, origin);
        match app.enrol(&token_hash, &node).await? {
            Enrolment::Enrolled { region } => return Ok((node_id, region)),
            refused @ (Enrolment::InvalidToken | Enrolment::KnownKey | Enrolment::OtherOrg) => {
                return Err(refusal(&refused));
            }
            Enrolment::NameTaken if wish.node_id.is_none() => {}
            Enrolment::NameTaken => break,
        }
    }
    let message = "another node has this name; choose another";
    Err(ApiError::new(ErrorType::Conflict, message))
}

/// The machine is known: it gets a new secret and stays who it is.
async fn enrol_again(
    app: &App,
    wish: &RegisterRequest,
    secret: &[u8],
    (token_hash, owner): (&[u8; 32], &KeyOwner),
    origin: &Origin,
) -> Result<(NodeId, String), ApiError> {
    if !owner.in_use {
        return Err(refusal(&Enrolment::KnownKey));
    }
    let node_id = NodeId::parse(&owner.node_id).map_err(|error| ApiError::internal(&error))?;
    if let Some(wanted) = wish.node_id.as_ref().filter(|wanted| **wanted != node_id) {
        let message = format!(
            "this machine's key is the one of {node_id}, so it cannot be {wanted}; leave the name out, or start with \
             an empty state directory to make a new node"
        );
        return Err(ApiError::new(ErrorType::Conflict, message));
    }
    let sealed = seal(app, &node_id, secret)?;
    let node = new_node(app, wish, &node_id, &sealed, origin);
    match app.enrol_again(token_hash, &node).await? {
        Enrolment::Enrolled { region } => Ok((node_id, region)),
        refused => Err(refusal(&refused)),
    }
}

fn refusal(why: &Enrolment) -> ApiError {
    match why {
        Enrolment::InvalidToken => ApiError::new(
            ErrorType::InvalidToken,
            "the enrolment token is unknown, spent, expired or revoked; make a new one",
        ),
        Enrolment::OtherOrg => ApiError::new(
            ErrorType::InvalidToken,
            "the token belongs to another organisation than this machine's node; use a token of its own",
        ),
        Enrolment::KnownKey | Enrolment::NameTaken | Enrolment::Enrolled { .. } => ApiError::new(
            ErrorType::InvalidKey,
            "this key was given up, or its node was retired; make a new one",
        ),
    }
}

fn seal(app: &App, node_id: &NodeId, secret: &[u8]) -> Result<Vec<u8>, ApiError> {
    app.master_key
        .seal(node_id.as_str(), secret)
        .map_err(|error| ApiError::internal(&error))
}

/// The region that the machine names. One that was told by this network that it is unknown does not know better.
fn chosen(wish: &RegisterRequest) -> Option<&str> {
    let region = wish.region.as_deref();
    region.filter(|region| !region.is_empty() && *region != UNKNOWN_REGION)
}

fn new_node<'a>(
    app: &App,
    wish: &'a RegisterRequest,
    node_id: &'a NodeId,
    sealed_secret: &'a [u8],
    origin: &'a Origin,
) -> NewNode<'a> {
    NewNode {
        node_id,
        region: chosen(wish),
        public_key: &wish.public_key,
        sealed_secret,
        agent_version: &wish.agent_version,
        os: &wish.os,
        arch: &wish.arch,
        hardware_hash: wish.hardware_hash.as_deref(),
        at_ms: app.clock.now_ms(),
        ip: origin.ip.as_deref(),
        request_id: origin.request_id.as_deref(),
    }
}

fn invent_name() -> Result<NodeId, ApiError> {
    let mut random = [0u8; 5];
    fill(&mut random)?;
    NodeId::parse(format!("node-{}", dgon_protocol::key::hex(&random)))
        .map_err(|error| ApiError::internal(&error))
}

fn fill(bytes: &mut [u8]) -> Result<(), ApiError> {
    getrandom::fill(bytes).map_err(|error| ApiError::internal(&error))
}

/// Where the link is: under the public URL, else where this request came to.
fn link_url(public_url: Option<&str>, headers: &HeaderMap) -> Result<String, ApiError> {
    let base = match public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .ok_or_else(|| {
                    ApiError::new(ErrorType::InvalidRequest, "the request has no Host header")
                })?;
            let forwarded = headers
                .get("x-forwarded-proto")
                .and_then(|proto| proto.to_str().ok());
            let scheme = if forwarded == Some("https") {
                "https"
            } else {
                "http"
            };
            format!("{scheme}://{host}")
        }
    };
    // http becomes ws, https becomes wss.
    let link = base
        .strip_prefix("http")
        .map_or(base.clone(), |rest| format!("ws{rest}"));
    Ok(format!("{link}{LINK_PATH}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_where_the_control_plane_is() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::HOST,
            http::HeaderValue::from_static("127.0.0.1:8080"),
        );
        let at = |url, headers: &HeaderMap| link_url(url, headers).expect("url");
        assert_eq!(at(None, &headers), "ws://127.0.0.1:8080/api/v1/nodes/link");
        assert_eq!(
            at(Some("https://dgon.example/"), &headers),
            "wss://dgon.example/api/v1/nodes/link"
        );
        headers.insert("x-forwarded-proto", http::HeaderValue::from_static("https"));
        assert_eq!(at(None, &headers), "wss://127.0.0.1:8080/api/v1/nodes/link");
        assert!(link_url(None, &HeaderMap::new()).is_err());
    }
}
