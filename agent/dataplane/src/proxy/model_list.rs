//! Lists of models over several runtimes: `GET /v1/models` and `GET /api/tags` as one answer.
//!
//! Each runtime that speaks the list's language is asked, all at once; their entries are passed on as they wrote
//! them, in the order of the runtimes, each name once: the first runtime that has a model gets its requests. A
//! runtime that does not answer in time is left out and named in the `x-dgon-missing` header, so that a short list
//! does not pass for a whole one. With one such runtime its own answer passes unchanged.

use super::Proxy;
use super::answer::Answer;
use super::headers::{prepare_request, strip_hop_by_hop};
use super::reply::Refusal;
use super::upstream::RequestBody;
use crate::runtime::FoundRuntime;
use bytes::Bytes;
use dgon_agent_core::meter::Dialect;
use futures_util::future::join_all;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, request};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::time::Duration;

/// Names the runtimes that a list of models lacks.
pub const MISSING_HEADER: &str = "x-dgon-missing";
/// How long one runtime may take for its part.
const WITHIN: Duration = Duration::from_secs(3);
/// Largest part of one runtime, bytes.
const PART_BYTES: usize = 2 << 20;

/// A list that several runtimes have a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// `/v1/models`
    OpenAi,
    /// `/api/tags`
    Ollama,
}

/// What one runtime said.
enum Part {
    /// Its entries are in this body.
    Entries(Bytes),
    /// Something else.
    Other(Response<Bytes>),
    /// Nothing, for this reason.
    Nothing(String),
}

#[derive(Deserialize)]
struct OpenAiList<'b> {
    #[serde(borrow)]
    data: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
struct OllamaList<'b> {
    #[serde(borrow, default)]
    models: Option<Vec<&'b RawValue>>,
}

/// The name of an entry in either language.
#[derive(Deserialize)]
struct Named {
    #[serde(alias = "id")]
    name: String,
}

impl List {
    /// The list that a request asks for.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        match (method, path) {
            (&Method::GET, "/v1/models") => Some(Self::OpenAi),
            (&Method::GET, "/api/tags") => Some(Self::Ollama),
            _ => None,
        }
    }

    fn dialect(self) -> Dialect {
        match self {
            Self::OpenAi => Dialect::OpenAi,
            Self::Ollama => Dialect::Ollama,
        }
    }

    /// The runtimes that have a part of it.
    pub(super) fn speakers(self, found: &[FoundRuntime]) -> Vec<&FoundRuntime> {
        let speaks = |runtime: &&FoundRuntime| {
            let spoken = runtime.kind.behaviour().speaks;
            spoken.contains(&self.dialect())
        };
        found.iter().filter(speaks).collect()
    }

    fn entries(self, body: &[u8]) -> Option<Vec<&RawValue>> {
        match self {
            Self::OpenAi => serde_json::from_slice(body)
                .ok()
                .map(|list: OpenAiList<'_>| list.data),
            Self::Ollama => serde_json::from_slice(body)
                .ok()
                .map(|list: OllamaList<'_>| list.models.unwrap_or_default()),
        }
    }

    fn join(self, entries: &[&str]) -> String {
        let entries = entries.join(",");
        match self {
            Self::OpenAi => format!("{{\"object\":\"list\",\"data\":[{entries}]}}"),
            Self::Ollama => format!("{{\"models\":[{entries}]}}"),
        }
    }
}

impl Proxy {
    /// Answers a list of models that several runtimes have a part of.
    pub(super) async fn list(
        &self,
        list: List,
        speakers: &[&FoundRuntime],
        head: request::Parts,
    ) -> Response<Answer> {
        let path = head.uri.path().to_owned();
        let parts = speakers
            .iter()
            .map(|runtime| self.part(list, runtime, &head));
        let parts = join_all(parts).await;
        let mut names = HashSet::new();
        let mut entries = Vec::new();
        let mut missing = Vec::new();
        for (runtime, part) in speakers.iter().zip(&parts) {
            let said = match part {
                Part::Entries(body) => {
                    let own = list.entries(body).unwrap_or_default();
                    entries.extend(own.into_iter().map(RawValue::get).filter(|entry| {
                        serde_json::from_str(entry).is_ok_and(|one: Named| names.insert(one.name))
                    }));
                    continue;
                }
                Part::Other(answer) => format!("answered {}", answer.status().as_u16()),
                Part::Nothing(reason) => reason.clone(),
            };
            let (kind, endpoint) = (runtime.kind.as_str(), &runtime.endpoint);
            missing.push(format!("{kind} at {endpoint} {said}"));
        }
        if missing.len() < speakers.len() {
            return joined(&list.join(&entries), &missing);
        }
        // Nobody has a list: the first word of a runtime tells the client more than ours.
        let word = parts.into_iter().find_map(|part| match part {
            Part::Other(answer) => Some(answer.map(Answer::own)),
            Part::Entries(_) | Part::Nothing(_) => None,
        });
        word.unwrap_or_else(|| Refusal::RuntimeFailed.reply(&path, &missing.join("; ")))
    }

    async fn part(&self, list: List, runtime: &FoundRuntime, head: &request::Parts) -> Part {
        let (mut own, ()) = http::Request::new(()).into_parts();
        own.uri = head.uri.clone();
        own.headers = asking(&head.headers, runtime);
        let asked = async {
            let body = RequestBody::Whole(Bytes::new());
            let answer = self.forward(runtime, own, body).await;
            let (mut head, mut body) = answer
                .map_err(|_| "cannot be reached".to_owned())?
                .into_parts();
            strip_hop_by_hop(&mut head.headers);
            head.headers.remove(CONTENT_LENGTH);
            let body = body.read_to_end(PART_BYTES).await;
            let body = body.ok_or_else(|| "broke off".to_owned())?;
            Ok(Response::from_parts(head, body))
        };
        match tokio::time::timeout(WITHIN, asked).await {
            Ok(Ok(answer)) if answer.status().is_success() => {
                let body = answer.into_body();
                match list.entries(&body) {
                    Some(_) => Part::Entries(body),
                    None => Part::Nothing("did not answer with a list".to_owned()),
                }
            }
            Ok(Ok(answer)) => Part::Other(answer),
            Ok(Err(reason)) => Part::Nothing(reason),
            Err(_) => Part::Nothing("did not answer in time".to_owned()),
        }
    }
}

/// A client's headers for one runtime of several; the answer must be readable.
fn asking(headers: &HeaderMap, runtime: &FoundRuntime) -> HeaderMap {
    let mut headers = headers.clone();
    prepare_request(&mut headers, &runtime.endpoint);
    headers.remove(ACCEPT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    headers
}

fn joined(body: &str, missing: &[String]) -> Response<Answer> {
    let mut response = Response::new(Answer::own(body.to_owned()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(missing) = HeaderValue::from_str(&missing.join("; "))
        && !missing.is_empty()
    {
        headers.insert(MISSING_HEADER, missing);
    }
    response
}
