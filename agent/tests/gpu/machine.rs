//! Machines that the stand-in library plays.

use dgon_agent::gpu::{Backend, Bus, Detector, Nvml};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The stand-in, which cargo builds beside this test as a dependency.
pub(crate) fn library() -> PathBuf {
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

pub(crate) fn card(index: u32) -> Value {
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

pub(crate) fn machine(cards: Vec<Value>) -> Value {
    json!({"driver": "550.54.15", "cuda": 12040, "cards": cards})
}

/// A card split into two instances, with one place empty.
pub(crate) fn split() -> Value {
    let mut card = card(0);
    let part = |uuid: &str, profile: &str, memory_total: u64| json!({"uuid": uuid, "profile": profile, "memory_total": memory_total});
    card["mig"] = json!({
        "enabled": true,
        "pending": true,
        "instances": [
            part("MIG-1", "3g.71gb", 74_000_000_000),
            null,
            part("MIG-2", "1g.18gb", 18_000_000_000),
        ],
    });
    card["unsupported"] = json!(["util_pct"]);
    card
}

/// The GPU of a DGX Spark, as its driver tells it: of the memory nothing.
pub(crate) fn gb10() -> Value {
    let mut card = card(0);
    card["name"] = "NVIDIA GB10".into();
    card["pci"] = "0000000F:01:00.0".into();
    card["unsupported"] = json!(["memory", "ecc_uncorrected", "energy_mj"]);
    card
}

/// The GPU of a Jetson, which has no place on a PCI bus.
pub(crate) fn jetson() -> Value {
    let mut card = card(0);
    card["name"] = "Orin (nvgpu)".into();
    card["unsupported"] = json!([
        "memory",
        "uuid",
        "pci",
        "util_pct",
        "temp_c",
        "power_mw",
        "throttle",
        "ecc_uncorrected",
        "processes",
        "events"
    ]);
    card
}

/// A machine of its own in this process: a copy of the library, its file, and a bus.
pub(crate) struct Played {
    dir: tempfile::TempDir,
}

impl Played {
    pub(crate) fn new(machine: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // A copy is another library to the loader, so that each test has its own.
        fs::copy(library(), dir.path().join("libnvidia-ml.so.1")).unwrap();
        let played = Self { dir };
        played.becomes(machine);
        played
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn becomes(&self, machine: &Value) {
        let fresh = self.path().join("machine.new");
        fs::write(&fresh, machine.to_string()).unwrap();
        fs::rename(fresh, self.path().join("machine.json")).unwrap();
    }

    pub(crate) fn backend(&self) -> Box<dyn Backend> {
        Box::new(self.nvml())
    }

    pub(crate) fn nvml(&self) -> Nvml {
        let library = self.path().join("libnvidia-ml.so.1").into_os_string();
        Nvml::new(Some(library), Bus::recorded(self.path()))
    }

    /// How often this process has the library open.
    pub(crate) fn sessions(&self) -> u32 {
        let file = self.path().join(format!("sessions/{}", std::process::id()));
        fs::read_to_string(file).map_or(0, |count| count.parse().unwrap())
    }

    pub(crate) fn detector(&self) -> Detector {
        Detector::of(vec![self.backend()])
    }

    /// Puts an NVIDIA card on the bus, with the kernel's word on its sleep.
    pub(crate) fn on_bus(&self, index: u32, runtime_status: &str) {
        let device = self
            .path()
            .join(format!("bus/pci/devices/0000:{index:02x}:00.0"));
        fs::create_dir_all(device.join("power")).unwrap();
        for (file, text) in [
            ("vendor", "0x10de\n"),
            ("device", "0x2684\n"),
            ("class", "0x030000\n"),
            ("power/runtime_status", runtime_status),
        ] {
            fs::write(device.join(file), text).unwrap();
        }
    }

    /// Whether the driver was asked for the card, which wakes it.
    pub(crate) fn was_asked(&self, index: u32) -> bool {
        self.path().join(format!("asked-{index}")).exists()
    }

    pub(crate) fn forget_asked(&self) {
        for index in 0..8 {
            drop(fs::remove_file(self.path().join(format!("asked-{index}"))));
        }
    }
}
