//! People in several organisations, what they may do in each, and what is left of those who may nothing any more.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{ALL, SERVER, enrol, membership, on_both, person, token_of};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::links::NewLink;
use dgon_control_plane_store::orgs::OrgChanged;
use dgon_control_plane_store::sessions::{NewSession, Session, SessionProof, TokenPair};
use dgon_control_plane_store::users::{AccessChanged, UserCreated, UserFilter};
use dgon_control_plane_store::{Enrolment, LifecycleChange, Scope, Store};
use dgon_protocol::id::NodeId;

pub(super) fn entry(at_ms: i64) -> AuditEntry {
    AuditEntry {
        at_ms,
        action: "test.members".to_owned(),
        object: "test:members".to_owned(),
        ..AuditEntry::default()
    }
}

/// Retires a node that has just enrolled.
pub(super) async fn retire(store: &Store, node_id: &str) {
    let node_id = NodeId::parse(node_id).expect("id");
    let change = LifecycleChange {
        node_id: &node_id,
        old: (State::Registered, Reason::Enrolled),
        new: (State::Retired, Reason::AdminRetired),
        at_ms: 9,
        actor: "user:u0",
        detail: None,
        audit: &entry(9),
    };
    let retired = store.node_transitions(&ALL, &[change]).await;
    assert_eq!(retired.expect("retired"), [true]);
}

pub(super) async fn org(store: &Store, org_id: &str) {
    let made = store.org_create(&ALL, org_id, org_id, &entry(1)).await;
    assert_eq!(made.expect("org"), OrgChanged::Changed);
}

pub(super) async fn user(store: &Store, user_id: &str, org_id: &str, roles: &[&str]) {
    let new = person(user_id, org_id, roles);
    let made = store.user_create(&ALL, &new, &entry(1)).await;
    assert_eq!(made.expect("user"), UserCreated::Created);
}

/// Signs in; the session is called as its number, and its access token is that number, too.
pub(super) async fn sign_in(store: &Store, user_id: &str, n: u8) -> Option<Session> {
    let pair = TokenPair {
        refresh_hash: [n; 32],
        access_hash: [n | 0x80; 32],
        issued_at_ms: i64::from(n),
        access_expires_at_ms: 1_000,
        refresh_expires_at_ms: 1_000,
    };
    let new = NewSession {
        family_id: &n.to_string(),
        user_id,
        method: "password",
        proof: SessionProof::Setup,
        factor: None,
        ip: None,
        user_agent: None,
        expires_at_ms: 1_000,
        pair: &pair,
    };
    let session = store.session_create(SERVER, &new, &entry(1)).await;
    session.expect("session").session()
}

pub(super) async fn session(store: &Store, n: u8) -> Option<Session> {
    let found = store.session_by_access(SERVER, &[n | 0x80; 32], 50).await;
    let found = found.expect("session");
    // What lasts longer than a request looks for itself, and must see the same.
    let now = store.session_now(&ALL, &n.to_string(), 50).await;
    assert_eq!(now.expect("now"), found);
    found
}

/// For whom a session acts, and what its person may do there.
fn acting(session: Option<Session>) -> (Option<String>, Vec<String>) {
    let session = session.expect("a live session");
    (session.org_id, session.roles)
}

fn is(org_id: &str, roles: &[&str]) -> (Option<String>, Vec<String>) {
    let roles = roles.iter().map(|role| (*role).to_owned());
    (Some(org_id.to_owned()), roles.collect())
}

pub(super) async fn set(
    store: &Store,
    user_id: &str,
    org_id: &str,
    roles: &[&str],
) -> AccessChanged {
    let new = membership(org_id, roles);
    let set = store.membership_set(&ALL, user_id, &new, &entry(5)).await;
    set.expect("set")
}

async fn remove(store: &Store, user_id: &str, org_id: &str) -> AccessChanged {
    let removed = store
        .membership_remove(&ALL, user_id, org_id, &entry(6))
        .await;
    removed.expect("remove")
}

pub(super) async fn act_for(store: &Store, n: u8, org_id: &str) -> bool {
    let own = Scope::Person("u1".to_owned());
    let acting = store
        .session_act_for(&own, &n.to_string(), org_id, &entry(7))
        .await;
    acting.expect("act").is_some()
}

