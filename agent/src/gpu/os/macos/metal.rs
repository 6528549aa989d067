//! Apple's, and on Intel Macs AMD's and Intel's, GPUs: what Metal says they are, what IOKit says they do.
//!
//! Metal is asked at a survey only: heartbeats read the registry's statistics, which costs no GPU its sleep. Devices
//! are copied, never created as the default one, which would switch a MacBook to its fast card. Power, temperature and
//! throttling of Apple silicon are told to root alone (`powermetrics`) or through private interfaces; they are absent,
//! and that is said.

use crate::gpu::{Backend, Card, Finding, FindingKind, Survey};
use crate::iokit::Entry;
use dgon_protocol::frame::{Gpu, GpuLoad};
use objc2::rc::autoreleasepool;
use objc2_metal::{MTLCopyAllDevices, MTLDevice as _};

const BACKEND: &str = "metal";
const MIB: f64 = 1024.0 * 1024.0;
const NOT_TOLD: &str = "macOS tells it to root alone or not at all";
const NOT_THIS: &str = "this GPU's driver does not tell it";

/// The Metal backend.
#[derive(Debug, Default)]
pub(super) struct Metal {
    /// Registry ids of the devices of the last look, by index.
    known: Vec<u64>,
}

/// What Metal says of a device.
struct Device {
    id: u64,
    name: String,
    working_set_mib: u64,
    unified: bool,
    low_power: bool,
    removable: bool,
}

impl Backend for Metal {
    fn survey(&mut self) -> Survey {
        let devices = devices();
        if devices.is_empty() {
            let why = "macOS gives this process no Metal device; models run on the CPU";
            return Survey::of_finding(Finding::of_machine(FindingKind::Unsupported, why));
        }
        self.known = devices.iter().map(|device| device.id).collect();
        let system = sysinfo::System::os_version().ok();
        Survey {
            cards: (0..)
                .zip(&devices)
                .map(|(index, device)| card(index, device, system.as_deref()))
                .collect(),
            findings: Vec::new(),
        }
    }

    fn loads(&mut self) -> Vec<GpuLoad> {
        if self.known.is_empty() {
            self.survey();
        }
        (0..)
            .zip(&self.known)
            .map(|(index, id)| load(index, *id))
            .collect()
    }
}

fn devices() -> Vec<Device> {
    autoreleasepool(|_| {
        let all = MTLCopyAllDevices();
        all.iter()
            .map(|device| Device {
                id: device.registryID(),
                name: device.name().to_string(),
                working_set_mib: device.recommendedMaxWorkingSetSize() / (1024 * 1024),
                unified: device.hasUnifiedMemory(),
                low_power: device.isLowPower(),
                removable: device.isRemovable(),
            })
            .collect()
    })
}

fn card(index: u32, device: &Device, system: Option<&str>) -> Card {
    let kind = match (device.removable, device.low_power, device.unified) {
        (true, _, _) => " (external)",
        (_, true, _) => " (low power)",
        // Apple silicon shares its memory: what counts as the GPU's is the working set.
        _ => "",
    };
    let mut card = Card {
        gpu: Gpu {
            index,
            name: format!("{}{kind}", device.name),
            vram_mib: Some(device.working_set_mib).filter(|mib| *mib > 0),
            unified_memory: Some(device.unified),
            driver: system.map(|version| format!("macOS {version}")),
            backend: BACKEND.to_owned(),
            ..Gpu::default()
        },
        load: load(index, device.id),
        ..Card::default()
    };
    let mut missing = |is_missing: bool, field: &'static str, why: &str| {
        if is_missing {
            card.missing.insert(field, why.to_owned());
        }
    };
    missing(true, "uuid", "Metal has no id that outlives a restart");
    missing(card.load.util_pct.is_none(), "util_pct", NOT_THIS);
    missing(card.load.vram_used_mib.is_none(), "vram_used_mib", NOT_THIS);
    missing(card.load.temp_c.is_none(), "temp_c", NOT_TOLD);
    missing(card.load.power_w.is_none(), "power_w", NOT_TOLD);
    for field in ["throttle", "ecc_uncorrected", "faults", "processes"] {
        missing(true, field, NOT_TOLD);
    }
    card
}

/// The driver's statistics. Apple's driver counts the system memory in use, AMD's its own; AMD's also tells heat and
/// power.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "percents, degrees, watts and sizes of memory; a negative one becomes 0"
)]
fn load(index: u32, id: u64) -> GpuLoad {
    let statistics = Entry::of_id(id).and_then(|entry| entry.numbers("PerformanceStatistics"));
    let number = |key: &str| statistics.as_ref()?.get(key);
    let used = number("In use system memory").or_else(|| number("vramUsedBytes"));
    GpuLoad {
        index,
        util_pct: number("Device Utilization %").map(|percent| percent as f32),
        vram_used_mib: used.map(|bytes| (bytes / MIB) as u64),
        temp_c: number("Temperature(C)").map(|celsius| celsius as f32),
        power_w: number("Total Power(W)").map(|watt| watt as f32),
        ..GpuLoad::default()
    }
}
