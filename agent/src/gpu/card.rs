//! What is told of a card, and of the machine's cards together.

use super::findings::{Finding, FindingKind};
use dgon_protocol::frame::{Gpu, GpuLoad};
use serde::Serialize;
use std::collections::BTreeMap;

/// Answer of a machine without any GPU that can be read.
pub const CPU_ONLY: &str = "cpu";
/// From here on cards slow down or age, °C.
pub const HOT_C: f32 = 88.0;

/// One card with what it tells now.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Card {
    /// What it is.
    pub gpu: Gpu,
    /// How loaded it is.
    pub load: GpuLoad,
    /// Suspended to save power. It is not asked, so that it stays so; what is told of it is what was known before.
    pub asleep: bool,
    /// Why its clocks are held down, where the source says.
    pub throttle: Option<Vec<&'static str>>,
    /// Memory errors since the driver loaded that could not be corrected, where the source counts them.
    pub ecc_uncorrected: Option<u64>,
    /// The driver's faults (NVIDIA: Xid) on this card, the newest of each code, where they can be read.
    pub faults: Option<Vec<Fault>>,
    /// Whether the card is split into instances, where it can be.
    pub mig: Option<MigMode>,
    /// Who holds its memory, where the source says.
    pub processes: Option<Vec<Process>>,
    /// What the card does not tell, by the name of the field, and why.
    pub missing: BTreeMap<&'static str, String>,
}

/// Whether a card is split into instances, now and after its next reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MigMode {
    /// Now.
    pub enabled: bool,
    /// After a reset.
    pub pending: bool,
}

/// A fault that the driver told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// NVIDIA's number of it.
    pub xid: u64,
    /// What it means, in a few words.
    pub meaning: &'static str,
    /// When, s since the machine started; unknown where the source does not say.
    pub at_uptime_s: Option<u64>,
}

/// A process that computes on a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its program, where this user may know it.
    pub name: Option<String>,
    /// The LLM runtime that it is part of, as the wire names it.
    pub runtime: Option<&'static str>,
    /// Memory that it holds on the card, MiB.
    pub vram_mib: Option<u64>,
}

impl Card {
    /// What is wrong with a card that works.
    pub fn findings(&self) -> Vec<Finding> {
        let index = self.gpu.index;
        let mut all = Vec::new();
        if self.load.temp_c.is_some_and(|celsius| celsius >= HOT_C) {
            let heat = format!("{:.0} °C", self.load.temp_c.unwrap_or_default());
            all.push(Finding::of_card(FindingKind::Hot, index, &heat));
        }
        match self.throttle.as_deref() {
            None | Some([]) => {}
            Some(reasons) => {
                let reasons = reasons.join(", ");
                all.push(Finding::of_card(FindingKind::Throttled, index, &reasons));
            }
        }
        if let Some(count) = self.ecc_uncorrected.filter(|count| *count > 0) {
            let count = count.to_string();
            all.push(Finding::of_card(FindingKind::MemoryErrors, index, &count));
        }
        for fault in self.faults.iter().flatten() {
            let told = format!("{} ({})", fault.xid, fault.meaning);
            all.push(Finding::of_card(FindingKind::Xid, index, &told));
        }
        all
    }

    /// Memory that LLM runtimes hold, MiB; unknown where the source names no processes.
    pub fn runtime_vram_mib(&self) -> Option<u64> {
        runtime_vram_mib(self.processes.as_deref()?)
    }
}

/// Memory that the LLM runtimes among `processes` hold, MiB; unknown where one of them does not tell.
pub(super) fn runtime_vram_mib(processes: &[Process]) -> Option<u64> {
    let of_runtimes = processes.iter().filter(|process| process.runtime.is_some());
    of_runtimes.map(|process| process.vram_mib).sum()
}

/// What one look at the machine found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Survey {
    /// The cards, by index.
    pub cards: Vec<Card>,
    /// What is wrong with drivers and with cards that do not answer, and what is worth knowing. What is wrong with
    /// a card that answers is told by [`Card::findings`].
    pub findings: Vec<Finding>,
}

impl Survey {
    /// A survey without a card.
    pub(super) fn of_finding(finding: Finding) -> Self {
        Self {
            cards: Vec::new(),
            findings: vec![finding],
        }
    }

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

    /// Every finding: of the machine, and of each card.
    pub fn all_findings(&self) -> Vec<Finding> {
        let of_cards = self.cards.iter().flat_map(Card::findings);
        self.findings.iter().cloned().chain(of_cards).collect()
    }
}
