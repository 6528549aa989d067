//! macOS's device registry (IOKit): reading properties of devices, without root.
//!
//! Owns the references: an [`Entry`] is released when it is dropped. Reading a property wakes no device.
#![expect(
    unsafe_code,
    reason = "IOKit is a C interface; each call keeps to its documented ownership"
)]

use objc2_core_foundation::{
    CFDictionary, CFNumber, CFRetained, CFString, CFType, kCFAllocatorDefault,
};
use objc2_io_kit::{
    IOObjectRelease, IORegistryEntryCreateCFProperty, IORegistryEntryIDMatching,
    IOServiceGetMatchingService, IOServiceMatching, io_service_t,
};
use std::ffi::CStr;

/// IOKit's main port: 0 stands for it in every version of macOS.
const MAIN_PORT: libc::mach_port_t = 0;

/// A device in the registry.
pub(crate) struct Entry(io_service_t);

/// A dictionary of numbers among a device's properties.
pub(crate) struct Numbers(CFRetained<CFDictionary<CFString, CFType>>);

impl Entry {
    /// The first device of a class.
    pub(crate) fn of_class(class: &CStr) -> Option<Self> {
        // SAFETY: the class is a C string; the call takes the dictionary over.
        let service = unsafe {
            let wanted = IOServiceMatching(class.as_ptr())?;
            IOServiceGetMatchingService(MAIN_PORT, Some(CFRetained::<CFDictionary>::from(&wanted)))
        };
        (service != 0).then_some(Self(service))
    }

    /// The device with this id, as Metal tells it.
    pub(crate) fn of_id(id: u64) -> Option<Self> {
        // SAFETY: any number may be asked for; the call takes the dictionary over.
        let service = unsafe {
            let wanted = IORegistryEntryIDMatching(id)?;
            IOServiceGetMatchingService(MAIN_PORT, Some(CFRetained::<CFDictionary>::from(&wanted)))
        };
        (service != 0).then_some(Self(service))
    }

    /// A property that is text.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let text = self.property(key)?.downcast::<CFString>().ok()?;
        Some(text.to_string())
    }

    /// A property that is a dictionary.
    pub(crate) fn numbers(&self, key: &str) -> Option<Numbers> {
        let dictionary = self.property(key)?.downcast::<CFDictionary>().ok()?;
        // SAFETY: dictionaries of the registry have texts for keys and objects for values.
        Some(Numbers(unsafe { CFRetained::cast_unchecked(dictionary) }))
    }

    fn property(&self, key: &str) -> Option<CFRetained<CFType>> {
        let key = CFString::from_str(key);
        // SAFETY: the entry is alive; what comes back is ours to release, which `CFRetained` does.
        unsafe { IORegistryEntryCreateCFProperty(self.0, Some(&key), kCFAllocatorDefault, 0) }
    }
}

impl Numbers {
    /// The number under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        let value = self.0.get(&CFString::from_str(key))?;
        value.downcast_ref::<CFNumber>()?.as_f64()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Nothing can be done about a reference that is none.
        let _ = IOObjectRelease(self.0);
    }
}
