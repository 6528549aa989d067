//! The spool under everything that a disk and a power socket can do to it.

mod fault_disk;
mod faults;
mod kill;
mod model;
mod receipts;
