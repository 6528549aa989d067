//! What is shown of the owner's orders and limits.

use super::saved;
use super::sight::{self, limits_of};
use crate::config::{self, StateDir};
use crate::mode::Stance;
use dgon_agent_core::owner::orders::describe;
use dgon_agent_core::owner::{Activity, Judge, Judgement, Mode, Orders, Seen, Verdict, decide};
use dgon_protocol::frame::{GpuLoad, PausedReason};
use serde::{Deserialize, Serialize};

/// Whether the node takes work from the network, why not, and which limits are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerReport {
    /// What the node takes.
    pub mode: Mode,
    /// Why it does not serve; empty where it does.
    pub reasons: Vec<PausedReason>,
    /// Every limit that is set, with what it says now.
    pub limits: Vec<Judgement>,
}

impl OwnerReport {
    /// The stance of a running agent.
    pub fn of(stance: Stance) -> Self {
        Self {
            mode: stance.decision.mode,
            reasons: stance.decision.reasons,
            limits: stance.judgements,
        }
    }

    /// The limits that stop the node now.
    pub fn stopping(&self) -> impl Iterator<Item = &Judgement> {
        self.limits
            .iter()
            .filter(|judgement| judgement.verdict == Verdict::Stops)
    }

    /// The limits that are set and cannot be judged, so that they stop nothing.
    pub fn unjudged(&self) -> impl Iterator<Item = &Judgement> {
        self.limits
            .iter()
            .filter(|judgement| judgement.verdict == Verdict::Unknown)
    }

    /// Mode and reasons in one sentence: `serving`, or `paused: quiet hours (it is 23:10; quiet until 07:00)`.
    pub fn sentence(&self) -> String {
        let mode = match self.mode {
            Mode::Serving => return "serving".to_owned(),
            Mode::Paused => "paused",
            Mode::Draining => "draining",
        };
        let reasons: Vec<String> = self.reasons.iter().map(|one| self.explain(*one)).collect();
        format!("{mode}: {}", reasons.join("; "))
    }

    fn explain(&self, reason: PausedReason) -> String {
        let limit = self.stopping().find(|one| one.limit.reason() == reason);
        match limit {
            Some(limit) => format!("{} ({})", describe(reason), limit.finding),
            None => describe(reason).to_owned(),
        }
    }
}

/// The orders and limits of a node whose agent does not run, as they would be in force now. One look: requests of
/// the machine's own users are not seen by it, and temperatures only where `gpus` has them.
pub fn examine(config: &config::Owner, state: &StateDir, gpus: &[GpuLoad]) -> OwnerReport {
    let limits = limits_of(config);
    let seen = Seen {
        minute_of_day: sight::minute_of_day(),
        activity: Activity {
            local_requests: 0,
            since_local_request_s: None,
            input: sight::input(&limits),
        },
        gpus: sight::gpus(gpus),
        earnings_usd_per_hour: None,
    };
    report(&seen, config, saved::paused(state))
}

/// The pure part of [`examine`].
pub fn report(seen: &Seen, config: &config::Owner, owner_paused: bool) -> OwnerReport {
    let limits = Judge::new(limits_of(config)).look(seen);
    let orders = Orders {
        owner_paused,
        ..Orders::default()
    };
    let decision = decide(orders, &limits);
    OwnerReport {
        mode: decision.mode,
        reasons: decision.reasons,
        limits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_which_limit_stops_and_which_cannot_be_judged() {
        let config = config::Owner {
            quiet_hours: vec!["22:00-07:00".to_owned().try_into().unwrap()],
            max_gpu_temp_c: Some(80),
            min_profit_usd_per_hour: Some(0.1),
            ..config::Owner::default()
        };
        let seen = Seen {
            minute_of_day: Some(23 * 60),
            gpus: sight::gpus(&[GpuLoad {
                temp_c: Some(60.0),
                ..GpuLoad::default()
            }]),
            ..Seen::default()
        };
        let said = report(&seen, &config, true);
        assert_eq!(
            said.sentence(),
            "paused: paused by its owner; quiet hours (it is 23:00; quiet until 07:00)"
        );
        assert_eq!(said.stopping().count(), 1);
        assert_eq!(said.unjudged().count(), 1);
        let free = report(&seen, &config::Owner::default(), false);
        assert_eq!(
            (free.sentence().as_str(), free.limits.len()),
            ("serving", 0)
        );
    }
}
