//! One record: a receipt's entry bytes, framed so that a torn or damaged one is told from a whole one.

use super::{check, u64_at};
use dgon_protocol::limits::RECEIPT_BYTES;

const MAGIC: &[u8; 4] = b"DGr1";

/// Bytes before the receipt.
pub const OVERHEAD: usize = 40;
/// Largest record.
pub const LARGEST: usize = OVERHEAD + RECEIPT_BYTES;

/// A record inside a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Position in the chain.
    pub seq: u64,
    /// Last `seq` that was durable when this was written.
    pub durable_seq: u64,
    /// When it was appended, unix s.
    pub appended_s: u64,
    /// The receipt's entry bytes.
    pub receipt: &'a [u8],
}

/// What lies at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole record and its length.
    Whole(Record<'a>, usize),
    /// What may be a record goes on after the buffer's end; this many bytes are needed to tell.
    NeedMore(usize),
    /// Not a record.
    Bad,
}

/// Bytes that a receipt of `receipt_bytes` takes in a segment.
pub const fn framed_len(receipt_bytes: usize) -> usize {
    OVERHEAD + receipt_bytes
}

impl Record<'_> {
    /// Appends the framed record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut head = [0u8; OVERHEAD];
        head[..4].copy_from_slice(MAGIC);
        let length = u32::try_from(self.receipt.len()).unwrap_or(u32::MAX);
        head[4..8].copy_from_slice(&length.to_le_bytes());
        head[8..16].copy_from_slice(&self.seq.to_le_bytes());
        head[16..24].copy_from_slice(&self.durable_seq.to_le_bytes());
        head[24..32].copy_from_slice(&self.appended_s.to_le_bytes());
        let sum = check(&[&head[..32], self.receipt]);
        head[32..].copy_from_slice(&sum);
        out.extend_from_slice(&head);
        out.extend_from_slice(self.receipt);
    }
}

/// Reads the record at the start of `bytes`.
pub fn decode(bytes: &[u8]) -> Decoded<'_> {
    let seen = bytes.len().min(4);
    if bytes[..seen] != MAGIC[..seen] {
        return Decoded::Bad;
    }
    if bytes.len() < OVERHEAD {
        return Decoded::NeedMore(OVERHEAD);
    }
    let length = u64_at(bytes, 4) as u32 as usize;
    if length == 0 || length > RECEIPT_BYTES {
        return Decoded::Bad;
    }
    let total = framed_len(length);
    let Some(receipt) = bytes.get(OVERHEAD..total) else {
        return Decoded::NeedMore(total);
    };
    if check(&[&bytes[..32], receipt]) != bytes[32..OVERHEAD] {
        return Decoded::Bad;
    }
    let record = Record {
        seq: u64_at(bytes, 8),
        durable_seq: u64_at(bytes, 16),
        appended_s: u64_at(bytes, 24),
        receipt,
    };
    Decoded::Whole(record, total)
}

/// Where the next whole record starts at or after `from`; `None` where there is none.
pub fn find_next(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memchr::memmem::find_iter(rest, MAGIC)
        .map(|at| from + at)
        .find(|at| matches!(decode(&bytes[*at..]), Decoded::Whole(..)))
}

/// What a whole segment's bytes after its header hold, from `first_seq` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// `seq` after the last record that counts.
    pub next_seq: u64,
    /// Bytes up to the end of the last record that counts.
    pub valid_len: usize,
    /// Records that were durable once and cannot be read any more.
    pub damaged: u64,
}

/// Walks the records of a segment and calls `each` with the offset and the record.
///
/// An unreadable stretch ends the walk unless a later record knew it durable: then it is damage and is skipped.
pub fn scan<'a>(bytes: &'a [u8], first_seq: u64, mut each: impl FnMut(usize, Record<'a>)) -> Scan {
    let mut scan = Scan {
        next_seq: first_seq,
        valid_len: 0,
        damaged: 0,
    };
    let mut at = 0;
    while at < bytes.len() {
        match decode(&bytes[at..]) {
            Decoded::Whole(record, length) if record.seq == scan.next_seq => {
                each(at, record);
                at += length;
                scan.next_seq += 1;
                scan.valid_len = at;
            }
            _ => match find_survivor(bytes, at + 1, scan.next_seq) {
                Some((offset, seq)) => {
                    scan.damaged += seq - scan.next_seq;
                    scan.next_seq = seq;
                    at = offset;
                }
                None => break,
            },
        }
    }
    scan
}

