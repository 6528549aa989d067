//! What a text in the receipts' search box can mean, and how each meaning is found by an index.
//!
//! | meaning | index |
//! |---|---|
//! | a request id | `receipts_by_request` |
//! | how a request id begins | `receipts_by_request`; among one's own `receipts_by_org_request` |
//! | a whole node id | `receipts_by_node`; on SQLite one lookup for each bucket of receipts |
//! | a whole model id | `receipts_by_model` |
//! | the hash of a receipt's entry, or how it begins | `receipts_by_hash`, one lookup for each bucket of receipts |
//!
//! A search is a union of one bounded list per meaning, so it costs a few lookups however many receipts there are, and more
//! where ingest pays little for an index: what may be a hash one for each 4,096 receipts, and on SQLite the name of a node one for
//! each 2,048. A text that names no node costs none of these.
//! Hashes of prompts and outputs stand in the receipts alone and are not found.

use crate::scope::Scope;
use crate::statement::{Statement, after_prefix};
use dgon_protocol::id::{NodeId, RequestId};

/// Receipts in the scope that the beginning of an id leads to at most, the last ones in the order of ids. Where there are
/// more a sum says that it is not complete.
const PREFIX_MATCHES: i64 = 1_000;
/// The same where something else is asked of them, too, and few of them may have it.
const PREFIX_MATCHES_FILTERED: i64 = 20_000;
/// Receipts in the scope that the beginning of a hash leads to at most.
const HASH_MATCHES: i64 = 1_000;
/// Hex digits that are taken for the beginning of a hash.
const HEX_LEAST: usize = 8;
const HASH_BYTES: usize = 32;
/// Bytes of a hash that the index holds: enough to tell apart as many receipts as there will ever be.
const INDEXED_BYTES: usize = 8;

/// One thing that the text may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    RequestId(String),
    Prefix(String),
    Node(String),
    Model(String),
    /// The least and the greatest hash that begins so.
    Hash([u8; HASH_BYTES], [u8; HASH_BYTES]),
}

impl Meaning {
    /// All that `text` can mean, whether there is such a thing or not; at least a model.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        let mut all = vec![Self::Model(text.to_owned())];
        if RequestId::is_valid(text) {
            // The whole id is found however many begin like it.
            all.push(Self::RequestId(text.to_owned()));
            all.push(Self::Prefix(text.to_owned()));
        }
        if NodeId::is_valid(text) {
            all.push(Self::Node(text.to_owned()));
        }
        all.extend(hash_range(text).map(|(least, greatest)| Self::Hash(least, greatest)));
        all
    }

    /// Appends its condition to a statement over `receipts r`; `filtered` says whether others follow.
    pub(crate) fn push(&self, statement: &mut Statement, scope: &Scope, filtered: bool) {
        match self {
            Self::RequestId(request_id) => {
                statement
                    .sql(" AND r.request_id = ")
                    .text(request_id.as_str());
            }
            Self::Prefix(prefix) => {
                statement.sql(" AND r.id IN (SELECT id FROM receipts WHERE ");
                push_prefix(statement, scope, prefix);
                statement
                    .sql(" LIMIT ")
                    .int(prefix_matches(filtered))
                    .sql(")");
            }
            Self::Node(node_id) => {
                statement.sql(" AND r.node_id = ").text(node_id.as_str());
            }
            Self::Model(model_id) => {
                statement.sql(" AND r.model_id = ").text(model_id.as_str());
            }
            Self::Hash(least, greatest) => {
                let indexed =
                    |hash: &[u8; HASH_BYTES]| hash.iter().take(INDEXED_BYTES).copied().collect();
                // Buckets from the newest to the oldest; the size is that of the index.
                statement
                    .sql(
                        " AND r.id IN (WITH RECURSIVE buckets (bucket) AS (\
                         SELECT MAX(id) / 4096 FROM receipts UNION ALL \
                         SELECT bucket - 1 FROM buckets WHERE bucket > (SELECT MIN(id) / 4096 FROM receipts)) \
                         SELECT h.id FROM buckets CROSS JOIN receipts h \
                         WHERE h.id / 4096 = bucket AND substr(h.entry_hash, 1, 8) >= ",
                    )
                    .bytes(indexed(least))
                    .sql(" AND substr(h.entry_hash, 1, 8) <= ")
                    .bytes(indexed(greatest))
                    .sql(" AND h.entry_hash >= ")
                    .bytes(least.to_vec())
                    .sql(" AND h.entry_hash <= ")
                    .bytes(greatest.to_vec());
                scope.push(statement, " AND h.org_id || '' = ");
                statement.sql(" LIMIT ").int(HASH_MATCHES).sql(")");
            }
        }
    }
}

