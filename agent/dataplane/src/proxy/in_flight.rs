//! One request in progress: what is known of it so far, and the promise that it ends in a receipt.

use super::settings::EnergyUse;
use crate::admission::Permit;
use crate::clock::unix_ms;
use crate::sink::{ReceiptSink, SinkError};
use dgon_agent_core::facts::{Failure, RequestFacts, TokensSource};
use dgon_agent_core::meter::Measured;
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Sha256Hash, Source, Status};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the asker says about its request, and what it wants to know.
#[derive(Default)]
pub(super) struct Origin {
    /// The id that the receipt must carry, where the asker chose it.
    pub(super) request_id: Option<RequestId>,
    /// Hash of the signed work order, where there is one.
    pub(super) order_hash: Option<Sha256Hash>,
    /// Key of the receipt's hashes, where it is not the node's own.
    pub(super) hash_key: Option<[u8; 32]>,
    /// Gets the facts once the receipt is durable.
    pub(super) observer: Option<oneshot::Sender<Recorded>>,
}

/// A request whose receipt is durable.
pub(super) struct Recorded {
    /// Place of the receipt in the node's chain.
    pub(super) seq: u64,
    /// What the receipt says.
    pub(super) facts: RequestFacts,
}

/// A request in progress. Dropped without an end it was cancelled: the client went away.
pub(super) struct InFlightRequest {
    /// On the heap, for the request passes through many hands before its first byte.
    open: Option<Box<Open>>,
    started: Instant,
}

struct Open {
    sink: Arc<dyn ReceiptSink>,
    facts: RequestFacts,
    hash_key: Option<[u8; 32]>,
    observer: Option<oneshot::Sender<Recorded>>,
    energy: Option<EnergyUse>,
    is_unpaid: bool,
    /// Given back when the receipt is durable.
    _permit: Permit,
}

/// A receipt on its way to the disk. The work goes on where this is dropped.
pub(super) struct Recording(JoinHandle<Result<u64, SinkError>>);

impl InFlightRequest {
    /// A request whose body is whole: its times count from now, for a client's slow upload is not the node's latency.
    /// `energy` measures the request where the cards tell what they use.
    pub(super) fn new(
        sink: Arc<dyn ReceiptSink>,
        permit: Permit,
        origin: Origin,
        energy: Option<EnergyUse>,
    ) -> Self {
        let request_id = origin.request_id.unwrap_or_else(|| sink.next_request_id());
        let facts = RequestFacts {
            request_id,
            source: permit.source(),
            status: Status::Cancelled,
            failure: None,
            model_id: String::new(),
            model_hash: None,
            runtime: None,
            started_ms: unix_ms(),
            ended_ms: 0,
            latency_ms: 0,
            ttft_ms: None,
            gap_p95_ms: None,
            tokens_input: 0,
            tokens_output: 0,
            tokens_cached: None,
            tokens_source: TokensSource::None,
            prompt_hash: None,
            output_hash: None,
            checkpoints: Vec::new(),
            energy_mwh: None,
            order_hash: origin.order_hash,
        };
        Self {
            open: Some(Box::new(Open {
                sink,
                facts,
                hash_key: origin.hash_key,
                observer: origin.observer,
                energy,
                is_unpaid: false,
                _permit: permit,
            })),
            started: Instant::now(),
        }
    }

    /// The id of the receipt to be.
    pub(super) fn request_id(&self) -> Option<&RequestId> {
        self.open.as_ref().map(|open| &open.facts.request_id)
    }

    /// Who asks.
    pub(super) fn source(&self) -> Option<Source> {
        self.open.as_ref().map(|open| open.facts.source)
    }

    /// Key of the receipt's hashes, where it is not the node's own.
    pub(super) fn hash_key(&self) -> Option<[u8; 32]> {
        self.open.as_ref()?.hash_key
    }

    /// Microseconds since the request began.
    pub(super) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Adds what was learned before the answer.
    pub(super) fn learn(&mut self, learn: impl FnOnce(&mut RequestFacts)) {
        if let Some(open) = &mut self.open {
            learn(&mut open.facts);
        }
    }

    /// Says that this is work that nobody pays, so that whatever is counted does not count.
    pub(super) fn mark_unpaid(&mut self) {
        if let Some(open) = &mut self.open {
            open.is_unpaid = true;
        }
    }

