//! From the bytes of a bundle to what they prove. Needs nothing but the bytes, and to know whose they are a key.

use super::{Bundle, Chain, DEPTH, FORMAT, Key, seal_bytes};
use dgon_protocol::key::{PublicKey, parse_signature};
use dgon_protocol::receipt::{Receipt, Sha256Hash};
use dgon_protocol::strict;
use serde::Serialize;
use std::collections::HashSet;

/// Why a bundle proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not what this program writes.
    #[error("not an evidence bundle in its one canonical form: {0}")]
    Form(String),
    /// The seal does not hold.
    #[error("the seal does not hold: the file was changed, or its last key did not make it")]
    Seal,
    /// The keys do not follow from each other.
    #[error("key {key_id}: {what}")]
    Key {
        /// Which key.
        key_id: String,
        /// What is wrong.
        what: String,
    },
    /// A receipt or its place is wrong.
    #[error("chain of key {key_id}, receipt {place} of it in this file: {what}")]
    Receipt {
        /// Whose chain.
        key_id: String,
        /// Which one in the file, from 1.
        place: usize,
        /// What is wrong.
        what: String,
    },
    /// A chain does not end or begin as stated.
    #[error("chain of key {key_id}: {what}")]
    Chain {
        /// Whose chain.
        key_id: String,
        /// What is wrong.
        what: String,
    },
    /// The key that must have signed is none of the bundle's.
    #[error("the key given with --public-key is none of this bundle's, so it is not that node's")]
    Stranger,
}

/// What a bundle proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Whose receipts they say they are.
    pub node_id: String,
    /// Short names of its keys, the first first.
    pub key_ids: Vec<String>,
    /// The last key.
    pub public_key: PublicKey,
    /// Receipts in it.
    pub receipts: usize,
    /// Stretches of `seq` that are not in it, with the key of their chain.
    pub not_in_it: Vec<String>,
    /// What holds.
    pub proves: Vec<String>,
    /// What does not follow.
    pub not_proven: Vec<String>,
}

/// Checks everything. `known` is a key that the reader trusts to be the node's.
///
/// # Errors
/// [`Invalid`], the first that is found.
pub fn verify(bytes: &[u8], known: Option<&PublicKey>) -> Result<Proof, Invalid> {
    let bundle = read(bytes)?;
    check_keys(&bundle)?;
    let mut seen = HashSet::new();
    let mut not_in_it = Vec::new();
    for (key, chain) in bundle.keys.iter().zip(&bundle.chains) {
        check_chain(&bundle, key, chain, &mut seen, &mut not_in_it)?;
    }
    if known.is_some_and(|known| bundle.keys.iter().all(|key| key.public_key != *known)) {
        return Err(Invalid::Stranger);
    }
    let last = bundle.keys.last().ok_or(Invalid::Seal)?;
    Ok(Proof {
        node_id: bundle.node_id.to_string(),
        key_ids: bundle.keys.iter().map(|key| key.key_id.clone()).collect(),
        public_key: last.public_key,
        receipts: seen.len(),
        proves: proves(known.is_some()),
        not_proven: not_proven(known.is_some()),
        not_in_it,
    })
}

fn proves(is_known: bool) -> Vec<String> {
    let holder = if is_known {
        "the holder of the key given with --public-key, or of keys that it passed the node on to or took it from,"
    } else {
        "one holder of keys"
    };
    vec![
        format!("{holder} signed every receipt in this file as it is"),
        "each receipt names the hash of the one before it: none was changed, taken out or put in between afterwards"
            .to_owned(),
        "each key was named by the one before it and accepted by its own holder".to_owned(),
        "this file is, byte for byte, as the last key sealed it".to_owned(),
    ]
}

fn not_proven(is_known: bool) -> Vec<String> {
    let mut list = vec![
        "that the work was done as stated".to_owned(),
        "that no receipts came before the first or after the last of a chain in this file".to_owned(),
        "that the control plane has them: acknowledged positions and validity times are the node's own notes"
            .to_owned(),
        "when the receipts were made: times are of the node's clock".to_owned(),
    ];
    if !is_known {
        list.insert(
            0,
            "that the keys are the named node's: compare with GET /api/v1/nodes/ID/keys, or give one with --public-key"
                .to_owned(),
        );
    }
    list
}

fn read(bytes: &[u8]) -> Result<Bundle, Invalid> {
    let form = |what: &dyn std::fmt::Display| Invalid::Form(what.to_string());
    let document = strict::parse(bytes, DEPTH).map_err(|error| form(&error))?;
    if !document.is_canonical {
        return Err(form(&"its bytes are not RFC 8785"));
    }
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|error| form(&error))?;
    if bundle.format != FORMAT {
        return Err(form(&format!("its format is {:?}", bundle.format)));
    }
    if bundle.keys.is_empty() || bundle.keys.len() != bundle.chains.len() {
        return Err(form(&"it needs one chain for each of its keys"));
    }
    // A member that reads like an absent one would be bytes that nobody looked at.
    let again = serde_json::to_vec(&bundle).map_err(|error| form(&error))?;
    let again = strict::parse(&again, DEPTH).map_err(|error| form(&error))?;
    if strict::canonical(&again.root) != bytes {
        return Err(form(&"it has members that say nothing"));
    }
    let unsealed = strict::canonical_without(&document.root, "seal");
    let seal = bundle.seal.as_deref().and_then(parse_signature);
    let last = bundle.keys.last().map(|key| key.public_key);
    match (seal, last) {
        (Some(seal), Some(key)) if key.verify(&seal_bytes(&unsealed), &seal) => Ok(bundle),
        _ => Err(Invalid::Seal),
    }
}

