//! When keys were used, noted beside the requests: once a minute for each, and all that wait at once, at most every second.
//! What does not fit is not noted: a use that is missing harms nobody.

use dgon_control_plane_store::api_keys::{KeyUse, USE_NOTED_MS};
use dgon_control_plane_store::{Store, System};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Keys that are remembered.
const KEYS_MAX: usize = 10_000;
/// Uses that wait to be written.
const WAITING_MAX: usize = 1_000;
const PAUSE: Duration = Duration::from_secs(1);

/// The uses. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyUses(Arc<Mutex<Uses>>);

#[derive(Debug, Default)]
struct Uses {
    /// When each key's use was noted last, unix ms.
    noted: HashMap<String, i64>,
    waiting: Vec<KeyUse>,
    is_writing: bool,
}

impl Uses {
    /// Whether this use is to be written: it is remembered, then, that it was.
    fn take(&mut self, id: &str, at_ms: i64) -> bool {
        let noted_ms = self.noted.get(id);
        if noted_ms.is_some_and(|noted_ms| at_ms - noted_ms < USE_NOTED_MS) {
            return false;
        }
        let is_known = noted_ms.is_some();
        if !is_known && self.noted.len() >= KEYS_MAX {
            self.noted
                .retain(|_, noted_ms| at_ms - *noted_ms < USE_NOTED_MS);
        }
        let has_room = is_known || self.noted.len() < KEYS_MAX;
        if !has_room || self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.noted.insert(id.to_owned(), at_ms);
        true
    }
}

impl KeyUses {
    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a use, if the last one of this key was noted a minute ago or longer.
    pub(super) fn note(&self, store: &Store, id: &str, at_ms: i64, ip: Option<String>) {
        let mut uses = self.lock();
        if !uses.take(id, at_ms) {
            return;
        }
        let id = id.to_owned();
        uses.waiting.push(KeyUse { id, at_ms, ip });
        if !uses.is_writing {
            uses.is_writing = true;
            tokio::spawn(self.clone().write(store.clone()));
        }
    }

    /// Whether a use of this key is remembered.
    pub(super) fn has_noted(&self, id: &str) -> bool {
        self.lock().noted.contains_key(id)
    }

    /// Writes until nothing waits.
    async fn write(self, store: Store) {
        loop {
            let waiting = {
                let mut uses = self.lock();
                uses.is_writing = !uses.waiting.is_empty();
                if !uses.is_writing {
                    return;
                }
                std::mem::take(&mut uses.waiting)
            };
            if let Err(error) = store.api_keys_used(System::of_the_server(), &waiting).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "when API keys were used was not noted");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let mut uses = Uses::default();
        assert!(uses.take("a", 1_000) && uses.take("b", 1_000));
        assert!(!uses.take("a", 1_000) && !uses.take("a", 60_999) && !uses.take("a", 500));
        assert!(uses.take("a", 61_000));
    }

    #[test]
    fn what_is_remembered_and_what_waits_is_bounded() {
        let mut uses = Uses::default();
        for n in 0..2 * KEYS_MAX {
            uses.take(&n.to_string(), 1_000);
        }
        assert_eq!(uses.noted.len(), KEYS_MAX);
        assert!(!uses.take("late", 1_000));
        // Those that are old make room.
        assert!(uses.take("late", 61_000));
        assert_eq!(uses.noted.len(), 1);
        let wait = KeyUse {
            id: "x".into(),
            at_ms: 1,
            ip: None,
        };
        uses.waiting = vec![wait; WAITING_MAX];
        assert!(!uses.take("more", 61_000));
    }
}
