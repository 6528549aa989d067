//! AMD cards on recorded sysfs trees.

use crate::machine::{Played, card, machine};
use dgon_agent::gpu::{Amd, Bus, Detector, FindingKind};
use std::fs;
use std::path::Path;

fn write(root: &Path, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }
}

/// A card as the amdgpu driver shows it, and on the bus.
fn amd_card(root: &Path, number: u32, address: &str) {
    let device = root.join(format!("class/drm/card{number}/device"));
    let events =
        format!("DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:744C\nPCI_SLOT_NAME={address}");
    write(
        &device,
        &[
            ("uevent", &events),
            ("power/runtime_status", "active"),
            ("unique_id", "4f3a1c2b9d8e7f60"),
            ("mem_info_vram_total", "25753026560"),
            ("mem_info_vram_used", "1073741824"),
            ("gpu_busy_percent", "63"),
            ("ras/umc_err_count", "ue: 2\nce: 40"),
            ("hwmon/hwmon3/temp1_input", "71000"),
            ("hwmon/hwmon3/power1_average", "187000000"),
        ],
    );
    let bus = root.join(format!("bus/pci/devices/{address}"));
    write(
        &bus,
        &[
            ("vendor", "0x1002"),
            ("device", "0x744c"),
            ("class", "0x030000"),
        ],
    );
}

fn detector(root: &Path) -> Detector {
    Detector::of(vec![Box::new(Amd::new(Bus::recorded(root)))])
}

#[test]
fn a_card_tells_what_sysfs_has_and_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 1, "0000:03:00.0");
    // The display engine of the processor and a connector are no cards of ours.
    write(
        dir.path(),
        &[
            (
                "class/drm/card0/device/uevent",
                "DRIVER=i915\nPCI_ID=8086:9BC5\nPCI_SLOT_NAME=0000:00:02.0",
            ),
            ("class/drm/card1-DP-1/status", "connected"),
        ],
    );
    let mut detector = detector(dir.path());
    let survey = detector.survey();
    assert_eq!((survey.cards.len(), survey.backend()), (1, "amdgpu"));
    let card = &survey.cards[0];
    assert_eq!(card.gpu.name, "AMD GPU (PCI id 1002:744c)");
    assert_eq!(card.gpu.uuid.as_deref(), Some("GPU-4f3a1c2b9d8e7f60"));
    assert_eq!(card.gpu.pci.as_deref(), Some("0000:03:00.0"));
    assert_eq!(
        (card.gpu.vram_mib, card.load.vram_used_mib),
        (Some(24_560), Some(1024))
    );
    assert_eq!(
        (card.load.util_pct, card.load.temp_c),
        (Some(63.0), Some(71.0))
    );
    assert_eq!(
        (card.load.power_w, card.ecc_uncorrected),
        (Some(187.0), Some(2))
    );
    let missing: Vec<&str> = card.missing.keys().copied().collect();
    assert_eq!(missing, ["driver", "faults", "processes", "throttle"]);
    assert_eq!(survey.all_findings()[0].kind, FindingKind::MemoryErrors);
    assert_eq!(detector.loads(), std::slice::from_ref(&card.load));
}

#[test]
fn a_card_is_named_by_itself_or_by_the_list_of_pci_devices() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 0, "0000:03:00.0");
    write(
        dir.path(),
        &[("pci.ids", "1002  AMD\n\t744c  Navi 31 [Radeon RX 7900 XTX]")],
    );
    let name = |root: &Path| detector(root).survey().cards[0].gpu.name.clone();
    assert_eq!(name(dir.path()), "AMD Radeon RX 7900 XTX");
    write(
        dir.path(),
        &[("class/drm/card0/device/product_name", "AMD INSTINCT MI210")],
    );
    assert_eq!(name(dir.path()), "AMD INSTINCT MI210");
}

