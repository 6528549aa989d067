//! The receipts list against a direct computation over what was seeded, page by page and filter by filter.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support::{ALL, SERVER, of_org};
use dgon_control_plane_model::rollup::{minute_of, quarter_of};
use dgon_control_plane_store::Ends;
use dgon_control_plane_store::receipt_queries::{ReceiptFilter, ReceiptFound};
use dgon_control_plane_store::rollups_range::{RollupRange, SumsOf};
use dgon_control_plane_store::{NewReceipt, Scope, Store};
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Fields, Sha256Hash, Source, Status, TokensSource};
use dgon_testkit::seed::{Seed, Seeded, seed};

const END_MS: i64 = 1_800_000_000_000;

async fn seeded(store: &Store) -> Vec<Seeded> {
    let mut all = Vec::new();
    let network = Seed::day(6, 60, END_MS);
    seed(store, &network, |receipt| all.push(receipt.clone()))
        .await
        .expect("seed");
    all.reverse();
    all
}

/// All pages of a filter, a few rows each.
async fn pages(store: &Store, scope: &Scope, filter: &ReceiptFilter, limit: i64) -> Vec<String> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = store
            .receipts_list(scope, filter, before, limit)
            .await
            .expect("page");
        let Some(last) = page.last() else { return ids };
        before = Some(last.id);
        ids.extend(page.into_iter().map(|row| row.request_id));
    }
}

type Means = fn(&Seeded) -> bool;

fn belongs_to_org(receipt: &Seeded) -> bool {
    ["node-00000", "node-00002", "node-00004"].contains(&receipt.fields.node_id.as_str())
}

/// Filters beside what they mean.
fn cases() -> Vec<(ReceiptFilter, Means)> {
    let none = ReceiptFilter::default;
    vec![
        (none(), |_| true),
        (
            ReceiptFilter {
                node_id: Some("node-00003".into()),
                ..none()
            },
            |r| r.fields.node_id.as_str() == "node-00003",
        ),
        (
            ReceiptFilter {
                model_id: Some("phi4".into()),
                ..none()
            },
            |r| r.fields.model_id == "phi4",
        ),
        (
            ReceiptFilter {
                region: Some("eu-west".into()),
                ..none()
            },
            |r| r.fields.region.as_deref() == Some("eu-west"),
        ),
        (
            ReceiptFilter {
                from_ms: Some(END_MS - 40_000_000),
                to_ms: Some(END_MS - 9_000_000),
                ..none()
            },
            |r| (END_MS - 40_000_000..END_MS - 9_000_000).contains(&r.received_at_ms),
        ),
        (
            ReceiptFilter {
                status: Some(Status::Error),
                ..none()
            },
            |r| r.fields.status == Some(Status::Error),
        ),
        (
            ReceiptFilter {
                source: Some(Source::Probe),
                ..none()
            },
            |r| r.fields.source == Some(Source::Probe),
        ),
        (
            ReceiptFilter {
                hedged: Some(true),
                ..none()
            },
            |r| r.fields.hedged == Some(true),
        ),
        (
            ReceiptFilter {
                cache_hit: Some(true),
                ..none()
            },
            |r| r.fields.cache_hit == Some(true),
        ),
    ]
}

/// Filters of people who do not see everything.
fn scoped_cases() -> Vec<(Scope, ReceiptFilter, Means)> {
    let none = ReceiptFilter::default;
    vec![
        (of_org("org-1"), none(), belongs_to_org),
        (of_org("org-2"), none(), |_| false),
        (Scope::Stranger, none(), |_| false),
        (
            of_org("org-1"),
            ReceiptFilter {
                cache_hit: Some(false),
                status: Some(Status::Ok),
                model_id: Some("phi4".into()),
                ..none()
            },
            |r| {
                belongs_to_org(r)
                    && r.fields.cache_hit == Some(false)
                    && r.fields.status == Some(Status::Ok)
                    && r.fields.model_id == "phi4"
            },
        ),
    ]
}

