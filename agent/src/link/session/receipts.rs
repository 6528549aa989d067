//! Sends receipts in order as far as the window allows, and applies what is said about them.

use super::Shared;
use super::mail::Mail;
use super::outbox::Outgoing;
use crate::link::ended::Ended;
use dgon_agent_core::link::{Span, Window};
use dgon_protocol::frame::{Receipts as ReceiptsFrame, ToControlPlane};
use serde_json::value::RawValue;
use std::io;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Sends until the session ends; once `leaving`, until everything is acknowledged.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut window: Window,
    in_step: bool,
    leaving: CancellationToken,
) -> Ended {
    let mut spool = shared.parts.receipts.watch();
    let mut is_leaving = false;
    loop {
        let last_seq = spool.borrow_and_update().sendable_seq;
        let is_flushed = !in_step || window.acked_seq() >= last_seq;
        if is_leaving && is_flushed {
            return Ended::Stopped;
        }
        let next = if in_step {
            window.next_span(last_seq)
        } else {
            None
        };
        tokio::select! {
            biased;
            mail = shared.mailbox.take() => apply(&shared, &mut window, mail).await,
            () = leaving.cancelled(), if !is_leaving => is_leaving = true,
            permit = shared.outbox.bulk(), if next.is_some() => {
                let Some(span) = next else { continue };
                match read_batch(&shared, span, last_seq).await {
                    Ok((frame, sent_seq)) if frame.receipts.is_empty() => {
                        window.sent(sent_seq);
                        shared.sent(sent_seq);
                    }
                    Ok((frame, sent_seq)) => {
                        window.sent(sent_seq);
                        let mut out = Outgoing::frame(&ToControlPlane::Receipts(frame));
                        out.sent_seq = sent_seq;
                        permit.send(out);
                    }
                    Err(error) => {
                        return Ended::failed(format!("the spool cannot be read ({error})"));
                    }
                }
            }
            Ok(()) = spool.changed() => {}
        }
    }
}

async fn apply(shared: &Shared, window: &mut Window, mail: Mail) {
    let mut ignored = mail.left_out;
    if let Some(ack) = mail.ack {
        window.acked(ack.acked_seq);
        ignored += shared
            .parts
            .receipts
            .acknowledge(ack, shared.has_sent())
            .await;
    }
    if let Some(from) = mail.need {
        let oldest_seq = shared.parts.receipts.status().oldest_seq;
        window.need(from, oldest_seq);
    }
    if ignored > 0 {
        let count = |status: &mut super::LinkStatus| status.ignored_refusals += ignored as u64;
        shared.status.send_modify(count);
        if shared.log.may_tell() {
            tracing::warn!(
                ignored,
                "the control plane refused receipts that are not in flight; they are as they were"
            );
        }
    }
}

/// One frame of receipts, and the `seq` up to which it accounts.
async fn read_batch(
    shared: &Shared,
    span: Span,
    last_seq: u64,
) -> io::Result<(ReceiptsFrame, u64)> {
    let reading = shared
        .parts
        .receipts
        .read(span.from, span.max_count, span.max_bytes);
    let stored = reading.await?;
    // Nothing readable is left: what was there is damaged and is passed over.
    let sent_seq = stored.last().map_or(last_seq, |last| last.seq);
    let receipts = stored
        .into_iter()
        .filter_map(|stored| String::from_utf8(stored.entry_bytes).ok())
        .filter_map(|text| RawValue::from_string(text).ok())
        .collect();
    Ok((ReceiptsFrame { receipts }, sent_seq))
}
