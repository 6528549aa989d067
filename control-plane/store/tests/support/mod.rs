//! Runs a test on both databases.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::memberships::NewMembership;
use dgon_control_plane_store::users::NewUser;
use dgon_control_plane_store::{Enrolment, NewNode, Scope, Store, System};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::Sha256Hash;
use dgon_testkit::postgres;

/// The server asks, as it does for itself.
pub(crate) const SERVER: System = System::of_the_server();
/// Everybody's rows.
pub(crate) const ALL: Scope = Scope::System(SERVER);

/// Runs `test` on a fresh SQLite file and on a fresh PostgreSQL database, migrations applied.
pub(crate) async fn on_both<F, Fut>(test: F)
where
    F: Fn(Store) -> Fut,
    Fut: Future<Output = ()>,
{
    let dir = tempfile::tempdir().expect("temporary directory");
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    run(&url, &test).await;
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    run(&database.url(), &test).await;
}

async fn run<F, Fut>(url: &str, test: &F)
where
    F: Fn(Store) -> Fut,
    Fut: Future<Output = ()>,
{
    let store = Store::open(url).await.expect("open");
    store.migrate().await.expect("migrate");
    test(store.clone()).await;
    store.close().await;
}

/// The rows of one organisation.
pub(crate) fn of_org(org_id: &str) -> Scope {
    Scope::Organisation(org_id.to_owned())
}

/// Somebody with these roles in an organisation, made at the time 1.
#[allow(
    dead_code,
    reason = "not every test file makes people, and expect would not hold in those that do"
)]
pub(crate) fn person(user_id: &str, org_id: &str, roles: &[&str]) -> NewUser {
    NewUser {
        user_id: user_id.to_owned(),
        email: format!("{user_id}@example.com"),
        password_hash: Some(format!("hash of {user_id}")),
        created_at_ms: 1,
        membership: membership(org_id, roles),
    }
}

/// What somebody may do in an organisation.
#[allow(
    dead_code,
    reason = "not every test file makes people, and expect would not hold in those that do"
)]
pub(crate) fn membership(org_id: &str, roles: &[&str]) -> NewMembership {
    NewMembership {
        org_id: org_id.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        created_by: "test".to_owned(),
    }
}

/// A token of `uses`, stored; its hash.
#[allow(
    dead_code,
    reason = "not every test file enrols nodes, and expect would not hold in those that do"
)]
pub(crate) async fn token(store: &Store, name: &str, uses: u32) -> [u8; 32] {
    stored_token(store, name, uses, None).await
}

/// A token for one node of an organisation, stored; its hash.
#[allow(
    dead_code,
    reason = "not every test file enrols nodes, and expect would not hold in those that do"
)]
pub(crate) async fn token_of(store: &Store, name: &str, org_id: Option<&str>) -> [u8; 32] {
    stored_token(store, name, 1, org_id).await
}

async fn stored_token(store: &Store, name: &str, uses: u32, org_id: Option<&str>) -> [u8; 32] {
    let hash = Sha256Hash::of(name.as_bytes()).0;
    let token = NewEnrolmentToken {
        id: name.to_owned(),
        token_hash: hash,
        label: name.to_owned(),
        region: Some("eu".to_owned()),
        org_id: org_id.map(str::to_owned),
        pool_id: None,
        created_by: "test".to_owned(),
        created_at_ms: 1,
        expires_at_ms: 1_000,
        uses: i64::from(uses),
        key_id: None,
    };
    let audit = AuditEntry::default();
    if let Some(org_id) = org_id {
        // One that is there already is as good.
        store
            .org_create(&ALL, org_id, org_id, &audit)
            .await
            .expect("org");
    }
    store
        .enrolment_token_create(&ALL, &token, &audit)
        .await
        .expect("token");
    hash
}

/// Tries to enrol a node with the key of `seed`.
#[allow(
    dead_code,
    reason = "not every test file enrols nodes, and expect would not hold in those that do"
)]
pub(crate) async fn enrol(store: &Store, token: &[u8; 32], node_id: &str, seed: u8) -> Enrolment {
    let node_id = NodeId::parse(node_id).expect("node id");
    let key = NodeKey::from_seed(&[seed; 32]);
    let node = NewNode {
        node_id: &node_id,
        region: None,
        public_key: &key.public(),
        sealed_secret: b"sealed",
        agent_version: "1",
        os: "linux",
        arch: "x86_64",
        hardware_hash: None,
        at_ms: 10,
        ip: None,
        request_id: None,
    };
    store.enrol(SERVER, token, &node).await.expect("enrol")
}
