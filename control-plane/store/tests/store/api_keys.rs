//! API keys: kept for who may have them, and lost with what they need, whatever happens at the time.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]
#![allow(
    clippy::large_futures,
    reason = "tests hold both sides of a race at once, and run one at a time"
)]

use super::members::{entry, org, set, sign_in, token_by, user};
use crate::support::{ALL, SERVER, enrol, membership, on_both};
use dgon_control_plane_model::api_key::Scopes;
use dgon_control_plane_store::api_keys::{
    ApiKeyMade, ApiKeyRow, KeyNow, KeyUse, LIVE_KEYS, NewApiKey, USE_NOTED_MS,
};
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::users::AccessChanged;
use dgon_control_plane_store::{Enrolment, Scope, Store};

fn own(user_id: &str) -> Scope {
    Scope::Person(user_id.to_owned())
}

/// Makes a key by the sign-in `family_id` of a person.
async fn make(
    store: &Store,
    (user_id, family_id): (&str, &str),
    (id, org_id): (&str, &str),
    scopes: &str,
) -> ApiKeyMade {
    let scopes: Scopes = scopes.parse().expect("scopes");
    let new = NewApiKey {
        id,
        secret_hash: &[7; 32],
        org_id,
        family_id,
        name: "a key",
        scopes: &scopes,
        models: Some("[\"a\"]"),
        budget_nano_usd: Some(i64::MAX),
        expires_at_ms: 1_000,
    };
    let made = store.api_key_create(&own(user_id), &new, &entry(5)).await;
    made.expect("create")
}

async fn now(store: &Store, id: &str) -> Option<KeyNow> {
    store.api_key_now(SERVER, id).await.expect("now")
}

/// Whether a key that nobody looks at the time of still does something.
async fn works(store: &Store, id: &str) -> bool {
    let now = now(store, id).await;
    now.is_some_and(|now| !now.is_revoked && now.roles.is_some())
}

async fn list(store: &Store, scope: &Scope, user_id: &str) -> Vec<ApiKeyRow> {
    let rows = store.api_key_list(scope, user_id, None, 100).await;
    rows.expect("list")
}

async fn audited(store: &Store) -> usize {
    let rows = store
        .inspect()
        .audit_latest(Some("test:members"), 100)
        .await;
    rows.expect("audit").len()
}

#[tokio::test]
async fn a_key_is_kept_for_who_may_do_what_it_may() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        user(&store, "u1", "main", &["operator"]).await;
        user(&store, "u2", "main", &["admin"]).await;
        set(&store, "u1", "org-1", &["consumer"]).await;
        // Nobody but the network's own organisation has admins, whatever a row says.
        set(&store, "u2", "org-1", &["admin"]).await;
        for (n, user_id) in [(1, "u1"), (2, "u2")] {
            sign_in(&store, user_id, n).await.expect("session");
        }
        let before = audited(&store).await;
        for (by, key, scopes) in [
            (("u1", "1"), ("a", "main"), "gateway"),
            (("u1", "1"), ("a", "main"), "gateway nodes.read"),
            (("u1", "1"), ("a", "org-1"), "nodes.read"),
            (("u1", "1"), ("a", "nowhere"), "nodes.read"),
            (("u2", "2"), ("a", "org-1"), "nodes.read"),
        ] {
            let made = make(&store, by, key, scopes).await;
            assert_eq!(made, ApiKeyMade::NotAllowed, "{key:?} {scopes}");
        }
        for by in [("u1", "2"), ("u1", "3"), ("u3", "1")] {
            let made = make(&store, by, ("a", "main"), "nodes.read").await;
            assert_eq!(made, ApiKeyMade::NoUser, "{by:?}");
        }
        assert_eq!(
            (now(&store, "a").await, audited(&store).await),
            (None, before)
        );
        let made = make(
            &store,
            ("u1", "1"),
            ("a", "main"),
            "receipts.read nodes.read",
        )
        .await;
        let ApiKeyMade::Made(row) = made else {
            panic!("{made:?}");
        };
        assert_eq!(list(&store, &own("u1"), "u1").await, [(*row).clone()]);
        assert_eq!(row.scopes, "receipts.read nodes.read");
        assert_eq!(
            (row.created_at_ms, row.budget_nano_usd),
            (5, Some(i64::MAX))
        );
        let known = now(&store, "a").await.expect("a key");
        assert_eq!(known.roles, Some(vec!["operator".to_owned()]));
        assert_eq!((known.secret_hash, known.expires_at_ms), ([7; 32], 1_000));
        let admins = make(&store, ("u2", "2"), ("b", "main"), "gateway nodes.read").await;
        assert!(matches!(admins, ApiKeyMade::Made(_)), "{admins:?}");
        assert_eq!(audited(&store).await, before + 2);
    })
    .await;
}

