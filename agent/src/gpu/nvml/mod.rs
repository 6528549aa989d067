//! NVIDIA cards through NVML, the driver's own library, loaded at run time.
//!
//! The library stays open between looks. It is closed when the driver says that it is of another version or went
//! away, and opened anew with the next look, so that an update of the driver needs no restart of the agent. Where it
//! says "unknown error" or that a card is lost, the connection may be what is broken: it is closed and opened anew
//! too, at first at once and then less and less often, and the cards that answer serve on.
//! Asking the library for a card wakes it, so a card that the kernel has suspended is told from what is known of it
//! without asking: from the last look, or from its PCI id alone.

mod read;
mod reopening;
mod session;
mod unified;
mod xid;

use super::bus::{self, Bus, PciCard};
use super::energy::EnergyReading;
use super::findings::{Finding, FindingKind};
use super::{Backend, Card, Survey, os, plausible};
use dgon_protocol::frame::{Gpu, GpuLoad};
use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;
use read::Driver;
use reopening::Reopening;
use session::Session;
use std::cell::Cell;
use std::ffi::OsString;
use std::time::{Duration, Instant};
use xid::Faults;

/// Names another library, for installations in odd places and for tests.
const LIBRARY_VARIABLE: &str = "DGON_NVML_LIB";
pub(super) const BACKEND: &str = "nvml";
const VENDOR: &str = "10de";
/// A driver that counts more cards than this is not believed.
const CARDS: u32 = 128;
/// How long a driver that is not there is not looked for by heartbeats: one that is loaded after the agent started is
/// found within it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The NVML backend.
pub struct Nvml {
    library: Option<OsString>,
    bus: Bus,
    open: Option<Session>,
    /// The cards of the last look: what a sleeping card is known by.
    known: Vec<Card>,
    faults: Faults,
    /// No card and no driver were found then.
    found_none_at: Option<Instant>,
    look_again: Duration,
    /// The open library gave an answer that a new connection may mend.
    is_suspect: bool,
    reopening: Reopening,
}

