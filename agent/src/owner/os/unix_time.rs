//! Unix: the local time by the rules of the time zone in force.
#![expect(
    unsafe_code,
    reason = "the system's calendar is only to be had through libc"
)]

use std::time::{SystemTime, UNIX_EPOCH};

unsafe extern "C" {
    /// POSIX: reads `TZ` and the zone's file again. The libc crate does not declare it for Unix.
    fn tzset();
}

/// Minute of the day by the local clock. Follows a zone that was changed while the agent runs.
pub(in crate::owner) fn minute_of_day() -> Option<u16> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    minute_at(since.as_secs())
}

fn minute_at(unix_s: u64) -> Option<u16> {
    // As wide as the system has it, which musl is about to change.
    let unix_s = unix_s.try_into().ok()?;
    let mut local = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: tzset takes nothing and is thread-safe in glibc, musl and macOS as long as nobody changes the
    // environment meanwhile; this program never does.
    unsafe { tzset() };
    // SAFETY: both pointers are valid for the call, and localtime_r keeps neither.
    let filled = unsafe { libc::localtime_r(&raw const unix_s, local.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: zeroed is a valid value of this plain struct, and localtime_r has filled it in.
    let local = unsafe { local.assume_init() };
    u16::try_from(local.tm_hour * 60 + local.tm_min).ok()
}
