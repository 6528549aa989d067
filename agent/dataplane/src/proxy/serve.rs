//! One request of a client: what it is, and its body.

use super::Proxy;
use super::answer::Answer;
use super::body_reader::read_body;
use super::client_body::ClientBody;
use super::exchange::{NO_RUNTIME, TOO_MANY_LARGE};
use super::headers::{DETECT_HEADER, prepare_request, strip_hop_by_hop};
use super::in_flight::{InFlightRequest, Origin};
use super::model_list::List;
use super::reply::Refusal;
use super::route::choose_to_pass;
use super::upstream::RequestBody;
use crate::admission::Permit;
use dgon_agent_core::error::chain;
use dgon_agent_core::request::{Class, Path, Route};
use dgon_protocol::receipt::Source;
use http::header::UPGRADE;
use http::{Method, Request, Response};
use std::sync::Arc;

impl Proxy {
    /// Serves one request of a client.
    pub(super) async fn handle(&self, mut request: Request<ClientBody>) -> Response<Answer> {
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
        let target = request.uri().path_and_query();
        let target = target.map_or(path, |target| target.as_str());
        let class = Class::of(request.method().as_str(), target);
        // What `Connection` names does not reach the runtime, so it says nothing about the body either.
        strip_hop_by_hop(request.headers_mut());
        match class {
            Class::Work(route) => self.serve_work(route, request).await,
            Class::Control => Box::pin(self.pass(request)).await,
        }
    }

    /// Passes a request through that is no work.
    async fn pass(&self, request: Request<ClientBody>) -> Response<Answer> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let found = self.registry.current();
        if let Some(list) = List::of(&head.method, &path) {
            let speakers = list.speakers(&found);
            if speakers.len() > 1 {
                return Box::pin(self.list(list, &speakers, head)).await;
            }
        }
        let read = Path::read(&path);
        let read = read.as_ref().map_or(path.as_str(), Path::as_str);
        let Some(runtime) = choose_to_pass(&found, read) else {
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

    /// Reads the work of a client and serves it. It is let in when its body has come, so that clients who are slow to
    /// send theirs hold no place that others wait for.
    async fn serve_work(&self, route: Route, request: Request<ClientBody>) -> Response<Answer> {
        let path = request.uri().path().to_owned();
        if let Err(refused) = self.admission.would_admit() {
            return Refusal::of(&refused).reply(&path, &chain(&refused));
        }
        let (head, body) = request.into_parts();
        let read = tokio::select! {
            biased;
            read = read_body(body, self.admission.body_share(), self.settings.max_body_bytes) => read,
            () = self.admission.closed() => Err(Refusal::Stopping),
        };
        // Nothing was asked of a runtime yet, so what ends here leaves no receipt.
        let (body, share) = match read {
            Ok(read) => read,
            Err(refusal) => return refusal.reply(&path, unread(refusal)),
        };
        let permit = match self.admission.admit(Source::Local) {
            Ok(permit) => permit,
            Err(refused) => return Refusal::of(&refused).reply(&path, &chain(&refused)),
        };
        let in_flight = self.begin(permit, Origin::default());
        let answer = self.work(route, in_flight, head, body).await;
        drop(share);
        answer
    }

    /// Opens the receipt of a request.
    pub(super) fn begin(&self, permit: Permit, origin: Origin) -> InFlightRequest {
        let energy = self
            .settings
            .energy
            .as_ref()
            .and_then(|meter| meter.begin());
        InFlightRequest::new(Arc::clone(&self.sink), permit, origin, energy)
    }
}

/// What a client is told whose request body was not read.
fn unread(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TooLarge => "the request body is larger than this proxy reads",
        Refusal::Busy => TOO_MANY_LARGE,
        Refusal::Stopping => {
            "the agent is stopping and takes no more requests; try again when it runs"
        }
        _ => "the request body did not come to its end",
    }
}
