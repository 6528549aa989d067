//! What is due for one node now, and when to look at it next. No I/O, no clock: both come as values.

use super::damping::Damping;
use super::probing::GRACE;
use crate::app::{NodeLife, OpenProbe, Settings};
use crate::presence::NodePresence;
use dgon_control_plane_model::lifecycle::{Event, Probing, Reason, State, probing, transition};
use dgon_protocol::frame::{Permission, ProbeOutcome};
use std::time::Duration;
use tokio::time::Instant;

/// Said of a node that is held.
const HELD: &str =
    "it came and went often: before it is probed again it must have been steady for a while";
/// Longest message of a probe that is kept.
const MESSAGE_CHARS: usize = 500;

/// What the task remembers of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// Probes that failed in a row.
    pub(super) failures: u32,
    /// Before this no probe is tried again.
    pub(super) not_before: Option<Instant>,
    /// When a node that serves is probed again.
    pub(super) probe_again: Option<Instant>,
    /// Whether it was shown as late.
    pub(super) late: bool,
    /// Whether its runtime took requests.
    pub(super) was_ready: bool,
    /// Whether it waits for a place among the open probes.
    pub(super) queued: bool,
    /// How often it tried to become active.
    pub(super) damping: Damping,
    /// When an admin cleared it, in `Clock::mono_ms`, as far as that was seen.
    pub(super) cleared_mono_ms: Option<i64>,
}

/// A node as the task sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) life: NodeLife,
    pub(super) presence: &'a NodePresence,
    pub(super) open: Option<&'a OpenProbe>,
    pub(super) memory: &'a Memory,
    pub(super) settings: &'a Settings,
    pub(super) now: Instant,
    /// Now, in `Clock::mono_ms`.
    pub(super) mono_ms: i64,
    /// Since when this process hears: when it began, or was last stopped for a while. Its own absence is not the node's
    /// silence.
    pub(super) heard_since_mono_ms: i64,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Something happened to the node.
    Event(Event, Option<&'static str>),
    /// Its probe has ended.
    Ended(Ended),
    /// It should be probed.
    Probe,
    /// Nothing until [`Seen::next`], or until something happens.
    Nothing,
}

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// What it means; `None` where nobody is to blame.
    pub(super) event: Option<Event>,
    /// `ok`, `failed`, `no_runtime`, `refused` or `timeout`.
    pub(super) outcome: &'static str,
    /// Why it failed.
    pub(super) message: Option<String>,
}

