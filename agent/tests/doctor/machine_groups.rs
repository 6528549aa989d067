//! Groups config, identity, gpu, disk and spool.

use crate::case::{Case, Mend, Scenario};
use crate::support::machine::{Machine, fill_spool, mode};
use dgon_agent::doctor::CheckId;
use dgon_agent::files;
use dgon_agent::spool::{DeadLetter, DeadLetters};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Refused;
use serde_json::{Value, json};

pub(crate) const CASES: &[Case] = &[
    (CheckId::ConfigParse, "a key that nobody knows", unknown_key),
    (CheckId::ConfigParse, "no file", no_file),
    (
        CheckId::ConfigInsecureHttp,
        "plain HTTP is allowed",
        allowed_http,
    ),
    (
        CheckId::ConfigInsecureHttp,
        "plain HTTP is needed and not allowed",
        needed_http,
    ),
    (CheckId::ConfigFileMode, "others can write it", open_file),
    (
        CheckId::ConfigStateMode,
        "others can look into it",
        open_state,
    ),
    (CheckId::ConfigListen, "anybody can use it", open_proxy),
    (
        CheckId::ConfigListen,
        "anybody can read the metrics",
        open_metrics,
    ),
    (CheckId::IdentityKey, "others can read it", open_key),
    (CheckId::IdentityKey, "it is damaged", damaged_key),
    (CheckId::IdentityKey, "it is gone", no_key),
    (CheckId::IdentitySecret, "others can read it", open_secret),
    (CheckId::IdentityNode, "another node is named", other_node),
    (CheckId::GpuDriver, "versions do not match", mismatch),
    (CheckId::GpuDriver, "it hangs", hanging_driver),
    (CheckId::GpuCard, "fell off the bus", lost_card),
    (CheckId::GpuMemory, "it tells no memory", no_memory),
    (CheckId::GpuTemperature, "it is hot", hot_card),
    (
        CheckId::GpuThrottling,
        "its clocks are held down",
        throttled_card,
    ),
    (CheckId::GpuFaults, "memory errors", ecc_errors),
    (CheckId::DiskWritable, "something is in the way", in_the_way),
    (CheckId::SpoolDepth, "it is full", full_spool),
    (CheckId::SpoolDeadLetters, "one was refused", refused),
];

fn well() -> Machine {
    Machine::enrolled("http://127.0.0.1:9")
}

#[test]
fn config_identity_gpu_disk_and_spool_are_examined_and_mended() {
    crate::case::run(CASES);
}

fn file_of(machine: &Machine) -> std::path::PathBuf {
    machine.state.path().join("agent.yaml")
}

fn unknown_key() -> Scenario {
    let machine = well();
    machine.configure("proxi: {}\n");
    let mend = |machine: &mut Machine| machine.configure("proxy: {}\n");
    Scenario::new(
        machine,
        "the nearest known key is proxy",
        Mend::Shows("line 1: unknown key proxi", Box::new(mend)),
    )
}

fn no_file() -> Scenario {
    let machine = well();
    std::fs::remove_file(file_of(&machine)).unwrap();
    // An enrolled machine gets its file back by the same command that enrolled it.
    Scenario::new(machine, "no configuration file", Mend::Run)
}

fn allowed_http() -> Scenario {
    let machine = well();
    machine.configure("control_plane: {api: 'http://192.0.2.1:9', insecure_http: true}\n");
    Scenario::new(machine, "others on the way can read", by_loopback())
}

fn needed_http() -> Scenario {
    let machine = well();
    machine.configure("control_plane: {api: 'http://192.0.2.1:9'}\n");
    Scenario::new(machine, "the agent does not start", by_loopback())
}

/// The printed command needs a control plane with a certificate.
fn by_loopback() -> Mend {
    Mend::ByHand(Box::new(|machine: &mut Machine| {
        machine.configure("control_plane: {api: 'http://127.0.0.1:9'}\n");
    }))
}

fn open_file() -> Scenario {
    let machine = well();
    mode(&file_of(&machine), 0o666);
    Scenario::new(machine, "others can change it (mode 0666)", Mend::Run)
}

fn open_state() -> Scenario {
    let machine = well();
    mode(machine.state.path(), 0o755);
    Scenario::new(machine, "mode 0755", Mend::Run)
}

fn open_key() -> Scenario {
    let machine = well();
    mode(&machine.state.key_file(), 0o644);
    Scenario::new(machine, "mode 0644", Mend::Run)
}

fn damaged_key() -> Scenario {
    let machine = well();
    files::write_private(&machine.state.key_file(), b"x").unwrap();
    Scenario::new(
        machine,
        "damaged",
        Mend::Never("a new key is enrolled with a token of the console"),
    )
}

fn no_key() -> Scenario {
    let machine = well();
    std::fs::remove_file(machine.state.key_file()).unwrap();
    Scenario::new(
        machine,
        "not enrolled",
        Mend::Never(
            "a new key is enrolled with a token of the console; tests/program/enroll.rs does it",
        ),
    )
}

fn open_secret() -> Scenario {
    let machine = well();
    mode(&machine.state.secret_file(), 0o604);
    Scenario::new(machine, "mode 0604", Mend::Run)
}

fn open_proxy() -> Scenario {
    let mut machine = well();
    machine.set("DGON_PROXY_LISTEN", "0.0.0.0:11499");
    Scenario::new(machine, "listens on 0.0.0.0:11499", Mend::Shell(Vec::new()))
}

