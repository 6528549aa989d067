//! The search of receipts: everything that a text can mean, with other filters, in pages, each by an index.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use crate::support::{ALL, SERVER, of_org};
use dgon_control_plane_store::Ends;
use dgon_control_plane_store::receipt_queries::ReceiptFilter;
use dgon_control_plane_store::{NewReceipt, Store};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Fields, Sha256Hash, Status};
use dgon_testkit::seed::{Seed, Seeded, seed};

const END_MS: i64 = 1_800_000_000_000;

/// The newest first.
async fn seeded(store: &Store) -> Vec<Seeded> {
    let mut all = Vec::new();
    seed(store, &Seed::day(6, 40, END_MS), |receipt| {
        all.push(receipt.clone())
    })
    .await
    .expect("seed");
    all.reverse();
    all
}

fn search(text: &str) -> ReceiptFilter {
    ReceiptFilter {
        search: Some(text.to_owned()),
        ..ReceiptFilter::default()
    }
}

/// All pages, three rows each.
async fn found(store: &Store, filter: &ReceiptFilter) -> Vec<String> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = store
            .receipts_list(&ALL, filter, before, 3)
            .await
            .expect("page");
        let Some(last) = page.last() else { return ids };
        before = Some(last.id);
        ids.extend(page.into_iter().map(|row| row.request_id));
    }
}

fn ids(all: &[Seeded], means: impl Fn(&Seeded) -> bool) -> Vec<String> {
    let meant = all.iter().filter(|receipt| means(receipt));
    meant.map(|r| r.fields.request_id.to_string()).collect()
}

async fn insert(store: &Store, like: &Seeded, change: impl Fn(&mut Fields), hash: Sha256Hash) {
    let mut fields = like.fields.clone();
    change(&mut fields);
    let key = store.node_key_current(SERVER, &like.fields.node_id).await;
    let row = NewReceipt {
        region: "eu-west",
        org_id: None,
        node_key_id: key.expect("key").expect("some").id,
        seq: None,
        fields: &fields,
        entry_hash: hash,
        entry: b"{}",
        received_at_ms: END_MS + 1,
        verified: true,
    };
    let mut tx = store.ingest_begin(SERVER).await.expect("begin");
    assert!(tx.insert(&[row]).await.expect("insert").is_empty());
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn a_text_finds_ids_nodes_models_and_hashes() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let one = &all[5];
        let id = one.fields.request_id.as_str();
        let hash = Sha256Hash::of(&one.entry).to_hex();
        let digits = hash.strip_prefix("sha256:").unwrap_or(&hash);
        let only = vec![id.to_owned()];
        for text in [
            id,
            &id[..20],
            &format!("sha256:{digits}"),
            &format!("sha256:{}", &digits[..9]),
            digits,
            &digits[..8],
            &digits[..17].to_uppercase(),
        ] {
            assert_eq!(found(&store, &search(text)).await, only, "{text}");
            let sums = store
                .receipts_scan(&ALL, &search(text), Ends::OfTime, 10)
                .await
                .expect("scan");
            assert_eq!(sums.sums.requests, 1, "{text}");
        }
        let node = ids(&all, |r| r.fields.node_id.as_str() == "node-00003");
        assert_eq!(found(&store, &search("node-00003")).await, node);
        let model = ids(&all, |r| r.fields.model_id == "phi4");
        assert!(!model.is_empty());
        assert_eq!(found(&store, &search("phi4")).await, model);
        assert_eq!(found(&store, &search("r_")).await, ids(&all, |_| true));
        let longer = format!("{digits}0");
        for none in [
            "node-0000",
            "phi",
            "nobody' OR 1=1 --",
            &digits[..7],
            &longer,
            &digits[1..],
        ] {
            assert!(found(&store, &search(none)).await.is_empty(), "{none}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_several_meanings_lead_to_is_there_once_and_in_order() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let text = "feedface";
        let token = crate::support::token(&store, "t", 1).await;
        crate::support::enrol(&store, &token, text, 77).await;
        let hash = Sha256Hash({
            let mut bytes = [7; 32];
            bytes[..4].copy_from_slice(&[0xfe, 0xed, 0xfa, 0xce]);
            bytes
        });
        let other = Sha256Hash([7; 32]);
        let id = |n: &str| RequestId::parse(n).expect("id");
        // One by each meaning, and one by all of them.
        insert(&store, &all[0], |f| f.request_id = id("feedface-1"), other).await;
        insert(
            &store,
            &all[0],
            |f| (f.request_id, f.node_id) = (id("b"), NodeId::parse(text).expect("id")),
            other,
        )
        .await;
        insert(
            &store,
            &all[0],
            |f| (f.request_id, f.model_id) = (id("c"), text.to_owned()),
            other,
        )
        .await;
        insert(&store, &all[0], |f| f.request_id = id("d"), hash).await;
        let every = |f: &mut Fields| {
            (f.request_id, f.model_id) = (id("feedface"), text.to_owned());
            f.node_id = NodeId::parse(text).expect("id");
        };
        insert(&store, &all[0], every, hash).await;
        let wanted = ["feedface", "d", "c", "b", "feedface-1"];
        assert_eq!(found(&store, &search(text)).await, wanted);
        let scan = store
            .receipts_scan(&ALL, &search(text), Ends::OfTime, 10)
            .await
            .expect("scan");
        assert_eq!((scan.sums.requests, scan.complete), (5, true));
        let scan = store
            .receipts_scan(&ALL, &search(text), Ends::OfTime, 4)
            .await
            .expect("scan");
        assert_eq!((scan.sums.requests, scan.complete), (4, false));
    })
    .await;
}

