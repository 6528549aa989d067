//! What only the operating system knows about cards: whether one is on the bus, whether one sleeps.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::{has_nvidia_card, is_asleep};
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(super) use other::{has_nvidia_card, is_asleep};
