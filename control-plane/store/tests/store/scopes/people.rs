//! Enrolment tokens, sign-ins and flags.

use super::{OWN, audit, audited, network, of_person, others, own};
use crate::support::{ALL, SERVER, membership, of_org, on_both, person};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::identities::{
    IDENTITIES, Identity, IdentityLinked, IdentityUnlinked,
};
use dgon_control_plane_store::orgs::OrgChanged;
use dgon_control_plane_store::sessions::{NewSession, SessionProof, TokenPair};
use dgon_control_plane_store::users::{AccessChanged, UserCreated, UserFilter};
use dgon_control_plane_store::wallets::{WalletLinked, WalletUnlinked};
use dgon_control_plane_store::{Scope, Store};

fn token(id: &str, org_id: &str, user_id: &str) -> NewEnrolmentToken {
    let mut token_hash = [0; 32];
    token_hash[..id.len()].copy_from_slice(id.as_bytes());
    NewEnrolmentToken {
        id: id.to_owned(),
        token_hash,
        label: String::new(),
        region: None,
        org_id: Some(org_id.to_owned()),
        pool_id: None,
        created_by: format!("user:{user_id}"),
        created_at_ms: 1,
        expires_at_ms: 100,
        uses: 1,
        key_id: None,
    }
}

/// Ids of the tokens in scope, which are as many as are counted.
async fn tokens(store: &Store, scope: &Scope) -> Vec<String> {
    let rows = store
        .enrolment_token_list(scope, None, 100)
        .await
        .expect("list");
    let count = store.enrolment_token_count(scope).await.expect("count");
    assert_eq!(usize::try_from(count), Ok(rows.len()), "{scope:?}");
    rows.into_iter().rev().map(|row| row.id).collect()
}

#[tokio::test]
async fn tokens_are_made_and_seen_and_revoked_in_scope() {
    on_both(|store| async move {
        let kept = async |scope: &Scope, token: &NewEnrolmentToken| {
            store
                .enrolment_token_create(scope, token, &audit("token.create"))
                .await
                .expect("create")
        };
        let entry = AuditEntry::default();
        for (user_id, org_id) in [("u1", "org-1"), ("u2", "org-1"), ("u3", "org-2")] {
            let _ = store.org_create(&ALL, org_id, org_id, &entry).await;
            let new = person(user_id, org_id, &["operator"]);
            let made = store.user_create(&ALL, &new, &entry).await;
            assert_eq!(made.expect("user"), UserCreated::Created);
        }
        for scope in others() {
            assert!(!kept(&scope, &token("a", "org-1", "u1")).await, "{scope:?}");
        }
        // In the name of somebody who may not.
        assert!(!kept(&own(), &token("a", "org-1", "u3")).await);
        assert!(!kept(&ALL, &token("a", "org-1", "u3")).await);
        assert!(!kept(&ALL, &token("a", "nowhere", "u1")).await);
        assert_eq!(audited(&store).await, 0);
        assert!(kept(&own(), &token("a", "org-1", "u1")).await);
        assert!(kept(&own(), &token("b", "org-1", "u2")).await);
        assert!(kept(&ALL, &token("c", "org-2", "u3")).await);

        assert_eq!(tokens(&store, &ALL).await, ["a", "b", "c"]);
        assert_eq!(tokens(&store, &own()).await, ["a", "b"]);
        assert_eq!(tokens(&store, &of_org("org-2")).await, ["c"]);
        for nobody in [of_person("u1"), Scope::Stranger] {
            assert_eq!(tokens(&store, &nobody).await.len(), 0, "{nobody:?}");
        }

        let revoked = async |scope: &Scope| {
            store
                .enrolment_token_revoke(scope, "a", &audit("token.revoke"))
                .await
                .expect("revoke")
        };
        for scope in others() {
            assert!(!revoked(&scope).await, "{scope:?}");
        }
        let row = &store
            .enrolment_token_list(&ALL, None, 100)
            .await
            .expect("list")[2];
        assert_eq!((row.id.as_str(), row.revoked_at_ms), ("a", None));
        assert!(revoked(&own()).await);
        assert_eq!(audited(&store).await, 4);
    })
    .await;
}

