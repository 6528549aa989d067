//! What a running agent sees of NVIDIA cards: cards that sleep, fall off the bus, fail, and drivers that are updated.

use crate::machine::{Played, card, machine};
use dgon_agent::gpu::{Detector, EnergyMeter, FindingKind, Survey};
use serde_json::json;
use std::fs;
use std::time::Duration;

fn kinds(survey: &Survey) -> Vec<(FindingKind, Option<u32>)> {
    let all = survey.all_findings();
    all.iter()
        .map(|finding| (finding.kind, finding.gpu))
        .collect()
}

fn indexes(detector: &mut Detector) -> Vec<u32> {
    detector.loads().iter().map(|load| load.index).collect()
}

#[test]
fn a_sleeping_card_is_listed_and_never_asked() {
    let played = Played::new(&machine(vec![card(0), card(1)]));
    played.on_bus(0, "active\n");
    played.on_bus(1, "suspended\n");
    fs::write(
        played.path().join("pci.ids"),
        "10de  NVIDIA\n\t2684  AD102 [GeForce RTX 4090]\n",
    )
    .unwrap();
    let mut detector = played.detector();
    let survey = detector.survey();
    let loads = detector.loads();
    assert_eq!(survey.cards.len(), 2);
    let asleep = &survey.cards[1];
    assert_eq!(asleep.gpu.name, "NVIDIA GeForce RTX 4090");
    assert_eq!((asleep.gpu.index, asleep.asleep), (1, true));
    assert!(asleep.missing["load"].contains("wake"));
    assert_eq!((loads[0].asleep, loads[1].asleep), (None, Some(true)));
    assert_eq!((loads[0].util_pct, loads[1].util_pct), (Some(37.0), None));
    assert!(played.was_asked(0) && !played.was_asked(1));
}

#[test]
fn a_card_that_falls_asleep_stays_known_and_is_left_alone() {
    let mut played = machine(vec![card(0), card(1)]);
    played["cards"][1]["energy_mj"] = json!(7);
    let played = Played::new(&played);
    played.on_bus(0, "active\n");
    played.on_bus(1, "active\n");
    let mut detector = played.detector();
    let awake = detector.survey();
    assert_eq!(
        (indexes(&mut detector), detector.energy().len()),
        (vec![0, 1], 2)
    );

    played.on_bus(1, "suspended\n");
    played.forget_asked();
    let asleep = detector.survey();
    assert_eq!(asleep.cards[1].gpu, awake.cards[1].gpu);
    assert_eq!(detector.loads()[1].asleep, Some(true));
    assert_eq!(detector.energy().len(), 1);
    assert!(!played.was_asked(1));

    played.on_bus(1, "active\n");
    let again = detector.survey();
    assert_eq!(again.gpus(), awake.gpus());
    assert_eq!(detector.loads()[1].asleep, None);
}

#[test]
fn a_machine_whose_only_card_sleeps_has_a_card() {
    let played = Played::new(&machine(vec![card(0)]));
    played.on_bus(0, "suspended\n");
    let survey = played.detector().survey();
    assert_eq!(kinds(&survey), []);
    assert_eq!(survey.cards[0].gpu.name, "NVIDIA GPU (PCI id 10de:2684)");
    assert!(!played.was_asked(0));
}

#[test]
fn a_card_that_falls_off_the_bus_under_way_is_told_and_the_other_serves_on() {
    let whole = machine(vec![card(0), card(1)]);
    let played = Played::new(&whole);
    let mut detector = played.detector();
    assert_eq!(kinds(&detector.survey()), []);
    assert_eq!(indexes(&mut detector), [0, 1]);

    let mut broken = whole.clone();
    broken["cards"][0]["answer"] = "lost".into();
    broken["faults"] = json!([{"card": 0, "xid": 79}]);
    played.becomes(&broken);
    assert_eq!(indexes(&mut detector), [1]);
    let survey = detector.survey();
    let lost = (FindingKind::CardLost, Some(0));
    assert_eq!(kinds(&survey), [lost, (FindingKind::Xid, Some(0))]);
    assert_eq!(survey.cards[0].gpu.uuid.as_deref(), Some("GPU-00000001"));
    // It is told at every look, until the card is back.
    assert_eq!(kinds(&detector.survey())[0], lost);
}

