//! The machine itself: what the inventory and the handshake say of it.
//!
//! What the system does not tell is absent. The hardware hash lets the network see that two enrolments are one
//! machine without learning its serial numbers.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as os;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as os;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod other;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use other as os;

use dgon_protocol::frame::{Gpu, Host};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Domain of the hardware hash.
const HARDWARE_CONTEXT: &str = "dgon hardware_hash v1";
const MIB: u64 = 1024 * 1024;
/// The backend whose cards all have an id.
const NVML: &str = "nvml";

/// Looks at the machine.
pub fn survey() -> Host {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    let cpus = system.as_ref().map_or(&[][..], System::cpus);
    let known = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let cores = u32::try_from(cpus.len()).ok();
    Host {
        os_version: System::long_os_version().ok().as_deref().and_then(known),
        cpu: cpus.first().and_then(|cpu| known(cpu.brand())),
        cores: cores.filter(|count| *count > 0),
        memory_mib: system
            .map(|system| system.total_memory() / MIB)
            .filter(|mib| *mib > 0),
    }
}

/// Memory of the machine, MiB.
pub fn memory_mib() -> Option<u64> {
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok()?;
    Some(system.total_memory() / MIB).filter(|mib| *mib > 0)
}

/// Operating system as the wire names it: `linux`, `macos`, `windows`.
pub fn os() -> &'static str {
    std::env::consts::OS
}

/// Architecture as the wire names it: `x86_64`, `aarch64`.
pub fn arch() -> &'static str {
    std::env::consts::ARCH
}

/// A text that changes with every start of the machine.
pub fn boot_id() -> String {
    os::boot_id().unwrap_or_else(|| match System::boot_time() {
        Ok(unix_s) => format!("boot-{unix_s}"),
        Err(_) => "boot-unknown".to_owned(),
    })
}

/// `blake3:` hash over the machine id and the GPUs' UUIDs; absent where the machine has neither.
pub fn hardware_hash(gpus: &[Gpu]) -> Option<String> {
    hash(os::machine_id().as_deref(), gpus)
}

fn hash(machine_id: Option<&str>, gpus: &[Gpu]) -> Option<String> {
    // A card that sleeps since the agent started has not told its id yet: no hash is better than another one later.
    let is_unknown = |gpu: &Gpu| gpu.uuid.is_none() && gpu.backend == NVML;
    if gpus.iter().any(is_unknown) {
        return None;
    }
    let mut uuids: Vec<&str> = gpus.iter().filter_map(|gpu| gpu.uuid.as_deref()).collect();
    uuids.sort_unstable();
    if machine_id.is_none() && uuids.is_empty() {
        return None;
    }
    let mut material = machine_id.unwrap_or_default().to_owned();
    for uuid in uuids {
        material.push('\n');
        material.push_str(uuid);
    }
    let hash = blake3::derive_key(HARDWARE_CONTEXT, material.as_bytes());
    Some(format!("blake3:{}", dgon_protocol::key::hex(&hash)))
}

/// CPU use between two calls.
#[derive(Debug)]
pub struct CpuSampler {
    /// Absent where the system tells nothing.
    system: Option<System>,
    sampled: bool,
}

impl Default for CpuSampler {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuSampler {
    /// Starts a measurement.
    pub fn new() -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
        }
        Self {
            system,
            sampled: false,
        }
    }

    /// Percent of all cores since the last call; unknown where too little time passed for a measurement.
    pub fn sample(&mut self) -> Option<f32> {
        let system = self.system.as_mut()?;
        system.refresh_cpu_usage();
        let usage = system.global_cpu_usage();
        // Before the first interval has passed, 0 means "not measured yet".
        self.sampled |= usage > 0.0;
        (self.sampled && usage.is_finite()).then(|| usage.clamp(0.0, 100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uuid: &str) -> Gpu {
        Gpu {
            index: 0,
            name: "x".to_owned(),
            uuid: Some(uuid.to_owned()),
            backend: "nvml".to_owned(),
            ..Gpu::default()
        }
    }

    #[test]
    fn the_hash_follows_the_hardware_and_not_the_order() {
        let one = hash(Some("m"), &[gpu("a"), gpu("b")]).unwrap();
        assert_eq!(hash(Some("m"), &[gpu("b"), gpu("a")]).unwrap(), one);
        assert_ne!(hash(Some("m"), &[gpu("a")]).unwrap(), one);
        assert_ne!(hash(Some("n"), &[gpu("a"), gpu("b")]).unwrap(), one);
        assert_ne!(hash(None, &[gpu("a"), gpu("b")]).unwrap(), one);
        assert!(one.starts_with("blake3:") && one.len() == 71);
        assert_eq!(hash(None, &[]), None);
        let unknown = Gpu {
            uuid: None,
            ..gpu("")
        };
        assert_eq!(hash(Some("m"), &[gpu("a"), unknown]), None);
    }

    #[test]
    fn this_machine_tells_its_cores_and_memory() {
        let host = survey();
        assert!(host.cores.is_some_and(|cores| cores > 0));
        assert!(host.memory_mib.is_some_and(|mib| mib > 100));
        assert_eq!(boot_id(), boot_id());
    }
}
