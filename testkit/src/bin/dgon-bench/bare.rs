//! One bare strict verification of a signature on this machine now: what a receipt cannot cost less than.
//!
//! It is measured by a program of its own (`protocol/examples/bare_verify.rs`), built as the server is. Where the CPU has
//! AVX-512 IFMA the goals are about the verification without it, so that program is there in a second build.

use crate::report::median;
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Time from one sample to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// What one run of the program says.
#[derive(serde::Deserialize)]
struct Sample {
    us: f64,
    has_ifma: bool,
}

fn sample(program: &Path) -> Result<Sample> {
    let output = Command::new(program).output();
    let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
    ensure!(output.status.success(), "{} failed", program.display());
    serde_json::from_slice(&output.stdout).context("a bare verification tells its time")
}

/// Samples that were taken while something else was measured.
#[derive(Default)]
pub(crate) struct Bare {
    built_as_ours: Vec<f64>,
    avx2: Vec<f64>,
    has_ifma: bool,
}

impl Bare {
    /// Takes samples for so long, a second apart.
    pub(crate) fn take_for(&mut self, bin: &Path, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let (ours, avx2) = (
            bin.join("examples/bare_verify"),
            bin.join("examples/bare_verify_avx2"),
        );
        while Instant::now() < end {
            let one = sample(&ours)?;
            self.built_as_ours.push(one.us);
            self.has_ifma = one.has_ifma;
            if avx2.exists() {
                self.avx2.push(sample(&avx2)?.us);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Whether the CPU has the instructions of the faster backend.
    pub(crate) fn has_ifma(&self) -> bool {
        self.has_ifma
    }

    /// The time that goals are about, µs.
    pub(crate) fn us(&self) -> f64 {
        match self.avx2.is_empty() {
            true => median(&self.built_as_ours),
            false => median(&self.avx2),
        }
    }

    /// For a person: this, and the time with the faster backend where there is one.
    pub(crate) fn told(&self) -> String {
        let ours = median(&self.built_as_ours);
        match (self.has_ifma, self.avx2.is_empty()) {
            (true, false) => format!("bare verify {:.1} µs, {ours:.1} with IFMA", self.us()),
            (true, true) => format!("bare verify {ours:.1} µs with IFMA"),
            (false, _) => format!("bare verify {ours:.1} µs, no IFMA"),
        }
    }

    /// How many times the verification something costs; the same of the faster one where there is one.
    pub(crate) fn ratio(&self, us: f64) -> String {
        let ours = median(&self.built_as_ours);
        let first = us / self.us();
        match self.has_ifma && !self.avx2.is_empty() {
            true => format!("{first:.2}× ({:.2}× with IFMA)", us / ours),
            false => format!("{first:.2}×"),
        }
    }
}
