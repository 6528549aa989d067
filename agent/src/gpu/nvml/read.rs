//! Reading one card: each sensor on its own, so that one that is missing takes nothing else with it.

use super::{BACKEND, unified};
use crate::gpu::card::{Card, MigMode, Process};
use crate::gpu::{Bus, os, plausible, process};
use crate::host;
use dgon_protocol::frame::{Gpu, GpuInstance, GpuLoad};
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::collections::BTreeMap;

const MIB: u64 = 1024 * 1024;
/// Parts and processes of one card beyond these are not listed.
const INSTANCES: u32 = 16;
const PROCESSES: usize = 64;
/// Longest program name that the driver is asked for.
const NAME_BYTES: usize = 256;

/// What all cards of a machine share.
#[derive(Debug, Clone, Default)]
pub(super) struct Driver {
    pub(super) version: Option<String>,
    pub(super) cuda: Option<String>,
}

impl Driver {
    pub(super) fn of(nvml: &Nvml) -> Self {
        let cuda = nvml
            .sys_cuda_driver_version()
            .ok()
            .filter(|version| *version > 0)
            .map(|version| {
                let major = nvml_wrapper::cuda_driver_version_major(version);
                let minor = nvml_wrapper::cuda_driver_version_minor(version);
                format!("{major}.{minor}")
            });
        Self {
            version: nvml.sys_driver_version().ok(),
            cuda,
        }
    }
}

/// Takes answers and keeps why some are missing.
#[derive(Default)]
struct Answers {
    missing: BTreeMap<&'static str, String>,
    /// The card is gone or must be reset: no answer counts.
    lost: Option<NvmlError>,
    /// Questions that had an answer.
    told: u32,
    /// The driver failed without a reason. Where it had one answer at least, it is the sensor that fails.
    broken: Option<NvmlError>,
}

/// Why a reading is dropped that cannot be.
const IMPLAUSIBLE: &str = "the driver tells a number that cannot be";

impl Answers {
    fn take<T>(&mut self, field: &'static str, answer: Result<T, NvmlError>) -> Option<T> {
        match answer {
            Ok(value) => {
                self.told += 1;
                Some(value)
            }
            Err(error @ (NvmlError::GpuLost | NvmlError::ResetRequired)) => {
                self.lost = Some(error);
                None
            }
            Err(error) => {
                self.missing.insert(field, why(&error));
                if matches!(error, NvmlError::Unknown | NvmlError::Uninitialized) {
                    self.broken = Some(error);
                }
                None
            }
        }
    }

    /// The same, without readings that cannot be.
    fn take_plausible<T, U>(
        &mut self,
        field: &'static str,
        answer: Result<T, NvmlError>,
        plausible: impl FnOnce(T) -> Option<U>,
    ) -> Option<U> {
        let reading = plausible(self.take(field, answer)?);
        if reading.is_none() {
            self.missing.insert(field, IMPLAUSIBLE.to_owned());
        }
        reading
    }

    /// Why no answer counts.
    fn failure(&mut self) -> Option<NvmlError> {
        let broken = self.broken.take().filter(|_| self.told == 0);
        self.lost.take().or(broken)
    }
}

fn why(error: &NvmlError) -> String {
    match error {
        NvmlError::NotSupported => "this card or its driver does not tell".to_owned(),
        NvmlError::NoPermission => "this user may not read it".to_owned(),
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            "the driver is too old to tell".to_owned()
        }
        other => other.to_string(),
    }
}

/// Everything that a card tells. A card whose name cannot be read is lost or locked: that error says why.
pub(super) fn card(
    nvml: &Nvml,
    index: u32,
    device: &Device<'_>,
    driver: &Driver,
    bus: &Bus,
) -> Result<Card, NvmlError> {
    let name = device.name()?;
    let mut answers = Answers::default();
    let mig = mig_mode(&mut answers, device);
    let uuid = answers.take("uuid", device.uuid());
    let mut card = Card {
        throttle: answers.take("throttle", device.current_throttle_reasons().map(throttle)),
        load: sensors(&mut answers, index, device),
        ecc_uncorrected: answers.take_plausible(
            "ecc_uncorrected",
            device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile),
            plausible::count,
        ),
        processes: answers.take("processes", processes(nvml, device)),
        gpu: Gpu {
            index,
            name,
            uuid: uuid.filter(|uuid| !uuid.is_empty()),
            driver: driver.version.clone(),
            cuda: driver.cuda.clone(),
            pci: answers.take("pci", device.pci_info()).map(|pci| pci.bus_id),
            backend: BACKEND.to_owned(),
            mig: instances(device, mig),
            ..Gpu::default()
        },
        mig,
        ..Card::default()
    };
    let total = answers.take_plausible("vram_mib", device.memory_info(), |memory| {
        plausible::total_bytes(memory.total)
    });
    if let Some(error) = answers.failure() {
        return Err(error);
    }
    card.missing = answers.missing;
    card.load.throttle = card.throttle.as_deref().map(owned);
    card.load.runtime_vram_mib = card.runtime_vram_mib();
    tell_memory(&mut card, total, bus);
    Ok(card)
}

