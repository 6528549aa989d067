//! The metrics endpoint, scraped by a real HTTP client and read by the rules of the format.

use crate::node::Node;
use dgon_testkit::programs::http_client;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

/// A scraped page: kinds of the families, and samples by their full name with labels.
#[derive(Debug)]
struct Scraped {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scraped {
    /// Reads a page; panics where it breaks the format.
    fn read(page: &str) -> Self {
        let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
        let mut helped = BTreeSet::new();
        assert!(page.ends_with('\n'));
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(
                    helped.insert(rest.split(' ').next().unwrap().to_owned()),
                    "{line}"
                );
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name), "{line}");
                assert!(
                    kinds.insert(name.to_owned(), kind.to_owned()).is_none(),
                    "{line}"
                );
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .filter_map(|suffix| bare.strip_suffix(suffix))
                    .find(|family| kinds.get(*family).is_some_and(|kind| kind == "histogram"))
                    .unwrap_or(bare);
                let kind = kinds.get(family);
                assert!(kind.is_some(), "no TYPE before {line}");
                let is_total = bare.ends_with("_total");
                assert_eq!(kind.unwrap() == "counter", is_total, "{line}");
                assert!(bare.starts_with("dgon_agent_"), "{line}");
                let value: f64 = value.parse().unwrap();
                assert!(
                    samples.insert(name.to_owned(), value).is_none(),
                    "{line} twice"
                );
            }
        }
        Self { kinds, samples }
    }

    fn get(&self, name: &str) -> f64 {
        *self
            .samples
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {self:#?}"))
    }
}

async fn scrape(url: &str) -> Scraped {
    let response = http_client().unwrap().get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    Scraped::read(&response.text().await.unwrap())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn prometheus_reads_what_the_agent_does() {
    let url = format!("http://127.0.0.1:{}/metrics", free_port());
    let listen = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let mut node = Node::serving(&format!("telemetry:\n  metrics_listen: {listen}\n")).await;
    let proxy = node.until(|_| true).await.proxy;
    let empty = scrape(&url).await;
    assert_eq!(empty.get("dgon_agent_serving"), 1.0);
    assert_eq!(
        empty.get("dgon_agent_requests_total{source=\"local\",status=\"ok\"}"),
        0.0
    );
    for _ in 0..4 {
        assert_eq!(node.chat(&proxy).await, 200);
    }
    node.run(&["pause"]);
    let now = scrape(&url).await;
    for (name, value) in [
        ("dgon_agent_serving", 0.0),
        ("dgon_agent_paused{reason=\"owner\"}", 1.0),
        ("dgon_agent_paused{reason=\"gpu_hot\"}", 0.0),
        (
            "dgon_agent_requests_total{source=\"local\",status=\"ok\"}",
            4.0,
        ),
        (
            "dgon_agent_requests_total{source=\"probe\",status=\"ok\"}",
            0.0,
        ),
        ("dgon_agent_requests_in_flight{source=\"local\"}", 0.0),
        ("dgon_agent_request_duration_seconds_count", 4.0),
        (
            "dgon_agent_request_duration_seconds_bucket{le=\"+Inf\"}",
            4.0,
        ),
        ("dgon_agent_spool_receipts", 4.0),
        ("dgon_agent_spool_last_seq", 4.0),
        ("dgon_agent_spool_writable", 1.0),
        ("dgon_agent_link_connected", 0.0),
    ] {
        assert_eq!(now.get(name), value, "{name}");
    }
    let tokens = now.get("dgon_agent_tokens_total{source=\"local\",direction=\"output\"}");
    assert!(tokens >= 4.0, "{tokens}");
    let ready = now
        .samples
        .iter()
        .find(|(name, _)| name.starts_with("dgon_agent_runtime_ready{"));
    let (name, value) = ready.unwrap();
    assert!(
        name.contains("runtime=\"ollama\"") && *value == 1.0,
        "{name}"
    );
    assert_eq!(
        now.kinds["dgon_agent_time_to_first_token_seconds"],
        "histogram"
    );
    let mut least = 0.0;
    for (name, value) in &now.samples {
        // In the order of their text, which is the order of the bounds up to 10 seconds.
        if name.starts_with("dgon_agent_request_duration_seconds_bucket{le=\"0.") {
            assert!(*value >= least, "{name}");
            least = *value;
        }
    }
    // Work adds no time series, and nothing names a model or a client.
    let names = |page: &Scraped| page.samples.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&empty), names(&now));
    assert!(!names(&now).iter().any(|name| name.contains("sim-chat")));
}

#[tokio::test]
async fn only_the_page_is_served_and_only_under_a_local_name() {
    let address = format!("127.0.0.1:{}", free_port());
    let mut node = Node::new(&format!("telemetry:\n  metrics_listen: {address}\n"));
    node.start();
    node.until(|_| true).await;
    let client = http_client().unwrap();
    let url = format!("http://{address}");
    let get = |path: &str| client.get(format!("{url}{path}"));
    assert_eq!(get("/").send().await.unwrap().status(), 404);
    assert_eq!(get("/metrics").send().await.unwrap().status(), 200);
    let posted = client.post(format!("{url}/metrics")).send().await.unwrap();
    assert_eq!(posted.status(), 405);
    let rebound = get("/metrics")
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), 403);
}

#[tokio::test]
async fn a_taken_address_costs_the_metrics_and_nothing_else() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut node = Node::serving(&format!("telemetry:\n  metrics_listen: {address}\n")).await;
    let proxy = node.until(|_| true).await.proxy;
    assert_eq!(node.chat(&proxy).await, 200);
    let log = std::fs::read_to_string(node.log()).unwrap();
    assert!(
        log.contains("telemetry.metrics_listen cannot be listened on"),
        "{log}"
    );
}
