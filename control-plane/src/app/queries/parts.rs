//! From what the sums of a range of time are added up: rows of sums, of the largest steps that fit, and receipts where no row fits.

use dgon_control_plane_model::rollup::{MINUTE_MS, QUARTER_MINUTES, quarter_of};
use dgon_control_plane_store::rollups_fold::HOUR_MINUTES;
use dgon_control_plane_store::rollups_range::{RollupRange, SumsOf};

/// Whose receipts are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// A node's.
    Node(String),
    /// All.
    Network,
    /// Those of an organisation's nodes.
    Organisation(String),
}

/// Which rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Borders {
    /// The first minute that is not closed.
    pub(super) closed: i64,
    /// What was received before this may be in rows by the hour, unix ms.
    pub(super) folded_ms: i64,
}

/// What is to be added up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Minutes from and to, and of what.
    pub(super) rows: Vec<RollupRange>,
    /// Ranges to be read receipt by receipt, unix ms.
    pub(super) edges: Vec<(i64, i64)>,
}

impl Parts {
    fn add(&mut self, of: SumsOf, region: Option<&String>, (from_minute, to_minute): (i64, i64)) {
        if from_minute < to_minute {
            self.rows.push(RollupRange {
                of,
                region: region.cloned(),
                from_minute,
                to_minute,
            });
        }
    }
}

/// The parts of a range, whose ends are unix ms.
pub(super) fn parts(
    whose: Whose,
    region: Option<&String>,
    (from_ms, to_ms): (Option<i64>, Option<i64>),
    borders: Borders,
) -> Parts {
    let mut ends = [from_ms, to_ms].into_iter().flatten();
    let is_folded = ends.any(|end| end < borders.folded_ms);
    let step = |finest| if is_folded { HOUR_MINUTES } else { finest };
    let mut parts = Parts::default();
    match whose {
        Whose::Node(node_id) => {
            let cut = cut(from_ms, to_ms, step(1));
            parts.add(SumsOf::Node(node_id), region, cut.steps);
            parts.edges = cut.edges;
        }
        Whose::Network => {
            let quarters = cut(from_ms, to_ms, step(QUARTER_MINUTES));
            parts.add(SumsOf::Network, region, quarters.steps);
            for (from_ms, to_ms) in quarters.edges {
                if is_folded || to_ms > borders.closed.saturating_mul(MINUTE_MS) {
                    parts.edges.push((from_ms, to_ms));
                    continue;
                }
                let minutes = cut(Some(from_ms), Some(to_ms), 1);
                parts.add(SumsOf::NetworkMinutes, region, minutes.steps);
                parts.edges.extend(minutes.edges);
            }
        }
        Whose::Organisation(org_id) => {
            let cut = cut(from_ms, to_ms, step(1));
            let (from, to) = cut.steps;
            let first = quarter_of(from.saturating_add(QUARTER_MINUTES - 1));
            let last = quarter_of(to).min(borders.closed).max(first);
            let nodes = || SumsOf::OrganisationsNodes(org_id.clone());
            parts.add(nodes(), region, (from, first.min(to)));
            parts.add(SumsOf::Organisation(org_id.clone()), region, (first, last));
            parts.add(nodes(), region, (last, to));
            parts.edges = cut.edges;
        }
    }
    parts
}

/// A range of time as whole steps that rows have, and what sticks out at both ends.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    /// Minutes from and to, both on a step.
    steps: (i64, i64),
    /// What is left, unix ms.
    edges: Vec<(i64, i64)>,
}