/// Seeded networks give `org-1` every second node.
#[tokio::test]
async fn other_filters_and_the_scope_hold_in_every_meaning() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let failed = ReceiptFilter {
            status: Some(Status::Error),
            ..search("r_")
        };
        let wanted = ids(&all, |r| r.fields.status == Some(Status::Error));
        assert!(!wanted.is_empty());
        assert_eq!(found(&store, &failed).await, wanted);
        let of_both = ReceiptFilter {
            node_id: Some("node-00002".into()),
            ..search("phi4")
        };
        let wanted = ids(&all, |r| {
            r.fields.model_id == "phi4" && r.fields.node_id.as_str() == "node-00002"
        });
        assert_eq!(found(&store, &of_both).await, wanted);
        let hash_of = |node: &str| {
            let receipt = all.iter().find(|r| r.fields.node_id.as_str() == node);
            Sha256Hash::of(&receipt.expect("seeded").entry).to_hex()
        };
        for (text, is_own) in [
            ("node-00002", true),
            ("node-00003", false),
            (&hash_of("node-00002"), true),
            (&hash_of("node-00003"), false),
        ] {
            let (scope, filter) = (of_org("org-1"), search(text));
            let found = store.receipts_list(&scope, &filter, None, 10);
            assert_eq!(!found.await.expect("list").is_empty(), is_own, "{text}");
        }
    })
    .await;
}

/// Receipts of another organisation whose ids begin like `r_own`.
async fn insert_foreign(store: &Store, like: &Seeded, numbers: std::ops::Range<i64>) {
    let key = store.node_key_current(SERVER, &like.fields.node_id).await;
    let key = key.expect("key").expect("some").id;
    let named = |number: i64| Fields {
        request_id: RequestId::parse(format!("r_own-{number:06}")).expect("id"),
        ..like.fields.clone()
    };
    let fields: Vec<Fields> = numbers.map(named).collect();
    let rows: Vec<NewReceipt<'_>> = fields
        .iter()
        .map(|fields| NewReceipt {
            region: "eu-west",
            org_id: Some("org-other"),
            node_key_id: key,
            seq: None,
            fields,
            entry_hash: Sha256Hash([7; 32]),
            entry: b"{}",
            received_at_ms: END_MS + 1,
            verified: true,
        })
        .collect();
    let mut tx = store.ingest_begin(SERVER).await.expect("begin");
    assert!(tx.insert(&rows).await.expect("insert").is_empty());
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn what_others_call_theirs_hides_nothing_of_ones_own() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let own = RequestId::parse("r_own").expect("id");
        insert(
            &store,
            &all[0],
            |f| f.request_id = own.clone(),
            Sha256Hash([8; 32]),
        )
        .await;
        store
            .inspect()
            .execute("UPDATE receipts SET org_id = 'org-1' WHERE request_id = 'r_own'")
            .await
            .expect("own");
        let seen = async |text: &str| {
            let (scope, filter) = (of_org("org-1"), search(text));
            let rows = store.receipts_list(&scope, &filter, None, 10).await;
            let scan = store.receipts_scan(&scope, &filter, Ends::OfTime, 10).await;
            (rows.expect("list").len(), scan.expect("scan").complete)
        };
        insert_foreign(&store, &all[1], 0..1_100).await;
        assert_eq!(seen("r_ow").await, (1, true));
        assert_eq!(seen("r_own").await, (1, true));
        // More of all begin so than a search leads to: the whole id is found, and the sum says that it is not of all.
        let scan = store
            .receipts_scan(&ALL, &search("r_own"), Ends::OfTime, 5_000)
            .await;
        assert!(!scan.expect("scan").complete);
        let all = store
            .receipts_list(&ALL, &search("r_own"), None, 5_000)
            .await;
        assert!(
            all.expect("list")
                .iter()
                .any(|row| row.request_id == "r_own")
        );
    })
    .await;
}

