//! What the doctor says: checks, their outcome, and the exit code that follows.

use crate::cli::VERSION;
use serde::Serialize;
use std::time::Duration;

/// Version of the JSON form. Fields may be added within a version, never change their meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It could not be made, or does not concern this machine.
    Skip,
    /// As it should be.
    Ok,
    /// It works, but not for long or not well.
    Warn,
    /// It does not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name, `group.name`.
    pub id: String,
    /// Its group.
    pub group: &'static str,
    /// What was looked at.
    pub looked_at: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The finding in a sentence.
    pub finding: String,
    /// A command that mends it.
    pub fix: Option<String>,
}

impl Check {
    /// A check that has not ended yet.
    pub fn new(group: &'static str, name: &str, looked_at: &str) -> Self {
        Self {
            id: format!("{group}.{name}"),
            group,
            looked_at: looked_at.to_owned(),
            outcome: Outcome::Skip,
            finding: String::new(),
            fix: None,
        }
    }

    fn end(mut self, outcome: Outcome, finding: &str, fix: Option<String>) -> Self {
        self.outcome = outcome;
        finding.clone_into(&mut self.finding);
        self.fix = fix;
        self
    }

    /// All is well.
    #[must_use]
    pub fn ok(self, finding: &str) -> Self {
        self.end(Outcome::Ok, finding, None)
    }

    /// It works, but.
    #[must_use]
    pub fn warn(self, finding: &str, fix: Option<String>) -> Self {
        self.end(Outcome::Warn, finding, fix)
    }

    /// It does not work.
    #[must_use]
    pub fn fail(self, finding: &str, fix: Option<String>) -> Self {
        self.end(Outcome::Fail, finding, fix)
    }

    /// It could not be made.
    #[must_use]
    pub fn skip(self, finding: &str) -> Self {
        self.end(Outcome::Skip, finding, None)
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As they should be.
    pub ok: usize,
    /// Working, but.
    pub warn: usize,
    /// Not working.
    pub fail: usize,
    /// Not made.
    pub skip: usize,
}

/// All checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this program.
    pub agent_version: &'static str,
    /// The worst outcome; `ok` where nothing is worse.
    pub result: Outcome,
    /// How many ended how.
    pub counts: Counts,
    /// How long it took, ms.
    pub took_ms: u64,
    /// Every check, in the order of the groups.
    pub checks: Vec<Check>,
}

impl Report {
    /// Sums the checks up.
    pub fn new(checks: Vec<Check>, took: Duration) -> Self {
        let mut counts = Counts::default();
        for check in &checks {
            match check.outcome {
                Outcome::Skip => counts.skip += 1,
                Outcome::Ok => counts.ok += 1,
                Outcome::Warn => counts.warn += 1,
                Outcome::Fail => counts.fail += 1,
            }
        }
        let worst = checks.iter().map(|check| check.outcome).max();
        Self {
            schema_version: SCHEMA_VERSION,
            agent_version: VERSION,
            result: worst.unwrap_or(Outcome::Ok).max(Outcome::Ok),
            counts,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            checks,
        }
    }

    /// 1 where a check fails, 2 where one warns and `strict` asks for it, else 0.
    pub fn exit_code(&self, strict: bool) -> u8 {
        match self.result {
            Outcome::Fail => 1,
            Outcome::Warn if strict => 2,
            Outcome::Warn | Outcome::Ok | Outcome::Skip => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_decides_the_exit_code() {
        let check = || Check::new("g", "n", "x");
        let code =
            |checks: Vec<Check>, strict| Report::new(checks, Duration::ZERO).exit_code(strict);
        assert_eq!(code(vec![], true), 0);
        assert_eq!(code(vec![check().skip("-")], true), 0);
        assert_eq!(
            code(vec![check().ok("-"), check().warn("-", None)], false),
            0
        );
        assert_eq!(
            code(vec![check().ok("-"), check().warn("-", None)], true),
            2
        );
        assert_eq!(
            code(vec![check().fail("-", None), check().warn("-", None)], true),
            1
        );
    }
}