#[tokio::test]
async fn what_a_token_enrolled_is_told_in_its_scope() {
    on_both(|store| async move {
        network(&store).await;
        // A seeded token has the name of its node.
        let used_by = async |scope: &Scope| {
            store
                .enrolment_token_used_by(scope, OWN)
                .await
                .expect("used by")
        };
        for scope in [ALL, own()] {
            assert_eq!(used_by(&scope).await, [OWN], "{scope:?}");
        }
        for scope in others().into_iter().chain([of_person("u1")]) {
            assert_eq!(used_by(&scope).await.len(), 0, "{scope:?}");
        }
    })
    .await;
}

async fn sign_in(store: &Store, user_id: &str, n: u8) {
    let pair = TokenPair {
        refresh_hash: [n; 32],
        access_hash: [n | 0x80; 32],
        issued_at_ms: 1,
        access_expires_at_ms: 1_000,
        refresh_expires_at_ms: 1_000,
    };
    let entry = AuditEntry::default();
    let mut user = person(user_id, "main", &["operator"]);
    user.password_hash = None;
    let made = store.user_create(&ALL, &user, &entry).await;
    assert_eq!(made.expect("user"), UserCreated::Created);
    let new = NewSession {
        family_id: user_id,
        user_id,
        method: "password",
        proof: SessionProof::Setup,
        factor: None,
        ip: None,
        user_agent: None,
        expires_at_ms: 1_000,
        pair: &pair,
    };
    store
        .session_create(SERVER, &new, &entry)
        .await
        .expect("session");
}

