//! One simulated agent: identity, chain and the signatures of the real protocol, moved by hand.

use super::SimError;
use super::link::SimLink;
use crate::kept;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_protocol::auth::{self, HEADER_AUTH, HEADER_NODE_ID, HEADER_NONCE, HEADER_TIMESTAMP};
use dgon_protocol::chain::Head;
use dgon_protocol::enrol::{RegisterNonce, RegisterRequest, RegisterResponse, proof_bytes};
use dgon_protocol::frame::{Hello, Host, Inventory, Model, Permission, Runtime, link_proof_bytes};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::{NodeKey, hex, signature_text};
use dgon_protocol::receipt::{Draft, Signed, Source, Status, TokensSource};
use dgon_protocol::rotate::{Closing, Rotation};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Model that simulated agents say they serve.
pub const MODEL: &str = "sim-chat:1b";

/// What an operator chooses at enrolment.
#[derive(Debug, Clone, Default)]
pub struct Enrol {
    /// Name of the node; the control plane makes one where this is absent.
    pub node_id: Option<NodeId>,
    /// Region; the token's where this is absent.
    pub region: Option<String>,
}

/// All that outlives a simulated agent's process. Holds secrets: write it to 0600 files only.
#[derive(Clone, Serialize, Deserialize)]
pub struct SavedAgent {
    node_id: NodeId,
    region: String,
    link_url: String,
    key_seed: String,
    secret: String,
    seq: u64,
    entry_hash: String,
}

/// A simulated agent.
pub struct SimAgent {
    /// Its name.
    pub node_id: NodeId,
    /// Its region.
    pub region: String,
    /// Where its link is.
    pub link_url: String,
    /// Its receipt key.
    pub key: NodeKey,
    /// Its HMAC secret.
    pub secret: Vec<u8>,
    /// The last receipt that it signed.
    pub head: Head,
}

/// One signed receipt of a simulated agent.
#[derive(Debug, Clone)]
pub struct SimReceipt {
    /// Its place in the chain.
    pub seq: u64,
    /// Its id.
    pub request_id: RequestId,
    /// Its bytes and their hash.
    pub signed: Signed,
}

impl SimReceipt {
    /// The entry bytes as text.
    pub fn text(&self) -> &str {
        // What Draft::sign writes is UTF-8.
        std::str::from_utf8(&self.signed.entry_bytes).unwrap_or("null")
    }
}

/// Wall clock, unix time.
pub fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], SimError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| SimError::Entropy)?;
    Ok(bytes)
}

