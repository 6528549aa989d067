//! What is taken from people while they use it: neither side waits for the other in a circle, and nothing is kept that was
//! taken.

#![allow(
    clippy::large_futures,
    reason = "tests hold both sides of a race at once, and run one at a time"
)]

use super::members::{act_for, entry, org, session, set, sign_in, token_by, user};
use crate::support::{ALL, SERVER, enrol, membership, on_both, token_of};
use dgon_control_plane_store::assignments::Assignment;
use dgon_control_plane_store::identities::{Identity, IdentityLinked, IdentityUnlinked};
use dgon_control_plane_store::links::NewLink;
use dgon_control_plane_store::node_keys::Rotating;
use dgon_control_plane_store::node_transfers::Transfer;
use dgon_control_plane_store::orgs::OrgChanged;
use dgon_control_plane_store::sessions::{NewSession, SessionProof, TokenPair};
use dgon_control_plane_store::users::AccessChanged;
use dgon_control_plane_store::wallets::WalletUnlinked;
use dgon_control_plane_store::{Enrolment, NewNode, Scope, Store};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::rotate::Rotation;

/// A browser's tries to hold on to something, while it is taken away.
async fn at_once<T, U>(one: impl Future<Output = T>, two: impl Future<Output = U>) -> (T, U) {
    tokio::join!(one, two)
}