#[tokio::test]
async fn a_person_has_so_many_keys_that_work() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["operator"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        let by = ("u1", "1");
        for n in 0..LIVE_KEYS {
            let id = format!("k{n:02}");
            let made = make(&store, by, (&id, "main"), "nodes.read").await;
            assert!(matches!(made, ApiKeyMade::Made(_)), "{n}: {made:?}");
        }
        let one_more = async |id: &str| make(&store, by, (id, "main"), "nodes.read").await;
        assert_eq!(one_more("l1").await, ApiKeyMade::TooMany);
        let revoked = store.api_key_revoke(&own("u1"), "k00", &entry(6)).await;
        assert!(revoked.expect("revoke"));
        assert!(matches!(one_more("l1").await, ApiKeyMade::Made(_)));
        assert_eq!(one_more("l2").await, ApiKeyMade::TooMany);
        // Two at once are no more than one after the other.
        let gone = store.api_key_revoke(&own("u1"), "k01", &entry(6)).await;
        assert!(gone.expect("revoke"));
        let (one, two) = tokio::join!(one_more("m1"), one_more("m2"));
        let made = [&one, &two]
            .into_iter()
            .filter(|made| matches!(made, ApiKeyMade::Made(_)));
        assert_eq!(made.count(), 1, "{one:?} {two:?}");
    })
    .await;
}

#[tokio::test]
async fn keys_are_seen_and_revoked_in_scope() {
    on_both(|store| async move {
        for (n, user_id) in [(1, "u1"), (2, "u2")] {
            user(&store, user_id, "main", &["operator"]).await;
            sign_in(&store, user_id, n).await.expect("session");
            let by = (user_id, &*n.to_string());
            let made = make(&store, by, (user_id, "main"), "nodes.read").await;
            assert!(matches!(made, ApiKeyMade::Made(_)));
        }
        let strangers = [
            own("u2"),
            Scope::Organisation("main".to_owned()),
            Scope::Stranger,
        ];
        let before = audited(&store).await;
        for scope in &strangers {
            assert_eq!(list(&store, scope, "u1").await, [], "{scope:?}");
            let revoked = store.api_key_revoke(scope, "u1", &entry(6)).await;
            assert!(!revoked.expect("revoke"), "{scope:?}");
        }
        assert!(works(&store, "u1").await);
        assert_eq!(audited(&store).await, before);
        for scope in [ALL, own("u1")] {
            assert_eq!(list(&store, &scope, "u1").await.len(), 1, "{scope:?}");
            let revoked = store.api_key_revoke(&scope, "u1", &entry(6)).await;
            assert!(revoked.expect("revoke"), "{scope:?}");
        }
        assert_eq!(audited(&store).await, before + 1, "twice is one row");
        assert!(!works(&store, "u1").await && works(&store, "u2").await);
        assert_eq!(list(&store, &ALL, "u1").await[0].revoked_at_ms, Some(6));
    })
    .await;
}

