//! The agent's data plane: what every request passes, and nothing else.
//!
//! | module | owns |
//! |---|---|
//! | [`accept`] | what a listener does when the system refuses it a connection |
//! | [`admission`] | the one door for all work: limits, drain |
//! | [`proxy`] | from a client's request to the runtime's answer, measured |
//! | [`runtime`] | what is known of a runtime, and connecting to it |
//! | [`sink`] | the seam between measuring a request and signing its receipt |
//! | [`receipts`] | signing, order and durability: one writer thread |
//! | [`spool`] | receipts on the disk |
//! | [`mode`] | whether the node takes work from the network |
//! | [`liveness`] | what parts promise to the watchdog |
//! | [`stream`] | a connection, encrypted or not, as one type |
//! | [`mod@own_command`] | how messages spell a command of this program |
//! | [`clock`] | the wall clock as the numbers that receipts and frames carry |
//!
//! A crate of its own so that it is built for speed while the rest of the agent is built for size, and so that it
//! knows nothing of commands, configuration, drivers or the control plane.

pub mod accept;
pub mod admission;
pub mod clock;
pub mod liveness;
pub mod mode;
pub mod own_command;
pub mod proxy;
pub mod receipts;
pub mod runtime;
pub mod sink;
pub mod spool;
pub mod stream;
