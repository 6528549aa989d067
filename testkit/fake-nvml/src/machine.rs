//! The machine that is played: a JSON file, read anew with every call, so that a test can change it under way.
//!
//! `DGON_FAKE_NVML` names the file; without it, it is `machine.json` beside the library, so that one test process can
//! load copies that play different machines.

use nvml_wrapper_sys::bindings as sys;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Mutex;

/// Names the file.
const FILE_VARIABLE: &str = "DGON_FAKE_NVML";
/// Its name beside the library.
const FILE: &str = "machine.json";

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
    /// How often the driver was loaded anew. A library that was opened before says "unknown error" to everything,
    /// until it is opened again.
    pub(crate) epoch: u64,
    /// The cards.
    pub(crate) cards: Vec<Card>,
    /// Faults that the driver tells of, in order; each is told once to each event set.
    pub(crate) faults: Vec<Fault>,
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
    pub(crate) energy_mj: u64,
    /// Bits of the reasons for which clocks are held down.
    pub(crate) throttle: u64,
    pub(crate) ecc_uncorrected: u64,
    /// Absent on cards that cannot be split.
    pub(crate) mig: Option<Mig>,
    pub(crate) processes: Vec<Process>,
    /// What every question about the card answers.
    pub(crate) answer: Answer,
    /// Sensors that the card does not have, by the name of their field.
    pub(crate) unsupported: Vec<String>,
}

/// A card's split.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Mig {
    pub(crate) enabled: bool,
    pub(crate) pending: bool,
    /// By place; `null` is a place where there is none.
    pub(crate) instances: Vec<Option<Instance>>,
}

/// A part of a card.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Instance {
    pub(crate) uuid: String,
    pub(crate) profile: String,
    pub(crate) memory_total: u64,
}

/// A program on a card.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) memory_used: u64,
}

/// A fault.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) card: usize,
    pub(crate) xid: u64,
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
    /// Never answers.
    Hang,
}

impl Answer {
    /// The code of the answer.
    pub(crate) fn code(self) -> sys::nvmlReturn_t {
        match self {
            Self::Ok => sys::nvmlReturn_enum_NVML_SUCCESS,
            Self::DriverNotLoaded => sys::nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED,
            Self::VersionMismatch => sys::nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH,
            Self::NoPermission => sys::nvmlReturn_enum_NVML_ERROR_NO_PERMISSION,
            Self::Lost => sys::nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST,
            Self::ResetRequired => sys::nvmlReturn_enum_NVML_ERROR_RESET_REQUIRED,
            Self::Unknown => sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN,
            Self::Hang => loop {
                std::thread::park();
            },
        }
    }
}

/// Which card, or part of one, a handle means. A handle is a number that is never followed: the card from 1 up, since
/// 0 would be a null pointer, and above it the part from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) card: usize,
    pub(crate) part: Option<usize>,
}

impl Handle {
    const PART: usize = 1 << 8;

    pub(crate) const fn number(self) -> usize {
        let part = match self.part {
            Some(part) => part + 1,
            None => 0,
        };
        part * Self::PART + self.card + 1
    }

    pub(crate) fn of(number: usize) -> Option<Self> {
        Some(Self {
            card: (number % Self::PART).checked_sub(1)?,
            part: (number / Self::PART).checked_sub(1),
        })
    }
}

/// The epochs in which the library was opened and is not shut yet, as NVML counts them.
static OPENED: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Opens the library; who has it open is told by `sessions/PID` beside the machine, with how often.
pub(crate) fn open(machine: &Machine) {
    if let Ok(mut opened) = OPENED.lock() {
        opened.push(machine.epoch);
        note_opening();
        tell_sessions(opened.len());
    }
}

/// Shuts it once.
pub(crate) fn shut() {
    if let Ok(mut opened) = OPENED.lock() {
        opened.pop();
        tell_sessions(opened.len());
    }
}

/// One letter more in `opened` beside the machine.
fn note_opening() {
    use std::io::Write as _;
    let path = file().and_then(|file| Some(file.parent()?.join("opened")));
    let log = path.and_then(|path| {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).open(path).ok()
    });
    if let Some(mut log) = log {
        drop(log.write_all(b"o"));
    }
}

fn tell_sessions(count: usize) {
    if let Some(folder) = file().and_then(|file| Some(file.parent()?.join("sessions"))) {
        // A test that looks for it then fails, as it should.
        drop(std::fs::create_dir_all(&folder));
        drop(std::fs::write(
            folder.join(std::process::id().to_string()),
            count.to_string(),
        ));
    }
}

impl Machine {
    /// Whether the driver under the open library is another one by now.
    pub(crate) fn is_stale(&self) -> bool {
        OPENED
            .lock()
            .is_ok_and(|opened| opened.last().is_some_and(|epoch| *epoch != self.epoch))
    }

    /// The machine of the file; one that NVML cannot explain where the file is missing or wrong.
    pub(crate) fn now() -> Self {
        let read = || serde_json::from_slice(&std::fs::read(file()?).ok()?).ok();
        read().unwrap_or(Self {
            init: Answer::Unknown,
            ..Self::default()
        })
    }

    /// The card of a handle, or the part of one, if it can tell about `sensor`.
    pub(crate) fn card(number: usize, sensor: &str) -> Result<Card, sys::nvmlReturn_t> {
        let bad = sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
        let handle = Handle::of(number).ok_or(bad)?;
        let now = Self::now();
        if now.is_stale() {
            return Err(Answer::Unknown.code());
        }
        let mut card = now.cards.into_iter().nth(handle.card).ok_or(bad)?;
        asked(handle.card);
        if card.answer != Answer::Ok {
            return Err(card.answer.code());
        }
        if card.unsupported.iter().any(|name| name == sensor) {
            return Err(sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED);
        }
        if let Some(part) = handle.part {
            let part = card.part(part).ok_or(bad)?;
            card.name = format!("{} MIG {}", card.name, part.profile);
            card.uuid = part.uuid;
            card.memory_total = part.memory_total;
        }
        Ok(card)
    }
}

impl Card {
    pub(crate) fn part(&self, place: usize) -> Option<Instance> {
        self.mig.as_ref()?.instances.get(place)?.clone()
    }
}

/// Leaves a mark that a card was asked, which wakes a real one: `asked-INDEX` beside the machine.
pub(crate) fn asked(index: usize) {
    if let Some(mark) = file().and_then(|file| Some(file.parent()?.join(format!("asked-{index}"))))
    {
        // A test that looks for the mark then fails, as it should.
        drop(std::fs::write(mark, ""));
    }
}

fn file() -> Option<PathBuf> {
    let named = std::env::var_os(FILE_VARIABLE).map(PathBuf::from);
    named.or_else(|| Some(crate::own_path()?.parent()?.join(FILE)))
}
