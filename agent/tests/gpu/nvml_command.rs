//! `gpus` on machines that the stand-in library plays.

use crate::machine::{card, library, machine, split};
use crate::support::{self, agent, stdout};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

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
    let card = &said["cards"][0];
    assert_eq!(
        card["gpu"],
        json!({
            "index": 0, "name": "NVIDIA H200", "uuid": "GPU-00000000", "vram_mib": 143_771,
            "unified_memory": false,
            "driver": "550.54.15", "cuda": "12.4", "pci": "00000000:00:00.0", "backend": "nvml",
        })
    );
    assert_eq!(
        card["load"],
        json!({
            "index": 0, "util_pct": 37.0, "vram_used_mib": 1024, "temp_c": 54.0, "power_w": 312.5,
            "throttle": [], "runtime_vram_mib": 0,
        })
    );
    assert_eq!(
        (&card["asleep"], &card["throttle"]),
        (&json!(false), &json!([]))
    );
    assert_eq!(
        (&card["ecc_uncorrected"], &card["mig"]),
        (&json!(0), &json!(null))
    );
    assert_eq!(card["processes"], json!([]));
    let missing = card["missing"].as_object().unwrap();
    // Faults are in the kernel's log, which not every user may read.
    assert!(missing.keys().all(|field| field == "faults"), "{missing:?}");
    assert_eq!(card["faults"].is_null(), missing.contains_key("faults"));
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
        "pci",
        "processes"
    ]);
    let said = survey(&machine(vec![bare]));
    let card = &said["cards"][0];
    assert_eq!(
        card["gpu"],
        json!({"index": 0, "name": "NVIDIA H200", "driver": "550.54.15", "cuda": "12.4", "backend": "nvml"})
    );
    assert_eq!(card["load"], json!({"index": 0}));
    assert_eq!(
        (&card["throttle"], &card["ecc_uncorrected"]),
        (&Value::Null, &Value::Null)
    );
    for field in [
        "uuid",
        "vram_mib",
        "util_pct",
        "temp_c",
        "power_w",
        "throttle",
        "ecc_uncorrected",
        "pci",
        "processes",
    ] {
        assert_eq!(
            card["missing"][field], "this card or its driver does not tell",
            "{field}"
        );
    }
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
fn heat_throttling_and_memory_errors_are_findings() {
    let mut hot = card(0);
    // Idle (1) is no loss; power cap (4) and thermal slowdown (0x20) are.
    hot["throttle"] = json!(0x25);
    hot["ecc_uncorrected"] = json!(3);
    hot["temp_c"] = json!(93);
    let said = survey(&machine(vec![card(1), hot]));
    let told = &said["cards"][1];
    assert_eq!(told["throttle"], json!(["power_cap", "thermal"]));
    assert_eq!(told["load"]["throttle"], told["throttle"]);
    assert_eq!(told["ecc_uncorrected"], 3);
    assert_eq!(
        findings(&said),
        [
            ("hot", "warn"),
            ("throttled", "warn"),
            ("memory_errors", "fail")
        ]
    );
    for finding in said["findings"].as_array().unwrap() {
        assert_eq!(finding["gpu"], 1);
        assert!(finding["fix"].is_string());
    }
}

#[test]
fn the_parts_of_a_split_card_are_listed() {
    let said = survey(&machine(vec![split()]));
    let card = &said["cards"][0];
    assert_eq!(card["mig"], json!({"enabled": true, "pending": true}));
    assert_eq!(
        card["gpu"]["mig"],
        json!([
            {"uuid": "MIG-1", "profile": "3g.71gb", "vram_mib": 70_571},
            {"uuid": "MIG-2", "profile": "1g.18gb", "vram_mib": 17_166},
        ])
    );
    assert_eq!(card["load"]["util_pct"], Value::Null);
}

/// A program that is named like a runtime and waits.
#[cfg(target_os = "linux")]
fn runtime_process(dir: &Path, name: &str) -> std::process::Child {
    let program = dir.join(name);
    std::fs::copy("/bin/cat", &program).unwrap();
    Command::new(program)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_told_by_the_runtime_that_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut runtime = runtime_process(dir.path(), "llama-server");
    let mut busy = card(0);
    busy["processes"] = json!([
        {"pid": runtime.id(), "memory_used": 5_368_709_120_u64},
        {"pid": std::process::id(), "memory_used": 1_048_576},
    ]);
    let played = machine(vec![busy]);
    let output = gpus(dir.path(), &played, &["--json"]).output().unwrap();
    let said = support::json(&output);
    let card = &said["cards"][0];
    let mut processes = card["processes"].as_array().unwrap().clone();
    processes.sort_by_key(|process| process["vram_mib"].as_u64());
    let own = &processes[0];
    assert_eq!(
        (&own["runtime"], &own["vram_mib"]),
        (&Value::Null, &json!(1))
    );
    assert_eq!(
        processes[1],
        json!({"pid": runtime.id(), "name": "llama-server", "runtime": "llama.cpp", "vram_mib": 5120})
    );
    assert_eq!(card["load"]["runtime_vram_mib"], 5120);
    let text = stdout(&gpus(dir.path(), &played, &[]).output().unwrap());
    assert!(
        text.contains("llama-server (llama.cpp), 5120 MiB"),
        "{text}"
    );
    runtime.kill().unwrap();
    runtime.wait().unwrap();
}

#[test]
fn a_driver_that_hangs_is_given_up_and_named() {
    let mut stuck = machine(vec![card(0)]);
    stuck["cards"][0]["answer"] = "hang".into();
    let said = survey(&stuck);
    assert_eq!(findings(&said), [("hangs", "fail")]);
    assert_eq!(said["cards"], json!([]));
}

#[test]
fn a_card_that_must_be_reset_says_so() {
    let mut locked = card(0);
    locked["answer"] = "reset_required".into();
    assert_eq!(
        findings(&survey(&machine(vec![locked]))),
        [("reset_required", "fail")]
    );
}

#[test]
fn people_read_a_table_or_what_serves_instead() {
    let dir = tempfile::tempdir().unwrap();
    let mut second = split();
    second["pci"] = "00000000:AF:00.0".into();
    let played = machine(vec![card(0), second]);
    let text = stdout(&gpus(dir.path(), &played, &[]).output().unwrap());
    // Columns are as wide on a screen; bytes are not.
    let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
    let head: String = lines[0].iter().collect();
    let cell = |row: usize, column: &str| {
        let from = head.find(column).unwrap();
        lines[row][from..].iter().collect::<String>()
    };
    assert!(cell(1, "MEMORY").starts_with("140 GiB"), "{text}");
    assert!(cell(1, "POWER").starts_with("312 W"), "{text}");
    assert!(cell(2, "LOAD").starts_with("- "), "{text}");
    assert!(
        text.contains("\nGPU 1: MIG 3g.71gb, 69 GiB, MIG-1\n"),
        "{text}"
    );
    assert!(
        text.contains("\nGPU 1: no util_pct: this card or its driver does not tell\n"),
        "{text}"
    );
    let text = stdout(&gpus(dir.path(), &machine(vec![]), &[]).output().unwrap());
    assert!(text.contains("no GPU; CPU"), "{text}");
}
