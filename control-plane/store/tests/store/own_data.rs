//! A person's own data: deleted whole, on both databases, and not while somebody needs it.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]
#![allow(
    clippy::large_futures,
    reason = "tests hold both sides of a race at once, and run one at a time"
)]

use super::members::{entry, org, session, set, sign_in, token_by, user};
use super::second_factors::set_up;
use crate::support::{ALL, SERVER, on_both, person};
use dgon_control_plane_store::links::NewLink;
use dgon_control_plane_store::own_data::AccountDeleted;
use dgon_control_plane_store::registration::{NewOrg, UserRegistered};
use dgon_control_plane_store::{Dialect, Scope, Store};

/// Tables with rows of a person: a new one is one more for the export and the deletion.
const OF_PEOPLE: [&str; 10] = [
    "api_keys",
    "memberships",
    "node_assignments",
    "oidc_identities",
    "one_time_links",
    "recovery_codes",
    "second_factors",
    "session_families",
    "users",
    "wallets",
];

/// What is of `u1` in each of them.
const OF_U1: [&str; 10] = [
    "SELECT user_id FROM api_keys WHERE user_id = 'u1'",
    "SELECT user_id FROM memberships WHERE user_id = 'u1'",
    "SELECT user_id FROM node_assignments WHERE user_id = 'u1'",
    "SELECT user_id FROM oidc_identities WHERE user_id = 'u1'",
    "SELECT user_id FROM one_time_links WHERE user_id = 'u1'",
    "SELECT user_id FROM recovery_codes WHERE user_id = 'u1'",
    "SELECT user_id FROM second_factors WHERE user_id = 'u1'",
    "SELECT user_id FROM session_families WHERE user_id = 'u1'",
    "SELECT user_id FROM users WHERE user_id = 'u1'",
    "SELECT user_id FROM wallets WHERE user_id = 'u1'",
];

/// Rows whose own tests are elsewhere; the bytes of one are those of another, which both databases write alike.
const OTHER_ROWS: [&str; 4] = [
    "INSERT INTO api_keys (id, secret_hash, user_id, org_id, name, scopes, created_at_ms, expires_at_ms) \
     SELECT 'k1', token_hash, 'u1', 'org-1', 'mine', 'nodes.read', 1, 900 FROM one_time_links",
    "INSERT INTO oidc_identities (identity_id, issuer, subject, user_id, linked_at_ms) VALUES ('i1', 'x', 'y', 'u1', 1)",
    "INSERT INTO nodes (node_id, region, state, state_reason, state_since_ms, enrolled_at_ms, org_id, agent_version, os, arch) \
     VALUES ('n1', 'eu', 'active', 'x', 1, 1, 'main', '1', 'linux', 'x86_64')",
    "INSERT INTO node_assignments (node_id, user_id, org_id, assigned_at_ms, assigned_by) \
     VALUES ('n1', 'u1', 'main', 1, 'user:u0')",
];

async fn of_people(store: &Store) -> Vec<String> {
    let inspect = store.inspect();
    let found = match inspect.dialect() {
        Dialect::Sqlite => {
            inspect
                .texts(
                    "SELECT t.name FROM sqlite_master t JOIN pragma_table_info(t.name) c ON c.name = 'user_id' \
                     WHERE t.type = 'table' ORDER BY t.name",
                )
                .await
        }
        Dialect::Postgres => {
            inspect
                .texts(
                    "SELECT CAST(table_name AS TEXT) FROM information_schema.columns WHERE column_name = 'user_id' \
                     AND table_schema = current_schema() ORDER BY table_name",
                )
                .await
        }
    };
    found.expect("tables").into_iter().flatten().collect()
}

async fn delete(store: &Store, user_id: &str) -> AccountDeleted {
    let mut entry = entry(50);
    entry.actor = format!("user:{user_id}");
    entry.object.clone_from(&entry.actor);
    let own = Scope::Person(user_id.to_owned());
    store.account_delete(&own, &entry).await.expect("answer")
}

