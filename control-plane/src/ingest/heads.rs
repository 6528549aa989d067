//! Ends of chains that the committer remembers: where nobody else moves them it does not read them for each batch.
//!
//! They are taken along into a transaction and kept when it is durable. One that fails, or does not say how it ended, drops
//! them, and they are read again.

use dgon_protocol::chain::Head;
use std::collections::HashMap;

/// How many are remembered, at most: then all are forgotten, and read when they are needed.
const MOST: usize = 100_000;

/// Ends of chains as they are stored.
#[derive(Debug, Default)]
pub(super) struct Heads {
    of_keys: HashMap<i64, Head>,
    /// [`IngestTx::data_version`](dgon_control_plane_store::IngestTx::data_version) when they were read.
    data_version: i64,
}

impl Heads {
    /// What still holds where the database is of this version: all of them, or none where somebody else has written.
    pub(super) fn at(self, data_version: i64) -> Self {
        if self.data_version == data_version {
            return self;
        }
        Self {
            of_keys: HashMap::new(),
            data_version,
        }
    }

    /// By the number of the key.
    pub(super) fn of_keys(&self) -> &HashMap<i64, Head> {
        &self.of_keys
    }

    /// Where they are now, after a commit.
    pub(super) fn moved(mut self, heads: &HashMap<i64, Head>) -> Self {
        if self.of_keys.len() >= MOST {
            return Self::default();
        }
        self.of_keys.extend(heads);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_protocol::receipt::Sha256Hash;

    fn heads(keys: std::ops::Range<i64>) -> HashMap<i64, Head> {
        let head = Head {
            seq: 1,
            entry_hash: Sha256Hash::ZERO,
        };
        keys.map(|key| (key, head)).collect()
    }

    #[test]
    fn they_hold_until_somebody_else_writes() {
        let known = Heads::default().at(7).moved(&heads(0..3));
        let known = known.at(7);
        assert_eq!(known.of_keys(), &heads(0..3));
        assert!(known.at(8).of_keys().is_empty());
    }

    #[test]
    fn too_many_are_forgotten() {
        let most = i64::try_from(MOST).expect("a number");
        let known = Heads::default().at(7).moved(&heads(0..most));
        assert_eq!(known.of_keys().len(), MOST);
        assert!(known.moved(&heads(most..most + 1)).of_keys().is_empty());
    }
}
