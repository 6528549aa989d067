//! What receipts add up to per minute and node, and per quarter of an hour and region; once such a quarter is closed, also per
//! organisation, and over all nodes per minute.
//!
//! **Time.** A receipt counts in the minute in which the control plane received it: a node's clock is the node's
//! word, and a commit then touches one minute. **Counted** is every stored receipt, whoever asked for the work,
//! so that each sum can be checked against the receipts list. **Errors** are receipts of status `error`; a
//! client that went away is not the network's fault. **Durations** are those of answers that came whole.
//!
//! Invariant: counting is associative and commutative, so batches, processes and rebuilds agree.

use crate::sketch::Sketch;
use dgon_protocol::receipt::Status;
use std::collections::BTreeMap;

/// Milliseconds in the finest step.
pub const MINUTE_MS: i64 = 60_000;
/// Minutes in the step of trends.
pub const QUARTER_MINUTES: i64 = 15;
/// Minutes in a day, the window of summaries.
pub const DAY_MINUTES: i64 = 1_440;

/// The name, in place of a node's, of the rows over all nodes of each minute; no node can have it.
pub const NETWORK_MINUTES: &str = "@";

/// The name, in place of a node's, of the rows over all nodes of an organisation; no node can have it.
pub fn organisation_rows(org_id: &str) -> String {
    format!("@:{org_id}")
}

/// How a request ended, as far as sums care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The answer came whole, or the receipt's version does not tell.
    Whole,
    /// The runtime failed.
    Failed,
    /// The client went away.
    Cancelled,
}

impl Ending {
    /// That of a receipt which says so of its status, if it says anything.
    pub const fn of(status: Option<Status>) -> Self {
        match status {
            Some(Status::Error) => Self::Failed,
            Some(Status::Cancelled) => Self::Cancelled,
            Some(Status::Ok) | None => Self::Whole,
        }
    }
}

/// What a stored receipt adds to sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptFacts {
    /// The node that served it.
    pub node_id: String,
    /// The organisation of that node.
    pub org_id: Option<String>,
    /// The region that it is counted in; empty where unknown.
    pub region: String,
    /// When the control plane received it, unix ms.
    pub received_at_ms: i64,
    /// How it ended.
    pub ending: Ending,
    /// Prompt served from a cache; `None` where the runtime does not say.
    pub cache_hit: Option<bool>,
    /// Prompt tokens.
    pub tokens_input: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// A count of 0 among them is one that nobody knows.
    pub lacks_a_count: bool,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
    /// Total time, ms.
    pub latency_ms: Option<i64>,
}

/// Sums over some receipts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Receipts.
    pub requests: i64,
    /// Those of status `error`.
    pub errors: i64,
    /// Those that a cache helped.
    pub cache_hits: i64,
    /// Those whose runtime said whether a cache helped.
    pub cache_known: i64,
    /// Prompt tokens.
    pub tokens_input: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// Receipts of which a token count is not known: the sums of tokens are without it.
    pub tokens_not_counted: i64,
    /// Times to first token.
    pub ttft: Sketch,
    /// Total times.
    pub latency: Sketch,
}

/// A row of the rollup table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The node; empty for the sum over all nodes, which is kept per quarter of an hour. With what is closed come
    /// [`NETWORK_MINUTES`] and, per quarter, [`organisation_rows`].
    pub node_id: String,
    /// Unix minutes; the first of the quarter in sums that are kept per quarter.
    pub minute: i64,
    /// The region; empty where unknown.
    pub region: String,
    /// The organisation whose receipts they are: a node may pass from one to another. Empty where there is none, and in the
    /// rows over nodes.
    pub org_id: String,
}

impl RowKey {
    /// The row of a node and a minute, of what it did for an organisation.
    pub fn of_node(node_id: &str, minute: i64, region: &str, org_id: Option<&str>) -> Self {
        Self {
            node_id: node_id.to_owned(),
            minute,
            region: region.to_owned(),
            org_id: org_id.unwrap_or_default().to_owned(),
        }
    }

    /// The row over all nodes that a minute belongs to.
    pub fn of_network(minute: i64, region: &str) -> Self {
        Self::of_node("", quarter_of(minute), region, None)
    }

    /// The row over all nodes of one minute.
    pub fn of_network_minute(minute: i64, region: &str) -> Self {
        Self::of_node(NETWORK_MINUTES, minute, region, None)
    }

    /// The row over all nodes of an organisation that a minute belongs to.
    pub fn of_organisation(org_id: &str, minute: i64, region: &str) -> Self {
        Self::of_node(&organisation_rows(org_id), quarter_of(minute), region, None)
    }
}

