//! What a dialect says to a request, before anything is sent: whole, or in timed pieces.

use super::text::Generation;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;

/// A request, read to its end.
pub(crate) struct Call {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// The body as JSON; `None` where it is none.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether the request carries this key as a bearer token.
    pub(crate) fn has_bearer(&self, key: &str) -> bool {
        let given = self.headers.get(http::header::AUTHORIZATION);
        given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ")) == Some(key)
    }
}

/// An answer that is known at once.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Plain {
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// `application/json`.
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json", body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn response_head(&self) -> http::response::Builder {
        let mut head =
            http::Response::builder().status(StatusCode::from_u16(self.status).unwrap_or_default());
        if !self.content_type.is_empty() {
            head = head.header(http::header::CONTENT_TYPE, self.content_type);
        }
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                head = head.header(*name, value);
            }
        }
        head
    }
}

/// One write of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Tokens that are generated when it goes out; it waits until then.
    pub at: u32,
    pub bytes: Bytes,
    /// Part of the mark by which clients see that the answer is whole.
    pub terminal: bool,
}

impl Piece {
    pub(crate) fn new(at: u32, bytes: impl Into<Bytes>) -> Self {
        Self {
            at,
            bytes: bytes.into(),
            terminal: false,
        }
    }

    pub(crate) fn terminal(at: u32, bytes: impl Into<Bytes>) -> Self {
        Self {
            terminal: true,
            ..Self::new(at, bytes)
        }
    }
}

/// How a generation is told to the client.
pub(crate) enum Reply {
    /// At its end, in one body.
    Whole(Plain),
    /// As it goes.
    Stream {
        /// Status and headers; its body is not used.
        head: Plain,
        /// Whether the head waits for the first piece.
        head_with_first: bool,
        pieces: Vec<Piece>,
        /// What is sent in place of the rest where generation fails inside the stream.
        error: Vec<Bytes>,
        /// Whether overload and early failure are told inside the stream too, under status 200.
        fails_inside: bool,
    },
}

/// A generation and everything that may come of it.
pub(crate) struct Job {
    pub generation: Generation,
    /// Output tokens as this server counts them.
    pub output_tokens: u32,
    pub reply: Reply,
    pub overloaded: Plain,
    pub failed: Plain,
    /// Added to the time to the first token: a model that is loaded on demand.
    pub load: std::time::Duration,
}

/// What a dialect says to a request.
pub(crate) enum Answer {
    /// At once; not a generation.
    Now(Plain),
    /// At once: a generation request that is refused for what it asks.
    Refused(Plain),
    /// A generation.
    Generate(Box<Job>),
}

impl From<Plain> for Answer {
    fn from(plain: Plain) -> Self {
        Self::Now(plain)
    }
}

/// `text` as a JSON string, quotes included.
pub(crate) fn js(text: &str) -> String {
    Value::from(text).to_string()
}

/// `text` as Go's encoder writes it: `<`, `>`, `&` and the two Unicode line separators escaped.
pub(crate) fn go_js(text: &str) -> String {
    js(text)
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// One SSE event.
pub(crate) fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// The mark that ends an OpenAI stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// The members of an OpenAI request that every dialect reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    pub stream: bool,
    pub include_usage: bool,
    pub continuous_usage: Option<bool>,
    pub limit: Option<u32>,
    pub seed: Option<u64>,
}

impl Asked {
    pub(crate) fn read(body: &Value) -> Self {
        let options = &body["stream_options"];
        let number = |name: &str| {
            body[name]
                .as_u64()
                .map(|n| u32::try_from(n).unwrap_or(u32::MAX))
        };
        Self {
            stream: body["stream"].as_bool().unwrap_or(false),
            include_usage: options["include_usage"].as_bool().unwrap_or(false),
            continuous_usage: options["continuous_usage_stats"].as_bool(),
            limit: number("max_completion_tokens").or_else(|| number("max_tokens")),
            seed: body["seed"].as_u64(),
        }
    }
}
