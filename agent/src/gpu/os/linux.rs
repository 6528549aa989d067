//! Linux: sysfs, read without waking anything.

use std::fs;
use std::path::Path;

const PCI_DEVICES: &str = "/sys/bus/pci/devices";
const NVIDIA: &str = "0x10de";
/// PCI class of display controllers.
const DISPLAY: &str = "0x03";

/// Whether an NVIDIA card is on the bus.
pub(in crate::gpu) fn has_nvidia_card() -> bool {
    has_nvidia_card_in(Path::new(PCI_DEVICES))
}

/// Whether the card at this PCI address is suspended.
pub(in crate::gpu) fn is_asleep(pci: &str) -> bool {
    is_asleep_in(Path::new(PCI_DEVICES), pci)
}

fn has_nvidia_card_in(devices: &Path) -> bool {
    let Ok(entries) = fs::read_dir(devices) else {
        return false;
    };
    let starts = |path: &Path, prefix: &str| {
        fs::read_to_string(path).is_ok_and(|text| text.starts_with(prefix))
    };
    entries.flatten().any(|entry| {
        let device = entry.path();
        starts(&device.join("vendor"), NVIDIA) && starts(&device.join("class"), DISPLAY)
    })
}

/// NVML writes `00000000:3B:00.0` where sysfs writes `0000:3b:00.0`.
fn is_asleep_in(devices: &Path, pci: &str) -> bool {
    let pci = pci.to_ascii_lowercase();
    let Some((domain, rest)) = pci.split_once(':') else {
        return false;
    };
    let domain = domain.trim_start_matches('0');
    let plain = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
    if !domain.chars().chain(rest.chars()).all(plain) {
        return false;
    }
    let status = devices.join(format!("{domain:0>4}:{rest}/power/runtime_status"));
    fs::read_to_string(status).is_ok_and(|text| text.trim() == "suspended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_card_is_asleep_by_either_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let power = dir.path().join("0000:3b:00.0/power");
        fs::create_dir_all(&power).unwrap();
        fs::write(power.join("runtime_status"), "suspended\n").unwrap();
        assert!(is_asleep_in(dir.path(), "00000000:3B:00.0"));
        assert!(is_asleep_in(dir.path(), "0000:3b:00.0"));
        fs::write(power.join("runtime_status"), "active\n").unwrap();
        assert!(!is_asleep_in(dir.path(), "00000000:3B:00.0"));
        assert!(!is_asleep_in(dir.path(), "00000000:af:00.0"));
        assert!(!is_asleep_in(dir.path(), "0:../../etc"));
    }

    #[test]
    fn only_a_display_controller_of_the_vendor_counts() {
        let dir = tempfile::tempdir().unwrap();
        let device = |name: &str, vendor: &str, class: &str| {
            let device = dir.path().join(name);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("vendor"), vendor).unwrap();
            fs::write(device.join("class"), class).unwrap();
        };
        device("a", "0x8086\n", "0x030000\n");
        device("b", "0x10de\n", "0x040300\n");
        assert!(!has_nvidia_card_in(dir.path()));
        device("c", "0x10de\n", "0x030200\n");
        assert!(has_nvidia_card_in(dir.path()));
    }
}
