//! The request that becomes a WebSocket (RFC 6455, section 4.2), and its answer.

use super::open::{Bounds, WebSocket, move_over};
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Bytes of the key that a client makes for one handshake.
const KEY_BYTES: usize = 16;

/// How a key is read: clients that make it of random characters leave bits after the last byte.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// What is wrong with a handshake. A proxy in between that does not pass on what belongs to one connection is the usual cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoHandshake {
    /// An ordinary request.
    #[error("this address is a WebSocket; a proxy in between must pass Upgrade and Connection on")]
    NoUpgrade,
    /// Another version than the one that there is.
    #[error("the WebSocket must be of version 13")]
    Version,
    /// No key that a client could have made.
    #[error("Sec-WebSocket-Key is missing or is not 16 bytes")]
    Key,
    /// The connection is of a kind that cannot become one.
    #[error("this connection cannot be upgraded")]
    Connection,
    /// The client speaks none of ours.
    #[error("the subprotocol here is {0}")]
    Subprotocol(&'static str),
}

/// A handshake that is in order and not yet answered.
#[derive(Debug)]
pub struct Handshake {
    on_upgrade: OnUpgrade,
    accept: String,
    protocol: Option<&'static str>,
}

impl Handshake {
    /// Looks at the headers alone: whoever has them wrong has cost nothing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(parts: &mut Parts) -> Result<Self, NoHandshake> {
        let is_upgrade = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && says(&parts.headers, &CONNECTION, "upgrade")
            && says(&parts.headers, &UPGRADE, "websocket");
        if !is_upgrade {
            return Err(NoHandshake::NoUpgrade);
        }
        if !says(&parts.headers, &SEC_WEBSOCKET_VERSION, "13") {
            return Err(NoHandshake::Version);
        }
        let key = parts.headers.get(SEC_WEBSOCKET_KEY);
        let key = key.filter(|key| {
            let bytes = KEY.decode(key.as_bytes());
            bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES)
        });
        let key = key.ok_or(NoHandshake::Key)?;
        let accept = derive_accept_key(key.as_bytes());
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        Ok(Self {
            on_upgrade: on_upgrade.ok_or(NoHandshake::Connection)?,
            accept,
            protocol: None,
        })
    }

    /// Chooses a subprotocol.
    ///
    /// # Errors
    /// The client does not offer it.
    pub fn speaking(
        mut self,
        headers: &HeaderMap,
        protocol: &'static str,
    ) -> Result<Self, NoHandshake> {
        let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut offers = offers.flat_map(|offers| offers.as_bytes().split(|byte| *byte == b','));
        if !offers.any(|offer| offer.trim_ascii() == protocol.as_bytes()) {
            return Err(NoHandshake::Subprotocol(protocol));
        }
        self.protocol = Some(protocol);
        Ok(self)
    }

    /// The answer, after which `serve` has the socket.
    pub fn accept<F>(
        self,
        bounds: Bounds,
        serve: impl FnOnce(WebSocket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let on_upgrade = self.on_upgrade;
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => move_over(upgraded, bounds, serve),
                Err(error) => tracing::debug!(%error, "a connection broke before its upgrade"),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        // It is base64.
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = self.protocol {
            let protocol = HeaderValue::from_static(protocol);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// Whether a header has this word among those with commas between them, in whatever case.
fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The head of a good handshake with one header changed.
    fn parts(change: (HeaderName, &'static str)) -> Parts {
        let mut request = Request::builder()
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "WebSocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, KEY)
            .body(())
            .expect("a request");
        let value = HeaderValue::from_static(change.1);
        request.headers_mut().insert(change.0, value);
        let on_upgrade = hyper::upgrade::on(&mut request);
        request.extensions_mut().insert(on_upgrade);
        request.into_parts().0
    }

    #[test]
    fn a_handshake_is_answered_as_the_standard_has_it_and_a_wrong_one_refused() {
        let handshake = Handshake::read(&mut parts((UPGRADE, "websocket"))).expect("a handshake");
        // The example of RFC 6455, section 1.3.
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (name, value, why) in [
            (CONNECTION, "keep-alive", NoHandshake::NoUpgrade),
            (UPGRADE, "h2c", NoHandshake::NoUpgrade),
            (SEC_WEBSOCKET_VERSION, "8", NoHandshake::Version),
            (SEC_WEBSOCKET_KEY, "AAAA", NoHandshake::Key),
            (
                SEC_WEBSOCKET_KEY,
                "not of base64, not at all",
                NoHandshake::Key,
            ),
        ] {
            let refused = Handshake::read(&mut parts((name, value)));
            assert_eq!(refused.err(), Some(why), "{value}");
        }
    }

    #[test]
    fn a_subprotocol_is_chosen_only_where_it_is_offered() {
        let speaking = |offers| {
            let mut parts = parts((SEC_WEBSOCKET_PROTOCOL, offers));
            let handshake = Handshake::read(&mut parts).expect("a handshake");
            handshake.speaking(&parts.headers, "dgon.v1")
        };
        for offers in ["dgon.v1", "dgon.v2, dgon.v1", "dgon.v2,dgon.v1 ,x"] {
            let chosen = speaking(offers).expect("chosen");
            assert_eq!(chosen.protocol, Some("dgon.v1"));
        }
        for offers in ["dgon.v2", "DGON.V1", "dgon.v11", "", "dgon.v1;q=1"] {
            assert!(speaking(offers).is_err(), "{offers}");
        }
    }
}
