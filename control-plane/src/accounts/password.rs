//! Passwords: argon2id with the parameters of OWASP (19 MiB, two passes), on few threads and a short queue, so
//! that sign-ins can never take the machine.

use super::AccountError;
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
const WORKERS: usize = 2;
const QUEUE: usize = 16;
const PREFIX: &str = "$argon2id$v=19$";

/// Hashes and checks passwords. Cheap to clone; the limit is shared.
#[derive(Debug, Clone)]
pub struct PasswordHasher {
    workers: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for PasswordHasher {
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
    pub async fn hash(&self, password: String) -> Result<String, AccountError> {
        let length = password.chars().count();
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
            return Err(AccountError::Password);
        }
        let mut salt = [0u8; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| AccountError::Randomness)?;
        self.run(move || {
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
    ) -> Result<bool, AccountError> {
        if password.len() > 4 * PASSWORD_MAX {
            return Ok(false);
        }
        self.run(move || match stored {
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
        work: impl FnOnce() -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let _place = Place::take(&self.waiting)?;
        let permit = Arc::clone(&self.workers)
            .acquire_owned()
            .await
            .map_err(|_| AccountError::Busy)?;
        tokio::task::spawn_blocking(move || {
            // The permit goes with the work: a caller who left does not free its thread.
            let _permit = permit;
            work()
        })
        .await
        .map_err(AccountError::HashStopped)?
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
        let stored = hasher.hash("correct horse".into()).await.expect("hash");
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(
            hasher
                .verify("correct horse".into(), Some(stored.clone()))
                .await
                .expect("verify")
        );
        assert!(
            !hasher
                .verify("correct horsf".into(), Some(stored.clone()))
                .await
                .expect("verify")
        );
        assert!(
            !hasher
                .verify("correct horse".into(), None)
                .await
                .expect("verify")
        );
        let torn = stored[..stored.len() - 4].to_owned();
        assert!(matches!(
            hasher.verify("x".into(), Some(torn)).await,
            Err(AccountError::StoredHash)
        ));
    }

    #[tokio::test]
    async fn lengths_are_held() {
        let hasher = PasswordHasher::default();
        for bad in ["short".to_owned(), "x".repeat(PASSWORD_MAX + 1)] {
            assert!(matches!(
                hasher.hash(bad).await,
                Err(AccountError::Password)
            ));
        }
        assert!(
            !hasher
                .verify("x".repeat(10_000), None)
                .await
                .expect("verify")
        );
    }

    #[tokio::test]
    async fn a_full_queue_refuses_instead_of_growing() {
        let hasher = PasswordHasher::default();
        let all =
            futures_util::future::join_all((0..40).map(|_| hasher.verify("x".into(), None))).await;
        let busy = all
            .iter()
            .filter(|result| matches!(result, Err(AccountError::Busy)))
            .count();
        assert_eq!(busy, 40 - QUEUE - WORKERS);
        assert!(hasher.verify("x".into(), None).await.is_ok());
    }
}