#[tokio::test]
async fn every_filter_gives_what_it_says_in_pages_of_any_size() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let everybodys = cases()
            .into_iter()
            .map(|(filter, means)| (ALL, filter, means));
        for (scope, filter, means) in everybodys.chain(scoped_cases()) {
            let wanted: Vec<&str> = all
                .iter()
                .filter(|receipt| means(receipt))
                .map(|receipt| receipt.fields.request_id.as_str())
                .collect();
            for limit in [7, 200] {
                assert_eq!(
                    pages(&store, &scope, &filter, limit).await,
                    wanted,
                    "{filter:?}"
                );
            }
            let scan = store
                .receipts_scan(&scope, &filter, Ends::OfTime, 1_000)
                .await
                .expect("scan");
            assert!(scan.complete);
            assert_eq!(
                scan.sums.requests,
                i64::try_from(wanted.len()).expect("few")
            );
            let input: i64 = all
                .iter()
                .filter(|receipt| means(receipt))
                .map(|receipt| receipt.fields.tokens_input)
                .sum();
            assert_eq!(scan.sums.tokens_input, input, "{filter:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_counts_are_worth_is_kept_and_sums_say_what_they_lack() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let key = store.node_key_current(SERVER, &all[0].fields.node_id).await;
        let node_key_id = key.expect("key").expect("some").id;
        let cases = [
            (Some(TokensSource::Usage), 7),
            (Some(TokensSource::Unknown), 0),
            (Some(TokensSource::Chunks), 0),
            (Some(TokensSource::Chunks), 7),
            (Some(TokensSource::Unpaid), 0),
            (Some(TokensSource::None), 0),
            (Some(TokensSource::Other), 0),
            (None, 0),
        ];
        let fields: Vec<Fields> = (0..)
            .zip(cases)
            .map(|(n, (tokens_source, tokens_input))| {
                let mut fields = all[0].fields.clone();
                fields.request_id = RequestId::parse(format!("case-{n}")).expect("id");
                (fields.tokens_source, fields.tokens_input) = (tokens_source, tokens_input);
                fields
            })
            .collect();
        let rows: Vec<NewReceipt<'_>> = fields
            .iter()
            .map(|fields| NewReceipt {
                verified: true,
                node_key_id,
                seq: None,
                region: "eu-west",
                org_id: None,
                fields,
                entry_hash: Sha256Hash::of(b"{}"),
                entry: b"{}",
                received_at_ms: END_MS + 1,
            })
            .collect();
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert!(tx.insert(&rows).await.expect("insert").is_empty());
        tx.rollups(&rows).await.expect("rollups");
        tx.commit().await.expect("commit");

        let filter = ReceiptFilter {
            search: Some("case-".to_owned()),
            ..ReceiptFilter::default()
        };
        let mut listed = store
            .receipts_list(&ALL, &filter, None, 50)
            .await
            .expect("list");
        listed.reverse();
        let told: Vec<Option<&str>> = listed
            .iter()
            .map(|row| row.tokens_source.as_deref())
            .collect();
        let kept: Vec<Option<&str>> = cases
            .iter()
            .map(|case| case.0.map(TokensSource::as_str))
            .collect();
        assert_eq!(told, kept);
        let scan = store
            .receipts_scan(&ALL, &filter, Ends::OfTime, 50)
            .await
            .expect("scan");
        assert_eq!(scan.sums.tokens_not_counted, 2);
        let minute = minute_of(END_MS + 1);
        let range = RollupRange {
            from_minute: quarter_of(minute),
            ..RollupRange::whole(SumsOf::Network)
        };
        let written = store.inspect().rollups_range(&ALL, &range).await;
        let kept = written.expect("rollups").rows;
        let lacking: i64 = kept.iter().map(|(_, sums)| sums.tokens_not_counted).sum();
        assert_eq!(lacking, 2);
    })
    .await;
}

