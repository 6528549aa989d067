//! One receipt's bytes to a verdict: strict parse once, node check, strict signature check one by one.
//!
//! Canonical input is taken over as it is: its buffer becomes the stored entry without a copy.
//!
//! A receipt verifies under the key that it names, the one in use or one that the node gave up. A former key is good
//! for what it signed in its time: a receipt that ended later than [`KEY_GRACE`] after the rotation, or that comes
//! after the end which the key's holder stated, is refused with `invalid_key`.

use super::PIECE;
use super::gate::FairGate;
use super::threads;
use crate::app::{FormerKey, NodeSession, Signatures};
use dgon_protocol::chain::Link;
use dgon_protocol::error::ErrorType;
use dgon_protocol::id::RequestId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::limits::KEY_GRACE;
use dgon_protocol::receipt::{Fields, Receipt, Sha256Hash, Version};
use std::error::Error as _;
use std::sync::{Arc, LazyLock};

/// Former keys that a receipt which names none is tried under.
const UNNAMED_KEYS: usize = 2;
/// Up to this many receipts, of so many bytes together, are verified where they came in: handing them to a thread costs
/// more.
const INLINE: usize = 2;
const INLINE_BYTES: usize = 8 * 1024;

/// The way to [`threads`].
static GATE: LazyLock<Arc<FairGate>> = LazyLock::new(|| Arc::new(FairGate::new(threads::count())));

/// A receipt that was looked at.
#[derive(Debug)]
pub enum Checked {
    /// It is taken: its signature holds, or need not.
    Verified(Box<Verified>),
    /// It is refused.
    Refused(Box<Refused>),
}

/// A receipt that is taken.
#[derive(Debug)]
pub struct Verified {
    /// Whether its signature holds; where it does not, the receipt is kept because none is required now.
    pub is_signed: bool,
    /// Row of the key that it verified under or should have, which is its chain.
    pub key: i64,
    /// What it says.
    pub fields: Fields,
    /// Its canonical bytes.
    pub entry: Vec<u8>,
    /// Their SHA-256.
    pub entry_hash: Sha256Hash,
}

/// Bytes that are refused.
#[derive(Debug)]
pub struct Refused {
    /// Why, for a program.
    pub kind: ErrorType,
    /// Why, for a person.
    pub message: String,
    /// The id that the bytes name.
    pub request_id: Option<RequestId>,
    /// Row of the key that the bytes name, else of the one in use.
    pub key: i64,
    /// The place in the chain that the bytes name.
    pub link: Option<Link>,
    /// The bytes may be of a key that the session does not know: they name one, or none.
    pub unknown_key: bool,
    /// The bytes as received.
    pub bytes: Vec<u8>,
}

impl Checked {
    /// Whether it is refused only because it may be of a key that the session does not know.
    pub fn is_of_unknown_key(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.unknown_key)
    }

    /// Row of the key whose chain it belongs to.
    pub fn key(&self) -> i64 {
        match self {
            Self::Verified(receipt) => receipt.key,
            Self::Refused(refused) => refused.key,
        }
    }
}

impl Verified {
    /// Node and request id, which are unique together.
    pub fn name(&self) -> (&str, &str) {
        (
            self.fields.node_id.as_str(),
            self.fields.request_id.as_str(),
        )
    }

    /// Its place in the chain; `None` for version 1.0 and for receipts without a `seq`.
    pub fn link(&self) -> Option<Link> {
        link(&self.fields, self.entry_hash)
    }
}

fn link(fields: &Fields, entry_hash: Sha256Hash) -> Option<Link> {
    match (fields.version, fields.seq, fields.prev_hash) {
        (Version::V1_1, Some(seq), Some(prev_hash)) => Some(Link {
            seq: u64::try_from(seq).ok()?,
            prev_hash,
            entry_hash,
        }),
        _ => None,
    }
}

/// Verifies receipts of one node, on other threads where there are more than a few.
pub async fn check_all(
    node: &Arc<NodeSession>,
    inputs: Vec<Vec<u8>>,
    signatures: Signatures,
) -> Vec<Checked> {
    let bytes: usize = inputs.iter().map(Vec::len).sum();
    if inputs.len() <= INLINE && bytes <= INLINE_BYTES {
        return inputs
            .into_iter()
            .map(|input| check(node, input, signatures))
            .collect();
    }
    let mut checked = Vec::with_capacity(inputs.len());
    let mut inputs = inputs.into_iter();
    loop {
        let some: Vec<Vec<u8>> = inputs.by_ref().take(PIECE).collect();
        if some.is_empty() {
            return checked;
        }
        let place = GATE.enter(&node.node_id, some.len()).await;
        let node = Arc::clone(node);
        let work = threads::run(move || {
            // Until the work is done, also where nobody waits for it any more.
            let _place = place;
            let some = some.into_iter();
            some.map(|input| check(&node, input, signatures))
                .collect::<Vec<Checked>>()
        });
        match work.await {
            Some(some) => checked.extend(some),
            // A panic in there, which no input can cause; refusing nothing would ack too much, so the caller sees fewer
            // verdicts than receipts and gives the session up.
            None => return Vec::new(),
        }
    }
}

