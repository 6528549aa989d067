//! Every step fails once done, once half done, once not done; then random histories against the oracle.

use crate::fault_disk::Effect;
use crate::model::{KEY, Model, small};
use dgon_agent::spool::{AppendError, OpenError, Spool};
use dgon_agent_core::spool::segment::{HEADER_BYTES, file_name};
use proptest::prelude::*;

/// A life that rotates, acknowledges, saves, trims and restarts. Errors are part of it.
fn live(model: &mut Model) {
    for round in 0..6u64 {
        for count in [1, 3, 2] {
            let _ = model.append(count);
            model.spool.repair(model.now_s);
        }
        let acked = model.spool.index().last_seq().saturating_sub(4);
        model.spool.set_acked(acked);
        let _ = model.spool.save_acked();
        let _ = model.spool.trim(model.now_s);
        model.now_s += 100;
        if round == 3 {
            model.reopen();
        }
    }
}

fn undisturbed_steps() -> u64 {
    let mut model = Model::new();
    live(&mut model);
    model.check();
    assert!(model.spool.index().oldest_seq() > 1, "the life must trim");
    model.disk.steps()
}

#[test]
fn any_failing_step_loses_nothing_and_doubles_nothing() {
    for step in 0..undisturbed_steps() {
        for effect in Effect::ALL {
            let mut model = Model::new();
            model.disk.fail_at(step, effect);
            live(&mut model);
            model.check();
            model.recovers();
            model.reopen();
        }
    }
}

#[test]
fn any_failing_step_with_a_power_failure_after_it_loses_nothing() {
    for step in 0..undisturbed_steps() {
        for effect in Effect::ALL {
            for reached in 0..3 {
                let mut model = Model::new();
                model.disk.fail_at(step, effect);
                let mut rounds = 0;
                while model.disk.steps() <= step && rounds < 50 {
                    let _ = model.append(2);
                    let acked = model.spool.index().last_seq().saturating_sub(3);
                    model.spool.set_acked(acked);
                    let _ = model.spool.save_acked();
                    let _ = model.spool.trim(0);
                    rounds += 1;
                }
                model.disk.crash(|| reached);
                model.reopen();
                model.recovers();
            }
        }
    }
}

#[test]
fn a_disk_that_stays_broken_is_a_state_and_not_an_end() {
    let mut model = Model::new();
    model.append(3).unwrap();
    model.disk.set_broken(Some(Effect::Nothing));
    for _ in 0..3 {
        assert!(matches!(model.append(1), Err(AppendError::Disk { .. })));
        model.spool.repair(0);
        assert!(model.spool.fault().is_some());
    }
    model.reopen();
    assert!(model.spool.fault().is_some(), "reading is enough to open");
    model.recovers();
}

#[test]
fn damage_costs_the_damaged_receipt_and_its_seq_alone() {
    let mut model = Model::new();
    for _ in 0..8 {
        model.append(1).unwrap();
    }
    let last = model.spool.index().last_seq();
    let active = model.spool.index().active().unwrap().first_seq;
    assert!(
        (2..last).contains(&active),
        "one victim in each of two segments"
    );
    for victim in [1, active] {
        model.disk.flip(&file_name(victim), HEADER_BYTES + 45);
    }
    let mut spool = Spool::open(model.disk.clone(), KEY, small(), 0).unwrap();
    assert_eq!(spool.index().last_seq(), last, "no seq is used twice");
    let mut seqs = Vec::new();
    let mut from = 1;
    loop {
        let batch = spool.read(from, 3, 400).unwrap();
        let Some(end) = batch.last() else { break };
        from = end.seq + 1;
        seqs.extend(batch.iter().map(|stored| stored.seq));
    }
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    assert!(!seqs.contains(&1) && !seqs.contains(&active), "{seqs:?}");
    assert_eq!(seqs.len() as u64, last - 2, "{seqs:?}");
    assert_eq!(spool.damaged(), 2);
}

