//! Which route's language an answer is in, and what the head of an answer says about its body.

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
    /// Any other work: rerank, score, classify, audio, images, routes that nobody knows yet. Read for the names that
    /// the other dialects give their counts; its streams need no mark of their end.
    Other,
}

/// What the head of an answer says about its body. How events are laid out in it is read from the bytes alone, for
/// gateways and runtimes label event streams as JSON, JSON as event streams, and both as nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// It can be read.
    Readable,
    /// The same, and it is called an event stream: believed only where the bytes could be anything.
    EventStream,
    /// It is the answer, in a coding that is not undone here: what it says is not known.
    Encoded,
    /// It is no answer: an error status, or no content. There is nothing to count.
    NoAnswer,
}

impl Label {
    /// Decides from the status and the `content-type` and `content-encoding` headers of an answer.
    pub fn of(status: u16, content_type: Option<&str>, content_encoding: Option<&str>) -> Self {
        if !(200..300).contains(&status) || matches!(status, 204 | 205) {
            return Self::NoAnswer;
        }
        let is_plain = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
        let mut codings = content_encoding.unwrap_or_default().split(',');
        if !codings.all(|coding| is_plain(coding.trim())) {
            return Self::Encoded;
        }
        let media = content_type
            .and_then(|text| text.split(';').next())
            .unwrap_or_default()
            .trim();
        if media.eq_ignore_ascii_case("text/event-stream") {
            Self::EventStream
        } else {
            Self::Readable
        }
    }

    /// Whether the bytes are read at all.
    pub const fn is_readable(self) -> bool {
        matches!(self, Self::Readable | Self::EventStream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_can_be_read() {
        for (status, media, coding, label) in [
            (200, Some("application/json"), None, Label::Readable),
            (200, None, Some("identity"), Label::Readable),
            (
                200,
                Some("Text/Event-Stream; charset=utf-8"),
                Some(""),
                Label::EventStream,
            ),
            (200, Some("text/event-stream"), Some("br"), Label::Encoded),
            (200, None, Some("identity, gzip"), Label::Encoded),
            (204, None, None, Label::NoAnswer),
            (503, Some("application/json"), Some("gzip"), Label::NoAnswer),
        ] {
            assert_eq!(Label::of(status, media, coding), label);
        }
    }
}
