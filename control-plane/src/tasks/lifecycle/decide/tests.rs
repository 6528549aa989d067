//! What is due, case by case.

use super::*;
use dgon_protocol::frame::{Inventory, Model, ProbeResult, Runtime};
use dgon_protocol::id::RequestId;
use std::sync::Arc;

fn life(state: State, reason: Reason) -> NodeLife {
    NodeLife {
        state,
        reason,
        since_mono_ms: 0,
    }
}

fn presence(ready: bool) -> NodePresence {
    let model = Model {
        id: "m".to_owned(),
        digest: None,
        size_bytes: None,
        loaded: None,
    };
    let runtime = Runtime {
        kind: "vllm".to_owned(),
        version: None,
        ready,
        models: vec![model],
    };
    let mut presence = NodePresence::default();
    presence.session_id = Some("s".to_owned());
    presence.inventory = Some(Arc::new(Inventory {
        runtimes: vec![runtime],
        ..Inventory::default()
    }));
    presence.allow = vec![Permission::Probe];
    presence.heard_mono_ms = Some(1_000);
    presence
}

fn open(now: Instant, outcome: Option<ProbeOutcome>) -> OpenProbe {
    let result = outcome.map(|outcome| ProbeResult {
        probe_id: "p".to_owned(),
        request_id: None,
        outcome,
        message: None,
        model: None,
        tokens_input: 0,
        tokens_output: 0,
        ttft_ms: None,
        latency_ms: 0,
    });
    OpenProbe {
        probe_id: "p".to_owned(),
        session_id: Some("s".to_owned()),
        request_id: RequestId::parse("r").expect("id"),
        model: "m".to_owned(),
        asked_mono_ms: 1_500,
        deadline: now + Duration::from_secs(35),
        result,
        receipt: None,
    }
}

/// A case to be changed: an active node that was heard a second ago.
struct Case {
    life: NodeLife,
    presence: NodePresence,
    open: Option<OpenProbe>,
    memory: Memory,
    settings: Settings,
    now: Instant,
    mono_ms: i64,
    heard_since_mono_ms: i64,
}

impl Case {
    fn new(state: State, reason: Reason) -> Self {
        Self {
            life: life(state, reason),
            presence: presence(true),
            open: None,
            memory: Memory::default(),
            settings: Settings::default(),
            now: Instant::now(),
            mono_ms: 2_000,
            heard_since_mono_ms: 0,
        }
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            life: self.life,
            presence: &self.presence,
            open: self.open.as_ref(),
            memory: &self.memory,
            settings: &self.settings,
            now: self.now,
            mono_ms: self.mono_ms,
            heard_since_mono_ms: self.heard_since_mono_ms,
        }
    }

    fn decide(&self) -> Decision {
        self.seen().decide()
    }
}

#[test]
fn a_node_that_serves_is_left_alone_until_its_times() {
    let mut case = Case::new(State::Active, Reason::ProbePassed);
    case.memory.probe_again = Some(case.now + Duration::from_secs(900));
    assert_eq!(case.decide(), Decision::Nothing);
    // Late 30 s after it was heard, a second ago.
    assert_eq!(case.seen().next(), Some(case.now + Duration::from_secs(29)));
    case.mono_ms = 31_000;
    assert!(case.seen().is_late());
    assert_eq!(
        case.seen().next(),
        Some(case.now + Duration::from_secs(270))
    );
    case.mono_ms = 301_000;
    assert_eq!(case.decide(), Decision::Event(Event::HeartbeatLost, None));
}

#[test]
fn our_own_absence_is_not_the_nodes_silence() {
    let mut case = Case::new(State::Active, Reason::ProbePassed);
    case.presence = NodePresence::default();
    case.mono_ms = 299_999;
    assert_eq!(case.decide(), Decision::Nothing);
    case.mono_ms = 300_000;
    assert_eq!(case.decide(), Decision::Event(Event::HeartbeatLost, None));
}

#[test]
fn a_node_that_was_cleared_gets_its_time_to_come_back() {
    let mut case = Case::new(State::PendingProbe, Reason::AdminCleared);
    case.presence.session_id = None;
    case.life.since_mono_ms = 600_000;
    case.mono_ms = 899_999;
    assert_eq!(case.decide(), Decision::Nothing);
    case.mono_ms = 900_000;
    assert_eq!(case.decide(), Decision::Event(Event::HeartbeatLost, None));
}

