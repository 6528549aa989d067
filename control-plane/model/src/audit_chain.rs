//! The chain of the audit log: what a row's hash is of, so that whoever has the rows can compute it.
//!
//! A sealed row has a number without gaps, and a SHA-256 over the hash of the row before it and its own public facts. What
//! may name a person is not in there, only a salted commitment to it: it can be erased, and the chain still holds. The hash
//! is over this, one after the other; a number is eight bytes, big-endian; a text is its number of bytes and its bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 18 | `dgon audit row v1` and a line feed |
//! | 32 | hash of the row before; zeros before the first |
//! | 8 | number |
//! | 8 | time, unix ms |
//! | text | actor |
//! | text | action |
//! | text | object |
//! | text | request, empty where there is none |
//! | 32 | commitment to the private facts, zeros where there are none |
//!
//! The commitment is the SHA-256 over `dgon audit facts v1`, a line feed, the salt of 32 bytes and the text of the facts.

use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Hash = [u8; 32];

const ROW: &[u8] = b"dgon audit row v1\n";
const FACTS: &[u8] = b"dgon audit facts v1\n";

/// Where a chain is: its last row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the row; 0 before the first.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
}

/// What a row's hash is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainedRow<'a> {
    /// When, unix ms.
    pub at_ms: i64,
    /// Who.
    pub actor: &'a str,
    /// What.
    pub action: &'a str,
    /// To which object.
    pub object: &'a str,
    /// The request, where there was one.
    pub request_id: Option<&'a str>,
    /// Of the private facts, where there are some.
    pub commitment: Option<Hash>,
}

impl Head {
    /// The head after one more row.
    pub fn after(&self, row: &ChainedRow<'_>) -> Self {
        let seq = self.seq.saturating_add(1);
        let mut hash = Sha256::new();
        hash.update(ROW);
        hash.update(self.hash);
        hash.update(seq.to_be_bytes());
        hash.update(row.at_ms.to_be_bytes());
        for text in [
            row.actor,
            row.action,
            row.object,
            row.request_id.unwrap_or_default(),
        ] {
            // No text is longer than that counts.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(row.commitment.unwrap_or_default());
        Self {
            seq,
            hash: hash.finalize().into(),
        }
    }
}

/// The commitment to private facts.
pub fn commitment(salt: &Hash, facts: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update(FACTS);
    hash.update(salt);
    hash.update(facts.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROW: ChainedRow<'static> = ChainedRow {
        at_ms: 1_795_230_000_000,
        actor: "user:u_1",
        action: "flag.set",
        object: "flag:x",
        request_id: None,
        commitment: None,
    };

    #[test]
    fn a_row_hashes_as_the_table_says() {
        let head = Head::default().after(&ROW);
        let mut bytes = b"dgon audit row v1\n".to_vec();
        bytes.extend([0; 32]);
        bytes.extend(1_i64.to_be_bytes());
        bytes.extend(1_795_230_000_000_i64.to_be_bytes());
        for text in ["user:u_1", "flag.set", "flag:x", ""] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend([0; 32]);
        let hash: Hash = Sha256::digest(&bytes).into();
        assert_eq!(head, Head { seq: 1, hash });
    }

    #[test]
    fn facts_hash_with_their_salt() {
        let mut bytes = b"dgon audit facts v1\n".to_vec();
        bytes.extend([7; 32]);
        bytes.extend(b"{}");
        let hash: Hash = Sha256::digest(&bytes).into();
        assert_eq!(commitment(&[7; 32], "{}"), hash);
        assert_ne!(commitment(&[8; 32], "{}"), hash);
    }

    proptest! {
        #[test]
        fn whatever_differs_shows(texts in prop::array::uniform4(".{0,6}"), which in 0..4_usize, more in ".{1,3}") {
            let hash = |texts: &[String; 4], at_ms: i64, commitment| {
                let [actor, action, object, request_id] = texts;
                let request_id = Some(request_id.as_str());
                Head::default().after(&ChainedRow { at_ms, actor, action, object, request_id, commitment }).hash
            };
            let plain = hash(&texts, 1, None);
            prop_assert_ne!(plain, hash(&texts, 2, None));
            prop_assert_ne!(plain, hash(&texts, 1, Some([1; 32])));
            let mut longer = texts.clone();
            longer[which].push_str(&more);
            prop_assert_ne!(plain, hash(&longer, 1, None));
            // What one text ends with is not what the next begins with.
            let mut moved = longer.clone();
            moved[which].truncate(texts[which].len());
            let next = (which + 1) % 4;
            moved[next].insert_str(0, &more);
            prop_assert_ne!(hash(&longer, 1, None), hash(&moved, 1, None));
        }
    }
}
