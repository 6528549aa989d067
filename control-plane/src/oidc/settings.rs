//! What is set about issuers.

use dgon_control_plane_model::identity::SiteUri;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longest name of an issuer in addresses.
const ID_MAX: usize = 32;

/// Issuers, and the address at which they send people back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Address of the console: from it alone the redirect URI is made, and never from a request.
    pub site: Option<SiteUri>,
    /// The issuers, in the order in which people are offered them.
    pub issuers: Vec<IssuerSettings>,
    /// How long a request to an issuer may take, with the wait for its turn. A sign-in makes four at most.
    pub within: Duration,
}

impl Default for OidcSettings {
    fn default() -> Self {
        Self {
            site: None,
            issuers: Vec::new(),
            within: Duration::from_secs(5),
        }
    }
}

/// An issuer of OpenID Connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its name in addresses.
    pub id: IssuerId,
    /// Its name for people.
    pub name: String,
    /// What it calls itself: https, or http on this machine.
    pub url: SiteUri,
    /// What it calls this server.
    pub client_id: String,
    /// By what it knows this server; `None` for a public client.
    pub client_secret: Option<ClientSecret>,
}

/// Name of an issuer in addresses: 1 to 32 of a to z, 0 to 9 and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerId(String);

impl IssuerId {
    /// The name, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_name = (1..=ID_MAX).contains(&text.len()) && text.bytes().all(plain);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The secret of a confidential client.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Takes it.
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// For the token request alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_secrets_are_not_shown() {
        for good in ["google", "a", "my-issuer-2"] {
            assert!(IssuerId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "Google", "a/b", "a.b", "ä", &"a".repeat(33)] {
            assert_eq!(IssuerId::parse(bad), None, "{bad}");
        }
        let secret = ClientSecret::new("hunter2".to_owned());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
