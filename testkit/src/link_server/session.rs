//! One session of the stub.

use super::{Out, Recorded, Script, Seen, Shared, WelcomeFault};
use dgon_protocol::chain::{Head, Judgement, Link, judge};
use dgon_protocol::frame::{
    Ack, Challenge, Hello, Incoming, LinkLimits, Receipts, Refused, SUBPROTOCOL, SealedWelcome,
    ToAgent, ToControlPlane, Welcome,
};
use dgon_protocol::key::PublicKey;
use dgon_protocol::limits::RECEIPTS_IN_FLIGHT;
use dgon_protocol::receipt::{Receipt, Sha256Hash};
use dgon_protocol::{auth, frame::LINK_PATH};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use tokio_util::sync::CancellationToken;

type Socket = WebSocketStream<TcpStream>;

/// Why a session ends: nothing to do about it.
struct Over;

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, end: CancellationToken) {
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                tokio::spawn(session(stream, Arc::clone(&shared), end.clone()));
            },
            () = end.cancelled() => return,
        }
    }
}

/// The head of a chain that holds these receipts without a gap.
pub(super) fn head_of(receipts: &BTreeMap<u64, Vec<u8>>) -> Head {
    receipts
        .last_key_value()
        .map_or(Head::EMPTY, |(seq, bytes)| Head {
            seq: *seq,
            entry_hash: Sha256Hash::of(bytes),
        })
}

async fn session(stream: TcpStream, shared: Arc<Shared>, end: CancellationToken) {
    let cut = shared.cut.borrow().clone();
    let number = AtomicU64::new(0);
    let work = async {
        let Some((socket, host)) = upgrade(stream, &shared).await else {
            return;
        };
        let _ = converse(socket, &host, &shared, &number).await;
    };
    tokio::select! {
        () = work => {}
        () = cut.cancelled() => {}
        () = end.cancelled() => {}
    }
    // A newer session may stand already: this end is not its end.
    if shared.seen.borrow().sessions == number.load(Ordering::SeqCst) {
        shared.outbox.send_replace(None);
        shared.seen.send_modify(|seen| seen.connected = false);
    }
}

/// Checks the headers of the upgrade; the host that the agent named.
#[expect(
    clippy::result_large_err,
    reason = "the handshake's callback returns the library's own error"
)]
async fn upgrade(stream: TcpStream, shared: &Shared) -> Option<(Socket, String)> {
    let host = Arc::new(Mutex::new(None));
    let check = {
        let host = Arc::clone(&host);
        move |request: &Request, mut response: Response| {
            if let Some((status, retry_after)) = shared.script.borrow().refuse_upgrade {
                shared.seen.send_modify(|seen| seen.refused_upgrades += 1);
                return Err(refusal(status, retry_after));
            }
            if let Err(what) = check_upgrade(request, shared) {
                violation(shared, what);
                return Err(refusal(401, 1));
            }
            *host
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) =
                text(request.headers(), "host");
            response.headers_mut().insert(
                "sec-websocket-protocol",
                HeaderValue::from_static(SUBPROTOCOL),
            );
            Ok(response)
        }
    };
    let socket = accept_hdr_async(stream, check).await.ok()?;
    let host = host
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take()?;
    Some((socket, host))
}

