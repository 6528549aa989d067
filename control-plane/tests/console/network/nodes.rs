//! Nodes: every filter, order, count and column, from what agents said and did.

use super::{ENROLLED_MS, Network, OWN_ORG, beat, busy, machine, on_both, time};
use crate::agents::{self, SOON, ack, answer_probe, probe, quarantined, status};
use crate::server::Who;
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::ANONYMOUS_OVERVIEW;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_protocol::frame::{
    Heartbeat, LifecycleStatus, Need, ProbeOutcome, ToAgent, ToControlPlane,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// One node per status: `a-active`, `b-offline`, `c-pending`, `d-quarantine`.
async fn of_every_status(network: &mut Network) {
    let offline = network.join("b-offline", "us-east", Some("others")).await;
    network.activate(offline).await;
    // Longer than a node may be silent; those that come after are heard anew.
    network.clock.advance(105_000);
    let link = &mut network.agents[offline].1;
    assert_eq!(status(link, LifecycleStatus::Offline).await, "no_heartbeat");
    let active = network.join("a-active", "eu-west", Some(OWN_ORG)).await;
    network.activate(active).await;
    network.join("c-pending", "eu-west", Some(OWN_ORG)).await;
    let failing = network.join("d-quarantine", "ap-south", None).await;
    let link = &mut network.agents[failing].1;
    let asked = probe(link).await;
    answer_probe(link, &asked, ProbeOutcome::Failed).await;
    assert_eq!(
        status(link, LifecycleStatus::Quarantine).await,
        "probe_failed"
    );
}

async fn assert_nodes(network: &Network, who: &Who, query: &str, wanted: &[&str]) {
    let path = format!("/nodes?{query}");
    let page = network.console.read(who, &path).await;
    let items = page["items"].as_array().expect("items");
    let found: Vec<&str> = items
        .iter()
        .map(|row| row["node_id"].as_str().expect("an id"))
        .collect();
    assert_eq!(found, wanted, "{query}");
    assert_eq!(page["total"], wanted.len(), "{query}");
    assert_eq!(page["next_cursor"], Value::Null, "{query}");
    // The same one by one, so that each order's cursor is proven.
    let mut cursor = String::new();
    for (at, id) in wanted.iter().enumerate() {
        let path = format!("/nodes?limit=1&{query}&cursor={cursor}");
        let page = network.console.read(who, &path).await;
        let items = page["items"].as_array().expect("items");
        assert_eq!(items.len(), 1, "{query} from {at}");
        assert_eq!(items[0]["node_id"], *id, "{query} from {at}");
        assert_eq!(page["total"], wanted.len(), "{query} from {at}");
        let next = page["next_cursor"].as_str();
        assert_eq!(next.is_some(), at + 1 < wanted.len(), "{query} from {at}");
        next.unwrap_or_default().clone_into(&mut cursor);
    }
}

#[tokio::test]
async fn filters_orders_and_counts_follow_what_nodes_do() {
    on_both(|mut network| async move {
        of_every_status(&mut network).await;
        let admin = network.console.sign_in(Role::Admin).await;
        let operator = network.console.sign_in(Role::Operator).await;
        let all = ["a-active", "b-offline", "c-pending", "d-quarantine"];
        for (query, wanted) in [
            ("", &all[..]),
            ("status=active", &all[..1]),
            ("status=offline", &all[1..2]),
            ("status=pending", &all[2..3]),
            ("status=quarantine", &all[3..]),
            ("status=active,offline", &all[..2]),
            ("region=us-east", &all[1..2]),
            ("q=PEND", &all[2..3]),
            ("owner=self", &["a-active", "c-pending"][..]),
            (
                "sort=-id",
                &["d-quarantine", "c-pending", "b-offline", "a-active"][..],
            ),
            (
                "sort=status",
                &["d-quarantine", "b-offline", "c-pending", "a-active"][..],
            ),
            (
                "sort=region",
                &["d-quarantine", "a-active", "c-pending", "b-offline"][..],
            ),
        ] {
            assert_nodes(&network, &admin, query, wanted).await;
        }
        // Others' nodes are among those that an operator finds, by whatever a row of them shows.
        for (query, wanted) in [
            ("", &all[..]),
            (
                "status=offline,quarantine",
                &["b-offline", "d-quarantine"][..],
            ),
            ("sort=-id&owner=self", &["c-pending", "a-active"][..]),
            (
                "sort=status",
                &["d-quarantine", "b-offline", "c-pending", "a-active"][..],
            ),
            ("assignee=nobody", &["a-active", "c-pending"][..]),
        ] {
            assert_nodes(&network, &operator, query, wanted).await;
        }
        network.clock.advance(1_000);
        let summary = network.console.read(&Who(None), "/summary").await;
        assert_eq!(summary["active_nodes"], 1);
        assert_eq!(
            summary["nodes"],
            json!({ "active": 1, "offline": 1, "pending": 1, "quarantine": 1 })
        );
    })
    .await;
}

#[tokio::test]
async fn orders_by_latency_and_heartbeat_follow_receipts_and_beats() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let admin = network.console.sign_in(Role::Admin).await;
        let requests = |page: &Value, at: usize| page["items"][at]["requests_24h"].as_u64();
        let counted = |page: &Value| requests(page, 0) == Some(5) && requests(page, 1) == Some(9);
        let page = network.until(&admin, "/nodes?sort=id", counted).await;
        let p95 = |at: usize| page["items"][at]["p95_ms"].as_i64().expect("measured");
        assert_ne!(p95(0), p95(1));
        let slower_last = if p95(0) < p95(1) {
            ["rig-foreign", "rig-own"]
        } else {
            ["rig-own", "rig-foreign"]
        };
        assert_nodes(&network, &admin, "sort=p95", &slower_last).await;
        let slower_first = [slower_last[1], slower_last[0]];
        assert_nodes(&network, &admin, "sort=-p95", &slower_first).await;
        // The foreign one was heard last.
        network.say(0, ToControlPlane::Heartbeat(beat())).await;
        network
            .until(&admin, "/nodes/rig-own", |node| {
                node["heartbeat"]["uptime_s"] == 77
            })
            .await;
        network.clock.advance(1_000);
        network.say(1, ToControlPlane::Heartbeat(beat())).await;
        let first = |page: &Value| page["items"][0]["node_id"] == "rig-foreign";
        network
            .until(&admin, "/nodes?sort=-last_heartbeat", first)
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_node_shows_what_its_agent_told() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let admin = network.console.sign_in(Role::Admin).await;
        network.say(0, ToControlPlane::Inventory(machine())).await;
        network.say(0, ToControlPlane::Heartbeat(beat())).await;
        let told = |node: &Value| {
            node["gpus"] == json!(["NVIDIA GeForce RTX 4090"])
                && node["heartbeat"]["uptime_s"] == 77
        };
        let node = network.until(&admin, "/nodes/rig-own", told).await;
        for (place, wanted) in [
            ("/region", json!("eu-west")),
            ("/status", json!("active")),
            ("/status_reason", json!("probe_passed")),
            ("/connected", json!(true)),
            ("/late", json!(false)),
            ("/withheld", json!(false)),
            ("/models", json!(["llama3.1:8b", "phi4"])),
            ("/gpus_not_read", Value::Null),
            ("/os", json!("linux")),
            ("/arch", json!("x86_64")),
            ("/host/os_version", json!("Debian GNU/Linux 12")),
            ("/host/cpu", json!("Ryzen 9")),
            ("/host/cores", json!(24)),
            ("/host/memory_mib", json!(65_536)),
            ("/gpu_details/0/uuid", json!("GPU-1")),
            ("/gpu_details/0/vram_mib", json!(24_564)),
            ("/gpu_details/0/driver", json!("550.54")),
            ("/gpu_details/0/cuda", json!("12.4")),
            ("/gpu_details/0/backend", json!("nvml")),
            ("/gpu_details/0/load/util_pct", json!(63.0)),
            ("/gpu_details/0/load/vram_used_mib", json!(9_000)),
            ("/gpu_details/0/load/temp_c", json!(71.0)),
            ("/gpu_details/0/load/power_w", json!(310.0)),
            ("/heartbeat/cpu_pct", json!(12.5)),
            ("/heartbeat/in_flight", json!(3)),
            ("/heartbeat/queue", json!(2)),
            ("/heartbeat/spool_depth", json!(5)),
            ("/heartbeat/paused", json!(false)),
            ("/chain/head_seq", json!(9)),
            ("/chain/gaps", json!([])),
            ("/chain/forks", json!(0)),
            ("/last_probe/outcome", json!("ok")),
            ("/last_probe/ttft_ms", json!(5)),
            ("/history/0/to", json!("active")),
            (
                "/public_key",
                json!(network.agents[0].0.key.public().to_string()),
            ),
        ] {
            assert_eq!(node.pointer(place), Some(&wanted), "{place} of {node:#}");
        }
        assert!(
            node["agent_version"]
                .as_str()
                .expect("a version")
                .starts_with("sim-")
        );
        // Who is shown less is told so, and does not take what is missing for what is not.
        let viewer = network.console.sign_in(Role::Viewer).await;
        let less = network.console.read(&viewer, "/nodes/rig-own").await;
        assert_eq!(less["withheld"], true);
        assert_eq!(less["receipts"], json!([]));
        let mut kinds: Vec<&str> = Vec::new();
        for runtime in node["runtimes"].as_array().expect("runtimes") {
            kinds.push(runtime["kind"].as_str().expect("a kind"));
            assert_eq!(
                (&runtime["version"], &runtime["ready"]),
                (&json!("1.2.3"), &json!(true))
            );
        }
        kinds.sort_unstable();
        assert_eq!(kinds, ["ollama", "vllm"]);
        let detail = node["models_detail"].as_array().expect("models");
        assert!(
            detail
                .iter()
                .any(|model| model["id"] == "phi4" && model["size_bytes"] == 4_000_000_000u64)
        );
        let own = network
            .sent
            .iter()
            .filter(|sent| sent.draft.node_id.as_str() == "rig-own");
        let ids: Vec<&str> = own.map(|sent| sent.draft.request_id.as_str()).collect();
        let shown = node["receipts"].as_array().expect("receipts");
        let shown: Vec<&str> = shown
            .iter()
            .map(|row| row["request_id"].as_str().expect("id"))
            .collect();
        assert_eq!(shown, ids);
        // It enrolled, and a while later its probe passed.
        let probed = network.sent.last().expect("the first probe").received_ms;
        assert_eq!(node["enrolled_at"], time(probed - ENROLLED_MS));
        assert_eq!(node["status_since"], time(probed));
        assert_eq!(node["history"][0]["at"], time(probed));
        let list = network.console.read(&admin, "/nodes?q=rig-own").await;
        assert_eq!(list["items"][0]["status_since"], time(probed));
    })
    .await;
}

