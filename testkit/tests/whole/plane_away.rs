//! The control plane goes away: frozen, or killed. The agent serves on, the spool grows, and all of it arrives
//! afterwards, in order.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use crate::common::{Stack, chat, until};
use dgon_testkit::runtime::{Kind, SimConfig};
use serde_json::Value;

const REQUESTS: u64 = 40;
const MODEL: &str = "sim-chat:1b";

async fn serve(stack: &Stack) {
    for number in 0..REQUESTS {
        let (status, body) = stack
            .ask(
                "/v1/chat/completions",
                &chat(MODEL, &format!("number {number}"), true),
            )
            .await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        assert!(body.ends_with(b"data: [DONE]\n\n"));
    }
}

async fn depth(stack: &Stack) -> u64 {
    stack.agent.status().await.unwrap()["spool"]["depth"]
        .as_u64()
        .unwrap()
}

/// All receipts are there once, in the order of the chain.
async fn check(stack: &mut Stack, least: u64) {
    let last = stack.agent.all_acked().await.unwrap();
    assert!(last >= least, "{last} receipts");
    let rows = stack.session().await.receipts("").await.unwrap();
    let seqs: Vec<u64> = rows
        .iter()
        .rev()
        .map(|row: &Value| row["seq"].as_u64().unwrap())
        .collect();
    // A probe may have added one meanwhile.
    assert!(seqs.len() as u64 >= last, "{seqs:?}");
    let chain: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, chain, "newest first means the highest seq first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen() {
    let mut stack = Stack::start(vec![SimConfig::new(Kind::Ollama)], "").await;
    stack.agent.all_acked().await.unwrap();
    stack.plane.process().unwrap().signal("STOP").unwrap();
    serve(&stack).await;
    let waiting = depth(&stack).await;
    assert!(waiting >= REQUESTS, "{waiting} receipts wait");
    stack.plane.process().unwrap().signal("CONT").unwrap();
    check(&mut stack, REQUESTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed() {
    let mut stack = Stack::start(vec![SimConfig::new(Kind::Ollama)], "").await;
    stack.agent.all_acked().await.unwrap();
    stack.plane.kill();
    serve(&stack).await;
    assert!(depth(&stack).await >= REQUESTS);
    // The agent may restart meanwhile and keeps what it has.
    stack.agent.kill();
    stack.agent.resume().await.unwrap();
    assert!(depth(&stack).await >= REQUESTS);
    serve(&stack).await;
    stack.plane.resume().await.unwrap();
    until("the agent is back on its link", || async {
        (depth(&stack).await == 0).then_some(())
    })
    .await;
    check(&mut stack, 2 * REQUESTS).await;
}
