//! A node changes its key: what the old and the new one sign, so that anybody can follow the change offline.
//!
//! Two statements. [`Rotation`] passes the node on: the old key names the new one, and the new one accepts, which
//! proves that somebody holds it. [`Closing`] ends the old key's chain: its holder says which receipt was the last.
//! Between the two, receipts of both keys are good; after the closing the old key can say nothing more. Every
//! statement starts with an ASCII prefix and a NUL, so it can never be taken for a receipt.

use crate::id::NodeId;
use crate::key::{KeyError, NodeKey, PublicKey, parse_signature, signature_text};
use crate::receipt::Sha256Hash;
use serde::{Deserialize, Serialize};

/// Where a [`Rotation`] is posted.
pub const ROTATE_PATH: &str = "/api/v1/nodes/key/rotate";
/// Where a [`Closing`] is posted.
pub const CLOSE_PATH: &str = "/api/v1/nodes/key/close";

/// Domain of the old key's signature.
const ROTATE_DOMAIN: &[u8] = b"DGON-KEY-ROTATE-V1\0";
/// Domain of the new key's signature.
const ACCEPT_DOMAIN: &[u8] = b"DGON-KEY-ACCEPT-V1\0";
/// Domain of the end of a chain.
const CLOSE_DOMAIN: &[u8] = b"DGON-KEY-CLOSE-V1\0";

/// Why a statement does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The new key is not one that a node may have.
    #[error("the new key cannot be used")]
    NewKey(#[source] KeyError),
    /// Old and new are one key.
    #[error("the new key is the old one")]
    SameKey,
    /// The old key did not sign this.
    #[error("the old key's signature does not hold")]
    OldSignature,
    /// The new key did not sign this.
    #[error("the new key's signature does not hold, so nobody has shown that he holds it")]
    NewSignature,
}

/// The old key names the new one, the new one accepts. Body of the post to [`ROTATE_PATH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = node::Rotation))]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Whose keys they are.
    pub node_id: NodeId,
    /// The key in use until now.
    pub old_key: PublicKey,
    /// The key from now on.
    pub new_key: PublicKey,
    /// When the node made this, unix s by its own clock.
    pub ts: u64,
    /// The old key's signature, `ed25519:` and base64.
    #[cfg_attr(feature = "schema", schema(pattern = "^ed25519:[A-Za-z0-9+/]{86}==$"))]
    pub old_signature: String,
    /// The new key's signature, `ed25519:` and base64.
    #[cfg_attr(feature = "schema", schema(pattern = "^ed25519:[A-Za-z0-9+/]{86}==$"))]
    pub new_signature: String,
}

impl Rotation {
    /// Signs the change with both keys.
    pub fn sign(node_id: &NodeId, old: &NodeKey, new: &NodeKey, ts: u64) -> Self {
        let (old_key, new_key) = (old.public(), new.public());
        let bytes = |domain| rotation_bytes(domain, node_id, &old_key, &new_key, ts);
        Self {
            node_id: node_id.clone(),
            old_signature: signature_text(&old.sign(&bytes(ROTATE_DOMAIN))),
            new_signature: signature_text(&new.sign(&bytes(ACCEPT_DOMAIN))),
            old_key,
            new_key,
            ts,
        }
    }

    /// Checks all that can be checked without knowing the node: the new key, and both signatures.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn check(&self) -> Result<(), StatementError> {
        self.new_key
            .check_enrollable()
            .map_err(StatementError::NewKey)?;
        if self.old_key == self.new_key {
            return Err(StatementError::SameKey);
        }
        if !self.holds(ROTATE_DOMAIN, &self.old_key, &self.old_signature) {
            return Err(StatementError::OldSignature);
        }
        if !self.holds(ACCEPT_DOMAIN, &self.new_key, &self.new_signature) {
            return Err(StatementError::NewSignature);
        }
        Ok(())
    }

    fn holds(&self, domain: &[u8], key: &PublicKey, signature: &str) -> bool {
        let bytes = rotation_bytes(domain, &self.node_id, &self.old_key, &self.new_key, self.ts);
        parse_signature(signature).is_some_and(|signature| key.verify(&bytes, &signature))
    }
}

/// Domain, node id, NUL, old key, NUL, new key, NUL, unix seconds in digits.
fn rotation_bytes(
    domain: &[u8],
    node_id: &NodeId,
    old: &PublicKey,
    new: &PublicKey,
    ts: u64,
) -> Vec<u8> {
    let mut bytes = domain.to_vec();
    bytes.extend_from_slice(format!("{node_id}\0{old}\0{new}\0{ts}").as_bytes());
    bytes
}

