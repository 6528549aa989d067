//! Fields of an object, looked up by name: each that is missing or breaks its rule is named.

use crate::id::{KeyId, NodeId, RequestId};
use crate::receipt::Sha256Hash;
use crate::strict::{Member, Value};

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldError {
    /// A required field is not there.
    Missing {
        /// The field.
        name: &'static str,
    },
    /// The field has the wrong type or breaks its rule.
    Rule {
        /// The field.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
}

/// The members of one object.
pub(crate) struct Table<'t, 'a>(pub(crate) &'t [Member<'a>]);

type Read<T> = Result<T, FieldError>;

impl<'t, 'a> Table<'t, 'a> {
    /// The value of a member.
    pub(crate) fn get(&self, name: &'static str) -> Option<&'t Value<'a>> {
        self.0
            .iter()
            .find(|member| member.key == name)
            .map(|member| &member.value)
    }

    /// A field that may be absent. `null` is not absent.
    pub(crate) fn optional<T>(
        &self,
        name: &'static str,
        rule: &'static str,
        read: impl FnOnce(&'t Value<'a>) -> Option<T>,
    ) -> Read<Option<T>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or(FieldError::Rule { name, rule }),
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &self,
        name: &'static str,
        rule: &'static str,
        read: impl FnOnce(&'t Value<'a>) -> Option<T>,
    ) -> Read<T> {
        self.optional(name, rule, read)?
            .ok_or(FieldError::Missing { name })
    }

    /// A request id that must be there.
    pub(crate) fn request_id(&self, name: &'static str) -> Read<RequestId> {
        self.required(name, "1 to 64 of A-Z a-z 0-9 . _ : -", |v| {
            RequestId::parse(text(v)?).ok()
        })
    }

    /// A node id that must be there.
    pub(crate) fn node_id(&self, name: &'static str) -> Read<NodeId> {
        self.required(name, "a node id", |v| NodeId::parse(text(v)?).ok())
    }

    /// The name of a key that must be there.
    pub(crate) fn key_id(&self, name: &'static str) -> Read<KeyId> {
        self.required(name, HEX16, |v| KeyId::parse(text(v)?).ok())
    }

    /// A count of 0 or more that must be there.
    pub(crate) fn count(&self, name: &'static str) -> Read<u64> {
        self.required(name, COUNT, unsigned)
    }

    /// A count of 0 or more that may be absent.
    pub(crate) fn optional_count(&self, name: &'static str) -> Read<Option<u64>> {
        self.optional(name, COUNT, unsigned)
    }

    /// A SHA-256 that must be there.
    pub(crate) fn sha256(&self, name: &'static str) -> Read<Sha256Hash> {
        self.required(name, SHA256, sha256)
    }

    /// A SHA-256 that may be absent.
    pub(crate) fn optional_sha256(&self, name: &'static str) -> Read<Option<Sha256Hash>> {
        self.optional(name, SHA256, sha256)
    }
}

/// Whether `text` is exactly `length` lower-case hex digits.
pub(crate) fn is_lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A text, borrowed.
pub(crate) fn text<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    match value {
        Value::Str(text) => Some(text),
        _ => None,
    }
}

/// A text.
pub(crate) fn owned_text(value: &Value<'_>) -> Option<String> {
    text(value).map(str::to_owned)
}

/// An integer.
pub(crate) fn int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        _ => None,
    }
}

/// An integer of 0 or more.
pub(crate) fn count(value: &Value<'_>) -> Option<i64> {
    int(value).filter(|n| *n >= 0)
}

/// An integer of 0 or more.
pub(crate) fn unsigned(value: &Value<'_>) -> Option<u64> {
    u64::try_from(int(value)?).ok()
}

/// `true` or `false`.
pub(crate) fn flag(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        _ => None,
    }
}

fn sha256(value: &Value<'_>) -> Option<Sha256Hash> {
    Sha256Hash::parse(text(value)?)
}

/// A text of so many characters, none of them a control character: no database, log or screen takes harm from it.
pub(crate) fn line(
    length: std::ops::RangeInclusive<usize>,
) -> impl Fn(&Value<'_>) -> Option<String> {
    move |value| {
        owned_text(value).filter(|text| {
            length.contains(&text.chars().count()) && !text.chars().any(char::is_control)
        })
    }
}

/// Rule of [`int`].
pub(crate) const INT: &str = "an integer";
/// Rule of [`count`].
pub(crate) const COUNT: &str = "an integer of 0 or more";
/// Rule of [`flag`].
pub(crate) const BOOL: &str = "true or false";
/// Rule of a model's name.
pub(crate) const MODEL: &str = "a string of 1 to 256 characters, none a control character";
/// Rule of a SHA-256.
pub(crate) const SHA256: &str = "sha256: and 64 lower-case hex digits";
/// Rule of a keyed hash.
pub(crate) const BLAKE3: &str = "blake3: and 64 lower-case hex digits";
/// Rule of a key's name.
pub(crate) const HEX16: &str = "16 lower-case hex digits";