#[tokio::test]
async fn a_scan_that_is_cut_says_so_and_has_the_newest() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let scan = store
            .receipts_scan(&ALL, &ReceiptFilter::default(), Ends::OfTime, 10)
            .await
            .expect("scan");
        assert!(!scan.complete);
        let newest: i64 = all[..10].iter().map(|r| r.fields.tokens_output).sum();
        assert_eq!((scan.sums.requests, scan.sums.tokens_output), (10, newest));
    })
    .await;
}

#[tokio::test]
async fn pages_stay_while_receipts_arrive() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let filter = ReceiptFilter::default();
        let first = store
            .receipts_list(&ALL, &filter, None, 5)
            .await
            .expect("first");
        let mut fresh = all[0].fields.clone();
        fresh.request_id = RequestId::parse("fresh").expect("id");
        let key = store
            .node_key_current(SERVER, &fresh.node_id)
            .await
            .expect("key");
        let row = NewReceipt {
            verified: true,
            node_key_id: key.expect("some").id,
            seq: None,
            region: "eu-west",
            org_id: None,
            fields: &fresh,
            entry_hash: Sha256Hash::of(b"{}"),
            entry: b"{}",
            received_at_ms: END_MS + 1,
        };
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert!(tx.insert(&[row]).await.expect("insert").is_empty());
        tx.commit().await.expect("commit");
        let second = store
            .receipts_list(&ALL, &filter, first.last().map(|row| row.id), 5)
            .await
            .expect("second");
        let shown = first
            .iter()
            .chain(&second)
            .map(|row| row.request_id.as_str());
        assert!(shown.eq(all[..10].iter().map(|r| r.fields.request_id.as_str())));
        let newest = store
            .receipts_list(&ALL, &filter, None, 1)
            .await
            .expect("newest");
        assert_eq!(newest[0].request_id, "fresh");
    })
    .await;
}

#[tokio::test]
async fn a_receipt_has_its_bytes_its_key_and_its_neighbours() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store).await;
        let of_node: Vec<&Seeded> = all
            .iter()
            .filter(|r| r.fields.node_id.as_str() == "node-00002")
            .collect();
        let (after, this, before) = (of_node[3], of_node[4], of_node[5]);
        let request_id = this.fields.request_id.as_str();
        let found = store
            .receipt_get(&Scope::Organisation("org-1".into()), request_id, None)
            .await
            .expect("get");
        let ReceiptFound::One(found) = found else {
            panic!("{found:?}");
        };
        assert_eq!(found.entry, this.entry);
        assert_eq!(found.entry_hash, Sha256Hash::of(&this.entry).0);
        assert_eq!(found.row.received_at_ms, this.received_at_ms);
        assert_eq!(found.public_key.len(), 32);
        assert_eq!(
            found.prev_request_id.as_deref(),
            Some(before.fields.request_id.as_str())
        );
        assert_eq!(
            found.next_request_id.as_deref(),
            Some(after.fields.request_id.as_str())
        );
        let foreign = store
            .receipt_get(&Scope::Organisation("org-2".into()), request_id, None)
            .await;
        assert_eq!(foreign.expect("get"), ReceiptFound::Nothing);
        let other_node = store.receipt_get(&ALL, request_id, Some("node-00001"));
        assert_eq!(other_node.await.expect("get"), ReceiptFound::Nothing);
    })
    .await;
}

#[tokio::test]
async fn each_filter_has_an_index_and_none_sorts() {
    crate::support::on_both(|store| async move {
        seeded(&store).await;
        for (filter, _) in cases() {
            let plan = store
                .inspect()
                .receipts_list_plan(&ALL, &filter)
                .await
                .expect("plan")
                .join("\n");
            let served = plan.contains("USING INDEX")
                || plan.contains("USING INTEGER PRIMARY KEY")
                || plan.contains("Index Scan")
                || plan.contains("Bitmap Index Scan");
            assert!(served, "{filter:?}\n{plan}");
            assert!(
                !plan.contains("TEMP B-TREE FOR ORDER BY"),
                "{filter:?}\n{plan}"
            );
            assert!(!plan.contains("Seq Scan on receipts"), "{filter:?}\n{plan}");
        }
    })
    .await;
}

