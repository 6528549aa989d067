//! The flags that are asked too often to read them from the database each time.
//!
//! They are set where an admin changes them, and read from the database at start: one server works on one database.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether receipts whose signature does not hold are refused.
pub const SIGNATURE_VERIFY: &str = "enable_signature_verify";
/// Whether people without an account see the overview.
pub const ANONYMOUS_OVERVIEW: &str = "allow_anonymous_overview";

/// What is done with a receipt whose signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signatures {
    /// It is refused, and its node goes into quarantine.
    Required,
    /// It is kept as one that is not verified.
    NotRequired,
}

/// The values; all are on until an admin changes them.
#[derive(Debug)]
pub struct Switches {
    signature_verify: AtomicBool,
    anonymous_overview: AtomicBool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            signature_verify: AtomicBool::new(true),
            anonymous_overview: AtomicBool::new(true),
        }
    }
}

impl Switches {
    /// Takes over the value of a flag; others than these are nothing to it.
    pub fn set(&self, name: &str, enabled: bool) {
        let switch = match name {
            SIGNATURE_VERIFY => &self.signature_verify,
            ANONYMOUS_OVERVIEW => &self.anonymous_overview,
            _ => return,
        };
        switch.store(enabled, Ordering::Relaxed);
    }

    /// What is done with a receipt whose signature does not hold.
    pub fn signatures(&self) -> Signatures {
        match self.signature_verify.load(Ordering::Relaxed) {
            true => Signatures::Required,
            false => Signatures::NotRequired,
        }
    }

    /// Whether people without an account see the overview.
    pub fn anonymous_overview(&self) -> bool {
        self.anonymous_overview.load(Ordering::Relaxed)
    }
}