    /// Ends the request with what was measured. `status_failed` says that the answer had an error status.
    pub(super) fn conclude(self, measured: Measured, status_failed: bool) -> Recording {
        let is_unpaid = self.open.as_ref().is_some_and(|open| open.is_unpaid);
        self.record(|facts| {
            let failed = status_failed && measured.status != Status::Cancelled;
            facts.status = if failed {
                Status::Error
            } else {
                measured.status
            };
            facts.failure = if failed {
                Some(Failure::UpstreamStatus)
            } else {
                measured.failure
            };
            facts.ttft_ms = measured.ttft_us.map(to_ms);
            facts.gap_p95_ms = measured.gap_p95_us.map(to_ms);
            facts.tokens_input = measured.tokens_input;
            facts.tokens_output = measured.tokens_output;
            facts.tokens_cached = measured.tokens_cached;
            facts.tokens_source = measured.tokens_source;
            facts.output_hash = measured.output_hash;
            facts.checkpoints = measured.checkpoints;
            if is_unpaid {
                mark_unpaid(facts);
            }
            if measured.is_remote {
                // Work that the runtime had done elsewhere must not pass for this node's.
                mark_remote(facts);
            }
        })
    }

    /// Ends the request without an answer of a runtime.
    pub(super) fn fail(self, failure: Failure) -> Recording {
        self.record(|facts| {
            facts.status = Status::Error;
            facts.failure = Some(failure);
        })
    }

    fn record(mut self, conclude: impl FnOnce(&mut RequestFacts)) -> Recording {
        let latency_ms = to_ms(self.elapsed_us());
        let Some(mut open) = self.open.take() else {
            // Only `record` and `drop` take it, and both consume the in_flight.
            return Recording(tokio::spawn(async { Err(SinkError::Closed) }));
        };
        conclude(&mut open.facts);
        open.facts.latency_ms = latency_ms;
        open.facts.ended_ms = open.facts.started_ms.saturating_add(latency_ms);
        Recording(tokio::spawn(open.record()))
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        // Outside of a tokio runtime there is nobody left to record for.
        if self.open.is_some() && tokio::runtime::Handle::try_current().is_ok() {
            let cancelled = Self {
                open: self.open.take(),
                started: self.started,
            };
            drop(cancelled.record(|facts| facts.status = Status::Cancelled));
        }
    }
}

impl Open {
    async fn record(mut self: Box<Self>) -> Result<u64, SinkError> {
        // Without a runtime no card did anything for it.
        let energy = self.energy.take().filter(|_| self.facts.runtime.is_some());
        if let Some(energy) = energy {
            self.facts.energy_mwh = energy.await;
        }
        let copy = self.observer.as_ref().map(|_| self.facts.clone());
        let request_id = self.facts.request_id.clone();
        let recorded = self.sink.record(self.facts).await;
        match &recorded {
            Ok(seq) => {
                if let (Some(observer), Some(facts)) = (self.observer, copy) {
                    let _ = observer.send(Recorded { seq: *seq, facts });
                }
            }
            Err(error) => {
                tracing::error!(%request_id, error = error as &dyn std::error::Error, "receipt not recorded");
            }
        }
        recorded
    }
}

impl Future for Recording {
    type Output = Result<u64, SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|joined| joined.unwrap_or(Err(SinkError::Closed)))
    }
}

/// Says that the runtime had the work done elsewhere: it must not pass for this node's.
pub(super) fn mark_remote(facts: &mut RequestFacts) {
    const MARK: &str = "-remote";
    if let Some(name) = &mut facts.runtime
        && !name.ends_with(MARK)
    {
        name.push_str(MARK);
    }
    facts.model_hash = None;
}

fn mark_unpaid(facts: &mut RequestFacts) {
    if facts.tokens_source != TokensSource::None {
        facts.tokens_source = TokensSource::Unpaid;
    }
    facts.tokens_input = 0;
    facts.tokens_output = 0;
    facts.tokens_cached = None;
    facts.checkpoints = Vec::new();
}

/// Rounds to the nearest millisecond.
fn to_ms(us: u64) -> u64 {
    us.saturating_add(500) / 1000
}
