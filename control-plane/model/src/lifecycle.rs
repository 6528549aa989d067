//! The node lifecycle: a pure table of what follows what, and why.
//!
//! ```text
//! registered → pending_probe → active        shown as: pending (both), active, quarantine, offline
//! pending_probe –probe fails→ quarantine      quarantine for that reason –probe passes→ pending_probe
//! active –probe fails, no runtime, probe refused→ pending_probe
//! active, pending_probe –silence→ offline     offline –heartbeat→ pending_probe
//! any –violation, admin→ quarantine           quarantine –admin clears→ pending_probe
//! any –retire→ retired, for good
//! ```
//!
//! A node that broke a rule of trust is released by a person only; one whose probe failed releases itself by
//! passing. Silence never launders a quarantine.

use dgon_protocol::frame::LifecycleStatus;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the database and on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads the name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

named! {
    /// Where a node is in its life.
    State {
        /// Enrolled; nothing was asked of it yet.
        Registered = "registered",
        /// Waits for a probe to pass.
        PendingProbe = "pending_probe",
        /// Serves.
        Active = "active",
        /// Stopped; the reason says by what.
        Quarantine = "quarantine",
        /// Silent for too long.
        Offline = "offline",
        /// Gone for good; its history stays.
        Retired = "retired",
    }
}

named! {
    /// Why a node is in its state. The list is closed.
    Reason {
        /// The node was enrolled.
        Enrolled = "enrolled",
        /// The node is connected and its runtime answers: a probe is due.
        RuntimeReady = "runtime_ready",
        /// The node has no runtime with a model that takes requests.
        NoRuntime = "no_runtime",
        /// It came and went so often that it has to be steady for a while before it is probed.
        Unstable = "unstable",
        /// The owner does not allow probes, or has paused the node.
        ProbeRefused = "probe_refused",
        /// The probe passed.
        ProbePassed = "probe_passed",
        /// The probe failed.
        ProbeFailed = "probe_failed",
        /// No heartbeat for too long.
        NoHeartbeat = "no_heartbeat",
        /// Heartbeats came back.
        HeartbeatResumed = "heartbeat_resumed",
        /// A receipt with a bad signature came on the node's own session.
        InvalidSignature = "invalid_signature",
        /// A receipt re-used a request id with other bytes on the node's own session.
        ConflictingReceipt = "conflicting_receipt",
        /// Two receipts for one place in the node's chain.
        ForkedChain = "forked_chain",
        /// Reputation fell under the threshold.
        LowReputation = "low_reputation",
        /// An audit failed.
        AuditFailed = "audit_failed",
        /// Fraud is suspected.
        FraudSuspected = "fraud_suspected",
        /// A service level was broken.
        SloBreach = "slo_breach",
        /// An admin stopped the node.
        AdminQuarantine = "admin_quarantine",
        /// An admin cleared the node.
        AdminCleared = "admin_cleared",
        /// An admin retired the node.
        AdminRetired = "admin_retired",
    }
}

impl State {
    /// The status that people see; `None` for a retired node, which is not shown among the others.
    pub const fn shown(self) -> Option<LifecycleStatus> {
        match self {
            Self::Registered | Self::PendingProbe => Some(LifecycleStatus::Pending),
            Self::Active => Some(LifecycleStatus::Active),
            Self::Quarantine => Some(LifecycleStatus::Quarantine),
            Self::Offline => Some(LifecycleStatus::Offline),
            Self::Retired => None,
        }
    }
}

/// A rule of trust that a node broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A bad signature on its own session.
    InvalidSignature,
    /// A request id with other bytes.
    ConflictingReceipt,
    /// Two receipts for one place in the chain.
    ForkedChain,
    /// Reputation under the threshold.
    LowReputation,
    /// A failed audit.
    AuditFailed,
    /// Suspected fraud.
    FraudSuspected,
    /// A broken service level.
    SloBreach,
}

impl Violation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::InvalidSignature,
        Self::ConflictingReceipt,
        Self::ForkedChain,
        Self::LowReputation,
        Self::AuditFailed,
        Self::FraudSuspected,
        Self::SloBreach,
    ];

    const fn reason(self) -> Reason {
        match self {
            Self::InvalidSignature => Reason::InvalidSignature,
            Self::ConflictingReceipt => Reason::ConflictingReceipt,
            Self::ForkedChain => Reason::ForkedChain,
            Self::LowReputation => Reason::LowReputation,
            Self::AuditFailed => Reason::AuditFailed,
            Self::FraudSuspected => Reason::FraudSuspected,
            Self::SloBreach => Reason::SloBreach,
        }
    }
}

