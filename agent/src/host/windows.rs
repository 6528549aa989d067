//! Windows: the machine's id from the registry; the start time stands in for the boot id.
#![expect(
    unsafe_code,
    reason = "the registry is read by a C call into a buffer of known size"
)]

use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RegGetValueW};
use windows_sys::w;

pub(super) fn boot_id() -> Option<String> {
    None
}

pub(super) fn machine_id() -> Option<String> {
    let mut text = [0_u16; 64];
    let mut bytes = u32::try_from(size_of_val(&text)).ok()?;
    // SAFETY: both names are constants that end with a NUL; the call writes at most `bytes` into the buffer.
    let answer = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!("SOFTWARE\\Microsoft\\Cryptography"),
            w!("MachineGuid"),
            RRF_RT_REG_SZ,
            std::ptr::null_mut(),
            text.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    let end = text.iter().position(|unit| *unit == 0)?;
    let id = String::from_utf16(&text[..end]).ok()?;
    (answer == 0 && !id.is_empty()).then_some(id)
}
