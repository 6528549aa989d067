//! Which route's language an answer is in, and how it is framed.

/// The language of an answer: the route decides, not the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`.
    OpenAi,
    /// `/v1/responses`.
    Responses,
    /// `/v1/messages`.
    Messages,
    /// `/api/chat`, `/api/generate`, `/api/embed`.
    Ollama,
    /// `/generate`, `/generate_stream`.
    Tgi,
    /// llama.cpp's `/completion` and `/infill`.
    Llama,
    /// `/v2/models/…/generate`.
    Triton,
}

/// How the events of an answer are laid out in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// One JSON value is the whole body.
    Json,
    /// Server-sent events.
    Sse,
    /// One JSON object per line.
    Ndjson,
    /// Not to be read: an error status, a compressed body.
    Opaque,
}

impl Framing {
    /// Decides from the status and the `content-type` and `content-encoding` headers of an answer.
    pub fn of(status: u16, content_type: Option<&str>, content_encoding: Option<&str>) -> Self {
        let is_plain = content_encoding.is_none_or(|e| e.trim().eq_ignore_ascii_case("identity"));
        if !(200..300).contains(&status) || !is_plain {
            return Self::Opaque;
        }
        let media = content_type
            .and_then(|text| text.split(';').next())
            .unwrap_or_default()
            .trim();
        if media.eq_ignore_ascii_case("text/event-stream") {
            Self::Sse
        } else if media.eq_ignore_ascii_case("application/x-ndjson")
            || media.eq_ignore_ascii_case("application/jsonl")
        {
            Self::Ndjson
        } else {
            Self::Json
        }
    }

    /// Whether the answer comes piece by piece.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Sse | Self::Ndjson)
    }
}
