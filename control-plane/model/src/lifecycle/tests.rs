//! Every pair of state and event, and the rules that hold over all of them.

use super::*;
use State::{Active, Offline, PendingProbe, Quarantine, Registered, Retired};

fn events() -> Vec<Event> {
    let mut events = vec![
        Event::RuntimeReady,
        Event::NoRuntime,
        Event::Held,
        Event::ProbeRefused,
        Event::ProbePassed,
        Event::ProbeFailed,
        Event::HeartbeatLost,
        Event::HeartbeatResumed,
        Event::AdminQuarantine,
        Event::AdminClear,
        Event::Retire,
    ];
    events.extend(Violation::ALL.map(Event::Violation));
    events
}

/// The reason that a node in `state` usually has.
fn usual(state: State) -> Reason {
    match state {
        Registered => Reason::Enrolled,
        PendingProbe => Reason::RuntimeReady,
        Active => Reason::ProbePassed,
        Quarantine => Reason::ForkedChain,
        Offline => Reason::NoHeartbeat,
        Retired => Reason::AdminRetired,
    }
}

#[test]
fn every_pair_is_as_the_table_says() {
    let q = |reason| Some((Quarantine, reason));
    type Row = [Option<(State, Reason)>; 6];
    let table: &[(Event, Row)] = &[
        // registered, pending_probe, active, quarantine (fork), offline, retired
        (
            Event::RuntimeReady,
            [
                Some((PendingProbe, Reason::RuntimeReady)),
                None,
                None,
                None,
                None,
                None,
            ],
        ),
        (
            Event::NoRuntime,
            [
                Some((Registered, Reason::NoRuntime)),
                Some((PendingProbe, Reason::NoRuntime)),
                Some((PendingProbe, Reason::NoRuntime)),
                None,
                None,
                None,
            ],
        ),
        (
            Event::Held,
            [
                None,
                Some((PendingProbe, Reason::Unstable)),
                None,
                None,
                Some((PendingProbe, Reason::Unstable)),
                None,
            ],
        ),
        (
            Event::ProbeRefused,
            [
                None,
                Some((PendingProbe, Reason::ProbeRefused)),
                Some((PendingProbe, Reason::ProbeRefused)),
                None,
                None,
                None,
            ],
        ),
        (
            Event::ProbePassed,
            [
                None,
                Some((Active, Reason::ProbePassed)),
                None,
                None,
                None,
                None,
            ],
        ),
        (
            Event::ProbeFailed,
            [
                None,
                q(Reason::ProbeFailed),
                Some((PendingProbe, Reason::ProbeFailed)),
                None,
                None,
                None,
            ],
        ),
        (
            Event::HeartbeatLost,
            [
                None,
                Some((Offline, Reason::NoHeartbeat)),
                Some((Offline, Reason::NoHeartbeat)),
                None,
                None,
                None,
            ],
        ),
        (
            Event::HeartbeatResumed,
            [
                None,
                None,
                None,
                None,
                Some((PendingProbe, Reason::HeartbeatResumed)),
                None,
            ],
        ),
        (
            Event::Violation(Violation::InvalidSignature),
            [
                q(Reason::InvalidSignature),
                q(Reason::InvalidSignature),
                q(Reason::InvalidSignature),
                None,
                q(Reason::InvalidSignature),
                None,
            ],
        ),
        (
            Event::AdminQuarantine,
            [
                q(Reason::AdminQuarantine),
                q(Reason::AdminQuarantine),
                q(Reason::AdminQuarantine),
                q(Reason::AdminQuarantine),
                q(Reason::AdminQuarantine),
                None,
            ],
        ),
        (
            Event::AdminClear,
            [
                None,
                None,
                None,
                Some((PendingProbe, Reason::AdminCleared)),
                None,
                None,
            ],
        ),
    ];
    for (event, row) in table {
        for (state, expected) in State::ALL.iter().zip(row) {
            let got = transition(*state, usual(*state), *event).map(|t| (t.to, t.reason));
            assert_eq!(got, *expected, "{state:?} {event:?}");
        }
    }
}

#[test]
fn every_violation_quarantines_every_living_node_for_its_own_reason() {
    for violation in Violation::ALL {
        for state in [Registered, PendingProbe, Active, Offline] {
            let got =
                transition(state, usual(state), Event::Violation(violation)).expect("a change");
            assert_eq!((got.to, got.reason), (Quarantine, violation.reason()));
        }
    }
}

#[test]
fn retired_is_for_good_and_reachable_from_everywhere() {
    for state in State::ALL {
        let got = transition(*state, usual(*state), Event::Retire).map(|t| t.to);
        assert_eq!(got, (*state != Retired).then_some(Retired));
    }
    for event in events() {
        for reason in Reason::ALL {
            assert_eq!(transition(Retired, *reason, event), None);
        }
    }
}

#[test]
fn only_a_person_or_a_passed_probe_ends_a_quarantine() {
    for reason in Reason::ALL {
        for event in events() {
            let Some(next) = transition(Quarantine, *reason, event) else {
                continue;
            };
            let released = next.to != Quarantine;
            let by_person = matches!(event, Event::AdminClear | Event::Retire);
            let by_probe = event == Event::ProbePassed && *reason == Reason::ProbeFailed;
            assert_eq!(released, by_person || by_probe, "{reason:?} {event:?}");
        }
    }
}

#[test]
fn only_a_passed_probe_makes_a_node_active() {
    for state in State::ALL {
        for reason in Reason::ALL {
            for event in events() {
                let next = transition(*state, *reason, event);
                if next.is_some_and(|t| t.to == Active) {
                    assert_eq!((*state, event), (PendingProbe, Event::ProbePassed));
                }
            }
        }
    }
}

#[test]
fn a_transition_always_changes_something_and_names_read_back() {
    for state in State::ALL {
        assert_eq!(State::parse(state.as_str()), Some(*state));
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            for event in events() {
                let next = transition(*state, *reason, event);
                assert_ne!(
                    next,
                    Some(Transition {
                        to: *state,
                        reason: *reason
                    })
                );
            }
        }
    }
    assert_eq!(State::parse("gone"), None);
}

#[test]
fn a_node_that_is_held_says_so_until_it_may_try_again() {
    let held = transition(PendingProbe, Reason::NoRuntime, Event::Held).map(|t| (t.to, t.reason));
    assert_eq!(held, Some((PendingProbe, Reason::Unstable)));
    assert_eq!(
        transition(PendingProbe, Reason::Unstable, Event::Held),
        None
    );
    for (event, reason) in [
        (Event::RuntimeReady, Reason::RuntimeReady),
        (Event::NoRuntime, Reason::NoRuntime),
    ] {
        let after = transition(PendingProbe, Reason::Unstable, event).map(|t| (t.to, t.reason));
        assert_eq!(after, Some((PendingProbe, reason)));
    }
}
