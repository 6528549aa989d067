//! JSON objects that are signed behind a domain.
//!
//! *Entry bytes* are the RFC 8785 form of the whole object. The signature covers the domain, which ends with a NUL, and
//! the RFC 8785 form of the object without `signature`. A receipt is signed without a domain, so its signed bytes begin
//! with `{`: no signature of one kind passes for another, even under one key.

use crate::id::KeyId;
use crate::key::{PublicKey, parse_signature, signature_text};
use crate::limits::RECEIPT_DEPTH;
use crate::order::OrderSigningKey;
use crate::receipt::Sha256Hash;
use crate::strict::{self, Member, StrictError, Value};
use crate::table::{FieldError, Table, owned_text};
use std::borrow::Cow;

/// Why bytes are not a statement of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Larger than any of its kind.
    #[error("{what} has at most {most} bytes, this has {bytes}")]
    TooLarge {
        /// The kind.
        what: &'static str,
        /// Its limit, bytes.
        most: usize,
        /// Size seen.
        bytes: usize,
    },
    /// Not strict JSON.
    #[error("{what} is strict JSON, this is not")]
    Json {
        /// The kind.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: StrictError,
    },
    /// The root is not an object.
    #[error("{what} is one JSON object")]
    NotAnObject {
        /// The kind.
        what: &'static str,
    },
    /// A required field is missing.
    #[error("the field {name} of {what} is missing")]
    Missing {
        /// The kind.
        what: &'static str,
        /// The field.
        name: &'static str,
    },
    /// A field has the wrong type or breaks its rule.
    #[error("the field {name} of {what} must be {rule}")]
    Field {
        /// The kind.
        what: &'static str,
        /// The field.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
}

/// A kind of statement.
pub(crate) struct Kind {
    /// How it is called in errors, such as `an order`.
    pub(crate) what: &'static str,
    /// What stands before the signed object; ends with a NUL.
    pub(crate) domain: &'static [u8],
    /// Its largest size, bytes.
    pub(crate) most_bytes: usize,
}

impl Kind {
    fn fault(&self, error: FieldError) -> StatementError {
        let what = self.what;
        match error {
            FieldError::Missing { name } => StatementError::Missing { what, name },
            FieldError::Rule { name, rule } => StatementError::Field { what, name, rule },
        }
    }

    /// Reads one statement in any JSON form that the rules allow, and its fields with `read`. Unknown members are
    /// allowed, and covered by the signature.
    pub(crate) fn parse<T>(
        &self,
        input: &[u8],
        read: impl FnOnce(&Table<'_, '_>) -> Result<T, FieldError>,
    ) -> Result<(T, Signed), StatementError> {
        let what = self.what;
        if input.len() > self.most_bytes {
            return Err(StatementError::TooLarge {
                what,
                most: self.most_bytes,
                bytes: input.len(),
            });
        }
        let document = strict::parse(input, RECEIPT_DEPTH)
            .map_err(|source| StatementError::Json { what, source })?;
        let Value::Object(members) = &document.root else {
            return Err(StatementError::NotAnObject { what });
        };
        let table = Table(members);
        let fields = self.fields(&table, read)?;
        let object = strict::canonical_without(&document.root, "signature");
        let signed = Signed {
            kid: table.key_id("kid").map_err(|error| self.fault(error))?,
            signature: table
                .required("signature", "a string", owned_text)
                .map_err(|error| self.fault(error))?,
            entry_bytes: strict::canonical(&document.root),
            signed_bytes: [self.domain, &object].concat(),
        };
        Ok((fields, signed))
    }

    fn fields<T>(
        &self,
        table: &Table<'_, '_>,
        read: impl FnOnce(&Table<'_, '_>) -> Result<T, FieldError>,
    ) -> Result<T, StatementError> {
        let version = |value: &Value<'_>| (*value == Value::Str("1.0".into())).then_some(());
        table
            .required("version", "\"1.0\"", version)
            .and_then(|()| read(table))
            .map_err(|error| self.fault(error))
    }

    /// The entry bytes of a statement of these members, signed with `key`.
    pub(crate) fn sign(&self, members: Members<'_>, key: &OrderSigningKey) -> Vec<u8> {
        let kid = KeyId::of(&key.public());
        let mut members = members.text("version", "1.0").text("kid", kid.as_str()).0;
        let unsigned = Value::Object(members.clone());
        let signature = key.sign(&[self.domain, &strict::canonical(&unsigned)].concat());
        members.push(member(
            "signature",
            Value::Str(signature_text(&signature).into()),
        ));
        strict::canonical(&Value::Object(members))
    }
}

/// Members of a statement that is to be signed, in any order.
#[derive(Default)]
pub(crate) struct Members<'a>(Vec<Member<'a>>);

fn member<'a>(key: &'a str, value: Value<'a>) -> Member<'a> {
    Member {
        key: Cow::Borrowed(key),
        value,
        // Only of meaning for what was read.
        span: (0, 0),
    }
}

impl<'a> Members<'a> {
    /// Adds a text.
    pub(crate) fn text(mut self, key: &'a str, value: &'a str) -> Self {
        self.0.push(member(key, Value::Str(value.into())));
        self
    }

    /// Adds a hash or another thing that is written as text.
    pub(crate) fn shown(mut self, key: &'a str, value: impl std::fmt::Display) -> Self {
        self.0
            .push(member(key, Value::Str(value.to_string().into())));
        self
    }

    /// Adds such a thing, where there is one.
    pub(crate) fn optional_shown(
        self,
        key: &'a str,
        value: Option<impl std::fmt::Display>,
    ) -> Self {
        match value {
            Some(value) => self.shown(key, value),
            None => self,
        }
    }

    /// Adds an integer. What is beyond every integer of the strict subset is refused when the statement is read back.
    pub(crate) fn int(mut self, key: &'a str, value: impl TryInto<i64>) -> Self {
        let value = value.try_into().unwrap_or(i64::MAX);
        self.0.push(member(key, Value::Int(value)));
        self
    }

    /// Adds an integer, where there is one.
    pub(crate) fn optional_int(self, key: &'a str, value: Option<impl TryInto<i64>>) -> Self {
        match value {
            Some(value) => self.int(key, value),
            None => self,
        }
    }
}

/// The bytes of a statement that was read. The signature is not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) kid: KeyId,
    signature: String,
    pub(crate) entry_bytes: Vec<u8>,
    signed_bytes: Vec<u8>,
}

impl Signed {
    /// Whether `kid` names `key` and the signature holds under it, strictly.
    pub(crate) fn verify(&self, key: &PublicKey) -> bool {
        self.kid == KeyId::of(key)
            && parse_signature(&self.signature)
                .is_some_and(|signature| key.verify(&self.signed_bytes, &signature))
    }

    /// SHA-256 of the entry bytes.
    pub(crate) fn entry_hash(&self) -> Sha256Hash {
        Sha256Hash::of(&self.entry_bytes)
    }
}
