//! Whether the node takes work from the network: what its owner and the control plane ordered, and the owner's limits.
//!
//! | module | owns |
//! |---|---|
//! | [`orders`] | the orders of owner and control plane, and what follows from them and the limits |
//! | [`limits`] | the owner's limits as they are set |
//! | [`observation`] | what is observed of the machine, once per look |
//! | [`judge`] | what each limit says to what is observed |
//!
//! Invariants: an order of the control plane never lifts one of the owner; a limit more never makes a node serve;
//! what cannot be observed stops nothing and is said. Requests of the machine's own users are no work of the network
//! and are not decided here.

pub mod judge;
pub mod limits;
pub mod observation;
pub mod orders;

pub use judge::{Judge, Judgement, Limit, Verdict};
pub use limits::{Limits, QuietSpan};
pub use observation::{Activity, GpuSeen, Input, Observation};
pub use orders::{Decision, Mode, NetworkOrder, Orders, decide};
