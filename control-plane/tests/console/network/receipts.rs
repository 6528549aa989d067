//! Receipts: every filter, the search, every sum and every column, from what agents sent.

use super::sums::assert_sums;
use super::{BETWEEN_MS, Network, Sent, busy, on_both, time};
use crate::agents;
use crate::server::{Answer, Who};
use dgon_control_plane::accounts::Role;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Sha256Hash, Source, Status, TokensSource};
use reqwest::StatusCode;
use serde_json::{Value, json};

type Means = Box<dyn Fn(&Sent) -> bool>;

/// Queries beside what they mean.
fn cases(network: &Network) -> Vec<(String, Means)> {
    let one = &network.sent[4];
    let (id, hash) = (one.draft.request_id.clone(), one.hash.clone());
    let (same, same_hash) = (id.clone(), id.clone());
    let second_half = network.sent[0].received_ms;
    let moment = |ms: i64| {
        let moment = time(ms);
        moment.as_str().expect("a time").to_owned()
    };
    let digits = hash.trim_start_matches("sha256:").to_owned();
    let case = |query: &str, means: Means| (query.to_owned(), means);
    vec![
        case("", Box::new(|_| true)),
        (
            format!("request_id={id}"),
            Box::new(move |sent| sent.draft.request_id == id),
        ),
        case(
            "node_id=rig-own",
            Box::new(|sent| sent.draft.node_id.as_str() == "rig-own"),
        ),
        case(
            "model_id=phi4",
            Box::new(|sent| sent.draft.model_id == "phi4"),
        ),
        case(
            "region=us-east",
            Box::new(|sent| sent.draft.region.as_deref() == Some("us-east")),
        ),
        (
            format!("from={}", moment(second_half - BETWEEN_MS + 1)),
            Box::new(move |sent| sent.received_ms >= second_half),
        ),
        (
            format!("to={}", moment(second_half)),
            Box::new(move |sent| sent.received_ms < second_half),
        ),
        case("hedged=true", Box::new(|sent| sent.draft.hedged)),
        case("hedged=false", Box::new(|sent| !sent.draft.hedged)),
        case(
            "cache_hit=true",
            Box::new(|sent| sent.draft.cache_hit == Some(true)),
        ),
        case(
            "cache_hit=false",
            Box::new(|sent| sent.draft.cache_hit == Some(false)),
        ),
        case(
            "status=ok",
            Box::new(|sent| sent.draft.status == Status::Ok),
        ),
        case(
            "status=error",
            Box::new(|sent| sent.draft.status == Status::Error),
        ),
        case(
            "status=cancelled",
            Box::new(|sent| sent.draft.status == Status::Cancelled),
        ),
        case(
            "source=local",
            Box::new(|sent| sent.draft.source == Source::Local),
        ),
        case(
            "source=gateway",
            Box::new(|sent| sent.draft.source == Source::Gateway),
        ),
        case(
            "source=probe",
            Box::new(|sent| sent.draft.source == Source::Probe),
        ),
        case(
            "source=job",
            Box::new(|sent| sent.draft.source == Source::Job),
        ),
        (format!("q={}", &same.as_str()[..20]), {
            let prefix = same.as_str()[..20].to_owned();
            Box::new(move |sent| sent.draft.request_id.as_str().starts_with(&prefix))
        }),
        case(
            "q=rig-foreign",
            Box::new(|sent| sent.draft.node_id.as_str() == "rig-foreign"),
        ),
        case("q=phi4", Box::new(|sent| sent.draft.model_id == "phi4")),
        (
            format!("q=sha256:{}", &digits[..12]),
            Box::new(move |sent| sent.draft.request_id == same_hash),
        ),
        case(
            "q=phi4&status=ok&node_id=rig-own",
            Box::new(|sent| {
                let draft = &sent.draft;
                draft.model_id == "phi4"
                    && draft.status == Status::Ok
                    && draft.node_id.as_str() == "rig-own"
            }),
        ),
    ]
}

