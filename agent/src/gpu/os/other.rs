//! Windows and the rest: NVIDIA cards through NVML; other cards cannot be read, and that is said.

use super::KernelFault;
use crate::gpu::{Backend, Finding, FindingKind, Nvml, Survey};
use dgon_protocol::frame::GpuLoad;
use std::path::Path;

/// The sources of this system.
pub(in crate::gpu) fn backends() -> Vec<Box<dyn Backend>> {
    vec![Box::new(Nvml::from_environment()), Box::new(Unsupported)]
}

/// A process's command line: unsupported here; the driver names the program.
pub(in crate::gpu) fn command_line(_pid: u32) -> Option<String> {
    None
}

/// Faults in the kernel's log: unsupported here.
pub(in crate::gpu) fn kernel_faults(_log: &Path) -> Option<Vec<KernelFault>> {
    None
}

/// Cards that are not NVIDIA's.
struct Unsupported;

impl Backend for Unsupported {
    fn survey(&mut self) -> Survey {
        Survey::of_finding(Finding::of_machine(
            FindingKind::Unsupported,
            "on this system only NVIDIA cards are read; others may be there and serve, but are not shown",
        ))
    }

    fn loads(&mut self) -> Vec<GpuLoad> {
        Vec::new()
    }
}
