//! What the doctor says: checks, their outcome, and the exit code that follows.

use super::CheckId;
use crate::cli::VERSION;
use serde::Serialize;
use std::time::Duration;

/// Version of the JSON form. Fields and checks may be added within a version, never change their meaning.
pub const SCHEMA_VERSION: u32 = 2;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// Stable name, `group.what`.
    pub id: CheckId,
    /// Its group.
    pub group: &'static str,
    /// Which of several it is about, such as `GPU 0` or `ollama at http://127.0.0.1:11434`.
    pub subject: Option<String>,
    /// What was looked at.
    pub looked_at: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The finding in a sentence.
    pub finding: String,
    /// A command that mends it, or that shows who can; on every warning and failure.
    pub fix: Option<String>,
}

impl Check {
    /// A check that has not ended yet.
    pub fn new(id: CheckId, looked_at: impl Into<String>) -> Self {
        Self {
            id,
            group: id.group(),
            subject: None,
            looked_at: looked_at.into(),
            outcome: Outcome::Skip,
            finding: String::new(),
            fix: None,
        }
    }

    /// Says which of several it is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    fn end(mut self, outcome: Outcome, finding: impl Into<String>, fix: Option<String>) -> Self {
        self.outcome = outcome;
        self.finding = finding.into();
        self.fix = fix;
        self
    }

    /// All is well.
    #[must_use]
    pub fn ok(self, finding: impl Into<String>) -> Self {
        self.end(Outcome::Ok, finding, None)
    }

    /// It works, but.
    #[must_use]
    pub fn warn(self, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        self.end(Outcome::Warn, finding, Some(fix.into()))
    }

    /// It does not work.
    #[must_use]
    pub fn fail(self, finding: impl Into<String>, fix: impl Into<String>) -> Self {
        self.end(Outcome::Fail, finding, Some(fix.into()))
    }

    /// It could not be made.
    #[must_use]
    pub fn skip(self, finding: impl Into<String>) -> Self {
        self.end(Outcome::Skip, finding, None)
    }
}

/// How many checks ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// What `dgon-agent doctor --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(title = "dgon-agent doctor --json"))]
pub struct Report {
    /// Version of this form. Fields and checks may be added within a version, never change their meaning.
    pub schema_version: u32,
    /// Version of this program.
    pub agent_version: &'static str,
    /// The worst outcome; `ok` where nothing is worse.
    pub result: Outcome,
    /// How many ended how.
    pub counts: Counts,
    /// How long it took, ms.
    pub took_ms: u64,
    /// Every check at least once, in a fixed order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Sums the checks up.
    pub fn new(mut checks: Vec<Check>, took: Duration) -> Self {
        checks.sort_by_key(|check| check.id);
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
        let check = || Check::new(CheckId::DiskFree, "x");
        let code =
            |checks: Vec<Check>, strict| Report::new(checks, Duration::ZERO).exit_code(strict);
        let warn = || check().warn("-", "-");
        assert_eq!(code(vec![], true), 0);
        assert_eq!(code(vec![check().skip("-")], true), 0);
        assert_eq!(code(vec![check().ok("-"), warn()], false), 0);
        assert_eq!(code(vec![check().ok("-"), warn()], true), 2);
        assert_eq!(code(vec![check().fail("-", "-"), warn()], true), 1);
    }
}
