//! Sums of the minutes that are not written yet.
//!
//! Receipts of many nodes touch as many sums, and to write these with each commit takes longer than the receipts
//! themselves. So the sums of a minute stay in memory until it is over and are written once, whole. The rows say up to
//! which minute they are whole ([`OpenSums::sealed`]); what came later is counted again, from the receipts, when the
//! program starts.
//!
//! Invariant: the rows up to the sealed minute and these sums together count each stored receipt once.

use crate::rollup::{ReceiptFacts, RowKey, Sums, minute_of};
use std::collections::BTreeMap;

/// What a node adds up to in a region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    sums: Sums,
    /// Whether it is a row of the database as it is here.
    is_written: bool,
}

/// What a node adds up to in a region, by the organisation whose receipts they are; empty for none.
type Orgs = BTreeMap<String, Row>;

/// Sums by region.
type Regions = BTreeMap<String, Sums>;

/// Counts a receipt in its region. Almost always that is there, and nothing is copied.
fn count_in(regions: &mut Regions, facts: &ReceiptFacts) {
    match regions.get_mut(&facts.region) {
        Some(sums) => sums.count(facts),
        None => {
            let first = regions.entry(facts.region.clone()).or_default();
            first.count(facts);
        }
    }
}

/// What a minute adds up to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Minute {
    /// By node, then by region.
    nodes: BTreeMap<String, BTreeMap<String, Orgs>>,
    /// The sums over all nodes, by region. Counted along: who reads them must not wait for all nodes to be added up.
    network: Regions,
    /// The same of each organisation.
    organisations: BTreeMap<String, Regions>,
    unwritten: usize,
}

impl Minute {
    fn count(&mut self, facts: &ReceiptFacts) {
        // Almost always both are there, and nothing is copied.
        if !self.nodes.contains_key(&facts.node_id) {
            self.nodes.insert(facts.node_id.clone(), BTreeMap::new());
        }
        let Some(regions) = self.nodes.get_mut(&facts.node_id) else {
            return;
        };
        let orgs = match regions.get_mut(&facts.region) {
            Some(orgs) => orgs,
            None => regions.entry(facts.region.clone()).or_default(),
        };
        let org_id = facts.org_id.as_deref().unwrap_or_default();
        let row = match orgs.get_mut(org_id) {
            Some(row) => row,
            None => {
                self.unwritten += 1;
                orgs.entry(org_id.to_owned()).or_default()
            }
        };
        self.unwritten += usize::from(row.is_written);
        row.is_written = false;
        row.sums.count(facts);
        count_in(&mut self.network, facts);
        let Some(org_id) = &facts.org_id else { return };
        match self.organisations.get_mut(org_id) {
            Some(regions) => count_in(regions, facts),
            None => count_in(self.organisations.entry(org_id.clone()).or_default(), facts),
        }
    }

    fn rows(&self, minute: i64) -> impl Iterator<Item = (RowKey, &Row)> {
        let nodes = self.nodes.iter();
        nodes.flat_map(move |(node, regions)| of_regions(node, minute, regions))
    }

    fn written(&mut self, key: &RowKey) {
        let regions = self.nodes.get_mut(&key.node_id);
        let orgs = regions.and_then(|regions| regions.get_mut(&key.region));
        let Some(row) = orgs.and_then(|orgs| orgs.get_mut(&key.org_id)) else {
            return;
        };
        self.unwritten -= usize::from(!row.is_written);
        row.is_written = true;
    }

    /// What it adds to the rows that there are of what is closed, by key.
    fn closed_rows(&self, minute: i64) -> Vec<(RowKey, Sums)> {
        let network = self.network.iter();
        let network =
            network.map(|(region, sums)| (RowKey::of_network_minute(minute, region), sums.clone()));
        let organisations = self.organisations.iter().flat_map(|(org_id, regions)| {
            regions.iter().map(move |(region, sums)| {
                (
                    RowKey::of_organisation(org_id, minute, region),
                    sums.clone(),
                )
            })
        });
        network.chain(organisations).collect()
    }

    /// What it adds to the rows over all nodes.
    fn network_rows(&self, minute: i64) -> Vec<(RowKey, Sums)> {
        let regions = self.network.iter();
        regions
            .map(|(region, sums)| (RowKey::of_network(minute, region), sums.clone()))
            .collect()
    }
}

/// A node's rows of a minute.
fn of_regions<'r>(
    node: &'r str,
    minute: i64,
    regions: &'r BTreeMap<String, Orgs>,
) -> impl Iterator<Item = (RowKey, &'r Row)> {
    regions.iter().flat_map(move |(region, orgs)| {
        let rows = orgs.iter();
        rows.map(move |(org_id, row)| (RowKey::of_node(node, minute, region, Some(org_id)), row))
    })
}

/// Sums that are durable as receipts alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSums {
    sealed: i64,
    minutes: BTreeMap<i64, Minute>,
}

