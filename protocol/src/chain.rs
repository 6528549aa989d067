//! The rule of the per-node hash chain (wire.md section 6), as a pure function.
//!
//! The control plane keeps one [`Head`] per node key and asks [`judge`] about each receipt that has a `seq`.
//! What the chain proves: nobody can edit or drop a receipt afterwards. It does not prove that work was done.

use crate::receipt::Sha256Hash;

/// The last receipt of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// `seq` of the last receipt; 0 for a chain with none.
    pub seq: u64,
    /// SHA-256 of its entry bytes; zeros for a chain with none.
    pub entry_hash: Sha256Hash,
}

impl Head {
    /// The chain before its first receipt.
    pub const EMPTY: Self = Self {
        seq: 0,
        entry_hash: Sha256Hash::ZERO,
    };
}

/// A receipt's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its `seq`, from 1.
    pub seq: u64,
    /// Its `prev_hash`.
    pub prev_hash: Sha256Hash,
    /// SHA-256 of its entry bytes.
    pub entry_hash: Sha256Hash,
}

/// What the chain says of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Next in order: store it and move the head.
    Append,
    /// At or below the head: the same bytes are acknowledged again, other bytes are a fork. The caller looks
    /// the stored receipt up by `seq`.
    Seen,
    /// Ahead of the head: hold it; `from..=to` is missing.
    Ahead {
        /// First missing `seq`.
        from: u64,
        /// Last missing `seq`.
        to: u64,
    },
    /// Next by `seq`, but its `prev_hash` is not the head: history was rewritten.
    Fork,
}

/// Judges `link` against `head`.
pub fn judge(head: Head, link: Link) -> Judgement {
    if link.seq <= head.seq {
        Judgement::Seen
    } else if link.seq > head.seq + 1 {
        Judgement::Ahead {
            from: head.seq + 1,
            to: link.seq - 1,
        }
    } else if link.prev_hash == head.entry_hash {
        Judgement::Append
    } else {
        Judgement::Fork
    }
}
