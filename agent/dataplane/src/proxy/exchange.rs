//! Work whose body is in memory, up to the head of its answer.

use super::Proxy;
use super::answer::{Answer, Measuring};
use super::headers::{
    REQUEST_ID_HEADER, keep_redirects, prepare_request, prepare_work, strip_hop_by_hop,
};
use super::in_flight::{InFlightRequest, mark_remote};
use super::reply::Refusal;
use super::route::WorkRequest;
use super::upstream::{AnswerBody, RequestBody, UpstreamError};
use crate::runtime::{FoundRuntime, RuntimeKind, StreamUsage};
use bytes::Bytes;
use dgon_agent_core::error::chain;
use dgon_agent_core::facts::{Failure, hash_text};
use dgon_agent_core::meter::{Dialect, Ending, Label, Meter, MeterSettings, Usage};
use dgon_agent_core::request::usage::{REFUSAL_BYTES, Repeats, is_refused, may_be_refused};
use dgon_agent_core::request::{Body, Model, Route};
use dgon_protocol::receipt::Source;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use http::{Request, Response, Version, request, response};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

/// What an answer must be read as.
struct AnswerPlan {
    dialect: Dialect,
    /// Whether a usage event was asked for that the client does not want.
    drop_usage_event: bool,
    /// Whether the client knows the end of an answer by the end of the connection alone.
    hold_last: bool,
    /// How many answers the one body holds.
    answers: Option<u32>,
}

impl Proxy {
    /// Serves work whose body is in memory.
    pub(super) async fn work(
        &self,
        route: Route,
        mut in_flight: InFlightRequest,
        mut head: request::Parts,
        body: Bytes,
    ) -> Response<Answer> {
        let path = head.uri.path().to_owned();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let content_type = text(CONTENT_TYPE).filter(|_| route.takes_forms);
        let read = Body::read(&body, content_type, text(CONTENT_ENCODING));
        let asked = WorkRequest {
            route: &route,
            body: &read,
        };
        let found = self.registry.current();
        let Some(runtime) = asked.choose(&found, &path) else {
            self.describe(&mut in_flight, &asked, &body, None);
            let failure = Failure::Unreachable;
            return refuse(in_flight, failure, Refusal::NoRuntime, &path, NO_RUNTIME).await;
        };
        prepare_request(&mut head.headers, &runtime.endpoint);
        // A client brings its own key or none; work that no client of this port asked for has the owner's.
        if in_flight.source() != Some(Source::Local)
            && let Some(key) = runtime.access.authorization()
        {
            head.headers.insert(AUTHORIZATION, key.clone());
        }
        let mut plan = AnswerPlan {
            dialect: route.dialect.unwrap_or(Dialect::Other),
            drop_usage_event: false,
            hold_last: head.version == Version::HTTP_10,
            answers: asked.body.answers(runtime.kind.behaviour().keys),
        };
        // The body with usage asked for is a copy, and takes its share of the memory too.
        let mut copy = self.admission.body_share();
        let with_usage = match self.usage_to_ask(&asked, runtime) {
            Some(_) if !copy.grow(body.len()) => {
                self.describe(&mut in_flight, &asked, &body, Some(runtime));
                let (failure, refusal) = (Failure::BadRequest, Refusal::Busy);
                return refuse(in_flight, failure, refusal, &path, TOO_MANY_LARGE).await;
            }
            Some(repeats) => read.with_usage(&body, runtime.kind.behaviour().keys, repeats),
            None => None,
        };
        // What the receipt says of the request is put together while the runtime works on it.
        let describe = || self.describe(&mut in_flight, &asked, &body, Some(runtime));
        let sent = match with_usage {
            None => {
                let sending = self.send_work(runtime, head, body.clone());
                meanwhile(sending, describe).await
            }
            Some(with_usage) => {
                let sending = self.send_work(runtime, head.clone(), with_usage);
                let first = meanwhile(sending, describe).await;
                match self.unless_refused(first).await {
                    Some(sent) => {
                        plan.drop_usage_event = true;
                        sent
                    }
                    // Rare, and no part of the future of all others.
                    None => Box::pin(self.ask_without_usage(runtime, head, body.clone())).await,
                }
            }
        };
        match sent {
            Ok(answer) => self.measure(plan, in_flight, answer).await,
            Err((refusal, message, failure)) => {
                refuse(in_flight, failure, refusal, &path, &message).await
            }
        }
    }

