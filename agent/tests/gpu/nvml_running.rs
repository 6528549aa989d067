//! What a running agent sees of NVIDIA cards: cards that sleep, fall off the bus, fail, and drivers that are updated.

use crate::machine::{Played, card, gb10, jetson, library, machine};
use dgon_agent::gpu::{Detector, EnergyMeter, FindingKind, GpuAccess, Survey};
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
fn a_driver_that_was_loaded_anew_is_opened_anew() {
    let whole = machine(vec![card(0), card(1)]);
    let played = Played::new(&whole);
    let mut detector = played.detector();
    assert_eq!(detector.survey().cards.len(), 2);
    let mut anew = whole.clone();
    anew["epoch"] = 1.into();
    played.becomes(&anew);
    // Every answer is "unknown error" now; the first round finds that out, the next has opened the library again.
    assert_eq!(indexes(&mut detector), Vec::<u32>::new());
    assert!(!detector.take_news());
    assert_eq!(indexes(&mut detector), [0, 1]);
    assert!(detector.take_news(), "whoever keeps the inventory is told");
    assert_eq!(kinds(&detector.survey()), []);
    assert_eq!(played.sessions(), 1, "the old connection is shut");
}

#[test]
fn a_lost_card_that_comes_back_with_the_driver_is_found_again() {
    let whole = machine(vec![card(0), card(1)]);
    let played = Played::new(&whole);
    let mut detector = played.detector();
    detector.survey();
    let mut broken = whole.clone();
    broken["cards"][0]["answer"] = "lost".into();
    played.becomes(&broken);
    assert_eq!(indexes(&mut detector), [1]);
    // It was reset: the connection from before knows nothing of it.
    let mut mended = whole.clone();
    mended["epoch"] = 1.into();
    played.becomes(&mended);
    assert_eq!(indexes(&mut detector), [0, 1]);
    assert_eq!(kinds(&detector.survey()), []);
}

#[test]
fn a_card_that_stays_lost_does_not_have_the_driver_opened_again_and_again() {
    let mut broken = machine(vec![card(0), card(1)]);
    broken["cards"][0]["answer"] = "lost".into();
    let played = Played::new(&broken);
    let mut detector = played.detector();
    for _ in 0..20 {
        assert_eq!(indexes(&mut detector), [1]);
    }
    let opened = fs::read_to_string(played.path().join("opened")).unwrap();
    assert!(opened.len() <= 2, "opened {} times", opened.len());
}

#[test]
fn a_driver_that_comes_late_is_picked_up_by_heartbeats() {
    let played = Played::new(&machine(vec![card(0)]));
    let late = played.path().join("libnvidia-ml.so.1");
    fs::remove_file(&late).unwrap();
    let nvml = || Box::new(played.nvml().looking_again_after(Duration::ZERO));
    let mut detector = Detector::of(vec![nvml()]);
    assert_eq!(kinds(&detector.survey())[0].0, FindingKind::NoDriver);
    assert_eq!(indexes(&mut detector), Vec::<u32>::new());
    detector.take_news();
    // First the library is installed, then the driver is loaded.
    let mut unloaded = machine(vec![card(0)]);
    unloaded["init"] = "driver_not_loaded".into();
    played.becomes(&unloaded);
    fs::copy(library(), &late).unwrap();
    assert_eq!(indexes(&mut detector), Vec::<u32>::new());
    assert_eq!(kinds(&detector.survey())[0].0, FindingKind::DriverNotLoaded);
    played.becomes(&machine(vec![card(0)]));
    assert_eq!(indexes(&mut detector), [0]);
    assert!(detector.take_news(), "the inventory is to be made anew");
}

#[test]
fn a_driver_that_is_not_there_is_not_looked_for_by_every_heartbeat() {
    let played = Played::new(&machine(vec![card(0)]));
    let late = played.path().join("libnvidia-ml.so.1");
    fs::rename(&late, played.path().join("later")).unwrap();
    let mut detector = played.detector();
    detector.survey();
    fs::rename(played.path().join("later"), &late).unwrap();
    assert_eq!(indexes(&mut detector), Vec::<u32>::new());
    assert_eq!(detector.survey().cards.len(), 1);
}