#[test]
fn a_node_without_a_runtime_is_not_active() {
    for state in [State::Registered, State::PendingProbe, State::Active] {
        let mut case = Case::new(state, Reason::RuntimeReady);
        case.presence = presence(false);
        assert_eq!(
            case.decide(),
            Decision::Event(Event::NoRuntime, None),
            "{state:?}"
        );
        // Said once.
        case.life.reason = Reason::NoRuntime;
        let expected = match state {
            State::Active => Decision::Event(Event::NoRuntime, None),
            _ => Decision::Nothing,
        };
        assert_eq!(case.decide(), expected, "{state:?}");
    }
    // Without a link nothing is known of its runtime.
    let mut case = Case::new(State::Active, Reason::ProbePassed);
    case.presence = presence(false);
    case.presence.session_id = None;
    assert_eq!(case.decide(), Decision::Nothing);
}

#[test]
fn a_node_that_came_and_went_often_says_so_and_is_probed_when_its_time_is_over() {
    let mut case = Case::new(State::PendingProbe, Reason::NoRuntime);
    for _ in 0..20 {
        case.memory.damping.tried(case.now);
    }
    let held = |case: &Case| matches!(case.decide(), Decision::Event(Event::Held, Some(_)));
    assert!(held(&case));
    for reason in [
        Reason::HeartbeatResumed,
        Reason::RuntimeReady,
        Reason::ProbeRefused,
    ] {
        case.life.reason = reason;
        assert!(held(&case), "{reason:?}");
    }
    case.presence.allow.clear();
    assert_eq!(case.decide(), Decision::Nothing, "refused it is");
    case.presence = presence(true);
    case.life.reason = Reason::Unstable;
    assert_eq!(case.decide(), Decision::Nothing);
    case.presence = presence(false);
    assert_eq!(
        case.decide(),
        Decision::Nothing,
        "said once, however often it comes and goes"
    );
    let until = case.memory.damping.held_until().expect("held");
    case.now = until;
    assert_eq!(case.decide(), Decision::Event(Event::NoRuntime, None));
    case.presence = presence(true);
    assert_eq!(case.decide(), Decision::Probe);
}

#[test]
fn a_pending_node_is_probed_and_one_that_serves_now_and_then() {
    let mut case = Case::new(State::PendingProbe, Reason::RuntimeReady);
    assert_eq!(case.decide(), Decision::Probe);
    case.memory.not_before = Some(case.now + Duration::from_secs(1));
    assert_eq!(case.decide(), Decision::Nothing);
    assert_eq!(case.seen().next(), Some(case.now + Duration::from_secs(1)));
    case.life.reason = Reason::AdminCleared;
    assert_eq!(case.decide(), Decision::Probe, "somebody waits");

    let mut case = Case::new(State::Active, Reason::ProbePassed);
    case.memory.probe_again = Some(case.now);
    assert_eq!(case.decide(), Decision::Probe);
    case.presence.allow.clear();
    assert!(matches!(
        case.decide(),
        Decision::Event(Event::ProbeRefused, Some(_))
    ));
    let stopped = Case::new(State::Quarantine, Reason::ForkedChain);
    assert_eq!(stopped.decide(), Decision::Nothing);
}

#[test]
fn a_probe_passes_by_its_word_and_its_receipt() {
    let mut case = Case::new(State::PendingProbe, Reason::RuntimeReady);
    let ended = |case: &Case| match case.decide() {
        Decision::Ended(ended) => Some((ended.event, ended.outcome)),
        _ => None,
    };
    case.open = Some(open(case.now, None));
    assert_eq!(ended(&case), None);
    case.open = Some(open(case.now, Some(ProbeOutcome::Ok)));
    assert_eq!(ended(&case), None, "the receipt is missing");
    if let Some(open) = &mut case.open {
        open.receipt = Some(Ok(()));
    }
    assert_eq!(ended(&case), Some((Some(Event::ProbePassed), "ok")));
    if let Some(open) = &mut case.open {
        open.receipt = Some(Err("another model"));
    }
    assert_eq!(ended(&case), Some((Some(Event::ProbeFailed), "failed")));
    if let Some(open) = &mut case.open {
        (open.receipt, open.deadline) = (None, case.now);
    }
    assert_eq!(ended(&case), Some((Some(Event::ProbeFailed), "failed")));
    case.open = Some(open(case.now, Some(ProbeOutcome::Refused)));
    assert_eq!(ended(&case), Some((Some(Event::ProbeRefused), "refused")));
    // A link that is cut blames nobody.
    case.open = Some(open(case.now, None));
    for now_connected in [None, Some("another".to_owned())] {
        case.presence.session_id = now_connected;
        assert_eq!(ended(&case), Some((None, "timeout")));
    }
}