#[tokio::test]
async fn a_sign_in_is_its_persons_own() {
    on_both(|store| async move {
        sign_in(&store, "u1", 1).await;
        sign_in(&store, "u2", 2).await;
        let lives = async |scope: &Scope| {
            let now = store.session_now(scope, "u1", 50).await;
            now.expect("now").is_some()
        };
        let acts = async |scope: &Scope| {
            let entry = audit("session.organisation");
            let acting = store.session_act_for(scope, "u1", "main", &entry).await;
            acting.expect("act").is_some()
        };
        let ended = async |scope: &Scope| {
            store
                .session_revoke(scope, "u1", "sign_out", &audit("session.revoke"))
                .await
                .expect("revoke")
        };
        let not_theirs = [of_org("main"), of_person("u2")];
        for scope in others().into_iter().chain(not_theirs) {
            assert!(!lives(&scope).await, "{scope:?}");
            assert!(!acts(&scope).await, "{scope:?}");
            assert!(!ended(&scope).await, "{scope:?}");
        }
        for scope in [ALL, of_person("u1")] {
            assert!(lives(&scope).await, "{scope:?}");
        }
        let listed = async |scope: &Scope| {
            let list = store.session_list(scope, 50).await.expect("list");
            list.into_iter()
                .map(|one| one.family_id)
                .collect::<Vec<_>>()
        };
        assert_eq!(listed(&of_person("u1")).await, ["u1"]);
        for scope in [ALL, of_org("main"), Scope::Stranger] {
            assert!(listed(&scope).await.is_empty(), "{scope:?}");
        }
        assert_eq!(audited(&store).await, 0);
        // It is as it was: nothing to write down.
        assert!(acts(&of_person("u1")).await);
        assert_eq!(audited(&store).await, 0);
        assert!(ended(&of_person("u1")).await);
        assert!(!lives(&ALL).await);
        assert_eq!(audited(&store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn flags_are_the_systems() {
    on_both(|store| async move {
        let set = async |scope: &Scope| {
            store
                .flag_set(scope, "public_receipts", true, &audit("flag.set"))
                .await
                .expect("set")
        };
        for scope in others().into_iter().chain([own(), of_person("u1")]) {
            assert!(!set(&scope).await, "{scope:?}");
        }
        assert_eq!(store.flags_changed(SERVER).await.expect("flags"), []);
        assert_eq!(audited(&store).await, 0);
        assert!(set(&ALL).await);
        assert_eq!(audited(&store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn people_and_organisations_are_the_systems() {
    on_both(|store| async move {
        let entry = AuditEntry::default();
        let new = person("u1", "main", &["viewer"]);
        store.user_create(&ALL, &new, &entry).await.expect("user");
        let made = store.org_create(&ALL, "org-1", "One", &entry).await;
        assert_eq!(made.expect("org"), OrgChanged::Changed);
        let entry = audit("scope");
        for scope in others().into_iter().chain([own(), of_person("u1")]) {
            let new = person("u2", "main", &["admin"]);
            let made = store.user_create(&scope, &new, &entry).await;
            assert_eq!(
                made.expect("user"),
                UserCreated::NoOrganisation,
                "{scope:?}"
            );
            let listed = store
                .member_list(&scope, &UserFilter::default(), None, 10)
                .await;
            assert_eq!(listed.expect("list"), [], "{scope:?}");
            let admin = membership("main", &["admin"]);
            for changed in [
                store.membership_set(&scope, "u1", &admin, &entry).await,
                store.membership_remove(&scope, "u1", "main", &entry).await,
                store.user_disable(&scope, "u1", true, &entry).await,
            ] {
                assert_eq!(changed.expect("change"), AccessChanged::NoUser, "{scope:?}");
            }
            for changed in [
                store.org_create(&scope, "org-9", "Nine", &entry).await,
                store.org_rename(&scope, "org-1", "Uno", &entry).await,
                store.org_close(&scope, "org-1", &entry).await,
            ] {
                assert_eq!(
                    changed.expect("change"),
                    OrgChanged::NoOrganisation,
                    "{scope:?}"
                );
            }
        }
        assert_eq!(audited(&store).await, 0);
        let seen = async |scope: &Scope| {
            let one = store.member_get(scope, "u1").await.expect("get").is_some();
            let org = store.org_get(scope, "org-1").await.expect("get").is_some();
            let orgs = store.org_list(scope, None, 10).await.expect("list").len();
            (one, org, orgs)
        };
        assert_eq!(seen(&ALL).await, (true, true, 2));
        assert_eq!(seen(&of_person("u1")).await, (true, false, 0));
        assert_eq!(seen(&own()).await, (false, true, 1));
        for scope in others() {
            assert_eq!(seen(&scope).await, (false, false, 0), "{scope:?}");
        }
    })
    .await;
}

/// Each one's sign-in is called as its person.
fn sign_in_of(scope: &Scope) -> &str {
    match scope {
        Scope::Person(user_id) => user_id,
        _ => "u1",
    }
}

#[tokio::test]
async fn wallets_and_passwords_are_their_persons_own() {
    on_both(|store| async move {
        sign_in(&store, "u1", 1).await;
        sign_in(&store, "u2", 2).await;
        let entry = audit("scope");
        let wallet = ("evm", "0xA");
        let (own_of, not_theirs) = (of_person("u1"), [of_person("u2"), ALL, own()]);
        let link = async |scope: &Scope| {
            let sign_in = sign_in_of(scope);
            let linked = store.wallet_link(scope, wallet, sign_in, &entry).await;
            linked.expect("link")
        };
        for scope in [ALL, own(), Scope::Stranger] {
            assert_eq!(link(&scope).await, WalletLinked::NoUser, "{scope:?}");
        }
        assert_eq!(audited(&store).await, 0);
        let by_anothers = store.wallet_link(&own_of, wallet, "u2", &entry).await;
        assert_eq!(by_anothers.expect("link"), WalletLinked::NoUser);
        assert_eq!(link(&own_of).await, WalletLinked::Linked);
        assert_eq!(link(&own_of).await, WalletLinked::Unchanged);
        assert_eq!(link(&of_person("u2")).await, WalletLinked::Taken);
        let listed = async |scope: &Scope| store.wallet_list(scope).await.expect("list").len();
        assert_eq!(listed(&own_of).await, 1);
        for scope in &not_theirs {
            assert_eq!(listed(scope).await, 0, "{scope:?}");
            let unlinked = store.wallet_unlink(scope, wallet, "u1", &entry).await;
            assert_eq!(
                unlinked.expect("unlink"),
                WalletUnlinked::NoWallet,
                "{scope:?}"
            );
        }
        for scope in [ALL, own(), Scope::Stranger] {
            let set = store
                .password_set(&scope, ("hash", None), "u1", &entry)
                .await;
            assert!(!set.expect("set"), "{scope:?}");
        }
        let last = store.wallet_unlink(&own_of, wallet, "u1", &entry).await;
        assert_eq!(last.expect("unlink"), WalletUnlinked::LastWayIn);
        let set = store
            .password_set(&own_of, ("hash", None), "u1", &entry)
            .await;
        assert!(set.expect("set"));
        let unlinked = store.wallet_unlink(&own_of, wallet, "u1", &entry).await;
        assert_eq!(unlinked.expect("unlink"), WalletUnlinked::Unlinked);
        assert_eq!(audited(&store).await, 3);
        // Of two that bring one answer at once, one is first.
        let (one, two) = tokio::join!(
            store.nonce_spend(SERVER, &[7; 32], 100, 50),
            store.nonce_spend(SERVER, &[7; 32], 100, 50),
        );
        assert_ne!(one.expect("spend"), two.expect("spend"));
    })
    .await;
}

#[tokio::test]
async fn identities_are_their_persons_own_and_are_no_last_way_in() {
    on_both(|store| async move {
        sign_in(&store, "u1", 1).await;
        sign_in(&store, "u2", 2).await;
        let entry = audit("scope");
        let identity = |id: &str, subject: &str| Identity {
            identity_id: id.to_owned(),
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
            email: Some("u1@example.org".to_owned()),
            linked_at_ms: 1,
        };
        let (own_of, not_theirs) = (of_person("u1"), [of_person("u2"), ALL, own()]);
        let link = async |scope: &Scope, new: Identity| {
            let sign_in = sign_in_of(scope);
            let linked = store.identity_link(scope, &new, sign_in, &entry).await;
            linked.expect("link")
        };
        for scope in [ALL, own(), Scope::Stranger] {
            let linked = link(&scope, identity("i1", "s1")).await;
            assert_eq!(linked, IdentityLinked::NoUser, "{scope:?}");
        }
        assert_eq!(audited(&store).await, 0);
        let first = identity("i1", "s1");
        assert_eq!(link(&own_of, first.clone()).await, IdentityLinked::Linked);
        let again = link(&own_of, identity("i2", "s1")).await;
        assert_eq!(again, IdentityLinked::Unchanged);
        let other = link(&of_person("u2"), identity("i2", "s1")).await;
        assert_eq!(other, IdentityLinked::Taken);
        let owner = store.identity_owner(SERVER, &first.issuer, "s1").await;
        assert_eq!(owner.expect("owner").as_deref(), Some("u1"));
        let elsewhere = store.identity_owner(SERVER, "https://other.example", "s1");
        assert_eq!(elsewhere.await.expect("owner"), None);
        let listed = async |scope: &Scope| store.identity_list(scope).await.expect("list");
        assert_eq!(listed(&own_of).await, [first]);
        let unlink = async |scope: &Scope| {
            let unlinked = store.identity_unlink(scope, "i1", "u1", &entry).await;
            unlinked.expect("unlink")
        };
        for scope in &not_theirs {
            assert_eq!(listed(scope).await, [], "{scope:?}");
            let unlinked = unlink(scope).await;
            assert_eq!(unlinked, IdentityUnlinked::NoIdentity, "{scope:?}");
        }
        // Another one does not count, whatever its issuer is; a password does.
        assert_eq!(
            link(&own_of, identity("i2", "s2")).await,
            IdentityLinked::Linked
        );
        assert_eq!(unlink(&own_of).await, IdentityUnlinked::LastWayIn);
        assert_eq!(listed(&own_of).await.len(), 2);
        let set = store.password_set(&own_of, ("hash", None), "u1", &entry);
        assert!(set.await.expect("set"));
        assert_eq!(unlink(&own_of).await, IdentityUnlinked::Unlinked);
        assert_eq!(audited(&store).await, 4);
        for n in 3..=IDENTITIES + 1 {
            let linked = link(&own_of, identity(&format!("i{n}"), &format!("s{n}"))).await;
            assert_eq!(linked, IdentityLinked::Linked, "{n}");
        }
        let more = link(&own_of, identity("more", "more")).await;
        assert_eq!(more, IdentityLinked::TooMany);
    })
    .await;
}
