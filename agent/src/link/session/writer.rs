//! Sends what waits, the most urgent first.

use super::Shared;
use super::outbox::{Outgoing, Queues};
use crate::link::dial::Socket;
use crate::link::ended::Ended;
use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// How long one frame may take to leave; a peer that takes none for this long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(20);

/// Sends until the link breaks, or until `finish`; then what waits still goes, and the closing frame after it.
pub(super) async fn run(
    mut sink: SplitSink<Socket, Message>,
    mut queues: Queues,
    shared: Arc<Shared>,
    finish: CancellationToken,
) -> Ended {
    loop {
        let out = tokio::select! {
            biased;
            Some(out) = queues.next() => out,
            () = finish.cancelled() => break,
        };
        // The turn of a stream ends with `out`, when the frame has left.
        let Outgoing {
            message, sent_seq, ..
        } = out;
        // Before it goes: the answer may be read before this task runs again.
        shared.sent(sent_seq);
        match timeout(SEND_WITHIN, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Ended::failed(format!("the link broke ({error})")),
            Err(_) => return Ended::failed("the control plane takes no more frames"),
        }
    }
    // Whoever closes first, the session is over.
    drop(sink.close().await);
    Ended::Stopped
}
