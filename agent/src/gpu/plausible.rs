//! Readings that drivers give in place of "not known": zeros, and the largest number of the type.
//!
//! They come without an error code, so they would be shown as facts: a card without memory, process 0 that holds
//! 16 EiB, a card at 4294967295 degrees. What cannot be is dropped, and is then unknown like any other.

use super::card::Process;

/// Hottest temperature that is believed, °C: silicon is dead before.
const HOTTEST_C: f32 = 150.0;
/// Coldest temperature that is believed, °C.
const COLDEST_C: f32 = -60.0;
/// Largest power of one card that is believed, W.
const MOST_W: f32 = 10_000.0;
/// Largest memory of one card that is believed, bytes: 1 PiB.
const MOST_BYTES: u64 = 1 << 50;
/// The 32-bit "not known", widened by a driver.
const UNKNOWN_32: u64 = u32::MAX as u64;

/// A whole memory, bytes: neither none nor more than there can be.
pub(super) fn total_bytes(bytes: u64) -> Option<u64> {
    (bytes > 0 && bytes != UNKNOWN_32 && bytes <= MOST_BYTES).then_some(bytes)
}

/// Memory in use, bytes. More than `total` is told where the driver counts nothing.
pub(super) fn used_bytes(bytes: u64, total: Option<u64>) -> Option<u64> {
    let most = total.unwrap_or(MOST_BYTES);
    (bytes <= most && bytes != UNKNOWN_32).then_some(bytes)
}

/// A counter that only goes up.
pub(super) fn count(count: u64) -> Option<u64> {
    (count != u64::MAX && count != UNKNOWN_32).then_some(count)
}

/// A share, percent.
pub(super) fn percent(percent: f32) -> Option<f32> {
    (0.0..=100.0).contains(&percent).then_some(percent)
}

/// A temperature, °C.
pub(super) fn celsius(celsius: f32) -> Option<f32> {
    (COLDEST_C..=HOTTEST_C)
        .contains(&celsius)
        .then_some(celsius)
}

/// A power, W.
pub(super) fn watts(watts: f32) -> Option<f32> {
    (0.0..=MOST_W).contains(&watts).then_some(watts)
}

/// The processes that can be: 0 is the system's idle task, and no process has the largest number.
pub(super) fn processes(mut all: Vec<Process>) -> Vec<Process> {
    all.retain(|process| process.pid != 0 && process.pid != u32::MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_unknown() {
        for sentinel in [0, u64::MAX, UNKNOWN_32, u64::MAX - 1] {
            assert_eq!(total_bytes(sentinel), None, "{sentinel}");
        }
        assert_eq!(total_bytes(8 << 30), Some(8 << 30));
        assert_eq!(used_bytes(0, Some(8)), Some(0));
        assert_eq!(used_bytes(9, Some(8)), None);
        assert_eq!(used_bytes(u64::MAX, None), None);
        assert_eq!(count(0), Some(0));
        assert_eq!((count(u64::MAX), count(UNKNOWN_32)), (None, None));
        assert_eq!((percent(100.0), percent(65_535.0)), (Some(100.0), None));
        assert_eq!((celsius(0.0), celsius(4_294_967_295.0)), (Some(0.0), None));
        assert_eq!((watts(0.0), watts(4_294_967.5)), (Some(0.0), None));
    }
}
