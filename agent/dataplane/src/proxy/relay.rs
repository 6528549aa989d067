//! Requests of consumers that the control plane relays, each under a work order: served on the path that clients'
//! requests take, and on their threads.
//!
//! Whoever brings one has checked its order and its body; here it is checked whether this node can do what the order
//! says, before the runtime hears of it and before there is a receipt.

use super::Proxy;
use super::in_flight::{Origin, Recorded};
use super::route::WorkRequest;
use crate::admission::{BodyShare, Permit, Refused};
use bytes::Bytes;
use dgon_agent_core::error::chain;
use dgon_agent_core::facts::Failure;
use dgon_agent_core::request::{Body, Class, Model, Route};
use dgon_protocol::content::ContentKey;
use dgon_protocol::order::SignedOrder;
use dgon_protocol::receipt::{Source, Status};
use dgon_protocol::relay::{AnswerHead, CancelReason, Cancelled};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, request};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A request whose body is whole, under an order that was taken up.
pub struct RelayedRequest {
    /// The order.
    pub order: SignedOrder,
    /// Key of the hashes in the receipt.
    pub content_key: ContentKey,
    /// Path of the route.
    pub path: String,
    /// Type of the body.
    pub content_type: String,
    /// The body, which is the order's.
    pub body: Bytes,
    /// The memory that the body takes.
    pub share: BodyShare,
    /// How long the work may take.
    pub within: Duration,
}

/// Nobody takes the answer any more.
#[derive(Debug)]
pub struct Gone;

/// Where an answer goes. While one of its futures waits, nothing more is read from the runtime.
pub trait AnswerOut: Send + 'static {
    /// The runtime answers. Comes once, before the body.
    fn head(&mut self, head: AnswerHead) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Bytes of its answer.
    fn body(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// What came of a relayed request.
#[derive(Debug)]
pub enum Relayed {
    /// It was not served: no runtime has heard of it, and there is no receipt.
    Refused(Cancelled),
    /// The answer is over and its receipt durable.
    Answered {
        /// Place of the receipt in the node's chain.
        seq: u64,
        /// What failed; `None` where the answer came whole.
        failure: Option<Failure>,
    },
    /// Nobody wanted it any more, and the runtime's work was cancelled.
    Unwanted {
        /// Place of the receipt in the node's chain, where one could be recorded.
        seq: Option<u64>,
    },
    /// The agent gave it up, and the runtime's work was cancelled. Its receipt comes among the others.
    GivenUp(Cancelled),
}

/// How passing an answer on ended.
enum Passing {
    /// It was passed on as far as it came.
    Over,
    Unwanted,
    GivenUp(Cancelled),
}

impl Proxy {
    /// Largest body of a request that the owner lets this proxy read, bytes.
    pub fn max_body_bytes(&self) -> usize {
        self.settings.max_body_bytes
    }

    /// Whether a relayed request would be let in now. Nothing is held: its body has still to come.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn would_relay(&self) -> Result<(), Cancelled> {
        if let Some(reason) = self.settings.mode.reason() {
            return Err(refusal(&Refused::Paused(reason)));
        }
        let admitted = self.admission.would_admit();
        admitted.map_err(|refused| refusal(&refused))
    }

    /// Serves a relayed request. `cancelled` ends it at once, and its runtime's work with it.
    pub async fn relay(
        self: &Arc<Self>,
        request: RelayedRequest,
        out: impl AnswerOut,
        cancelled: CancellationToken,
    ) -> Relayed {
        let permit = match self.admission.admit(Source::Gateway) {
            Ok(permit) => permit,
            Err(refused) => return Relayed::Refused(refusal(&refused)),
        };
        let served = self.on_a_worker(|proxy| async move {
            proxy.relay_here(permit, request, out, cancelled).await
        });
        served.await.unwrap_or_else(|| {
            let message = "the thread that served it has ended";
            Relayed::GivenUp(Cancelled::new(CancelReason::Internal, message))
        })
    }

    async fn relay_here(
        &self,
        permit: Permit,
        request: RelayedRequest,
        mut out: impl AnswerOut,
        cancelled: CancellationToken,
    ) -> Relayed {
        let (route, head) = match self.route_of(&request) {
            Ok(route) => route,
            Err(refused) => return Relayed::Refused(refused),
        };
        let (observer, observed) = oneshot::channel();
        let within = request.within;
        // What this block drops at its end is cancelled, the runtime's connection first of all.
        let passing = {
            let passing = self.pass_on(permit, route, head, request, observer, &mut out);
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Passing::Unwanted,
                () = self.cut.cancelled() => Passing::GivenUp(refusal(&Refused::Stopping)),
                () = tokio::time::sleep(within) => Passing::GivenUp(too_late()),
                passing = passing => passing,
            }
        };
        let recorded = observed.await.ok();
        match (passing, recorded) {
            (Passing::Over, Some(Recorded { seq, facts })) if facts.status != Status::Cancelled => {
                let failure = facts.failure;
                Relayed::Answered { seq, failure }
            }
            (Passing::Over, Some(Recorded { seq, .. })) => Relayed::Unwanted { seq: Some(seq) },
            (Passing::Over, None) => Relayed::GivenUp(not_recorded()),
            (Passing::Unwanted, recorded) => Relayed::Unwanted {
                seq: recorded.map(|recorded| recorded.seq),
            },
            (Passing::GivenUp(why), _) => Relayed::GivenUp(why),
        }
    }

    async fn pass_on(
        &self,
        permit: Permit,
        route: Route,
        head: request::Parts,
        request: RelayedRequest,
        observer: oneshot::Sender<Recorded>,
        out: &mut impl AnswerOut,
    ) -> Passing {
        let origin = Origin {
            request_id: Some(request.order.order.request_id.clone()),
            order_hash: Some(request.order.order_hash()),
            hash_key: Some(*request.content_key.bytes()),
            observer: Some(observer),
        };
        let in_flight = self.begin(permit, origin);
        let answer = self.work(route, in_flight, head, request.body).await;
        drop(request.share);
        let (head, mut body) = answer.into_parts();
        if body.is_own() {
            // No runtime answered; the receipt says why, if there is one.
            return Passing::Over;
        }
        let head = AnswerHead {
            status: head.status.as_u16(),
            content_type: text(&head.headers, &CONTENT_TYPE),
            retry_after_s: text(&head.headers, &RETRY_AFTER).and_then(|text| text.parse().ok()),
        };
        if out.head(head).await.is_err() {
            return Passing::Unwanted;
        }
        // An answer that breaks off ends here too: its receipt says so.
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if out.body(data).await.is_err() {
                return Passing::Unwanted;
            }
        }
        Passing::Over
    }

    /// The route and the head for the runtime, where a runtime of this node serves both route and model.
    fn route_of(&self, request: &RelayedRequest) -> Result<(Route, request::Parts), Cancelled> {
        let Class::Work(route) = Class::of(Method::POST.as_str(), &request.path) else {
            return Err(not_served());
        };
        // What is not known may be anything, and nobody pays for what no model does.
        if route.spoken_by.is_none() || route.is_unpaid {
            return Err(not_served());
        }
        let head = head_of(request).ok_or_else(not_served)?;
        let content_type = Some(request.content_type.as_str()).filter(|_| route.takes_forms);
        let body = Body::read(&request.body, content_type, None);
        let asked = WorkRequest {
            route: &route,
            body: &body,
        };
        let found = self.registry.current();
        let speakers = found.iter().filter(|one| asked.is_spoken_by(one.kind));
        if speakers.count() == 0 {
            return Err(not_served());
        }
        let runtime = asked
            .choose(&found, &request.path)
            .filter(|runtime| runtime.is_ready() && asked.is_spoken_by(runtime.kind))
            .ok_or_else(model_missing)?;
        let listed = match asked.model(runtime.kind) {
            Model::Named(name) if runtime.is_remote(&name) => None,
            Model::Named(name) => runtime.model(&name),
            Model::Absent => runtime.only_model(),
            Model::Unclear => None,
        };
        let listed = listed.ok_or_else(model_missing)?;
        let wanted = request.order.order.model_hash.map(|hash| hash.to_string());
        if wanted.is_some() && wanted != listed.digest {
            return Err(Cancelled::new(
                CancelReason::ModelMismatch,
                "the model of this node has another digest than the work order names, or none that is known",
            ));
        }
        Ok((route, head))
    }
}