#[test]
fn a_chain_is_never_begun_again() {
    let mut model = Model::new();
    for _ in 0..4 {
        model.append(3).unwrap();
    }
    model.spool.set_acked(5);
    model.spool.save_acked().unwrap();
    let other = Spool::open(model.disk.clone(), "ffffffffffffffff", small(), 0);
    assert!(matches!(other, Err(OpenError::OtherKey { .. })));
    use dgon_agent::spool::disk::Disk as _;
    for name in model.disk.names().unwrap() {
        if name.ends_with(".seg") {
            model.disk.remove(&name).unwrap();
        }
    }
    let lost = Spool::open(model.disk.clone(), KEY, small(), 0);
    assert!(matches!(lost, Err(OpenError::ChainLost { made: 5 })));
}

#[derive(Debug, Clone)]
enum Action {
    Append(u64),
    Acknowledge(u64),
    Forget(u64),
    Save,
    Trim,
    Repair,
    Later(u64),
    FailSoon(u64, Effect),
    Break(Effect),
    Mend,
    Kill,
    Crash(Vec<u8>),
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::Nothing),
        Just(Effect::Everything),
        Just(Effect::Half)
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (1u64..5).prop_map(Action::Append),
        2 => (0u64..8).prop_map(Action::Acknowledge),
        1 => (0u64..8).prop_map(Action::Forget),
        1 => Just(Action::Save),
        2 => Just(Action::Trim),
        3 => Just(Action::Repair),
        1 => (1u64..2_000).prop_map(Action::Later),
        4 => (0u64..8, effect()).prop_map(|(steps, effect)| Action::FailSoon(steps, effect)),
        1 => effect().prop_map(Action::Break),
        2 => Just(Action::Mend),
        2 => Just(Action::Kill),
        2 => proptest::collection::vec(0u8..6, 1..9).prop_map(Action::Crash),
    ]
}

fn act(model: &mut Model, action: Action) {
    match action {
        Action::Append(count) => drop(model.append(count)),
        Action::Acknowledge(behind) => {
            let seq = model.spool.index().last_seq().saturating_sub(behind);
            let acked = model.spool.index().acked_seq().max(seq);
            model.spool.set_acked(acked);
        }
        Action::Forget(back) => {
            let seq = model.spool.index().acked_seq().saturating_sub(back);
            model.spool.set_acked(seq);
        }
        Action::Save => drop(model.spool.save_acked()),
        Action::Trim => drop(model.spool.trim(model.now_s)),
        Action::Repair => model.spool.repair(model.now_s),
        Action::Later(seconds) => model.now_s += seconds,
        Action::FailSoon(steps, effect) => model.disk.fail_at(model.disk.steps() + steps, effect),
        Action::Break(effect) => model.disk.set_broken(Some(effect)),
        Action::Mend => model.disk.set_broken(None),
        Action::Kill => model.reopen(),
        Action::Crash(choices) => {
            let mut choices = choices.into_iter().cycle();
            model.disk.crash(|| choices.next().unwrap());
            model.reopen();
        }
    }
    model.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_loses_tears_or_doubles_a_receipt(
        actions in proptest::collection::vec(action(), 1..60),
    ) {
        let mut model = Model::new();
        for action in actions {
            act(&mut model, action);
        }
        model.recovers();
        model.reopen();
    }
}

#[test]
fn what_may_still_vanish_is_never_saved_as_acknowledged() {
    let mut model = Model::new();
    for action in [
        Action::FailSoon(0, Effect::Everything),
        Action::Append(1),
        Action::Break(Effect::Nothing),
        Action::Kill,
        Action::Acknowledge(0),
        Action::Mend,
        Action::Save,
        Action::Crash(vec![0]),
    ] {
        act(&mut model, action);
    }
    assert_eq!(
        model.spool.index().last_seq(),
        0,
        "the power failure took it"
    );
    model.recovers();
}
