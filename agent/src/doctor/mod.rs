//! `doctor`: is this machine fit to serve, and if not, which command mends it?
//!
//! | module | owns |
//! |---|---|
//! | [`check_id`] | the stable names of all checks |
//! | [`report`] | what is told: checks, outcome, exit code |
//! | `subject` | what the checks share, read or asked once |
//! | `examine` | running all checks at once, each within its time |
//! | `checks` | the checks, one file per group |
//! | `fix` | the commands that are printed, for this system and for how the agent runs |
//! | [`bundle`] | the archive for support, without secrets |
//!
//! Everything ends within five seconds: every step has a time limit of its own, and what hangs is reported as such
//! and holds nothing up. The doctor changes nothing but one probe file in the state directory. It sends what
//! authenticates this node, and asks one token of a runtime through the proxy, which makes a receipt like any other.

pub mod bundle;
pub mod check_id;
mod checks;
mod examine;
mod fix;
pub mod report;
mod subject;

pub use check_id::CheckId;
pub use examine::{GroupSnapshot, Snapshot, examine};
pub use report::{Check, Counts, Outcome, Report, SCHEMA_VERSION};
pub use subject::Subject;
