//! Users, one-time links, sessions, flags, enrolment tokens and the audit rows that go with them.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{ALL, SERVER, of_org, person};
use dgon_control_plane_store::Store;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::links::{NewLink, SetupDone};
use dgon_control_plane_store::session_refresh::Rotation;
use dgon_control_plane_store::sessions::{NewSession, OPEN_SESSIONS, SessionProof, TokenPair};
use dgon_control_plane_store::users::{NewUser, UserCreated};

const GRACE_MS: i64 = 10_000;

fn audit(at_ms: i64, action: &str) -> AuditEntry {
    AuditEntry {
        at_ms,
        actor: "cli".into(),
        action: action.into(),
        object: "test:1".into(),
        ..AuditEntry::default()
    }
}

fn user(id: &str, email: &str) -> NewUser {
    NewUser {
        email: email.to_owned(),
        ..person(id, "main", &["admin", "operator"])
    }
}

fn pair(n: u8, at_ms: i64) -> TokenPair {
    TokenPair {
        refresh_hash: [n; 32],
        access_hash: [n | 0x80; 32],
        issued_at_ms: at_ms,
        access_expires_at_ms: at_ms + 600_000,
        refresh_expires_at_ms: at_ms + 7 * 86_400_000,
    }
}

async fn rotate(store: &Store, parent: u8, child: u8, at_ms: i64) -> Rotation {
    store
        .session_rotate(
            SERVER,
            &[parent; 32],
            &pair(child, at_ms),
            GRACE_MS,
            &audit(at_ms, "session.reuse"),
        )
        .await
        .expect("rotate")
}

fn new_session<'a>(family_id: &'a str, pair: &'a TokenPair) -> NewSession<'a> {
    NewSession {
        family_id,
        user_id: "u1",
        method: "password",
        proof: SessionProof::Setup,
        factor: None,
        ip: None,
        user_agent: None,
        expires_at_ms: 86_400_000,
        pair,
    }
}

async fn signed_in(store: &Store) {
    store
        .user_create(&ALL, &user("u1", "a@example.com"), &audit(1, "user.create"))
        .await
        .expect("user");
    store
        .session_create(
            SERVER,
            &new_session("f1", &pair(1, 1_000)),
            &audit(1_000, "session.create"),
        )
        .await
        .expect("session");
}

