//! First byte of a streamed answer: through the agent's proxy, nginx, haproxy and the bare proxy, against directly from
//! the runtime.
//!
//! With one connection every way is asked in turns, request by request; with 64 connections the ways take turns of
//! a second. So noise hits all alike. What is reported is the middle over the rounds of what a way adds in a round.

use crate::client::{Client, question, wait_for_runtime};
use crate::peers::{BARE, DIRECT, HAPROXY, NGINX, OURS, Way, ways};
use crate::process::load_average;
use crate::programs::Node;
use crate::report::{Report, Row, median, quantile};
use anyhow::Result;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const ROUNDS: usize = 7;
/// Requests of a round on one connection.
const ONE: usize = 300;
const WARM_UP: usize = 50;
/// Connections at once, requests of each in a round, and the time between the requests of one: about 160 a second,
/// so that the wait for a core is not what is measured. Behind each request of ours stand a signature, a sync of the
/// disk and the control plane's work, on the same machine.
const MANY: usize = 64;
const EACH: usize = 6;
const PAUSE: Duration = Duration::from_millis(400);

/// What every way added in every round, ms: the median and the 99th percentile.
type Added = HashMap<&'static str, Vec<[f64; 2]>>;

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Books a round: times of each way, ms.
fn book(added: &mut Added, round: HashMap<&'static str, Vec<f64>>) {
    let quantiles = |name| {
        let mut times: Vec<f64> = round.get(name).cloned().unwrap_or_default();
        times.sort_by(f64::total_cmp);
        [quantile(&times, 0.5), quantile(&times, 0.99)]
    };
    let direct = quantiles(DIRECT);
    for name in round.keys() {
        let [p50, p99] = quantiles(*name);
        let more = if *name == DIRECT {
            direct
        } else {
            [p50 - direct[0], p99 - direct[1]]
        };
        added.entry(*name).or_default().push(more);
    }
}

/// One connection on each way, asked in turns.
async fn with_one(ways: &[Way]) -> Result<Added> {
    let question = question("hi", 4, true);
    let mut clients = Vec::new();
    for way in ways {
        clients.push(Client::connect(way.address).await?);
    }
    let mut added = Added::new();
    for round in 0..=ROUNDS {
        let mut times: HashMap<_, Vec<f64>> = HashMap::new();
        for i in 0..if round == 0 { WARM_UP } else { ONE } {
            for turn in 0..ways.len() {
                let at = (i + turn) % ways.len();
                let first = clients[at].ask(&question).await?.first;
                let all = times.entry(ways[at].name).or_default();
                all.push(milliseconds(first));
            }
        }
        if round > 0 {
            book(&mut added, times);
        }
    }
    Ok(added)
}

/// A round of one way with many connections.
async fn crowd(address: SocketAddr) -> Result<Vec<f64>> {
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..MANY {
        clients.spawn(async move {
            let question = question("hi", 4, true);
            let mut client = Client::connect(address).await?;
            let mut times = Vec::new();
            tokio::time::sleep(PAUSE * number as u32 / MANY as u32).await;
            for i in 0..=EACH {
                let first = client.ask(&question).await?.first;
                // The first one opens the connections to the runtime.
                if i > 0 {
                    times.push(milliseconds(first));
                }
                tokio::time::sleep(PAUSE).await;
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = clients.join_next().await {
        all.extend(times??);
    }
    Ok(all)
}

async fn with_many(ways: &[Way]) -> Result<Added> {
    let mut added = Added::new();
    for round in 0..ROUNDS {
        let mut times = HashMap::new();
        for turn in 0..ways.len() {
            let way = &ways[(round + turn) % ways.len()];
            times.insert(way.name, crowd(way.address).await?);
        }
        book(&mut added, times);
    }
    Ok(added)
}

fn tell(report: &mut Report, connections: usize, added: &Added) {
    for (index, share, goal) in [(0, "p50", 0.1), (1, "p99", 1.0)] {
        let of = |name| {
            let rounds: Option<&Vec<[f64; 2]>> = added.get(name);
            rounds.map(|rounds| {
                let values: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
                median(&values)
            })
        };
        let (Some(direct), Some(ours)) = (of(DIRECT), of(OURS)) else {
            continue;
        };
        let peers: Vec<String> = [NGINX, HAPROXY]
            .into_iter()
            .filter_map(|name| Some(format!("{name} +{:.3}", of(name)?)))
            .collect();
        let nginx = of(NGINX);
        let ratio = nginx.map(|nginx| ours / nginx);
        if nginx.is_some_and(|nginx| nginx > goal) {
            report.note(format!(
                "first byte, {connections} connections, {share}: nginx itself adds more than {goal} ms in this run, \
                 so the machine was too busy for milliseconds; read the ratio"
            ));
        }
        report.add(Row {
            what: format!("proxy, first byte added, {connections} connections, {share}"),
            goal: format!("≤ {goal} ms, ≤ 3× nginx"),
            floor: floor(direct, of(BARE)),
            peer: peers.join(", "),
            ours: format!("+{ours:.3} ms"),
            ratio: ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}× nginx")),
            // A peer that adds nothing, or less, is noise: then the goal in milliseconds decides alone.
            reached: ours <= goal && nginx.is_none_or(|nginx| nginx <= 0.0 || ours <= 3.0 * nginx),
        });
    }
}

/// The floor: directly, and through hyper alone.
fn floor(direct: f64, bare: Option<f64>) -> String {
    let bare = bare.map_or_else(String::new, |bare| format!(", {BARE} +{bare:.3}"));
    format!("direct {direct:.3} ms{bare}")
}

/// Measures the proxy with one and with many connections.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let runtime = ["--tokens-per-second", "0", "--ttft-ms", "0"];
    let node = Node::start(bin, &runtime, &[], false)?;
    wait_for_runtime(node.place.proxy).await?;
    let ways = ways(&node, report)?;
    let before = load_average();
    tell(report, 1, &with_one(&ways).await?);
    tell(report, MANY, &with_many(&ways).await?);
    report.note(format!(
        "first byte: load average {before} before and {} after; agent resident after it: {:.1} MiB",
        load_average(),
        node.agent.resident_mib()
    ));
    Ok(())
}
