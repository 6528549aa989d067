//! A stand-in for `libnvidia-ml.so.1`: the driver's library, playing the machine of a JSON file.
//!
//! Owns the part of NVML's C interface that the agent calls. The agent loads it as it would load the real one;
//! nothing in the agent knows that it is not. For tests only. What is played follows NVIDIA's documentation of the
//! interface; no real card was at hand.
#![expect(
    unsafe_code,
    reason = "a C interface: pointers come from the caller, who keeps to NVML's documentation"
)]

mod machine;

use machine::{Answer, Card, Handle, Machine};
use nvml_wrapper_sys::bindings as sys;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};
use std::path::PathBuf;
use std::sync::Mutex;
use sys::{nvmlDevice_t, nvmlEventSet_t, nvmlReturn_t};

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
    nvmlDeviceGetTotalEnergyConsumption(millijoule: *mut c_ulonglong), "energy_mj", card =>
        put(card.energy_mj, millijoule);
    nvmlDeviceGetComputeRunningProcesses_v3(count: *mut c_uint, infos: *mut sys::nvmlProcessInfo_t), "processes", card =>
        put_processes(&card, count, infos);
    nvmlDeviceGetMigMode(current: *mut c_uint, pending: *mut c_uint), "mig", card => match card.mig {
        Some(mig) => {
            put(c_uint::from(mig.enabled), current);
            put(c_uint::from(mig.pending), pending)
        }
        None => sys::nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED,
    };
    nvmlDeviceGetMaxMigDeviceCount(count: *mut c_uint), "mig", card =>
        put(card.mig.map_or(0, |mig| mig.instances.len() as c_uint), count);
    nvmlDeviceGetSupportedEventTypes(kinds: *mut c_ulonglong), "events", _card =>
        put(c_ulonglong::from(sys::nvmlEventTypeXidCriticalError), kinds);
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

/// As NVML does it: too little room is told with the number that would fit.
///
/// # Safety
/// `count` must be writable and `infos` have room for as many.
unsafe fn put_processes(
    card: &Card,
    count: *mut c_uint,
    infos: *mut sys::nvmlProcessInfo_t,
) -> nvmlReturn_t {
    // SAFETY: as the caller promises.
    unsafe {
        let room = *count as usize;
        put(card.processes.len() as c_uint, count);
        if card.processes.len() > room {
            return sys::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;
        }
        for (place, process) in card.processes.iter().enumerate() {
            let info = sys::nvmlProcessInfo_t {
                pid: process.pid,
                usedGpuMemory: process.memory_used,
                gpuInstanceId: c_uint::MAX,
                computeInstanceId: c_uint::MAX,
            };
            put(info, infos.add(place));
        }
    }
    SUCCESS
}

/// The file that this library was loaded from.
#[cfg(unix)]
fn own_path() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    // SAFETY: `dladdr` only looks the address up; the name lives as long as the library.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let here = nvmlShutdown as *const std::ffi::c_void;
        (libc::dladdr(here, &raw mut info) != 0 && !info.dli_fname.is_null()).then_some(())?;
        let name = CStr::from_ptr(info.dli_fname);
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes())))
    }
}

