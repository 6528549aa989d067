//! One issuer: what it says of itself, its keys, and the exchange of a code for an account.

use super::error::{IssuerError, OidcError, TokenError};
use super::fetch::Fetch;
use super::keys::{Keys, Published};
use super::settings::{ClientSecret, IssuerSettings};
use super::token::{self, Account, Expected};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_control_plane_model::identity::SiteUri;
use jsonwebtoken::Algorithm;
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long what an issuer said is good, ms: a key that it takes back is not taken much longer here.
const FRESH_MS: i64 = 3_600_000;
/// How long after asking an issuer is not asked the same again, ms: whatever strangers do.
const AGAIN_MS: i64 = 10_000;
/// What is asked for: who it is, and an address to show.
const SCOPE: &str = "openid email";
/// Characters of a code that is passed on.
const CODE_MAX: usize = 4_096;

/// What an issuer says of itself (OpenID Connect Discovery).
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// The same, judged.
#[derive(Debug)]
struct Provider {
    authorize: Url,
    token: Url,
    keys: Url,
    algorithms: Vec<Algorithm>,
    /// Whether the client's secret goes into the body, for it is not taken in a header.
    secret_in_body: bool,
    /// Whether every answer names the issuer (RFC 9207).
    names_itself: bool,
}

/// What was read last, and when it was tried.
#[derive(Debug)]
struct Kept<T> {
    value: Option<(Arc<T>, i64)>,
    tried_ms: Option<i64>,
}

impl<T> Kept<T> {
    const fn nothing() -> Self {
        Self {
            value: None,
            tried_ms: None,
        }
    }

    /// What is there, unless it is too old or `must_be_new`. One who asks is enough for all who wait. Where the issuer
    /// fails, what it said before is as good as it was.
    async fn get(
        &mut self,
        now_ms: i64,
        must_be_new: bool,
        read: impl Future<Output = Result<T, IssuerError>>,
    ) -> Result<Arc<T>, IssuerError> {
        let old = match &self.value {
            Some((value, at_ms)) if !must_be_new && now_ms - at_ms < FRESH_MS => {
                return Ok(Arc::clone(value));
            }
            Some((value, _)) => Some(Arc::clone(value)),
            None => None,
        };
        if self.tried_ms.is_some_and(|at_ms| now_ms - at_ms < AGAIN_MS) {
            return old.ok_or(IssuerError::NotYet);
        }
        self.tried_ms = Some(now_ms);
        match read.await {
            Ok(value) => {
                let value = Arc::new(value);
                self.value = Some((Arc::clone(&value), now_ms));
                Ok(value)
            }
            Err(error) => old.ok_or(error),
        }
    }
}

/// What a person is sent to an issuer with.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// To know the answer by.
    pub state: &'a str,
    /// To know the token by.
    pub nonce: &'a str,
    /// SHA-256 of the verifier, base64url.
    pub challenge: &'a str,
}

/// What a person came back with, and what this browser's sign-in began with.
#[derive(Clone, PartialEq, Eq)]
pub struct Answered {
    /// The code.
    pub code: String,
    /// The issuer that the answer names, where it does.
    pub iss: Option<String>,
    /// The verifier of the challenge.
    pub verifier: String,
    /// The nonce that was asked with.
    pub nonce: String,
    /// When the sign-in began, unix ms.
    pub begun_ms: i64,
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answered")
    }
}

