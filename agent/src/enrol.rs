//! Enrolment: this machine's key is made, proven and exchanged for a name and a secret.
//!
//! Order matters. The key is on disk before the control plane hears of it, so that no crash leaves an enrolled
//! node without its key. A machine that brings its key again is the same node again, with a new secret. A key that
//! the control plane will not have any more is replaced where no receipt was signed with it.

use crate::api::{Api, ApiError};
use crate::config::{BaseUrl, StateDir};
use crate::gpu::Detector;
use crate::host;
use crate::identity::{self, Enrolment, IdentityError, NodeSecret};
use crate::net::Network;
use dgon_protocol::enrol::{RegisterNonce, RegisterRequest, RegisterResponse, proof_bytes};
use dgon_protocol::error::ErrorType;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::{NodeKey, PublicKey, signature_text};
use std::time::Duration;
use zeroize::Zeroizing;

const NONCE_PATH: &str = "/api/v1/nodes/register/nonce";
const REGISTER_PATH: &str = "/api/v1/nodes/register";
/// A driver that hangs must not hold enrolment up.
const SURVEY: Duration = Duration::from_secs(5);

/// Why the machine is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The state directory cannot be used.
    #[error("the identity cannot be kept in the state directory")]
    Identity(#[source] IdentityError),
    /// The token is not, or no longer, good.
    #[error(
        "the control plane does not accept this enrolment token: {0}; make a new one on the console's page Run a \
         Node, or with `dgon-control-plane token create`"
    )]
    Token(String),
    /// Another node has the name.
    #[error(
        "{0}. If this machine was that node and has lost its state directory, restore the directory from a backup: \
         its key cannot be made again. Else enrol under another name and retire the old node in the console; its \
         receipts stay, and a new chain begins"
    )]
    NameTaken(String),
    /// The call failed.
    #[error("the control plane did not enrol this machine")]
    Api(#[source] ApiError),
    /// The answer makes no sense.
    #[error(
        "the control plane's answer has no usable secret; its version may be too new for this agent"
    )]
    Answer,
}

/// What the operator wants.
#[derive(Clone)]
pub struct Wish {
    /// The control plane.
    pub api: BaseUrl,
    /// How to reach it.
    pub network: Network,
    /// The enrolment token.
    pub token: Zeroizing<String>,
    /// The node's name, where the operator chose one.
    pub node_id: Option<NodeId>,
    /// The node's region, where the operator chose one.
    pub region: Option<String>,
    /// Whether the GPUs may be read. Where they may not, the machine is enrolled without a hash of its hardware.
    pub read_gpus: bool,
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wish")
            .field("api", &self.api)
            .field("node_id", &self.node_id)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// An enrolled machine.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// Name, region, secret.
    pub enrolment: Enrolment,
    /// The public half of its key.
    pub public_key: PublicKey,
}

/// Enrols this machine and keeps what it gets.
///
/// # Errors
/// [`EnrolError`]; the machine is then as enrolled as before, and trying again is safe.
pub async fn enrol(state: &StateDir, wish: &Wish) -> Result<Enrolled, EnrolError> {
    let api = Api::new(wish.api.clone(), wish.network.clone());
    let (key, is_old) = match identity::load_key(state) {
        Ok(key) => (key, true),
        Err(IdentityError::NotEnrolled(_)) => (fresh(state)?, false),
        Err(error) => return Err(EnrolError::Identity(error)),
    };
    let hardware_hash = match wish.read_gpus {
        true => hardware_hash().await,
        false => None,
    };
    let mut registered = register(&api, wish, &key, hardware_hash.clone()).await;
    let mut public_key = key.public();
    // Only a key that never signed a receipt may go: a node with a spool is somebody's to look at.
    if is_old && is_known_key(&registered) && !state.spool_dir().exists() {
        tracing::warn!(
            "the control plane will not have the key of an earlier enrolment; it is replaced by a new one"
        );
        let key = fresh(state)?;
        public_key = key.public();
        registered = register(&api, wish, &key, hardware_hash).await;
    }
    let answer = registered.map_err(explain)?;
    let enrolment = Enrolment {
        node_id: answer.node_id,
        region: answer.region,
        link_url: answer.link_url,
        secret: NodeSecret::parse(&answer.node_secret).ok_or(EnrolError::Answer)?,
    };
    identity::store_enrolment(state, &enrolment).map_err(EnrolError::Identity)?;
    Ok(Enrolled {
        enrolment,
        public_key,
    })
}

fn fresh(state: &StateDir) -> Result<NodeKey, EnrolError> {
    identity::create_key(state).map_err(EnrolError::Identity)
}

async fn register(
    api: &Api,
    wish: &Wish,
    key: &NodeKey,
    hardware_hash: Option<String>,
) -> Result<RegisterResponse, ApiError> {
    let RegisterNonce { nonce, .. } = api.post(NONCE_PATH, Vec::new()).await?;
    let public_key = key.public();
    let request = RegisterRequest {
        token: wish.token.to_string(),
        public_key,
        signature: signature_text(&key.sign(&proof_bytes(&nonce, &public_key))),
        nonce,
        node_id: wish.node_id.clone(),
        region: wish.region.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        os: host::os().to_owned(),
        arch: host::arch().to_owned(),
        hardware_hash,
    };
    // Our own types always serialise; an empty body is refused by the server with a reason.
    let body = serde_json::to_vec(&request).unwrap_or_default();
    api.post(REGISTER_PATH, body).await
}

fn is_known_key<T>(result: &Result<T, ApiError>) -> bool {
    matches!(result, Err(ApiError::Refused { detail, .. }) if detail.kind == ErrorType::InvalidKey)
}

fn explain(error: ApiError) -> EnrolError {
    match error {
        ApiError::Refused { detail, .. } if detail.kind == ErrorType::InvalidToken => {
            EnrolError::Token(detail.message)
        }
        ApiError::Refused { detail, .. } if detail.kind == ErrorType::Conflict => {
            EnrolError::NameTaken(detail.message)
        }
        error => EnrolError::Api(error),
    }
}

async fn hardware_hash() -> Option<String> {
    let survey =
        tokio::task::spawn_blocking(|| host::hardware_hash(&Detector::new().survey().gpus()));
    tokio::time::timeout(SURVEY, survey).await.ok()?.ok()?
}
