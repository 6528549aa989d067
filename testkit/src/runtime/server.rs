//! The HTTP server under every dialect: connections, timing, faults, cancellation.
//!
//! One task plays one stream. It ends as soon as the client is gone, because hyper then drops the body and with
//! it the other end of the channel; a handler that still waits is dropped the same way.

use super::answer::{Answer, Call, Job, Piece, Plain, Reply};
use super::config::{Faults, Kind};
use super::engine::{InFlight, Sim};
use super::stats::Outcome;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Largest request body that is read.
const REQUEST_BYTES: usize = 32 * 1024 * 1024;
/// How long uvicorn and llama-server keep an idle connection.
const IDLE: Duration = Duration::from_secs(5);

/// Requests that one connection of llama-server serves.
const LLAMA_REQUESTS: u32 = 100;

/// Time that hyper gets to write what it was given.
const FLUSH: Duration = Duration::from_millis(20);

/// Accepts connections until told to stop.
pub(super) async fn serve(
    sim: Arc<Sim>,
    listener: TcpListener,
    stop: CancellationToken,
    is_metrics: bool,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let (sim, stop) = (Arc::clone(&sim), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(sim, stream, is_metrics) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn connection(sim: Arc<Sim>, stream: TcpStream, is_metrics: bool) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let idle = matches!(
        sim.config.kind,
        Kind::Vllm | Kind::TensorRtLlm | Kind::LlamaCpp
    );
    let is_llama = sim.config.kind == Kind::LlamaCpp;
    let served = AtomicU32::new(0);
    let service = hyper::service::service_fn(move |request| {
        let last = is_llama && served.fetch_add(1, Ordering::Relaxed) + 1 == LLAMA_REQUESTS;
        let answer = handle(Arc::clone(&sim), request, is_metrics);
        async move {
            let mut answer = answer.await?;
            // llama-server says goodbye to every connection that saw an error, and to old ones.
            if is_llama && (last || !answer.status().is_success()) {
                let close = http::HeaderValue::from_static("close");
                answer.headers_mut().insert(http::header::CONNECTION, close);
            }
            Ok::<_, Cut>(answer)
        }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.auto_date_header(!is_llama);
    server.timer(TokioTimer::new());
    server.header_read_timeout(idle.then_some(IDLE));
    // An error here is a client that went away or a fault that cut the connection: both are wanted.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// A fault that cuts the connection.
#[derive(Debug, thiserror::Error)]
#[error("the simulated runtime cuts the connection, as it was told to")]
struct Cut;

/// Body of every response.
enum Body {
    Whole(Full<Bytes>),
    Played(mpsc::Receiver<Result<Bytes, Cut>>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(full) => match Pin::new(full).poll_frame(cx) {
                Poll::Ready(frame) => {
                    Poll::Ready(frame.map(|frame| frame.map_err(|_: Infallible| Cut)))
                }
                Poll::Pending => Poll::Pending,
            },
            Self::Played(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::Played(_) => hyper::body::SizeHint::default(),
        }
    }
}

type Response = http::Response<Body>;

async fn handle(
    sim: Arc<Sim>,
    request: http::Request<Incoming>,
    is_metrics: bool,
) -> Result<Response, Cut> {
    let (head, body) = request.into_parts();
    if is_metrics {
        return whole(&super::triton::metrics(&sim, head.uri.path()), false);
    }
    let body = Limited::new(body, REQUEST_BYTES)
        .collect()
        .await
        .map_err(|_| Cut)?
        .to_bytes();
    sim.log().stats.http_requests += 1;
    let call = Call {
        method: head.method,
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
    };
    match super::dialect(sim.config.kind)(&sim, &call) {
        Answer::Now(plain) => whole(&plain, false),
        Answer::Refused(plain) => {
            let in_flight = sim.open(&call.path, &call.body);
            sim.log().stats.refused += 1;
            refuse(in_flight, &plain)
        }
        Answer::Generate(job) => generate(&sim, &call, *job).await,
    }
}

/// `cut` promises the whole length and sends half of it.
fn whole(plain: &Plain, cut: bool) -> Result<Response, Cut> {
    if !cut {
        return plain
            .response_head()
            .body(Body::Whole(Full::new(plain.body.clone())))
            .map_err(|_| Cut);
    }
    let (sender, pieces) = mpsc::channel(1);
    let half = plain.body.slice(..plain.body.len() / 2);
    tokio::spawn(async move {
        if sender.send(Ok(half)).await.is_ok() {
            cut_after_flush(&sender).await;
        }
    });
    let head = plain
        .response_head()
        .header(http::header::CONTENT_LENGTH, plain.body.len());
    head.body(Body::Played(pieces)).map_err(|_| Cut)
}

fn refuse(in_flight: InFlight, plain: &Plain) -> Result<Response, Cut> {
    in_flight.head(plain.status);
    in_flight.sent(&plain.body);
    in_flight.close(Outcome::Finished);
    whole(plain, false)
}

async fn generate(sim: &Arc<Sim>, call: &Call, job: Job) -> Result<Response, Cut> {
    let faults = sim.faults();
    let mut in_flight = sim.open(&call.path, &call.body);
    let fails_inside = matches!(
        job.reply,
        Reply::Stream {
            fails_inside: true,
            ..
        }
    );
    let admitted = in_flight.admit().await;
    let hit = sim.is_hit_by_error_rate(in_flight.number, faults.error_rate);
    if !admitted && !fails_inside {
        return refuse(in_flight, &job.overloaded);
    }
    if hit && !fails_inside {
        sim.log().stats.failed += 1;
        return refuse(in_flight, &job.failed);
    }
    let clock = Clock::start(sim, job.load);
    match job.reply {
        Reply::Whole(plain) => {
            let end = faults
                .error_after
                .map_or(job.output_tokens, |after| after.min(job.output_tokens));
            clock.wait(end).await;
            if let Some(after) = faults.stall_after
                && after <= job.output_tokens
            {
                std::future::pending::<()>().await;
            }
            if faults.error_after.is_some() {
                sim.log().stats.failed += 1;
                return refuse(in_flight, &job.failed);
            }
            in_flight.count(&job.generation, job.output_tokens);
            in_flight.head(plain.status);
            let cut = faults.disconnect_after.is_some();
            in_flight.sent(
                &plain.body[..if cut {
                    plain.body.len() / 2
                } else {
                    plain.body.len()
                }],
            );
            in_flight.close(if cut { Outcome::Cut } else { Outcome::Finished });
            whole(&plain, cut)
        }
        Reply::Stream {
            head,
            head_with_first,
            pieces,
            error,
            ..
        } => {
            in_flight.head(head.status);
            let pieces = if !admitted || hit { Vec::new() } else { pieces };
            let error = if admitted {
                error
            } else {
                vec![job.overloaded.body.clone()]
            };
            let faults = if admitted && !hit {
                faults
            } else {
                Faults {
                    error_after: Some(0),
                    ..Faults::default()
                }
            };
            in_flight.count(
                &job.generation,
                if pieces.is_empty() {
                    0
                } else {
                    job.output_tokens
                },
            );
            let (sender, receiver) = mpsc::channel(1);
            let (started, first) = oneshot::channel();
            let player = Player {
                in_flight,
                pieces,
                error,
                faults,
                sender,
                started: Some(started),
                clock,
            };
            tokio::spawn(player.play());
            if head_with_first {
                // An error is a player that ended without a piece: the empty body says so.
                let _ = first.await;
            }
            head.response_head()
                .body(Body::Played(receiver))
                .map_err(|_| Cut)
        }
    }
}

/// When the n-th token of an answer is there.
#[derive(Clone, Copy)]
struct Clock {
    first: Instant,
    interval: Duration,
}

impl Clock {
    fn start(sim: &Sim, load: Duration) -> Self {
        Self {
            first: Instant::now() + sim.config.ttft + load,
            interval: sim.config.token_interval(),
        }
    }

    async fn wait(&self, tokens: u32) {
        let due = self.first + self.interval * tokens.saturating_sub(1);
        if due > Instant::now() {
            sleep_until(due).await;
        }
    }
}

/// Cuts the connection once what was sent before is out: hyper throws away what it has not written yet.
async fn cut_after_flush(sender: &mpsc::Sender<Result<Bytes, Cut>>) {
    tokio::time::sleep(FLUSH).await;
    // A client that is gone already needs no cut.
    let _ = sender.send(Err(Cut)).await;
}

/// Plays one stream.
struct Player {
    in_flight: InFlight,
    pieces: Vec<Piece>,
    error: Vec<Bytes>,
    faults: Faults,
    sender: mpsc::Sender<Result<Bytes, Cut>>,
    started: Option<oneshot::Sender<()>>,
    clock: Clock,
}

impl Player {
    async fn play(mut self) {
        let reached = |limit: Option<u32>, at: u32| limit.is_some_and(|limit| at > limit);
        let mut failed = self.pieces.is_empty();
        for piece in std::mem::take(&mut self.pieces) {
            let at = piece.at.max(1);
            if reached(self.faults.stall_after, at) {
                // Silence, until the client gives up: dropping the in_flight books it as cancelled.
                self.start();
                return self.sender.closed().await;
            }
            if reached(self.faults.disconnect_after, at) {
                self.start();
                cut_after_flush(&self.sender).await;
                return self.in_flight.close(Outcome::Cut);
            }
            let truncated = piece.terminal && self.faults.truncate_after.is_some();
            if truncated || reached(self.faults.truncate_after, at) {
                self.start();
                return self.in_flight.close(Outcome::Finished);
            }
            if reached(self.faults.error_after, at) {
                failed = true;
                break;
            }
            tokio::select! {
                biased;
                () = self.sender.closed() => return,
                () = self.clock.wait(piece.at) => {}
            }
            if !self.send(piece.bytes).await {
                return;
            }
        }
        if failed {
            if self.error.is_empty() {
                self.start();
                cut_after_flush(&self.sender).await;
                return self.in_flight.close(Outcome::Cut);
            }
            for bytes in std::mem::take(&mut self.error) {
                if !self.send(bytes).await {
                    return;
                }
            }
        }
        self.start();
        self.in_flight.close(Outcome::Finished);
    }

    fn start(&mut self) {
        if let Some(started) = self.started.take() {
            // Nobody may be waiting: then the head is out already.
            let _ = started.send(());
        }
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        self.start();
        self.in_flight.sent(&bytes);
        self.sender.send(Ok(bytes)).await.is_ok()
    }
}