    /// How usage must be asked for, where a stream would not tell it otherwise.
    fn usage_to_ask(&self, asked: &WorkRequest<'_>, runtime: &FoundRuntime) -> Option<Repeats> {
        let behaviour = runtime.kind.behaviour();
        let repeats = match behaviour.stream_usage {
            StreamUsage::Always => return None,
            StreamUsage::OnDemand => Repeats::Never,
            StreamUsage::OnDemandRunning => Repeats::Always,
        };
        let (read, keys) = (asked.body, behaviour.keys);
        let is_wanted = asked.route.usage_on_demand
            && read.is_stream(keys)
            && !read.wants_usage(keys, repeats)
            && !self.usage_refusals.has(runtime);
        is_wanted.then_some(repeats)
    }

    async fn send_work(
        &self,
        runtime: &FoundRuntime,
        mut head: request::Parts,
        body: Bytes,
    ) -> Sent {
        prepare_work(&mut head.headers, body.len());
        self.forward(runtime, head, RequestBody::Whole(body)).await
    }

    /// What came of a request with usage asked for; `None` where the runtime refuses just that. A refusal that cannot
    /// be read within its bounds counts as one, for the answer without is the client's own in any case.
    async fn unless_refused(&self, sent: Sent) -> Option<Sent> {
        let mut answer = match sent {
            Ok(answer) if may_be_refused(answer.status().as_u16()) => answer,
            other => return Some(other),
        };
        let reading = answer.body_mut().read_to_end(REFUSAL_BYTES);
        let said = tokio::time::timeout(REFUSAL_WITHIN, reading).await.ok()??;
        if is_refused(answer.status().as_u16(), &said) {
            return None;
        }
        answer.body_mut().put_back(said);
        Some(Ok(answer))
    }

    /// Asks again as the client did, and remembers a runtime that takes it so.
    async fn ask_without_usage(
        &self,
        runtime: &FoundRuntime,
        head: request::Parts,
        body: Bytes,
    ) -> Sent {
        let sent = self.send_work(runtime, head, body).await;
        if let Ok(answer) = &sent
            && !may_be_refused(answer.status().as_u16())
        {
            tracing::info!(endpoint = %runtime.endpoint, "the runtime refuses stream_options; its streams are counted by chunks");
            self.usage_refusals.add(runtime);
        }
        sent
    }

    /// Puts what is known before the answer into the receipt. A model is named only where the request names it, or
    /// the runtime has no other; a digest is that of a model in the runtime's own list.
    fn describe(
        &self,
        in_flight: &mut InFlightRequest,
        asked: &WorkRequest<'_>,
        body: &[u8],
        runtime: Option<&FoundRuntime>,
    ) {
        let model = match runtime {
            Some(runtime) => asked.model(runtime.kind),
            None => asked.model(RuntimeKind::OpenAiCompatible),
        };
        let listed = runtime.and_then(|runtime| match &model {
            Model::Named(name) => runtime.model(name),
            Model::Absent => runtime.only_model(),
            Model::Unclear => None,
        });
        let is_remote = runtime
            .zip(model.name())
            .is_some_and(|(runtime, name)| runtime.is_remote(name));
        let hash = blake3::keyed_hash(&self.hash_key(in_flight), body);
        in_flight.learn(|facts| {
            facts.model_id = model
                .name()
                .or_else(|| listed.map(|model| model.id.as_str()))
                .unwrap_or(UNKNOWN_MODEL)
                .to_owned();
            facts.model_hash = listed.and_then(|model| model.digest.clone());
            facts.runtime = runtime.map(|runtime| runtime.kind.as_str().to_owned());
            facts.prompt_hash = Some(hash_text(&hash));
            if is_remote {
                mark_remote(facts);
            }
        });
        if asked.route.is_unpaid {
            in_flight.mark_unpaid();
        }
    }

