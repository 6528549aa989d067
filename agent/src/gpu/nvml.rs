//! NVIDIA cards through NVML, the driver's own library, loaded at run time.
//!
//! The library stays open between looks. It is closed when the driver says that it is of another version or went
//! away, and opened anew with the next look, so that an update of the driver needs no restart of the agent.

use super::findings::{Finding, FindingKind};
use super::{Backend, Card, Survey, os};
use dgon_protocol::frame::{Gpu, GpuLoad};
use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use std::ffi::OsString;

/// Names another library, for installations in odd places and for tests.
const LIBRARY_VARIABLE: &str = "DGON_NVML_LIB";
const BACKEND: &str = "nvml";
const MIB: u64 = 1024 * 1024;
/// A driver that counts more cards than this is not believed.
const CARDS: u32 = 128;

/// The NVML backend.
pub struct Nvml {
    library: Option<OsString>,
    open: Option<nvml_wrapper::Nvml>,
    /// Index and PCI address of the cards of the last look: what a sleeping card is known by.
    known: Vec<(u32, Option<String>)>,
}

impl Nvml {
    /// Uses the system's library, or the one that `DGON_NVML_LIB` names. Nothing is opened yet.
    pub fn from_environment() -> Self {
        Self {
            library: std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()),
            open: None,
            known: Vec::new(),
        }
    }

    fn open(&mut self) -> Result<&nvml_wrapper::Nvml, NvmlError> {
        if self.open.is_none() {
            let mut builder = nvml_wrapper::Nvml::builder();
            if let Some(path) = &self.library {
                builder.lib_path(path);
            }
            self.open = Some(builder.init()?);
        }
        self.open.as_ref().ok_or(NvmlError::Uninitialized)
    }

    fn look(&mut self) -> Result<Survey, NvmlError> {
        let nvml = self.open()?;
        let mut survey = Survey::default();
        let count = nvml.device_count()?.min(CARDS);
        if count == 0 {
            survey
                .findings
                .push(Finding::of_machine(FindingKind::NoCard, ""));
        }
        let driver = nvml.sys_driver_version().ok();
        let cuda = nvml.sys_cuda_driver_version().ok().map(|version| {
            let major = nvml_wrapper::cuda_driver_version_major(version);
            let minor = nvml_wrapper::cuda_driver_version_minor(version);
            format!("{major}.{minor}")
        });
        for index in 0..count {
            let card = nvml
                .device_by_index(index)
                .and_then(|device| card(index, &device, driver.as_deref(), cuda.as_deref()));
            match card {
                Ok(card) => survey.cards.push(card),
                Err(error) => survey.findings.push(Finding::of_card(
                    kind_of(&error),
                    index,
                    &error.to_string(),
                )),
            }
        }
        Ok(survey)
    }
}

impl Backend for Nvml {
    fn survey(&mut self) -> Survey {
        match self.look() {
            Ok(survey) => {
                self.known = survey
                    .cards
                    .iter()
                    .map(|card| (card.gpu.index, card.gpu.pci.clone()))
                    .collect();
                survey
            }
            Err(error) => {
                self.open = None;
                self.known.clear();
                Survey {
                    cards: Vec::new(),
                    findings: vec![Finding::of_machine(kind_of(&error), &error.to_string())],
                }
            }
        }
    }

    fn loads(&mut self) -> Vec<GpuLoad> {
        if self.open.is_none() && self.survey().cards.is_empty() {
            return Vec::new();
        }
        let Some(nvml) = &self.open else {
            return Vec::new();
        };
        let awake = |pci: &Option<String>| !pci.as_deref().is_some_and(os::is_asleep);
        self.known
            .iter()
            .filter(|(_, pci)| awake(pci))
            .filter_map(|(index, _)| Some(load(*index, &nvml.device_by_index(*index).ok()?)))
            .collect()
    }
}

/// A card whose name cannot be read is lost or locked: that error says why. All else is optional.
fn card(
    index: u32,
    device: &Device<'_>,
    driver: Option<&str>,
    cuda: Option<&str>,
) -> Result<Card, NvmlError> {
    let name = device.name()?;
    let gpu = Gpu {
        index,
        name,
        uuid: device.uuid().ok().filter(|uuid| !uuid.is_empty()),
        vram_mib: device.memory_info().ok().map(|memory| memory.total / MIB),
        driver: driver.map(str::to_owned),
        cuda: cuda.map(str::to_owned),
        pci: device.pci_info().ok().map(|pci| pci.bus_id),
        backend: BACKEND.to_owned(),
    };
    Ok(Card {
        load: load(index, device),
        throttle: device.current_throttle_reasons().ok().map(throttle),
        ecc_uncorrected: device
            .total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)
            .ok(),
        gpu,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "percents, degrees and watts are far below 2^24"
)]
fn load(index: u32, device: &Device<'_>) -> GpuLoad {
    GpuLoad {
        index,
        util_pct: device
            .utilization_rates()
            .ok()
            .map(|rates| rates.gpu as f32),
        vram_used_mib: device.memory_info().ok().map(|memory| memory.used / MIB),
        temp_c: device
            .temperature(TemperatureSensor::Gpu)
            .ok()
            .map(|celsius| celsius as f32),
        power_w: device
            .power_usage()
            .ok()
            .map(|milliwatt| milliwatt as f32 / 1000.0),
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

fn kind_of(error: &NvmlError) -> FindingKind {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            if os::has_nvidia_card() {
                FindingKind::DriverMissing
            } else {
                FindingKind::NoDriver
            }
        }
        NvmlError::DriverNotLoaded => FindingKind::DriverNotLoaded,
        NvmlError::LibRmVersionMismatch => FindingKind::VersionMismatch,
        NvmlError::NoPermission | NvmlError::OperatingSystem => FindingKind::NoPermission,
        NvmlError::GpuLost => FindingKind::CardLost,
        NvmlError::ResetRequired => FindingKind::ResetRequired,
        _ => FindingKind::Unreadable,
    }
}