/// Verifies one receipt of `node`.
pub fn check(node: &NodeSession, input: Vec<u8>, signatures: Signatures) -> Checked {
    let receipt = match Receipt::parse(&input) {
        Ok(receipt) => receipt,
        Err(error) => {
            let message = match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            return Checked::Refused(Box::new(Refused {
                kind: ErrorType::InvalidReceipt,
                message,
                request_id: None,
                key: node.node_key_id,
                link: None,
                unknown_key: false,
                bytes: input,
            }));
        }
    };
    let signer = signer(node, &receipt);
    let refusal = if receipt.fields.node_id != node.node_id {
        Some((
            ErrorType::WrongNode,
            "the receipt names another node than the one that sends it",
        ))
    } else if !signer.holds && signatures == Signatures::Required {
        Some((
            ErrorType::InvalidSignature,
            "receipt signature verification failed",
        ))
    } else {
        signer
            .former
            .and_then(|former| outlived(former, &receipt.fields))
            .map(|why| (ErrorType::InvalidKey, why))
    };
    let is_signed = signer.holds;
    let key = signer.former.map_or(node.node_key_id, |former| former.id);
    let entry_hash = receipt.entry_hash();
    if let Some((kind, message)) = refusal {
        return Checked::Refused(Box::new(Refused {
            kind,
            message: message.to_owned(),
            request_id: Some(receipt.fields.request_id.clone()),
            key,
            link: link(&receipt.fields, entry_hash),
            unknown_key: kind == ErrorType::InvalidSignature && !signer.named,
            bytes: input,
        }));
    }
    let rewritten = if std::ptr::eq(receipt.entry_bytes().as_ptr(), input.as_ptr()) {
        None
    } else {
        Some(receipt.entry_bytes().to_vec())
    };
    let fields = receipt.fields;
    Checked::Verified(Box::new(Verified {
        is_signed,
        key,
        fields,
        entry_hash,
        entry: rewritten.unwrap_or(input),
    }))
}

/// The key of a receipt.
struct Signer<'a> {
    /// Where it is one that the node gave up.
    former: Option<&'a FormerKey>,
    holds: bool,
    /// It is known to be the one: it holds, or the receipt names it.
    named: bool,
}

/// The key that the receipt names; where it names none, the one that it verifies under.
fn signer<'a>(node: &'a NodeSession, receipt: &Receipt<'_>) -> Signer<'a> {
    let under = |key: &PublicKey| receipt.verify(key);
    let former = |former: &'a FormerKey| Signer {
        former: Some(former),
        holds: under(&former.public_key),
        named: true,
    };
    if let Some(named) = &receipt.fields.key_id
        && let Some(found) = node.former.iter().find(|key| key.key_id == *named)
    {
        return former(found);
    }
    let holds = under(&node.public_key);
    let named = receipt.fields.key_id.as_ref();
    let is_current = |named: &String| *named == node.public_key.key_id();
    let current = Signer {
        former: None,
        holds,
        named: holds || named.is_some_and(is_current),
    };
    if current.holds || receipt.fields.key_id.is_some() {
        return current;
    }
    // The latest alone: a receipt that comes this late names its key.
    let mut others = node.former.iter().take(UNNAMED_KEYS).map(former);
    others.find(|signer| signer.holds).unwrap_or(current)
}

/// Why a receipt of a key that was given up is not good any more.
fn outlived(former: &FormerKey, fields: &Fields) -> Option<&'static str> {
    let grace_ms = i64::try_from(KEY_GRACE.as_millis()).unwrap_or(i64::MAX);
    let ended_ms = fields.ts_end.saturating_mul(1000);
    if ended_ms > former.valid_to_ms.saturating_add(grace_ms) {
        return Some("the receipt ended after its key was given up; sign with the key in use");
    }
    let beyond = former
        .closed_seq
        .is_some_and(|last| fields.seq.is_some_and(|seq| seq > last));
    beyond.then_some(
        "the receipt comes after the end of its chain, which the holder of its key stated",
    )
}