#[test]
fn newer_cards_tell_power_at_once_and_sensors_may_lack() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 0, "0000:03:00.0");
    let device = dir.path().join("class/drm/card0/device");
    fs::rename(
        device.join("hwmon/hwmon3/power1_average"),
        device.join("hwmon/hwmon3/power1_input"),
    )
    .unwrap();
    fs::remove_file(device.join("hwmon/hwmon3/temp1_input")).unwrap();
    write(
        &device,
        &[
            ("gpu_busy_percent", "nonsense"),
            ("mem_info_vram_total", ""),
        ],
    );
    let survey = detector(dir.path()).survey();
    let card = &survey.cards[0];
    assert_eq!((card.load.power_w, card.load.temp_c), (Some(187.0), None));
    assert_eq!((card.load.util_pct, card.gpu.vram_mib), (None, None));
    assert!(card.missing.contains_key("temp_c") && card.missing.contains_key("vram_mib"));
}

#[cfg(unix)]
#[test]
fn a_sleeping_card_is_listed_and_its_sensors_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 0, "0000:03:00.0");
    let mut running = detector(dir.path());
    let awake = running.survey();
    let device = dir.path().join("class/drm/card0/device");
    write(&device, &[("power/runtime_status", "suspended")]);
    // Whoever opens one of these waits for ever, as nobody writes: so nobody may.
    for sensor in [
        "gpu_busy_percent",
        "mem_info_vram_used",
        "unique_id",
        "hwmon/hwmon3/temp1_input",
    ] {
        fs::remove_file(device.join(sensor)).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(device.join(sensor))
            .status();
        assert!(made.unwrap().success());
    }
    let asleep = running.survey();
    assert_eq!(asleep.cards[0].gpu, awake.cards[0].gpu);
    assert!(asleep.cards[0].asleep);
    assert_eq!(running.loads()[0].asleep, Some(true));
    // An agent that starts while it sleeps knows its place and kind.
    let fresh = detector(dir.path()).survey();
    assert_eq!(fresh.cards[0].gpu.name, "AMD GPU (PCI id 1002:744c)");
    assert_eq!(fresh.cards[0].gpu.uuid, None);
}

#[test]
fn a_card_that_is_gone_is_told_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 0, "0000:03:00.0");
    amd_card(dir.path(), 1, "0000:83:00.0");
    let mut detector = detector(dir.path());
    assert_eq!(detector.survey().cards.len(), 2);
    fs::remove_dir_all(dir.path().join("class/drm/card1")).unwrap();
    fs::remove_dir_all(dir.path().join("bus/pci/devices/0000:83:00.0")).unwrap();
    for _ in 0..2 {
        let survey = detector.survey();
        assert_eq!(survey.cards.len(), 1);
        assert_eq!(survey.findings[0].kind, FindingKind::CardLost);
    }
    amd_card(dir.path(), 1, "0000:83:00.0");
    assert_eq!(detector.survey().findings, []);
}

#[test]
fn a_card_without_its_driver_is_told() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 0, "0000:03:00.0");
    fs::remove_dir_all(dir.path().join("class")).unwrap();
    let survey = detector(dir.path()).survey();
    assert_eq!(survey.backend(), "cpu");
    assert_eq!(survey.findings[0].kind, FindingKind::DriverNotLoaded);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(detector(empty.path()).survey().findings, []);
}

#[test]
fn cards_of_two_makers_are_numbered_through() {
    let played = Played::new(&machine(vec![card(0), card(1)]));
    amd_card(played.path(), 0, "0000:83:00.0");
    let amd = Box::new(Amd::new(Bus::recorded(played.path())));
    let mut detector = Detector::of(vec![played.backend(), amd]);
    let backends: Vec<_> = detector
        .survey()
        .cards
        .iter()
        .map(|card| (card.gpu.index, card.load.index, card.gpu.backend.clone()))
        .collect();
    let of = |index, backend: &str| (index, index, backend.to_owned());
    assert_eq!(backends, [of(0, "nvml"), of(1, "nvml"), of(2, "amdgpu")]);
    let indexes: Vec<u32> = detector.loads().iter().map(|load| load.index).collect();
    assert_eq!(indexes, [0, 1, 2]);
}

