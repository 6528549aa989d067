//! Systems that tell neither.

/// Whether an NVIDIA card is on the bus: unknown, so no.
pub(in crate::gpu) fn has_nvidia_card() -> bool {
    false
}

/// Whether the card at this PCI address is suspended: unknown, so no.
pub(in crate::gpu) fn is_asleep(_pci: &str) -> bool {
    false
}
