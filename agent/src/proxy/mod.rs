//! The metering proxy: stands in front of the runtimes, passes bytes through and measures.

pub mod sink;
