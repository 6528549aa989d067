//! Two system calls that have no safe wrapper: reading another process's CPU clock, and asking it to end.
#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::time::Duration;

/// CPU time that a process has used so far, user and system, all its threads: in nanoseconds, where
/// `/proc/PID/stat` counts in steps of 10 ms. Linux only.
#[cfg(target_os = "linux")]
pub(crate) fn cpu_of(pid: u32) -> Option<Duration> {
    // The clock of a process by its number, as clock_getcpuclockid(3) makes it.
    let clock = (!i32::try_from(pid).ok()? << 3) | 2;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a place of the type that the call writes, and lives until it returns.
    let read = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    (read == 0).then(|| Duration::new(seconds, nanos))
}

/// Unknown here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn cpu_of(_pid: u32) -> Option<Duration> {
    None
}

/// Asks a program to end, so that it can take its own children with it.
#[cfg(unix)]
pub(crate) fn ask_to_end(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: the call takes numbers alone; a process that is gone already is no harm.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

/// Nobody can be asked here.
#[cfg(not(unix))]
pub(crate) fn ask_to_end(_pid: u32) {}
