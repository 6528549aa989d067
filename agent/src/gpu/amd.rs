//! AMD cards through the amdgpu driver's files in sysfs; no library is needed.
//!
//! Reading most of a card's files wakes it, so of a suspended card only files of the kernel's PCI core are read; the
//! rest is what was known of it before. sysfs tells neither throttling nor who holds memory, and that is said.
//!
//! A processor's own GPU (APU) has a small part of the machine's memory set aside, and takes the rest from the
//! machine's memory through a table (GTT): what it has is both together, and is said to be unified.

use super::bus::{self, Bus, PciCard};
use super::card::Card;
use super::findings::{Finding, FindingKind, Severity};
use super::{Backend, Survey, plausible};
use dgon_protocol::frame::{Gpu, GpuLoad};
use std::fs;
use std::path::{Path, PathBuf};

const BACKEND: &str = "amdgpu";
const VENDOR: &str = "1002";
const MIB: u64 = 1024 * 1024;

/// The sysfs backend.
pub struct Amd {
    bus: Bus,
    known: Vec<Card>,
    /// Addresses of the cards of the last survey.
    driven: Vec<String>,
}

/// Whose memory a card's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// The card's own.
    Dedicated,
    /// The machine's.
    Unified,
    /// The driver does not say.
    Unknown,
}

/// One card's folder.
struct Folder {
    device: PathBuf,
    pci: PciCard,
}

impl Amd {
    /// Reads the cards of this bus.
    pub fn new(bus: Bus) -> Self {
        Self {
            bus,
            known: Vec::new(),
            driven: Vec::new(),
        }
    }

    /// The folders of the cards that the driver runs, in the order of the system's numbers.
    fn folders(&self) -> Vec<Folder> {
        let Ok(entries) = fs::read_dir(self.bus.root().join("class/drm")) else {
            return Vec::new();
        };
        let number = |name: &str| name.strip_prefix("card")?.parse::<u32>().ok();
        let mut folders: Vec<(u32, Folder)> = entries
            .flatten()
            .filter_map(|entry| {
                let number = number(entry.file_name().to_str()?)?;
                Some((number, folder(entry.path().join("device"))?))
            })
            .collect();
        folders.sort_by_key(|(number, _)| *number);
        folders.into_iter().map(|(_, folder)| folder).collect()
    }

    fn card(&self, index: u32, folder: &Folder) -> Card {
        let known = self.known.iter().find(|card| is_at(card, folder));
        if folder.pci.asleep {
            return asleep(index, folder, known, &self.bus);
        }
        let attribute =
            |name: &str| bus::attribute(&folder.device.join(name)).filter(|text| !text.is_empty());
        let memory = Memory::of(&folder.device);
        let gpu = Gpu {
            index,
            name: known.map_or_else(
                || attribute("product_name").unwrap_or_else(|| name_of(folder, &self.bus)),
                |card| card.gpu.name.clone(),
            ),
            // As AMD's own tools write it.
            uuid: attribute("unique_id").map(|id| format!("GPU-{id}")),
            vram_mib: memory.total_mib(&folder.device),
            unified_memory: memory.is_unified(),
            driver: bus::attribute(&self.bus.root().join("module/amdgpu/version")),
            pci: Some(folder.pci.address.clone()),
            backend: BACKEND.to_owned(),
            ..Gpu::default()
        };
        let mut card = Card {
            load: load(index, &folder.device, memory),
            ecc_uncorrected: ecc_uncorrected(&folder.device),
            gpu,
            ..Card::default()
        };
        name_missing(&mut card);
        card
    }
}

