//! What it takes to speak to an endpoint: the API key and the certificates that its owner named.
//!
//! Invariants: a key comes from a file alone, never stands in a log, a status or an error, and goes to no other
//! endpoint than the one it was named for.

use super::{Access, Endpoint, RuntimeKind};
use crate::files;
use crate::net::{Trust, TrustError};
use http::HeaderValue;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file with a key, bytes.
const KEY_BYTES: u64 = 4096;

/// An endpoint that the owner named, with what it takes to speak to it.
#[derive(Debug, Clone)]
pub struct NamedEndpoint {
    /// Where.
    pub endpoint: Endpoint,
    /// Which server it is, where the owner says so; else it is found out.
    pub kind: Option<RuntimeKind>,
    /// Key and certificates.
    pub access: Access,
}

impl From<Endpoint> for NamedEndpoint {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            kind: None,
            access: Access::default(),
        }
    }
}

/// Why an endpoint's key or certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("cannot read {} for the runtime at {endpoint}; check that it is there and that the agent's user may read it", path.display())]
    Read {
        /// For which endpoint.
        endpoint: Endpoint,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key is empty or has characters that no header may carry.
    #[error("{} must hold one API key in one line of visible ASCII characters", .0.display())]
    Key(PathBuf),
    /// Nobody can vouch for the runtime.
    #[error("the runtime at {endpoint} cannot be trusted")]
    Trust {
        /// Which endpoint.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: TrustError,
    },
}

/// Reads the files that the owner named for `endpoint`.
///
/// # Errors
/// [`AccessError`] names the file and what is wrong with it, never what is in it.
pub fn load_access(
    endpoint: &Endpoint,
    api_key_file: Option<&Path>,
    ca_file: Option<&Path>,
) -> Result<Access, AccessError> {
    let authorization = match api_key_file {
        Some(path) => {
            let content = files::read_small(path, KEY_BYTES);
            let content = content.map_err(|source| AccessError::Read {
                endpoint: endpoint.clone(),
                path: path.to_owned(),
                source,
            })?;
            if let Ok(Some(exposure)) = files::open_to_others(path) {
                let (path, fix) = (path.display(), exposure.command());
                tracing::warn!(%path, who = %exposure, "the key of a runtime can be read by others; `{fix}` closes it");
            }
            Some(bearer(path, &content)?)
        }
        None => None,
    };
    let tls = if endpoint.is_https() {
        let environment = |name: &str| std::env::var(name).ok();
        let config = Trust::choose(&environment, ca_file).config();
        Some(config.map_err(|source| AccessError::Trust {
            endpoint: endpoint.clone(),
            source,
        })?)
    } else {
        None
    };
    Ok(Access::new(authorization, tls.map(Arc::new)))
}

fn bearer(path: &Path, content: &[u8]) -> Result<HeaderValue, AccessError> {
    let refuse = || AccessError::Key(path.to_owned());
    let key = content.trim_ascii();
    if key.is_empty() || !key.iter().all(u8::is_ascii_graphic) {
        return Err(refuse());
    }
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", key].concat()).map_err(|_| refuse())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(key: &[u8]) -> Result<Access, AccessError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, key).unwrap();
        load_access(&Endpoint::new("127.0.0.1", 1), Some(&path), None)
    }

    #[test]
    fn a_key_is_read_from_its_file_and_never_shown() {
        let access = load(b"sk-very-secret\n").unwrap();
        assert_eq!(access.authorization().unwrap(), "Bearer sk-very-secret");
        let shown = format!("{access:?} {:?}", access.authorization());
        assert!(!shown.contains("very"), "{shown}");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_without_telling_it() {
        for bad in [&b""[..], b"two words", b"a\nb", b"\xff\xfe", &[b'x'; 5000]] {
            let error = load(bad).unwrap_err();
            assert!(!format!("{error:?}").contains("two words"));
        }
        let missing = load_access(
            &Endpoint::new("127.0.0.1", 1),
            Some(Path::new("/nowhere/key")),
            None,
        );
        assert!(missing.unwrap_err().to_string().contains("/nowhere/key"));
    }
}
