//! What the operating system says of the local time and of the people at the machine. `cfg` of the system stays in
//! this file; where it says nothing, the answer says why.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::input;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(super) use macos::input;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(super) use windows::{input, minute_of_day};
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod other;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub(super) use other::input;

#[cfg(unix)]
mod unix_time;
#[cfg(unix)]
pub(super) use unix_time::minute_of_day;
