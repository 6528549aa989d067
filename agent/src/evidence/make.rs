//! From the spools of this node to a bundle.

use super::{Bundle, Chain, DEPTH, FORMAT, Head, Key, seal_bytes};
use crate::rotation::archive;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::{NodeKey, signature_text};
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::strict;
use std::io;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A spool cannot be read.
    #[error("the spool cannot be read")]
    Spool(#[source] io::Error),
    /// The bundle cannot be written as JSON.
    #[error("the bundle cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// Gathers the receipts of `chains` (the one in use first) from `since_s` on, with all keys, and seals them.
/// `acked` has the acknowledged position of each chain.
///
/// # Errors
/// [`MakeError`].
pub fn make(
    node_id: &NodeId,
    key: &NodeKey,
    chains: &[archive::Chain],
    acked: &[u64],
    since_s: u64,
    made_at: u64,
) -> Result<Vec<u8>, MakeError> {
    let mut bundle = Bundle {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        chains: Vec::new(),
        format: FORMAT.to_owned(),
        keys: Vec::new(),
        made_at,
        node_id: node_id.clone(),
        seal: None,
    };
    for (at, chain) in chains.iter().enumerate().rev() {
        // The statement that brought this key ended the chain before it.
        let brought_by = chains.get(at + 1).and_then(|before| before.ended.as_ref());
        bundle.keys.push(Key {
            closing: chain
                .ended
                .as_ref()
                .and_then(|record| record.closing.clone()),
            key_id: chain.key.key_id(),
            public_key: chain.key,
            rotation: brought_by.map(|record| record.rotation.clone()),
            valid_from_ms: brought_by.and_then(|record| record.valid_from_ms),
            valid_to_ms: chain.ended.as_ref().and_then(|record| record.valid_from_ms),
        });
        let acked_seq = acked.get(at).copied().unwrap_or(0);
        bundle.chains.push(gather(chain, acked_seq, since_s)?);
    }
    let unsealed = canonical(&bundle)?;
    bundle.seal = Some(signature_text(&key.sign(&seal_bytes(&unsealed))));
    canonical(&bundle)
}

fn gather(chain: &archive::Chain, acked_seq: u64, since_s: u64) -> Result<Chain, MakeError> {
    let mut found = Vec::new();
    chain
        .view
        .walk_newest_first(|stored| {
            let is_wanted = stored.appended_s >= since_s;
            if is_wanted && let Ok(text) = String::from_utf8(stored.entry_bytes) {
                found.push((stored.seq, text));
            }
            is_wanted
        })
        .map_err(MakeError::Spool)?;
    found.reverse();
    let head = found.last().map(|(seq, text)| Head {
        hash: Sha256Hash::of(text.as_bytes()),
        seq: *seq,
    });
    let holes = found.windows(2).filter_map(|pair| {
        let (before, after) = (pair[0].0, pair[1].0);
        (after > before + 1).then(|| (before + 1, after - 1))
    });
    Ok(Chain {
        // A position that was saved while the newest receipts are not in the bundle is cut to what is.
        acked_seq: acked_seq.min(head.map_or(0, |head| head.seq)),
        head,
        key_id: chain.key.key_id(),
        missing: holes.collect(),
        receipts: found.into_iter().map(|(_, text)| text).collect(),
    })
}

fn canonical(bundle: &Bundle) -> Result<Vec<u8>, MakeError> {
    let text = serde_json::to_vec(bundle).map_err(MakeError::Json)?;
    // What serde writes is JSON; the strict reader sorts and escapes it as RFC 8785 wants.
    let document = strict::parse(&text, DEPTH)
        .map_err(|error| MakeError::Json(serde::ser::Error::custom(error.to_string())))?;
    Ok(strict::canonical(&document.root))
}