/// Whether a node that is in its state for this reason now has tried to become active. A probe that begins is a try, too.
pub(super) fn is_a_try(reason: Reason) -> bool {
    matches!(reason, Reason::RuntimeReady | Reason::HeartbeatResumed)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Seen<'_> {
    /// When it was last heard, or could first be.
    fn heard_mono_ms(&self) -> i64 {
        let heard = self.presence.heard_mono_ms.unwrap_or(i64::MIN);
        heard.max(self.heard_since_mono_ms)
    }

    /// Whether a node that serves has not been heard for a while: then those who look are shown its row again. What the
    /// row says is up to the time of its last heartbeat.
    pub(super) fn is_late(&self) -> bool {
        let silent = self.mono_ms.saturating_sub(self.heard_mono_ms());
        self.life.state == State::Active && silent >= ms(self.settings.late_after)
    }

    /// What is due.
    pub(super) fn decide(&self) -> Decision {
        if let Some(event) = self.silence() {
            return Decision::Event(event, (event == Event::Held).then_some(HELD));
        }
        if let Some(open) = self.open {
            return match self.ended(open) {
                Some(ended) => Decision::Ended(ended),
                None => Decision::Nothing,
            };
        }
        if !self.presence.is_connected() {
            return Decision::Nothing;
        }
        let life = self.life;
        if !self.presence.has_ready_runtime() {
            if self.is_held() && life.reason == Reason::Unstable {
                // That it comes and goes is said already, once however often it does.
                return Decision::Nothing;
            }
            return self.event(Event::NoRuntime, self.is_held().then_some(HELD));
        }
        let is_allowed = self.presence.allow.contains(&Permission::Probe);
        let could_be_probed = match life.reason {
            Reason::NoRuntime | Reason::HeartbeatResumed | Reason::RuntimeReady => true,
            Reason::ProbeRefused => is_allowed,
            _ => false,
        };
        if self.is_held() && could_be_probed {
            return self.event(Event::Held, Some(HELD));
        }
        let was_without = life.reason == Reason::NoRuntime && !self.must_wait() && !self.is_held();
        if life.state == State::Registered || was_without {
            let ready = self.event(Event::RuntimeReady, None);
            if ready != Decision::Nothing {
                return ready;
            }
        }
        if !self.is_probe_due() {
            return Decision::Nothing;
        }
        if !is_allowed {
            let why = "the node's allow list does not name probe";
            return self.event(Event::ProbeRefused, Some(why));
        }
        Decision::Probe
    }

    /// An event, where it changes something.
    fn event(&self, event: Event, detail: Option<&'static str>) -> Decision {
        match transition(self.life.state, self.life.reason, event) {
            Some(_) => Decision::Event(event, detail),
            None => Decision::Nothing,
        }
    }

    fn must_wait(&self) -> bool {
        self.memory.not_before.is_some_and(|at| self.now < at)
    }

    fn is_held(&self) -> bool {
        self.memory.damping.is_held(self.now)
    }

    /// Somebody waits, or the node was away: earlier failures do not count.
    pub(super) fn starts_anew(&self) -> bool {
        matches!(
            self.life.reason,
            Reason::AdminCleared | Reason::HeartbeatResumed
        )
    }

    fn is_probe_due(&self) -> bool {
        match probing(self.life.state, self.life.reason) {
            Probing::Never => false,
            Probing::Now => !self.is_held() && (self.starts_anew() || !self.must_wait()),
            Probing::NowAndThen => {
                !self.must_wait() && self.memory.probe_again.is_some_and(|at| self.now >= at)
            }
        }
    }

    /// What the time since the last sign of life means.
    fn silence(&self) -> Option<Event> {
        match self.life.state {
            // That it comes and goes is said already, once however often it does.
            State::PendingProbe if self.is_held() && self.life.reason == Reason::Unstable => None,
            State::Active | State::PendingProbe => {
                (self.mono_ms >= self.offline_at_mono_ms()).then_some(Event::HeartbeatLost)
            }
            State::Offline => {
                let heard = self.presence.heard_mono_ms;
                let is_back = heard.is_some_and(|heard| heard >= self.life.since_mono_ms);
                let back = match self.is_held() {
                    true => Event::Held,
                    false => Event::HeartbeatResumed,
                };
                is_back.then_some(back)
            }
            State::Registered | State::Quarantine | State::Retired => None,
        }
    }

    /// A node that an admin has just cleared gets its time to come back.
    fn offline_at_mono_ms(&self) -> i64 {
        let calm_from = self.heard_mono_ms().max(self.life.since_mono_ms);
        calm_from.saturating_add(ms(self.settings.offline_after))
    }

    /// When an open probe is given up. One that was open while this process did not hear has its time again.
    fn probe_deadline(&self, open: &OpenProbe) -> Instant {
        if open.asked_mono_ms > self.heard_since_mono_ms {
            return open.deadline;
        }
        let time = ms(self.settings.probe_timeout + GRACE);
        open.deadline
            .max(self.at(self.heard_since_mono_ms.saturating_add(time)))
    }

    /// A time of `Clock::mono_ms` that is still to come; now, where it is past.
    fn at(&self, mono_ms: i64) -> Instant {
        let wait = mono_ms.saturating_sub(self.mono_ms).max(0);
        self.now + Duration::from_millis(u64::try_from(wait).unwrap_or(0))
    }

    /// How an open probe has ended; `None` while it has its time.
    fn ended(&self, open: &OpenProbe) -> Option<Ended> {
        let is_over = self.now >= self.probe_deadline(open);
        let said = open.result.as_ref();
        let failed = |outcome, why: &str| Ended {
            event: Some(Event::ProbeFailed),
            outcome,
            message: Some(why.to_owned()),
        };
        let Some(result) = said else {
            return if self.presence.session_id != open.session_id {
                // The session that had the probe is gone: nobody is to blame.
                Some(Ended {
                    event: None,
                    outcome: "timeout",
                    message: Some("the link was cut".to_owned()),
                })
            } else {
                is_over.then(|| failed("timeout", "the node did not answer the probe"))
            };
        };
        let message = result.message.as_deref().map(cleaned);
        let (event, outcome) = match result.outcome {
            ProbeOutcome::Ok => {
                return match open.receipt {
                    Some(Ok(())) => Some(Ended {
                        event: Some(Event::ProbePassed),
                        outcome: "ok",
                        message: None,
                    }),
                    Some(Err(why)) => Some(failed("failed", why)),
                    None => is_over.then(|| failed("failed", "the probe's receipt did not come")),
                };
            }
            ProbeOutcome::Failed => (Event::ProbeFailed, "failed"),
            ProbeOutcome::Timeout => (Event::ProbeFailed, "timeout"),
            ProbeOutcome::NoRuntime => (Event::NoRuntime, "no_runtime"),
            ProbeOutcome::Refused => (Event::ProbeRefused, "refused"),
        };
        Some(Ended {
            event: Some(event),
            outcome,
            message,
        })
    }

    /// When to look at the node next, if nothing happens to it.
    pub(super) fn next(&self) -> Option<Instant> {
        let held_until = self.memory.damping.held_until();
        let offline = match (self.life.state, self.life.reason) {
            (State::PendingProbe, Reason::Unstable) => {
                Some(self.at(self.offline_at_mono_ms())).max(held_until)
            }
            (State::Active | State::PendingProbe, _) => Some(self.at(self.offline_at_mono_ms())),
            _ => None,
        };
        let late = (self.life.state == State::Active && !self.is_late()).then(|| {
            let late_after = ms(self.settings.late_after);
            self.at(self.heard_mono_ms().saturating_add(late_after))
        });
        let probe = match (self.open, probing(self.life.state, self.life.reason)) {
            (Some(open), _) => Some(self.probe_deadline(open)),
            (None, Probing::Never) => None,
            (None, Probing::Now) => self.memory.not_before.max(held_until),
            (None, Probing::NowAndThen) => self.memory.probe_again.max(self.memory.not_before),
        };
        // What is past was decided on, or waits for something to happen.
        let probe = probe.filter(|at| *at > self.now);
        [offline, late, probe].into_iter().flatten().min()
    }
}

/// A text of a node as it is stored and shown.
fn cleaned(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests;
