//! Signing in by OpenID Connect: what an issuer says of itself, its keys, and whether an answer of it proves who somebody is.
//!
//! Knows no accounts, and nothing else of the server. What issuers answer is fetched when it is needed, within a time, a size
//! and a number at once; it is kept for an hour, and what failed is not tried again for some seconds. So an issuer that is
//! down keeps nobody waiting but those who sign in by it, and whoever asks often makes this server ask no more often.
//!
//! Not checked here, because nothing here can know it: that an answer is for this browser, and used once. That is what the
//! sealed request of `accounts` is for.

mod error;
mod fetch;
mod keys;
mod provider;
mod settings;
mod token;

pub use error::{IssuerError, OidcError, TokenError};
pub use provider::{Answered, Asked, Issuer};
pub use settings::{ClientSecret, IssuerId, IssuerSettings, OidcSettings};
pub use token::Account;

use std::sync::Arc;

/// All issuers that people can sign in by here. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Issuers(Arc<[Arc<Issuer>]>);

impl Issuers {
    /// Those of the settings. Nothing is fetched.
    pub fn new(settings: &OidcSettings) -> Self {
        let Some(site) = &settings.site else {
            // Without an address of our own no issuer could send anybody back.
            return Self::default();
        };
        let issuer = |one: &IssuerSettings| Issuer::new(one.clone(), site, settings.within);
        let issuers = settings.issuers.iter().map(issuer).map(Arc::new);
        Self(issuers.collect())
    }

    /// In the order of the settings.
    pub fn iter(&self) -> impl Iterator<Item = &IssuerSettings> {
        self.0.iter().map(|issuer| issuer.settings())
    }

    /// The issuer of this name.
    pub fn find(&self, id: &str) -> Option<&Arc<Issuer>> {
        self.0.iter().find(|one| one.settings().id.as_str() == id)
    }

    /// What the settings have of the issuer that calls itself this URL.
    pub fn by_url(&self, url: &str) -> Option<&IssuerSettings> {
        self.iter().find(|one| one.url.as_str() == url)
    }
}