#[tokio::test]
async fn what_an_agent_left_out_and_what_it_told_twice_is_on_its_page() {
    on_both(|mut network| async move {
        let at = network.join("rig-own", "eu-west", Some(OWN_ORG)).await;
        network.activate(at).await;
        let admin = network.console.sign_in(Role::Admin).await;
        let (agent, link) = &mut network.agents[at];
        for _ in 0..2 {
            agent.next_receipt().expect("a receipt that is lost");
        }
        let mut twin = agent.draft().expect("draft");
        let kept = agent.next_receipt().expect("receipt");
        link.send_receipts([&kept]).await.expect("send");
        let asked = link.until(SOON, |frame| match frame {
            ToAgent::Need(need) => Some(need.clone()),
            _ => None,
        });
        assert_eq!(asked.await.expect("asked"), Need { from: 2, to: 3 });
        network.clock.advance(60);
        assert_eq!(ack(link, kept.seq).await.acked_seq, 4);
        let node = network.console.read(&admin, "/nodes/rig-own").await;
        assert_eq!(
            node["chain"],
            json!({ "head_seq": 4, "gaps": [{ "from": 2, "to": 3 }], "forks": 0 })
        );
        twin.tokens_output += 1;
        let twin = agent.sign(&twin);
        link.send_receipts([&twin]).await.expect("send");
        assert_eq!(quarantined(link).await.1, "forked_chain");
        let node = network.console.read(&admin, "/nodes/rig-own").await;
        assert_eq!(
            node["chain"],
            json!({ "head_seq": 4, "gaps": [{ "from": 2, "to": 3 }], "forks": 1 })
        );
        assert_eq!(node["status_reason"], "forked_chain");
        assert_eq!(node["status_since"], time(network.clock.now_ms()));
    })
    .await;
}

