//! Windows: the time since the last key or movement in this session, and the local time.
//!
//! A service lives in a session of its own, which has no keyboard: it is told so, and judges by requests alone.
#![expect(unsafe_code, reason = "the Windows API is C")]

use dgon_agent_core::owner::Input;

#[repr(C)]
struct LastInputInfo {
    size: u32,
    tick_ms: u32,
}

#[repr(C)]
#[derive(Default)]
struct SystemTime {
    year: u16,
    month: u16,
    day_of_week: u16,
    day: u16,
    hour: u16,
    minute: u16,
    second: u16,
    milliseconds: u16,
}

#[link(name = "user32", kind = "raw-dylib")]
unsafe extern "system" {
    fn GetLastInputInfo(info: *mut LastInputInfo) -> i32;
}

#[link(name = "kernel32", kind = "raw-dylib")]
unsafe extern "system" {
    fn GetTickCount() -> u32;
    fn GetLocalTime(now: *mut SystemTime);
    fn ProcessIdToSessionId(process: u32, session: *mut u32) -> i32;
}

/// Since when nobody has used keyboard or mouse.
pub(in crate::owner) fn input() -> Input {
    let mut session = 0;
    // SAFETY: `session` has room for the answer.
    let is_known = unsafe { ProcessIdToSessionId(std::process::id(), &raw mut session) } != 0;
    if !is_known || session == 0 {
        return Input::Unseen("a Windows service sees no keyboard".to_owned());
    }
    let mut info = LastInputInfo {
        size: size_of::<LastInputInfo>() as u32,
        tick_ms: 0,
    };
    // SAFETY: `info` is live and says its own size.
    if unsafe { GetLastInputInfo(&raw mut info) } == 0 {
        return Input::Unseen("Windows does not tell the last input".to_owned());
    }
    // SAFETY: it takes nothing. It wraps every 49.7 days, and so does the other.
    let now_ms = unsafe { GetTickCount() };
    Input::IdleFor(u64::from(now_ms.wrapping_sub(info.tick_ms)) / 1000)
}

/// Minute of the day by the local clock.
pub(in crate::owner) fn minute_of_day() -> Option<u16> {
    let mut now = SystemTime::default();
    // SAFETY: `now` has room for the answer.
    unsafe { GetLocalTime(&raw mut now) };
    Some(now.hour * 60 + now.minute)
}