/// How much memory the card has, and whose it is.
fn tell_memory(card: &mut Card, total: Option<u64>, bus: &Bus) {
    card.gpu.vram_mib = total.map(|bytes| bytes / MIB);
    card.gpu.unified_memory = unified::is_unified(&card.gpu.name, total.is_some(), bus);
    if card.gpu.unified_memory == Some(true) && total.is_none() {
        // All of the machine's memory can be the GPU's; the driver does not tell how much of it is.
        card.gpu.vram_mib = host::memory_mib();
        if card.gpu.vram_mib.is_some() {
            card.missing.remove("vram_mib");
        }
        card.load.vram_used_mib = None;
        let why = "its memory is the machine's (unified), and the driver does not tell its part";
        card.missing.insert("vram_used_mib", why.to_owned());
    }
}

/// The load alone.
///
/// # Errors
/// The card is lost, or answers nothing.
pub(super) fn load(nvml: &Nvml, index: u32, device: &Device<'_>) -> Result<GpuLoad, NvmlError> {
    let mut answers = Answers::default();
    let mut load = sensors(&mut answers, index, device);
    let reasons = answers.take("throttle", device.current_throttle_reasons().map(throttle));
    load.throttle = reasons.as_deref().map(owned);
    let processes = answers.take("processes", processes(nvml, device));
    load.runtime_vram_mib = processes
        .as_deref()
        .and_then(crate::gpu::card::runtime_vram_mib);
    answers.failure().map_or(Ok(load), Err)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "percents, degrees and watts are far below 2^24"
)]
fn sensors(answers: &mut Answers, index: u32, device: &Device<'_>) -> GpuLoad {
    GpuLoad {
        index,
        util_pct: answers.take_plausible("util_pct", device.utilization_rates(), |rates| {
            plausible::percent(rates.gpu as f32)
        }),
        vram_used_mib: answers.take_plausible("vram_used_mib", device.memory_info(), |memory| {
            // A card that tells no whole tells no part either: all its numbers are zero.
            let total = plausible::total_bytes(memory.total)?;
            plausible::used_bytes(memory.used, Some(total)).map(|bytes| bytes / MIB)
        }),
        temp_c: answers.take_plausible(
            "temp_c",
            device.temperature(TemperatureSensor::Gpu),
            |celsius| plausible::celsius(celsius as f32),
        ),
        power_w: answers.take_plausible("power_w", device.power_usage(), |milliwatt| {
            plausible::watts(milliwatt as f32 / 1000.0)
        }),
        ..GpuLoad::default()
    }
}

/// The reasons that cost speed; an idle card or clocks that the owner set do not.
fn throttle(reasons: ThrottleReasons) -> Vec<&'static str> {
    [
        (ThrottleReasons::SW_POWER_CAP, "power_cap"),
        (ThrottleReasons::HW_SLOWDOWN, "hardware_slowdown"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "thermal"),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hardware_thermal"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power_brake"),
    ]
    .into_iter()
    .filter(|(reason, _)| reasons.contains(*reason))
    .map(|(_, name)| name)
    .collect()
}

fn owned(reasons: &[&'static str]) -> Vec<String> {
    reasons.iter().map(|reason| (*reason).to_owned()).collect()
}

/// A card that cannot be split has no mode; that is nothing that it lacks.
fn mig_mode(answers: &mut Answers, device: &Device<'_>) -> Option<MigMode> {
    let mode = match device.mig_mode() {
        Err(NvmlError::NotSupported | NvmlError::FailedToLoadSymbol(_)) => return None,
        answer => answers.take("mig", answer)?,
    };
    Some(MigMode {
        enabled: mode.current != 0,
        pending: mode.pending != 0,
    })
}

/// The parts of a card in MIG mode. Places where there is none answer with an error.
fn instances(device: &Device<'_>, mode: Option<MigMode>) -> Vec<GpuInstance> {
    if !mode.is_some_and(|mode| mode.enabled) {
        return Vec::new();
    }
    let places = device.mig_device_count().unwrap_or_default().min(INSTANCES);
    let parts = (0..places).filter_map(|place| device.mig_device_by_index(place).ok());
    parts
        .map(|part| GpuInstance {
            uuid: part.uuid().ok().filter(|uuid| !uuid.is_empty()),
            // "NVIDIA A100-SXM4-40GB MIG 3g.20gb": the profile is the last word.
            profile: part
                .name()
                .ok()
                .and_then(|name| Some(name.split_once(" MIG ")?.1.trim().to_owned())),
            vram_mib: part
                .memory_info()
                .ok()
                .and_then(|memory| plausible::total_bytes(memory.total))
                .map(|bytes| bytes / MIB),
        })
        .collect()
}

fn processes(nvml: &Nvml, device: &Device<'_>) -> Result<Vec<Process>, NvmlError> {
    let mut all = device.running_compute_processes()?;
    all.sort_by_key(|process| process.pid);
    all.truncate(PROCESSES);
    let named = all.into_iter().map(|found| {
        let command_line = os::command_line(found.pid)
            .or_else(|| nvml.sys_process_name(found.pid, NAME_BYTES).ok());
        let known = command_line.as_deref();
        Process {
            pid: found.pid,
            name: known.and_then(process::program_of),
            runtime: known.and_then(process::runtime_of),
            vram_mib: match found.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => {
                    plausible::used_bytes(bytes, None).map(|bytes| bytes / MIB)
                }
                UsedGpuMemory::Unavailable => None,
            },
        }
    });
    Ok(plausible::processes(named.collect()))
}
