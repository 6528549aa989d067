//! Reading a spool at start: what is there, and up to where it is whole. Writes nothing.
//!
//! Only the newest segment is read to its end: all others were finished and durable before it was begun. Damage
//! in those is noticed when they are read.

use super::disk::Disk;
use super::store::ACKED;
use crate::own_command::own_command;
use dgon_agent_core::spool::segment::{HEADER_BYTES, file_name, parse_file_name};
use dgon_agent_core::spool::{Header, SegmentInfo, record};
use dgon_protocol::receipt::Sha256Hash;
use std::io;

/// Why a spool is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be read.
    #[error("the spool cannot be read; check the permissions of its folder and its files")]
    Read(#[source] io::Error),
    /// The receipts in it were signed with another key.
    #[error(
        "the spool holds the chain of key {found}, and this node signs with {expected}; put the matching key \
         back, or move the spool folder away to begin a new chain"
    )]
    OtherKey {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Receipts were made with this key, and the spool has lost them and the end of the chain with them.
    #[error(
        "the spool has lost the end of its chain: {made} receipts were made with this key and the last ones are \
         not there; a chain is never begun again, so restore the folder, or rotate the key with \
         `{}`",
        own_command("key rotate")
    )]
    ChainLost {
        /// How many were made, at least.
        made: u64,
    },
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) next_seq: u64,
    pub(super) head: Sha256Hash,
    pub(super) acked_seq: u64,
    pub(super) damaged: u64,
    pub(super) doubtful: Option<Doubtful>,
}

/// The end of the newest segment, from the last batch on. It can be read, but perhaps only from the system's
/// cache: where a sync failed before the process died, the cache holds bytes that the disk never will, and no later
/// sync tells. Written again and synced, they are as durable as all others.
#[derive(Debug)]
pub(super) struct Doubtful {
    pub(super) first_seq: u64,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// Looks at the folder.
pub(super) fn recover<D: Disk>(disk: &D, key_id: &str) -> Result<Found, OpenError> {
    let mut first_seqs: Vec<u64> = disk
        .names()
        .map_err(OpenError::Read)?
        .iter()
        .filter_map(|name| parse_file_name(name))
        .collect();
    first_seqs.sort_unstable();
    let acked_seq = read_acked(disk);
    let mut made = acked_seq;
    while let Some(newest) = first_seqs.last().copied() {
        if let Some((found, segment)) = read_newest(disk, newest, key_id)? {
            first_seqs.pop();
            let mut segments = older(disk, &first_seqs, key_id)?;
            segments.push(segment);
            if acked_seq >= found.next_seq {
                return Err(OpenError::ChainLost { made: acked_seq });
            }
            return Ok(Found {
                segments,
                acked_seq,
                ..found
            });
        }
        // It was being begun when the process or the machine stopped: it has no records and gets none.
        made = made.max(newest.saturating_sub(1));
        first_seqs.pop();
    }
    if made > 0 {
        return Err(OpenError::ChainLost { made });
    }
    Ok(Found {
        segments: Vec::new(),
        next_seq: 1,
        head: Sha256Hash::ZERO,
        acked_seq: 0,
        damaged: 0,
        doubtful: None,
    })
}

/// Reads the newest segment to its end; `None` where it has neither header nor records.
fn read_newest<D: Disk>(
    disk: &D,
    first_seq: u64,
    key_id: &str,
) -> Result<Option<(Found, SegmentInfo)>, OpenError> {
    let bytes = disk
        .read(&file_name(first_seq), 0, usize::MAX)
        .map_err(OpenError::Read)?;
    let header = checked_header(&bytes, first_seq, key_id)?;
    let records = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let mut last: Option<&[u8]> = None;
    let mut batch = None;
    let scan = record::scan(records, first_seq, |at, record| {
        last = Some(record.receipt);
        if batch.is_none_or(|(durable_seq, _)| durable_seq != record.durable_seq) {
            batch = Some((record.durable_seq, (at, record.seq)));
        }
    });
    let head = match (last, &header) {
        (Some(receipt), _) => Sha256Hash::of(receipt),
        (None, Some(header)) => header.prev_hash,
        (None, None) => return Ok(None),
    };
    let segment = SegmentInfo {
        first_seq,
        created_s: header.map_or(0, |header| header.created_s),
        bytes: (HEADER_BYTES + scan.valid_len) as u64,
    };
    // The header was synced by itself, before the first batch; it is in doubt for as long.
    let (offset, doubtful_seq) = match batch {
        Some((_, (at, seq))) if at > 0 => (HEADER_BYTES + at, seq),
        _ => (0, first_seq),
    };
    let end = HEADER_BYTES + scan.valid_len;
    let found = Found {
        segments: Vec::new(),
        next_seq: scan.next_seq,
        head,
        acked_seq: 0,
        damaged: scan.damaged,
        doubtful: bytes.get(offset..end).map(|bytes| Doubtful {
            first_seq: doubtful_seq,
            offset: offset as u64,
            bytes: bytes.to_vec(),
        }),
    };
    Ok(Some((found, segment)))
}

fn older<D: Disk>(
    disk: &D,
    first_seqs: &[u64],
    key_id: &str,
) -> Result<Vec<SegmentInfo>, OpenError> {
    let mut segments = Vec::with_capacity(first_seqs.len() + 1);
    for first_seq in first_seqs.iter().copied() {
        let name = file_name(first_seq);
        let head = disk.read(&name, 0, HEADER_BYTES).map_err(OpenError::Read)?;
        // A damaged header costs only the age of its segment.
        let created_s =
            checked_header(&head, first_seq, key_id)?.map_or(0, |header| header.created_s);
        segments.push(SegmentInfo {
            first_seq,
            created_s,
            bytes: disk.len(&name).map_err(OpenError::Read)?,
        });
    }
    Ok(segments)
}

fn checked_header(bytes: &[u8], first_seq: u64, key_id: &str) -> Result<Option<Header>, OpenError> {
    let header = Header::decode(bytes).filter(|header| header.first_seq == first_seq);
    match header {
        Some(header) if header.key_id != key_id => Err(OpenError::OtherKey {
            found: header.key_id,
            expected: key_id.to_owned(),
        }),
        other => Ok(other),
    }
}

/// The saved position; 0 where there is none or it is unreadable, which costs only receipts sent twice.
fn read_acked<D: Disk>(disk: &D) -> u64 {
    disk.read(ACKED, 0, 32)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}
