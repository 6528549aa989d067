//! macOS: Metal and IOKit. There is no NVML here, and no kernel log of NVIDIA faults.

mod metal;

use super::KernelFault;
use crate::gpu::Backend;
use std::path::Path;

/// The sources of this system.
pub(in crate::gpu) fn backends() -> Vec<Box<dyn Backend>> {
    vec![Box::new(metal::Metal::default())]
}

/// A process's command line: macOS names no processes of a GPU, so nobody asks.
pub(in crate::gpu) fn command_line(_pid: u32) -> Option<String> {
    None
}

/// NVIDIA's faults: there are none here.
pub(in crate::gpu) fn kernel_faults(_log: &Path) -> Option<Vec<KernelFault>> {
    None
}
