//! One request from its head to the head of its answer.

use super::Proxy;
use super::answer::{Answer, Measuring};
use super::ask::Ask;
use super::body_reader::{Limits, read_body};
use super::headers::{
    DETECT_HEADER, REQUEST_ID_HEADER, prepare_request, prepare_work, strip_hop_by_hop,
};
use super::in_flight::{InFlightRequest, Origin};
use super::model_list::List;
use super::reply::Refusal;
use super::route::{Work, choose};
use super::upstream::{AnswerBody, RequestBody, UpstreamError};
use crate::runtime::{FoundRuntime, StreamUsage};
use bytes::Bytes;
use dgon_agent_core::error::chain;
use dgon_agent_core::facts::Failure;
use dgon_agent_core::meter::{Dialect, Ending, Framing, Meter, MeterSettings, Usage};
use dgon_protocol::receipt::Source;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue,
    UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Version, request, response};
use hyper::body::Incoming;
use std::sync::Arc;

/// What an answer must be read as.
struct Job {
    dialect: Dialect,
    /// Whether a usage event was asked for that the client does not want.
    drop_usage_event: bool,
    /// Whether the client knows the end of an answer by the end of the connection alone.
    hold_last: bool,
}

impl Proxy {
    /// Serves one request of a client.
    pub(super) async fn handle(&self, request: Request<Incoming>) -> Response<Answer> {
        let path = request.uri().path();
        if request.headers().contains_key(DETECT_HEADER) {
            return Refusal::NotARuntime.reply(path, "this is the agent's own proxy");
        }
        let wants_websocket = request
            .headers()
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if wants_websocket || request.method() == Method::CONNECT {
            return Refusal::NotSupported.reply(
                path,
                "the proxy passes no upgraded connections; use plain HTTP",
            );
        }
        match Work::of(request.method(), path) {
            Some(work) => self.serve_work(work, request).await,
            None => self.pass(request).await,
        }
    }

