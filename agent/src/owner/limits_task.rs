//! The task that judges the owner's limits while there are any.

use super::observer::Observer;
use crate::mode::{Mode, ModeSwitch};
use dgon_agent_core::owner::orders::describe;
use dgon_agent_core::owner::{Judge, Limits};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often is looked: as often as the heartbeat, whose readings are shared.
const EVERY: Duration = Duration::from_secs(10);

/// Keeps a [`ModeSwitch`] as the limits say.
pub struct LimitsTask {
    judge: Judge,
    observer: Observer,
    mode: ModeSwitch,
}

impl LimitsTask {
    /// A task that has not looked yet.
    pub fn new(limits: Limits, observer: Observer, mode: ModeSwitch) -> Self {
        Self {
            judge: Judge::new(limits),
            observer,
            mode,
        }
    }

    /// Looks once.
    pub async fn look(&mut self) {
        let observed = self.observer.look(self.judge.limits()).await;
        self.mode.judged(self.judge.look(&observed));
    }

    /// Looks until `stop`, and tells the log of every change. Without a limit nothing is looked at.
    pub async fn run(mut self, stop: CancellationToken) {
        let has_limits = self.judge.limits().any();
        let mut changes = self.mode.watch();
        let mut ticks = interval(EVERY);
        // After a sleep of the machine one look is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick(), if has_limits => self.look().await,
                Ok(()) = changes.changed() => tell(&changes.borrow_and_update().decision),
                () = stop.cancelled() => return,
            }
        }
    }
}

fn tell(decision: &crate::mode::Decision) {
    let reasons: Vec<&str> = decision.reasons.iter().map(|one| describe(*one)).collect();
    let reasons = reasons.join(", ");
    match decision.mode {
        Mode::Serving => tracing::info!("the node takes work from the network"),
        Mode::Paused => tracing::info!(reasons, "the node takes no work from the network"),
        Mode::Draining => tracing::info!(reasons, "the node finishes what runs and takes no more"),
    }
}