/// What is to be written next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Of which minute.
    pub minute: i64,
    /// Its rows, each of which takes the place of the one that is there.
    pub rows: Vec<(RowKey, Sums)>,
    /// Where these are the last ones: what the minute adds to the rows over all nodes. The minute is sealed with them.
    pub network: Option<Vec<(RowKey, Sums)>>,
    /// With the last ones: what the minute adds to the rows of its quarter of an hour, should that be closed already. Sorted.
    pub closed: Vec<(RowKey, Sums)>,
}

impl OpenSums {
    /// Nothing, where the rows are whole up to a minute.
    pub const fn after(sealed: i64) -> Self {
        Self {
            sealed,
            minutes: BTreeMap::new(),
        }
    }

    /// The last minute up to which the rows are whole, unix minutes.
    pub const fn sealed(&self) -> i64 {
        self.sealed
    }

    /// Counts a stored receipt; false for one of a sealed minute, which is counted in the rows.
    pub fn count(&mut self, facts: &ReceiptFacts) -> bool {
        let minute = minute_of(facts.received_at_ms);
        if minute <= self.sealed {
            return false;
        }
        self.minutes.entry(minute).or_default().count(facts);
        true
    }

    /// How many minutes are here.
    pub fn minutes(&self) -> usize {
        self.minutes.len()
    }

    /// How many of them are over at `now_minute`.
    pub fn due_minutes(&self, now_minute: i64) -> usize {
        self.minutes.range(..now_minute).count()
    }

    /// Whether a minute is over at `now_minute`.
    pub fn is_due(&self, now_minute: i64) -> bool {
        let first = self.minutes.first_key_value();
        first.is_some_and(|(minute, _)| *minute < now_minute)
    }

    /// At most `rows` rows of the first minute that is over at `now_minute`.
    pub fn due(&self, now_minute: i64, rows: usize) -> Option<Piece> {
        let (first, minute) = self.minutes.first_key_value()?;
        if *first >= now_minute {
            return None;
        }
        let is_last = minute.unwritten <= rows;
        let network = is_last.then(|| minute.network_rows(*first));
        let closed = match is_last {
            true => minute.closed_rows(*first),
            false => Vec::new(),
        };
        let unwritten = minute.rows(*first).filter(|(_, row)| !row.is_written);
        Some(Piece {
            minute: *first,
            rows: unwritten
                .take(rows)
                .map(|(key, row)| (key, row.sums.clone()))
                .collect(),
            network,
            closed,
        })
    }

    /// A piece is durable. Nothing was counted since [`OpenSums::due`] gave it.
    pub fn written(&mut self, piece: &Piece) {
        if piece.network.is_some() {
            self.sealed = self.sealed.max(piece.minute);
            self.minutes = self.minutes.split_off(&(self.sealed + 1));
            return;
        }
        let Some(minute) = self.minutes.get_mut(&piece.minute) else {
            return;
        };
        for (key, _) in &piece.rows {
            minute.written(key);
        }
    }

    /// One node's rows of the minutes from `from` to before `to`.
    pub fn of_node(&self, node_id: &str, from: i64, to: i64) -> Vec<(RowKey, Sums)> {
        let minutes = self.minutes.range(from..to.max(from));
        let rows = minutes.flat_map(|(minute, of_minute)| {
            let regions = of_minute.nodes.get(node_id).into_iter();
            let rows = regions.flat_map(|regions| of_regions(node_id, *minute, regions));
            rows.map(|(key, row)| (key, row.sums.clone()))
        });
        rows.collect()
    }

    /// The sums of an organisation in the minutes from `from` to before `to`, by region.
    pub fn of_organisation(&self, org_id: &str, from: i64, to: i64) -> Vec<(i64, String, Sums)> {
        let minutes = self.minutes.range(from..to.max(from));
        let sums = minutes.flat_map(|(minute, of_minute)| {
            let regions = of_minute.organisations.get(org_id).into_iter().flatten();
            regions.map(|(region, sums)| (*minute, region.clone(), sums.clone()))
        });
        sums.collect()
    }

