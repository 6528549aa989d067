//! A stand-in for `libnvidia-ml.so.1`: the driver's library, playing the machine of a JSON file.
//!
//! Owns the part of NVML's C interface that the agent calls. The agent loads it as it would load the real one;
//! nothing in the agent knows that it is not. For tests only.
#![expect(
    unsafe_code,
    reason = "a C interface: pointers come from the caller, who keeps to NVML's documentation"
)]

mod machine;

use machine::{Card, Machine};
use nvml_wrapper_sys::bindings as sys;
use std::ffi::{c_char, c_int, c_uint, c_ulonglong};
use sys::{nvmlDevice_t, nvmlReturn_t};

const SUCCESS: nvmlReturn_t = sys::nvmlReturn_enum_NVML_SUCCESS;

/// Writes a C string into the caller's buffer of `room` bytes.
///
/// # Safety
/// `buffer` must have room for `room` bytes.
unsafe fn put_text(text: &str, buffer: *mut c_char, room: usize) -> nvmlReturn_t {
    if text.len() >= room {
        return sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;
    }
    // SAFETY: the text and its final NUL fit, as was just checked.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    SUCCESS
}

/// Writes a value where the caller wants it.
///
/// # Safety
/// `place` must be writable.
unsafe fn put<T>(value: T, place: *mut T) -> nvmlReturn_t {
    // SAFETY: as the caller promises.
    unsafe { place.write(value) };
    SUCCESS
}

/// Questions about one card: the handle and the sensor are checked before the answer is written.
macro_rules! of_card {
    ($($name:ident($($argument:ident: $kind:ty),*), $sensor:literal, $card:ident => $answer:expr;)*) => {
        $(#[unsafe(no_mangle)]
        unsafe extern "C" fn $name(device: nvmlDevice_t, $($argument: $kind),*) -> nvmlReturn_t {
            match Machine::card(device as usize, $sensor) {
                // SAFETY: NVML's callers hand in places of the documented type and size.
                Ok($card) => unsafe { $answer },
                Err(code) => code,
            }
        })*
    };
}

of_card! {
    nvmlDeviceGetName(buffer: *mut c_char, room: c_uint), "name", card =>
        put_text(&card.name, buffer, room as usize);
    nvmlDeviceGetUUID(buffer: *mut c_char, room: c_uint), "uuid", card =>
        put_text(&card.uuid, buffer, room as usize);
    nvmlDeviceGetMemoryInfo_v2(memory: *mut sys::nvmlMemory_v2_t), "memory", card =>
        put(memory_of(&card, (*memory).version), memory);
    nvmlDeviceGetUtilizationRates(rates: *mut sys::nvmlUtilization_t), "util_pct", card =>
        put(sys::nvmlUtilization_t { gpu: card.util_pct, memory: 0 }, rates);
    nvmlDeviceGetTemperature(_sensor: c_uint, celsius: *mut c_uint), "temp_c", card =>
        put(card.temp_c, celsius);
    nvmlDeviceGetPowerUsage(milliwatt: *mut c_uint), "power_mw", card =>
        put(card.power_mw, milliwatt);
    nvmlDeviceGetCurrentClocksThrottleReasons(bits: *mut c_ulonglong), "throttle", card =>
        put(card.throttle, bits);
    nvmlDeviceGetTotalEccErrors(_kind: c_uint, _counter: c_uint, count: *mut c_ulonglong), "ecc_uncorrected", card =>
        put(card.ecc_uncorrected, count);
    nvmlDeviceGetPciInfo_v3(info: *mut sys::nvmlPciInfo_t), "pci", card => {
        info.write_bytes(0, 1);
        let legacy = (&raw mut (*info).busIdLegacy).cast();
        let bus = (&raw mut (*info).busId).cast();
        match put_text(&card.pci, bus, 32) {
            SUCCESS => put_text(card.pci.get(4..).unwrap_or_default(), legacy, 16),
            code => code,
        }
    };
}

fn memory_of(card: &Card, version: c_uint) -> sys::nvmlMemory_v2_t {
    sys::nvmlMemory_v2_t {
        version,
        total: card.memory_total,
        reserved: 0,
        free: card.memory_total.saturating_sub(card.memory_used),
        used: card.memory_used,
    }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    Machine::now().init.code()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> nvmlReturn_t {
    let cards = c_uint::try_from(Machine::now().cards.len()).unwrap_or(c_uint::MAX);
    // SAFETY: NVML's callers hand in a writable place.
    unsafe { put(cards, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    let index = index as usize;
    if index >= Machine::now().cards.len() {
        return sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
    }
    // SAFETY: NVML's callers hand in a writable place; the handle is a number that is never followed.
    unsafe { put(std::ptr::without_provenance_mut(index + 1), device) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(buffer: *mut c_char, room: c_uint) -> nvmlReturn_t {
    // SAFETY: NVML's callers hand in a buffer of that size.
    unsafe { put_text(&Machine::now().driver, buffer, room as usize) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> nvmlReturn_t {
    // SAFETY: NVML's callers hand in a writable place.
    unsafe { put(Machine::now().cuda, version) }
}
