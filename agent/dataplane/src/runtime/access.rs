//! The key and the certificates that an endpoint asks for.
//!
//! Invariants: a key never stands in a log, a status or an error, and goes to no other endpoint than the one it was
//! named for.

use http::HeaderValue;
use rustls::ClientConfig;
use std::fmt;
use std::sync::Arc;

/// Key and certificates of an endpoint. Cheap to clone; its `Debug` form shows no secret.
#[derive(Clone, Default)]
pub struct Access(Option<Arc<Parts>>);

struct Parts {
    authorization: Option<HeaderValue>,
    tls: Option<Arc<ClientConfig>>,
}

impl Access {
    /// `authorization` is the whole header (`Bearer KEY`), marked sensitive; `tls` is needed for https alone.
    pub fn new(authorization: Option<HeaderValue>, tls: Option<Arc<ClientConfig>>) -> Self {
        if authorization.is_none() && tls.is_none() {
            return Self::default();
        }
        Self(Some(Arc::new(Parts { authorization, tls })))
    }

    /// The `Authorization` header of the agent's own questions, where the owner named a key.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.0.as_ref()?.authorization.as_ref()
    }

    /// How to speak TLS there.
    pub fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.0.as_ref()?.tls.as_ref()
    }
}

impl PartialEq for Access {
    /// Whether it is the same access, not another with the same content.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("has_key", &self.authorization().is_some())
            .field("is_tls", &self.tls().is_some())
            .finish()
    }
}
