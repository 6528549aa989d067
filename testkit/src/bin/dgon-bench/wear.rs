//! Memory of an agent after 100,000 requests, against what it had when it had served a few.

use crate::client::{Client, question, wait_for_runtime};
use crate::programs::Node;
use crate::report::{Report, Row};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const CONNECTIONS: usize = 32;
const REQUESTS: usize = 100_000;
/// Requests before the first look: a program that has served nobody has not begun.
const BEFORE: usize = 320;
/// Time for what is over to be given back.
const REST: Duration = Duration::from_secs(6);

async fn requests(address: SocketAddr, count: usize) -> Result<()> {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(async move {
            let question = question("hi", 4, false);
            let mut client = Client::connect(address).await?;
            for _ in 0..count / CONNECTIONS {
                client.ask(&question).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    Ok(())
}

/// Measures the agent.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let runtime = ["--tokens-per-second", "0", "--ttft-ms", "0"];
    let node = Node::start(bin, &runtime, &[], false)?;
    wait_for_runtime(node.place.proxy).await?;
    requests(node.place.proxy, BEFORE).await?;
    tokio::time::sleep(REST).await;
    let before = node.agent.resident_mib();
    requests(node.place.proxy, REQUESTS).await?;
    tokio::time::sleep(REST).await;
    let after = node.agent.resident_mib();
    report.add(Row {
        what: format!("agent, resident after {REQUESTS} requests"),
        goal: "≤ 1.3× its start".to_owned(),
        floor: format!("{before:.1} MiB after {BEFORE}"),
        peer: String::new(),
        ours: format!("{after:.1} MiB"),
        ratio: format!("{:.2}×", after / before),
        reached: after / before <= 1.3,
    });
    Ok(())
}