impl Backend for Amd {
    fn survey(&mut self) -> Survey {
        let folders = self.folders();
        self.driven = folders
            .iter()
            .map(|folder| folder.pci.address.clone())
            .collect();
        let cards: Vec<Card> = (0..)
            .zip(&folders)
            .map(|(index, folder)| self.card(index, folder))
            .collect();
        let is_gone = |card: &Card| !folders.iter().any(|folder| is_at(card, folder));
        let gone: Vec<Card> = self.known.drain(..).filter(is_gone).collect();
        let lost = |card: &Card| {
            let message = format!(
                "the AMD card {} is gone from the bus: work on it fails",
                card.gpu.name
            );
            let fix = "sudo dmesg | grep -i amdgpu | tail; sudo reboot";
            finding(FindingKind::CardLost, Severity::Fail, message, fix)
        };
        let mut findings: Vec<Finding> = gone.iter().map(lost).collect();
        let is_driven = |pci: &PciCard| {
            folders
                .iter()
                .any(|folder| folder.pci.address == pci.address)
        };
        let idle = self
            .bus
            .cards(VENDOR)
            .into_iter()
            .find(|pci| !is_driven(pci));
        if let Some(pci) = idle.filter(|_| findings.is_empty()) {
            let message = format!(
                "an AMD display controller ({}) is in this machine, and the amdgpu driver does not run it",
                pci.id
            );
            let kind = FindingKind::DriverNotLoaded;
            findings.push(finding(
                kind,
                Severity::Info,
                message,
                "sudo modprobe amdgpu",
            ));
        }
        // A card that is gone stays known, so that the next look tells of it too.
        self.known = cards.iter().cloned().chain(gone).collect();
        Survey { cards, findings }
    }

    fn loads(&mut self) -> Vec<GpuLoad> {
        (0..)
            .zip(self.folders())
            .map(|(index, folder)| {
                if folder.pci.asleep {
                    let asleep = Some(true);
                    return GpuLoad {
                        index,
                        asleep,
                        ..GpuLoad::default()
                    };
                }
                // What a card is does not change; one that is new is told by the survey that follows.
                let known = self.known.iter().find(|card| is_at(card, &folder));
                let memory = known.map_or_else(
                    || Memory::of(&folder.device),
                    |card| Memory::known(card.gpu.unified_memory),
                );
                load(index, &folder.device, memory)
            })
            .collect()
    }

    /// A driver that was loaded late, or a card that came or went.
    fn wants_survey(&mut self) -> bool {
        let is_new = |folder: &Folder| !self.driven.contains(&folder.pci.address);
        let folders = self.folders();
        folders.len() != self.driven.len() || folders.iter().any(is_new)
    }
}

/// A card of another driver or vendor is none of ours.
fn folder(device: PathBuf) -> Option<Folder> {
    let events = bus::attribute(&device.join("uevent"))?;
    let value = |key: &str| {
        let line = events
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(str::to_ascii_lowercase)
    };
    let is_ours = value("DRIVER")? == BACKEND && value("PCI_ID")?.starts_with(VENDOR);
    is_ours.then_some(())?;
    let pci = PciCard {
        address: value("PCI_SLOT_NAME")?,
        id: value("PCI_ID")?,
        asleep: bus::is_suspended(&device),
    };
    Some(Folder { device, pci })
}

impl Memory {
    /// As the driver shows it. It shows the voltage of the northbridge (`vddnb`) and a limit of the package's heat for
    /// APUs alone, and its table of measurements has another format for them (2 and 3) than for cards (1).
    fn of(device: &Path) -> Self {
        let has_northbridge = sensors(device)
            .and_then(|sensors| bus::attribute(&sensors.join("in1_label")))
            .is_some_and(|label| label == "vddnb");
        if has_northbridge || device.join("apu_thermal_cap").exists() {
            return Self::Unified;
        }
        let table = crate::files::read_small(&device.join("gpu_metrics"), 64 << 10);
        // Two bytes of size, then the format.
        match table.ok().as_deref() {
            Some([_, _, 1, ..]) => Self::Dedicated,
            Some([_, _, 2 | 3, ..]) => Self::Unified,
            Some(_) | None => Self::Unknown,
        }
    }

    /// As it was told before.
    fn known(is_unified: Option<bool>) -> Self {
        match is_unified {
            Some(true) => Self::Unified,
            Some(false) => Self::Dedicated,
            None => Self::Unknown,
        }
    }

    fn is_unified(self) -> Option<bool> {
        match self {
            Self::Unified => Some(true),
            Self::Dedicated => Some(false),
            Self::Unknown => None,
        }
    }

    fn total_mib(self, device: &Path) -> Option<u64> {
        let bytes = |name: &str| plausible::total_bytes(number(&device.join(name))?);
        let own = bytes("mem_info_vram_total");
        match self {
            // The part that was set aside may be none; the table alone says how much can be taken.
            Self::Unified => Some((bytes("mem_info_gtt_total")? + own.unwrap_or(0)) / MIB),
            Self::Dedicated | Self::Unknown => own.map(|bytes| bytes / MIB),
        }
    }