    /// Passes a request through that is no work.
    async fn pass(&self, request: Request<Incoming>) -> Response<Answer> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let found = self.registry.current();
        if let Some(list) = List::of(&head.method, &path) {
            let speakers = list.speakers(&found);
            if speakers.len() > 1 {
                return self.list(list, &speakers, head).await;
            }
        }
        let model = path.strip_prefix("/v1/models/");
        let Some(runtime) = choose(&found, None, &path, model) else {
            return Refusal::NoRuntime.reply(&path, NO_RUNTIME);
        };
        prepare_request(&mut head.headers, &runtime.endpoint);
        match self.forward(runtime, head, RequestBody::Stream(body)).await {
            Err((refusal, message, _)) => refusal.reply(&path, &message),
            Ok(answer) => {
                let (mut head, body) = answer.into_parts();
                strip_hop_by_hop(&mut head.headers);
                let answer = Answer::passed(body, None, self.settings.stall_timeout, false);
                Response::from_parts(head, answer)
            }
        }
    }

    /// Reads the work of a client and serves it.
    async fn serve_work(&self, work: Work, request: Request<Incoming>) -> Response<Answer> {
        let path = request.uri().path().to_owned();
        if let Err(error) = self.sink.ready() {
            return Refusal::SpoolUnavailable.reply(&path, &chain(&error));
        }
        if self.in_flight() as usize >= self.settings.max_in_flight {
            return Refusal::Busy.reply(
                &path,
                "this node serves as many requests as it may; try again",
            );
        }
        let in_flight = self.begin(Origin::LOCAL);
        let (head, body) = request.into_parts();
        let limits = Limits {
            max_bytes: self.settings.max_body_bytes,
            pause: self.settings.client_timeout,
            // Such a client sends nothing of its body once it is told that it will not be read.
            asks_first: head.headers.contains_key(EXPECT),
        };
        let read = read_body(body, &self.budget, &limits);
        match read.await {
            Ok((body, share)) => {
                let answer = self.work(work, in_flight, head, body).await;
                drop(share);
                answer
            }
            Err(refusal) => {
                let message = match refusal {
                    Refusal::TooLarge => "the request body is larger than this proxy reads",
                    Refusal::Busy => "too many large requests at once; try again",
                    _ => "the request body did not come to its end",
                };
                refuse(in_flight, Failure::BadRequest, refusal, &path, message).await
            }
        }
    }

    /// Opens the receipt of a request.
    pub(super) fn begin(&self, origin: Origin) -> InFlightRequest {
        let energy = self
            .settings
            .energy
            .as_ref()
            .and_then(|meter| meter.begin());
        InFlightRequest::new(Arc::clone(&self.sink), origin, &self.running, energy)
    }

    /// Serves work whose body is in memory.
    pub(super) async fn work(
        &self,
        work: Work,
        mut in_flight: InFlightRequest,
        mut head: request::Parts,
        body: Bytes,
    ) -> Response<Answer> {
        let path = head.uri.path().to_owned();
        let ask = Ask::read(&body);
        let asked_model = work.model.clone().or_else(|| ask.model.clone());
        let found = self.registry.current();
        let runtime = choose(&found, Some(&work), &path, asked_model.as_deref());
        self.describe(&mut in_flight, asked_model.as_deref(), &body, runtime);
        let Some(runtime) = runtime else {
            let failure = Failure::Unreachable;
            return refuse(in_flight, failure, Refusal::NoRuntime, &path, NO_RUNTIME).await;
        };
        let usage = runtime.kind.behaviour().stream_usage;
        let with_usage = (work.usage_on_demand
            && ask.stream
            && !ask.wants_usage
            && usage != StreamUsage::Always)
            .then(|| ask.with_usage(&body, usage == StreamUsage::OnDemandRunning))
            .flatten();
        let job = Job {
            dialect: work.dialect,
            drop_usage_event: with_usage.is_some(),
            hold_last: head.version == Version::HTTP_10,
        };
        let body = with_usage.unwrap_or(body);
        prepare_request(&mut head.headers, &runtime.endpoint);
        prepare_work(&mut head.headers, body.len());
        // A client brings its own key or none; work that no client of this port asked for has the owner's.
        if in_flight.source() != Some(Source::Local)
            && let Some(key) = runtime.access.authorization()
        {
            head.headers.insert(AUTHORIZATION, key.clone());
        }
        let sent = self.forward(runtime, head, RequestBody::Whole(body));
        match sent.await {
            Ok(answer) => self.measure(job, in_flight, answer).await,
            Err((refusal, message, failure)) => {
                refuse(in_flight, failure, refusal, &path, &message).await
            }
        }
    }

    /// Puts what is known before the answer into the receipt.
    fn describe(
        &self,
        in_flight: &mut InFlightRequest,
        asked_model: Option<&str>,
        body: &[u8],
        runtime: Option<&FoundRuntime>,
    ) {
        let served = runtime.and_then(|runtime| match asked_model {
            Some(name) => runtime.serves(name),
            None => runtime.models.first(),
        });
        let hash = blake3::keyed_hash(&self.settings.hash_key.get(), body);
        in_flight.learn(|facts| {
            facts.model_id = asked_model
                .or_else(|| served.map(|model| model.id.as_str()))
                .unwrap_or_default()
                .to_owned();
            facts.model_hash = served.and_then(|model| model.digest.clone());
            facts.runtime = runtime.map(|runtime| runtime.kind.as_str().to_owned());
            facts.prompt_hash = Some(format!("blake3:{}", hash.to_hex()));
        });
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn forward(
        &self,
        runtime: &FoundRuntime,
        head: request::Parts,
        body: RequestBody,
    ) -> Result<Response<AnswerBody>, (Refusal, String, Failure)> {
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = origin_form(&head.uri);
        *request.headers_mut() = head.headers;
        let settings = &self.settings;
        let (connect, first_byte) = (settings.connect_timeout, settings.first_byte_timeout);
        match self.pool.send(runtime, request, connect, first_byte).await {
            Ok(answer) => Ok(answer),
            Err(error @ UpstreamError::Silent { .. }) => {
                Err((Refusal::RuntimeTimeout, error.to_string(), Failure::Stalled))
            }
            Err(error) => {
                self.registry.look_at(&runtime.endpoint);
                let failure = match error {
                    UpstreamError::Connect { .. } => Failure::Unreachable,
                    UpstreamError::Broken { .. } | UpstreamError::Silent { .. } => {
                        Failure::Incomplete
                    }
                };
                tracing::debug!(error = %chain(&error), "runtime failed");
                Err((Refusal::RuntimeFailed, chain(&error), failure))
            }
        }
    }

    /// Puts the meter on an answer.
    async fn measure(
        &self,
        job: Job,
        in_flight: InFlightRequest,
        answer: Response<AnswerBody>,
    ) -> Response<Answer> {
        let (mut head, body) = answer.into_parts();
        strip_hop_by_hop(&mut head.headers);
        let framing = framing(&head);
        let drop_usage_event = job.drop_usage_event && framing == Framing::Sse;
        if drop_usage_event {
            // One event less goes out than comes in, so the length that was announced does not hold.
            head.headers.remove(CONTENT_LENGTH);
        }
        let meter = Meter::new(MeterSettings {
            dialect: job.dialect,
            framing,
            hash_key: self.settings.hash_key.get(),
            drop_usage_event,
            header_usage: header_usage(job.dialect, &head.headers),
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
            let (measured, _) = meter.finish(Ending::Complete, in_flight.elapsed_us());
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
        let answer = Answer::passed(body, Some(measuring), stall, job.hold_last);
        Response::from_parts(head, answer)
    }
}

const NO_RUNTIME: &str = "no LLM runtime was found on this machine; start one, or name it in agent.yaml under \
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

fn framing(head: &response::Parts) -> Framing {
    let text = |name| {
        let value: Option<&HeaderValue> = head.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let status = match head.status {
        StatusCode::NO_CONTENT => return Framing::Opaque,
        status => status.as_u16(),
    };
    Framing::of(status, text(CONTENT_TYPE), text(CONTENT_ENCODING))
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
