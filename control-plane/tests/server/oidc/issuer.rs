//! An issuer of OpenID Connect over real HTTP on this machine, which does whatever a test tells it to.

use super::keys::{Signs, sign};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use dgon_control_plane::app::Clock;
use dgon_control_plane::oidc::{ClientSecret, IssuerId, IssuerSettings};
use dgon_control_plane_model::identity::SiteUri;
use http::{HeaderMap, StatusCode, header};
use reqwest::Url;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(super) const CLIENT: &str = "console of tests";
const SECRET: &str = "a secret: 100%";

/// What it answers at one of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaves {
    Well,
    /// With a status that is no answer.
    Fails(u16),
    /// By sending the server elsewhere: to a good answer.
    Redirects,
    /// With more than anybody wants, and no end of it.
    Floods,
    /// Not at all.
    IsSilent,
    /// With what is no JSON.
    Babbles,
}

/// Its addresses.
pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(super) const KEYS: &str = "/keys";
pub(super) const TOKEN: &str = "/token";

/// What it was asked with, of a code that it gave.
struct Code {
    nonce: String,
    challenge: String,
    redirect_uri: String,
    subject: String,
}

pub(super) struct Script {
    pub(super) behaves: HashMap<&'static str, Behaves>,
    /// What its document says beside or in place of what is so.
    pub(super) document: Value,
    /// What its tokens say beside or in place of what is so; `null` takes a claim away.
    pub(super) claims: Value,
    pub(super) signs: Signs,
    /// The keys that it publishes.
    pub(super) published: Vec<Signs>,
    /// What its answers name as the issuer.
    pub(super) iss: Option<String>,
    codes: HashMap<String, Code>,
    asked: HashMap<&'static str, usize>,
}

/// A running issuer; it stops when this is dropped.
pub(super) struct TestIssuer {
    pub(super) url: String,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    url: String,
    clock: Clock,
    script: Mutex<Script>,
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestIssuer {
    pub(super) async fn start(clock: &Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let shared = Arc::new(Shared {
            url: url.clone(),
            clock: clock.clone(),
            script: Mutex::new(Script {
                behaves: HashMap::new(),
                document: json!({}),
                claims: json!({}),
                signs: Signs::Ed(1),
                published: vec![Signs::Ed(1), Signs::Rsa, Signs::Ec],
                iss: None,
                codes: HashMap::new(),
                asked: HashMap::new(),
            }),
        });
        let routes = Router::new()
            .route(DISCOVERY, get(discovery))
            .route(KEYS, get(keys))
            .route(TOKEN, post(token))
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            let serving = axum::serve(listener, routes);
            tokio::select! {
                () = stopped => {}
                served = serving => served.expect("served"),
            }
        });
        Self { url, shared, stop }
    }

    pub(super) fn settings(&self, id: &str) -> IssuerSettings {
        IssuerSettings {
            id: IssuerId::parse(id).expect("a name"),
            name: format!("Issuer {id}"),
            url: SiteUri::parse(&self.url).expect("an address"),
            client_id: CLIENT.to_owned(),
            client_secret: Some(ClientSecret::new(SECRET.to_owned())),
        }
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().expect("script")
    }

    /// How often it was asked at an address.
    pub(super) fn asked(&self, path: &'static str) -> usize {
        self.script().asked.get(path).copied().unwrap_or(0)
    }

    /// Lets somebody in who came to `url`: what they are sent back with.
    pub(super) fn lets_in(&self, url: &str, subject: &str) -> String {
        let asked = query(url);
        let mut script = self.script();
        let code = format!("code-{}", script.codes.len());
        let state = &asked["state"];
        let mut back = Url::parse("http://x/").expect("an address");
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", state)
            .append_pair("session_state", "what nobody asked for");
        if let Some(iss) = &script.iss {
            back.query_pairs_mut().append_pair("iss", iss);
        }
        let code_of = Code {
            nonce: asked["nonce"].clone(),
            challenge: asked["code_challenge"].clone(),
            redirect_uri: asked["redirect_uri"].clone(),
            subject: subject.to_owned(),
        };
        script.codes.insert(code, code_of);
        back.query().expect("a query").to_owned()
    }
}

