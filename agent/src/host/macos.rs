//! macOS: the machine's UUID from IOKit, the boot session's from the kernel.
#![expect(
    unsafe_code,
    reason = "the kernel's settings are read by a C call into a buffer of known size"
)]

use crate::iokit::Entry;
use std::ffi::CStr;

pub(super) fn boot_id() -> Option<String> {
    let name: &CStr = c"kern.bootsessionuuid";
    let mut text = [0_u8; 64];
    let mut bytes = text.len();
    // SAFETY: the kernel writes at most `bytes` into the buffer and tells how many it wrote.
    let answer = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            text.as_mut_ptr().cast(),
            &raw mut bytes,
            std::ptr::null_mut(),
            0,
        )
    };
    let text = CStr::from_bytes_until_nul(&text).ok()?.to_str().ok()?;
    (answer == 0 && !text.is_empty()).then(|| text.to_owned())
}

pub(super) fn machine_id() -> Option<String> {
    Entry::of_class(c"IOPlatformExpertDevice")?.text("IOPlatformUUID")
}
