//! Passwords: argon2id with the parameters of OWASP (19 MiB, two passes), on few threads and in short queues, so
//! that sign-ins can never take the machine.
//!
//! Strangers' passwords are checked one at a time, on a thread that yields to everything else, and one network has few
//! places among those that wait. Whoever is known waits for other known people alone, of whom one has few places, too.

use super::AccountError;
use crate::app::{Asker, Turns};
use crate::threads::YieldingThreads;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

/// Fewest characters of a password.
pub const PASSWORD_MIN: usize = 8;
/// Most characters of a password.
pub const PASSWORD_MAX: usize = 256;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;
/// Passwords that are hashed at once, of each kind of people.
const WORKERS: usize = 1;
const QUEUE: usize = 16;
/// Places of one network among strangers, and of one person among those who are known; those whose password is hashed now are
/// among them.
const OF_ONE: usize = 2;
const PREFIX: &str = "$argon2id$v=19$";

static STRANGERS: LazyLock<YieldingThreads> =
    LazyLock::new(|| YieldingThreads::start("password", WORKERS));

/// Whose password it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// Somebody who is signed in, or tries to in a browser that is known; or the server's operator. By what they are called.
    Known(String),
    /// Anybody else, by network where that is known.
    Strangers(Option<IpAddr>),
}

/// Hashes and checks passwords. Cheap to clone; the limits are shared.
#[derive(Debug, Clone)]
pub struct PasswordHasher {
    known: Queue,
    strangers: Queue,
    turns: Turns,
}

impl Default for PasswordHasher {
    fn default() -> Self {
        Self {
            known: Queue::default(),
            strangers: Queue::default(),
            turns: Turns::new(OF_ONE),
        }
    }
}

/// Those of one kind who wait.
#[derive(Debug, Clone)]
struct Queue {
    workers: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            workers: Arc::new(Semaphore::new(WORKERS)),
            waiting: Arc::default(),
        }
    }
}