#[test]
fn a_fault_is_heard_of_and_stays_in_heartbeats() {
    let whole = machine(vec![card(0), card(1)]);
    let played = Played::new(&whole);
    let mut detector = played.detector();
    let first = detector.survey();
    assert_eq!(first.cards[1].faults, None);
    assert!(first.cards[1].missing.contains_key("faults"));
    assert_eq!(detector.loads()[1].xid, None);

    let mut faulty = whole.clone();
    faulty["faults"] = json!([{"card": 1, "xid": 31}, {"card": 1, "xid": 48}]);
    played.becomes(&faulty);
    let loads = detector.loads();
    assert_eq!((loads[0].xid, loads[1].xid), (None, Some(48)));
    assert_eq!(detector.loads()[1].xid, Some(48));
    let survey = detector.survey();
    let told: Vec<u64> = survey.cards[1]
        .faults
        .iter()
        .flatten()
        .map(|fault| fault.xid)
        .collect();
    assert_eq!(told, [31, 48]);
    assert_eq!(survey.cards[0].faults, Some(Vec::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn faults_from_before_the_start_are_in_the_kernels_log() {
    let played = Played::new(&machine(vec![card(0), card(1)]));
    let log = "4,7,61000000,-;NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off\n";
    fs::write(played.path().join("kmsg"), log).unwrap();
    let survey = played.detector().survey();
    assert_eq!(survey.cards[0].faults, Some(Vec::new()));
    let fault = &survey.cards[1].faults.as_ref().unwrap()[0];
    assert_eq!((fault.xid, fault.at_uptime_s), (79, Some(61)));
    assert_eq!(kinds(&survey), [(FindingKind::Xid, Some(1))]);
}

#[test]
fn an_updated_driver_is_said_and_found_again_without_a_restart() {
    let whole = machine(vec![card(0)]);
    let played = Played::new(&whole);
    let mut detector = played.detector();
    assert_eq!(detector.survey().cards.len(), 1);
    let mut updated = whole.clone();
    updated["init"] = "version_mismatch".into();
    played.becomes(&updated);
    assert_eq!(
        kinds(&detector.survey()),
        [(FindingKind::VersionMismatch, None)]
    );
    assert_eq!(indexes(&mut detector), Vec::<u32>::new());
    played.becomes(&whole);
    assert_eq!(kinds(&detector.survey()), []);
    assert_eq!(indexes(&mut detector), [0]);
}

#[test]
fn a_split_card_keeps_its_parts_in_the_inventory() {
    let played = Played::new(&machine(vec![crate::machine::split()]));
    let gpus = played.detector().survey().gpus();
    let profiles: Vec<_> = gpus[0]
        .mig
        .iter()
        .map(|part| part.profile.as_deref())
        .collect();
    assert_eq!(profiles, [Some("3g.71gb"), Some("1g.18gb")]);
}

#[tokio::test]
async fn a_request_pays_for_what_the_cards_used_while_it_ran() {
    let whole = machine(vec![card(0)]);
    let with_counter = |mj: u64| {
        let mut machine = whole.clone();
        machine["cards"][0]["energy_mj"] = json!(mj);
        machine
    };
    let played = Played::new(&with_counter(1_000_000));
    let mut detector = played.detector();
    let patience = Duration::from_secs(60);
    let meter = EnergyMeter::with_patience(move || detector.energy(), patience).unwrap();
    // The first request only has the cards looked for.
    while meter.begin().is_none() {
        tokio::task::yield_now().await;
    }
    let request = meter.begin().unwrap();
    // Its beginning is read before the counter goes on: another request's end waits for the same thread.
    assert_eq!(meter.begin().unwrap().end().await, Some(0));
    played.becomes(&with_counter(1_000_000 + 36_000));
    assert_eq!(request.end().await, Some(10));
}
