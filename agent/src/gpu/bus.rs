//! The PCI bus as the kernel shows it in sysfs: who is on it and who sleeps. Nothing here wakes a card.
//!
//! Only files of the kernel's PCI core are read: those of a card's own driver may wake the card. On systems without
//! sysfs there is nothing to be found, so nothing sleeps.

use std::fs;
use std::path::{Path, PathBuf};

/// PCI class of display controllers.
const DISPLAY: &str = "0x03";
/// Names of PCI devices, where `hwdata` or `pciutils` installed them.
const NAMES: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];
/// A file of sysfs has at most a page.
const ATTRIBUTE_BYTES: u64 = 4096;
/// A list of names is not read beyond this.
const NAMES_BYTES: u64 = 16 << 20;

/// Where sysfs is.
#[derive(Debug, Clone)]
pub struct Bus {
    root: PathBuf,
    names: Vec<PathBuf>,
    kernel_log: PathBuf,
}

/// A display controller on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PciCard {
    /// Such as `0000:3b:00.0`.
    pub(super) address: String,
    /// Vendor and device in the order of `lspci`, such as `10de:2684`.
    pub(super) id: String,
    /// Suspended to save power.
    pub(super) asleep: bool,
}

impl Bus {
    /// This machine's.
    pub fn system() -> Self {
        Self {
            root: PathBuf::from("/sys"),
            names: NAMES.map(PathBuf::from).to_vec(),
            kernel_log: PathBuf::from("/dev/kmsg"),
        }
    }

    /// A recorded machine: sysfs below `root`, with the names in `root/pci.ids` and the kernel's log in `root/kmsg`.
    pub fn recorded(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            names: vec![root.join("pci.ids")],
            kernel_log: root.join("kmsg"),
        }
    }

    /// Where sysfs begins.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the machine's device tree is, on systems that have one.
    pub(super) fn device_tree(&self) -> PathBuf {
        self.root.join("firmware/devicetree/base")
    }

    /// The kernel's log.
    pub(super) fn kernel_log(&self) -> &Path {
        &self.kernel_log
    }

    /// The display controllers of a vendor such as `10de`, by address.
    pub(super) fn cards(&self, vendor: &str) -> Vec<PciCard> {
        let Ok(entries) = fs::read_dir(self.devices()) else {
            return Vec::new();
        };
        let mut cards: Vec<PciCard> = entries
            .flatten()
            .filter_map(|entry| card(&entry.path(), vendor))
            .collect();
        cards.sort_by(|a, b| a.address.cmp(&b.address));
        cards
    }

    /// Whether the card at this PCI address is suspended. NVML writes `00000000:3B:00.0` where sysfs writes
    /// `0000:3b:00.0`.
    pub(super) fn is_asleep(&self, pci: &str) -> bool {
        address(pci).is_some_and(|address| is_suspended(&self.devices().join(address)))
    }

    /// What the list of PCI devices calls `id`; the name in brackets is the one on the box.
    pub(super) fn name_of(&self, id: &str) -> Option<String> {
        let (vendor, device) = id.split_once(':')?;
        let file = self.names.iter().find_map(|path| read(path, NAMES_BYTES))?;
        let of_vendor = file
            .lines()
            .skip_while(|line| !line.starts_with(vendor))
            .skip(1)
            .take_while(|line| line.starts_with(['\t', '#']) || line.is_empty());
        let name = of_vendor
            .filter_map(|line| line.strip_prefix('\t'))
            .find_map(|line| line.strip_prefix(device)?.strip_prefix("  "))?;
        let on_the_box = name
            .split_once('[')
            .and_then(|(_, rest)| rest.strip_suffix(']'));
        Some(on_the_box.unwrap_or(name).to_owned())
    }

    fn devices(&self) -> PathBuf {
        self.root.join("bus/pci/devices")
    }
}

