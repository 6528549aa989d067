//! How a session begins and ends: `challenge`, `hello`, `welcome`, `error`, `bye`.
//!
//! Both sides prove who they are. The node signs the server's nonce and the host that it connected to. The control
//! plane seals `welcome` with the node's secret: [`Welcome::seal`] and [`SealedWelcome::open`] are the only ways
//! between the statement and what travels, so that nothing of it can be read before its proof held.

use super::Inventory;
use crate::auth;
use crate::error::ErrorType;
use crate::id::NodeId;
use crate::key::{PublicKey, hex, parse_signature, unhex};
use crate::limits::{FRAME_BYTES, RECEIPTS_IN_FLIGHT, RECEIPTS_PER_BATCH, WELCOME_BYTES};
use crate::order::OrderKeys;
use crate::receipt::Receipt;
use crate::strict::{self, StrictError};
use crate::text::{self, NAME_CHARS, NONCE_CHARS, Text};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

const LINK_DOMAIN: &[u8] = b"DGON-LINK-V1\0";
const WELCOME_DOMAIN: &[u8] = b"DGON-WELCOME-V1\0";
/// Levels of a welcome: those of a receipt, one for the welcome around it, and some for flags.
const WELCOME_DEPTH: usize = 40;

/// The bytes that `hello.signature` covers: domain, nonce, node id, host that the agent connected to.
pub fn link_proof_bytes(nonce: &str, node_id: &NodeId, host: &str) -> Vec<u8> {
    [
        LINK_DOMAIN,
        nonce.as_bytes(),
        node_id.as_str().as_bytes(),
        host.as_bytes(),
    ]
    .concat()
}

/// `challenge`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Challenge))]
pub struct Challenge {
    /// To be signed in `hello`.
    #[serde(deserialize_with = "text::name::<_, NONCE_CHARS>")]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 128))]
    pub nonce: String,
    /// The server's clock, unix ms, so that an agent sees its own drift.
    pub server_time_ms: i64,
}

/// `hello`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Hello))]
pub struct Hello {
    /// Who this is.
    pub node_id: NodeId,
    /// The receipt key in use.
    pub public_key: PublicKey,
    /// Signature of [`link_proof_bytes`], `ed25519:` and base64.
    #[cfg_attr(feature = "schema", schema(pattern = "^ed25519:[A-Za-z0-9+/]{86}==$"))]
    pub signature: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Changes with every start of the machine.
    pub boot_id: String,
    /// What the node has.
    pub inventory: Inventory,
    /// `seq` of the next receipt that the agent will make.
    pub next_seq: u64,
    /// What the owner lets the control plane ask for.
    pub allow: Vec<Permission>,
    /// The agent's own nonce, fresh for every session, of the grammar of [`auth::is_nonce`]. A welcome repeats it under
    /// its proof: the challenge's nonce is the server's choice, so without it a recorded session could be played
    /// again to the agent by somebody who does not know the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(pattern = "^[A-Za-z0-9_-]{22,128}$"))]
    pub agent_nonce: Option<String>,
}

impl Hello {
    /// Whether the holder of the key answered this challenge for this host.
    pub fn proves_key(&self, nonce: &str, host: &str) -> bool {
        let message = link_proof_bytes(nonce, &self.node_id, host);
        parse_signature(&self.signature)
            .is_some_and(|signature| self.public_key.verify(&message, &signature))
    }
}

/// What the owner of a node lets the control plane ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Permission))]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Known prompts that check the node.
    Probe,
    /// Consumers' requests.
    Gateway,
    /// Inference jobs.
    Inference,
    /// Benchmarks.
    Benchmark,
    /// Containers.
    Container,
    /// Commands.
    Command,
}

impl Permission {
    /// What a node allows unless its owner says otherwise.
    pub const DEFAULT: [Self; 4] = [Self::Probe, Self::Gateway, Self::Inference, Self::Benchmark];
}

/// What the control plane says when a session stands; `welcome` is this under its proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Welcome))]
pub struct Welcome {
    /// Name of this session.
    #[serde(deserialize_with = "text::name::<_, NAME_CHARS>")]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64))]
    pub session_id: String,
    /// Every receipt up to this `seq` is durable.
    pub acked_seq: u64,
    /// Entry bytes of the newest stored receipt of this chain, where `hello` spoke of fewer: the agent believes that it
    /// lost receipts only when it is shown one that its own key has signed. Its `seq` is `acked_seq`, or less where the
    /// receipts after it were refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<crate::schema::ReceiptBody>))]
    pub acked_receipt: Option<Box<RawValue>>,
    /// How often to send a heartbeat, s.
    pub heartbeat_s: u32,
    /// Limits in force.
    pub limits: LinkLimits,
    /// Switches that the agent may need. Integers are the only numbers in them.
    #[serde(default)]
    pub flags: serde_json::Map<String, serde_json::Value>,
    /// [`Hello::agent_nonce`] of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(pattern = "^[A-Za-z0-9_-]{22,128}$"))]
    pub agent_nonce: Option<String>,
    /// The live set of order keys; none where the control plane signs no orders. While the session stands, `keys`
    /// frames replace it.
    #[serde(default, skip_serializing_if = "OrderKeys::is_empty")]
    #[cfg_attr(feature = "schema", schema(required = false))]
    pub order_keys: OrderKeys,
}

