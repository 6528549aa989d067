//! Lists, sums and details as each kind of person sees them.

use crate::agents;
use crate::server::{NOW_MS, Server, Who, on_both};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::ANONYMOUS_OVERVIEW;
use dgon_control_plane_model::sketch::Sketch;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::{Receipt, Sha256Hash, Status, Verdict};
use dgon_testkit::seed::Seeded;
use reqwest::StatusCode;
use serde_json::{Value, json};

const NOBODY: Who = Who(None);

fn ids(page: &Value, field: &str) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|row| row[field].as_str().expect("an id").to_owned())
        .collect()
}

/// All pages of a list.
async fn all(server: &Server, who: &Who, path: &str, field: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.read(who, &format!("{path}&cursor={cursor}")).await;
        found.extend(ids(&page, field));
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return found,
        }
    }
}

#[tokio::test]
async fn each_sees_what_is_theirs_and_nothing_else_exists() {
    on_both(6, 5, |server| async move {
        let (own, foreign) = ("/nodes/node-00002", "/nodes/node-00003");
        let of = |node: &str| {
            let mine = server
                .receipts
                .iter()
                .find(|r| r.fields.node_id.as_str() == node);
            format!("/receipts/{}", mine.expect("seeded").fields.request_id)
        };
        let (own_receipt, foreign_receipt) = (of("node-00002"), of("node-00003"));
        let admin = server.sign_in(Role::Admin).await;
        let viewer = server.sign_in(Role::Viewer).await;
        let operator = server.sign_in(Role::Operator).await;
        let consumer = server.sign_in(Role::Consumer).await;
        let (ok, hidden) = (StatusCode::OK, StatusCode::NOT_FOUND);
        let (shut, denied) = (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
        let paths = [
            "/summary",
            "/summary/trends",
            "/nodes",
            "/receipts",
            "/receipts/aggregate",
        ];
        let own_paths = [own, &own_receipt, foreign, &foreign_receipt];
        for (who, lists, objects) in [
            (&NOBODY, [ok, ok, ok, shut, shut], [ok, shut, ok, shut]),
            (
                &consumer,
                [ok, ok, ok, denied, denied],
                [ok, denied, ok, denied],
            ),
            (&operator, [ok; 5], [ok, ok, ok, hidden]),
            (
                &viewer,
                [ok, ok, ok, denied, denied],
                [ok, denied, ok, denied],
            ),
            (&admin, [ok; 5], [ok; 4]),
        ] {
            for (path, status) in paths.iter().zip(lists).chain(own_paths.iter().zip(objects)) {
                assert_eq!(server.get(who, path).await.status, status, "{path} {who:?}");
            }
        }
        // Of others' nodes an operator sees what strangers see.
        let nodes = server.read(&operator, "/nodes?sort=id").await;
        let strangers = server.read(&NOBODY, "/nodes?sort=id").await;
        let rows = nodes["items"].as_array().expect("rows").iter();
        for (at, row) in rows.enumerate() {
            assert_eq!(row["withheld"], at % 2 == 1, "{row}");
            if at % 2 == 1 {
                assert_eq!(*row, strangers["items"][at]);
            }
        }
        assert_eq!(
            (&nodes["total"], &strangers["total"]),
            (&json!(6), &json!(6))
        );
        assert_eq!(
            server.read(&operator, foreign).await,
            server.read(&NOBODY, foreign).await
        );
        assert_eq!(
            server.read(&operator, "/receipts/aggregate").await["count"],
            15
        );
        assert_eq!(
            server.read(&admin, "/receipts/aggregate").await["count"],
            30
        );
        // One's own are asked for alike by everybody who has an organisation.
        for who in [&admin, &operator, &viewer, &consumer] {
            let own = server.read(who, "/nodes?owner=self&sort=id").await;
            assert_eq!(
                ids(&own, "node_id"),
                ["node-00000", "node-00002", "node-00004"],
                "{who:?}"
            );
            assert_eq!(own["total"], 3, "{who:?}");
        }
        let nobodys = server.get(&NOBODY, "/nodes?owner=self").await;
        assert_eq!(nobodys.status, shut);
        let others = server.get(&admin, "/nodes?owner=main").await;
        assert_eq!(others.status, StatusCode::BAD_REQUEST);
        let trimmed = server.read(&NOBODY, own).await;
        assert_eq!(
            (&trimmed["agent_version"], &trimmed["host"]["cpu"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(trimmed["receipts"].as_array().map(Vec::len), Some(0));

        server
            .app
            .store
            .flag_set(
                &agents::ALL,
                ANONYMOUS_OVERVIEW,
                false,
                &AuditEntry::default(),
            )
            .await
            .unwrap();
        for path in ["/summary", "/nodes", own] {
            assert_eq!(server.get(&NOBODY, path).await.status, shut, "{path}");
            assert_eq!(server.get(&consumer, path).await.status, ok, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn lists_are_whole_in_pages_and_refuse_what_they_do_not_know() {
    on_both(25, 4, |server| async move {
        let admin = server.sign_in(Role::Admin).await;
        for sort in [
            "id",
            "-id",
            "status",
            "region",
            "-p95",
            "p95",
            "-last_heartbeat",
        ] {
            let mut found = all(
                &server,
                &admin,
                &format!("/nodes?limit=4&sort={sort}"),
                "node_id",
            )
            .await;
            assert_eq!(found.len(), 25, "{sort}");
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 25, "{sort}");
        }
        let nodes = server
            .read(
                &admin,
                "/nodes?status=pending,quarantine&runtime=&limit=200",
            )
            .await;
        assert_eq!(
            (ids(&nodes, "node_id").len(), &nodes["total"]),
            (2, &Value::from(2))
        );
        let found = all(&server, &admin, "/receipts?limit=9", "request_id").await;
        let seeded: Vec<String> = server
            .receipts
            .iter()
            .map(|r| r.fields.request_id.to_string())
            .collect();
        assert_eq!(found, seeded);
        let next = server.read(&admin, "/nodes?limit=4&sort=p95").await["next_cursor"].clone();
        let stolen = format!("/nodes?sort=id&cursor={}", next.as_str().expect("a cursor"));
        for path in [
            "/nodes?sort=colour",
            "/nodes?status=up",
            "/nodes?cursor=x",
            &stolen,
            "/receipts?status=OK",
            "/receipts?from=yesterday",
            "/receipts?cursor=x",
            "/receipts?hedged=perhaps",
            "/receipts/aggregate?source=moon",
            &format!("/receipts?q=blake3:{}", "0".repeat(64)),
        ] {
            let answer = server.get(&admin, path).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(answer.json()["error"]["type"], "invalid_request", "{path}");
        }
    })
    .await;
}

fn p95(of: &[&Seeded]) -> Value {
    let whole = of.iter().filter(|r| r.fields.status == Some(Status::Ok));
    let ttft: Sketch = whole
        .filter_map(|r| u64::try_from(r.fields.ttft_ms?).ok())
        .collect();
    ttft.p95().map_or(Value::Null, Value::from)
}

#[tokio::test]
async fn sums_equal_a_direct_computation() {
    on_both(5, 40, |server| async move {
        let admin = server.sign_in(Role::Admin).await;
        let hours = |count: i64| NOW_MS - count * 3_600_000 - 1_234;
        let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
        let range = format!("?from={}&to={}", time(hours(9)), time(hours(2)));
        let in_range = move |r: &Seeded| (hours(9)..hours(2)).contains(&r.received_at_ms);
        type Means = Box<dyn Fn(&Seeded) -> bool>;
        let cases: [(String, Means); 9] = [
            (String::new(), Box::new(|_| true)),
            (range.clone(), Box::new(in_range)),
            (
                "?region=eu-west".into(),
                Box::new(|r| r.fields.region.as_deref() == Some("eu-west")),
            ),
            (
                format!("{range}&node_id=node-00003"),
                Box::new(move |r| in_range(r) && r.fields.node_id.as_str() == "node-00003"),
            ),
            (
                "?model_id=phi4&cache_hit=false".into(),
                Box::new(|r| r.fields.model_id == "phi4" && r.fields.cache_hit == Some(false)),
            ),
            ("?q=nothing".into(), Box::new(|_| false)),
            {
                let hash = Sha256Hash::of(&server.receipts[9].entry);
                let id = server.receipts[9].fields.request_id.clone();
                (
                    format!("?q={}", &hash.to_hex()[..20]),
                    Box::new(move |r| r.fields.request_id == id),
                )
            },
            (
                "?q=node-00002".into(),
                Box::new(|r| r.fields.node_id.as_str() == "node-00002"),
            ),
            {
                let id = server.receipts[7].fields.request_id.to_string();
                (
                    format!("?request_id={id}"),
                    Box::new(move |r| r.fields.request_id.as_str() == id),
                )
            },
        ];
        for (query, means) in cases {
            let of: Vec<&Seeded> = server.receipts.iter().filter(|r| means(r)).collect();
            let told = server
                .read(&admin, &format!("/receipts/aggregate{query}"))
                .await;
            let input: i64 = of.iter().map(|r| r.fields.tokens_input).sum();
            let failed = of
                .iter()
                .filter(|r| r.fields.status == Some(Status::Error))
                .count();
            assert_eq!(told["count"], of.len(), "{query}");
            assert_eq!(told["tokens_input"], input, "{query}");
            assert_eq!(told["failures"], failed, "{query}");
            assert_eq!(told["p95_ms"], p95(&of), "{query}");
            assert_eq!(told["complete"], true, "{query}");
        }
        let every: Vec<&Seeded> = server.receipts.iter().collect();
        let summary = server.read(&admin, "/summary").await;
        assert_eq!(summary["requests_24h"], every.len());
        assert_eq!(summary["p95_global"], p95(&every));
        assert_eq!(
            (&summary["active_nodes"], &summary["models_cached"]),
            (&Value::from(5), &Value::from(5))
        );
        let trends = server.read(&admin, "/summary/trends").await;
        let steps = trends["series"]["requests"].as_array().expect("steps");
        let total: i64 = steps.iter().filter_map(Value::as_i64).sum();
        assert_eq!((steps.len(), usize::try_from(total)), (96, Ok(every.len())));
    })
    .await;
}

#[tokio::test]
async fn a_receipt_verifies_from_what_is_served() {
    on_both(2, 5, |server| async move {
        let admin = server.sign_in(Role::Admin).await;
        let seeded = &server.receipts[3];
        let path = format!("/receipts/{}", seeded.fields.request_id);
        let detail = server.read(&admin, &path).await;
        let raw = server.get(&admin, &format!("{path}/raw")).await;
        assert_eq!(raw.bytes, seeded.entry);
        assert!(
            raw.cache_control().contains("immutable"),
            "{}",
            raw.cache_control()
        );
        assert_eq!(
            detail["raw"].as_str().map(str::as_bytes),
            Some(seeded.entry.as_slice())
        );
        assert_eq!(
            detail["entry_sha256"],
            Sha256Hash::of(&seeded.entry).to_hex()
        );
        let key = PublicKey::parse(detail["public_key"].as_str().expect("a key")).expect("a key");
        assert_eq!(Receipt::verdict(&raw.bytes, &key), Verdict::Valid);
        assert_eq!(detail["key_id"], key.key_id());
        assert_eq!(
            detail["chain"]["prev_request_id"],
            server.receipts[5].fields.request_id.as_str()
        );
        assert_eq!(
            detail["chain"]["next_request_id"],
            server.receipts[1].fields.request_id.as_str()
        );
        let nothing = server.get(&admin, "/receipts/r_unknown/raw").await;
        assert_eq!(nothing.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn sums_of_a_range_stay_the_same_when_its_minutes_become_hours() {
    on_both(2, 300, |server| async move {
        let admin = server.sign_in(Role::Admin).await;
        // Borders within an hour: what sticks out is counted receipt by receipt.
        let at = |minutes: i64| {
            jiff::Timestamp::from_millisecond(NOW_MS - minutes * 60_000)
                .expect("a time")
                .to_string()
        };
        let paths = ["", "&node_id=node-00001"].map(|node| {
            let (from, to) = (at(700), at(250));
            format!("/receipts/aggregate?from={from}&to={to}{node}")
        });
        let mut before = Vec::new();
        for path in &paths {
            before.push(server.read(&admin, path).await);
        }
        server.advance_days(31);
        // Signed in anew: sessions of before have ended.
        let admin = server.sign_in_again(Role::Admin).await;
        let (mut from, minute) = (0, NOW_MS / 60_000);
        while let Some(hour) = server
            .app
            .store
            .rollups_hour(agents::SERVER, from, minute)
            .await
            .unwrap()
        {
            while server
                .app
                .store
                .rollups_fold(agents::SERVER, hour, 10)
                .await
                .unwrap()
                .rows
                > 0
            {}
            from = hour + 60;
        }
        for (path, before) in paths.iter().zip(before) {
            let after = server.read(&admin, path).await;
            assert!(before["count"].as_i64().unwrap() > 50, "{before}");
            for field in [
                "count",
                "tokens_input",
                "tokens_output",
                "failures",
                "complete",
            ] {
                assert_eq!(after[field], before[field], "{field} of {path}");
            }
        }
    })
    .await;
}
