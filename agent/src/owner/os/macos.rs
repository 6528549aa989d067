//! macOS: the time since the last key or movement, from the I/O registry; works for a daemon without a screen too.
#![expect(unsafe_code, reason = "IOKit and CoreFoundation are C")]

use dgon_agent_core::owner::Input;
use std::ffi::{CStr, c_char, c_void};

type CfType = *const c_void;

const UTF8: u32 = 0x0800_0100;
/// `kCFNumberSInt64Type`
const SINT64: isize = 4;

#[link(name = "IOKit", kind = "framework")]
unsafe extern "C" {
    fn IOServiceMatching(name: *const c_char) -> CfType;
    fn IOServiceGetMatchingService(main_port: u32, matching: CfType) -> u32;
    fn IORegistryEntryCreateCFProperty(
        entry: u32,
        key: CfType,
        allocator: CfType,
        options: u32,
    ) -> CfType;
    fn IOObjectRelease(object: u32) -> i32;
}

#[link(name = "CoreFoundation", kind = "framework")]
unsafe extern "C" {
    fn CFStringCreateWithCString(allocator: CfType, text: *const c_char, encoding: u32) -> CfType;
    fn CFGetTypeID(value: CfType) -> usize;
    fn CFNumberGetTypeID() -> usize;
    fn CFNumberGetValue(number: CfType, kind: isize, out: *mut c_void) -> u8;
    fn CFRelease(value: CfType);
}

/// Since when nobody has used keyboard or mouse.
pub(in crate::owner) fn input() -> Input {
    match idle_ns() {
        Some(ns) => Input::IdleFor(ns / 1_000_000_000),
        None => Input::Unseen("this Mac has no keyboard or mouse service".to_owned()),
    }
}

fn idle_ns() -> Option<u64> {
    const SERVICE: &CStr = c"IOHIDSystem";
    const KEY: &CStr = c"HIDIdleTime";
    // SAFETY: the name ends with NUL. The dictionary is given away in the next call, which consumes it.
    let matching = unsafe { IOServiceMatching(SERVICE.as_ptr()) };
    if matching.is_null() {
        return None;
    }
    // SAFETY: 0 means the default port; `matching` is the live dictionary from above.
    let service = unsafe { IOServiceGetMatchingService(0, matching) };
    if service == 0 {
        return None;
    }
    // SAFETY: the text ends with NUL; the string is released below.
    let key = unsafe { CFStringCreateWithCString(std::ptr::null(), KEY.as_ptr(), UTF8) };
    let value = if key.is_null() {
        std::ptr::null()
    } else {
        // SAFETY: `service` and `key` are live; the property is released below.
        unsafe { IORegistryEntryCreateCFProperty(service, key, std::ptr::null(), 0) }
    };
    let idle = number(value);
    for object in [key, value] {
        if !object.is_null() {
            // SAFETY: we own each of them, once.
            unsafe { CFRelease(object) };
        }
    }
    // SAFETY: we own the service handle.
    unsafe { IOObjectRelease(service) };
    idle
}

fn number(value: CfType) -> Option<u64> {
    if value.is_null() {
        return None;
    }
    // SAFETY: `value` is a live CoreFoundation object.
    let is_number = unsafe { CFGetTypeID(value) == CFNumberGetTypeID() };
    let mut out = 0i64;
    // SAFETY: `value` is a number, and `out` has room for the type that is asked for.
    let is_read = is_number
        && unsafe { CFNumberGetValue(value, SINT64, (&raw mut out).cast::<c_void>()) } != 0;
    is_read.then(|| u64::try_from(out).ok()).flatten()
}
