//! Runtimes that refuse to be asked for usage: found out once, and not asked again until they change.

use crate::runtime::{Endpoint, FoundRuntime, RuntimeKind};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Which runtimes refuse. One that is another kind or version than it was is asked again.
#[derive(Debug, Default)]
pub(super) struct UsageRefusals(Mutex<HashMap<Endpoint, Known>>);

#[derive(Debug, PartialEq, Eq)]
struct Known {
    kind: RuntimeKind,
    version: Option<String>,
}

impl Known {
    fn of(runtime: &FoundRuntime) -> Self {
        Self {
            kind: runtime.kind,
            version: runtime.version.clone(),
        }
    }
}

impl UsageRefusals {
    /// Whether a runtime is known to refuse.
    pub(super) fn has(&self, runtime: &FoundRuntime) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&runtime.endpoint) {
            None => false,
            Some(known) if *known == Known::of(runtime) => true,
            Some(_) => {
                all.remove(&runtime.endpoint);
                false
            }
        }
    }

    /// Remembers that a runtime refuses. There are no more entries than the owner's machine has endpoints.
    pub(super) fn add(&self, runtime: &FoundRuntime) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(runtime.endpoint.clone(), Known::of(runtime));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_changes_is_asked_again() {
        let refusals = UsageRefusals::default();
        let mut runtime = FoundRuntime::new(RuntimeKind::Vllm, Endpoint::new("127.0.0.1", 8000));
        assert!(!refusals.has(&runtime));
        refusals.add(&runtime);
        assert!(refusals.has(&runtime));
        let other = FoundRuntime::new(RuntimeKind::Vllm, Endpoint::new("127.0.0.1", 8001));
        assert!(!refusals.has(&other));
        runtime.version = Some("2".to_owned());
        assert!(!refusals.has(&runtime));
        runtime.version = None;
        assert!(!refusals.has(&runtime), "it was forgotten");
    }
}
