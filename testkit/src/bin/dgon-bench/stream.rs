//! CPU per streamed token with 64 paced streams at once, beside nginx, haproxy and the bare proxy; every byte is
//! checked.
//!
//! The ways take turns of about three seconds. The clients begin one after the other within one interval between
//! tokens, as independent clients do. Each answer must be, byte for byte, the answer that the runtime gives directly
//! to the same question, but for its id and its time.

use crate::client::{Client, find, question, wait_for_runtime};
use crate::peers::{BARE, DIRECT, HAPROXY, NGINX, OURS, Way, ways};
use crate::process::load_average;
use crate::programs::Node;
use crate::report::{Report, Row, median};
use anyhow::{Result, bail};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The most that a token may cost, as a multiple of what it costs nginx.
const MOST_OF_NGINX: f64 = 1.15;
const ROUNDS: usize = 5;
const STREAMS: usize = 64;
const TOKENS: u32 = 150;
const PER_SECOND: u32 = 50;
/// Ours, where the client asks for no usage, so that the proxy takes the usage event out of the stream.
const OURS_QUIET: &str = "ours, usage taken out";

/// A body without what differs between two answers: the id and the time.
fn blank(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    for (mark, is_part) in [
        (&b"\"id\":\""[..], (|byte| byte != b'"') as fn(u8) -> bool),
        (b"\"created\":", |byte: u8| byte.is_ascii_digit()),
    ]
    .into_iter()
    .cycle()
    {
        let Some(at) = find(rest, mark) else {
            out.extend_from_slice(rest);
            return out;
        };
        let (before, after) = rest.split_at(at + mark.len());
        out.extend_from_slice(before);
        let skipped = after.iter().take_while(|byte| is_part(**byte)).count();
        rest = &after[skipped..];
    }
    out
}

/// A body without its usage event.
fn without_usage(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    text.split_inclusive("\n\n")
        .filter(|event| !event.contains("\"choices\":[]"))
        .collect::<String>()
        .into_bytes()
}

/// What every stream must come to.
struct Expected {
    with_usage: Vec<Vec<u8>>,
    without: Vec<Vec<u8>>,
    /// Events with a choice, of all streams: what is counted as tokens.
    tokens: usize,
}

/// Runs all streams at once; their bodies, by stream.
async fn streams(address: SocketAddr, usage: bool) -> Result<Vec<Vec<u8>>> {
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        clients.spawn(async move {
            let question = question(&format!("stream {number}"), TOKENS, usage);
            let mut client = Client::connect(address).await?;
            let interval = Duration::from_secs(1) / PER_SECOND;
            tokio::time::sleep(interval * number as u32 / STREAMS as u32).await;
            let body = client.ask(&question).await?.body()?;
            anyhow::Ok((number, blank(&body)))
        });
    }
    let mut bodies = vec![Vec::new(); STREAMS];
    while let Some(done) = clients.join_next().await {
        let (number, body) = done??;
        bodies[number] = body;
    }
    Ok(bodies)
}

fn check(name: &str, got: &[Vec<u8>], expected: &[Vec<u8>]) -> Result<()> {
    for (number, (got, expected)) in got.iter().zip(expected).enumerate() {
        if got != expected {
            bail!(
                "stream {number} through {name} is not what the runtime sent:\n{}\nbut\n{}",
                String::from_utf8_lossy(got),
                String::from_utf8_lossy(expected)
            );
        }
    }
    Ok(())
}

/// One turn of one way; the CPU that its proxy used, µs a token.
async fn turn(node: &Node, way: &Way, usage: bool, expected: &Arc<Expected>) -> Result<f64> {
    let program = way.program.as_ref().unwrap_or(&node.agent);
    let before = program.cpu();
    let bodies = streams(way.address, usage).await?;
    let used = program.cpu().saturating_sub(before);
    let bodies_expected = if usage || way.name != OURS {
        &expected.with_usage
    } else {
        &expected.without
    };
    check(way.name, &bodies, bodies_expected)?;
    Ok(used.as_secs_f64() * 1e6 / expected.tokens as f64)
}

/// Measures the proxy.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let (rate, tokens) = (PER_SECOND.to_string(), TOKENS.to_string());
    let runtime = [
        "--tokens-per-second",
        &rate,
        "--answer-tokens",
        &tokens,
        "--ttft-ms",
        "0",
    ];
    let node = Node::start(bin, &runtime, &[], false)?;
    wait_for_runtime(node.place.proxy).await?;
    let ways = ways(&node, report)?;
    let with_usage = streams(node.runtime_address, true).await?;
    let without: Vec<_> = with_usage.iter().map(|body| without_usage(body)).collect();
    let events = |body: &Vec<u8>| String::from_utf8_lossy(body).matches("data: {").count();
    let expected = Arc::new(Expected {
        tokens: without.iter().map(events).sum(),
        with_usage,
        without,
    });
    let before = load_average();
    let turns: Vec<(&'static str, &Way, bool)> = ways
        .iter()
        .filter(|way| way.name != DIRECT)
        .flat_map(|way| {
            let quiet = (way.name == OURS).then_some((OURS_QUIET, way, false));
            std::iter::once((way.name, way, true)).chain(quiet)
        })
        .collect();
    let mut costs: HashMap<&'static str, Vec<f64>> = HashMap::new();
    for round in 0..ROUNDS {
        for at in 0..turns.len() {
            let (name, way, usage) = turns[(round + at) % turns.len()];
            let cost = turn(&node, way, usage, &expected).await?;
            costs.entry(name).or_default().push(cost);
        }
    }
    tell(report, &costs);
    report.note(format!(
        "CPU per token: {} events of {STREAMS} streams a turn, none lost or out of order; load average {before} \
         before and {} after",
        expected.tokens,
        load_average()
    ));
    Ok(())
}

fn tell(report: &mut Report, costs: &HashMap<&'static str, Vec<f64>>) {
    let peers: Vec<String> = [NGINX, HAPROXY]
        .into_iter()
        .filter_map(|name| Some(format!("{name} {:.1}", median(costs.get(name)?))))
        .collect();
    for name in [OURS, OURS_QUIET] {
        let Some(ours) = costs.get(name) else {
            continue;
        };
        // Round by round, so that a noisy round hits both sides of its own ratio.
        let ratio = costs.get(NGINX).map(|nginx| {
            let rounds = ours.iter().zip(nginx).map(|(ours, nginx)| ours / nginx);
            median(&rounds.collect::<Vec<f64>>())
        });
        let how = if name == OURS {
            ""
        } else {
            ", usage taken out"
        };
        report.add(Row {
            what: format!("proxy, CPU per streamed token, {STREAMS} streams{how}"),
            goal: format!("≤ {MOST_OF_NGINX}× nginx"),
            floor: costs
                .get(BARE)
                .map_or_else(String::new, |bare| format!("{BARE} {:.1} µs", median(bare))),
            peer: format!("{} µs", peers.join(", ")),
            ours: format!("{:.1} µs", median(ours)),
            ratio: ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}×")),
            reached: ratio.is_none_or(|ratio| ratio <= MOST_OF_NGINX),
        });
    }
}