async fn assert_list(network: &Network, who: &Who, query: &str, of: &[&Sent]) {
    let wanted: Vec<&str> = of
        .iter()
        .map(|sent| sent.draft.request_id.as_str())
        .collect();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    // Small pages, so that the cursor is proven with each filter.
    loop {
        let page = network
            .console
            .read(who, &format!("/receipts?limit=3&{query}&cursor={cursor}"))
            .await;
        let items = page["items"].as_array().expect("items");
        found.extend(
            items
                .iter()
                .map(|row| row["request_id"].as_str().expect("an id").to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(found, wanted, "{query}");
}

#[tokio::test]
async fn every_filter_and_every_sum_is_of_what_agents_sent() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let admin = network.console.sign_in(Role::Admin).await;
        for (query, means) in cases(&network) {
            let of: Vec<&Sent> = network.sent.iter().filter(|sent| means(sent)).collect();
            assert!(!of.is_empty(), "{query} would prove nothing");
            assert!(
                query.is_empty() || of.len() < network.sent.len(),
                "{query} would prove nothing"
            );
            assert_list(&network, &admin, &query, &of).await;
            assert_sums(&network, &admin, &query, &of).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_row_says_what_the_receipt_says() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let admin = network.console.sign_in(Role::Admin).await;
        let page = network.console.read(&admin, "/receipts").await;
        for (row, sent) in page["items"]
            .as_array()
            .expect("items")
            .iter()
            .zip(&network.sent)
        {
            let draft = &sent.draft;
            let seconds = |s: u64| {
                let time = jiff::Timestamp::from_second(i64::try_from(s).expect("time"));
                json!(time.expect("a time").to_string())
            };
            let received = jiff::Timestamp::from_millisecond(sent.received_ms).expect("a time");
            for (column, wanted) in [
                ("request_id", json!(draft.request_id.as_str())),
                ("node_id", json!(draft.node_id.as_str())),
                ("region", json!(draft.region)),
                ("model_id", json!(draft.model_id)),
                ("runtime", json!(draft.runtime)),
                ("source", json!(draft.source.as_str())),
                ("status", json!(draft.status.as_str())),
                ("tokens_input", json!(draft.tokens_input)),
                ("tokens_output", json!(draft.tokens_output)),
                ("tokens_cached", json!(draft.tokens_cached)),
                (
                    "tokens_source",
                    json!(draft.tokens_source.map(TokensSource::as_str)),
                ),
                ("ttft_ms", json!(draft.ttft_ms)),
                ("latency_ms", json!(draft.latency_ms)),
                ("p95_ms", json!(draft.p95_ms)),
                ("cache_hit", json!(draft.cache_hit)),
                ("hedged", json!(draft.hedged)),
                ("seq", json!(draft.seq)),
                ("version", json!("1.1")),
            ] {
                assert_eq!(row[column], wanted, "{column} of {row}");
            }
            let same = |column: &str, wanted: &Value| {
                let parse =
                    |value: &Value| value.as_str().expect("a time").parse::<jiff::Timestamp>();
                assert_eq!(
                    parse(&row[column]).expect("a time"),
                    parse(wanted).expect("a time"),
                    "{column}"
                );
            };
            same("ts_start", &seconds(draft.ts_start));
            same("ts_end", &seconds(draft.ts_end));
            same("received_at", &json!(received.to_string()));
        }
    })
    .await;
}

#[tokio::test]
async fn an_operator_sees_and_finds_their_own_alone() {
    on_both(|mut network| async move {
        busy(&mut network).await;
        let operator = network.console.sign_in(Role::Operator).await;
        let own = |sent: &&Sent| sent.draft.node_id.as_str() == "rig-own";
        let of: Vec<&Sent> = network.sent.iter().filter(own).collect();
        assert_list(&network, &operator, "", &of).await;
        let sums = network.console.read(&operator, "/receipts/aggregate").await;
        assert_eq!(sums["count"], of.len());
        let foreign = network.sent.iter().find(|sent| !own(sent)).expect("one");
        for text in [
            "rig-foreign",
            foreign.draft.request_id.as_str(),
            &foreign.hash,
        ] {
            let page = network
                .console
                .read(&operator, &format!("/receipts?q={text}"))
                .await;
            assert_eq!(page["items"], json!([]), "{text}");
        }
        let path = format!("/receipts/{}", foreign.draft.request_id);
        let hidden = network.console.get(&operator, &path).await;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    })
    .await;
}

/// The nodes that a conflict names.
fn named(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "conflict");
    let message = error["message"].as_str().expect("a sentence");
    assert!(message.contains("?node_id="), "{message}");
    error["details"]["nodes"].clone()
}

