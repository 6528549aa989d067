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

/// Tables with rows of a person. Of each of them an export tells, and a deletion leaves nothing.
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
            .wallet_link(&own, ("evm", "0xA"), &entry(2))
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

        assert_eq!(delete(&store, "u0").await, AccountDeleted::Admin);
        assert_eq!(delete(&store, "u1").await, AccountDeleted::Deleted);
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
