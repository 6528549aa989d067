//! The missing places of chains, merged and bounded: a node that leaves holes fills no table and no page.

use dgon_control_plane_store::Gap;
use std::collections::{BTreeSet, HashMap};

/// Gaps kept of one chain. The last one then grows over all that comes.
const GAPS_PER_CHAIN: usize = 256;
/// Gaps kept of one node, however many keys it has had; a chain without any may have one all the same, because a place
/// in no gap counts as one whose receipt was there.
const GAPS_PER_NODE: usize = 2 * GAPS_PER_CHAIN;
/// Reason of a gap that stands for several.
pub(super) const SEVERAL: &str = "several";

/// A gap that this batch found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) node: &'a crate::app::NodeSession,
    pub(super) key: i64,
    pub(super) from_seq: i64,
    pub(super) to_seq: i64,
    pub(super) reason: &'static str,
}

/// The gaps of the chains that a batch has to do with.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    chains: HashMap<i64, Vec<Gap>>,
    changed: BTreeSet<(i64, usize)>,
    /// How many each node has, in all its chains.
    of_node: HashMap<String, usize>,
}

impl Gaps {
    /// Takes over what is stored of these chains.
    pub(super) fn loaded(&mut self, keys: &[i64], stored: HashMap<i64, Vec<Gap>>) {
        for key in keys {
            self.chains.entry(*key).or_default();
        }
        self.chains.extend(stored);
    }

    /// Takes over how many are stored of these nodes.
    pub(super) fn counted(&mut self, of_node: HashMap<String, usize>) {
        self.of_node = of_node;
    }

    /// Which of these chains are not loaded yet.
    pub(super) fn missing(&self, keys: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let unknown = keys
            .into_iter()
            .filter(|key| !self.chains.contains_key(key));
        unknown.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Why no receipt fills a place.
    pub(super) fn reason(&self, key: i64, seq: i64) -> Option<&str> {
        let gaps = self.chains.get(&key)?;
        let around = |gap: &&Gap| (gap.from_seq..=gap.to_seq).contains(&seq);
        gaps.iter().find(around).map(|gap| gap.reason.as_str())
    }

    /// Adds a gap behind those that are there.
    pub(super) fn add(&mut self, found: &Found<'_>) {
        let gaps = self.chains.entry(found.key).or_default();
        let node_id = found.node.node_id.as_str();
        let of_node = self.of_node.get(node_id).copied().unwrap_or(0);
        let room = gaps.len() < GAPS_PER_CHAIN && of_node < GAPS_PER_NODE;
        match gaps.last_mut() {
            Some(last) if last.to_seq + 1 == found.from_seq && last.reason == found.reason => {
                last.to_seq = found.to_seq;
            }
            Some(last) if !room => {
                last.to_seq = found.to_seq.max(last.to_seq);
                SEVERAL.clone_into(&mut last.reason);
            }
            _ => {
                gaps.push(Gap {
                    id: None,
                    from_seq: found.from_seq,
                    to_seq: found.to_seq,
                    reason: found.reason.to_owned(),
                });
                self.of_node.insert(node_id.to_owned(), of_node + 1);
            }
        }
        self.changed.insert((found.key, gaps.len() - 1));
    }

    /// What must be written.
    pub(super) fn changed(&self) -> impl Iterator<Item = (i64, &Gap)> {
        self.changed
            .iter()
            .filter_map(|(key, at)| Some((*key, self.chains.get(key)?.get(*at)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::NodeSession;
    use dgon_protocol::id::NodeId;
    use dgon_protocol::key::NodeKey;

    fn node() -> NodeSession {
        NodeSession {
            node_id: NodeId::parse("n").expect("id"),
            region: String::new(),
            org_id: None,
            key_org_id: None,
            node_key_id: 7,
            public_key: NodeKey::from_seed(&[1; 32]).public(),
            former: Vec::new(),
            head_seq: 0,
            session_id: None,
        }
    }

    fn found<'a>(
        node: &'a NodeSession,
        from_seq: i64,
        to_seq: i64,
        reason: &'static str,
    ) -> Found<'a> {
        Found {
            node,
            key: 7,
            from_seq,
            to_seq,
            reason,
        }
    }

    fn ranges(gaps: &Gaps) -> Vec<(i64, i64, &str)> {
        let gaps = gaps.chains[&7].iter();
        gaps.map(|gap| (gap.from_seq, gap.to_seq, gap.reason.as_str()))
            .collect()
    }

    #[test]
    fn neighbours_with_one_reason_are_one_gap() {
        let (node, mut gaps) = (node(), Gaps::default());
        for (from, to, reason) in [(1, 1, "a"), (2, 4, "a"), (5, 5, "b"), (7, 7, "b")] {
            gaps.add(&found(&node, from, to, reason));
        }
        assert_eq!(ranges(&gaps), [(1, 4, "a"), (5, 5, "b"), (7, 7, "b")]);
        assert_eq!(gaps.reason(7, 3), Some("a"));
        assert_eq!(gaps.reason(7, 6), None);
        assert_eq!(gaps.changed().count(), 3);
    }

    #[test]
    fn a_chain_full_of_holes_has_a_bounded_number_of_gaps() {
        let (node, mut gaps) = (node(), Gaps::default());
        for place in 0..10_000 {
            gaps.add(&found(&node, 2 * place + 1, 2 * place + 1, "a"));
        }
        let ranges = ranges(&gaps);
        assert_eq!(ranges.len(), GAPS_PER_CHAIN);
        assert_eq!(ranges[GAPS_PER_CHAIN - 1], (511, 19_999, SEVERAL));
    }

    #[test]
    fn a_node_with_many_chains_full_of_holes_has_a_bounded_number_of_gaps() {
        let (node, mut gaps) = (node(), Gaps::default());
        gaps.counted(HashMap::from([("n".to_owned(), 100)]));
        for key in 0..8 {
            for place in 0..1_000 {
                let mut hole = found(&node, 2 * place + 1, 2 * place + 1, "a");
                hole.key = key;
                gaps.add(&hole);
            }
        }
        let rows: Vec<usize> = (0..8).map(|key| gaps.chains[&key].len()).collect();
        assert_eq!(rows, [256, 156, 1, 1, 1, 1, 1, 1]);
        let last = gaps.chains[&7].last().map(|gap| (gap.from_seq, gap.to_seq));
        assert_eq!(last, Some((1, 1_999)), "no place is left out");
    }

    #[test]
    fn a_stored_gap_is_changed_in_its_row() {
        let (node, mut gaps) = (node(), Gaps::default());
        let stored = Gap {
            id: Some(3),
            from_seq: 1,
            to_seq: 2,
            reason: "a".to_owned(),
        };
        assert_eq!(gaps.missing([7, 7]), [7]);
        gaps.loaded(&[7], HashMap::from([(7, vec![stored])]));
        assert_eq!(gaps.missing([7]), [0_i64; 0]);
        gaps.add(&found(&node, 3, 9, "a"));
        let changed: Vec<_> = gaps
            .changed()
            .map(|(_, gap)| (gap.id, gap.to_seq))
            .collect();
        assert_eq!(changed, [(Some(3), 9)]);
    }
}