/// Cuts a range; what has no whole step is left as it is.
fn cut(from_ms: Option<i64>, to_ms: Option<i64>, step_minutes: i64) -> Cut {
    let step_ms = step_minutes * MINUTE_MS;
    let (from, to) = (from_ms.unwrap_or(0).max(0), to_ms.unwrap_or(i64::MAX));
    let first = from.saturating_add(step_ms - 1).div_euclid(step_ms) * step_ms;
    let last = match to_ms {
        None => i64::MAX,
        Some(to) => to.div_euclid(step_ms) * step_ms,
    };
    let (steps, edges) = match first < last {
        true => (
            (first / MINUTE_MS, last / MINUTE_MS),
            [(from, first), (last, to)],
        ),
        false => ((0, 0), [(from, to), (to, to)]),
    };
    let edges = edges.into_iter().filter(|(from, to)| from < to).collect();
    Cut { steps, edges }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEP_MS: i64 = 15 * MINUTE_MS;

    #[test]
    fn a_range_is_whole_steps_and_two_edges() {
        let range = cut(Some(STEP_MS - 1), Some(4 * STEP_MS + 7), 15);
        let edges = vec![(STEP_MS - 1, STEP_MS), (4 * STEP_MS, 4 * STEP_MS + 7)];
        let steps = (15, 60);
        assert_eq!(range, Cut { steps, edges });
    }

    #[test]
    fn open_ends_and_even_ends_have_no_edge() {
        let whole = cut(None, None, 15);
        assert_eq!((whole.steps.0, whole.edges.len()), (0, 0));
        let even = cut(Some(STEP_MS), Some(3 * STEP_MS), 15);
        let steps = (15, 45);
        let edges = Vec::new();
        assert_eq!(even, Cut { steps, edges });
    }

    #[test]
    fn a_range_within_a_step_is_left_as_it_is() {
        let edges = |from, to| cut(from, to, 15).edges;
        assert_eq!(edges(Some(5), Some(STEP_MS - 5)), [(5, STEP_MS - 5)]);
        assert_eq!(edges(Some(9), Some(3)), []);
        assert_eq!(edges(Some(i64::MAX), None), []);
    }

    fn whose() -> impl Strategy<Value = Whose> {
        prop_oneof![
            Just(Whose::Network),
            Just(Whose::Node("n".to_owned())),
            Just(Whose::Organisation("o".to_owned())),
        ]
    }

    proptest! {
        /// Of the parts each is where such rows are, none overlaps another, and together they are the range.
        #[test]
        fn parts_are_the_range(
            whose in whose(), from in prop::option::of(0_i64..400), length in 0_i64..400, is_open in any::<bool>(),
            odd in 0_i64..3, closed in 0_i64..30, folded in 0_i64..3,
        ) {
            let borders = Borders { closed: closed * 15, folded_ms: folded * 60 * MINUTE_MS };
            let folded_ms = borders.folded_ms;
            let from_ms = from.map(|from| from * MINUTE_MS + odd);
            let to_ms = (!is_open).then(|| (from.unwrap_or(0) + length) * MINUTE_MS);
            let is_network = whose == Whose::Network;
            let parts = parts(whose, None, (from_ms, to_ms), borders);
            let ends = [from_ms, to_ms].into_iter().flatten();
            let is_folded = ends.into_iter().any(|end| end < folded_ms);
            // Receipt by receipt is read what no row has.
            prop_assert!(parts.edges.len() <= 4);
            for (from_ms, to_ms) in &parts.edges {
                let finest = match is_network && *to_ms > borders.closed * MINUTE_MS {
                    _ if is_folded => 60,
                    true => 15,
                    false => 1,
                };
                prop_assert!(to_ms - from_ms < 2 * finest * MINUTE_MS, "{:?}", parts);
            }
            let mut pieces = parts.edges.clone();
            for range in &parts.rows {
                let step = match range.of {
                    _ if is_folded => 60,
                    SumsOf::Network | SumsOf::Organisation(_) => 15,
                    SumsOf::Node(_) | SumsOf::NetworkMinutes | SumsOf::OrganisationsNodes(_) => 1,
                };
                // Nothing is folded that is not closed.
                prop_assert!(range.from_minute % step == 0 || range.from_minute == borders.closed);
                if range.to_minute < i64::MAX / MINUTE_MS {
                    // Where the border lies within an hour, what is folded lies before it.
                    prop_assert!(range.to_minute % step == 0 || range.to_minute == borders.closed || range.from_minute == borders.closed);
                }
                if matches!(range.of, SumsOf::NetworkMinutes | SumsOf::Organisation(_)) {
                    prop_assert!(range.to_minute <= borders.closed);
                }
                prop_assert!(!(is_folded && range.of == SumsOf::NetworkMinutes));
                let to_ms = match range.to_minute { to if to >= i64::MAX / MINUTE_MS => i64::MAX, to => to * MINUTE_MS };
                pieces.push((range.from_minute * MINUTE_MS, to_ms));
            }
            pieces.sort_unstable();
            if pieces.is_empty() {
                prop_assert!(from_ms.unwrap_or(0) >= to_ms.unwrap_or(i64::MAX));
                return Ok(());
            }
            prop_assert_eq!(pieces[0].0, from_ms.unwrap_or(0));
            prop_assert_eq!(pieces[pieces.len() - 1].1, to_ms.unwrap_or(i64::MAX));
            for pair in pieces.windows(2) {
                prop_assert_eq!(pair[0].1, pair[1].0);
            }
        }
    }
}