/// On SQLite the receipts of a node lie in many places of their index, one for each so many receipts of all nodes.
#[tokio::test]
async fn the_receipts_of_a_node_are_found_however_many_others_lie_between() {
    crate::support::on_both(|store| async move {
        let network = Seed::day(3, 1_600, END_MS);
        let mut all = Vec::new();
        seed(&store, &network, |receipt| all.push(receipt.clone()))
            .await
            .expect("seed");
        all.reverse();
        let of_node = |receipt: &&Seeded| receipt.fields.node_id.as_str() == "node-00001";
        let wanted: Vec<String> = all
            .iter()
            .filter(of_node)
            .map(|r| r.fields.request_id.to_string())
            .collect();
        assert_eq!(wanted.len(), 1_600);
        let by_node = |search: bool| ReceiptFilter {
            node_id: (!search).then(|| "node-00001".into()),
            search: search.then(|| "node-00001".into()),
            ..ReceiptFilter::default()
        };
        assert_eq!(pages(&store, &ALL, &by_node(false), 700).await, wanted);
        assert_eq!(pages(&store, &ALL, &by_node(true), 700).await, wanted);
        // A range of time that begins and ends within the list, with a condition beside the node.
        let (from_ms, to_ms) = (END_MS - 16 * 3_600_000, END_MS - 4 * 3_600_000);
        let some = ReceiptFilter {
            from_ms: Some(from_ms),
            to_ms: Some(to_ms),
            status: Some(Status::Ok),
            ..by_node(false)
        };
        let within = |receipt: &&Seeded| {
            (from_ms..to_ms).contains(&receipt.received_at_ms)
                && receipt.fields.status == Some(Status::Ok)
        };
        let wanted: Vec<String> = all
            .iter()
            .filter(of_node)
            .filter(within)
            .map(|r| r.fields.request_id.to_string())
            .collect();
        assert!((500..1_000).contains(&wanted.len()), "{}", wanted.len());
        assert_eq!(pages(&store, &ALL, &some, 300).await, wanted);
        let nobody = ReceiptFilter {
            node_id: Some("nobody".into()),
            ..ReceiptFilter::default()
        };
        assert_eq!(
            pages(&store, &ALL, &nobody, 300).await,
            Vec::<String>::new()
        );
    })
    .await;
}

/// Many like the last one, received at a later time, and then a few at an earlier one, as a clock does that goes back.
const BACK: &str = "INSERT INTO receipts (request_id, node_id, node_key_id, received_at_ms, version, region, model_id, ts_start, \
     ts_end, tokens_input, tokens_output, entry_hash, entry, verified) \
     WITH RECURSIVE back (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM back WHERE n < 5003) \
     SELECT 'r_back_' || n, node_id, node_key_id, CASE WHEN n <= 5000 THEN 1900000000001 ELSE 1900000000000 END, '1.0', region, \
     model_id, ts_start, ts_end, 1, 1, entry_hash, entry, verified \
     FROM back, (SELECT * FROM receipts ORDER BY id DESC LIMIT 1) AS last ORDER BY n";

#[tokio::test]
async fn what_a_clock_that_went_back_received_is_in_sums_of_a_short_time() {
    crate::support::on_both(|store| async move {
        seeded(&store).await;
        store.inspect().execute(BACK).await.expect("insert");
        let filter = ReceiptFilter {
            from_ms: Some(1_900_000_000_000),
            to_ms: Some(1_900_000_000_002),
            ..ReceiptFilter::default()
        };
        let scan = store.receipts_scan(&ALL, &filter, Ends::OfEach, 10_000);
        let scan = scan.await.expect("scan");
        assert_eq!((scan.sums.requests, scan.complete), (5_003, true));
    })
    .await;
}
