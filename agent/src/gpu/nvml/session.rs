//! The open library with its subscription to faults.
//!
//! Owns the pair: the subscription borrows the library and must end before it. Waiting for events never blocks, so
//! nothing wakes up for it; what happened lies in the driver's queue until it is asked for.
#![expect(
    unsafe_code,
    reason = "an event set borrows the library it came from, and both live in one struct; handles of cards are \
              compared as numbers"
)]

use nvml_wrapper::Nvml;
#[cfg(target_os = "linux")]
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::event::EventSet;
use std::ffi::OsStr;
use std::ptr::NonNull;

/// Most faults that are taken at one look.
const FAULTS_AT_ONCE: usize = 64;
/// NVIDIA's number for a fault without one.
const UNKNOWN_XID: u64 = 999;

/// The library, open.
pub(super) struct Session {
    nvml: NonNull<Nvml>,
    events: Option<EventSet<'static>>,
    /// Handle and index of the cards whose faults are told.
    watched: Vec<(usize, u32)>,
}

// SAFETY: `Nvml` and `EventSet` are both `Send`, and the pointer is the only one to its box.
unsafe impl Send for Session {}

impl Session {
    /// Loads the library and connects to the driver.
    pub(super) fn open(library: Option<&OsStr>) -> Result<Self, NvmlError> {
        let mut builder = Nvml::builder();
        if let Some(path) = library {
            builder.lib_path(path);
        }
        let nvml = Box::new(builder.init()?);
        Ok(Self {
            nvml: NonNull::from(Box::leak(nvml)),
            events: None,
            watched: Vec::new(),
        })
    }

    /// The library.
    pub(super) fn nvml(&self) -> &Nvml {
        // SAFETY: the box lives until `drop`, and nobody has a unique reference to it.
        unsafe { self.nvml.as_ref() }
    }

    /// Whether faults of any card are told.
    pub(super) fn hears_of_faults(&self) -> bool {
        self.events.is_some()
    }

    /// Asks the driver to tell of the faults of the card at this address from now on, where it can.
    #[cfg(target_os = "linux")]
    pub(super) fn watch(&mut self, index: u32, pci: &str) {
        // SAFETY: the library outlives the set and the handle: `drop` ends the set first.
        let nvml: &'static Nvml = unsafe { self.nvml.as_ref() };
        let Ok(device) = nvml.device_by_pci_bus_id(pci) else {
            return;
        };
        // SAFETY: the handle is compared and never used.
        let handle = unsafe { device.handle() } as usize;
        let tells = || {
            let kinds = device.supported_event_types();
            kinds.is_ok_and(|kinds| kinds.contains(EventTypes::CRITICAL_XID_ERROR))
        };
        if self.watched.contains(&(handle, index)) || !tells() {
            return;
        }
        let Some(set) = self.events.take().or_else(|| nvml.create_event_set().ok()) else {
            return;
        };
        // A set that failed is gone, and with it what the other cards were asked for.
        match device.register_events(EventTypes::CRITICAL_XID_ERROR, set) {
            Ok(set) => {
                self.events = Some(set);
                self.watched.push((handle, index));
            }
            Err(_) => self.watched.clear(),
        }
    }

    /// NVIDIA's library tells of faults on Linux only.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn watch(&mut self, _index: u32, _pci: &str) {}

    /// Faults since the last call: index of the card and number of the fault.
    pub(super) fn faults(&self) -> Vec<(u32, u64)> {
        let Some(events) = &self.events else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        while faults.len() < FAULTS_AT_ONCE {
            let Ok(event) = events.wait(0) else {
                break;
            };
            // SAFETY: the handle is compared and never used.
            let handle = unsafe { event.device.handle() } as usize;
            let card = self.watched.iter().find(|(watched, _)| *watched == handle);
            let (Some((_, index)), Some(xid)) = (card, event.event_data) else {
                break;
            };
            let xid = match xid {
                XidError::Value(number) => number,
                XidError::Unknown => UNKNOWN_XID,
            };
            faults.push((*index, xid));
        }
        faults
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.events.take());
        // SAFETY: the pointer came from a box, the only borrower is gone, and nobody uses it after this.
        drop(unsafe { Box::from_raw(self.nvml.as_ptr()) });
    }
}
