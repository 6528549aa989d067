//! Discovery through NVML: the real binary loads the stand-in library and plays machines.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{agent, stdout};

/// The stand-in, which cargo builds beside this test as a dependency.
fn library() -> PathBuf {
    let name = format!(
        "{}dgon_fake_nvml{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let test = std::env::current_exe().unwrap();
    let found = test
        .ancestors()
        .skip(1)
        .map(|dir| dir.join(&name))
        .find(|path| path.exists());
    found.unwrap()
}

fn gpus(dir: &Path, machine: &Value, arguments: &[&str]) -> Command {
    let file = dir.join("machine.json");
    std::fs::write(&file, machine.to_string()).unwrap();
    let mut command = agent(dir, &[&["gpus"], arguments].concat());
    command
        .env("DGON_NVML_LIB", library())
        .env("DGON_FAKE_NVML", file);
    command
}

fn survey(machine: &Value) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let output = gpus(dir.path(), machine, &["--json"]).output().unwrap();
    assert!(output.status.success());
    support::json(&output)
}

fn card(index: u32) -> Value {
    json!({
        "name": "NVIDIA H200",
        "uuid": format!("GPU-0000000{index}"),
        "pci": format!("00000000:{index:02X}:00.0"),
        "memory_total": 150_754_820_096_u64,
        "memory_used": 1_073_741_824_u64,
        "util_pct": 37,
        "temp_c": 54,
        "power_mw": 312_500,
    })
}

fn machine(cards: Vec<Value>) -> Value {
    json!({"driver": "550.54.15", "cuda": 12040, "cards": cards})
}

fn findings(survey: &Value) -> Vec<(&str, &str)> {
    let all = survey["findings"].as_array().unwrap();
    all.iter()
        .map(|f| (f["kind"].as_str().unwrap(), f["severity"].as_str().unwrap()))
        .collect()
}

#[test]
fn one_card_tells_everything_it_has() {
    let said = survey(&machine(vec![card(0)]));
    assert_eq!(said["backend"], "nvml");
    assert_eq!(
        said["cards"],
        json!([{
            "gpu": {
                "index": 0, "name": "NVIDIA H200", "uuid": "GPU-00000000", "vram_mib": 143_771,
                "driver": "550.54.15", "cuda": "12.4", "pci": "00000000:00:00.0", "backend": "nvml",
            },
            "load": {"index": 0, "util_pct": 37.0, "vram_used_mib": 1024, "temp_c": 54.0, "power_w": 312.5},
            "throttle": [],
            "ecc_uncorrected": 0,
        }])
    );
    assert_eq!(findings(&said), []);
}

#[test]
fn eight_cards_keep_their_order() {
    let said = survey(&machine((0..8).map(card).collect()));
    let uuids: Vec<&str> = said["cards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|card| card["gpu"]["uuid"].as_str().unwrap())
        .collect();
    assert_eq!(uuids.len(), 8);
    assert!(uuids.is_sorted());
}

#[test]
fn a_driver_without_cards_leaves_the_cpu() {
    let said = survey(&machine(vec![]));
    assert_eq!(said["backend"], "cpu");
    assert_eq!(findings(&said), [("no_card", "info")]);
    assert!(said["host"]["cores"].as_u64().unwrap() > 0);
}

#[test]
fn no_driver_is_a_finding_and_not_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = agent(dir.path(), &["gpus", "--json"])
        .env("DGON_NVML_LIB", dir.path().join("none.so"))
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = support::json(&output);
    let kind = findings(&said)[0].0;
    assert!(["no_driver", "driver_missing"].contains(&kind), "{kind}");
    assert_eq!(said["cards"], json!([]));
}

#[test]
fn a_lost_card_is_told_and_the_others_serve_on() {
    let mut lost = card(1);
    lost["answer"] = "lost".into();
    let said = survey(&machine(vec![card(0), lost, card(2)]));
    assert_eq!(findings(&said), [("card_lost", "fail")]);
    assert_eq!(said["findings"][0]["gpu"], 1);
    let indexes: Vec<_> = said["cards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["gpu"]["index"])
        .collect();
    assert_eq!(indexes, [0, 2]);
}

#[test]
fn sensors_that_a_card_lacks_are_unknown_and_not_zero() {
    let mut bare = card(0);
    bare["unsupported"] = json!([
        "uuid",
        "memory",
        "util_pct",
        "temp_c",
        "power_mw",
        "throttle",
        "ecc_uncorrected",
        "pci"
    ]);
    let said = survey(&machine(vec![bare]));
    assert_eq!(
        said["cards"],
        json!([{
            "gpu": {"index": 0, "name": "NVIDIA H200", "driver": "550.54.15", "cuda": "12.4", "backend": "nvml"},
            "load": {"index": 0},
            "throttle": null,
            "ecc_uncorrected": null,
        }])
    );
}

#[test]
fn a_driver_that_cannot_be_used_says_why() {
    for (answer, kind, severity) in [
        ("version_mismatch", "version_mismatch", "fail"),
        ("driver_not_loaded", "driver_not_loaded", "warn"),
        ("no_permission", "no_permission", "fail"),
        ("unknown", "unreadable", "warn"),
    ] {
        let mut broken = machine(vec![card(0)]);
        broken["init"] = answer.into();
        let said = survey(&broken);
        assert_eq!(findings(&said), [(kind, severity)], "{answer}");
        assert_eq!(said["cards"], json!([]));
        assert!(said["findings"][0]["fix"].is_string(), "{answer}");
    }
}

#[test]
fn throttling_and_memory_errors_are_seen() {
    let mut hot = card(0);
    // Idle (1) is no loss; power cap (4) and thermal slowdown (0x20) are.
    hot["throttle"] = json!(0x25);
    hot["ecc_uncorrected"] = json!(3);
    let said = survey(&machine(vec![hot]));
    assert_eq!(
        said["cards"][0]["throttle"],
        json!(["power_cap", "thermal"])
    );
    assert_eq!(said["cards"][0]["ecc_uncorrected"], 3);
}

#[test]
fn people_read_a_table_or_what_serves_instead() {
    let dir = tempfile::tempdir().unwrap();
    let output = gpus(dir.path(), &machine(vec![card(0)]), &[])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(
        text.contains("NVIDIA H200") && text.contains("140 GiB") && text.contains("312 W"),
        "{text}"
    );
    let output = gpus(dir.path(), &machine(vec![]), &[]).output().unwrap();
    assert!(
        stdout(&output).contains("no GPU; CPU"),
        "{}",
        stdout(&output)
    );
}
