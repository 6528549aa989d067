//! Strangers who ask a control plane for what costs it work, each time from another of many addresses. The control plane
//! must trust this machine as a proxy.

use crate::fleet::SimError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dgon_control_plane_model::api_key::{ApiKey, RANDOM_BYTES};
use dgon_protocol::auth::{HEADER_AUTH, HEADER_NODE_ID, HEADER_NONCE, HEADER_TIMESTAMP};
use dgon_protocol::enrol::{RegisterRequest, proof_bytes};
use dgon_protocol::key::{NodeKey, hex, signature_text};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The first address of the block for tests of networks.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 0]);
/// Requests under way at once; more are not sent.
const AT_ONCE: usize = 128;

/// What strangers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Aim {
    /// Guess the password of one account.
    OneAccount,
    /// Guess passwords of accounts that there may be.
    ManyAccounts,
    /// Read what anybody may read.
    Reads,
    /// Try keys, tokens, codes and nodes that are none, ask for nonces, and register.
    Junk,
}

/// How they do it.
#[derive(Debug, Clone)]
pub struct Strangers {
    /// Base URL of the control plane.
    pub api: String,
    /// What they do.
    pub aim: Aim,
    /// Whose password is guessed.
    pub email: String,
    /// Requests per second of all of them.
    pub rate: u32,
    /// Addresses, at most 65,536.
    pub addresses: u32,
}

/// What each of them needs.
struct Shared {
    http: Client,
    of: Strangers,
    /// A nonce of the control plane, to enrol with; good for some minutes.
    nonce: String,
    key: NodeKey,
}

fn bytes<const N: usize>() -> Result<[u8; N], SimError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SimError::Entropy)?;
    Ok(bytes)
}

impl Strangers {
    /// Asks for so long; how often each status was answered.
    ///
    /// # Errors
    /// The machine has no entropy, or the control plane is not there.
    pub async fn run(self, duration: Duration) -> Result<BTreeMap<u16, u64>, SimError> {
        let http = Client::builder()
            .no_proxy()
            .build()
            .map_err(SimError::Http)?;
        let url = format!("{}/api/v1/nodes/register/nonce", self.api);
        let nonce = http.post(url).send().await.map_err(SimError::Http)?;
        let nonce: Value = nonce.json().await.map_err(SimError::Http)?;
        let nonce = nonce["nonce"].as_str();
        let nonce = nonce.ok_or(SimError::Answer("a nonce to enrol with"))?;
        let every = Duration::from_secs(1) / self.rate.max(1);
        let shared = Arc::new(Shared {
            http,
            of: self,
            nonce: nonce.to_owned(),
            key: NodeKey::from_seed(&bytes()?),
        });
        let (places, mut asking) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        let mut answered = BTreeMap::new();
        let mut count = |status: u16| *answered.entry(status).or_insert(0) += 1;
        let mut ticks = tokio::time::interval(every);
        let end = tokio::time::Instant::now() + duration;
        let mut number = 0;
        while tokio::time::Instant::now() < end {
            ticks.tick().await;
            while let Some(status) = asking.try_join_next() {
                count(status.unwrap_or(0));
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            number += 1;
            let request = shared.request(number)?;
            asking.spawn(async move {
                let _place = place;
                request
                    .send()
                    .await
                    .map_or(0, |answer| answer.status().as_u16())
            });
        }
        while let Some(status) = asking.join_next().await {
            count(status.unwrap_or(0));
        }
        Ok(answered)
    }
}

impl Shared {
    /// The request of this number, from an address of its own.
    fn request(&self, number: u32) -> Result<RequestBuilder, SimError> {
        let request = match self.of.aim {
            Aim::OneAccount => self.sign_in(&self.of.email),
            Aim::ManyAccounts => self.sign_in(&format!("person-{number}@example.org")),
            Aim::Reads => self.read(number),
            Aim::Junk => self.junk(number)?,
        };
        let address = Ipv4Addr::from(FIRST + number % self.of.addresses.clamp(1, 65_536));
        Ok(request.header("x-forwarded-for", address.to_string()))
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let request = self.http.post(format!("{}/api/v1{path}", self.of.api));
        request.header("origin", &self.of.api).json(body)
    }

    fn sign_in(&self, email: &str) -> RequestBuilder {
        let body = json!({"email": email, "password": "a guess of a password"});
        self.post("/auth/login", &body)
    }

    fn read(&self, number: u32) -> RequestBuilder {
        // An answer that was remembered is no use to most of them.
        let limit = number % 190 + 1;
        let path = match number % 5 {
            0 => "/summary".to_owned(),
            1 => "/auth/state".to_owned(),
            2 => format!("/nodes?sort=-p95&limit={limit}"),
            3 => format!("/nodes?region=eu-west&limit={limit}"),
            _ => format!("/nodes?limit={limit}"),
        };
        self.http.get(format!("{}/api/v1{path}", self.of.api))
    }

    fn junk(&self, number: u32) -> Result<RequestBuilder, SimError> {
        let random = URL_SAFE_NO_PAD.encode(bytes::<32>()?);
        Ok(match number % 10 {
            0 | 1 => {
                let key = ApiKey::from_random(&bytes::<RANDOM_BYTES>()?);
                let request = self.http.get(format!("{}/api/v1/nodes", self.of.api));
                request.bearer_auth(key.reveal().as_str())
            }
            2 | 3 => self.beat()?,
            4 => self.enrolment(&random),
            5 => {
                let address = "0x52908400098527886E0F7030069857D2E4169EE7";
                let body = json!({"purpose": "sign_in", "kind": "evm", "address": address});
                self.post("/auth/nonce", &body)
            }
            6 => self.post("/auth/second-factor", &json!({"code": "123456"})),
            7 => self.post("/auth/redeem", &json!({"token": random})),
            8 => {
                let refresh = self.post("/auth/refresh", &json!({}));
                refresh.header("cookie", format!("dgon_refresh={random}"))
            }
            _ => {
                let (email, name) = (format!("{random}@example.org"), &random[..20]);
                let body = json!({"email": email, "password": random, "organisation": name});
                self.post("/auth/register", &body)
            }
        })
    }

    /// A node that there is not.
    fn beat(&self) -> Result<RequestBuilder, SimError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_s = now.unwrap_or_default().as_secs();
        let request = self.post("/nodes/heartbeat", &json!({}));
        Ok(request
            .header(HEADER_NODE_ID, format!("node-{}", hex(&bytes::<8>()?)))
            .header(HEADER_TIMESTAMP, now_s.to_string())
            .header(HEADER_NONCE, hex(&bytes::<16>()?))
            .header(HEADER_AUTH, format!("v2={}", hex(&bytes::<32>()?))))
    }

    /// A right proof with a token that is none.
    fn enrolment(&self, token: &str) -> RequestBuilder {
        let proof = proof_bytes(&self.nonce, &self.key.public());
        let wish = RegisterRequest {
            token: token.to_owned(),
            public_key: self.key.public(),
            signature: signature_text(&self.key.sign(&proof)),
            nonce: self.nonce.clone(),
            node_id: None,
            region: None,
            agent_version: "sim".to_owned(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            hardware_hash: None,
        };
        let request = self
            .http
            .post(format!("{}/api/v1/nodes/register", self.of.api));
        request.json(&wish)
    }
}
