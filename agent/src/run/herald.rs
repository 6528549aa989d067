//! Tells the service manager how the agent is: ready, well, stopping.
//!
//! The watchdog is fed by a task of the main runtime, and only while link and spool keep their word: a frozen
//! process, a runtime whose threads are all blocked, or a stuck link goes unfed and is started anew. A control plane
//! that is away changes nothing here.

use crate::life::{self, LifeSign};
use crate::link::{LinkStatus, Phase};
use crate::receipts::Receipts;
use crate::service::notify::{self, Notifier};
use dgon_agent_core::watchdog::{Verdict, Watchdog};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const STOPPING_TEXT: &str = "stopping: running answers may end";

/// What the herald looks at.
pub(super) struct Herald {
    pub(super) notifier: Notifier,
    /// How often the watchdog wants to be fed; `None` where there is none.
    pub(super) every: Option<Duration>,
    pub(super) signs: Vec<LifeSign>,
    pub(super) link: watch::Receiver<LinkStatus>,
    pub(super) receipts: Receipts,
    /// How long a stop may take.
    pub(super) stop_within: Duration,
}

impl Herald {
    /// Runs from the moment the agent serves until `done`; `stop` is the wish to end.
    pub(super) async fn run(mut self, stop: CancellationToken, done: CancellationToken) {
        if !self.notifier.is_heard() {
            return;
        }
        let mut told = self.session();
        self.notifier
            .tell(&[notify::READY, &notify::status(&self.with_waiting(&told))]);
        let mut dog = self.every.map(|every| Watchdog::new(every, life::now()));
        // Without a watchdog the line is still kept fresh now and then.
        let mut ticks = interval(self.every.unwrap_or(Duration::from_secs(60)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let stuck = dog.as_mut().and_then(|dog| self.look(dog));
                    let feed = dog.is_some() && stuck.is_none();
                    let status = notify::status(&match stuck {
                        Some(text) => text,
                        None if stopping => STOPPING_TEXT.to_owned(),
                        None => self.with_waiting(&told),
                    });
                    let lines = [status.as_str(), notify::WATCHDOG];
                    self.notifier.tell(if feed { &lines } else { &lines[..1] });
                }
                // Every acknowledgement is a change; only news is told.
                Ok(()) = self.link.changed(), if !stopping => {
                    let session = self.session();
                    if session != told {
                        self.notifier.tell(&[&notify::status(&self.with_waiting(&session))]);
                        told = session;
                    }
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.notifier.tell(&[
                        notify::STOPPING,
                        &notify::extend_timeout(self.stop_within),
                        &notify::status(STOPPING_TEXT),
                    ]);
                }
                () = done.cancelled() => return,
            }
        }
    }

    /// What is stuck, if anything is.
    fn look(&self, dog: &mut Watchdog) -> Option<String> {
        let promises: Vec<_> = self.signs.iter().map(LifeSign::promise).collect();
        match dog.look(life::now(), &promises) {
            Verdict::Feed => None,
            Verdict::Withhold { part, late } => {
                let late_s = late.as_secs();
                tracing::error!(
                    part,
                    late_s,
                    "a part of the agent does not move; the service manager will start the agent anew"
                );
                Some(format!(
                    "STUCK: {part} should have been heard of {late_s} s ago; waiting to be started anew"
                ))
            }
        }
    }

    /// The link in a few words.
    fn session(&mut self) -> String {
        let link = self.link.borrow_and_update();
        match link.phase {
            Phase::Off => "serving without a control plane".to_owned(),
            Phase::Connecting => "serving; connecting to the control plane".to_owned(),
            Phase::Connected => match &link.node {
                Some(node) => format!("serving; linked, node is {}", node.status.as_str()),
                None => "serving; linked".to_owned(),
            },
            Phase::Waiting => "serving; no link to the control plane".to_owned(),
            Phase::Replaced => "serving; another agent of this node has the link".to_owned(),
            Phase::Stopped => STOPPING_TEXT.to_owned(),
        }
    }

    /// The same with the spool.
    fn with_waiting(&self, session: &str) -> String {
        let spool = self.receipts.status();
        match (&spool.not_ready, spool.depth()) {
            (Some(reason), _) => format!("NOT SERVING: {reason}"),
            (None, 0) => session.to_owned(),
            (None, waiting) => format!("{session}; {waiting} receipts wait"),
        }
    }
}