#[tokio::test]
async fn an_account_goes_with_all_that_is_its_own() {
    on_both(|store| async move {
        assert_eq!(
            of_people(&store).await,
            OF_PEOPLE,
            "export and deletion know these tables"
        );
        user(&store, "u0", "main", &["admin"]).await;
        org(&store, "org-1").await;
        user(&store, "u1", "org-1", &["operator"]).await;
        set(&store, "u1", "main", &["viewer"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        set_up(&store, "u1", "1").await;
        let own = Scope::Person("u1".to_owned());
        store
            .wallet_link(&own, ("evm", "0xA"), "1", &entry(2))
            .await
            .expect("wallet");
        let link = NewLink {
            token_hash: [9; 32],
            user_id: Some("u1".to_owned()),
            created_by: "cli".to_owned(),
            created_at_ms: 3,
            expires_at_ms: 900,
        };
        assert!(
            store
                .link_create(SERVER, &link, &entry(3))
                .await
                .expect("link")
        );
        let made = store
            .enrolment_token_create(&ALL, &token_by("u1", 7), &entry(4))
            .await;
        made.expect("token");

        for row in OTHER_ROWS {
            store.inspect().execute(row).await.expect(row);
        }
        for rows in OF_U1 {
            assert!(
                !store.inspect().texts(rows).await.expect(rows).is_empty(),
                "{rows}"
            );
        }

        assert_eq!(delete(&store, "u0").await, AccountDeleted::Admin);
        assert_eq!(delete(&store, "u1").await, AccountDeleted::Deleted);
        for rows in OF_U1 {
            assert_eq!(store.inspect().texts(rows).await.expect(rows), [], "{rows}");
        }
        assert_eq!(delete(&store, "u1").await, AccountDeleted::NoUser);
        assert!(session(&store, 1).await.is_none());
        assert!(store.member_get(&ALL, "u1").await.expect("read").is_none());
        let org = store
            .org_get(&ALL, "org-1")
            .await
            .expect("read")
            .expect("org-1");
        assert!(org.closed_at_ms.is_some());
        assert_eq!((org.name.as_str(), org.members), ("org-1", 0));
        // The main organisation is nobody's own.
        let main = store
            .org_get(&ALL, "main")
            .await
            .expect("read")
            .expect("main");
        assert_eq!((main.closed_at_ms, main.members), (None, 1));
    })
    .await;
}

#[tokio::test]
async fn two_who_leave_at_once_close_what_they_leave_behind() {
    on_both(|store| async move {
        user(&store, "u0", "main", &["admin"]).await;
        for n in 1..9 {
            let org_id = format!("org-{n}");
            org(&store, &org_id).await;
            let [one, two] = [format!("a{n}"), format!("b{n}")];
            user(&store, &one, &org_id, &["operator"]).await;
            user(&store, &two, &org_id, &["operator"]).await;
            let deleted = tokio::join!(delete(&store, &one), delete(&store, &two));
            assert_eq!(deleted, (AccountDeleted::Deleted, AccountDeleted::Deleted));
            let org = store
                .org_get(&ALL, &org_id)
                .await
                .expect("read")
                .expect("there");
            assert!(org.closed_at_ms.is_some(), "{org_id} has nobody");
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_who_want_one_name_one_has_it() {
    on_both(|store| async move {
        user(&store, "u0", "main", &["admin"]).await;
        let register = async |n: u8, email: &str, org_id: &str, name: &str| {
            let mut user = person(&format!("r{n}"), org_id, &["operator"]);
            email.clone_into(&mut user.email);
            let org = NewOrg { org_id, name };
            let made = store.user_register(SERVER, &user, &org, &entry(5)).await;
            made.expect("answer")
        };
        let (one, two) = tokio::join!(
            register(1, "r1@example.com", "o-1", "Same"),
            register(2, "r2@example.com", "o-2", "Same"),
        );
        let registered = [one, two]
            .iter()
            .filter(|made| **made == UserRegistered::Registered)
            .count();
        assert_eq!(registered, 1, "{one:?} {two:?}");
        let (one, two) = tokio::join!(
            register(3, "same@example.com", "o-3", "Three"),
            register(4, "same@example.com", "o-4", "Four"),
        );
        let taken = [one, two]
            .iter()
            .filter(|made| **made == UserRegistered::EmailTaken)
            .count();
        assert_eq!(taken, 1, "{one:?} {two:?}");
        let orgs = store.org_list(&ALL, None, 10).await.expect("read");
        assert_eq!(
            orgs.len(),
            3,
            "main, and those that have somebody: {orgs:?}"
        );
    })
    .await;
}
