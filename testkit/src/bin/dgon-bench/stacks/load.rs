//! The generator: connections that are kept, on each one request at a time, as fast as the stack answers.
//!
//! Requests are whole before the clock starts, so that what is measured is the stack and not the generator's signatures.
//! Every answer is read: only one that says `accepted` counts, and any other ends the run.

use super::work::Lane;
use crate::client::find;
use crate::report::quantile;
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Connections: as many as serve the peers best. With more of them ours gains and the peers lose, for ours makes the
/// receipts of all of them durable together.
pub(super) const LANES: usize = 32;
/// From the answer to a node's post to its next: our control plane takes five a second of each.
pub(super) const NODE_PAUSE: Duration = Duration::from_millis(200);
/// Time in which the stack comes to its speed, then the time that is measured.
const WARM: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(8);
/// Both.
pub(super) const RUN: Duration = Duration::from_secs(WARM.as_secs() + MEASURED.as_secs());
/// Longest wait for the answers under way at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// Room for an answer, bytes.
const ROOM: usize = 4096;

/// What came of a run.
pub(super) struct Outcome {
    /// Receipts accepted from the first to the last.
    pub(super) accepted: u64,
    /// Of those that were accepted in the measured time, from the request to the answer, ms, sorted.
    latencies_ms: Vec<f64>,
    /// CPU of the stack in the measured time.
    cpu: Duration,
    /// The measured time.
    time: Duration,
}

impl Outcome {
    /// Receipts accepted a second.
    pub(super) fn per_s(&self) -> f64 {
        self.latencies_ms.len() as f64 / self.time.as_secs_f64()
    }

    /// CPU of the stack for each receipt, µs.
    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies_ms.len() as f64
    }

    /// What so large a share of the answers needed at most, ms.
    pub(super) fn latency_ms(&self, share: f64) -> f64 {
        quantile(&self.latencies_ms, share)
    }
}

/// An answer: when it came, and how long it took.
struct Sample {
    at: Instant,
    took: Duration,
}

/// Drives a stack; `cpu` tells what CPU time it has used so far.
pub(super) async fn drive(
    address: SocketAddr,
    lanes: Vec<Lane>,
    cpu: impl Fn() -> Duration,
) -> Result<Outcome> {
    let mut connections = Vec::with_capacity(lanes.len());
    for lane in lanes {
        connections.push((Connection::open(address).await?, lane));
    }
    let begin = Instant::now();
    let end = begin + RUN;
    let mut running = JoinSet::new();
    for (connection, lane) in connections {
        running.spawn(connection.work(lane, end));
    }
    sleep_until(begin + WARM).await;
    let (from, cpu_before) = (Instant::now(), cpu());
    sleep_until(end).await;
    let (to, cpu_after) = (Instant::now(), cpu());
    let mut samples = Vec::new();
    while let Some(ended) = timeout_at(end + LAST_ANSWERS, running.join_next())
        .await
        .context("the last answers do not come")?
    {
        samples.extend(ended??);
    }
    let measured = samples
        .iter()
        .filter(|sample| (from..to).contains(&sample.at));
    let mut latencies_ms: Vec<f64> = measured
        .map(|sample| sample.took.as_secs_f64() * 1e3)
        .collect();
    latencies_ms.sort_by(f64::total_cmp);
    Ok(Outcome {
        accepted: samples.len() as u64,
        latencies_ms,
        cpu: cpu_after.saturating_sub(cpu_before),
        time: to - from,
    })
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; ROOM],
        })
    }

    /// Sends the first receipt of every node, then the second, until the end.
    async fn work(mut self, lane: Lane, end: Instant) -> Result<Vec<Sample>> {
        let rounds = lane.0.iter().map(Vec::len).min().unwrap_or(0);
        let mut free_at = vec![Instant::now(); lane.0.len()];
        let mut samples = Vec::with_capacity(rounds * lane.0.len());
        for round in 0..rounds {
            for (requests, free_at) in lane.0.iter().zip(&mut free_at) {
                if *free_at > Instant::now() {
                    sleep_until((*free_at).min(end)).await;
                }
                let start = Instant::now();
                if start >= end {
                    return Ok(samples);
                }
                self.stream.write_all(&requests[round]).await?;
                self.accepted().await?;
                let at = Instant::now();
                *free_at = at + NODE_PAUSE;
                samples.push(Sample {
                    at,
                    took: at - start,
                });
            }
        }
        bail!("the receipts ended before the time")
    }

    /// Reads an answer to its end.
    async fn accepted(&mut self) -> Result<()> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            filled += read;
            let answer = &self.buffer[..filled];
            if is_whole(answer)? {
                if answer.starts_with(b"HTTP/1.1 201")
                    && find(answer, br#""verdict":"accepted""#).is_some()
                {
                    return Ok(());
                }
                bail!("not accepted: {}", String::from_utf8_lossy(answer));
            }
            if read == 0 {
                bail!("cut off in an answer: {}", String::from_utf8_lossy(answer));
            }
        }
    }
}

/// Whether an answer has come to its end. All stacks say how long theirs are.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = find(answer, b"\r\n\r\n") else {
        return Ok(false);
    };
    let text = std::str::from_utf8(&answer[..head])?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.with_context(|| format!("an answer without a length: {text}"))?;
    Ok(answer.len() >= head + 4 + length)
}