#[tokio::test]
async fn an_id_that_several_nodes_used_needs_the_node() {
    on_both(|mut network| async move {
        for (name, org) in [("rig-b", "main"), ("rig-a", "main"), ("rig-c", "others")] {
            let at = network.join(name, "us-east", Some(org)).await;
            network
                .send(at, |draft| {
                    draft.request_id = RequestId::parse("r_shared").expect("id")
                })
                .await;
        }
        let console = &network.console;
        let admin = console.sign_in(Role::Admin).await;
        let operator = console.sign_in(Role::Operator).await;
        let stranger = Who::default();
        for path in ["/receipts/r_shared", "/receipts/r_shared/raw"] {
            let all = console.get(&admin, path).await;
            assert_eq!(named(&all), json!(["rig-a", "rig-b", "rig-c"]), "{path}");
            // Of other organisations' nodes that used the id nothing is told.
            let own = console.get(&operator, path).await;
            assert_eq!(named(&own), json!(["rig-a", "rig-b"]), "{path}");
            for (who, node, status) in [
                (&operator, "rig-a", StatusCode::OK),
                (&operator, "rig-c", StatusCode::NOT_FOUND),
                (&admin, "rig-c", StatusCode::OK),
                (&admin, "nobody", StatusCode::NOT_FOUND),
                (&stranger, "rig-a", StatusCode::UNAUTHORIZED),
            ] {
                let answer = console.get(who, &format!("{path}?node_id={node}")).await;
                assert_eq!(answer.status, status, "{path} {node}");
            }
        }
        for sent in &network.sent {
            let node = sent.draft.node_id.as_str();
            let path = format!("/receipts/r_shared?node_id={node}");
            let detail = console.read(&admin, &path).await;
            assert_eq!(detail["receipt"]["node_id"], node);
            let path = format!("/receipts/r_shared/raw?node_id={node}");
            let raw = console.get(&admin, &path).await;
            assert_eq!(Sha256Hash::of(&raw.bytes).to_hex(), sent.hash, "{node}");
        }
        // Page by page, each is there once.
        let (mut nodes, mut path) = (Vec::new(), "/receipts?limit=1".to_owned());
        loop {
            let page = console.read(&admin, &path).await;
            nodes.push(page["items"][0]["node_id"].clone());
            match page["next_cursor"].as_str() {
                Some(next) => path = format!("/receipts?limit=1&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(nodes, ["rig-c", "rig-a", "rig-b"]);
        let foreign = console
            .get(&operator, "/receipts?cursor=rig-c/r_shared")
            .await;
        assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
        let store = &network.server.app.store;
        let audit = AuditEntry::default();
        let public = store
            .flag_set(&agents::ALL, "public_receipts", true, &audit)
            .await;
        public.expect("flag");
        let all = console.get(&stranger, "/receipts/r_shared").await;
        assert_eq!(named(&all), json!(["rig-a", "rig-b", "rig-c"]));
        let foreign = console
            .read(&operator, "/receipts/r_shared?node_id=rig-c")
            .await;
        assert_eq!(foreign["receipt"]["node_id"], "rig-c");
        let own = console.get(&operator, "/receipts/r_shared").await;
        assert_eq!(named(&own), json!(["rig-a", "rig-b"]));
    })
    .await;
}
