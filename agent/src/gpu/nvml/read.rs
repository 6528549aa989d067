//! Reading one card: each sensor on its own, so that one that is missing takes nothing else with it.

use super::BACKEND;
use crate::gpu::card::{Card, MigMode, Process};
use crate::gpu::{os, process};
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
        let cuda = nvml.sys_cuda_driver_version().ok().map(|version| {
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
}

impl Answers {
    fn take<T>(&mut self, field: &'static str, answer: Result<T, NvmlError>) -> Option<T> {
        match answer {
            Ok(value) => Some(value),
            Err(error @ (NvmlError::GpuLost | NvmlError::ResetRequired)) => {
                self.lost = Some(error);
                None
            }
            Err(error) => {
                self.missing.insert(field, why(&error));
                None
            }
        }
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
) -> Result<Card, NvmlError> {
    let name = device.name()?;
    let mut answers = Answers::default();
    let mig = mig_mode(&mut answers, device);
    let mut card = Card {
        throttle: answers.take("throttle", device.current_throttle_reasons().map(throttle)),
        load: sensors(&mut answers, index, device),
        ecc_uncorrected: answers.take(
            "ecc_uncorrected",
            device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile),
        ),
        processes: answers.take("processes", processes(nvml, device)),
        gpu: Gpu {
            index,
            name,
            uuid: answers
                .take("uuid", device.uuid())
                .filter(|uuid| !uuid.is_empty()),
            vram_mib: answers
                .take("vram_mib", device.memory_info())
                .map(|memory| memory.total / MIB),
            driver: driver.version.clone(),
            cuda: driver.cuda.clone(),
            pci: answers.take("pci", device.pci_info()).map(|pci| pci.bus_id),
            backend: BACKEND.to_owned(),
            mig: instances(device, mig),
        },
        mig,
        ..Card::default()
    };
    if let Some(error) = answers.lost {
        return Err(error);
    }
    card.missing = answers.missing;
    card.load.throttle = card.throttle.as_deref().map(owned);
    card.load.runtime_vram_mib = card.runtime_vram_mib();
    Ok(card)
}

/// The load alone; `None` where the card is lost.
pub(super) fn load(nvml: &Nvml, index: u32, device: &Device<'_>) -> Option<GpuLoad> {
    let mut answers = Answers::default();
    let mut load = sensors(&mut answers, index, device);
    let reasons = answers.take("throttle", device.current_throttle_reasons().map(throttle));
    load.throttle = reasons.as_deref().map(owned);
    let processes = answers.take("processes", processes(nvml, device));
    load.runtime_vram_mib = processes
        .as_deref()
        .and_then(crate::gpu::card::runtime_vram_mib);
    answers.lost.is_none().then_some(load)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "percents, degrees and watts are far below 2^24"
)]
fn sensors(answers: &mut Answers, index: u32, device: &Device<'_>) -> GpuLoad {
    GpuLoad {
        index,
        util_pct: answers
            .take("util_pct", device.utilization_rates())
            .map(|rates| rates.gpu as f32),
        vram_used_mib: answers
            .take("vram_used_mib", device.memory_info())
            .map(|memory| memory.used / MIB),
        temp_c: answers
            .take("temp_c", device.temperature(TemperatureSensor::Gpu))
            .map(|celsius| celsius as f32),
        power_w: answers
            .take("power_w", device.power_usage())
            .map(|milliwatt| milliwatt as f32 / 1000.0),
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
            vram_mib: part.memory_info().ok().map(|memory| memory.total / MIB),
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
                UsedGpuMemory::Used(bytes) => Some(bytes / MIB),
                UsedGpuMemory::Unavailable => None,
            },
        }
    });
    Ok(named.collect())
}
