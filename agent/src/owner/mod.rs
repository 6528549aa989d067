//! The owner's controls: pause, drain, resume, and the limits of agent.yaml's section `owner`.
//!
//! | module | owns |
//! |---|---|
//! | [`report`] | what is shown of all this, to `status`, `doctor` and the console |
//! | [`saved`] | the order that survives a restart, in the state directory |
//! | [`observer`] | looking at the machine: local time, people, GPUs |
//! | [`limits_task`] | the task that looks while a limit is set |
//! | `os` | what each operating system says of the people at the machine, and the local time |
//!
//! The rules themselves are [`dgon_agent_core::owner`]. Invariants: an order of the owner is on disk before it is
//! confirmed; a file that cannot be read pauses the node; nothing is polled while no limit is set.

pub mod limits_task;
pub mod observer;
mod os;
pub mod report;
pub mod saved;

pub use limits_task::LimitsTask;
pub use observer::{Observer, limits_of};
pub use report::{OwnerReport, examine, notes};
