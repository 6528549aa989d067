//! What an idle agent's session costs the control plane in memory, beside what it knows of the node anyway.
//!
//! Every node connects once for a moment, one after the other, so that all of them are known. Then the first half comes
//! and stays, and then the second: what the second half adds is sessions and nothing else, for what the allocator had
//! left from before was used up by the first. What the server takes in the same time while nobody comes (it writes
//! heartbeats, and probes what did not answer) is measured after that and told beside it. The agents are simulated, in this process; they send heartbeats and let
//! probes go unanswered.

use crate::process::memory;
use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::{Result, ensure};
use dgon_protocol::frame::{Heartbeat, ToControlPlane};
use dgon_testkit::fleet::{Enrol, Event, SimAgent, SimLink};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;

const NODES: usize = 2_000;
/// Enrolments, and handshakes, at once.
const AT_ONCE: usize = 16;
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Time to come to rest: some heartbeats.
const SETTLE: Duration = Duration::from_secs(25);
/// The goal, KiB.
const MOST_KIB: f64 = 8.0;

/// Makes the nodes.
async fn enrol(place: &Place) -> Result<Vec<SimAgent>> {
    let http = reqwest::Client::new();
    let tokens = place.tokens(u32::try_from(NODES)?)?;
    let api = format!("http://{}", place.api);
    let each = NODES.div_ceil(tokens.len());
    let enrolling = (0..NODES).map(|number| {
        let token = &tokens[number / each];
        SimAgent::enrol(&http, &api, token, Enrol::default())
    });
    let agents = futures_util::stream::iter(enrolling).buffer_unordered(AT_ONCE);
    Ok(agents.try_collect().await?)
}

fn heartbeat() -> ToControlPlane {
    ToControlPlane::Heartbeat(Heartbeat {
        uptime_s: 60,
        cpu_pct: Some(12.5),
        ..Heartbeat::default()
    })
}

/// Stays until the link ends.
async fn stay(mut link: SimLink) {
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            event = link.receive(Duration::from_secs(3_600)) => match event {
                Ok(Event::Closed) | Err(_) => return,
                Ok(_) => {}
            },
            _ = beat.tick() => {
                if link.send(&heartbeat()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Lets these nodes come and stay.
async fn come(agents: &[SimAgent], staying: &mut JoinSet<()>) -> Result<()> {
    let links = futures_util::stream::iter(agents.iter().map(SimAgent::connect));
    let links: Vec<SimLink> = links.buffer_unordered(AT_ONCE).try_collect().await?;
    for link in links {
        staying.spawn(stay(link));
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

/// Measures it.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let place = Place::new(bin)?;
    let server = place.control_plane()?;
    let agents = enrol(&place).await?;
    for agent in &agents {
        let mut link = agent.connect().await?;
        link.send(&heartbeat()).await?;
        link.close().await;
    }
    tokio::time::sleep(SETTLE).await;
    let private_kib = || memory(server.id()).private as f64;
    let (mut staying, half) = (JoinSet::new(), NODES / 2);
    let known = private_kib();
    come(&agents[..half], &mut staying).await?;
    let first = private_kib();
    come(&agents[half..], &mut staying).await?;
    let second = private_kib();
    tokio::time::sleep(SETTLE).await;
    let third = private_kib();
    let ended = staying.try_join_next().is_some();
    ensure!(!ended, "a session ended while it was measured");
    let each = (second - first) / half as f64;
    let of_first = (first - known) / half as f64;
    let of_time = ((third - second) / half as f64).max(0.0);
    report.add(Row {
        what: format!("an idle agent's session, the second {half} of {NODES}"),
        goal: format!("≤ {MOST_KIB} KiB"),
        floor: format!("time alone {of_time:.1} KiB"),
        peer: String::new(),
        ours: format!("{each:.1} KiB, the first {half} {of_first:.1}"),
        ratio: format!("{:.2}× the goal", each / MOST_KIB),
        reached: each <= MOST_KIB,
    });
    Ok(())
}
