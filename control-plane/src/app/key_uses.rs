//! When keys were used, noted beside the requests: once a minute for each, and all that wait at once, by a task.
//! What does not fit is not noted: a use that is missing harms nobody. That a key was good a moment ago is known from it, too;
//! what a key may do is never taken from here.

use super::App;
use dgon_control_plane_model::api_key::{ApiKey, SecretHash};
use dgon_control_plane_store::api_keys::{KeyUse, USE_NOTED_MS};
use dgon_control_plane_store::{StoreError, System};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that are remembered.
const KEYS_MAX: usize = 10_000;
/// Uses that wait to be written.
const WAITING_MAX: usize = 1_000;

/// The uses.
#[derive(Debug, Default)]
pub struct KeyUses(Mutex<Uses>);

#[derive(Debug, Default)]
struct Uses {
    noted: HashMap<String, Noted>,
    waiting: Vec<KeyUse>,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    /// When its use was noted last, unix ms.
    at_ms: i64,
    secret_hash: SecretHash,
}

impl Uses {
    /// Whether this use is to be written: it is remembered, then, that it was.
    fn take(&mut self, id: &str, secret_hash: SecretHash, at_ms: i64) -> bool {
        let is_fresh = |noted: &Noted| at_ms - noted.at_ms < USE_NOTED_MS;
        let noted = self.noted.get(id);
        if noted.is_some_and(is_fresh) {
            return false;
        }
        let is_known = noted.is_some();
        if !is_known && self.noted.len() >= KEYS_MAX {
            self.noted.retain(|_, noted| is_fresh(noted));
        }
        let has_room = is_known || self.noted.len() < KEYS_MAX;
        if !has_room || self.waiting.len() >= WAITING_MAX {
            return false;
        }
        let noted = Noted { at_ms, secret_hash };
        self.noted.insert(id.to_owned(), noted);
        true
    }
}

impl KeyUses {
    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a use, if the last one of this key was noted a minute ago or longer.
    pub fn note(&self, key: &ApiKey, at_ms: i64, ip: Option<String>) {
        let mut uses = self.lock();
        if !uses.take(key.id().as_str(), key.secret_hash(), at_ms) {
            return;
        }
        let id = key.id().to_string();
        uses.waiting.push(KeyUse { id, at_ms, ip });
    }

    /// Whether a use of this key, with this secret, is remembered.
    pub fn has_noted(&self, key: &ApiKey) -> bool {
        let uses = self.lock();
        let noted = uses.noted.get(key.id().as_str());
        noted.is_some_and(|noted| noted.secret_hash == key.secret_hash())
    }

    /// One that is good no more is not remembered.
    pub fn forget(&self, key: &ApiKey) {
        self.lock().noted.remove(key.id().as_str());
    }

    fn take_waiting(&self) -> Vec<KeyUse> {
        std::mem::take(&mut self.lock().waiting)
    }
}

impl App {
    /// Writes down the uses that wait. Those that cannot be written are let go of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_uses_write(&self) -> Result<(), StoreError> {
        let waiting = self.key_uses.take_waiting();
        if waiting.is_empty() {
            return Ok(());
        }
        let by = System::of_the_server();
        self.store.api_keys_used(by, &waiting).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Uses {
        fn takes(&mut self, id: &str, at_ms: i64) -> bool {
            self.take(id, SecretHash::from_bytes([1; 32]), at_ms)
        }
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        let mut uses = Uses::default();
        assert!(uses.takes("a", 1_000) && uses.takes("b", 1_000));
        assert!(!uses.takes("a", 1_000) && !uses.takes("a", 60_999) && !uses.takes("a", 500));
        assert!(uses.takes("a", 61_000));
    }

    #[test]
    fn what_is_remembered_and_what_waits_is_bounded() {
        let mut uses = Uses::default();
        for n in 0..2 * KEYS_MAX {
            uses.takes(&n.to_string(), 1_000);
        }
        assert_eq!(uses.noted.len(), KEYS_MAX);
        assert!(!uses.takes("late", 1_000));
        // Those that are old make room.
        assert!(uses.takes("late", 61_000));
        assert_eq!(uses.noted.len(), 1);
        let wait = KeyUse {
            id: "x".into(),
            at_ms: 1,
            ip: None,
        };
        uses.waiting = vec![wait; WAITING_MAX];
        assert!(!uses.takes("more", 61_000));
    }
}