#[tokio::test]
async fn a_sign_in_acts_for_one_organisation_at_a_time() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        user(&store, "u1", "main", &["viewer"]).await;
        assert_eq!(
            acting(sign_in(&store, "u1", 1).await),
            is("main", &["viewer"])
        );
        assert!(!act_for(&store, 1, "org-1").await, "not in it yet");
        assert_eq!(acting(session(&store, 1).await), is("main", &["viewer"]));

        let roles = ["consumer", "operator"];
        assert_eq!(
            set(&store, "u1", "org-1", &roles).await,
            AccessChanged::Changed
        );
        assert_eq!(
            set(&store, "u1", "org-1", &roles).await,
            AccessChanged::Unchanged
        );
        assert!(act_for(&store, 1, "org-1").await);
        assert_eq!(acting(session(&store, 1).await), is("org-1", &roles));
        // The next one begins where this one went; each goes its own way.
        assert_eq!(acting(sign_in(&store, "u1", 2).await), is("org-1", &roles));
        assert!(act_for(&store, 2, "main").await);
        assert_eq!(acting(session(&store, 1).await), is("org-1", &roles));

        assert_eq!(
            set(&store, "u1", "org-1", &["consumer"]).await,
            AccessChanged::Changed
        );
        assert_eq!(acting(session(&store, 1).await), is("org-1", &["consumer"]));
        assert!(act_for(&store, 1, "org-1").await);
        assert_eq!(remove(&store, "u1", "org-1").await, AccessChanged::Changed);
        assert_eq!(remove(&store, "u1", "org-1").await, AccessChanged::NoUser);
        // It lasts, and may do nothing; the next one begins with what is left.
        assert_eq!(acting(session(&store, 1).await), (None, Vec::new()));
        assert_eq!(
            acting(sign_in(&store, "u1", 3).await),
            is("main", &["viewer"])
        );
        assert_eq!(remove(&store, "u1", "main").await, AccessChanged::LastAdmin);
    })
    .await;
}

#[tokio::test]
async fn somebody_can_always_administer_the_network() {
    on_both(|store| async move {
        for user_id in ["u1", "u2"] {
            user(&store, user_id, "main", &["admin", "operator"]).await;
        }
        // An invitation that nobody came by is no admin.
        let mut ghost = person("u3", "main", &["admin"]);
        ghost.password_hash = None;
        let made = store.user_create(&ALL, &ghost, &entry(1)).await;
        assert_eq!(made.expect("user"), UserCreated::Created);
        let demoted = ["viewer"];
        let (one, two) = tokio::join!(
            set(&store, "u1", "main", &demoted),
            set(&store, "u2", "main", &demoted),
        );
        let mut both = [one, two];
        both.sort_by_key(|changed| *changed == AccessChanged::LastAdmin);
        assert_eq!(both, [AccessChanged::Changed, AccessChanged::LastAdmin]);
        let last = store.user_first_admin(SERVER).await.expect("admin");
        let last = last.expect("one is left").user_id;
        assert_eq!(
            remove(&store, &last, "main").await,
            AccessChanged::LastAdmin
        );
        let shut = store.user_disable(&ALL, &last, true, &entry(9)).await;
        assert_eq!(shut.expect("disable"), AccessChanged::LastAdmin);
        // What was refused left nothing.
        let member = store.member_get(&ALL, &last).await.expect("get");
        let member = member.expect("a person");
        assert_eq!(member.user.disabled_at_ms, None);
        assert_eq!(member.memberships[0].roles, ["admin", "operator"]);
        let rows = store.inspect().audit_latest(Some("test:members"), 9).await;
        assert_eq!(rows.expect("audit").len(), 4, "three people and one change");
    })
    .await;
}

pub(super) fn token_by(user_id: &str, n: u8) -> NewEnrolmentToken {
    NewEnrolmentToken {
        id: format!("t{n}"),
        token_hash: [n; 32],
        label: String::new(),
        region: None,
        org_id: Some("main".to_owned()),
        pool_id: None,
        created_by: format!("user:{user_id}"),
        created_at_ms: 1,
        expires_at_ms: 1_000,
        uses: 1,
        key_id: None,
    }
}

