//! Requests to an issuer: few at once, of bounded time and size, and never redirected.

use super::error::IssuerError;
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde::de::DeserializeOwned;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Requests to one issuer at once.
const AT_ONCE: usize = 8;
/// Bytes of an answer.
const BYTES_MAX: usize = 256 * 1024;

/// Asks one issuer.
pub(super) struct Fetch {
    /// Made when it is needed: most processes ask nobody. `None` where it cannot be made.
    client: OnceLock<Option<Client>>,
    turns: Semaphore,
    within: Duration,
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetch")
    }
}

impl Fetch {
    pub(super) fn new(within: Duration) -> Self {
        Self {
            client: OnceLock::new(),
            turns: Semaphore::new(AT_ONCE),
            within,
        }
    }

    /// Status and body of the answer to a request.
    pub(super) async fn ask(
        &self,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<(u16, Vec<u8>), IssuerError> {
        let client = self.client.get_or_init(client).as_ref();
        let request = request(client.ok_or(IssuerError::NoClient)?);
        let answer = async {
            // Never closed: an error is as good as no turn.
            let _turn = self.turns.acquire().await.map_err(|_| IssuerError::Slow)?;
            let response = request.send().await.map_err(unreachable)?;
            let status = response.status().as_u16();
            Ok((status, body(response).await?))
        };
        let answer = tokio::time::timeout(self.within, answer).await;
        answer.unwrap_or(Err(IssuerError::Slow))
    }

    /// The JSON at an address.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        url: reqwest::Url,
    ) -> Result<T, IssuerError> {
        match self.ask(|client| client.get(url)).await? {
            (200, body) => serde_json::from_slice(&body).map_err(IssuerError::Malformed),
            (status, _) => Err(IssuerError::Status(status)),
        }
    }
}

fn client() -> Option<Client> {
    // One stack for TLS; where it was chosen before, it is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .user_agent(concat!("dgon-control-plane/", env!("CARGO_PKG_VERSION")))
        .build();
    client
        .inspect_err(|error| tracing::error!(%error, "no issuer can be asked"))
        .ok()
}

fn unreachable(error: reqwest::Error) -> IssuerError {
    match error.is_timeout() {
        true => IssuerError::Slow,
        false => IssuerError::Unreachable(error.without_url()),
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, IssuerError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > BYTES_MAX {
            return Err(IssuerError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
