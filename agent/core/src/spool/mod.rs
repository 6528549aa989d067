//! Format and bookkeeping of the spool: the durable queue of signed receipts. Pure; the agent does the I/O.
//!
//! A spool is a folder of *segments*, each a header and then records, each named by the `seq` of its first
//! record in 20 digits (`00000000000000000001.seg`), so that names sort as the chain does. Only the last segment
//! is written; a new one is begun, and made durable with its folder entry, before its first record.
//!
//! ```text
//! segment header, 80 bytes                     record, 40 bytes and the receipt
//!  0  "DGONSPL1"                                0  "DGr1"
//!  8  key id, 16 hex digits                     4  length of the receipt, u32
//! 24  seq of the first record, u64              8  seq, u64
//! 32  hash of the receipt before it, 32 bytes  16  last seq that was durable when this was written, u64
//! 64  when it was begun, unix s, u64           24  when it was appended, unix s, u64
//! 72  check, 8 bytes                           32  check, 8 bytes
//!                                              40  the receipt's entry bytes
//! ```
//!
//! Integers are little endian; a check is the first 8 bytes of BLAKE3 over everything else of header or record.
//!
//! Invariants:
//! - `seq` rises by one from record to record and from segment to segment.
//! - A record is reported durable only after it was written and synced; nothing undurable is ever sent.
//! - A record that cannot be read, with a later record that knew it durable, is *damage*: it is skipped and its
//!   `seq` is never used again. Any other unreadable tail was never reported durable and is cut off.
//! - The header of a segment holds the hash of the receipt before it, so that the chain goes on even when the
//!   segment has no record yet and all older ones are trimmed.

pub mod index;
pub mod record;
pub mod segment;

pub use index::{Full, Limits, SegmentInfo, SpoolIndex};
pub use record::{Decoded, Record};
pub use segment::Header;

/// Reads a little-endian integer out of a checked slice; zero where the slice is too short.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..at + 8)
        .and_then(|slice| slice.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// The check of a header or record.
fn check(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut short = [0; 8];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    short
}
