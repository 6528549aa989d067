//! Keys that sign orders: the control plane's private one, and the live set of public ones that agents are told.

use crate::id::KeyId;
use crate::key::{NodeKey, PublicKey};
use crate::limits::ORDER_KEYS;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A private key of a control plane's process that signs orders and countersignatures, and nothing else. A type of its
/// own, so that no node's key can sign an order. Wiped from memory on drop; never printed.
#[derive(Clone)]
pub struct OrderSigningKey(NodeKey);

impl OrderSigningKey {
    /// Takes the 32 secret bytes (RFC 8032 seed).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(NodeKey::from_seed(seed))
    }

    /// The 32 secret bytes, to be kept sealed.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        self.0.seed()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// The key as agents are told of it.
    pub fn order_key(&self, not_before_ms: i64, not_after_ms: i64) -> OrderKey {
        OrderKey {
            kid: KeyId::of(&self.public()),
            public_key: self.public(),
            not_before_ms,
            not_after_ms,
        }
    }

    /// Signs bytes that begin with a domain: only statements of this crate are signed.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

impl fmt::Debug for OrderSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderSigningKey({})", self.public())
    }
}

/// A public key under which orders are believed for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::OrderKey))]
pub struct OrderKey {
    /// First 16 hex digits of SHA-256 of the key.
    pub kid: KeyId,
    /// The key.
    pub public_key: PublicKey,
    /// From when on it signs orders, unix ms.
    #[cfg_attr(feature = "schema", schema(minimum = 0, maximum = 9007199254740991i64))]
    pub not_before_ms: i64,
    /// Until when it signs orders, unix ms; not before `not_before_ms`.
    #[cfg_attr(feature = "schema", schema(minimum = 0, maximum = 9007199254740991i64))]
    pub not_after_ms: i64,
}

impl OrderKey {
    /// Whether an order of this key may be believed at `now_ms`, both ends included.
    pub fn is_live(&self, now_ms: i64) -> bool {
        (self.not_before_ms..=self.not_after_ms).contains(&now_ms)
    }

    fn check(&self) -> Result<(), OrderKeyError> {
        let kid = self.kid.clone();
        if kid != KeyId::of(&self.public_key) {
            return Err(OrderKeyError::Kid { kid });
        }
        if self.public_key.check_enrollable().is_err() {
            return Err(OrderKeyError::Key { kid });
        }
        let within = 0..=crate::limits::INTEGER_MAX;
        let has_ends = within.contains(&self.not_before_ms) && within.contains(&self.not_after_ms);
        if !has_ends || self.not_after_ms < self.not_before_ms {
            return Err(OrderKeyError::Interval { kid });
        }
        Ok(())
    }
}

/// Why keys are no set of order keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderKeyError {
    /// More than 16.
    #[error("at most {ORDER_KEYS} order keys are live at once, these are {count}")]
    TooMany {
        /// Count seen.
        count: usize,
    },
    /// The name is another key's.
    #[error("the order key {kid} is not the key of that name")]
    Kid {
        /// The name.
        kid: KeyId,
    },
    /// The bytes are no canonical point of the prime-order group.
    #[error("the order key {kid} is not a canonically encoded ed25519 key of prime order")]
    Key {
        /// The name.
        kid: KeyId,
    },
    /// The interval ends before it begins, or an end is no time.
    #[error("the interval of the order key {kid} ends before it begins, or is beyond 2^53-1")]
    Interval {
        /// The name.
        kid: KeyId,
    },
    /// The same key stands in the set twice.
    #[error("the order key {kid} stands in the set twice")]
    Twice {
        /// The name.
        kid: KeyId,
    },
}

/// The live set of order keys, at most [`ORDER_KEYS`]. An empty set believes no order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<OrderKey>", into = "Vec<OrderKey>")]
pub struct OrderKeys(Vec<OrderKey>);

impl OrderKeys {
    /// Checks each key and takes them.
    ///
    /// # Errors
    /// [`OrderKeyError`] with the first thing that is wrong.
    pub fn new(keys: Vec<OrderKey>) -> Result<Self, OrderKeyError> {
        if keys.len() > ORDER_KEYS {
            return Err(OrderKeyError::TooMany { count: keys.len() });
        }
        for (i, key) in keys.iter().enumerate() {
            key.check()?;
            if keys[..i].iter().any(|other| other.kid == key.kid) {
                let kid = key.kid.clone();
                return Err(OrderKeyError::Twice { kid });
            }
        }
        Ok(Self(keys))
    }

    /// The key of this name, if orders of it may be believed at `now_ms`, unix ms on the control plane's clock.
    pub fn live(&self, kid: &KeyId, now_ms: i64) -> Option<&OrderKey> {
        let key = self.0.iter().find(|key| key.kid == *kid)?;
        key.is_live(now_ms).then_some(key)
    }

    /// All of them.
    pub fn as_slice(&self) -> &[OrderKey] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<OrderKey>> for OrderKeys {
    type Error = OrderKeyError;
    fn try_from(keys: Vec<OrderKey>) -> Result<Self, OrderKeyError> {
        Self::new(keys)
    }
}

impl From<OrderKeys> for Vec<OrderKey> {
    fn from(keys: OrderKeys) -> Self {
        keys.0
    }
}