fn open_metrics() -> Scenario {
    let machine = well();
    machine.configure("telemetry:\n  metrics_listen: \"[::]:9464\"\n");
    Scenario::new(machine, "the metrics are on [::]:9464", Mend::Run)
}

fn other_node() -> Scenario {
    let machine = well();
    machine.configure("node:\n  id: somebody-else\n");
    Scenario::new(machine, "enrolled as rig-7", Mend::Run)
}

/// A machine whose driver is played from a file.
fn played(play: &Value) -> Machine {
    let mut machine = well();
    let file = machine.dir.path().join("machine.json");
    std::fs::write(&file, play.to_string()).unwrap();
    play_from(&mut machine);
    machine
}

fn play_from(machine: &mut Machine) {
    let name = format!(
        "{}dgon_fake_nvml{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let test = std::env::current_exe().unwrap();
    let library = test
        .ancestors()
        .map(|dir| dir.join(&name))
        .find(|path| path.exists());
    let file = machine.dir.path().join("machine.json");
    machine.set("DGON_NVML_LIB", library.unwrap().display().to_string());
    machine.set("DGON_FAKE_NVML", file.display().to_string());
}

/// A card that is well but for this.
fn card(more: Value) -> Value {
    let mut card = json!({"name": "NVIDIA H200", "memory_total": 1u64 << 30, "temp_c": 40});
    for (key, value) in more.as_object().unwrap() {
        card[key] = value.clone();
    }
    json!({"driver": "1", "cards": [card]})
}

/// What the printed command does to the real machine: afterwards the card is well.
fn becomes_well() -> Mend {
    Mend::ByHand(Box::new(|machine| {
        let file = machine.dir.path().join("machine.json");
        // The pipe of a driver that hangs is none any more.
        drop(std::fs::remove_file(&file));
        let play = card(json!({"throttle": 0, "ecc_uncorrected": 0}));
        std::fs::write(file, play.to_string()).unwrap();
    }))
}

fn mismatch() -> Scenario {
    let machine = played(&json!({"init": "version_mismatch"}));
    Scenario::new(machine, "different versions", becomes_well())
}

fn hanging_driver() -> Scenario {
    let mut machine = well();
    let pipe = machine.dir.path().join("machine.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    play_from(&mut machine);
    Scenario::new(machine, "hangs", becomes_well())
}

fn lost_card() -> Scenario {
    let machine = played(&card(json!({"answer": "lost"})));
    Scenario::new(machine, "fell off the bus", becomes_well())
}

fn no_memory() -> Scenario {
    let mut play = card(json!({}));
    play["cards"][0]
        .as_object_mut()
        .unwrap()
        .remove("memory_total");
    Scenario::new(played(&play), "does not tell its memory", becomes_well())
}

fn hot_card() -> Scenario {
    let machine = played(&card(json!({"temp_c": 95})));
    Scenario::new(machine, "95 °C is hot", becomes_well())
}

fn throttled_card() -> Scenario {
    let machine = played(&card(json!({"throttle": 0x40})));
    Scenario::new(machine, "hardware_thermal", becomes_well())
}

fn ecc_errors() -> Scenario {
    let machine = played(&card(json!({"ecc_uncorrected": 2})));
    Scenario::new(machine, "memory errors", becomes_well())
}

fn in_the_way() -> Scenario {
    let machine = well();
    // A name that cannot be written, for root too.
    std::fs::create_dir_all(machine.state.path().join(".doctor/x")).unwrap();
    Scenario::new(machine, "cannot be written", Mend::Run)
}

fn full_spool() -> Scenario {
    let mut machine = well();
    fill_spool(&machine, 3);
    machine.set("DGON_SPOOL_MAX_RECEIPTS", "3");
    Scenario::new(
        machine,
        "the spool is full",
        Mend::ByHand(Box::new(|machine| {
            machine.set("DGON_SPOOL_MAX_RECEIPTS", "100")
        })),
    )
}

fn refused() -> Scenario {
    let machine = well();
    let refusal = Refused {
        request_id: None,
        kind: ErrorType::ForkedChain,
        message: "another receipt has this number".into(),
    };
    DeadLetters::in_dir(machine.state.path())
        .append(&[DeadLetter {
            refused_s: 1,
            refusal,
            seq: None,
            receipt: None,
        }])
        .unwrap();
    Scenario::new(machine, "forked_chain", Mend::Run)
}

/// Free space is the one thing that a test must make itself: a small file system of its own, in a name space of its
/// own.
#[test]
fn a_full_disk_is_found_and_room_is_noticed() {
    let machine = well();
    let mount = machine.dir.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    let script = |size: &str| {
        format!(
            "mount -t tmpfs -o size={size},mode=0700 none {0} && cp -r {1}/. {0} && chmod 700 {0} && \
             DGON_STATE_DIR={0} dgon-agent doctor --json",
            mount.display(),
            machine.state.path().display()
        )
    };
    let report = |size: &str| {
        let mut inside = std::process::Command::new("unshare");
        let plain = crate::case::shell(&machine, "");
        inside
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                &script(size),
            ])
            .env_clear()
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        crate::support::json(&inside.output().unwrap())
    };
    let free = |size: &str| crate::case::worst(&report(size), "disk.free");
    let (outcome, finding, fix) = free("32m");
    assert_eq!(outcome, "fail", "{finding}");
    assert!(finding.contains("receipts cannot be kept"), "{finding}");
    assert!(fix.unwrap().starts_with("df -h "));
    assert_eq!(free("128m").0, "warn");
    assert_eq!(free("600m").0, "ok");
}