/// What one batch adds, one entry per row to touch.
pub type Batch = BTreeMap<RowKey, Sums>;

/// The unix minute of a time.
pub const fn minute_of(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(MINUTE_MS)
}

/// The first minute of the quarter of an hour that a minute lies in.
pub const fn quarter_of(minute: i64) -> i64 {
    minute - minute.rem_euclid(QUARTER_MINUTES)
}

fn duration(ms: Option<i64>) -> Option<u64> {
    ms.and_then(|ms| u64::try_from(ms).ok())
}

impl Sums {
    /// Counts one receipt.
    pub fn count(&mut self, facts: &ReceiptFacts) {
        self.requests = self.requests.saturating_add(1);
        self.errors = self
            .errors
            .saturating_add(i64::from(facts.ending == Ending::Failed));
        let hit = facts.cache_hit == Some(true);
        self.cache_hits = self.cache_hits.saturating_add(i64::from(hit));
        let known = i64::from(facts.cache_hit.is_some());
        self.cache_known = self.cache_known.saturating_add(known);
        self.tokens_input = self.tokens_input.saturating_add(facts.tokens_input);
        self.tokens_output = self.tokens_output.saturating_add(facts.tokens_output);
        let lacking = i64::from(facts.lacks_a_count);
        self.tokens_not_counted = self.tokens_not_counted.saturating_add(lacking);
        if facts.ending == Ending::Whole {
            self.ttft.extend(duration(facts.ttft_ms));
            self.latency.extend(duration(facts.latency_ms));
        }
    }

    /// Counts everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.cache_hits = self.cache_hits.saturating_add(other.cache_hits);
        self.cache_known = self.cache_known.saturating_add(other.cache_known);
        self.tokens_input = self.tokens_input.saturating_add(other.tokens_input);
        self.tokens_output = self.tokens_output.saturating_add(other.tokens_output);
        self.tokens_not_counted = self
            .tokens_not_counted
            .saturating_add(other.tokens_not_counted);
        self.ttft.merge(&other.ttft);
        self.latency.merge(&other.latency);
    }

    /// Share of failed requests, 0 to 1; `None` without requests.
    pub fn error_rate(&self) -> Option<f64> {
        share(self.errors, self.requests)
    }

    /// Share that a cache helped of the requests whose runtime says so, 0 to 1; `None` where none does.
    pub fn cache_hit_share(&self) -> Option<f64> {
        share(self.cache_hits, self.cache_known)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share for a screen; counts stay far below 2^53"
)]
fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Sums a batch up per row.
pub fn sum_up(receipts: &[ReceiptFacts]) -> Batch {
    let mut rows = Batch::new();
    for facts in receipts {
        let minute = minute_of(facts.received_at_ms);
        let org_id = facts.org_id.as_deref();
        let key = RowKey::of_node(&facts.node_id, minute, &facts.region, org_id);
        rows.entry(key).or_default().count(facts);
    }
    let mut all_nodes = Batch::new();
    for (key, sums) in &rows {
        let key = RowKey::of_network(key.minute, &key.region);
        all_nodes.entry(key).or_default().merge(sums);
    }
    rows.append(&mut all_nodes);
    rows
}

/// Adds what a node's minute comes to, to the rows that there are of what is closed.
pub fn add_closed(rows: &mut Batch, minute: &RowKey, sums: &Sums) {
    let network = RowKey::of_network_minute(minute.minute, &minute.region);
    let org = Some(&minute.org_id).filter(|org_id| !org_id.is_empty());
    let org = org.map(|org| RowKey::of_organisation(org, minute.minute, &minute.region));
    for key in std::iter::once(network).chain(org) {
        rows.entry(key).or_default().merge(sums);
    }
}

