//! The control plane's known prompt, served on the path that clients' requests take.

use super::Proxy;
use crate::admission::{Permit, Refused};
use std::sync::Arc;

use super::in_flight::Origin;
use crate::runtime::{FoundRuntime, RuntimeKind};
use bytes::Bytes;
use dgon_agent_core::error::chain;
use dgon_agent_core::facts::{Failure, RequestFacts};
use dgon_agent_core::request::Class;
use dgon_protocol::frame::{Probe, ProbeOutcome, ProbeResult};
use dgon_protocol::receipt::{Source, Status};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use http_body_util::BodyExt;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most tokens that a probe may have generated: it shows that the node serves, and is no way to have work done.
const MAX_TOKENS: u32 = 256;
/// The longest that a probe may run.
const LONGEST: Duration = Duration::from_secs(60);

impl Proxy {
    /// Lets in the control plane's known prompt; the future serves it on the path that clients' requests take, and on
    /// their threads. Who is not let in costs no task and no memory.
    ///
    /// What the control plane asks for is cut to 256 tokens and a minute.
    ///
    /// # Errors
    /// The result of a probe that is not let in.
    pub fn begin_probe(
        self: &Arc<Self>,
        mut probe: Probe,
    ) -> Result<impl Future<Output = ProbeResult> + Send + use<>, Box<ProbeResult>> {
        // None at all means no limit to some runtimes.
        probe.max_tokens = probe.max_tokens.clamp(1, MAX_TOKENS);
        let longest_ms = u32::try_from(LONGEST.as_millis()).unwrap_or(u32::MAX);
        probe.timeout_ms = probe.timeout_ms.clamp(1, longest_ms);
        let mut result = nothing_yet(&probe);
        let permit = match self.admission.admit(Source::Probe) {
            Ok(permit) => permit,
            Err(refused) => {
                result.outcome = match refused {
                    Refused::Spool(_) => ProbeOutcome::Failed,
                    _ => ProbeOutcome::Refused,
                };
                result.message = Some(chain(&refused));
                return Err(Box::new(result));
            }
        };
        let proxy = Arc::clone(self);
        Ok(async move {
            let served =
                proxy.on_a_worker(|proxy| async move { proxy.probe_here(permit, probe).await });
            served.await.unwrap_or_else(|| {
                result.outcome = ProbeOutcome::Failed;
                result.message = Some("the probe was cut off".to_owned());
                result
            })
        })
    }

    async fn probe_here(&self, permit: Permit, probe: Probe) -> ProbeResult {
        let started = Instant::now();
        let mut result = nothing_yet(&probe);
        let Some((kind, model)) = self.probe_target(probe.model.as_deref()) else {
            result.message = Some("no ready runtime with a model was found".to_owned());
            return result;
        };
        result.model = Some(model.clone());
        result.request_id = Some(probe.request_id.clone());
        let limit = Duration::from_millis(u64::from(probe.timeout_ms));
        let served = tokio::select! {
            served = tokio::time::timeout(limit, self.serve_probe(permit, &probe, kind, &model)) => Some(served),
            () = self.cut.cancelled() => None,
        };
        match served {
            Some(Ok(Some(facts))) => report(&mut result, &facts),
            Some(Ok(None)) => {
                result.outcome = ProbeOutcome::Failed;
                result.message = Some("the receipt could not be recorded".to_owned());
            }
            Some(Err(_)) => {
                result.outcome = ProbeOutcome::Timeout;
                result.message = Some(format!("no answer within {} ms", probe.timeout_ms));
            }
            None => {
                result.outcome = ProbeOutcome::Failed;
                result.message = Some("the agent stops".to_owned());
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
        permit: Permit,
        probe: &Probe,
        kind: RuntimeKind,
        model: &str,
    ) -> Option<RequestFacts> {
        let (observer, observed) = oneshot::channel();
        let (path, body) = probe_request(probe, kind, model);
        let Class::Work(route) = Class::of(Method::POST.as_str(), &path) else {
            return None;
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().ok()?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        let (head, ()) = request.into_parts();
        let origin = Origin {
            request_id: Some(probe.request_id.clone()),
            observer: Some(observer),
            ..Origin::default()
        };
        let in_flight = self.begin(permit, origin);
        let answer = self.work(route, in_flight, head, body).await;
        let mut body = answer.into_body();
        // The facts say how it went; the bytes themselves are of no use here.
        while let Some(Ok(_)) = body.frame().await {}
        observed.await.ok().map(|recorded| recorded.facts)
    }
}

/// The result of a probe that nothing has come of.
fn nothing_yet(probe: &Probe) -> ProbeResult {
    ProbeResult {
        probe_id: probe.probe_id.clone(),
        request_id: None,
        outcome: ProbeOutcome::NoRuntime,
        message: None,
        model: None,
        tokens_input: 0,
        tokens_output: 0,
        ttft_ms: None,
        latency_ms: 0,
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
    });
    // The proxy asks for usage, as it does for a client that does not, and finds out who refuses that.
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
    result.message = facts.failure.map(|failure| describe(failure).to_owned());
}

/// What failed, for the control plane.
const fn describe(failure: Failure) -> &'static str {
    match failure {
        Failure::UpstreamStatus => "the runtime answered with an error status",
        Failure::UpstreamError => "the runtime sent an error inside its answer",
        Failure::Unreachable => "the runtime cannot be reached",
        Failure::Incomplete => "the answer broke off",
        Failure::Stalled => "the runtime went silent",
        Failure::BadRequest => "the request could not be read",
    }
}