/// `welcome`: a [`Welcome`] with the proof that its sender knows the node's secret. Nothing of it can be read before
/// [`SealedWelcome::open`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedWelcome(Box<RawValue>);

/// Why nothing of a welcome is believed.
#[derive(Debug, thiserror::Error)]
pub enum WelcomeError {
    /// Larger than any welcome.
    #[error("its welcome has over {WELCOME_BYTES} bytes")]
    TooLarge,
    /// Not an object of strict JSON, so there are no canonical bytes.
    #[error("its welcome is no strict JSON")]
    Json(#[source] StrictError),
    /// There is no proof in it.
    #[error("its welcome carries no proof that it knows this node's secret")]
    NoProof,
    /// The proof is of another secret, another session or other data.
    #[error("the proof in its welcome does not hold: it does not know this node's secret")]
    Proof,
    /// The proof holds, but for another session of this node.
    #[error("its welcome was made for another session of this node")]
    Replayed,
    /// Proven, and still no welcome.
    #[error("its welcome is proven, but malformed")]
    Data(#[source] serde_json::Error),
    /// Sealing: the data cannot be written.
    #[error("the welcome cannot be written")]
    Write(#[source] serde_json::Error),
}

/// MAC of a welcome: domain, the challenge's nonce, SHA-256 of the RFC 8785 bytes of the data without `proof`.
fn welcome_mac(secret: &[u8], nonce: &str, data: &str) -> Result<auth::Tag, WelcomeError> {
    let document = strict::parse(data.as_bytes(), WELCOME_DEPTH).map_err(WelcomeError::Json)?;
    let hash = Sha256::digest(strict::canonical_without(&document.root, "proof"));
    Ok(auth::tag(
        secret,
        &[WELCOME_DOMAIN, nonce.as_bytes(), &hash],
    ))
}

impl Welcome {
    /// Seals it for the session that began with this nonce of `challenge`.
    ///
    /// # Errors
    /// [`WelcomeError::Write`] or [`WelcomeError::Json`] where `flags` holds what strict JSON does not.
    pub fn seal(&self, secret: &[u8], nonce: &str) -> Result<SealedWelcome, WelcomeError> {
        let data = serde_json::to_string(self).map_err(WelcomeError::Write)?;
        let proof = hex(&welcome_mac(secret, nonce, &data)?.into_bytes());
        let open = data.strip_suffix('}').unwrap_or(&data);
        let sealed = format!(r#"{open},"proof":"{proof}"}}"#);
        let sealed = RawValue::from_string(sealed).map_err(WelcomeError::Write)?;
        Ok(SealedWelcome(sealed))
    }

    /// `seq` of the receipt that it shows, if the holder of `key` signed that as `node_id` and it is not beyond
    /// `acked_seq`.
    pub fn shown_seq(&self, key: &PublicKey, node_id: &NodeId) -> Option<u64> {
        let receipt = Receipt::parse(self.acked_receipt.as_ref()?.get().as_bytes()).ok()?;
        let seq = u64::try_from(receipt.fields.seq?).ok()?;
        let is_own = receipt.fields.node_id == *node_id && receipt.verify(key);
        (is_own && seq <= self.acked_seq).then_some(seq)
    }
}

impl SealedWelcome {
    /// The welcome, if its sender knows `secret` and made it for this session: the one that began with `nonce` of the
    /// challenge and `agent_nonce` of `hello`. The proof is compared in constant time.
    ///
    /// # Errors
    /// [`WelcomeError`]: then nothing of it may be believed.
    pub fn open(
        &self,
        secret: &[u8],
        nonce: &str,
        agent_nonce: &str,
    ) -> Result<Welcome, WelcomeError> {
        #[derive(Deserialize)]
        struct Proof {
            #[serde(default)]
            proof: Option<String>,
        }
        let data = self.0.get();
        if data.len() > WELCOME_BYTES {
            return Err(WelcomeError::TooLarge);
        }
        let Proof { proof } = serde_json::from_str(data).map_err(|_| WelcomeError::NoProof)?;
        let proof = proof.ok_or(WelcomeError::NoProof)?;
        let expected = welcome_mac(secret, nonce, data)?;
        let is_proven = unhex::<32>(&proof).is_some_and(|proof| expected.verify(&proof));
        if !is_proven {
            return Err(WelcomeError::Proof);
        }
        let welcome: Welcome = serde_json::from_str(data).map_err(WelcomeError::Data)?;
        if welcome.agent_nonce.as_deref() != Some(agent_nonce) {
            return Err(WelcomeError::Replayed);
        }
        Ok(welcome)
    }
}

/// Limits that `welcome` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::LinkLimits))]
pub struct LinkLimits {
    /// Largest frame, bytes.
    pub frame_bytes: u32,
    /// Receipts in one frame.
    pub receipts_per_batch: u32,
    /// Receipts sent and not acknowledged.
    pub receipts_in_flight: u32,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            frame_bytes: FRAME_BYTES as u32,
            receipts_per_batch: RECEIPTS_PER_BATCH as u32,
            receipts_in_flight: RECEIPTS_IN_FLIGHT as u32,
        }
    }
}

/// `bye`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Bye))]
pub struct Bye {
    /// Why, such as `stopping` or `draining`.
    pub reason: String,
}

/// `error`: the session closes after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::LinkError))]
pub struct LinkError {
    /// What, for a program.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// What, for a person.
    pub message: Text,
    /// When to come back, s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}