/// The next record after a stretch that is unreadable from `lost_seq` on, if that stretch was durable once.
fn find_survivor(bytes: &[u8], mut from: usize, lost_seq: u64) -> Option<(usize, u64)> {
    let mut first = None;
    while let Some(at) = find_next(bytes, from) {
        let Decoded::Whole(record, length) = decode(&bytes[at..]) else {
            return None;
        };
        if record.seq > lost_seq {
            let (offset, seq) = *first.get_or_insert((at, record.seq));
            if record.durable_seq >= lost_seq {
                return Some((offset, seq));
            }
        }
        from = at + length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(seq: u64, durable_seq: u64, receipt: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Record {
            seq,
            durable_seq,
            appended_s: 7,
            receipt,
        }
        .encode(&mut out);
        out
    }

    fn seqs(bytes: &[u8]) -> (Vec<u64>, Scan) {
        let mut seen = Vec::new();
        let scan = scan(bytes, 1, |_, record| seen.push(record.seq));
        (seen, scan)
    }

    #[test]
    fn a_record_has_exactly_these_bytes() {
        let bytes = framed(2, 1, b"{}");
        assert_eq!(&bytes[..8], b"DGr1\x02\0\0\0");
        assert_eq!(&bytes[8..16], 2u64.to_le_bytes());
        assert_eq!(&bytes[16..24], 1u64.to_le_bytes());
        assert_eq!(&bytes[24..32], 7u64.to_le_bytes());
        assert_eq!(
            &bytes[32..40],
            &blake3::hash(&[&bytes[..32], b"{}"].concat()).as_bytes()[..8]
        );
        assert_eq!(&bytes[40..], b"{}");
    }

    #[test]
    fn every_cut_of_a_tail_yields_the_records_before_it() {
        let whole = [framed(1, 0, b"{\"a\":1}"), framed(2, 1, b"{\"b\":2}")].concat();
        let first_len = framed(1, 0, b"{\"a\":1}").len();
        for cut in 0..whole.len() {
            let (seen, scan) = seqs(&whole[..cut]);
            let expected: &[u64] = if cut < first_len { &[] } else { &[1] };
            assert_eq!(seen, expected, "cut at {cut}");
            assert_eq!(scan.valid_len, expected.len() * first_len, "cut at {cut}");
            assert_eq!(scan.damaged, 0);
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let whole = framed(1, 0, b"{\"a\":1}");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(
                !matches!(decode(&bytes), Decoded::Whole(..)),
                "flip at {at} passed"
            );
        }
    }

    #[test]
    fn damage_to_what_was_durable_keeps_what_follows() {
        let mut bytes = [
            framed(1, 0, b"one"),
            framed(2, 1, b"two"),
            framed(3, 2, b"three"),
        ]
        .concat();
        let second = framed(1, 0, b"one").len();
        bytes[second + OVERHEAD] ^= 0x20;
        let (seen, scan) = seqs(&bytes);
        assert_eq!(seen, [1, 3]);
        assert_eq!((scan.next_seq, scan.damaged), (4, 1));
    }

    #[test]
    fn a_hole_in_a_batch_that_was_never_synced_cuts_the_batch() {
        let mut bytes = [
            framed(1, 0, b"one"),
            framed(2, 1, b"two"),
            framed(3, 1, b"three"),
        ]
        .concat();
        let second = framed(1, 0, b"one").len();
        bytes[second..second + 8].fill(0);
        let (seen, scan) = seqs(&bytes);
        assert_eq!(seen, [1]);
        assert_eq!((scan.next_seq, scan.valid_len), (2, second));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
            let _ = decode(&bytes);
            let _ = seqs(&bytes);
        }

        #[test]
        fn garbage_after_whole_records_is_cut(tail in proptest::collection::vec(proptest::num::u8::ANY, 1..200)) {
            let whole = [framed(1, 0, b"one"), framed(2, 1, b"two")].concat();
            let (seen, scan) = seqs(&[whole.clone(), tail].concat());
            proptest::prop_assert_eq!(seen, [1, 2]);
            proptest::prop_assert_eq!(scan.valid_len, whole.len());
        }
    }
}