impl SimAgent {
    /// Makes a key and enrols it with proof of possession. `api` is the control plane's base URL.
    ///
    /// # Errors
    /// The control plane cannot be reached or refuses.
    pub async fn enrol(
        http: &reqwest::Client,
        api: &str,
        token: &str,
        options: Enrol,
    ) -> Result<Self, SimError> {
        let seed: [u8; 32] = random()?;
        kept::secret("node key", &STANDARD.encode(seed));
        kept::secret("enrolment token", token);
        let key = NodeKey::from_seed(&seed);
        let api = api.trim_end_matches('/');
        let nonce: RegisterNonce =
            post(http, &format!("{api}/api/v1/nodes/register/nonce"), &()).await?;
        let request = RegisterRequest {
            token: token.to_owned(),
            public_key: key.public(),
            signature: signature_text(&key.sign(&proof_bytes(&nonce.nonce, &key.public()))),
            nonce: nonce.nonce,
            node_id: options.node_id,
            region: options.region,
            agent_version: concat!("sim-", env!("CARGO_PKG_VERSION")).to_owned(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            hardware_hash: None,
        };
        let answer: RegisterResponse =
            post(http, &format!("{api}/api/v1/nodes/register"), &request).await?;
        kept::secret("node secret", &answer.node_secret);
        Ok(Self {
            node_id: answer.node_id,
            region: answer.region,
            link_url: answer.link_url,
            key,
            secret: STANDARD
                .decode(&answer.node_secret)
                .map_err(|_| SimError::Answer("node_secret is not base64"))?,
            head: Head::EMPTY,
        })
    }

    /// Brings back a saved agent.
    ///
    /// # Errors
    /// What was saved is malformed.
    pub fn restore(saved: &SavedAgent) -> Result<Self, SimError> {
        let bad = || SimError::Answer("the saved identity is malformed");
        let seed = dgon_protocol::key::unhex::<32>(&saved.key_seed).ok_or_else(bad)?;
        let entry_hash =
            dgon_protocol::receipt::Sha256Hash::parse(&saved.entry_hash).ok_or_else(bad)?;
        Ok(Self {
            node_id: saved.node_id.clone(),
            region: saved.region.clone(),
            link_url: saved.link_url.clone(),
            key: NodeKey::from_seed(&seed),
            secret: STANDARD.decode(&saved.secret).map_err(|_| bad())?,
            head: Head {
                seq: saved.seq,
                entry_hash,
            },
        })
    }

    /// Takes a new key and begins its chain; the statement by which the old key passes the node on.
    ///
    /// # Errors
    /// The machine has no entropy.
    pub fn rotate(&mut self) -> Result<Rotation, SimError> {
        let new = NodeKey::from_seed(&random()?);
        let rotation = Rotation::sign(&self.node_id, &self.key, &new, unix_now().as_secs());
        self.key = new;
        self.head = Head::EMPTY;
        Ok(rotation)
    }

    /// The statement that the chain of this agent's key ends where it is.
    pub fn closing(&self) -> Closing {
        Closing::sign(
            &self.node_id,
            &self.key,
            self.head.seq,
            self.head.entry_hash,
        )
    }

    /// What [`SimAgent::restore`] needs.
    pub fn save(&self) -> SavedAgent {
        SavedAgent {
            node_id: self.node_id.clone(),
            region: self.region.clone(),
            link_url: self.link_url.clone(),
            key_seed: hex(&*self.key.seed()),
            secret: STANDARD.encode(&self.secret),
            seq: self.head.seq,
            entry_hash: self.head.entry_hash.to_string(),
        }
    }

    /// A plausible next receipt, unsigned: the last head's successor.
    ///
    /// # Errors
    /// The machine has no entropy.
    pub fn draft(&self) -> Result<Draft, SimError> {
        let now = unix_now();
        let random = u128::from_le_bytes(random()?);
        let [output, ttft, gap, ..] = random.to_le_bytes().map(u64::from);
        Ok(Draft {
            request_id: RequestId::generate(now.as_millis() as u64, random),
            node_id: self.node_id.clone(),
            region: Some(self.region.clone()),
            ts_start: now.as_secs(),
            ts_end: now.as_secs() + 1,
            model_id: MODEL.to_owned(),
            model_hash: Some(format!(
                "sha256:{}",
                blake3::hash(MODEL.as_bytes()).to_hex()
            )),
            prompt_hash: Some(format!(
                "blake3:{}",
                blake3::hash(&random.to_le_bytes()).to_hex()
            )),
            tokens_input: 20 + output % 200,
            tokens_output: 1 + output,
            p95_ms: Some(5 + gap / 4),
            s3_checkpoints: Vec::new(),
            hedged: false,
            cache_hit: None,
            seq: self.head.seq + 1,
            prev_hash: self.head.entry_hash,
            status: Status::Ok,
            ttft_ms: Some(40 + ttft),
            latency_ms: 300 + ttft + output * 5,
            runtime: Some("ollama".to_owned()),
            source: Source::Local,
            tokens_cached: None,
            output_hash: None,
            energy_mwh: None,
            order_hash: None,
            tokens_source: Some(TokensSource::Usage),
            error: None,
        })
    }

    /// Signs a draft as it is, without moving the chain: for forks, gaps and forgeries.
    pub fn sign(&self, draft: &Draft) -> SimReceipt {
        SimReceipt {
            seq: draft.seq,
            request_id: draft.request_id.clone(),
            signed: draft.sign(&self.key),
        }
    }

    /// Signs the next receipt of the chain, after `edit` had its way with the draft.
    ///
    /// # Errors
    /// The machine has no entropy.
    pub fn next_receipt_with(
        &mut self,
        edit: impl FnOnce(&mut Draft),
    ) -> Result<SimReceipt, SimError> {
        let mut draft = self.draft()?;
        edit(&mut draft);
        let receipt = self.sign(&draft);
        self.head = Head {
            seq: receipt.seq,
            entry_hash: receipt.signed.entry_hash,
        };
        Ok(receipt)
    }

    /// Signs the next receipt of the chain.
    ///
    /// # Errors
    /// The machine has no entropy.
    pub fn next_receipt(&mut self) -> Result<SimReceipt, SimError> {
        self.next_receipt_with(|_| {})
    }

    /// The node headers of HMAC v2 for one request.
    ///
    /// # Errors
    /// The machine has no entropy.
    pub fn headers(
        &self,
        method: &str,
        path_and_query: &str,
        body: &[u8],
    ) -> Result<[(&'static str, String); 4], SimError> {
        let timestamp = unix_now().as_secs().to_string();
        let nonce = hex(&random::<16>()?);
        let request = auth::Request {
            method,
            path_and_query,
            timestamp: &timestamp,
            nonce: &nonce,
            body,
        };
        let mac = auth::sign_v2(&self.secret, &request);
        Ok([
            (HEADER_NODE_ID, self.node_id.to_string()),
            (HEADER_TIMESTAMP, timestamp),
            (HEADER_NONCE, nonce),
            (HEADER_AUTH, mac),
        ])
    }

    /// The answer to a challenge: the proof that this agent holds its receipt key.
    pub fn hello(&self, nonce: &str, host: &str, agent_nonce: &str) -> Hello {
        let proof = link_proof_bytes(nonce, &self.node_id, host);
        Hello {
            node_id: self.node_id.clone(),
            public_key: self.key.public(),
            signature: signature_text(&self.key.sign(&proof)),
            agent_version: concat!("sim-", env!("CARGO_PKG_VERSION")).to_owned(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            boot_id: self.node_id.to_string(),
            inventory: inventory(),
            next_seq: self.head.seq + 1,
            allow: Permission::DEFAULT.to_vec(),
            agent_nonce: Some(agent_nonce.to_owned()),
        }
    }

    /// Opens the link and goes through the handshake.
    ///
    /// # Errors
    /// The control plane cannot be reached, refuses, or breaks the protocol.
    pub async fn connect(&self) -> Result<SimLink, SimError> {
        self.connect_with(|_| {}).await
    }

    /// Opens the link with a hello that `edit` had its way with.
    ///
    /// # Errors
    /// The control plane cannot be reached, refuses, or breaks the protocol.
    pub async fn connect_with(&self, edit: impl FnOnce(&mut Hello)) -> Result<SimLink, SimError> {
        SimLink::open(self, edit).await
    }
}

/// What every simulated agent says that it has.
pub fn inventory() -> Inventory {
    Inventory {
        host: Host {
            os_version: Some("Simulated".to_owned()),
            cpu: Some("none".to_owned()),
            cores: Some(8),
            memory_mib: Some(32_768),
        },
        gpus: Vec::new(),
        runtimes: vec![Runtime {
            kind: "ollama".to_owned(),
            version: Some("0.32.15".to_owned()),
            ready: true,
            models: vec![Model {
                id: MODEL.to_owned(),
                digest: None,
                size_bytes: None,
                loaded: Some(true),
            }],
        }],
        hardware_hash: None,
        gpus_not_read: None,
    }
}

/// Posts JSON; patient where the control plane says that it is asked too often.
async fn post<T: serde::de::DeserializeOwned>(
    http: &reqwest::Client,
    url: &str,
    body: &impl Serialize,
) -> Result<T, SimError> {
    for _ in 0..60 {
        let response = http
            .post(url)
            .json(body)
            .send()
            .await
            .map_err(SimError::Http)?;
        let status = response.status();
        if status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            let wait = response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse().ok());
            tokio::time::sleep(
                Duration::from_secs(wait.unwrap_or(1)).max(Duration::from_millis(100)),
            )
            .await;
            continue;
        }
        if !status.is_success() {
            let text = response.text().await.unwrap_or_default();
            return Err(SimError::Refused {
                status: status.as_u16(),
                text,
            });
        }
        return response.json().await.map_err(SimError::Http);
    }
    Err(SimError::Answer("the control plane keeps saying 429"))
}
