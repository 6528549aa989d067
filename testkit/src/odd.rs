//! The odd exchanges: one file, one exchange unlike the usual ones, with the receipt that it must come to.
//!
//! The format is described in `exchanges/odd/README.md`. This file is also compiled into tests of crates that the
//! testkit itself is built on, so it needs nothing of the rest of the testkit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::path::Path;

/// One exchange.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddExchange {
    /// Name of its file, without `.json`.
    pub name: String,
    /// Who does this, and what went wrong with it.
    pub why: String,
    /// Kind of the runtime, as the agent names kinds.
    pub runtime: String,
    /// Models that the runtime serves.
    #[serde(default = "one_model")]
    pub models: Vec<String>,
    /// What the client asks.
    pub request: OddRequest,
    /// What the runtime answers.
    pub answer: OddAnswer,
    /// What the receipt says.
    pub expect: Expected,
}

/// What a client asks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddRequest {
    /// Method.
    pub method: String,
    /// Path and query, raw.
    pub target: String,
    /// Names and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// What a runtime answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddAnswer {
    /// Status code.
    pub status: u16,
    /// Names and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body, piece by piece.
    pub chunks: Vec<Piece>,
    /// How the body ends.
    #[serde(default)]
    pub ending: OddEnding,
}

/// A part of a body.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// Bytes that are no text.
    Base64(Base64Piece),
    /// The same text many times.
    Repeat(RepeatPiece),
}

/// Bytes in base64.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base64Piece {
    base64: String,
}

/// A text and how often it comes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatPiece {
    repeat: String,
    times: usize,
}

/// How the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OddEnding {
    /// As HTTP ends a body.
    #[default]
    Complete,
    /// The connection breaks.
    Broken,
}

/// What the receipt says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// `ok`, `error` or `cancelled`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Prompt tokens.
    pub tokens_input: u64,
    /// Generated tokens.
    pub tokens_output: u64,
    /// Prompt tokens from the cache.
    pub tokens_cached: Option<u64>,
    /// Where the counts come from; absent where the receipt says nothing.
    pub tokens_source: Option<String>,
    /// Why the model stopped: `stop`, `length`, `tool_calls` or `error`.
    pub finish: Option<String>,
    /// Model in the receipt.
    pub model_id: String,
    /// Runtime in the receipt, where it is not the kind.
    pub runtime: Option<String>,
    /// What the answer loses on its way. `Some` says that the proxy asked for usage behind the client's back.
    pub dropped: Option<String>,
}

fn one_model() -> Vec<String> {
    vec!["m".to_owned()]
}

impl OddRequest {
    /// The body; empty where there is none.
    ///
    /// # Errors
    ///
    /// Base64 that is none.
    pub fn body(&self) -> anyhow::Result<Vec<u8>> {
        match (&self.body, &self.body_base64) {
            (Some(text), _) => Ok(text.clone().into_bytes()),
            (None, Some(coded)) => Ok(STANDARD.decode(coded)?),
            (None, None) => Ok(Vec::new()),
        }
    }
}

impl Piece {
    /// Its bytes.
    ///
    /// # Errors
    ///
    /// Base64 that is none.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64(piece) => STANDARD.decode(&piece.base64)?,
            Self::Repeat(piece) => piece.repeat.repeat(piece.times).into_bytes(),
        })
    }
}

impl OddExchange {
    /// The whole body of the answer.
    ///
    /// # Errors
    ///
    /// Base64 that is none.
    pub fn answer_body(&self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        for piece in &self.answer.chunks {
            body.extend(piece.bytes()?);
        }
        Ok(body)
    }

    /// What the client must get of it.
    ///
    /// # Errors
    ///
    /// Base64 that is none, or a dropped text that the answer does not have exactly once.
    pub fn released_body(&self) -> anyhow::Result<Vec<u8>> {
        let body = self.answer_body()?;
        let Some(dropped) = self
            .expect
            .dropped
            .as_deref()
            .filter(|text| !text.is_empty())
        else {
            return Ok(body);
        };
        let dropped = dropped.as_bytes();
        let first = dropped[0];
        let mut places = (0..=body.len().saturating_sub(dropped.len()))
            .filter(|at| body[*at] == first && body[*at..].starts_with(dropped));
        match (places.next(), places.next()) {
            (Some(at), None) => Ok([&body[..at], &body[at + dropped.len()..]].concat()),
            _ => anyhow::bail!("{}: the dropped text must be in the answer once", self.name),
        }
    }

    /// The value of a header of the answer.
    pub fn answer_header(&self, name: &str) -> Option<&str> {
        let mut headers = self.answer.headers.iter();
        let found = headers.find(|(one, _)| one.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }
}

/// All exchanges of a folder, by name.
///
/// # Errors
///
/// A file that cannot be read, is not in the format, or is not named as it says.
pub fn load(folder: &Path) -> anyhow::Result<Vec<OddExchange>> {
    use anyhow::Context as _;

    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let one: OddExchange =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        anyhow::ensure!(
            path.file_stem()
                .is_some_and(|stem| stem == one.name.as_str()),
            "{} is not named as it says",
            path.display()
        );
        all.push(one);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}
