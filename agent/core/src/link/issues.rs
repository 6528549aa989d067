//! What an operator should know, told once when it begins and again only after it was over.
//!
//! Pure edge detection over what the agent sees of itself; a session starts with nothing told.

use dgon_protocol::frame::{Issue, IssueKind};
use serde_json::{Map, Value};

/// Share of the spool's limit from which it counts as filling, percent.
const FILLING_PCT: u64 = 80;
/// Ends again below this, percent: a depth that swings around one mark is told once.
const FILLED_PCT: u64 = 70;
/// Clock drift worth telling, ms. The control plane refuses requests from twice as far.
const DRIFT_MS: u64 = 60_000;

/// What the agent sees of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// Receipts that wait.
    pub depth: u64,
    /// Most that may.
    pub max_receipts: u64,
    /// The disk takes no writes.
    pub unwritable: bool,
    /// Refused receipts so far.
    pub dead_letters: u64,
    /// Runtimes that take requests.
    pub runtimes_ready: usize,
    /// GPUs that answer.
    pub gpus: usize,
    /// This clock less the control plane's, ms.
    pub clock_ahead_ms: i64,
}

/// What was told in this session.
#[derive(Debug, Clone)]
pub struct Issues {
    before: View,
    filling: bool,
    drifting: bool,
}

impl Issues {
    /// A session that begins with this view. What was refused or lost before it is not told again.
    pub fn new(view: View) -> Self {
        Self {
            before: View {
                unwritable: false,
                ..view
            },
            filling: false,
            drifting: false,
        }
    }

    /// What is new since the last look.
    pub fn look(&mut self, now: View) -> Vec<Issue> {
        let before = std::mem::replace(&mut self.before, now);
        let mut found = Vec::new();
        let mut tell = |kind, params: &[(&str, i64)]| {
            let params: Map<String, Value> = params
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
                .collect();
            found.push(Issue { kind, params });
        };
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let size = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);

        let full_pct = now.depth.saturating_mul(100) / now.max_receipts.max(1);
        if full_pct >= FILLING_PCT && !self.filling {
            let limit = count(now.max_receipts);
            tell(
                IssueKind::SpoolFilling,
                &[("waiting", count(now.depth)), ("limit", limit)],
            );
        }
        self.filling = full_pct
            >= if self.filling {
                FILLED_PCT
            } else {
                FILLING_PCT
            };
        if now.unwritable && !before.unwritable {
            tell(IssueKind::SpoolUnwritable, &[]);
        }
        if now.dead_letters > before.dead_letters {
            let refused = count(now.dead_letters - before.dead_letters);
            tell(IssueKind::ReceiptRefused, &[("refused", refused)]);
        }
        if now.runtimes_ready < before.runtimes_ready {
            tell(
                IssueKind::RuntimeLost,
                &[("ready", size(now.runtimes_ready))],
            );
        }
        if now.gpus < before.gpus {
            tell(IssueKind::GpuLost, &[("gpus", size(now.gpus))]);
        }
        let is_drifting = now.clock_ahead_ms.unsigned_abs() >= DRIFT_MS;
        if is_drifting && !self.drifting {
            tell(IssueKind::ClockDrift, &[("ahead_ms", now.clock_ahead_ms)]);
        }
        self.drifting = is_drifting;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(issues: &mut Issues, view: View) -> Vec<IssueKind> {
        issues.look(view).iter().map(|issue| issue.kind).collect()
    }

    fn well() -> View {
        View {
            max_receipts: 100,
            runtimes_ready: 1,
            gpus: 2,
            ..View::default()
        }
    }

    #[test]
    fn a_healthy_agent_has_nothing_to_tell() {
        let mut issues = Issues::new(well());
        assert_eq!(kinds(&mut issues, well()), []);
    }

    #[test]
    fn each_trouble_is_told_when_it_begins_and_not_while_it_lasts() {
        let troubles = [
            (
                View {
                    depth: 80,
                    ..well()
                },
                IssueKind::SpoolFilling,
            ),
            (
                View {
                    unwritable: true,
                    ..well()
                },
                IssueKind::SpoolUnwritable,
            ),
            (
                View {
                    dead_letters: 3,
                    ..well()
                },
                IssueKind::ReceiptRefused,
            ),
            (
                View {
                    runtimes_ready: 0,
                    ..well()
                },
                IssueKind::RuntimeLost,
            ),
            (View { gpus: 1, ..well() }, IssueKind::GpuLost),
            (
                View {
                    clock_ahead_ms: -61_000,
                    ..well()
                },
                IssueKind::ClockDrift,
            ),
        ];
        for (view, kind) in troubles {
            let mut issues = Issues::new(well());
            assert_eq!(kinds(&mut issues, view), [kind]);
            assert_eq!(kinds(&mut issues, view), [], "{kind:?} told twice");
        }
    }

    #[test]
    fn a_spool_that_swings_around_the_mark_is_told_once() {
        let at = |depth| View { depth, ..well() };
        let mut issues = Issues::new(well());
        assert_eq!(kinds(&mut issues, at(85)), [IssueKind::SpoolFilling]);
        assert_eq!(kinds(&mut issues, at(75)), []);
        assert_eq!(kinds(&mut issues, at(85)), []);
        assert_eq!(kinds(&mut issues, at(10)), []);
        assert_eq!(kinds(&mut issues, at(90)), [IssueKind::SpoolFilling]);
    }

    #[test]
    fn a_session_that_begins_in_trouble_tells_of_it() {
        let broken = View {
            unwritable: true,
            depth: 95,
            ..well()
        };
        let mut issues = Issues::new(broken);
        assert_eq!(
            kinds(&mut issues, broken),
            [IssueKind::SpoolFilling, IssueKind::SpoolUnwritable]
        );
    }
}
