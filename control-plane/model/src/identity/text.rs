//! Texts of a sign-in that are checked where they enter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a text cannot stand in a sign-in request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct FieldError {
    pub(super) what: &'static str,
    pub(super) rule: &'static str,
}

/// A text type that holds only what its rule allows, also where it is read from a store.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`FieldError`](crate::identity::FieldError) names the rule that the text breaks.
            pub fn parse(text: impl Into<String>) -> Result<Self, crate::identity::FieldError> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(crate::identity::FieldError { what: $what, rule: $rule })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = crate::identity::FieldError;
            fn try_from(text: String) -> Result<Self, crate::identity::FieldError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }
    };
}

pub(super) use checked_text;

/// Base64 of exactly `N` bytes, in its one form: padded, and no bit set that is of no byte. No more is read than that takes.
pub(super) fn base64_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}