fn refusal(status: u16, retry_after: u64) -> ErrorResponse {
    let body = r#"{"error":{"type":"unavailable","message":"the stub refuses"}}"#;
    let mut response = ErrorResponse::new(Some(body.to_owned()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
        .headers_mut()
        .insert("retry-after", HeaderValue::from(retry_after));
    response
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn check_upgrade(request: &Request, shared: &Shared) -> Result<(), &'static str> {
    let header = |name| text(request.headers(), name).ok_or("a node header is missing");
    if header(auth::HEADER_NODE_ID)? != shared.node_id.as_str() {
        return Err("another node");
    }
    let (timestamp, nonce) = (header(auth::HEADER_TIMESTAMP)?, header(auth::HEADER_NONCE)?);
    let seconds = auth::parse_timestamp(&timestamp).ok_or("the timestamp breaks its grammar")?;
    if seconds.abs_diff(now_ms() / 1000) > 120 || !auth::is_nonce(&nonce) {
        return Err("a stale timestamp or no nonce");
    }
    if header("sec-websocket-protocol")? != SUBPROTOCOL {
        return Err("another subprotocol");
    }
    let signed = auth::Request {
        method: "GET",
        path_and_query: LINK_PATH,
        timestamp: &timestamp,
        nonce: &nonce,
        body: b"",
    };
    if auth::verify_v2(&shared.secret, &signed, &header(auth::HEADER_AUTH)?) {
        Ok(())
    } else {
        Err("the HMAC does not hold")
    }
}

async fn converse(
    mut socket: Socket,
    host: &str,
    shared: &Shared,
    number: &AtomicU64,
) -> Result<(), Over> {
    let script = shared.script.borrow().clone();
    let nonce = match &script.welcome {
        WelcomeFault::Replay(recorded) => recorded.nonce.clone(),
        _ => format!("nonce-{}-{}", now_ms(), shared.seen.borrow().sessions),
    };
    let challenge = Challenge {
        nonce: nonce.clone(),
        server_time_ms: i64::try_from(now_ms()).unwrap_or(0) + script.clock_ahead_ms,
    };
    send(&mut socket, ToAgent::Challenge(challenge)).await?;
    let ToControlPlane::Hello(hello) = receive(&mut socket, shared).await? else {
        violation(shared, "no hello after the challenge");
        return Err(Over);
    };
    if !hello.proves_key(&nonce, host) {
        violation(shared, "hello does not prove the key");
        return Err(Over);
    }
    let key = hello.public_key;
    let answer = match &script.welcome {
        WelcomeFault::Instead(frame) => frame.as_ref().clone(),
        WelcomeFault::Replay(recorded) => ToAgent::Welcome(recorded.welcome.clone()),
        fault => ToAgent::Welcome(sealed_welcome(shared, &script, &hello, &nonce, fault)?),
    };
    let stands = matches!(script.welcome, WelcomeFault::None);
    let (outbox, queue) = mpsc::channel(16);
    shared.seen.send_modify(|seen| {
        if stands {
            seen.sessions += 1;
            number.store(seen.sessions, Ordering::SeqCst);
            if let ToAgent::Welcome(welcome) = &answer {
                let welcome = welcome.clone();
                seen.recorded = Some(Recorded { nonce, welcome });
            }
        }
        seen.hello = Some(hello);
    });
    send(&mut socket, answer).await?;
    shared.seen.send_modify(|seen| seen.answered += 1);
    shared.outbox.send_replace(Some(outbox));
    shared.seen.send_modify(|seen| seen.connected = stands);
    serve(&mut socket, queue, &key, shared, script.reads).await
}

/// The welcome of this session, sealed with the node's secret or with another.
fn sealed_welcome(
    shared: &Shared,
    script: &Script,
    hello: &Hello,
    nonce: &str,
    fault: &WelcomeFault,
) -> Result<SealedWelcome, Over> {
    let seen = shared.seen.borrow();
    let newest = seen.receipts.last_key_value();
    let newest = newest.filter(|(seq, _)| **seq >= hello.next_seq);
    let shown = script.welcome_receipt.as_ref();
    let shown = shown.or(newest.map(|(_, bytes)| bytes));
    let welcome = Welcome {
        session_id: format!("s-{}", seen.sessions + 1),
        acked_seq: script.welcome_acked.unwrap_or(seen.head.seq),
        acked_receipt: shown
            .and_then(|bytes| String::from_utf8(bytes.clone()).ok())
            .and_then(|text| RawValue::from_string(text).ok()),
        heartbeat_s: script.heartbeat_s,
        limits: LinkLimits::default(),
        flags: serde_json::Map::new(),
        agent_nonce: hello.agent_nonce.clone(),
        order_keys: script.order_keys.clone(),
    };
    let secret = match fault {
        WelcomeFault::OtherSecret => b"another secret".as_slice(),
        _ => &shared.secret,
    };
    welcome.seal(secret, nonce).map_err(|_| Over)
}

async fn serve(
    socket: &mut Socket,
    mut queue: mpsc::Receiver<Out>,
    key: &PublicKey,
    shared: &Shared,
    reads: bool,
) -> Result<(), Over> {
    let mut unacked = 0;
    loop {
        tokio::select! {
            frame = receive(socket, shared), if reads => {
                if let Some(answer) = handle(frame?, key, shared, &mut unacked)? {
                    send(socket, answer).await?;
                }
            }
            Some(out) = queue.recv() => {
                let message = match out {
                    Out::Frame(frame) => {
                        let ends = matches!(frame, ToAgent::Error(_));
                        send(socket, frame).await?;
                        if ends {
                            // The agent closes; what it still says is not heard.
                            while receive(socket, shared).await.is_ok() {}
                            return Err(Over);
                        }
                        continue;
                    }
                    Out::Relay(bytes) => Message::binary(bytes),
                    Out::Text(text) => Message::text(text),
                    Out::Ping => Message::Ping(vec![7; 100].into()),
                };
                socket.send(message).await.map_err(|_| Over)?;
            }
        }
    }
}

fn handle(
    frame: ToControlPlane,
    key: &PublicKey,
    shared: &Shared,
    unacked: &mut usize,
) -> Result<Option<ToAgent>, Over> {
    match frame {
        ToControlPlane::Receipts(batch) => {
            *unacked += batch.receipts.len();
            if *unacked > RECEIPTS_IN_FLIGHT {
                violation(shared, "more receipts in flight than agreed");
            }
            let answer = ingest(&batch, key, shared)?;
            if answer.is_some() {
                *unacked = 0;
            }
            return Ok(answer);
        }
        ToControlPlane::Heartbeat(heartbeat) => shared.seen.send_modify(|seen| {
            seen.heartbeats += 1;
            seen.heartbeat = Some(heartbeat);
        }),
        ToControlPlane::Inventory(inventory) => {
            shared
                .seen
                .send_modify(|seen| seen.inventories.push(inventory));
        }
        ToControlPlane::ProbeResult(result) => {
            shared.seen.send_modify(|seen| seen.probes.push(result));
        }
        ToControlPlane::JobUpdate(update) => {
            shared.seen.send_modify(|seen| seen.jobs.push(update));
        }
        ToControlPlane::Bye(bye) => shared.seen.send_modify(|seen| seen.byes.push(bye.reason)),
        ToControlPlane::Hello(_) => violation(shared, "a second hello"),
        ToControlPlane::Issue(issue) => {
            shared.seen.send_modify(|seen| seen.issues.push(issue.kind))
        }
        ToControlPlane::JobResult(_) => {}
    }
    Ok(None)
}

/// Verifies and keeps a batch; the acknowledgement, where the script gives one.
fn ingest(batch: &Receipts, key: &PublicKey, shared: &Shared) -> Result<Option<ToAgent>, Over> {
    let script = shared.script.borrow().clone();
    let mut refused = Vec::new();
    let mut drops = false;
    shared.seen.send_modify(|seen| {
        for raw in &batch.receipts {
            let bytes = raw.get().as_bytes();
            let Ok(receipt) = Receipt::parse(bytes) else {
                seen.violations.push("bytes that are no receipt".to_owned());
                continue;
            };
            let seq = receipt
                .fields
                .seq
                .and_then(|seq| u64::try_from(seq).ok())
                .unwrap_or(0);
            if !receipt.verify(key) || receipt.entry_bytes() != bytes {
                seen.violations
                    .push(format!("receipt {seq} does not verify as sent"));
            }
            if keep(seen, &receipt, seq)
                && let Some(kind) = script.refuses.get(&seq)
            {
                seen.receipts.remove(&seq);
                seen.refused.push(seq);
                refused.push(Refused {
                    request_id: Some(receipt.fields.request_id.clone()),
                    kind: *kind,
                    message: "the script refuses it".into(),
                });
            }
            drops |= script.drop_at.is_some_and(|at| seq >= at);
        }
    });
    if drops {
        shared.script.send_modify(|script| script.drop_at = None);
        return Err(Over);
    }
    Ok(script.acks.then(|| {
        ToAgent::Ack(Ack {
            acked_seq: shared.seen.borrow().head.seq,
            refused,
        })
    }))
}

/// Places a receipt in the chain; whether it is new.
fn keep(seen: &mut Seen, receipt: &Receipt<'_>, seq: u64) -> bool {
    let link = Link {
        seq,
        prev_hash: receipt.fields.prev_hash.unwrap_or(Sha256Hash::ZERO),
        entry_hash: receipt.entry_hash(),
    };
    match judge(seen.head, link) {
        Judgement::Append => {
            seen.head = Head {
                seq,
                entry_hash: link.entry_hash,
            };
            seen.receipts.insert(seq, receipt.entry_bytes().to_vec());
            true
        }
        Judgement::Seen => {
            let is_same = seen
                .receipts
                .get(&seq)
                .is_none_or(|kept| kept == receipt.entry_bytes());
            if is_same {
                seen.repeats += 1;
            } else {
                seen.violations
                    .push(format!("other bytes for receipt {seq}"));
            }
            false
        }
        Judgement::Ahead { from, to } => {
            seen.violations
                .push(format!("receipt {seq} came and {from} to {to} did not"));
            false
        }
        Judgement::Fork => {
            seen.violations
                .push(format!("receipt {seq} forks the chain"));
            false
        }
    }
}

fn violation(shared: &Shared, what: &str) {
    shared
        .seen
        .send_modify(|seen| seen.violations.push(what.to_owned()));
}

async fn send(socket: &mut Socket, frame: ToAgent) -> Result<(), Over> {
    let text = frame.encode(i64::try_from(now_ms()).unwrap_or(0));
    socket.send(Message::text(text)).await.map_err(|_| Over)
}

async fn receive(socket: &mut Socket, shared: &Shared) -> Result<ToControlPlane, Over> {
    loop {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Over),
            Some(Ok(Message::Binary(bytes))) => {
                let keep = |seen: &mut Seen| seen.relayed.push(bytes.to_vec());
                shared.seen.send_modify(keep);
                continue;
            }
            Some(Ok(_)) => continue,
        };
        match ToControlPlane::decode(&text) {
            Ok(Incoming::Known(frame)) => return Ok(frame),
            Ok(Incoming::Unknown(kind)) => violation(shared, &format!("a frame of type {kind}")),
            Err(error) => {
                violation(shared, &error.to_string());
                return Err(Over);
            }
        }
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}