#[tokio::test]
async fn silence_shows_as_late_and_a_closed_link_as_not_connected() {
    on_both(|mut network| async move {
        let at = network.join("rig-own", "eu-west", Some(OWN_ORG)).await;
        network.activate(at).await;
        let admin = network.console.sign_in(Role::Admin).await;
        network
            .say(at, ToControlPlane::Heartbeat(Heartbeat::default()))
            .await;
        network
            .until(&admin, "/nodes/rig-own", |node| node["late"] == false)
            .await;
        network.clock.advance(40_000);
        network
            .until(&admin, "/nodes/rig-own", |node| node["late"] == true)
            .await;
        let (_, link) = network.agents.remove(at);
        link.close().await;
        network
            .until(&admin, "/nodes/rig-own", |node| node["connected"] == false)
            .await;
    })
    .await;
}

#[tokio::test]
async fn an_operator_sees_of_others_what_strangers_see_also_while_they_see_nothing() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let operator = network.console.sign_in(Role::Operator).await;
        let viewer = network.console.sign_in(Role::Viewer).await;
        let stranger = Who(None);
        for at in 0..2 {
            network.say(at, ToControlPlane::Inventory(machine())).await;
            network.say(at, ToControlPlane::Heartbeat(beat())).await;
        }
        // Its day is written a moment after its receipts.
        let told = |node: &Value| {
            node["gpu_details"][0]["load"]["temp_c"] == 71.0
                && node["heartbeat"]["uptime_s"] == 77
                && [5, 9].map(Value::from).contains(&node["requests_24h"])
        };
        let detail = network.until(&operator, "/nodes/rig-foreign", told).await;
        for (place, wanted) in [
            ("/withheld", json!(true)),
            ("/agent_version", Value::Null),
            ("/host/cpu", Value::Null),
            ("/gpu_details/0/uuid", Value::Null),
            ("/org_id", Value::Null),
            ("/assignees", json!([])),
            ("/receipts", json!([])),
            ("/last_probe", Value::Null),
            ("/history/0/actor", json!("")),
            ("/models", json!(["llama3.1:8b", "phi4"])),
        ] {
            assert_eq!(
                detail.pointer(place),
                Some(&wanted),
                "{place} of {detail:#}"
            );
        }
        let own = network.until(&operator, "/nodes/rig-own", told).await;
        assert_eq!(
            (&own["withheld"], &own["host"]["cpu"]),
            (&json!(false), &json!("Ryzen 9"))
        );
        let paths = [
            "/nodes/rig-foreign",
            "/nodes?q=foreign",
            "/nodes/rig-foreign/keys",
        ];
        let console = &network.console;
        let mut open = Vec::new();
        for path in paths {
            let seen = console.read(&stranger, path).await;
            assert_eq!(console.read(&operator, path).await, seen, "{path}");
            open.push(seen);
        }
        let store = &network.server.app.store;
        let audit = AuditEntry::default();
        let shut = store.flag_set(&agents::ALL, ANONYMOUS_OVERVIEW, false, &audit);
        shut.await.expect("flag");
        for (path, open) in paths.iter().zip(&open) {
            let refused = console.get(&stranger, path).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
            for who in [&operator, &viewer] {
                assert_eq!(console.read(who, path).await, *open, "{path}");
            }
        }
    })
    .await;
}
