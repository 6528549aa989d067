//! A segment's name and header.

use super::{check, u64_at};
use dgon_protocol::receipt::Sha256Hash;

const MAGIC: &[u8; 8] = b"DGONSPL1";
const SUFFIX: &str = ".seg";

/// Bytes of a header.
pub const HEADER_BYTES: usize = 80;

/// What a segment says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Key whose chain this is: 16 hex digits.
    pub key_id: String,
    /// `seq` of the first record.
    pub first_seq: u64,
    /// Hash of the receipt before it; zeros before the first of a chain.
    pub prev_hash: Sha256Hash,
    /// When it was begun, unix s.
    pub created_s: u64,
}

impl Header {
    /// The header's bytes. A key id that is not 16 bytes is padded or cut.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0u8; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        for (to, from) in bytes[8..24].iter_mut().zip(self.key_id.bytes()) {
            *to = from;
        }
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.prev_hash.0);
        bytes[64..72].copy_from_slice(&self.created_s.to_le_bytes());
        let sum = check(&[&bytes[..72]]);
        bytes[72..].copy_from_slice(&sum);
        bytes
    }

    /// Reads a header; `None` where the bytes are too few or not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if bytes[..8] != *MAGIC || bytes[72..] != check(&[&bytes[..72]]) {
            return None;
        }
        Some(Self {
            key_id: std::str::from_utf8(&bytes[8..24]).ok()?.to_owned(),
            first_seq: u64_at(bytes, 24),
            prev_hash: Sha256Hash(bytes[32..64].try_into().ok()?),
            created_s: u64_at(bytes, 64),
        })
    }
}

/// File name of the segment that starts at `first_seq`.
pub fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}{SUFFIX}")
}

/// First `seq` of the segment with this file name; `None` for any other file.
pub fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if well_formed {
        digits.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            key_id: "0123456789abcdef".to_owned(),
            first_seq: 42,
            prev_hash: Sha256Hash::of(b"before"),
            created_s: 1_800_000_000,
        }
    }

    #[test]
    fn a_header_comes_back_and_any_flip_is_noticed() {
        let bytes = header().encode();
        assert_eq!(Header::decode(&bytes), Some(header()));
        for at in 0..HEADER_BYTES {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(Header::decode(&damaged), None, "flip at {at}");
        }
        assert_eq!(Header::decode(&bytes[..79]), None);
    }

    #[test]
    fn names_sort_as_the_chain_and_strangers_are_told_apart() {
        assert!(file_name(9) < file_name(10));
        assert_eq!(parse_file_name(&file_name(u64::MAX)), Some(u64::MAX));
        for stranger in ["acked", "1.seg", "0000000000000000000x.seg", ".seg", "lock"] {
            assert_eq!(parse_file_name(stranger), None, "{stranger}");
        }
    }
}