#[tokio::test]
async fn what_a_disabled_account_held_stays_lost() {
    on_both(|store| async move {
        user(&store, "u1", "main", &["admin"]).await;
        user(&store, "u2", "main", &["operator"]).await;
        for (n, user_id) in [(1, "u1"), (2, "u2")] {
            sign_in(&store, user_id, n).await.expect("session");
            let link = NewLink {
                token_hash: [n; 32],
                user_id: Some(user_id.to_owned()),
                created_by: "cli".to_owned(),
                created_at_ms: 1,
                expires_at_ms: 1_000,
            };
            store
                .link_create(SERVER, &link, &entry(1))
                .await
                .expect("link");
            let token = token_by(user_id, n);
            let kept = store.enrolment_token_create(&ALL, &token, &entry(1)).await;
            assert!(kept.expect("token"));
        }
        let shut = async |is_disabled: bool| {
            let shut = store.user_disable(&ALL, "u2", is_disabled, &entry(9)).await;
            shut.expect("disable")
        };
        assert_eq!(shut(true).await, AccessChanged::Changed);
        assert_eq!(shut(true).await, AccessChanged::Unchanged);
        assert_eq!(
            sign_in(&store, "u2", 3).await,
            None,
            "no sign-in that waited"
        );
        assert_eq!(shut(false).await, AccessChanged::Changed);
        for (n, user_id) in [(1, Some("u1".to_owned())), (2, None)] {
            assert_eq!(session(&store, n).await.is_some(), user_id.is_some(), "{n}");
            let enrolled = enrol(&store, &[n; 32], &format!("node-{n}"), n).await;
            let works = matches!(enrolled, Enrolment::Enrolled { .. });
            assert_eq!(works, user_id.is_some(), "{enrolled:?}");
            let redeemed = store.link_owner(SERVER, &[n; 32], 50).await;
            assert_eq!(redeemed.expect("redeem"), user_id);
        }
        assert!(sign_in(&store, "u2", 4).await.is_some());
    })
    .await;
}

#[tokio::test]
async fn tokens_of_somebody_who_left_enrol_nothing() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        user(&store, "u1", "main", &["admin"]).await;
        user(&store, "u2", "main", &["operator"]).await;
        set(&store, "u2", "org-1", &["operator"]).await;
        let in_org_1 = NewEnrolmentToken {
            org_id: Some("org-1".to_owned()),
            ..token_by("u2", 2)
        };
        for token in [token_by("u2", 1), in_org_1] {
            let kept = store.enrolment_token_create(&ALL, &token, &entry(1)).await;
            assert!(kept.expect("token"));
        }
        assert_eq!(remove(&store, "u2", "main").await, AccessChanged::Changed);
        let rows = store.inspect().audit_latest(Some("test:members"), 1).await;
        let facts = rows.expect("audit")[0].read_facts().expect("facts");
        let ended = facts.and_then(|facts| facts.after).expect("what ended");
        assert_eq!(ended["ended"]["enrolment_tokens"], 1);
        let enrolled = enrol(&store, &[1; 32], "node-1", 1).await;
        assert_eq!(enrolled, Enrolment::InvalidToken);
        let enrolled = enrol(&store, &[2; 32], "node-2", 2).await;
        assert!(
            matches!(enrolled, Enrolment::Enrolled { .. }),
            "{enrolled:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_organisation_is_closed_when_its_nodes_are_gone() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        user(&store, "u1", "org-1", &["operator"]).await;
        sign_in(&store, "u1", 1).await.expect("session");
        let [first, second] = [
            token_of(&store, "a", Some("org-1")).await,
            token_of(&store, "b", Some("org-1")).await,
        ];
        enrol(&store, &first, "node-1", 1).await;
        let close = async || {
            store
                .org_close(&ALL, "org-1", &entry(9))
                .await
                .expect("close")
        };
        assert_eq!(close().await, OrgChanged::HasNodes { nodes: 1 });
        assert_eq!(acting(session(&store, 1).await), is("org-1", &["operator"]));

        retire(&store, "node-1").await;
        assert_eq!(close().await, OrgChanged::Changed);
        assert_eq!(close().await, OrgChanged::NoOrganisation);
        assert_eq!(acting(session(&store, 1).await), (None, Vec::new()));
        assert_eq!(
            enrol(&store, &second, "node-2", 2).await,
            Enrolment::InvalidToken
        );
        // One that was made behind its back is no better.
        let late = token_of(&store, "c", None).await;
        let behind = "UPDATE enrolment_tokens SET org_id = 'org-1' WHERE id = 'c'";
        store.inspect().execute(behind).await.expect("rows");
        assert_eq!(
            enrol(&store, &late, "node-3", 3).await,
            Enrolment::InvalidToken
        );
        assert_eq!(
            set(&store, "u1", "org-1", &["viewer"]).await,
            AccessChanged::NoOrganisation
        );
        let renamed = store.org_rename(&ALL, "org-1", "New", &entry(9)).await;
        assert_eq!(renamed.expect("rename"), OrgChanged::NoOrganisation);
        let made = store
            .user_create(&ALL, &person("u2", "org-1", &["viewer"]), &entry(9))
            .await;
        assert_eq!(made.expect("user"), UserCreated::NoOrganisation);
        let main = store.org_close(&ALL, "main", &entry(9)).await;
        assert_eq!(main.expect("close"), OrgChanged::NoOrganisation);
        let row = store
            .org_get(&ALL, "org-1")
            .await
            .expect("get")
            .expect("kept");
        assert_eq!((row.closed_at_ms, row.members, row.nodes), (Some(9), 1, 0));
    })
    .await;
}