#[tokio::test]
async fn a_token_that_is_made_while_its_maker_goes_works_not() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["admin"]).await;
        for n in 10..26 {
            let user_id = format!("u{n}");
            user(&store, &user_id, "main", &["operator"]).await;
            let (token, made_at) = (token_by(&user_id, n), entry(1));
            let make = store.enrolment_token_create(&ALL, &token, &made_at);
            let gone_at = entry(5);
            let gone = async {
                match n % 3 {
                    0 => store.user_disable(&ALL, &user_id, true, &gone_at).await,
                    1 => {
                        store
                            .membership_remove(&ALL, &user_id, "main", &gone_at)
                            .await
                    }
                    _ => {
                        let viewer = membership("main", &["viewer"]);
                        store
                            .membership_set(&ALL, &user_id, &viewer, &gone_at)
                            .await
                    }
                }
            };
            let (made, gone) = at_once(make, gone).await;
            made.expect("token");
            assert_eq!(gone.expect("gone"), AccessChanged::Changed);
            let enrolled = enrol(&store, &[n; 32], &format!("node-{n}"), n).await;
            assert_eq!(enrolled, Enrolment::InvalidToken, "{n}");
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_goes_while_they_are_assigned_takes_care_of_nothing() {
    on_both(|store| async move {
        user(&store, "u0", "main", &["admin"]).await;
        let token = token_of(&store, "node", Some("main")).await;
        assert!(matches!(
            enrol(&store, &token, "node", 1).await,
            Enrolment::Enrolled { .. }
        ));
        for n in 10..26 {
            let user_id = format!("u{n}");
            user(&store, &user_id, "main", &["operator"]).await;
            let (assigned_at, gone_at) = (entry(1), entry(5));
            let assign = store.node_assign(&ALL, ("node", &user_id), &assigned_at);
            let gone = async {
                match n % 3 {
                    0 => store.user_disable(&ALL, &user_id, true, &gone_at).await,
                    1 => {
                        store
                            .membership_remove(&ALL, &user_id, "main", &gone_at)
                            .await
                    }
                    _ => {
                        let viewer = membership("main", &["viewer"]);
                        store
                            .membership_set(&ALL, &user_id, &viewer, &gone_at)
                            .await
                    }
                }
            };
            let (assigned, gone) = at_once(assign, gone).await;
            let assigned = assigned.expect("assign");
            assert!(matches!(
                assigned,
                Assignment::Changed | Assignment::NoMember
            ));
            assert_eq!(gone.expect("gone"), AccessChanged::Changed);
            let left = store.node_assignees(&ALL, &["node"]).await;
            assert_eq!(left.expect("people"), [], "{n}");
        }
    })
    .await;
}

/// Whoever had the secret of a node that is passed on has none afterwards, whatever they did at that moment, and no key of theirs
/// is the first one of those who have the node now.
#[tokio::test]
async fn a_node_that_is_passed_on_leaves_nothing_with_those_who_had_it() {
    on_both(|store| async move {
        org(&store, "o2").await;
        for n in 10..26_u8 {
            let name = format!("node-{n}");
            let first = token_of(&store, &name, Some("o1")).await;
            assert!(matches!(
                enrol(&store, &first, &name, n).await,
                Enrolment::Enrolled { .. }
            ));
            let node_id = NodeId::parse(&name).expect("id");
            let (old, new) = (
                NodeKey::from_seed(&[n; 32]),
                NodeKey::from_seed(&[n + 100; 32]),
            );
            let (passed_at, rotated_at) = (entry(20), entry(20));
            let pass = store.node_transfer(&ALL, (&name, "o2"), &passed_at);
            if n % 2 == 0 {
                let token = token_of(&store, &format!("again-{n}"), Some("o1")).await;
                let public_key = old.public();
                let again = NewNode {
                    node_id: &node_id,
                    region: None,
                    public_key: &public_key,
                    sealed_secret: b"another",
                    agent_version: "1",
                    os: "linux",
                    arch: "x86_64",
                    hardware_hash: None,
                    at_ms: 20,
                    ip: None,
                    request_id: None,
                };
                let enrol = store.enrol_again(SERVER, &token, &again);
                let (passed, enrolled) = at_once(pass, enrol).await;
                assert_eq!(passed.expect("transfer"), Transfer::Done);
                let enrolled = enrolled.expect("no circle of locks");
                assert!(matches!(
                    enrolled,
                    Enrolment::Enrolled { .. } | Enrolment::OtherOrg
                ));
            } else {
                let rotation = Rotation::sign(&node_id, &old, &new, 1);
                let rotate = store.node_key_rotate(SERVER, &rotation, 20, &rotated_at);
                let (passed, rotated) = at_once(pass, rotate).await;
                assert_eq!(passed.expect("transfer"), Transfer::Done);
                let rotated = rotated.expect("no circle of locks");
                assert!(matches!(
                    rotated,
                    Rotating::Done { .. } | Rotating::NoSecret
                ));
            }
            let secret = store.node_secret(SERVER, &node_id).await;
            assert_eq!(secret.expect("secret"), None, "{n}");
            let keys = store.node_keys(&ALL, &node_id).await.expect("keys");
            let theirs = keys.iter().all(|key| key.org_id.as_deref() == Some("o1"));
            assert!(theirs, "{n}: {keys:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_organisation_that_closes_is_passed_no_node() {
    on_both(|store| async move {
        for n in 10..18_u8 {
            let (name, org_id) = (format!("node-{n}"), format!("closing-{n}"));
            org(&store, &org_id).await;
            let token = token_of(&store, &name, Some("o1")).await;
            enrol(&store, &token, &name, n).await;
            let (passed_at, closed_at) = (entry(20), entry(20));
            let (passed, closed) = at_once(
                store.node_transfer(&ALL, (&name, &org_id), &passed_at),
                store.org_close(&ALL, &org_id, &closed_at),
            )
            .await;
            let both = (passed.expect("transfer"), closed.expect("close"));
            assert!(
                matches!(
                    both,
                    (Transfer::Done, OrgChanged::HasNodes { nodes: 1 })
                        | (Transfer::NoOrganisation, OrgChanged::Changed)
                ),
                "{both:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn somebody_who_changes_organisations_without_a_pause_is_disabled_all_the_same() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        user(&store, "u0", "main", &["admin"]).await;
        for n in 1..9 {
            let store = &store;
            let disabled_at = entry(9);
            if n == 1 {
                user(store, "u1", "main", &["operator"]).await;
                set(store, "u1", "org-1", &["viewer"]).await;
            } else {
                let open = store.user_disable(&ALL, "u1", false, &entry(8)).await;
                assert_eq!(open.expect("open"), AccessChanged::Changed);
            }
            let (one, two) = (2 * n, 2 * n + 1);
            for session in [one, two] {
                sign_in(store, "u1", session).await.expect("session");
            }
            let change = async |session: u8| {
                for _ in 0..8 {
                    act_for(store, session, "org-1").await;
                    act_for(store, session, "main").await;
                }
            };
            let (_, shut) = at_once(
                at_once(change(one), change(two)),
                store.user_disable(&ALL, "u1", true, &disabled_at),
            )
            .await;
            assert_eq!(shut.expect("no circle of locks"), AccessChanged::Changed);
            assert_eq!(
                (session(store, one).await, session(store, two).await),
                (None, None)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_proved_somebody_and_was_taken_away_signs_nobody_in() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["admin"]).await;
        user(&store, "u2", "main", &["admin"]).await;
        let own = Scope::Person("u1".to_owned());
        let wallet = ("evm", "0xA");
        sign_in(&store, "u1", 60).await.expect("session");
        store
            .wallet_link(&own, wallet, "60", &entry(1))
            .await
            .expect("wallet");
        let by = async |n: u8, proof: SessionProof<'_>| {
            let pair = TokenPair {
                refresh_hash: [n; 32],
                access_hash: [n | 0x80; 32],
                issued_at_ms: i64::from(n),
                access_expires_at_ms: 1_000,
                refresh_expires_at_ms: 1_000,
            };
            let new = NewSession {
                family_id: &n.to_string(),
                user_id: "u1",
                method: match proof {
                    SessionProof::Wallet { .. } => "wallet",
                    SessionProof::Oidc { .. } => "oidc",
                    _ => "test",
                },
                proof,
                factor: None,
                ip: None,
                user_agent: None,
                expires_at_ms: 1_000,
                pair: &pair,
            };
            let session = store.session_create(SERVER, &new, &entry(1)).await;
            session.expect("session").session().is_some()
        };
        let by_wallet = SessionProof::Wallet {
            kind: "evm",
            address: "0xA",
        };
        assert!(by(1, SessionProof::Password("hash of u1")).await);
        assert!(by(2, by_wallet).await);
        // A password that was changed, from the sign-in that is kept.
        let set = async |hash: &str, verified: &str, n: u8| {
            let (family_id, entry) = (n.to_string(), entry(9));
            let set = store.password_set(&own, (hash, Some(verified)), &family_id, &entry);
            set.await.expect("set")
        };
        assert!(!set("new", "not that one", 1).await);
        assert!(set("new", "hash of u1", 1).await);
        assert!(!by(3, SessionProof::Password("hash of u1")).await);
        assert!(by(4, SessionProof::Password("new")).await);
        assert!(!set("newer", "new", 2).await, "by a sign-in that has ended");
        // A link whose maker administers nothing any more; it works again when they do.
        let link = NewLink {
            token_hash: [7; 32],
            user_id: Some("u1".to_owned()),
            created_by: "user:u2".to_owned(),
            created_at_ms: 1,
            expires_at_ms: 1_000,
        };
        assert!(
            store
                .link_create(SERVER, &link, &entry(1))
                .await
                .expect("link")
        );
        assert_eq!(
            set_roles(&store, "u2", &["viewer"]).await,
            AccessChanged::Changed
        );
        let owner = store.link_owner(SERVER, &[7; 32], 50).await.expect("owner");
        assert_eq!(owner, None);
        assert!(!by(5, SessionProof::Link(&[7; 32])).await);
        assert_eq!(
            set_roles(&store, "u2", &["admin", "viewer"]).await,
            AccessChanged::Changed
        );
        assert!(by(6, SessionProof::Link(&[7; 32])).await);
        assert!(!by(7, SessionProof::Link(&[7; 32])).await);
        // A wallet that was taken away, with the sign-ins that it began.
        assert!(by(8, by_wallet).await);
        let unlinked = store.wallet_unlink(&own, wallet, "6", &entry(9)).await;
        assert_eq!(unlinked.expect("unlink"), WalletUnlinked::Unlinked);
        assert!(!by(9, by_wallet).await);
        assert_eq!(session(&store, 8).await, None, "it began with the wallet");
        assert!(session(&store, 6).await.is_some());
        // An account at an issuer, in the same way.
        let identity = Identity {
            identity_id: "i1".to_owned(),
            issuer: "https://issuer.example".to_owned(),
            subject: "s1".to_owned(),
            email: None,
            linked_at_ms: 1,
        };
        let by_issuer = SessionProof::Oidc {
            issuer: "https://issuer.example",
            subject: "s1",
        };
        assert!(!by(10, by_issuer).await, "before it is linked");
        // The sign-in that was to link it was ended meanwhile.
        let linked = store.identity_link(&own, &identity, "60", &entry(1)).await;
        assert_eq!(linked.expect("link"), IdentityLinked::NoUser);
        let linked = store.identity_link(&own, &identity, "6", &entry(1)).await;
        assert_eq!(linked.expect("link"), IdentityLinked::Linked);
        assert!(by(11, by_issuer).await);
        let elsewhere = SessionProof::Oidc {
            issuer: "https://other.example",
            subject: "s1",
        };
        assert!(!by(12, elsewhere).await, "a name of another issuer");
        let unlinked = store.identity_unlink(&own, "i1", "6", &entry(9)).await;
        assert_eq!(unlinked.expect("unlink"), IdentityUnlinked::Unlinked);
        assert!(!by(13, by_issuer).await);
        assert_eq!(session(&store, 11).await, None, "it began by the issuer");
        assert!(session(&store, 6).await.is_some());
    })
    .await;
}

async fn set_roles(store: &Store, user_id: &str, roles: &[&str]) -> AccessChanged {
    set(store, user_id, "main", roles).await
}