/// An issuer, with what is known of it. Moments are unix ms.
#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    redirect_uri: String,
    fetch: Fetch,
    provider: Mutex<Kept<Provider>>,
    keys: Mutex<Kept<Keys>>,
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings, site: &SiteUri, within: Duration) -> Self {
        let site = site.as_str().trim_end_matches('/');
        Self {
            redirect_uri: format!("{site}/api/v1/auth/oidc/{}/callback", settings.id.as_str()),
            settings,
            fetch: Fetch::new(within),
            provider: Mutex::new(Kept::nothing()),
            keys: Mutex::new(Kept::nothing()),
        }
    }

    /// What is set about it.
    pub fn settings(&self) -> &IssuerSettings {
        &self.settings
    }

    /// Where it sends people back: what has to be registered with it.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The address at which a person signs in there.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub async fn authorize(&self, now_ms: i64, asked: Asked<'_>) -> Result<String, IssuerError> {
        let provider = self.provider(now_ms, false).await?;
        let mut url = provider.authorize.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", SCOPE)
            .append_pair("state", asked.state)
            .append_pair("nonce", asked.nonce)
            .append_pair("code_challenge", asked.challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Whether an answer is of this issuer as far as it says, also one that has no code.
    ///
    /// # Errors
    /// [`TokenError::AnswerIssuer`], or [`IssuerError`] where it is not known whether it must say so.
    pub async fn check_answer(&self, now_ms: i64, iss: Option<&str>) -> Result<(), OidcError> {
        let provider = self.provider(now_ms, false).await?;
        match iss {
            Some(iss) if iss == self.settings.url.as_str() => Ok(()),
            None if !provider.names_itself => Ok(()),
            _ => Err(TokenError::AnswerIssuer.into()),
        }
    }

    /// The account that an answer proves.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn account(&self, now_ms: i64, answered: &Answered) -> Result<Account, OidcError> {
        self.check_answer(now_ms, answered.iss.as_deref()).await?;
        let provider = self.provider(now_ms, false).await?;
        let id_token = self.exchange(&provider, answered).await?;
        let named = match token::named(&id_token, &provider.algorithms) {
            // New keys may be of another kind than it named before.
            Err(_) => {
                let provider = self.provider(now_ms, true).await?;
                token::named(&id_token, &provider.algorithms)
            }
            named => named,
        };
        let (algorithm, kid) = named?;
        let mut key = None;
        for must_be_new in [false, true] {
            let keys = self.keys(now_ms, &provider, must_be_new).await?;
            key = keys.find(algorithm, kid.as_deref());
            if key.is_some() {
                break;
            }
        }
        let key = key.ok_or(TokenError::Key)?;
        let expected = Expected {
            issuer: self.settings.url.as_str(),
            client_id: &self.settings.client_id,
            nonce: &answered.nonce,
            begun_s: answered.begun_ms / 1_000,
            now_s: now_ms / 1_000,
        };
        Ok(token::account(&id_token, (algorithm, &key), &expected)?)
    }

    async fn provider(&self, now_ms: i64, must_be_new: bool) -> Result<Arc<Provider>, IssuerError> {
        let read = async {
            let url = self.settings.url.as_str().trim_end_matches('/');
            let url = Url::parse(&format!("{url}/.well-known/openid-configuration"))
                .map_err(|_| IssuerError::Discovery("its address"))?;
            self.judged(self.fetch.json(url).await?)
        };
        let read = self.told(read);
        let mut kept = self.provider.lock().await;
        kept.get(now_ms, must_be_new, read).await
    }

    async fn keys(
        &self,
        now_ms: i64,
        provider: &Provider,
        must_be_new: bool,
    ) -> Result<Arc<Keys>, IssuerError> {
        let read = async {
            let published: Published = self.fetch.json(provider.keys.clone()).await?;
            Ok(Keys::from(published))
        };
        let read = self.told(read);
        self.keys.lock().await.get(now_ms, must_be_new, read).await
    }

    /// Says in the log what fails: once per try, however many wait for it.
    async fn told<T>(
        &self,
        read: impl Future<Output = Result<T, IssuerError>>,
    ) -> Result<T, IssuerError> {
        let issuer = self.settings.id.as_str();
        read.await.inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(issuer, error, "an issuer does not say what it is");
        })
    }

    fn judged(&self, document: Document) -> Result<Provider, IssuerError> {
        // Whoever answers here for another would sign people in as that other's.
        if document.issuer != self.settings.url.as_str() {
            return Err(IssuerError::Discovery("issuer is not the one that is set"));
        }
        let algorithms = token::taken(&document.id_token_signing_alg_values_supported);
        if algorithms.is_empty() {
            let what = "it signs with none of RS256, ES256 and EdDSA";
            return Err(IssuerError::Discovery(what));
        }
        let methods = document.token_endpoint_auth_methods_supported;
        let takes = |name| {
            let all = methods.as_deref();
            all.is_some_and(|all| all.iter().any(|one| one == name))
        };
        let endpoint = |text: &str, what| self.endpoint(text).ok_or(IssuerError::Discovery(what));
        Ok(Provider {
            authorize: endpoint(&document.authorization_endpoint, "authorization_endpoint")?,
            token: endpoint(&document.token_endpoint, "token_endpoint")?,
            keys: endpoint(&document.jwks_uri, "jwks_uri")?,
            algorithms,
            // Where it says nothing, the header is what every issuer takes.
            secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
            names_itself: document.authorization_response_iss_parameter_supported,
        })
    }

    /// An address of this issuer: over TLS, or, where the issuer itself is on this machine, on this machine.
    fn endpoint(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let is_here = || {
            let site = url.origin().ascii_serialization();
            self.settings.url.as_str().starts_with("http://") && SiteUri::parse(&site).is_ok()
        };
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_safe = url.scheme() == "https" || is_here();
        (is_plain && url.fragment().is_none() && is_safe).then_some(url)
    }

    /// The ID token for a code.
    async fn exchange(
        &self,
        provider: &Provider,
        answered: &Answered,
    ) -> Result<String, OidcError> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
        }
        if answered.code.len() > CODE_MAX {
            return Err(TokenError::Code(0).into());
        }
        let request = |client: &Client| self.token_request(client, provider, answered);
        match self.fetch.ask(request).await? {
            (200, body) => {
                let tokens: Tokens =
                    serde_json::from_slice(&body).map_err(IssuerError::Malformed)?;
                Ok(tokens.id_token)
            }
            (status @ 400..=499, _) => Err(TokenError::Code(status).into()),
            (status, _) => Err(IssuerError::Status(status).into()),
        }
    }

    fn token_request(
        &self,
        client: &Client,
        provider: &Provider,
        answered: &Answered,
    ) -> RequestBuilder {
        let client_id = self.settings.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &answered.code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &answered.verifier),
        ];
        let request = client.post(provider.token.clone());
        let request = match &self.settings.client_secret {
            Some(secret) if !provider.secret_in_body => {
                request.header(http::header::AUTHORIZATION, basic(client_id, secret))
            }
            secret => {
                form.push(("client_id", client_id));
                form.extend(
                    secret
                        .iter()
                        .map(|secret| ("client_secret", secret.reveal())),
                );
                request
            }
        };
        request.form(&form)
    }
}

