//! `keys`: the live set of order keys, while a session stands.
//!
//! Whoever could change the set could make a node work for them, so it is sealed with the node's secret as `welcome` is.
//! [`SealedKeys::seal`] and [`SealedKeys::open`] are the only ways between the set and what travels.

use crate::auth;
use crate::key::{hex, unhex};
use crate::limits::KEYS_BYTES;
use crate::order::OrderKeys;
use crate::strict::{self, StrictError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

const KEYS_DOMAIN: &[u8] = b"DGON-KEYS-V1\0";
/// Levels of a set: its object, the list, a key, and some for members that are not known yet.
const KEYS_DEPTH: usize = 8;

/// `keys`: a live set of order keys with the proof that its sender knows the node's secret. Nothing of it can be read
/// before [`SealedKeys::open`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedKeys(Box<RawValue>);

/// Why nothing of a set of keys is believed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Larger than any set.
    #[error("its set of order keys has over {KEYS_BYTES} bytes")]
    TooLarge,
    /// Not an object of strict JSON, so there are no canonical bytes.
    #[error("its set of order keys is no strict JSON")]
    Json(#[source] StrictError),
    /// There is no proof in it.
    #[error("its set of order keys carries no proof that it knows this node's secret")]
    NoProof,
    /// The proof is of another secret, another session or other keys.
    #[error(
        "the proof in its set of order keys does not hold: it does not know this node's secret, or made it for another session"
    )]
    Proof,
    /// Proven, and still no set of keys.
    #[error("its set of order keys is proven, but malformed")]
    Data(#[source] serde_json::Error),
    /// Sealing: the set cannot be written.
    #[error("the set of order keys cannot be written")]
    Write(#[source] serde_json::Error),
}

/// The live set of order keys; `keys` is this under its proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::LiveKeys))]
pub(crate) struct LiveKeys {
    /// The live set, at most 16.
    keys: OrderKeys,
}

/// MAC of a set: domain, the session's id, SHA-256 of the RFC 8785 bytes of the data without `proof`. The hash has a fixed
/// length, so the id ends where it does.
fn keys_mac(secret: &[u8], session_id: &str, data: &str) -> Result<auth::Tag, KeysError> {
    let document = strict::parse(data.as_bytes(), KEYS_DEPTH).map_err(KeysError::Json)?;
    let hash = Sha256::digest(strict::canonical_without(&document.root, "proof"));
    let parts = [KEYS_DOMAIN, session_id.as_bytes(), &hash];
    Ok(auth::tag(secret, &parts))
}

impl SealedKeys {
    /// Seals a set for the session that `welcome` named.
    ///
    /// # Errors
    /// [`KeysError::Write`], which no set leads to.
    pub fn seal(keys: OrderKeys, secret: &[u8], session_id: &str) -> Result<Self, KeysError> {
        let data = serde_json::to_string(&LiveKeys { keys }).map_err(KeysError::Write)?;
        let proof = hex(&keys_mac(secret, session_id, &data)?.into_bytes());
        let open = data.strip_suffix('}').unwrap_or(&data);
        let sealed = format!(r#"{open},"proof":"{proof}"}}"#);
        let sealed = RawValue::from_string(sealed).map_err(KeysError::Write)?;
        Ok(Self(sealed))
    }

    /// The set, if its sender knows `secret` and made it for this session. The proof is compared in constant time.
    ///
    /// # Errors
    /// [`KeysError`]: then the set that was live before stays so.
    pub fn open(&self, secret: &[u8], session_id: &str) -> Result<OrderKeys, KeysError> {
        #[derive(Deserialize)]
        struct Proof {
            #[serde(default)]
            proof: Option<String>,
        }
        let data = self.0.get();
        if data.len() > KEYS_BYTES {
            return Err(KeysError::TooLarge);
        }
        let Proof { proof } = serde_json::from_str(data).map_err(|_| KeysError::NoProof)?;
        let proof = proof.ok_or(KeysError::NoProof)?;
        let expected = keys_mac(secret, session_id, data)?;
        let is_proven = unhex::<32>(&proof).is_some_and(|proof| expected.verify(&proof));
        if !is_proven {
            return Err(KeysError::Proof);
        }
        let live: LiveKeys = serde_json::from_str(data).map_err(KeysError::Data)?;
        Ok(live.keys)
    }
}
