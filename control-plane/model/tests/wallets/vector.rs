//! What other people's libraries made, and how it is spoilt.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests do")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_control_plane_model::identity::{
    Account, ChainKind, Proof, SignInError, SignInFields, SignInRequest,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    good: Vec<Vector>,
    mixed_order: Refused,
}

/// A request and its answer.
#[derive(Deserialize)]
pub(crate) struct Vector {
    pub(crate) by: String,
    pub(crate) request: SignInRequest,
    pub(crate) message: String,
    pub(crate) signed: Option<String>,
    pub(crate) signature: String,
    pub(crate) public_key: Option<String>,
}

/// What must not come to be a request.
#[derive(Deserialize)]
pub(crate) struct Refused {
    pub(crate) request: SignInFields,
    pub(crate) message: String,
    pub(crate) signature: String,
}

fn read() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

/// All that hold: two of each kind of chain, one after the other.
pub(crate) fn all() -> Vec<Vector> {
    read().good
}

/// Those of one kind.
pub(crate) fn of(kind: ChainKind) -> impl Iterator<Item = Vector> {
    all()
        .into_iter()
        .filter(move |vector| vector.kind() == kind)
}

/// Those whose signature is ECDSA's.
pub(crate) fn ecdsa() -> impl Iterator<Item = Vector> {
    of(ChainKind::Evm).chain(of(ChainKind::Cosmos))
}

/// A key with a point of order 8 in it, and a signature that holds by the strict rule.
pub(crate) fn mixed_order() -> Refused {
    read().mixed_order
}

/// Bytes of hex digits.
pub(crate) fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

impl Vector {
    pub(crate) fn kind(&self) -> ChainKind {
        self.request.account().kind()
    }

    pub(crate) fn proof(&self) -> Proof<'_> {
        Proof {
            signature: &self.signature,
            public_key: self.public_key.as_deref(),
            message: Some(self.message.as_bytes()),
        }
    }

    /// Checks an answer in time.
    pub(crate) fn verify(&self, proof: &Proof<'_>) -> Result<Account, SignInError> {
        let now_ms = self.request.fields().issued_at_ms + 1;
        let proven = self.request.verify(proof, now_ms)?;
        Ok(proven.account().clone())
    }

    /// With another signature.
    pub(crate) fn verify_signature(&self, signature: &str) -> Result<Account, SignInError> {
        let proof = self.proof();
        self.verify(&Proof { signature, ..proof })
    }

    /// With another signature.
    pub(crate) fn verify_bytes(&self, signature: &[u8]) -> Result<Account, SignInError> {
        self.verify_signature(&self.encode(signature))
    }

    /// The signature's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self.kind() {
            ChainKind::Evm => bytes_of(&self.signature[2..]),
            ChainKind::Solana | ChainKind::Cosmos => STANDARD.decode(&self.signature).unwrap(),
        }
    }

    /// A signature of its kind.
    pub(crate) fn encode(&self, bytes: &[u8]) -> String {
        match self.kind() {
            ChainKind::Evm => format!("0x{}", dgon_protocol::key::hex(bytes)),
            ChainKind::Solana | ChainKind::Cosmos => STANDARD.encode(bytes),
        }
    }

    /// The answer, to a request that differs in something.
    pub(crate) fn asked_otherwise(&self, change: impl Fn(&mut SignInFields)) -> Self {
        let mut fields = self.request.fields().clone();
        change(&mut fields);
        let request = SignInRequest::new(fields).unwrap();
        Self {
            by: self.by.clone(),
            message: request.message(),
            request,
            signed: None,
            signature: self.signature.clone(),
            public_key: self.public_key.clone(),
        }
    }
}