#[tokio::test]
async fn keys_end_with_what_they_need_and_the_log_says_how_many() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        user(&store, "u0", "main", &["admin"]).await;
        for (n, user_id) in [(1, "out"), (2, "less"), (3, "shut"), (4, "closed")] {
            let main = if user_id == "closed" { "org-1" } else { "main" };
            user(&store, user_id, main, &["consumer", "operator"]).await;
            sign_in(&store, user_id, n).await.expect("session");
            for scopes in ["nodes.read", "gateway nodes.read", "gateway"] {
                let id = format!("{user_id} {scopes}");
                let by = (user_id, &*n.to_string());
                let made = make(&store, by, (&id, main), scopes).await;
                assert!(matches!(made, ApiKeyMade::Made(_)), "{id}: {made:?}");
            }
        }
        let ended = async || {
            let rows = store.inspect().audit_latest(Some("test:members"), 1).await;
            let facts = rows.expect("audit")[0].read_facts().expect("facts");
            facts.and_then(|facts| facts.after).expect("after")["ended"]["api_keys"].clone()
        };
        let gone = store
            .membership_remove(&ALL, "out", "main", &entry(20))
            .await;
        assert_eq!(gone.expect("remove"), AccessChanged::Changed);
        assert_eq!(ended().await, 3);
        let consumer = membership("main", &["consumer"]);
        let less = store
            .membership_set(&ALL, "less", &consumer, &entry(21))
            .await;
        assert_eq!(less.expect("set"), AccessChanged::Changed);
        assert_eq!(ended().await, 1);
        let shut = store.user_disable(&ALL, "shut", true, &entry(22)).await;
        assert_eq!(shut.expect("disable"), AccessChanged::Changed);
        assert_eq!(ended().await, 3);
        store
            .org_close(&ALL, "org-1", &entry(9))
            .await
            .expect("close");
        // What comes back to a person does not come back to a key that ended.
        set(&store, "out", "main", &["consumer", "operator"]).await;
        let open = store.user_disable(&ALL, "shut", false, &entry(10)).await;
        assert_eq!(open.expect("open"), AccessChanged::Changed);
        for (id, lasts) in [
            ("out nodes.read", false),
            ("out gateway", false),
            ("less nodes.read", false),
            ("less gateway nodes.read", true),
            ("less gateway", true),
            ("shut gateway", false),
            ("closed gateway", false),
        ] {
            assert_eq!(works(&store, id).await, lasts, "{id}");
        }
        let less = now(&store, "less gateway nodes.read").await.expect("a key");
        assert_eq!(less.roles, Some(vec!["consumer".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_made_or_used_while_its_owner_goes_is_dead() {
    on_both(|store| async move {
        // Another than that of the network, whose row every change of what somebody may do takes.
        org(&store, "org-1").await;
        user(&store, "u0", "main", &["admin"]).await;
        for n in 10..26_u8 {
            let (user_id, family_id) = (format!("u{n}"), n.to_string());
            user(&store, &user_id, "org-1", &["operator"]).await;
            sign_in(&store, &user_id, n).await.expect("session");
            let (first, second) = (format!("a{n}"), format!("b{n}"));
            let by = (user_id.as_str(), family_id.as_str());
            make(&store, by, (&first, "org-1"), "nodes.read").await;
            let gone_at = entry(6);
            let gone = async {
                match n % 4 {
                    0 => store.user_disable(&ALL, &user_id, true, &gone_at).await,
                    1 => {
                        store
                            .membership_remove(&ALL, &user_id, "org-1", &gone_at)
                            .await
                    }
                    2 => {
                        let viewer = membership("org-1", &["viewer"]);
                        store
                            .membership_set(&ALL, &user_id, &viewer, &gone_at)
                            .await
                    }
                    _ => {
                        let revoked = store.api_key_revoke(&ALL, &first, &gone_at).await;
                        revoked.map(|_| AccessChanged::Changed)
                    }
                }
            };
            let uses: Vec<KeyUse> = [&second, &first]
                .map(|id| KeyUse {
                    id: id.clone(),
                    at_ms: 100_000 * i64::from(n),
                    ip: None,
                })
                .into();
            let (_, gone, used) = tokio::join!(
                make(&store, by, (&second, "org-1"), "nodes.read"),
                gone,
                store.api_keys_used(SERVER, &uses),
            );
            assert_eq!(gone.expect("no circle of locks"), AccessChanged::Changed);
            used.expect("no circle of locks");
            assert!(!works(&store, &first).await, "{n}");
            assert!(n % 4 == 3 || !works(&store, &second).await, "{n}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_that_a_key_makes_while_it_is_revoked_enrols_nothing() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["operator"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        for n in 10..26_u8 {
            let id = format!("k{n}");
            make(&store, ("u1", "1"), (&id, "main"), "enrolment.write").await;
            let token = NewEnrolmentToken {
                key_id: Some(id.clone()),
                ..token_by("u1", n)
            };
            let (made_at, revoked_at) = (entry(1), entry(6));
            let (made, revoked) = tokio::join!(
                store.enrolment_token_create(&ALL, &token, &made_at),
                store.api_key_revoke(&ALL, &id, &revoked_at),
            );
            made.expect("token");
            assert!(revoked.expect("revoke"));
            let enrolled = enrol(&store, &[n; 32], &format!("node-{n}"), n).await;
            assert_eq!(enrolled, Enrolment::InvalidToken, "{n}");
        }
        // One that expired makes none, nor one that is unknown.
        make(&store, ("u1", "1"), ("late", "main"), "enrolment.write").await;
        for (n, key_id, created_at_ms, kept) in [
            (1, "late", 999, true),
            (2, "late", 1_000, false),
            (3, "unknown", 1, false),
            (4, "k10", 1, false),
        ] {
            let token = NewEnrolmentToken {
                key_id: Some(key_id.to_owned()),
                created_at_ms,
                ..token_by("u1", n)
            };
            let made = store.enrolment_token_create(&ALL, &token, &entry(1)).await;
            assert_eq!(made.expect("token"), kept, "{key_id} at {created_at_ms}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_use_is_noted_once_a_minute() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["operator"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        for id in ["a", "b"] {
            make(&store, ("u1", "1"), (id, "main"), "nodes.read").await;
        }
        let used = async |id: &str, at_ms: i64, ip: &str| {
            let used = KeyUse {
                id: id.to_owned(),
                at_ms,
                ip: Some(ip.to_owned()),
            };
            let unknown = KeyUse {
                id: "unknown".to_owned(),
                ..used.clone()
            };
            let noted = store.api_keys_used(SERVER, &[unknown, used]).await;
            noted.expect("noted");
            let rows = list(&store, &ALL, "u1").await;
            let row = rows.into_iter().find(|row| row.id == id).expect("a key");
            (row.last_used_at_ms, row.last_used_ip)
        };
        let ip = |ip: &str| Some(ip.to_owned());
        assert_eq!(used("a", 100, "1").await, (Some(100), ip("1")));
        assert_eq!(
            used("a", 99 + USE_NOTED_MS, "2").await,
            (Some(100), ip("1"))
        );
        let later = 100 + USE_NOTED_MS;
        assert_eq!(used("a", later, "3").await, (Some(later), ip("3")));
        // One that comes late takes nothing back.
        assert_eq!(used("a", 150, "4").await, (Some(later), ip("3")));
        let rows = list(&store, &ALL, "u1").await;
        let other = rows.iter().find(|row| row.id == "b").expect("a key");
        assert_eq!(other.last_used_at_ms, None);
        store.api_keys_used(SERVER, &[]).await.expect("nothing");
    })
    .await;
}
