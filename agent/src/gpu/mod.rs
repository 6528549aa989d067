//! The GPUs of this machine: what they are, how loaded they are, what is wrong with them.
//!
//! One [`Backend`] per source behind one trait; a new source is one new file, and the system's list of sources is in
//! `os`. What a card does not tell is absent, never 0, and [`Card::missing`] says why. A missing driver is a finding,
//! not an error; a machine without a GPU is served by its CPU. A suspended card is listed and not asked. Calls into
//! drivers can block for seconds or for ever, so callers run them off the async threads: [`survey_within`] gives up.

mod access;
mod amd;
mod bus;
mod card;
mod energy;
mod findings;
mod nvml;
mod os;
mod plausible;
mod process;

pub use access::{GpuAccess, why_not_read};
pub use amd::Amd;
pub use bus::Bus;
pub use card::{CPU_ONLY, Card, Fault, HOT_C, MigMode, Process, Survey};
pub use energy::{EnergyMeter, EnergyReading, EnergyUse};
pub use findings::{Finding, FindingKind, Severity};
pub use nvml::Nvml;

use dgon_protocol::frame::GpuLoad;
use std::sync::mpsc;
use std::time::Duration;

/// A source of cards. Cards are numbered from 0; [`Detector`] numbers them through.
pub trait Backend: Send {
    /// Everything about every card, and what is wrong.
    fn survey(&mut self) -> Survey;

    /// The load alone, of the cards that answer; cheap enough for every heartbeat. Does not wake a sleeping card.
    fn loads(&mut self) -> Vec<GpuLoad>;

    /// What the cards' energy counters say, for the cards that have one and are awake.
    fn energy(&mut self) -> Vec<EnergyReading> {
        Vec::new()
    }

    /// Whether cards may have come or gone since the last survey, so that another is worth its cost.
    fn wants_survey(&mut self) -> bool {
        false
    }

    /// Lets go of the driver, so that its cards can be reset or given away; the next question opens it again.
    fn close(&mut self) {}
}

/// All sources of this machine.
pub struct Detector {
    backends: Vec<Source>,
    access: GpuAccess,
    looked: bool,
    /// A survey was made because cards may have come or gone, and nobody was told yet.
    has_news: bool,
}

struct Source {
    backend: Box<dyn Backend>,
    /// Cards that it had when it was looked at last, which tells the numbers of the next source's cards.
    cards: u32,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Detector({} backends)", self.backends.len())
    }
}

impl Detector {
    /// The sources of this system. Nothing is opened yet.
    pub fn new() -> Self {
        Self::of(os::backends())
    }

    /// The sources of this system, as far as `access` allows.
    pub fn with_access(access: GpuAccess) -> Self {
        Self::new().allowed_by(access)
    }

    /// The same, as far as `access` allows.
    pub fn allowed_by(self, access: GpuAccess) -> Self {
        Self { access, ..self }
    }

    /// These sources.
    pub fn of(backends: Vec<Box<dyn Backend>>) -> Self {
        let source = |backend| Source { backend, cards: 0 };
        Self {
            backends: backends.into_iter().map(source).collect(),
            access: GpuAccess::default(),
            looked: false,
            has_news: false,
        }
    }

    /// Lets go of every driver.
    pub fn close(&mut self) {
        self.looked = false;
        for source in &mut self.backends {
            source.backend.close();
        }
    }

    /// Whether drivers may be touched; where they may not, none stays open.
    fn may_look(&mut self) -> bool {
        let may = self.access.refused().is_none();
        if !may && self.looked {
            self.close();
        }
        may
    }

    /// Whether cards came or went while only loads were asked for: then a survey tells more. True once.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Looks at every card. What one source has nothing to say about is not told where another has cards. Empty where
    /// drivers may not be touched.
    pub fn survey(&mut self) -> Survey {
        if !self.may_look() {
            return Survey::default();
        }
        self.looked = true;
        let mut all = Survey::default();
        let mut first = 0;
        for source in &mut self.backends {
            let Survey { cards, findings } = source.backend.survey();
            let mut next = first;
            for mut card in cards {
                card.gpu.index += first;
                card.load.index += first;
                next = next.max(card.gpu.index + 1);
                all.cards.push(card);
            }
            for mut finding in findings {
                if let Some(index) = &mut finding.gpu {
                    *index += first;
                    next = next.max(*index + 1);
                }
                all.findings.push(finding);
            }
            source.cards = next - first;
            first = next;
        }
        if !all.cards.is_empty() {
            all.findings
                .retain(|finding| finding.kind != FindingKind::NoDriver);
        }
        all
    }

    /// The load of every card.
    pub fn loads(&mut self) -> Vec<GpuLoad> {
        if !self.look_first() {
            return Vec::new();
        }
        let mut all = Vec::new();
        let mut first = 0;
        for source in &mut self.backends {
            let loads = source.backend.loads();
            all.extend(loads.into_iter().map(|mut load| {
                load.index += first;
                load
            }));
            first += source.cards;
        }
        all
    }

    /// The energy counters of every card that has one and is awake.
    pub fn energy(&mut self) -> Vec<EnergyReading> {
        if !self.look_first() {
            return Vec::new();
        }
        let mut all = Vec::new();
        let mut first = 0;
        for source in &mut self.backends {
            let readings = source.backend.energy();
            all.extend(readings.into_iter().map(|mut reading| {
                reading.index += first;
                reading
            }));
            first += source.cards;
        }
        all
    }

    /// The numbers of a source's cards follow from how many the sources before it have. False where drivers may not
    /// be touched.
    fn look_first(&mut self) -> bool {
        if !self.may_look() {
            return false;
        }
        let wanted = self
            .backends
            .iter_mut()
            .map(|source| source.backend.wants_survey())
            .fold(false, |any, one| any | one);
        if !self.looked || wanted {
            self.has_news |= self.looked;
            self.survey();
        }
        true
    }
}

/// Looks at every card on a thread of its own, and gives up on it after `limit`: a driver that hangs is a finding.
/// [`Detector::with_access`] keeps to what the owner allows; this asks whoever is there.
pub fn survey_within(limit: Duration) -> Survey {
    let (out, survey) = mpsc::sync_channel(1);
    let looking = std::thread::Builder::new()
        .name("gpus".to_owned())
        // A receiver that gave up needs nothing any more.
        .spawn(move || drop(out.send(Detector::new().survey())));
    match looking.map(|_| survey.recv_timeout(limit)) {
        Ok(Ok(survey)) => survey,
        Ok(Err(mpsc::RecvTimeoutError::Timeout)) => Survey::of_finding(Finding::of_machine(
            FindingKind::Hangs,
            &format!("{} s", limit.as_secs()),
        )),
        Ok(Err(mpsc::RecvTimeoutError::Disconnected)) => Survey::of_finding(Finding::of_machine(
            FindingKind::Unreadable,
            "its library failed",
        )),
        Err(error) => Survey::of_finding(Finding::of_machine(
            FindingKind::Unreadable,
            &error.to_string(),
        )),
    }
}