/// What a batch adds to the rows that there are of what is closed: of those of its receipts which were received before
/// `closed`, unix minutes.
pub fn sum_up_closed(receipts: &[ReceiptFacts], closed: i64) -> Batch {
    let mut rows = Batch::new();
    for facts in receipts {
        let minute = minute_of(facts.received_at_ms);
        if minute < closed {
            let mut one = Sums::default();
            one.count(facts);
            let org_id = facts.org_id.as_deref();
            let key = RowKey::of_node(&facts.node_id, minute, &facts.region, org_id);
            add_closed(&mut rows, &key, &one);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> impl Strategy<Value = ReceiptFacts> {
        let ending = prop_oneof![
            Just(Ending::Whole),
            Just(Ending::Failed),
            Just(Ending::Cancelled)
        ];
        let time = prop::option::of(0_i64..100_000);
        (
            "[abc]",
            "[xy]?",
            0_i64..3_600_000,
            ending,
            any::<Option<bool>>(),
            0_i64..1000,
            time.clone(),
            time,
        )
            .prop_map(
                |(node_id, region, at, ending, hit, tokens, ttft, latency)| ReceiptFacts {
                    // One node is nobody's, and one has passed from one to another.
                    org_id: (node_id != "a").then(|| {
                        if node_id == "b" && tokens > 500 {
                            "p"
                        } else {
                            "o"
                        }
                        .to_owned()
                    }),
                    node_id,
                    region,
                    received_at_ms: at,
                    ending,
                    cache_hit: hit,
                    tokens_input: tokens,
                    tokens_output: tokens / 2,
                    lacks_a_count: tokens % 3 == 0,
                    ttft_ms: ttft,
                    latency_ms: latency,
                },
            )
    }

    fn total<'s>(sums: impl Iterator<Item = &'s Sums>) -> Sums {
        sums.fold(Sums::default(), |mut total, part| {
            total.merge(part);
            total
        })
    }

    proptest! {
        #[test]
        fn every_cut_into_batches_gives_the_same_rows(all in prop::collection::vec(facts(), 0..60), cut in 0_usize..60) {
            let whole = sum_up(&all);
            let (head, tail) = all.split_at(cut.min(all.len()));
            let mut parts = sum_up(head);
            for (key, sums) in sum_up(tail) {
                parts.entry(key).or_default().merge(&sums);
            }
            prop_assert_eq!(&parts, &whole);
            let mut direct = Sums::default();
            all.iter().for_each(|facts| direct.count(facts));
            let (network, nodes): (Vec<_>, Vec<_>) = whole.iter().partition(|(key, _)| key.node_id.is_empty());
            prop_assert_eq!(&total(network.into_iter().map(|row| row.1)), &direct);
            prop_assert_eq!(&total(nodes.into_iter().map(|row| row.1)), &direct);
        }

        #[test]
        fn what_is_closed_is_the_same_by_minute_and_by_organisation(all in prop::collection::vec(facts(), 0..60), closed in 0_i64..61) {
            let closed_rows = sum_up_closed(&all, closed);
            let mut of_minutes = Batch::new();
            for (key, sums) in sum_up(&all) {
                if !key.node_id.is_empty() && key.minute < closed {
                    add_closed(&mut of_minutes, &key, &sums);
                }
            }
            prop_assert_eq!(&closed_rows, &of_minutes);
            let sum = |is_counted: &dyn Fn(&ReceiptFacts) -> bool| {
                let mut sums = Sums::default();
                let counted = all.iter().filter(|facts| minute_of(facts.received_at_ms) < closed && is_counted(facts));
                counted.for_each(|facts| sums.count(facts));
                sums
            };
            let (network, org): (Vec<_>, Vec<_>) = closed_rows.iter().partition(|(key, _)| key.node_id == NETWORK_MINUTES);
            prop_assert_eq!(total(network.into_iter().map(|row| row.1)), sum(&|_| true));
            prop_assert_eq!(total(org.into_iter().map(|row| row.1)), sum(&|facts| facts.org_id.is_some()));
        }
    }

    #[test]
    fn durations_are_those_of_whole_answers() {
        let mut sums = Sums::default();
        for (ending, ttft_ms) in [
            (Ending::Whole, Some(10)),
            (Ending::Failed, Some(1)),
            (Ending::Cancelled, Some(2)),
            (Ending::Whole, None),
        ] {
            sums.count(&ReceiptFacts {
                node_id: "n".to_owned(),
                org_id: None,
                region: String::new(),
                received_at_ms: 0,
                ending,
                cache_hit: None,
                tokens_input: 1,
                tokens_output: 1,
                lacks_a_count: false,
                ttft_ms,
                latency_ms: Some(-1),
            });
        }
        assert_eq!((sums.requests, sums.errors), (4, 1));
        assert_eq!((sums.ttft.count(), sums.ttft.p50()), (1, Some(10)));
        assert!(
            sums.latency.is_empty(),
            "a negative duration is no measurement"
        );
    }

    #[test]
    fn quarters_start_on_the_quarter() {
        assert_eq!(minute_of(59_999), 0);
        assert_eq!(minute_of(60_000), 1);
        assert_eq!(quarter_of(14), 0);
        assert_eq!(quarter_of(15), 15);
        assert_eq!(Sums::default().error_rate(), None);
    }
}
