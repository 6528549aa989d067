//! The overview's figures and the live socket, from what agents sent.

use super::{Network, Sent, busy, on_both, time, ttft};
use crate::live::{Page, all_topics};
use crate::server::Who;
use dgon_control_plane::accounts::Role;
use dgon_protocol::frame::ToControlPlane;
use dgon_protocol::receipt::Status;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// A quarter of an hour, ms.
const QUARTER_MS: i64 = 900_000;

fn of_region<'n>(network: &'n Network, region: &str) -> Vec<&'n Sent> {
    let of = network.sent.iter();
    of.filter(|sent| sent.draft.region.as_deref() == Some(region))
        .collect()
}

/// Both percentiles of each quarter of an hour from `start_ms` on, as two courses.
fn courses(network: &Network, start_ms: i64) -> (Vec<Value>, Vec<Value>) {
    let quarters = 0..96;
    quarters
        .map(|quarter| {
            let begin = start_ms + quarter * QUARTER_MS;
            let of = network.sent.iter();
            let of: Vec<&Sent> = of
                .filter(|sent| (begin..begin + QUARTER_MS).contains(&sent.received_ms))
                .collect();
            ttft(&of)
        })
        .unzip()
}

#[tokio::test]
async fn the_summary_and_its_course_add_up_what_agents_sent() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        network.clock.advance(1_000);
        let summary = network.console.read(&Who(None), "/summary").await;
        let every: Vec<&Sent> = network.sent.iter().collect();
        let input: u64 = every.iter().map(|sent| sent.draft.tokens_input).sum();
        let output: u64 = every.iter().map(|sent| sent.draft.tokens_output).sum();
        let failed = every
            .iter()
            .filter(|sent| sent.draft.status == Status::Error)
            .count();
        assert_eq!(summary["as_of"], time(network.clock.now_ms()));
        assert_eq!(summary["active_nodes"], 2);
        assert_eq!(summary["requests_24h"], every.len());
        assert_eq!(
            summary["tokens_24h"],
            json!({ "input": input, "output": output, "not_counted": 1 })
        );
        assert_eq!(
            summary["error_rate"],
            json!(failed as f64 / every.len() as f64)
        );
        assert_eq!(summary["p95_global"], ttft(&every).1);
        // The busiest first.
        let regions: Vec<Value> = ["eu-west", "us-east"]
            .map(|region| {
                let of = of_region(&network, region);
                json!({ "region": region, "p95_ms": ttft(&of).1, "requests": of.len() })
            })
            .into();
        assert_eq!(summary["p95_by_region"], json!(regions));

        let trends = network.console.read(&Who(None), "/summary/trends").await;
        let sum = |name: &str| {
            let series = trends["series"][name].as_array().expect("a series");
            assert_eq!(series.len(), 96, "{name}");
            series.iter().filter_map(Value::as_u64).sum::<u64>()
        };
        assert_eq!(sum("requests"), every.len() as u64);
        assert_eq!(sum("tokens"), input + output);
        assert_eq!(sum("errors"), failed as u64);
        // The two halves may lie in two quarters of an hour.
        let start = trends["start"].as_str().expect("a time");
        let start: jiff::Timestamp = start.parse().expect("a time");
        let (p50, p95) = courses(&network, start.as_millisecond());
        assert!(p50.iter().any(|value| value.is_u64()) && p50 != p95);
        assert_eq!(trends["series"]["p50_ms"], json!(p50));
        assert_eq!(trends["series"]["p95_ms"], json!(p95));
    })
    .await;
}

#[tokio::test]
async fn whoever_has_no_account_sees_the_network_unless_an_admin_shuts_it() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let own = network.sent[0].draft.request_id.clone();
        let (nobody, console) = (Who(None), &network.console);
        let admin = console.sign_in(Role::Admin).await;
        let flag = "/flags/allow_anonymous_overview";
        for (enabled, status) in [
            (None, StatusCode::OK),
            (Some(false), StatusCode::UNAUTHORIZED),
            (Some(true), StatusCode::OK),
        ] {
            if let Some(enabled) = enabled {
                console
                    .put(&admin, flag, &json!({ "enabled": enabled }))
                    .await;
            }
            for path in ["/summary", "/summary/trends", "/regions", "/nodes"] {
                let answer = console.get(&nobody, path).await;
                assert_eq!(answer.status, status, "{path} {enabled:?}");
                assert_eq!(console.get(&admin, path).await.status, StatusCode::OK);
            }
            // Work is nobody's to see either way.
            for path in ["/receipts".to_owned(), format!("/receipts/{own}")] {
                let shut = console.get(&nobody, &path).await;
                assert_eq!(shut.status, StatusCode::UNAUTHORIZED, "{path}");
            }
        }
        // A stranger sees what an agent told of its node, and not what it did for whom.
        let node = console.read(&nobody, "/nodes/rig-own").await;
        assert_eq!(node["region"], "eu-west");
        assert_eq!(node["models"], json!([dgon_testkit::fleet::MODEL]));
        assert_eq!(node["receipts"], json!([]));
    })
    .await;
}

#[tokio::test]
async fn the_live_socket_tells_what_agents_do() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let admin = network.console.sign_in(Role::Admin).await;
        let mut page = Page::enter(&network.console, &admin).await;
        page.subscribe(all_topics()).await;
        network
            .send(0, |draft| draft.model_id = "fresh".to_owned())
            .await;
        let row = page.next_of("receipt").await;
        assert_eq!(row["model_id"], "fresh");
        assert_eq!(row["request_id"], network.sent[0].draft.request_id.as_str());
        network
            .say(0, ToControlPlane::Heartbeat(super::beat()))
            .await;
        let beat = page.next_of("heartbeat").await;
        assert_eq!(
            (&beat["node_id"], &beat["in_flight"]),
            (&json!("rig-own"), &json!(3))
        );
        assert_eq!(beat["gpus"][0]["temp_c"], 71.0);
        network
            .say(0, ToControlPlane::Inventory(super::machine()))
            .await;
        loop {
            let row = page.next_of("node").await;
            if row["gpus"] == json!(["NVIDIA GeForce RTX 4090"]) {
                break;
            }
        }
    })
    .await;
}
