//! The key that seals node secrets at rest: XChaCha20-Poly1305, the node id as associated data.
//!
//! It lies in the data directory as 32 bytes, mode 0600, and is made at the first start. A database without
//! it is of no use to a thief for posing as a node.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const NONCE_BYTES: usize = 24;

/// Seals and opens node secrets.
#[derive(Clone)]
pub struct MasterKey {
    cipher: XChaCha20Poly1305,
    bytes: zeroize::Zeroizing<[u8; 32]>,
}

/// Why the master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or made.
    #[error("cannot use the master key {path}; check who owns it")]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error(
        "{path} is not a master key of 32 bytes; restore it from the backup that belongs to the database"
    )]
    Malformed {
        /// Where it is.
        path: PathBuf,
    },
    /// The database belongs to another key.
    #[error(
        "{path} is not the master key of this database: the secrets of its nodes could not be opened, and none of them \
         could sign in. Nothing was changed. Put the master.key that belongs to the database in its place, from the \
         backup of the data directory, or name the directory that has it with --data-dir"
    )]
    Foreign {
        /// Where the wrong key is.
        path: PathBuf,
    },
    /// The database belongs to a key that is not there.
    #[error(
        "{path} is missing, and this database was made with one: without it the secrets of its nodes cannot be opened. \
         A new key would be of no use, so none was made. Restore the file from the backup of the data directory, or \
         name the directory that has it with --data-dir"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Randomness,
    /// A secret was sealed with another key or for another node.
    #[error(
        "a node secret does not open with this master key; restore the key that belongs to the database"
    )]
    Open,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

impl MasterKey {
    /// Takes 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(&Key::from(bytes)),
            bytes: zeroize::Zeroizing::new(bytes),
        }
    }

    /// Where the key lies in `data_dir`.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("master.key")
    }

    /// Reads `master.key` in `data_dir`; `None` where there is none.
    ///
    /// # Errors
    /// [`MasterKeyError`].
    pub fn load(data_dir: &Path) -> Result<Option<Self>, MasterKeyError> {
        let path = Self::path(data_dir);
        match std::fs::read(&path) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(bytes) => Ok(Some(Self::from_bytes(bytes))),
                Err(_) => Err(MasterKeyError::Malformed { path }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MasterKeyError::File { path, source }),
        }
    }

    /// Reads `master.key` in `data_dir`, or makes it.
    ///
    /// # Errors
    /// [`MasterKeyError`].
    pub fn load_or_create(data_dir: &Path) -> Result<Self, MasterKeyError> {
        if let Some(key) = Self::load(data_dir)? {
            return Ok(key);
        }
        let path = Self::path(data_dir);
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|_| MasterKeyError::Randomness)?;
        create_private(data_dir, &path, &bytes).map_err(|source| MasterKeyError::File {
            path: path.clone(),
            source,
        })?;
        // Another process may have been first: the file on disk is the truth.
        Self::load(data_dir)?.ok_or(MasterKeyError::Missing { path })
    }

    /// Tells this key from others, and tells nothing of it: HMAC-SHA256 under the key, of a text that no other use
    /// has, cut to half. The key is 32 random bytes, so nobody finds it by trying.
    pub fn fingerprint(&self) -> String {
        let whole = self.derive("dgon master key fingerprint v1");
        whole[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Another key for one purpose, from which this one cannot be told.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = match Hmac::<Sha256>::new_from_slice(self.bytes.as_slice()) {
            Ok(mac) => mac,
            // HMAC takes keys of any length; this arm is unreachable and must not panic.
            Err(_) => Hmac::new(&Default::default()),
        };
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Seals `secret` for `whose` alone: a node, or whatever else it opens for.
    ///
    /// # Errors
    /// [`MasterKeyError::Randomness`].
    pub fn seal(&self, whose: &str, secret: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| MasterKeyError::Randomness)?;
        let payload = Payload {
            msg: secret,
            aad: whose.as_bytes(),
        };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| MasterKeyError::Randomness)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`MasterKey::seal`] made.
    ///
    /// # Errors
    /// [`MasterKeyError::Open`].
    pub fn open(&self, whose: &str, sealed: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        let (nonce, sealed) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(MasterKeyError::Open)?;
        let payload = Payload {
            msg: sealed,
            aad: whose.as_bytes(),
        };
        self.cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| MasterKeyError::Open)
    }
}

/// Writes a file that only this user can read; never over an existing one, never half.
fn create_private(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let aside = dir.join(format!("master.key.{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_for_its_node_and_key() {
        let key = MasterKey::from_bytes([7; 32]);
        let sealed = key.seal("a", b"secret").expect("seal");
        assert_eq!(key.open("a", &sealed).expect("open"), b"secret");
        assert!(key.open("b", &sealed).is_err());
        assert!(MasterKey::from_bytes([8; 32]).open("a", &sealed).is_err());
        assert!(key.open("a", &sealed[..10]).is_err());
    }

    #[test]
    fn a_fingerprint_tells_keys_apart_and_holds_nothing_of_them() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).expect("small"));
        let key = MasterKey::from_bytes(bytes);
        let fingerprint = key.fingerprint();
        assert_eq!(fingerprint, MasterKey::from_bytes(bytes).fingerprint());
        assert_ne!(fingerprint, MasterKey::from_bytes([8; 32]).fingerprint());
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        assert_eq!(fingerprint.len(), 32);
        // Other keys are derived from this one: none of them may be readable from the database.
        assert!(!hex(&bytes).contains(&fingerprint));
        assert!(!hex(&key.derive("dgon session tokens v1")).contains(&fingerprint));
    }

    #[test]
    fn the_file_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("dir");
        let first = MasterKey::load_or_create(dir.path()).expect("create");
        let sealed = first.seal("a", b"x").expect("seal");
        let again = MasterKey::load_or_create(dir.path()).expect("load");
        assert_eq!(again.open("a", &sealed).expect("open"), b"x");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.path().join("master.key"))
                .expect("stat")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