    /// The sums over all nodes of each minute, by region; the keys are those of the quarters that they belong to.
    pub fn of_network(&self) -> Vec<(i64, Vec<(RowKey, Sums)>)> {
        let minutes = self.minutes.iter();
        minutes
            .map(|(minute, sums)| (*minute, sums.network_rows(*minute)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::{Ending, MINUTE_MS, sum_up, sum_up_closed};
    use proptest::prelude::*;

    /// What may happen, one after the other.
    #[derive(Debug, Clone)]
    enum Step {
        /// A receipt of a node and region, so many minutes later; a clock may go back.
        Receipt(u8, u8, i8),
        /// The next receipts of all nodes are for other organisations.
        Transfer,
        /// At most so many rows are written, and whether the program ends before it hears that they are durable.
        Write(usize, bool),
        /// The program ends.
        End,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0_u8..4, 0_u8..2, -2_i8..3).prop_map(|(node, region, later)| Step::Receipt(node, region, later)),
            3 => (1_usize..4, any::<bool>()).prop_map(|(rows, ends)| Step::Write(rows, ends)),
            1 => Just(Step::End),
            1 => Just(Step::Transfer),
        ];
        prop::collection::vec(step, 0..80)
    }

    fn facts(node: u8, region: u8, at_ms: i64, transfers: u8) -> ReceiptFacts {
        ReceiptFacts {
            node_id: format!("n{node}"),
            org_id: (node > 0).then(|| format!("o{}", (node + transfers) % 2)),
            region: format!("r{region}"),
            received_at_ms: at_ms,
            ending: Ending::Whole,
            cache_hit: None,
            tokens_input: 3,
            tokens_output: 5,
            lacks_a_count: false,
            ttft_ms: Some(i64::from(node)),
            latency_ms: None,
        }
    }

    /// What the database has.
    #[derive(Default)]
    struct Stored {
        receipts: Vec<ReceiptFacts>,
        rows: BTreeMap<RowKey, Sums>,
        sealed: i64,
    }

    impl Stored {
        fn write(&mut self, piece: &Piece) {
            self.rows.extend(piece.rows.iter().cloned());
            if let Some(network) = &piece.network {
                for (key, sums) in network {
                    self.rows.entry(key.clone()).or_default().merge(sums);
                }
                self.sealed = piece.minute;
                let of_minute = self.receipts.iter();
                let of_minute =
                    of_minute.filter(|facts| minute_of(facts.received_at_ms) == piece.minute);
                let of_minute: Vec<ReceiptFacts> = of_minute.cloned().collect();
                let closed = sum_up_closed(&of_minute, i64::MAX);
                assert_eq!(piece.closed, Vec::from_iter(closed), "by key");
            }
        }

        /// A receipt of a minute whose rows are whole.
        fn add(&mut self, facts: &ReceiptFacts) {
            for (key, sums) in sum_up(std::slice::from_ref(facts)) {
                self.rows.entry(key).or_default().merge(&sums);
            }
        }

        fn start(&self) -> OpenSums {
            let mut open = OpenSums::after(self.sealed);
            for facts in &self.receipts {
                open.count(facts);
            }
            open
        }

        /// Rows of sealed minutes, with the sums of the others.
        fn together(&self, open: &OpenSums) -> BTreeMap<RowKey, Sums> {
            let mut all: BTreeMap<RowKey, Sums> = self.rows.clone();
            all.retain(|key, _| key.minute <= self.sealed);
            for node in 0..4 {
                all.extend(open.of_node(&format!("n{node}"), i64::MIN, i64::MAX));
            }
            for (key, sums) in open.of_network().into_iter().flat_map(|(_, rows)| rows) {
                all.entry(key).or_default().merge(&sums);
            }
            all
        }
    }

    proptest! {
        #[test]
        fn rows_and_open_minutes_count_each_receipt_once(steps in steps()) {
            let (mut stored, mut now) = (Stored::default(), 1_000_000_i64);
            let (mut open, mut transfers) = (stored.start(), 0_u8);
            for step in steps {
                match step {
                    Step::Receipt(node, region, later) => {
                        now += i64::from(later);
                        let facts = facts(node, region, now * MINUTE_MS + 7, transfers);
                        stored.receipts.push(facts.clone());
                        if !open.count(&facts) {
                            prop_assert!(now <= stored.sealed);
                            stored.add(&facts);
                        }
                    }
                    Step::Write(rows, ends) => {
                        let Some(piece) = open.due(now, rows) else { continue };
                        prop_assert!(piece.rows.len() <= rows);
                        stored.write(&piece);
                        if ends {
                            open = stored.start();
                        } else {
                            open.written(&piece);
                        }
                    }
                    Step::End => open = stored.start(),
                    Step::Transfer => transfers += 1,
                }
                prop_assert_eq!(stored.together(&open), sum_up(&stored.receipts));
                for org in ["o0", "o1"] {
                    let mut counted = Sums::default();
                    let of_org = stored.receipts.iter().filter(|facts| {
                        facts.org_id.as_deref() == Some(org) && facts.received_at_ms > (stored.sealed + 1) * MINUTE_MS
                    });
                    of_org.for_each(|facts| counted.count(facts));
                    let mut told = Sums::default();
                    let rows = open.of_organisation(org, i64::MIN, i64::MAX);
                    rows.iter().for_each(|(_, _, sums)| told.merge(sums));
                    prop_assert_eq!(told, counted);
                }
            }
            while let Some(piece) = open.due(i64::MAX, 2) {
                stored.write(&piece);
                open.written(&piece);
            }
            prop_assert_eq!(open.of_network(), Vec::new());
            prop_assert_eq!(&stored.rows, &sum_up(&stored.receipts));
        }
    }

    #[test]
    fn what_is_of_a_sealed_minute_is_not_counted_here() {
        let mut open = OpenSums::after(10);
        assert!(!open.count(&facts(0, 0, 10 * MINUTE_MS, 0)));
        assert!(open.count(&facts(0, 0, 11 * MINUTE_MS, 0)));
        assert!(!open.is_due(11) && open.is_due(12));
        assert_eq!(open.due(11, 8), None);
    }
}
