//! `runtime.generation`: one token, asked of the running agent's proxy like any client of this machine would.
//!
//! The agent makes a receipt for it, as for all work: with source `local`, because that is what it is. The doctor
//! has no way around the meter.

use super::HERE;
use crate::doctor::subject::Asked;
use crate::doctor::{Check, CheckId};
use crate::proxy::REQUEST_ID_HEADER;
use crate::runtime::{RuntimeKind, RuntimeReport};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A model that is loaded gives its first token in much less.
const TOKEN: Duration = Duration::from_millis(2_000);
/// Most of an answer that is read, bytes.
const ANSWER_BYTES: usize = 64 * 1024;
const REASON_CHARS: usize = 200;

/// What is asked.
struct Ask {
    model: String,
    is_loaded: bool,
    path: String,
    body: String,
}

impl Ask {
    /// A loaded model before one that is only on disk; of runtimes that are ready.
    fn choose(runtimes: &[&RuntimeReport]) -> Option<Self> {
        let all = || {
            runtimes
                .iter()
                .filter(|runtime| runtime.is_ready())
                .flat_map(|runtime| {
                    runtime
                        .models
                        .iter()
                        .map(move |model| (runtime.kind(), model))
                })
        };
        // A runtime that does not tell serves what it lists.
        let loaded = all().find(|(_, model)| model.loaded != Some(false));
        let (kind, model) = loaded.or_else(|| all().next())?;
        let (path, body) = if kind == Some(RuntimeKind::Triton) {
            let body = serde_json::json!({"text_input": "Say ok.", "max_tokens": 1, "parameters": {"max_tokens": 1}});
            (format!("/v2/models/{}/generate", model.id), body)
        } else {
            let body = serde_json::json!({
                "model": model.id, "max_tokens": 1, "messages": [{"role": "user", "content": "Say ok."}],
            });
            ("/v1/chat/completions".to_owned(), body)
        };
        Some(Self {
            model: model.id.clone(),
            is_loaded: model.loaded != Some(false),
            path,
            body: body.to_string(),
        })
    }

    /// The same for a person to try.
    fn command(&self, proxy: &str) -> String {
        HERE.post_json(&format!("{proxy}{}", self.path), &self.body)
    }
}

/// What came.
enum Came {
    Token { receipt: Option<String> },
    Refusal { status: StatusCode, why: String },
}

pub(super) async fn check(runtimes: &[&RuntimeReport], asked: &Asked) -> Check {
    let check = Check::new(
        CheckId::RuntimeGeneration,
        "one token through the agent's proxy; it makes a receipt of source local",
    );
    let Some(ask) = Ask::choose(runtimes) else {
        return check.skip("no ready runtime has a model");
    };
    let status = match asked {
        Asked::Runs(status) => status,
        Asked::Absent => {
            return check.skip("the agent does not run, so its proxy cannot be asked");
        }
        Asked::OtherVersion | Asked::Unsupported | Asked::Closed(_) | Asked::Silent { .. } => {
            return check.skip("the agent does not say where its proxy is");
        }
    };
    let check = check.about(ask.model.clone());
    let fix = ask.command(&status.proxy);
    let began = Instant::now();
    match timeout(TOKEN, generate(&status.proxy, &ask)).await {
        Ok(Ok(Came::Token { receipt })) => {
            let receipt = receipt.map_or(String::new(), |id| format!(", receipt {id}"));
            check.ok(format!(
                "a token came in {} ms{receipt}",
                began.elapsed().as_millis()
            ))
        }
        Ok(Ok(Came::Refusal { status, why })) => {
            check.fail(format!("no token: {why} (status {status})"), fix)
        }
        Ok(Err(error)) => check.fail(
            format!("no token: the proxy gives no answer ({error})"),
            fix,
        ),
        Err(_) if !ask.is_loaded => check.warn(
            "no token within 2 s; the model is not loaded, and loading takes longer",
            fix,
        ),
        Err(_) => check.fail(
            "no token within 2 s; the runtime hangs, or other requests keep it busy",
            fix,
        ),
    }
}

/// Where the proxy listens, from `http://ADDRESS`. One that listens everywhere is asked on this machine.
fn address(proxy: &str) -> Option<SocketAddr> {
    let mut address: SocketAddr = proxy.strip_prefix("http://")?.parse().ok()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(address)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn generate(proxy: &str, ask: &Ask) -> Result<Came, Failure> {
    let address = address(proxy).ok_or("its address cannot be read")?;
    let stream = TcpStream::connect(address).await?;
    let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(&ask.path)
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(ask.body.clone())))?;
    let asked = async {
        let answer = send.send_request(request).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes();
        Ok::<_, Failure>((head, body))
    };
    let (head, body) = tokio::select! {
        answer = asked => answer,
        // The answer ends before its connection does.
        ended = connection => match ended {
            Err(error) => Err(Failure::from(error)),
            Ok(()) => Err(Failure::from("the connection was closed")),
        },
    }?;
    if head.status.is_success() {
        let receipt = head.headers.get(REQUEST_ID_HEADER);
        let receipt = receipt.and_then(|value| value.to_str().ok());
        return Ok(Came::Token {
            receipt: receipt.map(str::to_owned),
        });
    }
    Ok(Came::Refusal {
        status: head.status,
        why: reason(&body),
    })
}

/// The sentence in an error body, in whatever form the runtime writes it.
fn reason(body: &[u8]) -> String {
    let parsed: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let said = parsed["error"]["message"]
        .as_str()
        .or_else(|| parsed["error"].as_str())
        .or_else(|| parsed["message"].as_str());
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    text.chars().take(REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_listens_everywhere_is_asked_on_this_machine() {
        let at = |proxy| address(proxy).map(|address| address.to_string());
        assert_eq!(at("http://0.0.0.0:11435").unwrap(), "127.0.0.1:11435");
        assert_eq!(at("http://[::]:1").unwrap(), "[::1]:1");
        assert_eq!(at("http://192.0.2.7:1").unwrap(), "192.0.2.7:1");
        assert_eq!(at("https://x"), None);
    }

    #[test]
    fn the_reason_is_found_in_every_form() {
        for body in [
            r#"{"error":{"message":"no such model"}}"#,
            r#"{"error":"no such model"}"#,
            r#"{"message":"no such model"}"#,
            "no such model",
        ] {
            assert_eq!(reason(body.as_bytes()), "no such model");
        }
    }
}