#[tokio::test]
async fn an_email_belongs_to_one_user() {
    crate::support::on_both(|store| async move {
        let first = user("u1", "a@example.com");
        let entry = audit(1, "user.create");
        assert_eq!(
            store
                .user_create(&ALL, &first, &entry)
                .await
                .expect("create"),
            UserCreated::Created
        );
        let second = store
            .user_create(&ALL, &user("u2", "a@example.com"), &entry)
            .await
            .expect("create");
        assert_eq!(second, UserCreated::EmailTaken);
        let found = store.user_by_email(SERVER, "a@example.com").await;
        let found = found.expect("get").expect("somebody");
        assert_eq!((found.user_id, found.email), (first.user_id, first.email));
        assert_eq!(store.user_count(SERVER).await.expect("count"), 1);
        assert_eq!(
            store
                .inspect()
                .audit_latest(None, 10)
                .await
                .expect("audit")
                .len(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn a_setup_link_makes_one_first_user() {
    crate::support::on_both(|store| async move {
        for n in [1u8, 2] {
            let link = NewLink {
                token_hash: [n; 32],
                user_id: None,
                created_by: "cli".into(),
                created_at_ms: 10,
                expires_at_ms: 1_000,
            };
            store
                .link_create(SERVER, &link, &audit(10, "link.create"))
                .await
                .expect("link");
        }
        assert!(
            store
                .link_setup_is_valid(SERVER, &[1; 32], 1_000)
                .await
                .expect("valid")
        );
        assert!(
            !store
                .link_setup_is_valid(SERVER, &[1; 32], 1_001)
                .await
                .expect("valid")
        );
        assert!(
            !store
                .link_setup_is_valid(SERVER, &[9; 32], 20)
                .await
                .expect("valid")
        );
        let (first, second) = (user("u1", "a@example.com"), user("u2", "b@example.com"));
        let unknown = store
            .link_setup(SERVER, &[9; 32], &first, &audit(20, "user.setup"))
            .await
            .expect("setup");
        assert_eq!(unknown, SetupDone::LinkInvalid);
        let entry = audit(20, "user.setup");
        let (one, two) = tokio::join!(
            store.link_setup(SERVER, &[1; 32], &first, &entry),
            store.link_setup(SERVER, &[2; 32], &second, &entry),
        );
        let done = [one.expect("setup"), two.expect("setup")];
        let created = done
            .iter()
            .filter(|done| **done == SetupDone::Created)
            .count();
        assert_eq!(created, 1, "{done:?}");
        assert_eq!(store.user_count(SERVER).await.expect("count"), 1);
        assert!(
            !store
                .link_setup_is_valid(SERVER, &[2; 32], 20)
                .await
                .expect("valid")
        );
    })
    .await;
}

/// Whom a link would sign in, and whether it then does.
async fn redeemed(store: &Store, n: u8, now_ms: i64) -> (Option<String>, bool) {
    let hash = [n; 32];
    let owner = store.link_owner(SERVER, &hash, now_ms).await;
    let tokens = pair(100 + n, now_ms);
    let new = NewSession {
        proof: SessionProof::Link(&hash),
        ..new_session("by a link", &tokens)
    };
    let entry = audit(now_ms, "session.link");
    let session = store.session_create(SERVER, &new, &entry).await;
    (
        owner.expect("owner"),
        session.expect("session").session().is_some(),
    )
}

#[tokio::test]
async fn a_sign_in_link_works_once_and_in_time() {
    crate::support::on_both(|store| async move {
        signed_in(&store).await;
        for (n, expires_at_ms) in [(1u8, 100), (2, 50)] {
            let link = NewLink {
                token_hash: [n; 32],
                user_id: Some("u1".into()),
                created_by: "cli".into(),
                created_at_ms: 10,
                expires_at_ms,
            };
            store
                .link_create(SERVER, &link, &audit(10, "link.create"))
                .await
                .expect("link");
        }
        assert_eq!(redeemed(&store, 2, 51).await, (None, false));
        assert_eq!(redeemed(&store, 1, 51).await, (Some("u1".to_owned()), true));
        assert_eq!(redeemed(&store, 1, 52).await, (None, false));
    })
    .await;
}

#[tokio::test]
async fn an_access_token_ends_with_time_and_with_its_session() {
    crate::support::on_both(|store| async move {
        signed_in(&store).await;
        let session = store
            .session_by_access(SERVER, &[0x81; 32], 2_000)
            .await
            .expect("get")
            .expect("live");
        assert_eq!(
            (session.family_id.as_str(), session.user.user_id.as_str()),
            ("f1", "u1")
        );
        assert_eq!(
            store
                .session_by_access(SERVER, &[0x81; 32], 601_000)
                .await
                .expect("get"),
            None
        );
        assert_eq!(
            store
                .session_by_access(SERVER, &[0x01; 32], 2_000)
                .await
                .expect("get"),
            None
        );
        let entry = audit(3_000, "session.revoke");
        assert!(
            store
                .session_revoke(&ALL, "f1", "logout", &entry)
                .await
                .expect("revoke")
        );
        assert!(
            !store
                .session_revoke(&ALL, "f1", "logout", &entry)
                .await
                .expect("revoke")
        );
        assert_eq!(
            store
                .session_by_access(SERVER, &[0x81; 32], 2_000)
                .await
                .expect("get"),
            None
        );
        assert_eq!(rotate(&store, 1, 2, 4_000).await, Rotation::Invalid);
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_gives_one_child_and_reuse_ends_the_family() {
    crate::support::on_both(|store| async move {
        signed_in(&store).await;
        assert!(matches!(
            rotate(&store, 1, 2, 5_000).await,
            Rotation::Child {
                access_expires_at_ms: 605_000,
                ..
            }
        ));
        // The lost answer: the same child, with the times of its birth.
        assert!(matches!(
            rotate(&store, 1, 2, 15_000).await,
            Rotation::Child {
                access_expires_at_ms: 605_000,
                ..
            }
        ));
        assert!(matches!(
            rotate(&store, 2, 3, 16_000).await,
            Rotation::Child { .. }
        ));
        assert_eq!(rotate(&store, 9, 8, 16_000).await, Rotation::Invalid);
        assert_eq!(rotate(&store, 1, 2, 15_001).await, Rotation::Reused);
        for dead in [0x81, 0x82, 0x83] {
            assert_eq!(
                store
                    .session_by_access(SERVER, &[dead; 32], 16_000)
                    .await
                    .expect("get"),
                None
            );
        }
        assert_eq!(rotate(&store, 3, 4, 17_000).await, Rotation::Invalid);
        let trail = store
            .inspect()
            .audit_latest(Some("session:f1"), 10)
            .await
            .expect("audit");
        assert_eq!(trail.len(), 1);
        assert_eq!(trail[0].actor, "user:u1");
    })
    .await;
}

#[tokio::test]
async fn racing_refreshes_get_the_same_child() {
    crate::support::on_both(|store| async move {
        signed_in(&store).await;
        let (one, two) = tokio::join!(rotate(&store, 1, 2, 5_000), rotate(&store, 1, 2, 5_001));
        assert!(matches!(one, Rotation::Child { .. }), "{one:?}");
        assert!(matches!(two, Rotation::Child { .. }), "{two:?}");
    })
    .await;
}

#[tokio::test]
async fn idle_and_old_sessions_end_and_are_swept() {
    crate::support::on_both(|store| async move {
        signed_in(&store).await;
        assert_eq!(
            rotate(&store, 1, 2, 1_000 + 7 * 86_400_000).await,
            Rotation::Invalid
        );
        assert_eq!(rotate(&store, 1, 2, 86_400_000).await, Rotation::Invalid);
        // A day after its end: the tokens first, then the family that they belong to.
        for (now_ms, gone) in [(2 * 86_400_000, 0), (2 * 86_400_000 + 1, 1)] {
            for table in ["session_tokens", "session_families"] {
                let rows = crate::retention::expire(&store, table, now_ms, 10).await;
                assert_eq!(rows, gone, "{table} at {now_ms}");
            }
        }
        assert_eq!(
            store
                .session_family_of(SERVER, &[1; 32])
                .await
                .expect("family"),
            None
        );
    })
    .await;
}

#[tokio::test]
async fn a_flag_keeps_its_last_value() {
    crate::support::on_both(|store| async move {
        assert!(store.flags_changed(SERVER).await.expect("flags").is_empty());
        for enabled in [true, false] {
            store
                .flag_set(&ALL, "public_receipts", enabled, &audit(1, "flag.set"))
                .await
                .expect("set");
        }
        let flags = store.flags_changed(SERVER).await.expect("flags");
        assert_eq!(flags, [("public_receipts".to_owned(), false)]);
        assert_eq!(
            store
                .inspect()
                .audit_latest(None, 10)
                .await
                .expect("audit")
                .len(),
            2
        );
    })
    .await;
}

#[tokio::test]
async fn enrolment_tokens_are_listed_by_organisation_and_revoked() {
    crate::support::on_both(|store| async move {
        for (id, org, at) in [("a", "main", 1), ("b", "main", 2), ("c", "other", 3)] {
            let token = NewEnrolmentToken {
                id: id.into(),
                token_hash: [id.as_bytes()[0]; 32],
                label: String::new(),
                region: None,
                org_id: Some(org.into()),
                pool_id: None,
                created_by: "cli".into(),
                created_at_ms: at,
                expires_at_ms: 100,
                uses: 2,
                key_id: None,
            };
            let entry = audit(at, "enrolment_token.create");
            // One that is there already is as good.
            store.org_create(&ALL, org, org, &entry).await.expect("org");
            let kept = store.enrolment_token_create(&ALL, &token, &entry).await;
            assert!(kept.expect("create"));
        }
        let all = store
            .enrolment_token_list(&ALL, None, 10)
            .await
            .expect("list");
        assert_eq!(
            all.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
            ["c", "b", "a"]
        );
        assert_eq!((all[0].uses_total, all[0].uses_left), (2, 2));
        let page = store
            .enrolment_token_list(&of_org("main"), Some((2, "b")), 10)
            .await
            .expect("list");
        assert_eq!(
            page.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
            ["a"]
        );
        assert_eq!(
            store
                .enrolment_token_count(&of_org("main"))
                .await
                .expect("count"),
            2
        );
        let entry = audit(9, "enrolment_token.revoke");
        assert!(
            !store
                .enrolment_token_revoke(&of_org("other"), "a", &entry)
                .await
                .expect("revoke")
        );
        assert!(
            store
                .enrolment_token_revoke(&of_org("main"), "a", &entry)
                .await
                .expect("revoke")
        );
        let listed = store
            .enrolment_token_list(&ALL, None, 10)
            .await
            .expect("list");
        assert_eq!(listed[2].revoked_at_ms, Some(9));
        assert!(
            store
                .enrolment_token_used_by(&ALL, "a")
                .await
                .expect("used")
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn of_too_many_sessions_the_one_renewed_longest_ago_ends() {
    crate::support::on_both(|store| async move {
        signed_in(&store).await;
        let most = u8::try_from(OPEN_SESSIONS).expect("few");
        let sign_in = async |n: u8, at_ms: i64| {
            let (family_id, pair) = (format!("f{n}"), pair(n, at_ms));
            let entry = audit(at_ms, "session.sign_in");
            store
                .session_create(SERVER, &new_session(&family_id, &pair), &entry)
                .await
                .expect("session");
        };
        let open = async |n: u8| {
            let token = store.session_refresh_token(SERVER, &[n; 32], 20_000).await;
            token.expect("read").is_some()
        };
        for n in 2..=most {
            sign_in(n, 1_000 + i64::from(n)).await;
        }
        // The first one is in use.
        assert!(matches!(
            rotate(&store, 1, 101, 10_000).await,
            Rotation::Child { .. }
        ));
        assert!(open(1).await && open(2).await);
        sign_in(102, 11_000).await;
        assert!(open(101).await && !open(2).await && open(3).await && open(102).await);
        let trail = store
            .inspect()
            .audit_latest(None, 100)
            .await
            .expect("audit");
        let ended: Vec<&str> = trail
            .iter()
            .filter(|row| row.action == "session.too_many")
            .map(|row| row.object.as_str())
            .collect();
        assert_eq!(ended, ["session:f2"]);
    })
    .await;
}
