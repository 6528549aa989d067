//! The control plane's known prompt, served on the path that clients' requests take.

use super::Proxy;

use super::in_flight::Origin;
use super::route::Work;
use crate::runtime::{FoundRuntime, RuntimeKind};
use bytes::Bytes;
use dgon_agent_core::error::chain;
use dgon_agent_core::facts::{Failure, RequestFacts};
use dgon_protocol::frame::{Probe, ProbeOutcome, ProbeResult};
use dgon_protocol::receipt::{Source, Status};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use http_body_util::BodyExt;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

impl Proxy {
    /// Serves the control plane's known prompt on the path that clients' requests take.
    pub async fn run_probe(&self, probe: Probe) -> ProbeResult {
        let started = Instant::now();
        let mut result = ProbeResult {
            probe_id: probe.probe_id.clone(),
            request_id: None,
            outcome: ProbeOutcome::NoRuntime,
            message: None,
            model: None,
            tokens_input: 0,
            tokens_output: 0,
            ttft_ms: None,
            latency_ms: 0,
        };
        let Some((kind, model)) = self.probe_target(probe.model.as_deref()) else {
            result.message = Some("no ready runtime with a model was found".to_owned());
            return result;
        };
        result.model = Some(model.clone());
        if let Err(error) = self.sink.ready() {
            result.outcome = ProbeOutcome::Failed;
            result.message = Some(chain(&error));
            return result;
        }
        result.request_id = Some(probe.request_id.clone());
        let limit = Duration::from_millis(u64::from(probe.timeout_ms));
        match tokio::time::timeout(limit, self.serve_probe(&probe, kind, &model)).await {
            Ok(Some(facts)) => report(&mut result, &facts),
            Ok(None) => {
                result.outcome = ProbeOutcome::Failed;
                result.message = Some("the receipt could not be recorded".to_owned());
            }
            Err(_) => {
                result.outcome = ProbeOutcome::Timeout;
                result.message = Some(format!("no answer within {} ms", probe.timeout_ms));
            }
        }
        if result.latency_ms == 0 {
            result.latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        }
        result
    }

    /// Runtime and model for a probe: the named model, else one that is loaded, else any.
    fn probe_target(&self, wanted: Option<&str>) -> Option<(RuntimeKind, String)> {
        let found = self.registry.current();
        let ready: Vec<&FoundRuntime> = found.iter().filter(|runtime| runtime.is_ready()).collect();
        if let Some(name) = wanted {
            let runtime = ready.iter().find(|runtime| runtime.model(name).is_some())?;
            return Some((runtime.kind, name.to_owned()));
        }
        let models = || {
            ready
                .iter()
                .flat_map(|runtime| runtime.models.iter().map(|model| (runtime.kind, model)))
        };
        let loaded = models().find(|(_, model)| model.loaded == Some(true));
        let (kind, model) = loaded.or_else(|| models().next())?;
        Some((kind, model.id.clone()))
    }

    async fn serve_probe(
        &self,
        probe: &Probe,
        kind: RuntimeKind,
        model: &str,
    ) -> Option<RequestFacts> {
        let (observer, observed) = oneshot::channel();
        let (path, body) = probe_request(probe, kind, model);
        let work = Work::of(&Method::POST, &path)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().ok()?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let (head, ()) = request.into_parts();
        let in_flight = self.begin(Origin {
            source: Source::Probe,
            request_id: Some(probe.request_id.clone()),
            observer: Some(observer),
        });
        let answer = self.work(work, in_flight, head, body).await;
        let mut body = answer.into_body();
        // The facts say how it went; the bytes themselves are of no use here.
        while let Some(Ok(_)) = body.frame().await {}
        observed.await.ok()
    }
}

fn probe_request(probe: &Probe, kind: RuntimeKind, model: &str) -> (String, Bytes) {
    if kind == RuntimeKind::Triton {
        let body = serde_json::json!({
            "text_input": probe.prompt, "max_tokens": probe.max_tokens, "parameters": {"max_tokens": probe.max_tokens},
        });
        return (
            format!("/v2/models/{model}/generate"),
            body.to_string().into(),
        );
    }
    let body = serde_json::json!({
        "model": model,
        "messages": [{"role": "user", "content": probe.prompt}],
        "max_tokens": probe.max_tokens,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    ("/v1/chat/completions".to_owned(), body.to_string().into())
}

fn report(result: &mut ProbeResult, facts: &RequestFacts) {
    result.tokens_input = facts.tokens_input;
    result.tokens_output = facts.tokens_output;
    result.ttft_ms = facts.ttft_ms;
    result.latency_ms = facts.latency_ms;
    result.outcome = match facts.status {
        Status::Ok => ProbeOutcome::Ok,
        Status::Error | Status::Cancelled => ProbeOutcome::Failed,
    };
    result.message = facts.failure.map(|failure| {
        let what = match failure {
            Failure::UpstreamStatus => "the runtime answered with an error status",
            Failure::UpstreamError => "the runtime sent an error inside its answer",
            Failure::Unreachable => "the runtime cannot be reached",
            Failure::Incomplete => "the answer broke off",
            Failure::Stalled => "the runtime went silent",
            Failure::BadRequest => "the request could not be read",
        };
        what.to_owned()
    });
}