/// Answer to a [`Rotation`], status 200; the same again when it is posted again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = node::Rotated))]
pub struct Rotated {
    /// Whose key.
    pub node_id: NodeId,
    /// Short name of the new key.
    #[cfg_attr(feature = "schema", schema(pattern = "^[0-9a-f]{16}$"))]
    pub key_id: String,
    /// Since when the new key is valid and the old one is not, unix ms by the control plane's clock.
    pub valid_from_ms: i64,
    /// How long after that a receipt of the old key may have ended, s.
    pub grace_s: u64,
}

/// The last receipt of a key that was rotated away. Body of the post to [`CLOSE_PATH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = node::Closing))]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// Whose key it is.
    pub node_id: NodeId,
    /// The key whose chain ends.
    pub public_key: PublicKey,
    /// `seq` of the last receipt; 0 where there is none.
    pub last_seq: u64,
    /// SHA-256 of its entry bytes; zeros where there is none.
    pub last_hash: Sha256Hash,
    /// The key's signature, `ed25519:` and base64.
    #[cfg_attr(feature = "schema", schema(pattern = "^ed25519:[A-Za-z0-9+/]{86}==$"))]
    pub signature: String,
}

impl Closing {
    /// Signs the end of the chain of `key`.
    pub fn sign(node_id: &NodeId, key: &NodeKey, last_seq: u64, last_hash: Sha256Hash) -> Self {
        let public_key = key.public();
        let bytes = closing_bytes(node_id, &public_key, last_seq, last_hash);
        Self {
            node_id: node_id.clone(),
            signature: signature_text(&key.sign(&bytes)),
            public_key,
            last_seq,
            last_hash,
        }
    }

    /// Whether the holder of the key said this.
    pub fn holds(&self) -> bool {
        let bytes = closing_bytes(
            &self.node_id,
            &self.public_key,
            self.last_seq,
            self.last_hash,
        );
        parse_signature(&self.signature)
            .is_some_and(|signature| self.public_key.verify(&bytes, &signature))
    }
}

/// Domain, node id, NUL, key, NUL, last `seq` in digits, NUL, last hash.
fn closing_bytes(
    node_id: &NodeId,
    key: &PublicKey,
    last_seq: u64,
    last_hash: Sha256Hash,
) -> Vec<u8> {
    let mut bytes = CLOSE_DOMAIN.to_vec();
    bytes.extend_from_slice(format!("{node_id}\0{key}\0{last_seq}\0{last_hash}").as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> NodeKey {
        NodeKey::from_seed(&[seed; 32])
    }

    fn rotation() -> Rotation {
        let node_id = NodeId::parse("rig-7").unwrap();
        Rotation::sign(&node_id, &key(1), &key(2), 1_800_000_000)
    }

    #[test]
    fn the_signed_bytes_are_fixed() {
        let rotation = rotation();
        let bytes = rotation_bytes(
            ROTATE_DOMAIN,
            &rotation.node_id,
            &rotation.old_key,
            &rotation.new_key,
            rotation.ts,
        );
        let expected = "DGON-KEY-ROTATE-V1\0rig-7\0\
             ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=\0\
             ed25519:gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=\x001800000000";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn a_rotation_holds_and_any_other_word_breaks_it() {
        let good = rotation();
        assert_eq!(good.check(), Ok(()));
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Rotation>(&text).unwrap(), good);

        let mut other = good.clone();
        other.node_id = NodeId::parse("rig-8").unwrap();
        assert_eq!(other.check(), Err(StatementError::OldSignature));
        let mut other = good.clone();
        other.ts += 1;
        assert_eq!(other.check(), Err(StatementError::OldSignature));
        let mut other = good.clone();
        other.new_key = key(3).public();
        assert_eq!(other.check(), Err(StatementError::OldSignature));
        // The old key's word for somebody else's key is not enough.
        let mut other = good.clone();
        other.new_signature.clone_from(&other.old_signature);
        assert_eq!(other.check(), Err(StatementError::NewSignature));
        let same = Rotation::sign(&good.node_id, &key(1), &key(1), 1);
        assert_eq!(same.check(), Err(StatementError::SameKey));
        let mut weak = good;
        weak.new_key = PublicKey::from_bytes([0; 32]);
        assert!(matches!(weak.check(), Err(StatementError::NewKey(_))));
    }

    #[test]
    fn a_closing_says_one_end_only() {
        let node_id = NodeId::parse("rig-7").unwrap();
        let closing = Closing::sign(&node_id, &key(1), 9, Sha256Hash::of(b"last"));
        assert!(closing.holds());
        let mut later = closing.clone();
        later.last_seq = 10;
        assert!(!later.holds());
        let mut other = closing.clone();
        other.last_hash = Sha256Hash::ZERO;
        assert!(!other.holds());
        let mut foreign = closing;
        foreign.public_key = key(2).public();
        assert!(!foreign.holds());
    }
}