impl PasswordHasher {
    /// The string to keep for `password`.
    ///
    /// # Errors
    /// [`AccountError::Password`] outside the allowed length, [`AccountError::Busy`] when the queue is full.
    pub async fn hash(&self, password: String, lane: Lane) -> Result<String, AccountError> {
        let length = password.chars().count();
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
            return Err(AccountError::Password);
        }
        let mut salt = [0u8; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| AccountError::Randomness)?;
        self.run(lane, move || {
            let tag = tag(&password, &salt, MEMORY_KIB, PASSES)?;
            Ok(format!(
                "{PREFIX}m={MEMORY_KIB},t={PASSES},p=1${}${}",
                STANDARD_NO_PAD.encode(salt),
                STANDARD_NO_PAD.encode(tag)
            ))
        })
        .await
    }

    /// Whether `password` belongs to `stored`. Without a stored hash the same work is done in vain, so that time
    /// does not tell whether an account exists.
    ///
    /// # Errors
    /// [`AccountError::Busy`], or [`AccountError::StoredHash`] when `stored` cannot be read.
    pub async fn verify(
        &self,
        password: String,
        stored: Option<String>,
        lane: Lane,
    ) -> Result<bool, AccountError> {
        if password.len() > 4 * PASSWORD_MAX {
            return Ok(false);
        }
        self.run(lane, move || match stored {
            Some(stored) => {
                let (memory, passes, salt, expected) =
                    parse(&stored).ok_or(AccountError::StoredHash)?;
                Ok(tag(&password, &salt, memory, passes)?
                    .ct_eq(&expected)
                    .into())
            }
            None => {
                tag(&password, &[0; SALT_BYTES], MEMORY_KIB, PASSES)?;
                Ok(false)
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce() -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let (queue, asker, is_known) = match lane {
            Lane::Known(name) => (&self.known, Asker::Person(name), true),
            Lane::Strangers(network) => (&self.strangers, Asker::Network(network), false),
        };
        let turn = self.turns.try_take(asker).ok_or(AccountError::Busy)?;
        let _place = Place::take(&queue.waiting)?;
        let permit = Arc::clone(&queue.workers).acquire_owned().await;
        let permit = permit.map_err(|_| AccountError::Busy)?;
        let work = move || {
            // These go with the work: a caller who left frees neither its thread nor its own place.
            let _held = (permit, turn);
            work()
        };
        let done = match is_known {
            true => tokio::task::spawn_blocking(work).await.ok(),
            false => STRANGERS.run(work).await,
        };
        done.ok_or(AccountError::HashStopped)?
    }
}

/// A place in the queue, given back on drop.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Result<Self, AccountError> {
        let place = Self(Arc::clone(waiting));
        if waiting.fetch_add(1, Ordering::SeqCst) >= QUEUE + WORKERS {
            return Err(AccountError::Busy);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tag(
    password: &str,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
) -> Result<[u8; TAG_BYTES], AccountError> {
    let params = Params::new(memory_kib, passes, 1, Some(TAG_BYTES)).map_err(AccountError::Hash)?;
    let mut tag = [0u8; TAG_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut tag)
        .map_err(AccountError::Hash)?;
    Ok(tag)
}

/// Reads `$argon2id$v=19$m=…,t=…,p=1$salt$tag`.
fn parse(stored: &str) -> Option<(u32, u32, Vec<u8>, [u8; TAG_BYTES])> {
    let mut parts = stored.strip_prefix(PREFIX)?.split('$');
    let params = parts.next()?;
    let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let expected = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let (memory, rest) = params.strip_prefix("m=")?.split_once(",t=")?;
    let passes = rest.strip_suffix(",p=1")?;
    if parts.next().is_some() {
        return None;
    }
    Some((
        memory.parse().ok()?,
        passes.parse().ok()?,
        salt,
        expected.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_only_against_its_hash() {
        let hasher = PasswordHasher::default();
        let stored = hasher
            .hash("correct horse".into(), known(1))
            .await
            .expect("hash");
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(
            hasher
                .verify("correct horse".into(), Some(stored.clone()), known(1))
                .await
                .expect("verify")
        );
        assert!(
            !hasher
                .verify("correct horsf".into(), Some(stored.clone()), known(1))
                .await
                .expect("verify")
        );
        assert!(
            !hasher
                .verify("correct horse".into(), None, known(1))
                .await
                .expect("verify")
        );
        let torn = stored[..stored.len() - 4].to_owned();
        assert!(matches!(
            hasher.verify("x".into(), Some(torn), known(1)).await,
            Err(AccountError::StoredHash)
        ));
    }

    #[tokio::test]
    async fn lengths_are_held() {
        let hasher = PasswordHasher::default();
        for bad in ["short".to_owned(), "x".repeat(PASSWORD_MAX + 1)] {
            assert!(matches!(
                hasher.hash(bad, known(1)).await,
                Err(AccountError::Password)
            ));
        }
        assert!(
            !hasher
                .verify("x".repeat(10_000), None, known(1))
                .await
                .expect("verify")
        );
    }

    fn stranger(number: u32) -> Lane {
        Lane::Strangers(Some(IpAddr::V4(number.into())))
    }

    fn known(number: u32) -> Lane {
        Lane::Known(number.to_string())
    }

    async fn busy_of(hasher: &PasswordHasher, lanes: impl Iterator<Item = Lane>) -> usize {
        let tries = lanes.map(|lane| hasher.verify("x".into(), None, lane));
        let all = futures_util::future::join_all(tries).await;
        let is_busy = |result: &&Result<bool, _>| matches!(result, Err(AccountError::Busy));
        all.iter().filter(is_busy).count()
    }

    #[tokio::test]
    async fn a_full_queue_refuses_instead_of_growing() {
        let hasher = PasswordHasher::default();
        for lane in [known, stranger] {
            let busy = busy_of(&hasher, (0..40).map(lane)).await;
            assert_eq!(busy, 40 - QUEUE - WORKERS);
            let next = hasher.verify("x".into(), None, lane(99)).await;
            assert!(next.is_ok());
        }
    }

    #[tokio::test]
    async fn one_asker_leaves_places_to_others_and_strangers_stand_in_no_known_persons_way() {
        let hasher = PasswordHasher::default();
        assert_eq!(
            busy_of(&hasher, (0..10).map(|_| stranger(1))).await,
            10 - OF_ONE
        );
        for lane in [known, stranger] {
            let of_one = (0..10).map(|_| lane(1));
            let busy = busy_of(&hasher, of_one.chain([lane(2)])).await;
            assert_eq!(busy, 10 - OF_ONE);
        }
        // Every place is a stranger's, and none moves: a known person's password is checked all the same.
        let held = Arc::clone(&hasher.strangers.workers).acquire_owned().await;
        let wait = busy_of(&hasher, (0..40).map(stranger));
        let mut wait = std::pin::pin!(wait);
        assert!(futures_util::poll!(&mut wait).is_pending());
        let right = hasher.verify("x".into(), None, known(1)).await;
        assert!(!right.expect("a check"));
        drop(held);
        assert_eq!(wait.await, 40 - QUEUE - WORKERS);
    }
}