fn prefix_matches(filtered: bool) -> i64 {
    match filtered {
        true => PREFIX_MATCHES_FILTERED,
        false => PREFIX_MATCHES,
    }
}

/// Appends that a request id in the scope begins so, the last ids first.
fn push_prefix(statement: &mut Statement, scope: &Scope, prefix: &str) {
    statement.sql("request_id >= ").text(prefix);
    if let Some(end) = after_prefix(prefix) {
        statement.sql(" AND request_id < ").text(end);
    }
    scope.push(statement, " AND org_id = ");
    statement.sql(" ORDER BY request_id DESC");
}

/// Finds a receipt in the scope that begins as the text says and lies beyond those that a search leads to; `None` where the
/// text is no beginning of an id.
pub(crate) fn beyond_matches(scope: &Scope, text: &str, filtered: bool) -> Option<Statement> {
    RequestId::is_valid(text).then(|| {
        let mut statement = Statement::new("SELECT id FROM receipts WHERE ");
        push_prefix(&mut statement, scope, text);
        statement
            .sql(" LIMIT 1 OFFSET ")
            .int(prefix_matches(filtered));
        statement
    })
}

/// The hashes that begin as the text says; `None` where it is no hash.
fn hash_range(text: &str) -> Option<([u8; HASH_BYTES], [u8; HASH_BYTES])> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if !(HEX_LEAST..=2 * HASH_BYTES).contains(&digits.len()) {
        return None;
    }
    let (mut least, mut greatest) = ([0; HASH_BYTES], [0xff; HASH_BYTES]);
    for (place, digit) in digits.chars().enumerate() {
        let digit = u8::try_from(digit.to_digit(16)?).ok()?;
        let (least, greatest) = (least.get_mut(place / 2)?, greatest.get_mut(place / 2)?);
        if place % 2 == 0 {
            (*least, *greatest) = (digit << 4, digit << 4 | 0x0f);
        } else {
            (*least, *greatest) = (*least | digit, *greatest & 0xf0 | digit);
        }
    }
    Some((least, greatest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_hex_of_eight_digits_or_more() {
        let (least, greatest) = hash_range("sha256:0123456789a").expect("a hash");
        assert_eq!(least[..6], [0x01, 0x23, 0x45, 0x67, 0x89, 0xa0]);
        assert_eq!(greatest[..7], [0x01, 0x23, 0x45, 0x67, 0x89, 0xaf, 0xff]);
        let whole = "ABCDEF0123456789".repeat(4);
        let (least, greatest) = hash_range(&whole).expect("a hash");
        assert_eq!(least, greatest);
        let longer = format!("{whole}0");
        for none in [
            "0123456",
            "sha256:0123456",
            "0123456x",
            "blake3:01234567",
            longer.as_str(),
            "",
        ] {
            assert_eq!(hash_range(none), None, "{none}");
        }
    }

    #[test]
    fn a_text_means_all_that_it_can_be() {
        let kinds = |text: &str| {
            let count =
                |is: fn(&Meaning) -> bool| Meaning::all(text).iter().filter(|m| is(m)).count();
            (
                count(|m| matches!(m, Meaning::RequestId(_))),
                count(|m| matches!(m, Meaning::Node(_))),
                count(|m| matches!(m, Meaning::Model(_))),
                count(|m| matches!(m, Meaning::Hash(..))),
            )
        };
        assert_eq!(kinds("rig-7"), (1, 1, 1, 0));
        assert_eq!(kinds("deadbeef"), (1, 1, 1, 1));
        assert_eq!(kinds("llama3.1:8b"), (1, 0, 1, 0));
        assert_eq!(kinds("org/model name"), (0, 0, 1, 0));
        let hash = format!("sha256:{}", "a".repeat(64));
        assert_eq!(kinds(&hash), (0, 0, 1, 1));
    }
}