/// Something happened to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is connected and a runtime takes requests.
    RuntimeReady,
    /// It is connected and no runtime takes requests.
    NoRuntime,
    /// It is back, or could be probed again, but came and went so often that it has to wait.
    Held,
    /// It refused the probe.
    ProbeRefused,
    /// The probe passed.
    ProbePassed,
    /// The probe failed.
    ProbeFailed,
    /// Silent for too long.
    HeartbeatLost,
    /// Heard again.
    HeartbeatResumed,
    /// It broke a rule.
    Violation(Violation),
    /// An admin stops it.
    AdminQuarantine,
    /// An admin clears it.
    AdminClear,
    /// An admin retires it.
    Retire,
}

/// Where a node goes, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state after; the same as before where only the reason changes.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

/// What `event` does to a node in `state` for `reason`; `None` when nothing changes.
pub fn transition(state: State, reason: Reason, event: Event) -> Option<Transition> {
    let (to, why) = match (state, event) {
        (State::Retired, _) => return None,
        (_, Event::Retire) => (State::Retired, Reason::AdminRetired),

        (_, Event::AdminQuarantine) => (State::Quarantine, Reason::AdminQuarantine),
        // The first violation stays the reason: it is what a person has to look at.
        (State::Quarantine, Event::Violation(violation)) if reason == Reason::ProbeFailed => {
            (State::Quarantine, violation.reason())
        }
        (State::Quarantine, Event::Violation(_)) => return None,
        (_, Event::Violation(violation)) => (State::Quarantine, violation.reason()),

        (State::Quarantine, Event::AdminClear) => (State::PendingProbe, Reason::AdminCleared),
        (State::Quarantine, Event::ProbePassed) if reason == Reason::ProbeFailed => {
            (State::PendingProbe, Reason::ProbePassed)
        }
        (State::Quarantine, _) => return None,
        (_, Event::AdminClear) => return None,

        (State::Registered, Event::RuntimeReady) => (State::PendingProbe, Reason::RuntimeReady),
        (State::PendingProbe, Event::RuntimeReady)
            if matches!(
                reason,
                Reason::NoRuntime | Reason::Unstable | Reason::ProbeRefused
            ) =>
        {
            (State::PendingProbe, Reason::RuntimeReady)
        }
        (_, Event::RuntimeReady) => return None,
        (State::PendingProbe, Event::Held)
            if matches!(
                reason,
                Reason::NoRuntime
                    | Reason::ProbeRefused
                    | Reason::HeartbeatResumed
                    | Reason::RuntimeReady
            ) =>
        {
            (State::PendingProbe, Reason::Unstable)
        }
        (State::Offline, Event::Held) => (State::PendingProbe, Reason::Unstable),
        (_, Event::Held) => return None,

        (State::Registered | State::PendingProbe, Event::NoRuntime) => (state, Reason::NoRuntime),
        // It cannot serve, so it is not active; it is no fault either.
        (State::Active, Event::NoRuntime) => (State::PendingProbe, Reason::NoRuntime),
        (_, Event::NoRuntime) => return None,

        (State::Active | State::PendingProbe, Event::ProbeRefused) => {
            (State::PendingProbe, Reason::ProbeRefused)
        }
        (_, Event::ProbeRefused) => return None,
        (State::PendingProbe, Event::ProbePassed) => (State::Active, Reason::ProbePassed),
        (_, Event::ProbePassed) => return None,
        (State::PendingProbe, Event::ProbeFailed) => (State::Quarantine, Reason::ProbeFailed),
        // A node that has served gets a second chance before it is stopped.
        (State::Active, Event::ProbeFailed) => (State::PendingProbe, Reason::ProbeFailed),
        (_, Event::ProbeFailed) => return None,

        (State::Active | State::PendingProbe, Event::HeartbeatLost) => {
            (State::Offline, Reason::NoHeartbeat)
        }
        (_, Event::HeartbeatLost) => return None,
        (State::Offline, Event::HeartbeatResumed) => {
            (State::PendingProbe, Reason::HeartbeatResumed)
        }
        (_, Event::HeartbeatResumed) => return None,
    };
    ((to, why) != (state, reason)).then_some(Transition { to, reason: why })
}

/// When a node in `state` for `reason` is probed.
pub fn probing(state: State, reason: Reason) -> Probing {
    match state {
        State::PendingProbe => Probing::Now,
        State::Quarantine if reason == Reason::ProbeFailed => Probing::Now,
        State::Active => Probing::NowAndThen,
        State::Quarantine | State::Registered | State::Offline | State::Retired => Probing::Never,
    }
}

/// When a node is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probing {
    /// A probe can change nothing.
    Never,
    /// As soon as may be.
    Now,
    /// Again after a while: what it showed once need not be so for ever.
    NowAndThen,
}

#[cfg(test)]
mod tests;