fn head_of(request: &RelayedRequest) -> Option<request::Parts> {
    let mut head = Request::new(());
    *head.method_mut() = Method::POST;
    *head.uri_mut() = request.path.parse().ok()?;
    let content_type = HeaderValue::from_str(&request.content_type).ok()?;
    head.headers_mut().insert(CONTENT_TYPE, content_type);
    Some(head.into_parts().0)
}

/// A header's value, where it can be relayed: printable ASCII of at most 128 characters.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    let fits = (1..=128).contains(&value.len()) && value.bytes().all(|b| matches!(b, b' '..=b'~'));
    fits.then(|| value.to_owned())
}

/// Why work is not let in, as the control plane is told.
fn refusal(refused: &Refused) -> Cancelled {
    let reason = match refused {
        Refused::Stopping => CancelReason::Stopping,
        Refused::Paused(_) => CancelReason::Paused,
        Refused::Busy | Refused::Probes => CancelReason::Busy,
        Refused::Spool(_) => CancelReason::Spool,
    };
    Cancelled::new(reason, &chain(refused))
}

fn not_served() -> Cancelled {
    let message = "no runtime of this node serves this route";
    Cancelled::new(CancelReason::RouteNotServed, message)
}

fn model_missing() -> Cancelled {
    let message = "no runtime of this node that is ready has this model";
    Cancelled::new(CancelReason::ModelMissing, message)
}

fn too_late() -> Cancelled {
    let message = "the time by which the work must have ended has passed";
    Cancelled::new(CancelReason::FinishBy, message)
}

fn not_recorded() -> Cancelled {
    let message = "the receipt could not be recorded, so the answer was cut before its end";
    Cancelled::new(CancelReason::Spool, message)
}