fn card(device: &Path, vendor: &str) -> Option<PciCard> {
    let number = |name: &str| {
        Some(
            attribute(&device.join(name))?
                .trim_start_matches("0x")
                .to_owned(),
        )
    };
    let is_ours =
        attribute(&device.join("class"))?.starts_with(DISPLAY) && number("vendor")? == vendor;
    is_ours.then_some(())?;
    Some(PciCard {
        address: device.file_name()?.to_str()?.to_owned(),
        id: format!("{vendor}:{}", number("device")?),
        asleep: is_suspended(device),
    })
}

/// One value of sysfs.
pub(super) fn attribute(path: &Path) -> Option<String> {
    read(path, ATTRIBUTE_BYTES).map(|text| text.trim().to_owned())
}

/// Whether the kernel has suspended a device of sysfs.
pub(super) fn is_suspended(device: &Path) -> bool {
    attribute(&device.join("power/runtime_status")).is_some_and(|status| status == "suspended")
}

/// An address as sysfs writes it; `None` for what is none.
pub(super) fn address(pci: &str) -> Option<String> {
    let pci = pci.to_ascii_lowercase();
    let (domain, rest) = pci.split_once(':')?;
    let domain = domain.trim_start_matches('0');
    let plain = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
    let is_plain = !rest.contains("..") && domain.chars().chain(rest.chars()).all(plain);
    is_plain.then(|| format!("{domain:0>4}:{rest}"))
}

fn read(path: &Path, max_bytes: u64) -> Option<String> {
    let bytes = crate::files::read_small(path, max_bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(root: &Path, address: &str, files: &[(&str, &str)]) {
        let device = root.join("bus/pci/devices").join(address);
        fs::create_dir_all(device.join("power")).unwrap();
        for (name, text) in files {
            fs::write(device.join(name), text).unwrap();
        }
    }

    #[test]
    fn a_suspended_card_is_asleep_by_either_spelling() {
        let dir = tempfile::tempdir().unwrap();
        device(
            dir.path(),
            "0000:3b:00.0",
            &[("power/runtime_status", "suspended\n")],
        );
        device(
            dir.path(),
            "0000:af:00.0",
            &[("power/runtime_status", "active\n")],
        );
        let bus = Bus::recorded(dir.path());
        assert!(bus.is_asleep("00000000:3B:00.0"));
        assert!(bus.is_asleep("0000:3b:00.0"));
        assert!(!bus.is_asleep("00000000:AF:00.0"));
        assert!(!bus.is_asleep("00000000:B0:00.0"));
        assert_eq!(address("0:../../etc"), None);
    }

    #[test]
    fn only_display_controllers_of_the_vendor_count() {
        let dir = tempfile::tempdir().unwrap();
        let of = |vendor, class| [("vendor", vendor), ("class", class), ("device", "0x2684\n")];
        device(dir.path(), "0000:00:02.0", &of("0x8086\n", "0x030000\n"));
        device(dir.path(), "0000:02:00.1", &of("0x10de\n", "0x040300\n"));
        let bus = Bus::recorded(dir.path());
        assert_eq!(bus.cards("10de"), []);
        device(dir.path(), "0000:02:00.0", &of("0x10de\n", "0x030200\n"));
        let card = PciCard {
            address: "0000:02:00.0".to_owned(),
            id: "10de:2684".to_owned(),
            asleep: false,
        };
        assert_eq!(bus.cards("10de"), [card]);
    }

    #[test]
    fn names_come_from_the_list_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let bus = Bus::recorded(dir.path());
        assert_eq!(bus.name_of("10de:2684"), None);
        let list = "# list\n1002  AMD\n\t2684  Not this\n10de  NVIDIA Corporation\n\t0020  NV4 [Riva TNT]\n\
                    \t\t1043 0200  V3400\n\t2684  AD102 [GeForce RTX 4090]\n\t2685  Plain\n8086  Intel\n\t9999  Other\n";
        fs::write(dir.path().join("pci.ids"), list).unwrap();
        assert_eq!(bus.name_of("10de:2684").unwrap(), "GeForce RTX 4090");
        assert_eq!(bus.name_of("10de:2685").unwrap(), "Plain");
        assert_eq!(bus.name_of("10de:9999"), None);
    }
}
