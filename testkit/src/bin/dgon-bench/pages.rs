//! How soon the control plane answers what the console asks, with 10,000 nodes and 5 million receipts: each page with its
//! usual filters, as an admin, who sees all, and as an operator, who sees the half that is his organisation's.
//!
//! A page is asked one after the other on one connection, and its time is that of the answer as the client sees it.

use crate::people;
use crate::programs::{Place, Program};
use crate::report::{Report, Row, quantile};
use crate::volumes::{Kind, NODES, SERVED_FOR, Volumes, many};
use anyhow::{Context as _, Result, ensure};
use dgon_testkit::seed::Seed;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Times that a page is asked, where it is not too slow for that.
const ASKED: usize = 200;
const ASKED_AT_LEAST: usize = 5;
const ASKED_FOR: Duration = Duration::from_secs(3);
/// Answers before those that count.
const WARM_UP: usize = 10;
/// Figures of the network are computed once a second for all: they are asked so far apart that each is anew.
const ANEW: Duration = Duration::from_millis(1_050);
/// The goals, ms.
const P50_MS: f64 = 5.0;
const P99_MS: f64 = 25.0;

/// What is asked. Names in braces are filled in by [`Known`].
const PAGES: [&str; 38] = [
    "/summary",
    "/summary/trends",
    "/regions",
    "/nodes",
    "/nodes?status=active",
    "/nodes?status=offline",
    "/nodes?region=us-east",
    "/nodes?region=us-east&status=active&sort=-p95",
    "/nodes?runtime=vllm",
    "/nodes?model=phi4",
    "/nodes?q=0123",
    "/nodes?sort=-p95",
    "/nodes?sort=status",
    "/nodes?sort=-last_heartbeat",
    "/nodes?owner=self",
    "/nodes/{node}",
    "/receipts",
    "/receipts?limit=200",
    "/receipts?region=us-east",
    "/receipts?region=eu-west",
    "/receipts?node_id={node}",
    "/receipts?model_id=phi4",
    "/receipts?status=error",
    "/receipts?source=gateway&cache_hit=true",
    "/receipts?hedged=true",
    "/receipts?from={from}&to={to}",
    "/receipts?from={from}&to={to}&model_id=phi4",
    "/receipts?q={node}",
    "/receipts?q=phi4",
    "/receipts?q={request}",
    "/receipts?q={prefix}",
    "/receipts?q={hash}",
    "/receipts/{request}",
    "/receipts/aggregate",
    "/receipts/aggregate?from={from}&to={to}&region=us-east",
    "/receipts/aggregate?node_id={node}",
    "/receipts/aggregate?model_id=phi4",
    "/receipts/aggregate?status=error&region=us-east",
];

/// What is in the database.
struct Known(Vec<(&'static str, String)>);

impl Known {
    async fn read(asker: &Asker) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let node = Seed::node_id(NODES / 2);
        // They are spread over the day: between two of them are some hours.
        let page = format!("/receipts?limit=200&node_id={node}");
        let receipts = asker.get(&page).await?["items"].take();
        let receipts = receipts.as_array().context("a node has receipts")?;
        let at = |share: usize| receipts.get(receipts.len() * share / 8);
        let (new, old) = (at(1).context("a receipt")?, at(4).context("a receipt")?);
        let request = text(&new["request_id"]).context("a receipt has an id")?;
        let detail = asker.get(&format!("/receipts/{request}")).await?;
        let hash = text(&detail["entry_sha256"]).context("a receipt has a hash")?;
        let received = |receipt: &Value| text(&receipt["received_at"]).context("it has a time");
        let prefix = request.get(..14).context("an id is long")?.to_owned();
        Ok(Self(vec![
            ("{node}", node),
            ("{request}", request),
            ("{prefix}", prefix),
            ("{hash}", hash),
            ("{from}", received(old)?),
            ("{to}", received(new)?),
        ]))
    }

    fn fill(&self, page: &str) -> String {
        let filled = |page: String, (name, value): &(&str, String)| page.replace(name, value);
        self.0.iter().fold(page.to_owned(), filled)
    }
}

/// A person who is signed in.
struct Asker {
    role: &'static str,
    client: reqwest::Client,
    url: String,
    cookies: String,
}

impl Asker {
    /// Makes a user with this role and signs in.
    async fn sign_in(place: &Place, role: &'static str) -> Result<Self> {
        let email = format!("{role}@example.org");
        Ok(Self {
            role,
            client: reqwest::Client::builder().no_proxy().build()?,
            cookies: people::sign_in(place, &email, role).await?,
            url: format!("http://{}/api/v1", place.api),
        })
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.header("cookie", &self.cookies).send().await?;
        let (status, bytes) = (answer.status(), answer.bytes().await?);
        ensure!(
            status.is_success(),
            "{path}: {status} {}",
            String::from_utf8_lossy(&bytes)
        );
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Times of the answers, ms, from the least.
    async fn times_ms(&self, path: &str) -> Result<Vec<f64>> {
        let is_shared = path.starts_with("/summary");
        for _ in 0..if is_shared { 1 } else { WARM_UP } {
            self.get(path).await?;
        }
        let (mut times_ms, begin) = (Vec::new(), Instant::now());
        let most = if is_shared { 4 * ASKED_FOR } else { ASKED_FOR };
        while times_ms.len() < ASKED && (begin.elapsed() < most || times_ms.len() < ASKED_AT_LEAST)
        {
            if is_shared {
                tokio::time::sleep(ANEW).await;
            }
            let asked = Instant::now();
            self.get(path).await?;
            times_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        times_ms.sort_by(f64::total_cmp);
        Ok(times_ms)
    }
}

/// Asks every page in every role on both kinds of database.
pub(crate) async fn measure(volumes: &mut Volumes, report: &mut Report) -> Result<()> {
    for kind in Kind::ALL {
        let Some(place) = volumes.copy(kind, many()?, report).await? else {
            continue;
        };
        for role in ["admin", "operator"] {
            // Started for each, so that the nodes are active all the time.
            let (_control_plane, started): (Program, _) = (place.control_plane()?, Instant::now());
            let asker = Asker::sign_in(&place, role).await?;
            let known = Known::read(&asker).await?;
            for page in PAGES {
                let times_ms = asker.times_ms(&known.fill(page)).await;
                tell(kind, &asker, page, times_ms, report);
            }
            if started.elapsed() > SERVED_FOR {
                report.note(format!(
                    "{kind}, {role}: nodes went offline before all was asked"
                ));
            }
        }
    }
    Ok(())
}

/// A page that fails is a row, too: the others are told nevertheless.
fn tell(kind: Kind, asker: &Asker, page: &str, times_ms: Result<Vec<f64>>, report: &mut Report) {
    let role = asker.role;
    let (p50, p99) = match &times_ms {
        Ok(times_ms) => (quantile(times_ms, 0.5), quantile(times_ms, 0.99)),
        Err(_) => (f64::INFINITY, f64::INFINITY),
    };
    report.add(Row {
        what: format!("page {page}, {role}, {kind}"),
        floor: String::new(),
        ours: match times_ms {
            Ok(_) => format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
            Err(fault) => format!("{fault:#}"),
        },
        peer: String::new(),
        ratio: format!("{:.2} of the goal", (p50 / P50_MS).max(p99 / P99_MS)),
        goal: format!("≤ {P50_MS:.0} / ≤ {P99_MS:.0} ms"),
        reached: p50 <= P50_MS && p99 <= P99_MS,
    });
}