/// What is in the query of an address.
pub(super) fn query(url: &str) -> HashMap<String, String> {
    let url = Url::parse(url).expect("an address");
    url.query_pairs().into_owned().collect()
}

impl Shared {
    /// Counts, and misbehaves where it shall.
    async fn heard(&self, path: &'static str) -> Option<Response> {
        let behaves = {
            let mut script = self.script.lock().expect("script");
            *script.asked.entry(path).or_default() += 1;
            script.behaves.get(path).copied().unwrap_or(Behaves::Well)
        };
        let answer = match behaves {
            Behaves::Well => return None,
            Behaves::Fails(status) => StatusCode::from_u16(status)
                .expect("status")
                .into_response(),
            Behaves::Redirects => {
                let elsewhere = format!("{}{path}?again", self.url);
                (StatusCode::FOUND, [(header::LOCATION, elsewhere)]).into_response()
            }
            Behaves::Floods => {
                let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 64 * 1024]));
                let endless = futures_util::stream::repeat_with(chunk);
                Body::from_stream(endless).into_response()
            }
            Behaves::IsSilent => std::future::pending().await,
            Behaves::Babbles => "<html>".into_response(),
        };
        Some(answer)
    }

    fn document(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize?from=tests"),
            "token_endpoint": format!("{url}{TOKEN}"),
            "jwks_uri": format!("{url}{KEYS}"),
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256", "ES256", "EdDSA"],
            "response_types_supported": ["code"],
        })
    }
}

fn changed(mut value: Value, by: &Value) -> Value {
    let fields = value.as_object_mut().expect("an object");
    for (name, other) in by.as_object().expect("an object") {
        match other {
            Value::Null => fields.remove(name),
            other => fields.insert(name.clone(), other.clone()),
        };
    }
    value
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    if let Some(answer) = shared.heard(DISCOVERY).await {
        return answer;
    }
    let script = shared.script.lock().expect("script");
    Json(changed(shared.document(), &script.document)).into_response()
}

async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    if let Some(answer) = shared.heard(KEYS).await {
        return answer;
    }
    let script = shared.script.lock().expect("script");
    let keys: Vec<Value> = script.published.iter().map(Signs::public).collect();
    Json(json!({ "keys": keys })).into_response()
}

/// Takes a code of its client, with the verifier that was asked with; as often as it is brought.
async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let form = query(&format!("http://x/?{body}"));
    if let Some(answer) = shared.heard(TOKEN).await {
        return answer;
    }
    let script = shared.script.lock().expect("script");
    let basic = STANDARD.encode("console+of+tests:a+secret%3A+100%25");
    let is_client = headers.get(header::AUTHORIZATION)
        == Some(&format!("Basic {basic}").parse().expect("a header"));
    let code = form.get("code").and_then(|code| script.codes.get(code));
    let verifier = form.get("code_verifier").cloned().unwrap_or_default();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let Some(code) = code.filter(|code| {
        is_client
            && code.challenge == challenge
            && form.get("redirect_uri") == Some(&code.redirect_uri)
            && form
                .get("grant_type")
                .is_some_and(|grant| grant == "authorization_code")
    }) else {
        let refused = json!({ "error": "invalid_grant", "error_description": "<script>" });
        return (StatusCode::BAD_REQUEST, Json(refused)).into_response();
    };
    let now_s = shared.clock.now_ms() / 1_000;
    let claims = json!({
        "iss": shared.url, "sub": code.subject, "aud": CLIENT, "nonce": code.nonce,
        "iat": now_s, "exp": now_s + 300, "email": format!("{}@example.com", code.subject),
    });
    let id_token = sign(&script.signs, &changed(claims, &script.claims));
    Json(json!({ "access_token": "a", "token_type": "Bearer", "id_token": id_token }))
        .into_response()
}