    fn used_mib(self, device: &Path) -> Option<u64> {
        let bytes = |name: &str| plausible::used_bytes(number(&device.join(name))?, None);
        let own = bytes("mem_info_vram_used");
        match self {
            Self::Unified => Some((bytes("mem_info_gtt_used")? + own.unwrap_or(0)) / MIB),
            Self::Dedicated | Self::Unknown => own.map(|bytes| bytes / MIB),
        }
    }
}

fn is_at(card: &Card, folder: &Folder) -> bool {
    card.gpu.pci.as_ref() == Some(&folder.pci.address)
}

fn name_of(folder: &Folder, bus: &Bus) -> String {
    let id = &folder.pci.id;
    bus.name_of(id).map_or_else(
        || format!("AMD GPU (PCI id {id})"),
        |name| format!("AMD {name}"),
    )
}

fn asleep(index: u32, folder: &Folder, known: Option<&Card>, bus: &Bus) -> Card {
    let gpu = known.map_or_else(
        || Gpu {
            name: name_of(folder, bus),
            pci: Some(folder.pci.address.clone()),
            backend: BACKEND.to_owned(),
            ..Gpu::default()
        },
        |card| card.gpu.clone(),
    );
    let mut card = Card {
        gpu: Gpu { index, ..gpu },
        load: GpuLoad {
            index,
            asleep: Some(true),
            ..GpuLoad::default()
        },
        asleep: true,
        ..Card::default()
    };
    let why = "the card is asleep, and asking it would wake it".to_owned();
    card.missing.insert("load", why);
    card
}

#[expect(
    clippy::cast_precision_loss,
    reason = "percents, millidegrees and microwatts of a card are far below 2^52, and are shown rounded"
)]
fn load(index: u32, device: &Path, memory: Memory) -> GpuLoad {
    let sensors = sensors(device);
    let sensor = |name: &str| number(&sensors.as_ref()?.join(name));
    let scaled = |value: Option<u64>, by: f64| value.map(|value| (value as f64 / by) as f32);
    GpuLoad {
        index,
        util_pct: scaled(number(&device.join("gpu_busy_percent")), 1.0)
            .and_then(plausible::percent),
        vram_used_mib: memory.used_mib(device),
        temp_c: scaled(sensor("temp1_input"), 1e3).and_then(plausible::celsius),
        // Cards tell an average or, newer ones, what they take now.
        power_w: scaled(
            sensor("power1_average").or_else(|| sensor("power1_input")),
            1e6,
        )
        .and_then(plausible::watts),
        ..GpuLoad::default()
    }
}

/// The folder of the card's sensors.
fn sensors(device: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(device.join("hwmon")).ok()?;
    let folders = entries.flatten().map(|entry| entry.path());
    folders.min()
}

/// Memory errors of the card's memory controller: `ue: 0` and `ce: 0`.
fn ecc_uncorrected(device: &Path) -> Option<u64> {
    let counts = bus::attribute(&device.join("ras/umc_err_count"))?;
    counts
        .lines()
        .find_map(|line| line.strip_prefix("ue:")?.trim().parse().ok())
        .and_then(plausible::count)
}

fn number(path: &Path) -> Option<u64> {
    bus::attribute(path)?.parse().ok()
}

/// What the card does not tell, and why.
fn name_missing(card: &mut Card) {
    let mut missing = |is_missing: bool, field: &'static str, why: &str| {
        if is_missing {
            card.missing.insert(field, why.to_owned());
        }
    };
    let silent = "the driver does not tell it of this card";
    missing(card.gpu.uuid.is_none(), "uuid", silent);
    missing(card.gpu.vram_mib.is_none(), "vram_mib", silent);
    missing(
        card.gpu.driver.is_none(),
        "driver",
        "the driver is the kernel's own and has no version",
    );
    missing(card.load.util_pct.is_none(), "util_pct", silent);
    missing(card.load.vram_used_mib.is_none(), "vram_used_mib", silent);
    missing(card.load.temp_c.is_none(), "temp_c", silent);
    missing(card.load.power_w.is_none(), "power_w", silent);
    missing(card.ecc_uncorrected.is_none(), "ecc_uncorrected", silent);
    let not_in_sysfs = "sysfs does not tell it";
    for field in ["throttle", "faults", "processes"] {
        missing(true, field, not_in_sysfs);
    }
}

fn finding(kind: FindingKind, severity: Severity, message: String, fix: &'static str) -> Finding {
    Finding {
        kind,
        severity,
        gpu: None,
        message,
        fix: Some(fix),
    }
}