#[test]
fn a_probe_that_was_open_while_we_did_not_hear_has_its_time_again() {
    let mut case = Case::new(State::Active, Reason::ProbePassed);
    case.open = Some(open(case.now, None));
    let asked = case.now;
    // Stopped for a minute, and looked at first of all.
    (case.now, case.mono_ms) = (asked + Duration::from_secs(60), 62_000);
    case.heard_since_mono_ms = 62_000;
    assert_eq!(case.decide(), Decision::Nothing);
    let again = case.now + Duration::from_secs(35);
    assert_eq!(case.seen().next(), Some(case.now + Duration::from_secs(30)));
    case.presence.heard_mono_ms = Some(90_000);
    assert_eq!(case.seen().next(), Some(again));
    (case.now, case.mono_ms) = (again, 97_000);
    assert!(matches!(case.decide(), Decision::Ended(ended) if ended.outcome == "timeout"));
}

/// A node that says all it can, as often as it can: what it says costs rows at a bounded pace.
#[test]
fn an_hour_of_coming_and_going_is_a_few_rows() {
    let mut case = Case::new(State::Registered, Reason::Enrolled);
    let begun = case.now;
    let mut rows = 0;
    for step in 0_u64..36_000 {
        case.now = begun + Duration::from_millis(100 * step);
        case.mono_ms = 2_000 + 100 * i64::try_from(step).expect("small");
        let allow = std::mem::take(&mut case.presence.allow);
        case.presence = presence(step % 2 == 0);
        case.presence.heard_mono_ms = Some(case.mono_ms);
        if step % 5 == 0 || allow.is_empty() {
            case.presence.allow.clear();
        }
        // A runtime that has just come up is a new chance.
        (case.memory.failures, case.memory.not_before) = (0, None);
        let event = match case.decide() {
            Decision::Event(event, _) => event,
            Decision::Probe => {
                case.memory.damping.tried(case.now);
                rows += 1;
                [Event::ProbePassed, Event::ProbeFailed][usize::from(step % 3 == 0)]
            }
            Decision::Ended(_) | Decision::Nothing => continue,
        };
        let next = transition(case.life.state, case.life.reason, event);
        let next = next.expect("what is due changes something");
        (case.life.state, case.life.reason) = (next.to, next.reason);
        if is_a_try(next.reason) {
            case.memory.damping.tried(case.now);
        }
        rows += 1;
    }
    assert!(rows <= 60, "{rows}");
    assert_ne!(case.life.state, State::Active, "its runtime comes and goes");
}

/// A node that is silent for as long as it takes to be offline, comes back, and so on: every way back costs a try.
#[test]
fn a_week_of_silence_and_return_is_bounded() {
    for ready in [true, false] {
        let mut case = Case::new(State::Active, Reason::ProbePassed);
        case.memory.probe_again = Some(case.now + Duration::from_secs(86_400 * 30));
        let (begun, mut rows, mut offline) = (case.now, 0, 0);
        for second in 0_i64..7 * 86_400 {
            case.now = begun + Duration::from_secs(second.unsigned_abs());
            case.mono_ms = 2_000 + 1_000 * second;
            // Six minutes away, one here.
            let is_here = second % 420 >= 360;
            if is_here {
                case.presence = presence(ready);
                case.presence.heard_mono_ms = Some(case.mono_ms);
            } else {
                case.presence.session_id = None;
            }
            let event = match case.decide() {
                Decision::Event(event, _) => event,
                Decision::Probe => {
                    case.memory.damping.tried(case.now);
                    Event::ProbePassed
                }
                Decision::Ended(_) | Decision::Nothing => continue,
            };
            let next = transition(case.life.state, case.life.reason, event);
            let next = next.expect("what is due changes something");
            if is_a_try(next.reason) {
                case.memory.damping.tried(case.now);
            }
            (case.life.state, case.life.reason) = (next.to, next.reason);
            case.life.since_mono_ms = case.mono_ms;
            (rows, offline) = (rows + 1, offline + i32::from(next.to == State::Offline));
        }
        // There are 205 rounds a day; each would be three rows or four.
        assert!(rows <= 7 * 300, "{rows}");
        assert!(offline >= 7 * 10, "it is shown as what it is: {offline}");
    }
}

#[test]
fn a_held_node_that_falls_silent_is_looked_at_when_its_time_is_over() {
    let mut case = Case::new(State::Offline, Reason::NoHeartbeat);
    (0..20).for_each(|_| case.memory.damping.tried(case.now));
    case.presence.heard_mono_ms = Some(case.mono_ms);
    assert!(matches!(
        case.decide(),
        Decision::Event(Event::Held, Some(_))
    ));
    case.life = life(State::PendingProbe, Reason::Unstable);
    case.presence.session_id = None;
    case.mono_ms += 86_400_000;
    assert_eq!(case.decide(), Decision::Nothing);
    let until = case.memory.damping.held_until().expect("held");
    assert_eq!(case.seen().next(), Some(until));
    case.now = until;
    assert_eq!(case.decide(), Decision::Event(Event::HeartbeatLost, None));
}
