//! What is shown of the owner's orders and limits.

use super::observer::{self, limits_of};
use super::saved;
use crate::config::{self, StateDir};
use crate::mode::ModeState;
use dgon_agent_core::owner::orders::describe;
use dgon_agent_core::owner::{
    Activity, Input, Judge, Judgement, Mode, Observation, Orders, Verdict, decide,
};
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
    pub fn of(stance: ModeState) -> Self {
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
/// the machine's own users are not observed by it, and temperatures only where `gpus` has them.
pub fn examine(config: &config::Owner, state: &StateDir, gpus: &[GpuLoad]) -> OwnerReport {
    let limits = limits_of(config);
    let observed = Observation {
        minute_of_day: observer::minute_of_day(),
        activity: Activity {
            local_requests: 0,
            since_local_request_s: None,
            input: observer::input(&limits),
        },
        gpus: observer::gpus(gpus),
        earnings_usd_per_hour: None,
    };
    report(&observed, config, saved::paused(state))
}

/// What an owner should know of limits that are set and do not do all that they could on this machine.
pub fn notes(config: &config::Owner) -> Vec<String> {
    notes_for(config, &observer::input(&limits_of(config)))
}

fn notes_for(config: &config::Owner, input: &Input) -> Vec<String> {
    let mut notes = Vec::new();
    if let (true, Input::Unseen(why)) = (config.idle_only, input) {
        notes.push(format!(
            "owner.idle_only: people at this machine cannot be seen ({why}); only requests of its own clients count \
             as use"
        ));
    }
    if config.min_profit_usd_per_hour.is_some() {
        notes.push(
            "owner.min_profit_usd_per_hour: not applied until the control plane tells what the node earns".to_owned(),
        );
    }
    if config.tariff_usd_per_kwh.is_some() && config.min_profit_usd_per_hour.is_none() {
        notes.push(
            "owner.tariff_usd_per_kwh: no effect without owner.min_profit_usd_per_hour".to_owned(),
        );
    }
    notes
}

/// The pure part of [`examine`].
pub fn report(observed: &Observation, config: &config::Owner, owner_paused: bool) -> OwnerReport {
    let limits = Judge::new(limits_of(config)).look(observed);
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
    fn limits_that_cannot_do_all_are_noted() {
        let unseen = Input::Unseen("no bus".to_owned());
        let none = config::Owner::default();
        assert_eq!(notes_for(&none, &unseen), Vec::<String>::new());
        let idle = config::Owner {
            idle_only: true,
            ..none.clone()
        };
        assert!(notes_for(&idle, &unseen)[0].contains("no bus"));
        assert_eq!(notes_for(&idle, &Input::Idle), Vec::<String>::new());
        let tariff = config::Owner {
            tariff_usd_per_kwh: Some(0.3),
            ..none.clone()
        };
        assert!(notes_for(&tariff, &unseen)[0].contains("no effect"));
        let both = config::Owner {
            min_profit_usd_per_hour: Some(0.1),
            ..tariff
        };
        assert!(notes_for(&both, &unseen)[0].contains("not applied"));
    }

    #[test]
    fn a_report_says_which_limit_stops_and_which_cannot_be_judged() {
        let config = config::Owner {
            quiet_hours: vec!["22:00-07:00".to_owned().try_into().unwrap()],
            max_gpu_temp_c: Some(80),
            min_profit_usd_per_hour: Some(0.1),
            ..config::Owner::default()
        };
        let observed = Observation {
            minute_of_day: Some(23 * 60),
            gpus: observer::gpus(&[GpuLoad {
                temp_c: Some(60.0),
                ..GpuLoad::default()
            }]),
            ..Observation::default()
        };
        let said = report(&observed, &config, true);
        assert_eq!(
            said.sentence(),
            "paused: paused by its owner; quiet hours (it is 23:00; quiet until 07:00)"
        );
        assert_eq!(said.stopping().count(), 1);
        assert_eq!(said.unjudged().count(), 1);
        let free = report(&observed, &config::Owner::default(), false);
        assert_eq!(
            (free.sentence().as_str(), free.limits.len()),
            ("serving", 0)
        );
    }
}
