//! Orders of the owner and of the control plane, kept apart, and the mode that follows from them and the limits.

use super::judge::{Judgement, Verdict};
use dgon_protocol::frame::PausedReason;
use serde::{Deserialize, Serialize};

/// What the node takes from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Work from the network.
    Serving,
    /// None until every reason is gone.
    Paused,
    /// None any more; what runs is finished, so that the agent can be stopped.
    Draining,
}

/// What the control plane last ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkOrder {
    /// Take no work.
    Pause,
    /// Finish what runs, take no more.
    Drain,
}

/// The orders in force. Each side lifts only its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orders {
    /// The owner has paused the node. Survives a restart.
    pub owner_paused: bool,
    /// The owner drains the node. Ends with the process.
    pub owner_draining: bool,
    /// What the control plane wants. Ends with the process; the control plane says it again.
    pub network: Option<NetworkOrder>,
}

/// The mode, and every reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What the node takes.
    pub mode: Mode,
    /// Why it does not serve; empty exactly where it does. The owner's own orders come first.
    pub reasons: Vec<PausedReason>,
}

/// What follows from the orders and from what the limits say.
pub fn decide(orders: Orders, judgements: &[Judgement]) -> Decision {
    let network = |wanted| orders.network == Some(wanted);
    let ordered = [
        (orders.owner_draining, PausedReason::Draining),
        (orders.owner_paused, PausedReason::Owner),
        (
            network(NetworkOrder::Drain),
            PausedReason::ControlPlaneDraining,
        ),
        (network(NetworkOrder::Pause), PausedReason::ControlPlane),
    ];
    let ordered = ordered
        .into_iter()
        .filter_map(|(given, reason)| given.then_some(reason));
    let limited = judgements
        .iter()
        .filter(|judgement| judgement.verdict == Verdict::Stops)
        .map(|judgement| judgement.limit.reason());
    let reasons: Vec<PausedReason> = ordered.chain(limited).collect();
    let mode = if orders.owner_draining || network(NetworkOrder::Drain) {
        Mode::Draining
    } else if reasons.is_empty() {
        Mode::Serving
    } else {
        Mode::Paused
    };
    Decision { mode, reasons }
}

/// A reason as a person reads it.
pub const fn describe(reason: PausedReason) -> &'static str {
    match reason {
        PausedReason::Owner => "paused by its owner",
        PausedReason::Draining => "draining",
        PausedReason::ControlPlane => "paused by the control plane",
        PausedReason::ControlPlaneDraining => "drained by the control plane",
        PausedReason::MachineInUse => "the machine is in use",
        PausedReason::QuietHours => "quiet hours",
        PausedReason::GpuHot => "a GPU is too hot",
        PausedReason::BelowProfit => "below the owner's profit",
        PausedReason::Other => "another reason",
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::Limit;
    use super::*;

    fn stopping(limit: Limit) -> Judgement {
        Judgement {
            limit,
            verdict: Verdict::Stops,
            setting: String::new(),
            finding: String::new(),
        }
    }

    #[test]
    fn every_pair_of_orders_gives_its_mode_and_reasons() {
        use NetworkOrder::{Drain, Pause};
        use PausedReason as R;
        let hot = [stopping(Limit::GpuTemperature)];
        let orders = |owner_paused, owner_draining, network| Orders {
            owner_paused,
            owner_draining,
            network,
        };
        let none: &[Judgement] = &[];
        for (given, limits, mode, reasons) in [
            (orders(false, false, None), none, Mode::Serving, vec![]),
            (
                orders(true, false, None),
                none,
                Mode::Paused,
                vec![R::Owner],
            ),
            (
                orders(false, true, None),
                none,
                Mode::Draining,
                vec![R::Draining],
            ),
            (
                orders(true, true, None),
                none,
                Mode::Draining,
                vec![R::Draining, R::Owner],
            ),
            (
                orders(false, false, Some(Pause)),
                none,
                Mode::Paused,
                vec![R::ControlPlane],
            ),
            (
                orders(true, false, Some(Pause)),
                none,
                Mode::Paused,
                vec![R::Owner, R::ControlPlane],
            ),
            (
                orders(false, true, Some(Pause)),
                none,
                Mode::Draining,
                vec![R::Draining, R::ControlPlane],
            ),
            (
                orders(false, false, Some(Drain)),
                none,
                Mode::Draining,
                vec![R::ControlPlaneDraining],
            ),
            (
                orders(true, false, Some(Drain)),
                &hot,
                Mode::Draining,
                vec![R::Owner, R::ControlPlaneDraining, R::GpuHot],
            ),
            (
                orders(false, false, None),
                &hot,
                Mode::Paused,
                vec![R::GpuHot],
            ),
        ] {
            let expected = Decision { mode, reasons };
            assert_eq!(decide(given, limits), expected, "{given:?}");
        }
    }

    #[test]
    fn what_cannot_be_judged_stops_nothing() {
        let unknown = Judgement {
            verdict: Verdict::Unknown,
            ..stopping(Limit::Profit)
        };
        assert_eq!(decide(Orders::default(), &[unknown]).mode, Mode::Serving);
    }
}
