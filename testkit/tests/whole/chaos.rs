//! kill -9 of agent, control plane or both, at random moments under load, over and over.
//!
//! The oracle: what clients saw finish against the store. Every request whose response ended has exactly one
//! receipt; `seq` has no gap and no double; the chain holds from the first receipt to the last.
//! `DGON_CHAOS_SEED` repeats a run as far as the machine's scheduler allows; `DGON_CHAOS_ROUNDS` sets its length.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use crate::common::{Stack, chat};
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::{Receipt, Sha256Hash, Verdict};
use dgon_testkit::programs::kill_together;
use dgon_testkit::runtime::{Kind, SimConfig};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ROUNDS: u64 = 50;
const CLIENTS: u64 = 4;
const MODEL: &str = "sim-chat:1b";

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

fn number(variable: &str, default: impl FnOnce() -> u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(default)
}

/// What clients saw: bodies of the requests whose responses ended.
#[derive(Default)]
struct Seen {
    finished: Mutex<Vec<Vec<u8>>>,
    cut: AtomicU64,
}

/// Asks without end, each time something new; tolerates that nobody answers.
async fn client(
    http: reqwest::Client,
    url: String,
    name: u64,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
) {
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let text = format!("client {name} turn {turn}");
        // A stream has ended for whoever has seen its mark, a whole answer for whoever has its last byte.
        let (path, mark, body) = match turn % 3 {
            0 => ("/api/chat", Some("\"done\":true"), chat(MODEL, &text, true)),
            1 => (
                "/v1/chat/completions",
                Some("data: [DONE]"),
                chat(MODEL, &text, true),
            ),
            _ => ("/v1/chat/completions", None, chat(MODEL, &text, false)),
        };
        let body = serde_json::to_vec(&body).unwrap();
        let request = http
            .post(format!("{url}{path}"))
            .header("content-type", "application/json")
            .body(body.clone());
        let Ok(mut response) = request.send().await else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        if response.status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let mut answer = Vec::new();
        let whole = loop {
            match response.chunk().await {
                Ok(Some(piece)) => answer.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let ended = match mark {
            Some(mark) => String::from_utf8_lossy(&answer).contains(mark),
            None => whole,
        };
        if ended {
            seen.finished.lock().unwrap().push(body);
        } else {
            seen.cut.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_counts_twice() {
    let seed = number("DGON_CHAOS_SEED", || u64::from(std::process::id()) ^ 0xD607);
    let rounds = number("DGON_CHAOS_ROUNDS", || ROUNDS);
    println!("DGON_CHAOS_SEED={seed} DGON_CHAOS_ROUNDS={rounds}");
    let mut dice = Dice(seed);
    let mut runtime = SimConfig::new(Kind::Ollama);
    runtime.ttft = Duration::from_millis(3);
    runtime.tokens_per_second = Some(1000.0);
    let mut stack = Stack::start(vec![runtime], "").await;
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|name| {
            tokio::spawn(client(
                stack.http.clone(),
                stack.agent.url(),
                name,
                Arc::clone(&seen),
                Arc::clone(&stop),
            ))
        })
        .collect();
    for _ in 0..rounds {
        let moment = 20 + dice.roll(180);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let (agent, plane) = match dice.roll(3) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        if agent && plane {
            kill_together(&mut [
                stack.agent.process().unwrap(),
                stack.plane.process().unwrap(),
            ]);
        }
        // The order of coming back is random too, and the next round does not wait for either.
        let agent_first = dice.roll(2) == 0;
        for turn in 0..2 {
            if agent && (turn == 0) == agent_first {
                stack.agent.kill();
                stack.agent.launch().unwrap();
            }
            if plane && (turn == 1) == agent_first {
                stack.plane.kill();
                stack.plane.launch().unwrap();
            }
        }
        if dice.roll(4) != 0 {
            stack.agent.ready().await.unwrap();
            stack.plane.ready().await.unwrap();
        }
    }
    stack.agent.ready().await.unwrap();
    stack.plane.ready().await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let last = stack.agent.all_acked().await.unwrap();
    let key = stack.agent.prompt_key().unwrap();
    let finished = std::mem::take(&mut *seen.finished.lock().unwrap());
    println!(
        "{} responses ended, {} were cut, {last} receipts",
        finished.len(),
        seen.cut.load(Ordering::Relaxed)
    );
    assert!(
        finished.len() as u64 > rounds,
        "the load was too small to prove anything"
    );
    judge(&stack, &finished, last, &key).await;
}

/// The oracle.
async fn judge(stack: &Stack, finished: &[Vec<u8>], last: u64, key: &[u8; 32]) {
    let session = stack.session().await;
    let mut rows = session.receipts("").await.unwrap();
    rows.sort_by_key(|row| row["seq"].as_u64());
    let seqs: Vec<u64> = rows
        .iter()
        .map(|row| row["seq"].as_u64().unwrap())
        .collect();
    // A probe may have added one meanwhile.
    assert!(seqs.len() as u64 >= last, "{} of {last}", seqs.len());
    assert_eq!(
        seqs,
        (1..=seqs.len() as u64).collect::<Vec<_>>(),
        "no gap, no double"
    );
    let node = rows[0]["node_id"].as_str().unwrap();
    let detail = session.get(&format!("/nodes/{node}")).await.unwrap();
    let public = PublicKey::parse(detail["public_key"].as_str().unwrap()).unwrap();
    assert!(
        detail["chain"]["head_seq"].as_u64() >= Some(last),
        "{detail}"
    );
    assert_eq!(
        detail["chain"]["gaps"].as_array().map(Vec::len),
        Some(0),
        "{detail}"
    );
    assert_eq!(detail["chain"]["forks"].as_u64(), Some(0), "{detail}");

    let mut by_prompt: HashMap<String, u32> = HashMap::new();
    let mut previous = Sha256Hash::ZERO;
    for row in &rows {
        let id = row["request_id"].as_str().unwrap();
        let raw = session
            .get_bytes(&format!("/receipts/{id}/raw"))
            .await
            .unwrap();
        assert_eq!(Receipt::verdict(&raw, &public), Verdict::Valid);
        let receipt = Receipt::parse(&raw).unwrap();
        assert_eq!(
            receipt.fields.prev_hash,
            Some(previous),
            "the chain holds at {}",
            row["seq"]
        );
        previous = receipt.entry_hash();
        if let Some(prompt) = receipt.fields.prompt_hash.clone() {
            *by_prompt.entry(prompt).or_default() += 1;
        }
    }
    for body in finished {
        let prompt = format!("blake3:{}", blake3::keyed_hash(key, body).to_hex());
        let receipts = by_prompt.get(&prompt).copied().unwrap_or(0);
        let shown: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(receipts, 1, "a request that ended has one receipt: {shown}");
    }
}