#[tokio::test]
async fn organisations_have_names_of_their_own() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        org(&store, "org-2").await;
        let made = store.org_create(&ALL, "org-3", "org-1", &entry(1)).await;
        assert_eq!(made.expect("org"), OrgChanged::NameTaken);
        let rename = async |name: &str| {
            let renamed = store.org_rename(&ALL, "org-1", name, &entry(2)).await;
            renamed.expect("rename")
        };
        assert_eq!(rename("org-2").await, OrgChanged::NameTaken);
        assert_eq!(rename("org-1").await, OrgChanged::Unchanged);
        assert_eq!(rename("One").await, OrgChanged::Changed);
        let listed = store.org_list(&ALL, None, 2).await.expect("list");
        let names: Vec<&str> = listed.iter().map(|org| org.name.as_str()).collect();
        // The newest is the one that every database has.
        assert_eq!(names, ["main", "org-2"]);
        let last = &listed[1];
        let before = (last.created_at_ms, last.org_id.as_str());
        let rest = store.org_list(&ALL, Some(before), 2).await.expect("list");
        assert_eq!(rest.len(), 1);
        assert_eq!(
            (rest[0].org_id.as_str(), rest[0].name.as_str()),
            ("org-1", "One")
        );
    })
    .await;
}

#[tokio::test]
async fn people_are_found_by_their_address_and_their_organisation() {
    on_both(|store| async move {
        org(&store, "org-1").await;
        for (n, name) in ["b", "c", "a_1", "ax1", "a%1"].into_iter().enumerate() {
            let mut new = person(name, "main", &["viewer"]);
            new.created_at_ms = 1 + n as i64 / 3;
            store
                .user_create(&ALL, &new, &entry(1))
                .await
                .expect("user");
        }
        user(&store, "admin", "main", &["admin"]).await;
        set(&store, "b", "org-1", &["operator"]).await;
        set(&store, "ax1", "org-1", &["viewer"]).await;
        let found = async |q: Option<&str>, org_id: Option<&str>| {
            let filter = UserFilter {
                q: q.map(str::to_owned),
                org_id: org_id.map(str::to_owned),
            };
            let (mut names, mut before) = (Vec::new(), None::<(i64, String)>);
            loop {
                let place = before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
                let page = store
                    .member_list(&ALL, &filter, place, 2)
                    .await
                    .expect("list");
                let Some(last) = page.last() else {
                    return names;
                };
                before = Some((last.user.created_at_ms, last.user.user_id.clone()));
                names.extend(page.into_iter().map(|member| member.user.user_id));
            }
        };
        // Of those made at once the order is the database's own.
        let mut all = found(None, None).await;
        all[..2].sort();
        all[2..].sort();
        assert_eq!(all, ["a%1", "ax1", "a_1", "admin", "b", "c"]);
        assert_eq!(found(Some("a_1@"), None).await, ["a_1"]);
        assert_eq!(found(Some("a%1"), None).await, ["a%1"]);
        assert_eq!(found(Some("!"), None).await, [""; 0]);
        assert_eq!(found(None, Some("org-1")).await, ["ax1", "b"]);
        assert_eq!(found(Some("b@"), Some("org-1")).await, ["b"]);
        let page = store
            .member_list(&ALL, &UserFilter::default(), None, 9)
            .await;
        let page = page.expect("list");
        let orgs = |at: usize| -> Vec<&str> {
            let memberships = page[at].memberships.iter();
            memberships
                .map(|membership| membership.org_name.as_str())
                .collect()
        };
        let mut both = [orgs(0), orgs(1)];
        both.sort();
        assert_eq!(both, [vec!["main"], vec!["main", "org-1"]]);
    })
    .await;
}
