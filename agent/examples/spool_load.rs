//! Measures the spool on a real disk:
//! `cargo run --release -p dgon-agent --example spool_load -- DIR [SECONDS [--json]]`.
//!
//! Durable receipts per second, signing included, at several concurrencies beside the disk's own sync; then how long
//! a start takes with 100,000 receipts waiting, and reading all of them as the link does.

use anyhow::{Context as _, Result};
use dgon_agent::receipts::{Receipts, Signer};
use dgon_agent::sink::ReceiptSink as _;
use dgon_agent::spool::{DeadLetters, Folder, Lock, Spool};
use dgon_agent_core::facts::{RequestFacts, TokensSource};
use dgon_agent_core::spool::Limits;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::{Source, Status};
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What was measured.
#[derive(Serialize)]
struct Measured {
    /// One sync of 4 KiB, median, µs.
    sync_us: f64,
    rates: Vec<Rate>,
    /// Receipts that waited when the spool was opened again.
    recovered: u64,
    recovery_ms: f64,
    /// Reading the same files and nothing else, ms.
    read_ms: f64,
    /// Reading all receipts in frames, as the link does, ms.
    frames_ms: f64,
}

/// Durable receipts at one concurrency.
#[derive(Serialize)]
struct Rate {
    at_a_time: u64,
    per_second: f64,
    mean_ms: f64,
    worst_ms: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (dir, seconds, is_json) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        [dir] => (dir, "3", false),
        [dir, seconds] => (dir, seconds, false),
        [dir, seconds, "--json"] => (dir, seconds, true),
        _ => anyhow::bail!("usage: spool_load DIR [SECONDS [--json]]"),
    };
    let measured = runtime.block_on(bench(Path::new(dir), seconds.parse()?))?;
    if is_json {
        println!("{}", serde_json::to_string(&measured)?);
    } else {
        measured.print();
    }
    Ok(())
}

impl Measured {
    fn print(&self) {
        println!(
            "sync of 4 KiB on this disk: {:.0} µs at the median",
            self.sync_us
        );
        for rate in &self.rates {
            println!(
                "{:>4} at a time: {:>7.0} durable receipts/s, {:>6.2} ms each at the mean, worst {:.1} ms",
                rate.at_a_time, rate.per_second, rate.mean_ms, rate.worst_ms
            );
        }
        println!(
            "start with {} receipts waiting: {:.0} ms, of which reading the files {:.0} ms; all of them in frames \
             of 256: {:.0} ms",
            self.recovered, self.recovery_ms, self.read_ms, self.frames_ms
        );
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn open(dir: &Path, limits: Limits) -> Result<Receipts> {
    let key = NodeKey::from_seed(&[7; 32]);
    let folder = dir.join("spool");
    let disk = Folder::open(&folder).context("the folder cannot be made")?;
    let lock = Lock::take(&folder)?;
    let spool = Spool::open(disk, &key.public().key_id(), limits, 0)?;
    let signer = Signer::new(key, NodeId::parse("load-1")?, Some("eu-west".to_owned()));
    Ok(Receipts::start(
        spool,
        signer,
        DeadLetters::in_dir(dir),
        Some(lock.into()),
    )?)
}

fn facts(receipts: &Receipts) -> RequestFacts {
    RequestFacts {
        request_id: receipts.next_request_id(),
        source: Source::Local,
        status: Status::Ok,
        failure: None,
        model_id: "llama3.1:8b".to_owned(),
        model_hash: Some(format!("sha256:{}", "ab".repeat(32))),
        runtime: Some("ollama".to_owned()),
        started_ms: 1_800_000_000_000,
        ended_ms: 1_800_000_004_000,
        latency_ms: 4000,
        ttft_ms: Some(120),
        gap_p95_ms: Some(31),
        tokens_input: 128,
        tokens_output: 92,
        tokens_cached: Some(0),
        tokens_source: TokensSource::Usage,
        prompt_hash: Some(format!("blake3:{}", "cd".repeat(32))),
        output_hash: Some(format!("blake3:{}", "ef".repeat(32))),
        checkpoints: Vec::new(),
        energy_mwh: None,
        order_hash: None,
    }
}

async fn bench(dir: &Path, seconds: u64) -> Result<Measured> {
    std::fs::create_dir_all(dir)?;
    let sync_us = sync_median(dir)?.as_secs_f64() * 1e6;
    let mut rates = Vec::new();
    for at_a_time in [1u64, 8, 64, 256] {
        let work = tempfile::tempdir_in(dir)?;
        let receipts = open(work.path(), Limits::new(u64::MAX / 4, 4 << 30))?;
        let (count, took, worst) = drive(&receipts, at_a_time, Duration::from_secs(seconds)).await;
        rates.push(Rate {
            at_a_time,
            per_second: count as f64 / took.as_secs_f64(),
            mean_ms: milliseconds(took) * at_a_time as f64 / count.max(1) as f64,
            worst_ms: milliseconds(worst),
        });
        receipts.close().await;
    }
    let work = tempfile::tempdir_in(dir)?;
    let limits = Limits::new(200_000, 1 << 30);
    let receipts = open(work.path(), limits)?;
    while receipts.status().last_seq < 100_000 {
        drive(&receipts, 256, Duration::from_millis(200)).await;
    }
    receipts.close().await;
    let began = Instant::now();
    for entry in std::fs::read_dir(work.path().join("spool"))? {
        std::fs::read(entry?.path())?;
    }
    let read_ms = milliseconds(began.elapsed());
    let began = Instant::now();
    let receipts = open(work.path(), limits)?;
    let recovery_ms = milliseconds(began.elapsed());
    let recovered = receipts.status().depth();
    let began = Instant::now();
    let mut from = 1;
    while let Some(last) = receipts.read(from, 256, 1 << 20).await?.last() {
        from = last.seq + 1;
    }
    let frames_ms = milliseconds(began.elapsed());
    receipts.close().await;
    Ok(Measured {
        sync_us,
        rates,
        recovered,
        recovery_ms,
        read_ms,
        frames_ms,
    })
}

/// Records with `concurrency` requests at a time; how many, in which time, and the longest wait of one.
async fn drive(
    receipts: &Receipts,
    concurrency: u64,
    length: Duration,
) -> (u64, Duration, Duration) {
    let (count, worst_us) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        let (receipts, count) = (receipts.clone(), Arc::clone(&count));
        let (worst_us, stop) = (Arc::clone(&worst_us), Arc::clone(&stop));
        requests.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                if receipts.record(facts(&receipts)).await.is_err() {
                    break;
                }
                let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                worst_us.fetch_max(took, Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    while requests.join_next().await.is_some() {}
    let worst = Duration::from_micros(worst_us.load(Ordering::Relaxed));
    (count.load(Ordering::Relaxed), began.elapsed(), worst)
}

fn sync_median(dir: &Path) -> Result<Duration> {
    let mut file = tempfile::tempfile_in(dir)?;
    let mut times = Vec::new();
    for _ in 0..101 {
        file.write_all(&[0; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[50])
}