impl Nvml {
    /// Uses the system's library, or the one that `DGON_NVML_LIB` names. Nothing is opened yet.
    pub fn from_environment() -> Self {
        let library = std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty());
        Self::new(library, Bus::system())
    }

    /// Uses this library, or the system's, and the bus of this machine or of a recorded one.
    pub fn new(library: Option<OsString>, bus: Bus) -> Self {
        Self {
            library,
            bus,
            open: None,
            known: Vec::new(),
            faults: Faults::default(),
            found_none_at: None,
            look_again: LOOK_AGAIN,
            is_suspect: false,
            reopening: Reopening::default(),
        }
    }

    /// The same, and looks for a driver that is not there as often as this, not once a minute.
    pub fn looking_again_after(self, pause: Duration) -> Self {
        Self {
            look_again: pause,
            ..self
        }
    }

    /// One look, and a second one through a new connection where the old one may be what is broken.
    fn look_or_reopen(&mut self) -> Result<Survey, NvmlError> {
        let was_open = self.open.is_some();
        let first = self.look();
        let now = Instant::now();
        if !self.is_suspect {
            self.reopening.healed();
            return first;
        }
        // A connection that was made just now says the same as another one.
        if !was_open || !self.reopening.is_due(now) {
            return first;
        }
        self.reopening.tried(now);
        tracing::info!("the NVIDIA driver's answers are broken; it is opened anew");
        self.open = None;
        let second = self.look();
        if !self.is_suspect {
            self.reopening.healed();
        }
        second
    }

    fn look(&mut self) -> Result<Survey, NvmlError> {
        let on_bus = self.bus.cards(VENDOR);
        self.is_suspect = true;
        let session = match self.open.take() {
            Some(session) => session,
            None => Session::open(self.library.as_deref())?,
        };
        let session = self.open.insert(session);
        let heard_before = session.hears_of_faults();
        let nvml = session.nvml();
        let driver = Driver::of(nvml);
        let mut survey = Survey::default();
        let mut awake = Vec::new();
        let mut is_suspect = false;
        for (index, place) in places(nvml.device_count()?.min(CARDS), &on_bus) {
            let device = match place {
                Place::Index => nvml.device_by_index(index),
                Place::Awake(pci) => nvml.device_by_pci_bus_id(pci.address.as_str()),
                Place::Asleep(pci) => {
                    survey
                        .cards
                        .push(sleeping(index, pci, &self.known, &driver, &self.bus));
                    continue;
                }
            };
            match device.and_then(|device| read::card(nvml, index, &device, &driver, &self.bus)) {
                Ok(card) => {
                    awake.push(index);
                    survey.cards.push(card);
                }
                Err(error) => {
                    is_suspect |= is_mended_by_reopening(&error);
                    survey.findings.push(Finding::of_card(
                        kind_of(&error, &self.bus),
                        index,
                        &error.to_string(),
                    ));
                }
            }
        }
        self.is_suspect = is_suspect;
        if survey.cards.is_empty() && survey.findings.is_empty() {
            let none = Finding::of_machine(FindingKind::NoCard, "");
            survey.findings.push(none);
        }
        self.listen(&awake, &survey);
        self.tell_faults(heard_before, &on_bus, &mut survey);
        Ok(survey)
    }

    /// Has the driver tell of faults on the cards that are awake.
    fn listen(&mut self, awake: &[u32], survey: &Survey) {
        let Some(session) = &mut self.open else {
            return;
        };
        for card in survey
            .cards
            .iter()
            .filter(|card| awake.contains(&card.gpu.index))
        {
            if let Some(pci) = &card.gpu.pci {
                session.watch(card.gpu.index, pci);
            }
        }
    }

    /// Puts what the driver and the kernel's log told of faults to the cards.
    fn tell_faults(&mut self, heard_before: bool, on_bus: &[PciCard], survey: &mut Survey) {
        self.hear();
        let log = os::kernel_faults(self.bus.kernel_log());
        let heard = heard_before || log.is_some();
        for fault in log.into_iter().flatten() {
            let is_it = |address: &str| address.starts_with(&fault.address);
            let address = |card: &Card| card.gpu.pci.as_deref().and_then(bus::address);
            let mut cards = survey.cards.iter().chain(&self.known);
            let index = cards
                .find(|card| address(card).is_some_and(|address| is_it(&address)))
                .map(|card| card.gpu.index)
                // A card that is lost is known by its place on the bus alone.
                .or_else(|| {
                    (0..)
                        .zip(on_bus)
                        .find(|(_, card)| is_it(&card.address))
                        .map(|(place, _)| place)
                });
            if let Some(index) = index {
                self.faults.add(index, fault.xid, Some(fault.at_uptime_s));
            }
        }
        let lost: Vec<u32> = survey
            .findings
            .iter()
            .filter_map(|finding| finding.gpu)
            .collect();
        for index in lost {
            for fault in self.faults.of(index) {
                let told = format!("{} ({})", fault.xid, fault.meaning);
                let finding = Finding::of_card(FindingKind::Xid, index, &told);
                survey.findings.push(finding);
            }
        }
        for card in &mut survey.cards {
            let index = card.gpu.index;
            card.load.xid = self.faults.last(index);
            if heard {
                card.faults = Some(self.faults.of(index).cloned().collect());
            } else {
                card.missing.insert(
                    "faults",
                    "the kernel's log is closed to this user; an agent that runs hears of new faults".to_owned(),
                );
            }
        }
    }

    /// Takes the faults that the driver told of since the last time.
    fn hear(&mut self) {
        let told = self.open.as_ref().map(Session::faults).unwrap_or_default();
        for (index, xid) in told {
            tracing::warn!(gpu = index, xid, "the driver told of a fault on a GPU");
            let uptime_s = sysinfo::System::uptime().ok();
            self.faults.add(index, xid, uptime_s);
        }
    }
}

impl Backend for Nvml {
    fn survey(&mut self) -> Survey {
        let survey = self.look_or_reopen().unwrap_or_else(|error| {
            self.open = None;
            let finding = Finding::of_machine(kind_of(&error, &self.bus), &error.to_string());
            Survey::of_finding(finding)
        });
        self.found_none_at = survey.cards.is_empty().then(Instant::now);
        if !survey.cards.is_empty() || self.open.is_none() {
            self.known.clone_from(&survey.cards);
        }
        survey
    }