#[test]
fn numbers_that_cannot_be_are_dropped_and_said() {
    let mut odd = card(0);
    odd["memory_total"] = 0.into();
    odd["memory_used"] = json!(u64::MAX);
    odd["temp_c"] = json!(u32::MAX);
    odd["power_mw"] = json!(u32::MAX);
    odd["util_pct"] = json!(u32::MAX);
    odd["ecc_uncorrected"] = json!(u64::MAX);
    odd["energy_mj"] = json!(u64::MAX);
    odd["processes"] = json!([
        {"pid": 0, "memory_used": 1_u64 << 30},
        {"pid": u32::MAX, "memory_used": 1},
        {"pid": std::process::id(), "memory_used": u64::MAX},
        {"pid": 1, "memory_used": u64::MAX - 1},
    ]);
    let played = Played::new(&machine(vec![odd]));
    let mut detector = played.detector();
    let survey = detector.survey();
    let card = &survey.cards[0];
    assert_eq!((card.gpu.vram_mib, card.load.vram_used_mib), (None, None));
    assert_eq!((card.load.temp_c, card.load.power_w), (None, None));
    assert_eq!((card.load.util_pct, card.ecc_uncorrected), (None, None));
    for field in ["vram_mib", "vram_used_mib", "temp_c", "power_w", "util_pct"] {
        assert!(card.missing[field].contains("cannot be"), "{field}");
    }
    let told: Vec<_> = card
        .processes
        .iter()
        .flatten()
        .map(|process| (process.pid, process.vram_mib))
        .collect();
    assert_eq!(told, [(1, None), (std::process::id(), None)]);
    assert_eq!(kinds(&survey), []);
    let load = &detector.loads()[0];
    assert_eq!((load.temp_c, load.vram_used_mib), (None, None));
    assert_eq!(detector.energy(), []);
}

#[test]
fn parts_without_memory_of_their_own_say_unified_and_the_machines_memory() {
    for (name, part) in [("NVIDIA GB10", gb10()), ("Orin (nvgpu)", jetson())] {
        let played = Played::new(&machine(vec![part]));
        let survey = played.detector().survey();
        let card = &survey.cards[0];
        assert_eq!(card.gpu.name, name);
        assert_eq!(card.gpu.unified_memory, Some(true));
        assert_eq!(card.gpu.vram_mib, dgon_agent::host::memory_mib());
        assert_eq!(card.load.vram_used_mib, None);
        assert!(card.missing["vram_used_mib"].contains("unified"), "{name}");
    }
    let survey = Played::new(&machine(vec![card(0)])).detector().survey();
    assert_eq!(survey.cards[0].gpu.unified_memory, Some(false));
    // A card that tells no memory and is nobody we know is not guessed at.
    let mut silent = card(0);
    silent["unsupported"] = json!(["memory"]);
    let survey = Played::new(&machine(vec![silent])).detector().survey();
    let gpu = &survey.cards[0].gpu;
    assert_eq!((gpu.unified_memory, gpu.vram_mib), (None, None));
}

#[test]
fn a_detector_lets_go_and_opens_nothing_until_it_may() {
    let played = Played::new(&machine(vec![card(0)]));
    let access = GpuAccess::default();
    let mut detector = Detector::of(vec![played.backend()]).allowed_by(access.clone());
    assert_eq!(detector.survey().cards.len(), 1);
    assert_eq!(played.sessions(), 1);
    access.release(None);
    assert_eq!(detector.loads(), []);
    assert_eq!(played.sessions(), 0, "the driver is closed");
    assert_eq!(detector.survey(), Survey::default());
    assert_eq!(detector.energy(), []);
    assert_eq!(played.sessions(), 0);
    access.resume();
    assert_eq!(indexes(&mut detector), [0]);
    assert_eq!(played.sessions(), 1);
}

#[tokio::test]
async fn the_thread_that_reads_energy_lets_go_too() {
    let mut with_counter = machine(vec![card(0)]);
    with_counter["cards"][0]["energy_mj"] = json!(7);
    let played = Played::new(&with_counter);
    let access = GpuAccess::default();
    let mut detector = Detector::of(vec![played.backend()]).allowed_by(access.clone());
    let meter = EnergyMeter::start(move || detector.energy()).unwrap();
    let patience = Duration::from_secs(60);
    assert!(meter.settle(patience).await);
    assert_eq!(played.sessions(), 1);
    access.release(None);
    assert!(meter.settle(patience).await);
    assert_eq!(played.sessions(), 0);
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
