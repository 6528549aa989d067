//! kill -9 of the real server at random moments under load, over and over, and each time with a clock that says something
//! else: now a minute back, now one ahead.
//!
//! The oracle reads what each death left: every acknowledged receipt is stored, once and in its place, and the sums that are
//! written are those that the receipts add up to when they are counted from scratch. What is written and what is counted in
//! memory together is all of it, which is asked of the server that comes after.
//! `DGON_CHAOS_SEED` and `DGON_CHAOS_ROUNDS` choose another run.

use crate::support::{ALL, SOON};
use dgon_control_plane_store::Store;
use dgon_control_plane_store::receipt_queries::ReceiptFilter;
use dgon_protocol::frame::ToAgent;
use dgon_testkit::fleet::{Enrol, SimAgent, SimError, SimLink, SimReceipt};
use dgon_testkit::programs::{ControlPlaneProcess, false_clock, http_client};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const SEED: u64 = 0xD607;
const ROUNDS: u64 = 5;
const AGENTS: usize = 4;
/// How far from the agents' clock that of the server is, s: they agree within two minutes.
const CLOCK_S: i64 = 90;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What all agents know.
#[derive(Default)]
struct Known {
    stop: AtomicBool,
    acked: AtomicU64,
}

/// An agent that makes receipts until it is told to stop and all are acknowledged, over as many sessions as it takes.
async fn work(mut agent: SimAgent, known: Arc<Known>) -> SimAgent {
    let mut waiting: VecDeque<SimReceipt> = VecDeque::new();
    loop {
        let ended = match agent.connect().await {
            Ok(mut link) => {
                acknowledged(&mut waiting, link.welcome.acked_seq, &known);
                session(&mut agent, &mut link, &mut waiting, &known).await
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return agent,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn acknowledged(waiting: &mut VecDeque<SimReceipt>, seq: u64, known: &Known) {
    let before = waiting.len();
    waiting.retain(|receipt| receipt.seq > seq);
    let now = before - waiting.len();
    known.acked.fetch_add(now as u64, Ordering::SeqCst);
}

async fn session(
    agent: &mut SimAgent,
    link: &mut SimLink,
    waiting: &mut VecDeque<SimReceipt>,
    known: &Known,
) -> Result<(), SimError> {
    loop {
        if waiting.is_empty() {
            if known.stop.load(Ordering::SeqCst) {
                return Ok(());
            }
            for _ in 0..=agent.head.seq % 4 {
                waiting.push_back(agent.next_receipt()?);
            }
        }
        link.send_receipts(waiting.iter()).await?;
        while let Some(last) = waiting.back().map(|receipt| receipt.seq) {
            let ack = link.until(SOON, |frame| match frame {
                ToAgent::Ack(ack) => Some(ack.clone()),
                _ => None,
            });
            let ack = ack.await?;
            assert!(ack.refused.is_empty(), "{:?}", ack.refused);
            acknowledged(waiting, ack.acked_seq.min(last), known);
        }
    }
}

/// What a death left.
struct Left {
    receipts: u64,
    /// Rows of sums.
    sums: usize,
}

/// Judges what a death left, in a copy: the server that comes next finds it as it was.
async fn judge(data: &Path, acked: u64) -> Left {
    let copy = tempfile::tempdir().expect("folder");
    for name in ["dgon.db", "dgon.db-wal"] {
        if data.join(name).exists() {
            std::fs::copy(data.join(name), copy.path().join(name)).expect("copy");
        }
    }
    let url = format!("sqlite:{}", copy.path().join("dgon.db").display());
    let store = Store::open(&url).await.expect("open");
    let inspect = store.inspect();
    let (stored, counted) = inspect.rollups_whole().await.expect("sums");
    assert_eq!(
        stored, counted,
        "sums that are written, and those from scratch"
    );
    let filter = ReceiptFilter::default();
    let rows = store
        .receipts_list(&ALL, &filter, None, i64::MAX)
        .await
        .expect("receipts");
    assert!(
        rows.len() as u64 >= acked,
        "{} of {acked} that were acknowledged",
        rows.len()
    );
    let mut places: Vec<_> = rows
        .iter()
        .map(|row| (row.node_id.as_str(), row.seq))
        .collect();
    places.sort_unstable();
    let mut wanted = places.first().copied();
    for place in &places {
        let is_next = wanted.is_some_and(|wanted| wanted == *place);
        assert!(is_next || place.1 == Some(1), "{place:?} is not {wanted:?}");
        wanted = Some((place.0, place.1.map(|seq| seq + 1)));
    }
    store.close().await;
    Left {
        receipts: rows.len() as u64,
        sums: stored.len(),
    }
}

/// What a server tells of a day is at least what the one before it left.
async fn assert_told(plane: &ControlPlaneProcess, least: u64, most: Option<u64>) {
    let answer = reqwest::get(format!("{}/api/v1/summary", plane.url()))
        .await
        .expect("ask");
    let summary: serde_json::Value = answer.json().await.expect("JSON");
    let told = summary["requests_24h"].as_u64().expect("a count");
    assert!(told >= least, "{told} of {least}");
    assert!(most.is_none_or(|most| told <= most), "{told} of {most:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_and_receipts_agree_whenever_the_server_dies() {
    let (seed, rounds) = (
        number("DGON_CHAOS_SEED", SEED),
        number("DGON_CHAOS_ROUNDS", ROUNDS),
    );
    println!("DGON_CHAOS_SEED={seed} DGON_CHAOS_ROUNDS={rounds}");
    let mut dice = SmallRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().expect("folder");
    let mut plane = ControlPlaneProcess::start(dir.path())
        .await
        .expect("server");
    let (http, token) = (
        http_client().expect("client"),
        plane.token(4).await.expect("token"),
    );
    let (url, known) = (plane.url(), Arc::new(Known::default()));
    let mut agents = Vec::new();
    for _ in 0..AGENTS {
        let agent = SimAgent::enrol(&http, &url, &token, Enrol::default());
        agents.push(tokio::spawn(work(
            agent.await.expect("enrol"),
            Arc::clone(&known),
        )));
    }
    let file = dir.path().join("clock");
    for (name, value) in false_clock(&file).expect("libfaketime") {
        plane.set(name, value);
    }
    let mut sums = 0;
    for _ in 0..rounds {
        // The clock changes under the running server, too.
        for _ in 0..2 {
            let moment = dice.random_range(20..150);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            let offset = dice.random_range(-CLOCK_S..=CLOCK_S);
            std::fs::write(&file, format!("{offset:+}\n")).expect("clock");
        }
        let acked = known.acked.load(Ordering::SeqCst);
        plane.kill();
        let left = judge(plane.data(), acked).await;
        sums = sums.max(left.sums);
        plane.resume().await.expect("server");
        assert_told(&plane, left.receipts, None).await;
    }
    known.stop.store(true, Ordering::SeqCst);
    let mut made = 0;
    for agent in agents {
        made += agent.await.expect("agent").head.seq;
    }
    assert!(
        made > rounds * 4 && sums > 0,
        "{made} receipts and {sums} sums prove nothing"
    );
    plane.kill();
    assert_eq!(judge(plane.data(), made).await.receipts, made);
    plane.resume().await.expect("server");
    assert_told(&plane, made, Some(made)).await;
    println!("{made} receipts, {sums} sums");
}
