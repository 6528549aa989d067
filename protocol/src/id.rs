//! Identifiers that are checked where they enter, so that the rest of the code can trust them.

use crate::key::PublicKey;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct IdError {
    what: &'static str,
    rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` against the grammar of this identifier.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the text breaks.
            pub fn parse(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                if Self::is_valid(&text) { Ok(Self(text)) } else { Err(IdError { what: $what, rule: $rule }) }
            }

            /// Whether `text` is in the grammar of this identifier.
            pub fn is_valid(text: &str) -> bool {
                let valid: fn(&str) -> bool = $valid;
                valid(text)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

text_id!(
    /// Name of a node: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    NodeId,
    "a node id",
    "1 to 64 of the characters A-Z a-z 0-9 . _ - and start with a letter or digit",
    |text| {
        let bytes = text.as_bytes();
        matches!(bytes.first(), Some(first) if first.is_ascii_alphanumeric())
            && bytes.len() <= 64
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
);

text_id!(
    /// Name of one request, unique in the network: `[A-Za-z0-9._:-]{1,64}`. Ours are `r_` and a ULID.
    RequestId,
    "a request id",
    "1 to 64 of the characters A-Z a-z 0-9 . _ : -",
    |text| {
        let bytes = text.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
    }
);

text_id!(
    /// Name of a key: the first 16 hex digits of SHA-256 of the public key.
    KeyId,
    "a key id",
    "16 lower-case hex digits",
    |text| crate::table::is_lower_hex(text, 16)
);

impl KeyId {
    /// The name of `key`.
    pub fn of(key: &PublicKey) -> Self {
        Self(key.key_id())
    }
}

impl RequestId {
    /// The id under which orders and receipts of attempt `n` at this request go: `<id>.<n>`.
    ///
    /// # Errors
    /// [`IdError`] where that is longer than an id may be.
    pub fn of_attempt(&self, attempt: u8) -> Result<Self, IdError> {
        Self::parse(format!("{self}.{attempt}"))
    }

    /// A new id of our form from a wall clock in unix milliseconds and 80 random bits.
    pub fn generate(unix_ms: u64, random: u128) -> Self {
        Self(format!("r_{}", ulid::Ulid::from_parts(unix_ms, random)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_follow_the_grammar() {
        for good in ["a", "macbook-001", "0", "A.b_c-d", &"x".repeat(64)] {
            assert!(NodeId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(NodeId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn request_ids_follow_the_grammar() {
        for good in ["r_01J8KQ0000000000000000000A", ":", "-", &"x".repeat(64)] {
            assert!(RequestId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(RequestId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_ids_sort_by_time() {
        let early = RequestId::generate(1, u128::MAX);
        let late = RequestId::generate(2, 0);
        assert!(early < late && RequestId::is_valid(early.as_str()));
    }
}
