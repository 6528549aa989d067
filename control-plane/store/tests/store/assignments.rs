//! Who takes care of which node: only those who could, no longer than they could, and told to nobody else.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use super::members::{entry, retire, set, user};
use crate::support::{ALL, enrol, of_org, on_both, token_of};
use dgon_control_plane_store::assignments::{ASSIGNEES, Assigned, Assignment};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::node_queries::{NodeFilter, NodePage};
use dgon_control_plane_store::users::AccessChanged;
use dgon_control_plane_store::{Enrolment, Scope, Store};

/// A node of an organisation; `seed` makes its key.
async fn node(store: &Store, node_id: &str, org_id: &str, seed: u8) {
    let token = token_of(store, node_id, Some(org_id)).await;
    let enrolled = enrol(store, &token, node_id, seed).await;
    assert!(matches!(enrolled, Enrolment::Enrolled { .. }));
}

async fn assign(store: &Store, scope: &Scope, node_id: &str, user_id: &str) -> Assignment {
    let entry = AuditEntry {
        actor: "user:u0".to_owned(),
        ..entry(7)
    };
    let assigned = store.node_assign(scope, (node_id, user_id), &entry).await;
    assigned.expect("assign")
}

async fn unassign(store: &Store, scope: &Scope, node_id: &str, user_id: &str) -> Assignment {
    let entry = entry(8);
    let ended = store.node_unassign(scope, (node_id, user_id), &entry).await;
    ended.expect("unassign")
}

/// Who takes care of a node, in the eyes of somebody.
async fn people(store: &Store, scope: &Scope, node_id: &str) -> Vec<String> {
    let found = store.node_assignees(scope, &[node_id]).await;
    let ids = found.expect("assignees").into_iter();
    ids.map(|who| who.user_id).collect()
}

/// Nodes that a filter finds, in the list and in its count.
async fn nodes(store: &Store, scope: &Scope, assigned: Assigned) -> Vec<String> {
    let filter = NodeFilter {
        assigned: Some(assigned),
        ..NodeFilter::default()
    };
    let page = NodePage {
        limit: 10,
        ..NodePage::default()
    };
    let listed = store.nodes_list(scope, &filter, &page).await.expect("list");
    let count = store.nodes_count(scope, &filter).await.expect("count");
    assert_eq!(i64::try_from(listed.len()).expect("few"), count);
    let with_people = store.assignment_list(scope, &filter, None, 10).await;
    let with_people: Vec<String> = with_people
        .expect("list")
        .into_iter()
        .map(|row| row.node_id)
        .collect();
    let listed: Vec<String> = listed.into_iter().map(|row| row.node_id).collect();
    assert_eq!(listed, with_people);
    listed
}

/// An admin, and two organisations with a node and an operator each.
async fn two(store: &Store) {
    user(store, "u0", "main", &["admin"]).await;
    for (n, (org_id, node_id, user_id)) in [("o1", "n1", "u1"), ("o2", "n2", "u2")]
        .into_iter()
        .enumerate()
    {
        node(store, node_id, org_id, 1 + u8::try_from(n).expect("few")).await;
        user(store, user_id, org_id, &["operator"]).await;
    }
}

#[tokio::test]
async fn only_an_operator_of_the_nodes_own_organisation_is_assigned() {
    on_both(|store| async move {
        two(&store).await;
        user(&store, "viewer", "o1", &["consumer", "viewer"]).await;
        user(&store, "shut", "o1", &["operator"]).await;
        let shut = store.user_disable(&ALL, "shut", true, &entry(2)).await;
        assert_eq!(shut.expect("shut"), AccessChanged::Changed);
        for stranger in ["u0", "u2", "viewer", "shut", "nobody"] {
            let refused = assign(&store, &ALL, "n1", stranger).await;
            assert_eq!(refused, Assignment::NoMember, "{stranger}");
        }
        let nowhere = assign(&store, &ALL, "n3", "u1").await;
        assert_eq!(nowhere, Assignment::NoNode);
        for scope in [of_org("o2"), Scope::Stranger] {
            let theirs = assign(&store, &scope, "n1", "u1").await;
            assert_eq!(theirs, Assignment::NoNode, "{scope:?}");
        }
        assert_eq!(people(&store, &ALL, "n1").await, [""; 0]);
        let audited = async || {
            let rows = store
                .inspect()
                .audit_latest(Some("test:members"), 100)
                .await;
            rows.expect("audit").len()
        };
        let before = audited().await;

        assert_eq!(assign(&store, &ALL, "n1", "u1").await, Assignment::Changed);
        assert_eq!(
            assign(&store, &ALL, "n1", "u1").await,
            Assignment::Unchanged
        );
        let found = store.node_assignees(&ALL, &["n1"]).await.expect("people");
        let who = &found[0];
        assert_eq!((found.len(), who.email.as_str()), (1, "u1@example.com"));
        assert_eq!(
            (who.assigned_at_ms, who.assigned_by.as_str()),
            (7, "user:u0")
        );
        assert_eq!(who.assigned_by_email.as_deref(), Some("u0@example.com"));
        let own = store.node_assignees(&of_org("o1"), &["n1"]).await;
        assert_eq!(own.expect("people")[0].assigned_by_email, None);
        for (whose, nodes) in [("u1", 1), ("u0", 0)] {
            let own = Scope::Person(whose.to_owned());
            let own = store.assignments_of_person(&own, 10).await;
            assert_eq!(own.expect("own").len(), nodes, "{whose}");
        }
        let theirs = unassign(&store, &of_org("o2"), "n1", "u1").await;
        assert_eq!(theirs, Assignment::NoNode);
        assert_eq!(
            unassign(&store, &ALL, "n1", "u1").await,
            Assignment::Changed
        );
        assert_eq!(
            unassign(&store, &ALL, "n1", "u1").await,
            Assignment::Unchanged
        );
        // A row for each change, and none for what was so or was refused.
        let after = audited().await;
        assert_eq!(after - before, 2);
    })
    .await;
}