#[cfg(not(unix))]
fn own_path() -> Option<PathBuf> {
    None
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    let machine = Machine::now();
    if machine.init == Answer::Ok {
        machine::open(&machine);
    }
    machine.init.code()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    machine::shut();
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> nvmlReturn_t {
    let machine = Machine::now();
    // A driver that was replaced under an open library refuses it.
    if machine.init != Answer::Ok {
        return machine.init.code();
    }
    if machine.is_stale() {
        return Answer::Unknown.code();
    }
    let cards = c_uint::try_from(machine.cards.len()).unwrap_or(c_uint::MAX);
    // SAFETY: NVML's callers hand in a writable place.
    unsafe { put(cards, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    let index = index as usize;
    if Machine::now().is_stale() {
        return Answer::Unknown.code();
    }
    if index >= Machine::now().cards.len() {
        return sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
    }
    // SAFETY: NVML's callers hand in a writable place.
    unsafe {
        put_handle(
            Handle {
                card: index,
                part: None,
            },
            device,
        )
    }
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

/// Hands out a handle; a card that hangs does so here, as a real one may.
///
/// # Safety
/// `device` must be writable.
unsafe fn put_handle(handle: Handle, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    machine::asked(handle.card);
    // SAFETY: as the caller promises; the handle is a number that is never followed.
    unsafe { put(std::ptr::without_provenance_mut(handle.number()), device) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    // SAFETY: NVML's callers hand in a C string.
    let bus = unsafe { CStr::from_ptr(bus) }
        .to_string_lossy()
        .into_owned();
    // NVML takes domains of four and of eight digits.
    let plain = |pci: &str| pci.to_ascii_lowercase().trim_start_matches('0').to_owned();
    let machine = Machine::now();
    if machine.is_stale() {
        return Answer::Unknown.code();
    }
    let cards = machine.cards;
    let Some(card) = cards
        .iter()
        .position(|card| plain(&card.pci) == plain(&bus))
    else {
        return sys::nvmlReturn_enum_NVML_ERROR_NOT_FOUND;
    };
    // SAFETY: NVML's callers hand in a writable place.
    unsafe { put_handle(Handle { card, part: None }, device) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    parent: nvmlDevice_t,
    index: c_uint,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    let place = index as usize;
    let card = match Machine::card(parent as usize, "mig") {
        Ok(card) => card,
        Err(code) => return code,
    };
    match (Handle::of(parent as usize), card.part(place)) {
        // SAFETY: NVML's callers hand in a writable place.
        (Some(parent), Some(_)) => unsafe {
            put_handle(
                Handle {
                    part: Some(place),
                    ..parent
                },
                device,
            )
        },
        _ => sys::nvmlReturn_enum_NVML_ERROR_NOT_FOUND,
    }
}

/// Faults that each event set was told of, by the number of the set.
static TOLD: Mutex<Vec<usize>> = Mutex::new(Vec::new());

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetCreate(set: *mut nvmlEventSet_t) -> nvmlReturn_t {
    let Ok(mut told) = TOLD.lock() else {
        return sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN;
    };
    // A set tells of what happens after it was made.
    told.push(Machine::now().faults.len());
    // SAFETY: NVML's callers hand in a writable place; the handle is a number that is never followed.
    unsafe { put(std::ptr::without_provenance_mut(told.len()), set) }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceRegisterEvents(
    device: nvmlDevice_t,
    _kinds: c_ulonglong,
    _set: nvmlEventSet_t,
) -> nvmlReturn_t {
    // Every set of this machine tells of all its cards.
    Machine::card(device as usize, "events").map_or_else(|code| code, |_| SUCCESS)
}

#[unsafe(no_mangle)]
extern "C" fn nvmlEventSetFree(_set: nvmlEventSet_t) -> nvmlReturn_t {
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlEventSetWait_v2(
    set: nvmlEventSet_t,
    data: *mut sys::nvmlEventData_t,
    _timeout_ms: c_uint,
) -> nvmlReturn_t {
    let Ok(mut told) = TOLD.lock() else {
        return sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN;
    };
    let Some(count) = (set as usize)
        .checked_sub(1)
        .and_then(|set| told.get_mut(set))
    else {
        return sys::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
    };
    let Some(fault) = Machine::now().faults.get(*count).copied() else {
        return sys::nvmlReturn_enum_NVML_ERROR_TIMEOUT;
    };
    *count += 1;
    let handle = Handle {
        card: fault.card,
        part: None,
    };
    let event = sys::nvmlEventData_t {
        device: std::ptr::without_provenance_mut(handle.number()),
        eventType: c_ulonglong::from(sys::nvmlEventTypeXidCriticalError),
        eventData: fault.xid,
        gpuInstanceId: c_uint::MAX,
        computeInstanceId: c_uint::MAX,
    };
    // SAFETY: NVML's callers hand in a writable place.
    unsafe { put(event, data) }
}