    fn loads(&mut self) -> Vec<GpuLoad> {
        self.hear();
        let Some(session) = &self.open else {
            return Vec::new();
        };
        let nvml = session.nvml();
        let suspect = Cell::new(false);
        let load = |card: &Card| {
            let index = card.gpu.index;
            if is_asleep(card, &self.bus) {
                let asleep = Some(true);
                return Some(GpuLoad {
                    index,
                    asleep,
                    ..GpuLoad::default()
                });
            }
            match device(nvml, card).and_then(|device| read::load(nvml, index, &device)) {
                Ok(mut load) => {
                    load.xid = self.faults.last(index);
                    Some(load)
                }
                Err(error) => {
                    suspect.set(suspect.get() || is_mended_by_reopening(&error));
                    None
                }
            }
        };
        let loads = self.known.iter().filter_map(load).collect();
        self.is_suspect |= suspect.get();
        loads
    }

    fn energy(&mut self) -> Vec<EnergyReading> {
        let Some(session) = &self.open else {
            return Vec::new();
        };
        let nvml = session.nvml();
        let reading = |card: &Card| {
            let counter_mj = device(nvml, card).ok()?.total_energy_consumption().ok()?;
            let counter_mj = plausible::count(counter_mj)?;
            let index = card.gpu.index;
            Some(EnergyReading { index, counter_mj })
        };
        let awake = self.known.iter().filter(|card| !is_asleep(card, &self.bus));
        awake.filter_map(reading).collect()
    }

    /// A driver that came late, or one that may be mended by opening it anew.
    fn wants_survey(&mut self) -> bool {
        if self.open.is_none() {
            return self
                .found_none_at
                .is_none_or(|at| at.elapsed() >= self.look_again);
        }
        self.is_suspect && self.reopening.is_due(Instant::now())
    }

    fn close(&mut self) {
        self.open = None;
        self.is_suspect = false;
        self.reopening.healed();
    }
}

/// Whether this may be the connection's fault, or is over once the driver is opened anew.
fn is_mended_by_reopening(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::Unknown
            | NvmlError::Uninitialized
            | NvmlError::GpuLost
            | NvmlError::DriverNotLoaded
            | NvmlError::LibRmVersionMismatch
            | NvmlError::NotFound
            | NvmlError::InvalidArg
    )
}

/// How a card is reached.
enum Place<'a> {
    /// By its number: the system does not say who sleeps, or nobody does.
    Index,
    /// By its address: asking by number could wake another.
    Awake(&'a PciCard),
    /// Not at all.
    Asleep(&'a PciCard),
}

/// The cards and how to reach each. NVML numbers cards by their address, as the bus list is sorted.
fn places(count: u32, on_bus: &[PciCard]) -> Vec<(u32, Place<'_>)> {
    if on_bus.iter().any(|card| card.asleep) {
        let place = |card| {
            let card: &PciCard = card;
            match card.asleep {
                true => Place::Asleep(card),
                false => Place::Awake(card),
            }
        };
        return (0..).zip(on_bus.iter().map(place)).collect();
    }
    (0..count).map(|index| (index, Place::Index)).collect()
}

fn is_asleep(card: &Card, bus: &Bus) -> bool {
    card.gpu
        .pci
        .as_deref()
        .is_some_and(|pci| bus.is_asleep(pci))
}

/// The handle of a known card: by its address, which stays when numbers change.
fn device<'a>(nvml: &'a nvml_wrapper::Nvml, card: &Card) -> Result<Device<'a>, NvmlError> {
    match &card.gpu.pci {
        Some(pci) => nvml.device_by_pci_bus_id(pci.as_str()),
        None => nvml.device_by_index(card.gpu.index),
    }
}

/// A suspended card as it was known before, or as its PCI id tells.
fn sleeping(index: u32, pci: &PciCard, known: &[Card], driver: &Driver, bus: &Bus) -> Card {
    let is_it = |card: &&Card| {
        card.gpu.pci.as_deref().and_then(bus::address).as_ref() == Some(&pci.address)
    };
    let gpu = known.iter().find(is_it).map_or_else(
        || Gpu {
            name: bus.name_of(&pci.id).map_or_else(
                || format!("NVIDIA GPU (PCI id {})", pci.id),
                |name| format!("NVIDIA {name}"),
            ),
            driver: driver.version.clone(),
            cuda: driver.cuda.clone(),
            pci: Some(pci.address.clone()),
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

/// Whether this program is static: then nothing can be loaded into it, whatever is installed.
const IS_STATIC: bool = cfg!(all(target_env = "musl", target_feature = "crt-static"));

fn kind_of(error: &NvmlError, bus: &Bus) -> FindingKind {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            if bus.cards(VENDOR).is_empty() {
                FindingKind::NoDriver
            } else if IS_STATIC {
                FindingKind::StaticBuild
            } else {
                FindingKind::DriverMissing
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