    /// Key of the hashes in the receipt of a request: the node's, unless the asker brings one.
    fn hash_key(&self, in_flight: &InFlightRequest) -> [u8; 32] {
        let own = || self.settings.hash_key.get();
        in_flight.hash_key().unwrap_or_else(own)
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn forward(
        &self,
        runtime: &FoundRuntime,
        head: request::Parts,
        body: RequestBody,
    ) -> Sent {
        // On the heap, for it passes through several futures, each of which would have room for it.
        let mut request = Box::new(Request::new(body));
        *request.method_mut() = head.method;
        *request.uri_mut() = origin_form(&head.uri);
        *request.headers_mut() = head.headers;
        let settings = &self.settings;
        let (connect, first_byte) = (settings.connect_timeout, settings.first_byte_timeout);
        match self.pool.send(runtime, request, connect, first_byte).await {
            Ok(mut answer) => {
                keep_redirects(answer.headers_mut(), &runtime.endpoint);
                Ok(answer)
            }
            Err(error @ UpstreamError::Silent { .. }) => {
                Err((Refusal::RuntimeTimeout, error.to_string(), Failure::Stalled))
            }
            Err(error) => {
                if let Some(unsent) = error.unsent() {
                    let refusal = Refusal::unread(unsent);
                    return Err((refusal, unsent.to_string(), Failure::BadRequest));
                }
                self.registry.look_at(&runtime.endpoint);
                let failure = match error {
                    UpstreamError::Connect { .. } => Failure::Unreachable,
                    _ => Failure::Incomplete,
                };
                tracing::debug!(error = %chain(&error), "runtime failed");
                Err((Refusal::RuntimeFailed, chain(&error), failure))
            }
        }
    }

    /// Puts the meter on an answer.
    async fn measure(
        &self,
        plan: AnswerPlan,
        in_flight: InFlightRequest,
        answer: Response<AnswerBody>,
    ) -> Response<Answer> {
        let (mut head, body) = answer.into_parts();
        strip_hop_by_hop(&mut head.headers);
        let label = label(&head);
        let drop_usage_event = plan.drop_usage_event && label.is_readable();
        if drop_usage_event {
            // One event less goes out than comes in, so the length that was announced does not hold.
            head.headers.remove(CONTENT_LENGTH);
        }
        let meter = Meter::new(MeterSettings {
            dialect: plan.dialect,
            label,
            hash_key: self.hash_key(&in_flight),
            drop_usage_event,
            header_usage: header_usage(plan.dialect, &head.headers),
            answers: plan.answers,
        });
        if let Some(id) = in_flight.request_id()
            && let Ok(id) = HeaderValue::from_str(id.as_str())
        {
            head.headers.insert(REQUEST_ID_HEADER, id);
        }
        let bytes_left = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        let status_failed = !head.status.is_success();
        if body.is_empty() {
            // There is no body whose end could wait for the receipt, so the head waits.
            let (measured, _) = meter.finish(Ending::Complete);
            if let Err(error) = in_flight.conclude(measured, status_failed).await {
                return Refusal::SpoolUnavailable.reply("", &chain(&error));
            }
            let answer = Answer::passed(body, None, self.settings.stall_timeout, false);
            return Response::from_parts(head, answer);
        }
        let measuring = Measuring {
            meter,
            in_flight,
            status_failed,
            bytes_left,
        };
        let stall = self.settings.stall_timeout;
        let answer = Answer::passed(body, Some(measuring), stall, plan.hold_last);
        Response::from_parts(head, answer)
    }
}

/// Waits for `sending`; what is to be done meanwhile is done once it has begun.
async fn meanwhile<F: Future>(sending: F, todo: impl FnOnce()) -> F::Output {
    let (mut sending, mut todo) = (pin!(sending), Some(todo));
    poll_fn(|cx| {
        let polled = sending.as_mut().poll(cx);
        if let Some(todo) = todo.take() {
            todo();
        }
        polled
    })
    .await
}

/// What came of sending a request: the head of an answer, or why there is none.
type Sent = Result<Response<AnswerBody>, (Refusal, String, Failure)>;

/// The model in a receipt where none is known.
const UNKNOWN_MODEL: &str = "unknown";

/// How long a runtime may take for the body of a refusal.
const REFUSAL_WITHIN: Duration = Duration::from_secs(10);

pub(super) const TOO_MANY_LARGE: &str = "too many large requests at once; try again";

pub(super) const NO_RUNTIME: &str = "no LLM runtime was found on this machine; start one, or name it in agent.yaml under \
                          runtimes.endpoints";

/// Records a failed request, then says so.
async fn refuse(
    in_flight: InFlightRequest,
    failure: Failure,
    refusal: Refusal,
    path: &str,
    message: &str,
) -> Response<Answer> {
    let id = in_flight.request_id().map(ToString::to_string);
    if let Err(error) = in_flight.fail(failure).await {
        return Refusal::SpoolUnavailable.reply(path, &chain(&error));
    }
    let mut response = refusal.reply(path, message);
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    response
}

fn label(head: &response::Parts) -> Label {
    let text = |name| {
        let value: Option<&HeaderValue> = head.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    Label::of(
        head.status.as_u16(),
        text(CONTENT_TYPE),
        text(CONTENT_ENCODING),
    )
}

/// The counts that TGI puts into the headers of an answer that is no stream.
fn header_usage(dialect: Dialect, headers: &HeaderMap) -> Option<Usage> {
    if dialect != Dialect::Tgi {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Some(Usage {
        input: number("x-prompt-tokens")?,
        output: number("x-generated-tokens")?,
        cached: None,
    })
}

/// Path and query alone, as a server expects them.
fn origin_form(uri: &http::Uri) -> http::Uri {
    uri.path_and_query()
        .and_then(|path| {
            http::Uri::builder()
                .path_and_query(path.clone())
                .build()
                .ok()
        })
        .unwrap_or_default()
}
