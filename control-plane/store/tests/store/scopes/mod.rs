//! Two organisations in one store: what each may see and change, what a person has of their own, and what a stranger is
//! left with. A row out of scope is as if it did not exist, for a write too.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod network;
mod people;

use crate::support::of_org;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::{Scope, Store};
use dgon_testkit::seed::{Seed, Seeded, seed};

const END_MS: i64 = 1_800_000_000_000;

const OWN: &str = "node-00000";

fn own() -> Scope {
    of_org("org-1")
}

/// Those whose rows the first organisation's are not.
fn others() -> [Scope; 3] {
    [of_org("org-2"), of_person("u-other"), Scope::Stranger]
}

fn of_person(user_id: &str) -> Scope {
    Scope::Person(user_id.to_owned())
}

fn audit(action: &str) -> AuditEntry {
    AuditEntry {
        at_ms: 50,
        action: action.to_owned(),
        object: "test:scope".to_owned(),
        ..AuditEntry::default()
    }
}

/// Entries that the calls of a test left in the log.
async fn audited(store: &Store) -> usize {
    let rows = store.inspect().audit_latest(Some("test:scope"), 100).await;
    rows.expect("audit").len()
}

/// Two nodes of two organisations, with receipts; the receipts of the first in the order of its chain.
async fn network(store: &Store) -> Vec<Seeded> {
    let mut receipts = Vec::new();
    seed(store, &Seed::day(2, 3, END_MS), |receipt| {
        if receipt.fields.node_id.as_str() == OWN {
            receipts.push(receipt.clone());
        }
    })
    .await
    .expect("seed");
    let second = "UPDATE nodes SET org_id = 'org-2' WHERE org_id IS NULL; \
                  UPDATE receipts SET org_id = 'org-2' WHERE org_id IS NULL";
    store.inspect().execute(second).await.expect("org");
    receipts
}