#[tokio::test]
async fn every_meaning_is_found_by_its_index() {
    crate::support::on_both(|store| async move {
        seeded(&store).await;
        let plan = store
            .inspect()
            .receipts_list_plan(&ALL, &search("feedface"))
            .await
            .expect("plan")
            .join("\n");
        for index in [
            "receipts_by_hash",
            "receipts_by_model",
            "receipts_by_node",
            "receipts_by_request",
        ] {
            assert!(plan.contains(index), "{index}\n{plan}");
        }
        assert!(!plan.contains("Seq Scan on receipts"), "{plan}");
        let walks = plan
            .lines()
            .filter(|line| line.trim().starts_with("SCAN r"));
        assert_eq!(walks.count(), 0, "{plan}");
        let inspect = store.inspect();
        let (scope, filter) = (of_org("org-1"), search("feedface"));
        let own = inspect.receipts_list_plan(&scope, &filter);
        let plan = own.await.expect("plan").join("\n");
        assert!(plan.contains("receipts_by_org_request"), "{plan}");
    })
    .await;
}

#[tokio::test]
async fn what_else_is_asked_of_a_beginning_is_not_hidden_by_newer_ids_that_begin_so() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let key = store.node_key_current(SERVER, &all[0].fields.node_id).await;
        let key = key.expect("key").expect("some").id;
        // The one that failed has the last id in its order of 1,200.
        let fields: Vec<Fields> = (0..1_200)
            .map(|number| {
                let mut fields = all[0].fields.clone();
                fields.request_id = RequestId::parse(format!("begins-{number:05}")).expect("id");
                fields.status = Some(match number {
                    0 => Status::Error,
                    _ => Status::Ok,
                });
                fields
            })
            .collect();
        let rows: Vec<NewReceipt<'_>> = fields
            .iter()
            .map(|fields| NewReceipt {
                region: "eu-west",
                org_id: None,
                node_key_id: key,
                seq: None,
                fields,
                entry_hash: Sha256Hash([9; 32]),
                entry: b"{}",
                received_at_ms: END_MS + 1,
                verified: true,
            })
            .collect();
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        for some in rows.chunks(100) {
            assert!(tx.insert(some).await.expect("insert").is_empty());
        }
        tx.commit().await.expect("commit");
        let failed = ReceiptFilter {
            status: Some(Status::Error),
            ..search("begins-0")
        };
        assert_eq!(found(&store, &failed).await, ["begins-00000"]);
        let scan = store
            .receipts_scan(&ALL, &failed, Ends::OfTime, 10)
            .await
            .expect("scan");
        assert_eq!((scan.sums.requests, scan.complete), (1, true));
        let scan = store
            .receipts_scan(&ALL, &search("begins-0"), Ends::OfTime, 2_000)
            .await;
        let scan = scan.expect("scan");
        assert_eq!((scan.sums.requests, scan.complete), (1_000, false));
    })
    .await;
}
