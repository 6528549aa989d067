//! Second factors: used up with what they prove or not at all, and nobody else's to read or take away.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use super::members::{entry, session, sign_in, user};
use crate::support::{ALL, SERVER, on_both};
use dgon_control_plane_store::second_factors::{FactorProof, FactorSet, NewSecondFactor};
use dgon_control_plane_store::sessions::{NewSession, SessionCreated, SessionProof, TokenPair};
use dgon_control_plane_store::users::AccessChanged;
use dgon_control_plane_store::{Scope, Store};

fn own(user_id: &str) -> Scope {
    Scope::Person(user_id.to_owned())
}

pub(super) async fn set_up(store: &Store, user_id: &str, family_id: &str) -> FactorSet {
    let new = NewSecondFactor {
        sealed_secret: b"sealed",
        step: 100,
        recovery_macs: &[[1; 32], [2; 32]],
    };
    let (own, at) = (own(user_id), entry(5));
    let set = store.second_factor_set(&own, &new, family_id, &at);
    set.await.expect("second factor")
}

async fn with_factor(store: &Store, n: u8, factor: Option<FactorProof>) -> SessionCreated {
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
        method: "password",
        proof: SessionProof::Password("hash of u1"),
        factor,
        ip: None,
        user_agent: None,
        expires_at_ms: 1_000,
        pair: &pair,
    };
    let created = store.session_create(SERVER, &new, &entry(6)).await;
    created.expect("an answer")
}

async fn recovery_left(store: &Store) -> i64 {
    let member = store
        .member_get(&ALL, "u1")
        .await
        .expect("read")
        .expect("u1");
    member
        .second_factor
        .map_or(0, |factor| factor.recovery_codes_left)
}

#[tokio::test]
async fn a_factor_is_used_up_with_the_sign_in_and_not_without_it() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["admin"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        sign_in(&store, "u1", 2).await.expect("session");
        assert_eq!(set_up(&store, "u1", "1").await, FactorSet::Set);
        assert_eq!(set_up(&store, "u1", "1").await, FactorSet::Exists);
        assert_eq!(
            set_up(&store, "u1", "2").await,
            FactorSet::Ended,
            "it ended the other"
        );
        assert!(session(&store, 1).await.is_some() && session(&store, 2).await.is_none());

        let tried = with_factor(&store, 3, None).await;
        assert_eq!(tried, SessionCreated::FactorNeeded);
        let member = store
            .member_get(&ALL, "u1")
            .await
            .expect("read")
            .expect("u1");
        let at_ms = member.user.last_sign_in_at_ms;
        assert_eq!(at_ms, Some(2), "what lacks a code is no sign-in");
        for step in [99, 100] {
            let used = with_factor(&store, 4, Some(FactorProof::Step(step))).await;
            assert_eq!(used, SessionCreated::FactorUsed);
        }
        let created = with_factor(&store, 5, Some(FactorProof::Step(101))).await;
        assert!(created.session().is_some());

        assert_eq!(recovery_left(&store).await, 2);
        let recovery = FactorProof::Recovery([1; 32]);
        assert!(
            with_factor(&store, 6, Some(recovery))
                .await
                .session()
                .is_some()
        );
        assert_eq!(
            with_factor(&store, 7, Some(recovery)).await,
            SessionCreated::FactorUsed
        );
        assert_eq!(recovery_left(&store).await, 1);
        // A proof that is none uses no code up.
        store
            .user_disable(&ALL, "u1", true, &entry(7))
            .await
            .expect("the last admin stays");
        let other = Some(FactorProof::Recovery([2; 32]));
        user(&store, "u2", "main", &["admin"]).await;
        let shut = store.user_disable(&ALL, "u1", true, &entry(8)).await;
        assert_eq!(shut.expect("shut"), AccessChanged::Changed);
        assert_eq!(with_factor(&store, 8, other).await, SessionCreated::NoProof);
        assert_eq!(recovery_left(&store).await, 1);
    })
    .await;
}

#[tokio::test]
async fn of_many_with_one_code_one_is_served() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["admin"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        set_up(&store, "u1", "1").await;
        for (n, factor) in [
            (10, FactorProof::Step(200)),
            (20, FactorProof::Recovery([1; 32])),
        ] {
            let (one, two, three) = tokio::join!(
                with_factor(&store, n, Some(factor)),
                with_factor(&store, n + 1, Some(factor)),
                with_factor(&store, n + 2, Some(factor)),
            );
            let served = [one, two, three]
                .into_iter()
                .filter_map(SessionCreated::session);
            assert_eq!(served.count(), 1, "{factor:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_factor_is_its_persons_own() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["admin"]).await;
        user(&store, "u2", "main", &["admin"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        set_up(&store, "u1", "1").await;
        let other = own("u2");
        assert!(
            store
                .second_factor(&other, "u1")
                .await
                .expect("read")
                .is_none()
        );
        assert!(
            store
                .second_factor(&own("u1"), "u1")
                .await
                .expect("read")
                .is_some()
        );
        let code = FactorProof::Recovery([1; 32]);
        assert!(
            !store
                .second_factor_remove(&other, code, &entry(6))
                .await
                .expect("answer")
        );
        assert!(
            !store
                .recovery_codes_set(&other, code, &[[9; 32]], &entry(6))
                .await
                .expect("answer")
        );
        let reset = store.second_factor_reset(&other, "u1", &entry(6)).await;
        assert_eq!(reset.expect("answer"), AccessChanged::NoUser);
        assert_eq!(recovery_left(&store).await, 2);

        let renewed = store
            .recovery_codes_set(&own("u1"), code, &[[3; 32]], &entry(7))
            .await;
        assert!(renewed.expect("renewed"));
        assert_eq!(recovery_left(&store).await, 1);
        let gone = store
            .second_factor_remove(&own("u1"), FactorProof::Step(101), &entry(8))
            .await;
        assert!(gone.expect("gone"));
        assert!(
            store
                .second_factor(&ALL, "u1")
                .await
                .expect("read")
                .is_none()
        );
        let reset = store.second_factor_reset(&ALL, "u1", &entry(9)).await;
        assert_eq!(reset.expect("answer"), AccessChanged::Unchanged);
    })
    .await;
}
