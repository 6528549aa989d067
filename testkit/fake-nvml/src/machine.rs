//! The machine that is played: a JSON file, read anew with every call, so that a test can change it under way.

use nvml_wrapper_sys::bindings as sys;
use serde::Deserialize;

/// Names the file.
const FILE_VARIABLE: &str = "DGON_FAKE_NVML";

/// A machine with its driver.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Machine {
    /// Driver version.
    pub(crate) driver: String,
    /// CUDA version as NVML writes it: 12040 is 12.4.
    pub(crate) cuda: i32,
    /// What opening the library answers.
    pub(crate) init: Answer,
    /// The cards.
    pub(crate) cards: Vec<Card>,
}

/// One card.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Card {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) pci: String,
    pub(crate) memory_total: u64,
    pub(crate) memory_used: u64,
    pub(crate) util_pct: u32,
    pub(crate) temp_c: u32,
    pub(crate) power_mw: u32,
    /// Bits of the reasons for which clocks are held down.
    pub(crate) throttle: u64,
    pub(crate) ecc_uncorrected: u64,
    /// What every question about the card answers.
    pub(crate) answer: Answer,
    /// Sensors that the card does not have, by the name of their field.
    pub(crate) unsupported: Vec<String>,
}

/// What NVML answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    #[default]
    Ok,
    DriverNotLoaded,
    VersionMismatch,
    NoPermission,
    Lost,
    ResetRequired,
    Unknown,
}

impl Answer {
    /// The code of the answer.
    pub(crate) const fn code(self) -> sys::nvmlReturn_t {
        match self {
            Self::Ok => sys::nvmlReturn_enum_NVML_SUCCESS,
            Self::DriverNotLoaded => sys::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED,
            Self::VersionMismatch => sys::nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH,
            Self::NoPermission => sys::nvmlReturn_enum_NVML_ERROR_NO_PERMISSION,
            Self::Lost => sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST,
            Self::ResetRequired => sys::nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED,
            Self::Unknown => sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN,
        }
    }
}

impl Machine {
    /// The machine of the file; one that NVML cannot explain where the file is missing or wrong.
    pub(crate) fn now() -> Self {
        let read = || {
            let path = std::env::var_os(FILE_VARIABLE)?;
            serde_json::from_slice(&std::fs::read(path).ok()?).ok()
        };
        read().unwrap_or(Self {
            init: Answer::Unknown,
            ..Self::default()
        })
    }

    /// The card of a handle, if it can tell about `sensor`. Handles count from 1: 0 would be a null pointer.
    pub(crate) fn card(handle: usize, sensor: &str) -> Result<Card, sys::nvmlReturn_t> {
        let card = handle
            .checked_sub(1)
            .and_then(|index| Self::now().cards.into_iter().nth(index))
            .ok_or(sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT)?;
        if card.answer != Answer::Ok {
            Err(card.answer.code())
        } else if card.unsupported.iter().any(|name| name == sensor) {
            Err(sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED)
        } else {
            Ok(card)
        }
    }
}
