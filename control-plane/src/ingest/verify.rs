//! One receipt's bytes to a verdict: strict parse once, node check, strict signature check one by one.
//!
//! Canonical input is taken over as it is: its buffer becomes the stored entry without a copy.

use crate::app::NodeSession;
use dgon_protocol::chain::Link;
use dgon_protocol::error::ErrorType;
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Fields, Receipt, Sha256Hash, Version};
use std::error::Error as _;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// Up to this many receipts are verified where they came in: handing them to a thread costs more.
const INLINE: usize = 2;

/// Threads that verify at once: as many as the machine has.
static CPUS: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
});

/// A receipt that was looked at.
#[derive(Debug)]
pub enum Checked {
    /// Its signature holds.
    Verified(Box<Verified>),
    /// It is refused.
    Refused(Box<Refused>),
}

/// A receipt whose signature holds.
#[derive(Debug)]
pub struct Verified {
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
    /// The place in the chain that the bytes name.
    pub link: Option<Link>,
    /// The bytes as received.
    pub bytes: Vec<u8>,
}

impl Verified {
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
pub async fn check_all(node: &Arc<NodeSession>, inputs: Vec<Vec<u8>>) -> Vec<Checked> {
    if inputs.len() <= INLINE {
        return inputs.into_iter().map(|input| check(node, input)).collect();
    }
    // The semaphore is never closed; without a permit the work is merely not limited.
    let _permit = CPUS.acquire().await;
    let node = Arc::clone(node);
    let work = tokio::task::spawn_blocking(move || {
        inputs
            .into_iter()
            .map(|input| check(&node, input))
            .collect()
    });
    // The only failure is a panic in there, which no input can cause; refusing nothing would ack too much,
    // so the caller sees fewer verdicts than receipts and gives the session up.
    work.await.unwrap_or_default()
}

/// Verifies one receipt of `node`.
pub fn check(node: &NodeSession, input: Vec<u8>) -> Checked {
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
                link: None,
                bytes: input,
            }));
        }
    };
    let refusal = if receipt.fields.node_id != node.node_id {
        Some((
            ErrorType::WrongNode,
            "the receipt names another node than the one that sends it",
        ))
    } else if !receipt.verify(&node.public_key) {
        Some((
            ErrorType::InvalidSignature,
            "receipt signature verification failed",
        ))
    } else {
        None
    };
    let entry_hash = receipt.entry_hash();
    if let Some((kind, message)) = refusal {
        return Checked::Refused(Box::new(Refused {
            kind,
            message: message.to_owned(),
            request_id: Some(receipt.fields.request_id.clone()),
            link: link(&receipt.fields, entry_hash),
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
        fields,
        entry_hash,
        entry: rewritten.unwrap_or(input),
    }))
}
