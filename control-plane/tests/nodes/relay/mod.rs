//! Relayed requests over real sockets, to simulated agents that serve them.

mod hostile;
mod keys;
mod streams;

use crate::support::{SOON, Server};
use bytes::Bytes;
use dgon_control_plane::gateway::orders::{Attempt, Content, sign};
use dgon_control_plane::relay::{Event, OpenError, Request, Stream};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::order::SignedOrder;
use dgon_testkit::fleet::relay::Serving;
use dgon_testkit::fleet::{Event as LinkEvent, MODEL, SimAgent, SimError, SimLink, unix_now};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// A request and what it was asked under.
struct Asked {
    content: Content,
    order: SignedOrder,
    body: Bytes,
}

impl Asked {
    /// For an answer of so many words.
    fn new(server: &Server, node_id: &NodeId, body: impl Into<Bytes>, words: u32) -> Self {
        let body = body.into();
        let now_ms = u64::try_from(unix_now().as_millis()).expect("time");
        let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let content = Content::new(br#"{"model":"m"}"#).expect("content");
        let attempt = Attempt {
            request_id: &RequestId::generate(now_ms, number.into()),
            number: 1,
            parent: None,
            node_id,
            model_id: MODEL,
            model_hash: None,
            max_tokens: words,
            temperature_micros: None,
            seed: None,
            body: &body,
            finish_within: Duration::from_secs(600),
        };
        let order = sign(&server.app, &content, &attempt).expect("an order");
        Self {
            content,
            order,
            body,
        }
    }

    fn try_open(&self, server: &Server, node_id: &NodeId) -> Result<Stream, OpenError> {
        let request = Request {
            order: &self.order,
            content_key: &self.content.key,
            path: "/v1/chat/completions",
            content_type: "application/json",
            body: self.body.clone(),
        };
        server.app.open_stream(node_id, &request)
    }

    fn open(&self, server: &Server, node_id: &NodeId) -> Stream {
        self.try_open(server, node_id).expect("a stream")
    }
}

/// Asks for an answer of so many words.
fn ask(server: &Server, agent: &SimAgent, body: impl Into<Bytes>, words: u32) -> (Asked, Stream) {
    let asked = Asked::new(server, &agent.node_id, body, words);
    let stream = asked.open(server, &agent.node_id);
    (asked, stream)
}

async fn next(stream: &mut Stream) -> Event {
    let event = tokio::time::timeout(SOON, stream.next()).await;
    event.expect("in time").expect("an event")
}

/// The body of an answer, to its last event.
async fn rest(stream: &mut Stream) -> (Vec<u8>, Event) {
    let mut body = Vec::new();
    loop {
        match next(stream).await {
            Event::Head(_) => {}
            Event::Body(bytes) => body.extend_from_slice(&bytes),
            last @ (Event::End(_) | Event::Cancelled(_) | Event::Lost(_)) => return (body, last),
        }
    }
}

/// An agent that serves by itself.
struct Busy {
    stop: CancellationToken,
    task: JoinHandle<Result<(SimAgent, SimLink, Serving), SimError>>,
}

impl Busy {
    fn start(mut agent: SimAgent, mut link: SimLink) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut serving = Serving::new(&link.welcome);
            let ended = tokio::select! {
                () = stopped.cancelled() => Ok(()),
                ended = serving.until(&mut agent, &mut link, SOON * 10, |_, _| false) => ended,
            };
            ended.map(|()| (agent, link, serving))
        });
        Self { stop, task }
    }

    /// Takes it by the hand again.
    async fn stop(self) -> (SimAgent, SimLink, Serving) {
        self.stop.cancel();
        self.task.await.expect("a task").expect("no fault")
    }
}

/// Serves until the node was asked so many streams in this session.
async fn until_open(
    serving: &mut Serving,
    (agent, link): (&mut SimAgent, &mut SimLink),
    count: usize,
) {
    let is_open = |serving: &Serving, _: Option<&LinkEvent>| serving.open_count() >= count;
    let served = serving.until(agent, link, SOON, is_open).await;
    served.expect("asked");
}