#[tokio::test]
async fn who_takes_care_of_what_is_told_to_its_organisation_alone() {
    on_both(|store| async move {
        two(&store).await;
        node(&store, "n3", "o1", 3).await;
        assert_eq!(assign(&store, &ALL, "n1", "u1").await, Assignment::Changed);
        let to = |user_id: &str| Assigned::To(user_id.to_owned());
        for scope in [ALL, of_org("o1")] {
            assert_eq!(people(&store, &scope, "n1").await, ["u1"], "{scope:?}");
            assert_eq!(nodes(&store, &scope, to("u1")).await, ["n1"], "{scope:?}");
        }
        assert_eq!(
            nodes(&store, &of_org("o1"), Assigned::ToNobody).await,
            ["n3"]
        );
        assert_eq!(nodes(&store, &ALL, Assigned::ToNobody).await, ["n2", "n3"]);
        for scope in [
            of_org("o2"),
            Scope::Stranger,
            Scope::Person("u1".to_owned()),
        ] {
            assert_eq!(people(&store, &scope, "n1").await, [""; 0], "{scope:?}");
            assert_eq!(nodes(&store, &scope, to("u1")).await, [""; 0], "{scope:?}");
        }
        assert_eq!(
            nodes(&store, &of_org("o2"), Assigned::ToNobody).await,
            ["n2"]
        );
        assert_eq!(
            nodes(&store, &Scope::Stranger, Assigned::ToNobody).await,
            [""; 0]
        );
        let filter = NodeFilter::default();
        let listed = store.assignment_list(&Scope::Stranger, &filter, None, 10);
        assert_eq!(listed.await.expect("list"), []);
        let second = store.assignment_list(&ALL, &filter, Some("n1"), 1).await;
        assert_eq!(second.expect("list")[0].node_id, "n2");
    })
    .await;
}

#[tokio::test]
async fn an_assignment_ends_with_what_it_hangs_on() {
    on_both(|store| async move {
        two(&store).await;
        set(&store, "u1", "o2", &["operator"]).await;
        let both = async || {
            for node_id in ["n1", "n2"] {
                assign(&store, &ALL, node_id, "u1").await;
            }
            (
                people(&store, &ALL, "n1").await,
                people(&store, &ALL, "n2").await,
            )
        };
        let u1 = || vec!["u1".to_owned()];
        assert_eq!(both().await, (u1(), u1()));
        // Another role that lets them take care of nodes changes nothing; one that does not ends it, in that organisation.
        set(&store, "u1", "o1", &["consumer", "operator"]).await;
        assert_eq!(people(&store, &ALL, "n1").await, u1());
        set(&store, "u1", "o1", &["viewer"]).await;
        assert_eq!(people(&store, &ALL, "n1").await, [""; 0]);
        assert_eq!(people(&store, &ALL, "n2").await, u1());

        set(&store, "u1", "o1", &["operator"]).await;
        assert_eq!(both().await, (u1(), u1()));
        let gone = store.membership_remove(&ALL, "u1", "o1", &entry(9)).await;
        assert_eq!(gone.expect("gone"), AccessChanged::Changed);
        assert_eq!(people(&store, &ALL, "n1").await, [""; 0]);
        assert_eq!(people(&store, &ALL, "n2").await, u1());
        let log = store.inspect().audit_latest(Some("test:members"), 1).await;
        let facts = log.expect("audit")[0].read_facts().expect("facts");
        let after = facts.expect("facts").after.expect("what ended");
        assert_eq!(after["ended"]["assignments"], 1, "{after}");

        set(&store, "u1", "o1", &["operator"]).await;
        assert_eq!(both().await, (u1(), u1()));
        let shut = store.user_disable(&ALL, "u1", true, &entry(9)).await;
        assert_eq!(shut.expect("shut"), AccessChanged::Changed);
        let open = store.user_disable(&ALL, "u1", false, &entry(9)).await;
        assert_eq!(open.expect("open"), AccessChanged::Changed);
        assert_eq!(people(&store, &ALL, "n1").await, [""; 0]);
        assert_eq!(people(&store, &ALL, "n2").await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_retired_node_keeps_its_people_and_gets_no_more() {
    on_both(|store| async move {
        two(&store).await;
        user(&store, "u3", "o1", &["operator"]).await;
        assign(&store, &ALL, "n1", "u1").await;
        retire(&store, "n1").await;
        assert_eq!(assign(&store, &ALL, "n1", "u3").await, Assignment::Retired);
        assert_eq!(people(&store, &ALL, "n1").await, ["u1"]);
        assert_eq!(
            unassign(&store, &ALL, "n1", "u1").await,
            Assignment::Changed
        );
    })
    .await;
}

#[tokio::test]
async fn a_node_has_so_many_people_and_no_more() {
    on_both(|store| async move {
        two(&store).await;
        for n in 0..=ASSIGNEES {
            let user_id = format!("many-{n}");
            user(&store, &user_id, "o1", &["operator"]).await;
            let assigned = assign(&store, &ALL, "n1", &user_id).await;
            let wanted = match n < ASSIGNEES {
                true => Assignment::Changed,
                false => Assignment::TooMany,
            };
            assert_eq!(assigned, wanted, "{n}");
        }
    })
    .await;
}
