//! The keys that this process signs work orders and countersignatures with.
//!
//! A process has one key at a time that signs. Its private half is in memory alone, so no order can be signed after the
//! process has ended; its public half is a row before anything is signed with it, for whoever verifies later. A key signs for
//! [`SIGNS`] and is believed for [`OVERLAP`] longer, in which what it signed is still on its way. At a start the keys of all
//! former processes end: this one holds the lock of the database, so there is no other.
//!
//! A key is told to agents before it signs: [`App::order_keys_renew`] tells all sessions and changes over then, and a
//! session's writer sends the set before any stream that was opened later.

use super::App;
use super::views::OrderKeyView;
use dgon_control_plane_store::order_keys::OrderKeyRow;
use dgon_control_plane_store::{StoreError, System};
use dgon_protocol::limits::{CLOCK_SKEW, ORDER_KEYS};
use dgon_protocol::order::{OrderKey, OrderKeys, OrderSigningKey};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a key signs.
pub const SIGNS: Duration = Duration::from_secs(24 * 3600);
/// How long a key is believed after it signed last: many times what an order may wait for its beginning, and time to try again
/// where the database cannot keep the next key.
pub const OVERLAP: Duration = Duration::from_secs(3600);
/// How long before its making a key is said to begin: agents judge by the clock that they think this one shows.
const BACKDATED: Duration = CLOCK_SKEW;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum OrderKeyFault {
    /// There is no key whose time it is: the next one could not be kept.
    #[error(
        "this control plane has no key to sign orders with: the database could not keep the next one, as the log says"
    )]
    None,
    /// The system has no random bytes.
    #[error("the operating system gives no random bytes for a key")]
    Entropy,
    /// The key could not be kept.
    #[error("a new key for orders could not be kept in the database")]
    Store(#[source] StoreError),
}

/// The keys of this process.
#[derive(Debug, Default)]
pub struct Keyring(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    /// The one that signs, its time, and until when it signs, unix ms.
    signing: Option<(Arc<OrderSigningKey>, OrderKey, i64)>,
    /// Those that signed before, the latest first. Their private halves are gone.
    former: Vec<OrderKey>,
    /// The next one, told and not signing yet.
    next: Option<OrderKey>,
    /// Rises with each change of the set.
    version: u64,
}

impl Keys {
    /// All whose time is not over.
    fn set(&self, now_ms: i64) -> OrderKeys {
        let current = self.signing.as_ref().map(|(_, key, _)| key);
        let all = self.next.iter().chain(current).chain(&self.former);
        let live = all.filter(|key| key.not_after_ms >= now_ms);
        let keys: Vec<OrderKey> = live.take(ORDER_KEYS).cloned().collect();
        // Keys of our own making are a set; none is what agents believe nothing by.
        OrderKeys::new(keys).unwrap_or_default()
    }
}

impl Keyring {
    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The set that agents are to believe at `now_ms`, unix ms, with its version.
    pub fn live(&self, now_ms: i64) -> (OrderKeys, u64) {
        let keys = self.lock();
        (keys.set(now_ms), keys.version)
    }

    /// The version of the set.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// The key that signs now.
    ///
    /// # Errors
    /// [`OrderKeyFault::None`].
    pub fn signing(&self, now_ms: i64) -> Result<Arc<OrderSigningKey>, OrderKeyFault> {
        let keys = self.lock();
        let signing = keys
            .signing
            .as_ref()
            .filter(|(_, key, _)| key.is_live(now_ms));
        let (secret, _, _) = signing.ok_or(OrderKeyFault::None)?;
        Ok(Arc::clone(secret))
    }

    /// Whether the next key is due: the one that signs has signed for long enough, or the clock is outside of its time.
    fn is_due(&self, now_ms: i64) -> bool {
        let keys = self.lock();
        keys.signing
            .as_ref()
            .is_none_or(|(_, key, until_ms)| now_ms >= *until_ms || !key.is_live(now_ms))
    }

    fn announce(&self, next: &OrderKey) {
        let mut keys = self.lock();
        keys.next = Some(next.clone());
        keys.version += 1;
    }

    fn change_over(&self, secret: OrderSigningKey, key: OrderKey, now_ms: i64) {
        let mut keys = self.lock();
        keys.next = None;
        let until_ms = now_ms.saturating_add(millis(SIGNS));
        if let Some((_, before, _)) = keys.signing.replace((Arc::new(secret), key, until_ms)) {
            keys.former.insert(0, before);
        }
        keys.former.retain(|key| key.not_after_ms >= now_ms);
        keys.former.truncate(ORDER_KEYS);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl App {
    /// Makes the next key where it is due; the first one of this process ends those of all before it.
    ///
    /// # Errors
    /// [`OrderKeyFault`]: the key before signs on, as long as it is believed.
    pub async fn order_keys_renew(&self) -> Result<(), OrderKeyFault> {
        let now_ms = self.clock.now_ms();
        if !self.order_keys.is_due(now_ms) {
            return Ok(());
        }
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| OrderKeyFault::Entropy)?;
        let secret = OrderSigningKey::from_seed(&seed);
        let key = secret.order_key(
            now_ms.saturating_sub(millis(BACKDATED)).max(0),
            now_ms.saturating_add(millis(SIGNS + OVERLAP)),
        );
        let (by, is_first) = (System::of_the_server(), self.order_keys.version() == 0);
        let kept = self.store.order_key_begin(by, &key, now_ms, is_first);
        kept.await.map_err(OrderKeyFault::Store)?;
        self.order_keys.announce(&key);
        self.sessions.order_keys_changed();
        tracing::info!(kid = key.kid.as_str(), "work orders have a new key");
        self.order_keys.change_over(secret, key, now_ms);
        Ok(())
    }

    /// Keys that ever signed orders, the newest first, after the one that was made at `before` (unix ms, with its name). They are
    /// everybody's: whoever has an order verifies it with them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_keys_page(
        &self,
        before: Option<(i64, String)>,
        limit: u32,
    ) -> Result<(Vec<OrderKeyView>, Option<(i64, String)>), StoreError> {
        let before = before.as_ref().map(|(at_ms, kid)| (*at_ms, kid.as_str()));
        let limit = i64::from(limit);
        let by = System::of_the_server();
        // One more shows whether there are more.
        let mut rows = self.store.order_key_list(by, before, limit + 1).await?;
        let has_more = rows.len() as i64 > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let place = |row: &OrderKeyRow| (row.created_at_ms, row.key.kid.to_string());
        let next = rows.last().filter(|_| has_more).map(place);
        Ok((rows.iter().map(OrderKeyView::of).collect(), next))
    }
}
