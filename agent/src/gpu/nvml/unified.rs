//! NVIDIA's parts whose GPU has no memory of its own: GB10 (DGX Spark) and Tegra (Jetson).
//!
//! NVML has no question for it. The part's name says it, or two facts together: the driver does not tell the memory,
//! and the machine itself says that it is a Tegra. One of them alone does not: a driver that tells nothing may be an
//! old one, and a Tegra board can have a card plugged in, which tells its memory.

use crate::gpu::Bus;

/// Words of the names of GPUs that share the machine's memory.
const NAMES: [&str; 6] = ["GB10", "Tegra", "Orin", "Xavier", "Thor", "nvgpu"];
/// How a Tegra's device tree begins to name it.
const TEGRA: &str = "nvidia,tegra";

/// Whether this part shares the machine's memory: `None` where it cannot be told.
pub(super) fn is_unified(name: &str, tells_memory: bool, bus: &Bus) -> Option<bool> {
    let is_known = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| NAMES.iter().any(|known| word.eq_ignore_ascii_case(known)));
    if is_known || tells_memory {
        return Some(is_known);
    }
    is_tegra(bus).then_some(true)
}

/// The machine's device tree lists what it is compatible with, apart by zeros.
fn is_tegra(bus: &Bus) -> bool {
    let compatible = crate::files::read_small(&bus.device_tree().join("compatible"), 4096);
    compatible.is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0)
            .any(|part| part.starts_with(TEGRA.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_or_two_facts_say_it() {
        let dir = tempfile::tempdir().unwrap();
        let bus = Bus::recorded(dir.path());
        assert_eq!(is_unified("NVIDIA GB10", false, &bus), Some(true));
        assert_eq!(is_unified("Orin (nvgpu)", false, &bus), Some(true));
        assert_eq!(is_unified("NVIDIA GB10", true, &bus), Some(true));
        assert_eq!(is_unified("NVIDIA H200", true, &bus), Some(false));
        assert_eq!(is_unified("NVIDIA Authority 6000", false, &bus), None);
        let tree = bus.device_tree();
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("compatible"), b"nvidia,p3768\0nvidia,tegra234\0").unwrap();
        assert_eq!(is_unified("GPU", false, &bus), Some(true));
        assert_eq!(is_unified("NVIDIA RTX A2000", true, &bus), Some(false));
    }
}