/// The header of a client with a secret, both encoded as OAuth has it (RFC 6749, 2.3.1).
fn basic(client_id: &str, secret: &ClientSecret) -> http::HeaderValue {
    let text = format!("{}:{}", encoded(client_id), encoded(secret.reveal()));
    let text = format!("Basic {}", STANDARD.encode(text));
    // Base64 is always a header value.
    let value = http::HeaderValue::from_str(&text);
    let mut value = value.unwrap_or(http::HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// As a form writes it.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._*".contains(&b);
    text.bytes()
        .map(|b| match b {
            b if plain(b) => char::from(b).to_string(),
            b' ' => "+".to_owned(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oidc::IssuerId;

    fn issuer(url: &str) -> Issuer {
        let settings = IssuerSettings {
            id: IssuerId::parse("test").expect("a name"),
            name: "Test".to_owned(),
            url: SiteUri::parse(url).expect("an address"),
            client_id: "us".to_owned(),
            client_secret: None,
        };
        let site = SiteUri::parse("https://console.example").expect("an address");
        Issuer::new(settings, &site, Duration::from_secs(5))
    }

    #[test]
    fn an_issuer_has_addresses_over_tls_alone() {
        let there = issuer("https://issuer.example");
        assert_eq!(
            there.redirect_uri(),
            "https://console.example/api/v1/auth/oidc/test/callback"
        );
        assert!(there.endpoint("https://other.example/token?p=1").is_some());
        for bad in [
            "http://issuer.example/token",
            "http://127.0.0.1/token",
            "https://user@issuer.example/",
            "https://issuer.example/#a",
            "file:///etc/passwd",
            "token",
        ] {
            assert!(there.endpoint(bad).is_none(), "{bad}");
        }
        let here = issuer("http://127.0.0.1:9000");
        assert!(here.endpoint("http://localhost:9001/token").is_some());
        assert!(here.endpoint("http://10.0.0.1/token").is_none());
    }

    #[test]
    fn names_and_secrets_are_encoded_as_forms_are() {
        assert_eq!(encoded("a b:c%ä-._*~"), "a+b%3Ac%25%C3%A4-._*%7E");
        let header = basic("us", &ClientSecret::new("s:1".to_owned()));
        assert_eq!(header, format!("Basic {}", STANDARD.encode("us:s%3A1")));
        assert!(header.is_sensitive());
    }

    #[tokio::test]
    async fn what_was_said_is_kept_and_what_failed_is_not_asked_at_once() {
        let mut kept: Kept<u32> = Kept::nothing();
        let fails = || async { Err(IssuerError::Slow) };
        assert!(matches!(
            kept.get(0, false, fails()).await,
            Err(IssuerError::Slow)
        ));
        let soon = kept.get(AGAIN_MS - 1, false, async { Ok(1) }).await;
        assert!(matches!(soon, Err(IssuerError::NotYet)));
        let at = AGAIN_MS;
        assert_eq!(*kept.get(at, false, async { Ok(1) }).await.expect("1"), 1);
        // Good for an hour, whoever asks; a new one is had at most every ten seconds.
        assert_eq!(
            *kept.get(at + 1, false, async { Ok(2) }).await.expect("1"),
            1
        );
        assert_eq!(
            *kept.get(at + 1, true, async { Ok(2) }).await.expect("1"),
            1
        );
        let later = at + AGAIN_MS;
        assert_eq!(*kept.get(later, true, async { Ok(2) }).await.expect("2"), 2);
        let old = later + FRESH_MS;
        assert_eq!(*kept.get(old, false, fails()).await.expect("2"), 2);
    }
}