/// A processor's own GPU: little memory is set aside for it, the rest comes through the table.
fn apu(root: &Path, address: &str) {
    amd_card(root, 0, address);
    let device = root.join("class/drm/card0/device");
    write(
        &device,
        &[
            ("mem_info_vram_total", "536870912"),
            ("mem_info_vram_used", "104857600"),
            ("mem_info_gtt_total", "67108864000"),
            ("mem_info_gtt_used", "34359738368"),
            ("hwmon/hwmon3/in1_label", "vddnb"),
        ],
    );
}

#[test]
fn an_apu_has_what_is_set_aside_and_what_it_may_take_and_says_unified() {
    let dir = tempfile::tempdir().unwrap();
    apu(dir.path(), "0000:c5:00.0");
    let mut detector = detector(dir.path());
    let survey = detector.survey();
    let card = &survey.cards[0];
    assert_eq!(card.gpu.unified_memory, Some(true));
    assert_eq!(card.gpu.vram_mib, Some(512 + 64_000));
    assert_eq!(card.load.vram_used_mib, Some(100 + 32_768));
    assert_eq!(detector.loads()[0].vram_used_mib, Some(100 + 32_768));
    // Without the table's size, the part that is set aside is not passed off as the whole.
    let device = dir.path().join("class/drm/card0/device");
    fs::remove_file(device.join("mem_info_gtt_total")).unwrap();
    let survey = detector.survey();
    assert_eq!(survey.cards[0].gpu.vram_mib, None);
    assert!(survey.cards[0].missing.contains_key("vram_mib"));
}

#[test]
fn a_card_is_told_from_an_apu_by_facts_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 0, "0000:03:00.0");
    let device = dir.path().join("class/drm/card0/device");
    write(&device, &[("mem_info_gtt_total", "67108864000")]);
    let kind = || {
        let gpu = detector(dir.path()).survey().cards[0].gpu.clone();
        (gpu.unified_memory, gpu.vram_mib)
    };
    assert_eq!(kind(), (None, Some(24_560)));
    let table = |format: u8| fs::write(device.join("gpu_metrics"), [0x78, 0, format, 3]).unwrap();
    table(1);
    assert_eq!(kind(), (Some(false), Some(24_560)));
    table(2);
    assert_eq!(kind(), (Some(true), Some(24_560 + 64_000)));
    table(3);
    assert_eq!(kind().0, Some(true));
}

#[test]
fn a_driver_that_is_loaded_late_is_picked_up_by_heartbeats() {
    let dir = tempfile::tempdir().unwrap();
    let mut detector = detector(dir.path());
    assert_eq!(detector.survey().cards, []);
    amd_card(dir.path(), 0, "0000:03:00.0");
    assert_eq!(detector.loads()[0].util_pct, Some(63.0));
    assert!(detector.take_news(), "the inventory is to be made anew");
    detector.loads();
    assert!(!detector.take_news());
}

#[test]
fn numbers_that_cannot_be_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    amd_card(dir.path(), 0, "0000:03:00.0");
    let device = dir.path().join("class/drm/card0/device");
    write(
        &device,
        &[
            ("mem_info_vram_total", "0"),
            ("mem_info_vram_used", "18446744073709551615"),
            ("hwmon/hwmon3/temp1_input", "4294967295"),
            ("hwmon/hwmon3/power1_average", "18446744073709551615"),
            ("gpu_busy_percent", "65535"),
        ],
    );
    let survey = detector(dir.path()).survey();
    let card = &survey.cards[0];
    assert_eq!((card.gpu.vram_mib, card.load.vram_used_mib), (None, None));
    assert_eq!((card.load.temp_c, card.load.power_w), (None, None));
    assert_eq!(card.load.util_pct, None);
}
