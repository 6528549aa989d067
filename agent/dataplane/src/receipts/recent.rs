//! Receipts that are about to be handed back with the answer: kept in memory for a moment, so that nobody reads the
//! spool for them in another order than the link does.

use std::collections::VecDeque;

/// Most receipts that are kept. Older ones are read from the spool.
const KEPT: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Recent {
    /// `seq` and entry bytes, by rising `seq`.
    entries: VecDeque<(u64, Vec<u8>)>,
}

impl Recent {
    /// Keeps the receipt, whose `seq` is above all others.
    pub(super) fn keep(&mut self, seq: u64, entry_bytes: Vec<u8>) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back((seq, entry_bytes));
    }

    /// Takes the receipt out.
    pub(super) fn take(&mut self, seq: u64) -> Option<Vec<u8>> {
        let at = self.entries.binary_search_by_key(&seq, |(seq, _)| *seq);
        let (_, entry_bytes) = self.entries.remove(at.ok()?)?;
        Some(entry_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_taken_once_and_the_oldest_go_first() {
        let mut recent = Recent::default();
        for seq in 1..=(KEPT as u64 + 2) {
            recent.keep(seq * 3, seq.to_le_bytes().to_vec());
        }
        assert_eq!(recent.entries.len(), KEPT);
        assert_eq!(recent.take(6), None);
        assert_eq!(recent.take(9), Some(3_u64.to_le_bytes().to_vec()));
        assert_eq!(recent.take(9), None);
        assert_eq!(recent.take(10), None);
    }
}
