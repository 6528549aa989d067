//! The GPUs of this machine: what they are, how loaded they are, what is wrong with them.
//!
//! One [`Backend`] per source behind one trait; a new source is one new file. What a card does not tell is
//! absent, never 0. A missing driver is a finding, not an error; a machine without a GPU is served by its CPU.
//! Calls into drivers can block for seconds, so callers run them off the async threads.

mod findings;
mod nvml;
mod os;

pub use findings::{Finding, FindingKind, Severity};
pub use nvml::Nvml;

use dgon_protocol::frame::{Gpu, GpuLoad};
use serde::Serialize;

/// Answer of a machine without any GPU that can be read.
pub const CPU_ONLY: &str = "cpu";

/// One card with what it tells now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// What it is.
    pub gpu: Gpu,
    /// How loaded it is.
    pub load: GpuLoad,
    /// Why its clocks are held down, where the source says.
    pub throttle: Option<Vec<&'static str>>,
    /// Memory errors since the driver loaded that could not be corrected, where the source counts them.
    pub ecc_uncorrected: Option<u64>,
}

/// What one look at the machine found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Survey {
    /// The cards, by index.
    pub cards: Vec<Card>,
    /// What is wrong or worth knowing.
    pub findings: Vec<Finding>,
}

impl Survey {
    /// The cards as the inventory carries them.
    pub fn gpus(&self) -> Vec<Gpu> {
        self.cards.iter().map(|card| card.gpu.clone()).collect()
    }

    /// What read the cards: the first card's backend, or [`CPU_ONLY`].
    pub fn backend(&self) -> &str {
        self.cards
            .first()
            .map_or(CPU_ONLY, |card| card.gpu.backend.as_str())
    }
}

/// A source of cards.
pub trait Backend: Send {
    /// Everything about every card, and what is wrong.
    fn survey(&mut self) -> Survey;

    /// The load alone, of the cards that answer; cheap enough for every heartbeat. Does not wake a sleeping card.
    fn loads(&mut self) -> Vec<GpuLoad>;
}

/// All sources of this machine.
pub struct Detector {
    backends: Vec<Box<dyn Backend>>,
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
    /// The sources that this build knows. Nothing is opened yet.
    pub fn new() -> Self {
        Self {
            backends: vec![Box::new(Nvml::from_environment())],
        }
    }

    /// Looks at every card.
    pub fn survey(&mut self) -> Survey {
        let mut all = Survey::default();
        for backend in &mut self.backends {
            let Survey { cards, findings } = backend.survey();
            all.cards.extend(cards);
            all.findings.extend(findings);
        }
        all
    }

    /// The load of every card.
    pub fn loads(&mut self) -> Vec<GpuLoad> {
        self.backends
            .iter_mut()
            .flat_map(|backend| backend.loads())
            .collect()
    }
}