fn check_keys(bundle: &Bundle) -> Result<(), Invalid> {
    let mut before: Option<&Key> = None;
    let last = bundle.keys.len() - 1;
    for (place, key) in bundle.keys.iter().enumerate() {
        let wrong = |what: String| Invalid::Key {
            key_id: key.key_id.clone(),
            what,
        };
        if key.key_id != key.public_key.key_id() {
            return Err(wrong("its short name is another key's".to_owned()));
        }
        key.public_key
            .check_enrollable()
            .map_err(|error| wrong(error.to_string()))?;
        match (&key.rotation, before) {
            (None, None) => {}
            (Some(rotation), Some(before)) => {
                rotation.check().map_err(|error| wrong(error.to_string()))?;
                let links = rotation.old_key == before.public_key
                    && rotation.new_key == key.public_key
                    && rotation.node_id == bundle.node_id;
                if !links {
                    return Err(wrong("its statement is about other keys".to_owned()));
                }
            }
            _ => {
                return Err(wrong(
                    "the statement that brought it is not there".to_owned(),
                ));
            }
        }
        if let Some(closing) = &key.closing {
            let is_its_own =
                closing.public_key == key.public_key && closing.node_id == bundle.node_id;
            if !is_its_own || !closing.holds() || place == last {
                return Err(wrong("the end of its chain is not its own word".to_owned()));
            }
        }
        before = Some(key);
    }
    Ok(())
}

fn check_chain(
    bundle: &Bundle,
    key: &Key,
    chain: &Chain,
    seen: &mut HashSet<String>,
    not_in_it: &mut Vec<String>,
) -> Result<(), Invalid> {
    let wrong = |what: &str| Invalid::Chain {
        key_id: key.key_id.clone(),
        what: what.to_owned(),
    };
    if chain.key_id != key.key_id {
        return Err(wrong("it is the chain of another key"));
    }
    let mut missing = chain.missing.iter();
    let mut end: Option<(u64, Sha256Hash)> = None;
    for (place, text) in (1..).zip(&chain.receipts) {
        let at = |what: &str| Invalid::Receipt {
            key_id: key.key_id.clone(),
            place,
            what: what.to_owned(),
        };
        let receipt = Receipt::parse(text.as_bytes()).map_err(|error| at(&error.to_string()))?;
        let fields = &receipt.fields;
        if receipt.entry_bytes() != text.as_bytes() {
            return Err(at("it is not in its canonical form"));
        }
        if fields.node_id != bundle.node_id || fields.key_id.as_deref() != Some(&key.key_id) {
            return Err(at("it names another node or another key"));
        }
        if !receipt.verify(&key.public_key) {
            return Err(at("its signature does not hold"));
        }
        let seq = fields.seq.and_then(|seq| u64::try_from(seq).ok());
        let (Some(seq), Some(prev)) = (seq, fields.prev_hash) else {
            return Err(at("it has no place in a chain"));
        };
        match end {
            None if seq == 1 && prev != Sha256Hash::ZERO => {
                return Err(at("it is the first of its chain and names one before it"));
            }
            None if seq > 1 => not_in_it.push(format!("1 to {} of key {}", seq - 1, key.key_id)),
            None => {}
            Some((last, hash)) if seq == last + 1 && prev == hash => {}
            Some((last, _)) if seq == last + 1 => {
                return Err(at("it does not follow from the one before it"));
            }
            Some((last, _)) => {
                if seq <= last || missing.next() != Some(&(last + 1, seq - 1)) {
                    return Err(at("its number does not follow from the one before it"));
                }
                not_in_it.push(format!("{} to {} of key {}", last + 1, seq - 1, key.key_id));
            }
        }
        if !seen.insert(fields.request_id.to_string()) {
            return Err(at("its request has two receipts"));
        }
        end = Some((seq, receipt.entry_hash()));
    }
    if missing.next().is_some() {
        return Err(wrong("it names a stretch that is not missing"));
    }
    if chain.head.map(|head| (head.seq, head.hash)) != end {
        return Err(wrong("it does not end where it says"));
    }
    if chain.acked_seq > end.map_or(0, |(seq, _)| seq) {
        return Err(wrong("more of it is acknowledged than there is"));
    }
    check_end(key, end, not_in_it).map_err(|what| wrong(&what))
}

/// Whether a chain that was ended ends here.
fn check_end(
    key: &Key,
    end: Option<(u64, Sha256Hash)>,
    not_in_it: &mut Vec<String>,
) -> Result<(), String> {
    let (Some(closing), Some((seq, hash))) = (&key.closing, end) else {
        return Ok(());
    };
    if seq > closing.last_seq || (seq == closing.last_seq && hash != closing.last_hash) {
        return Err("it goes on after the end that its key stated, or ends otherwise".to_owned());
    }
    if seq < closing.last_seq {
        let (from, to) = (seq + 1, closing.last_seq);
        not_in_it.push(format!("{from} to {to} of key {}", key.key_id));
    }
    Ok(())
}
