//! `/readyz` tells what fails, on databases that really refuse, and which task of the server ended.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::{SERVER, client};
use dgon_control_plane::app::{App, Clock, MasterKey, Settings};
use dgon_control_plane::http::server::{ServerLimits, serve};
use dgon_control_plane::http::{HttpSettings, HttpState, router};
use dgon_control_plane::tasks;
use dgon_control_plane_store::Store;
use dgon_testkit::postgres;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything; a working server needs milliseconds.
const SOON: Duration = Duration::from_secs(20);

struct Server {
    app: Arc<App>,
    address: String,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    /// Serves from a database that is migrated already.
    async fn start(url: &str) -> Self {
        let store = Store::open(url).await.expect("open");
        let settings = Settings {
            ready_within: Duration::from_secs(2),
            ready_fresh: Duration::ZERO,
            ..Settings::default()
        };
        let app = App::new(
            store,
            settings,
            MasterKey::from_bytes([7; 32]),
            Clock::system(),
        );
        dgon_testkit::kept::log_here();
        let state = HttpState::new(Arc::clone(&app), HttpSettings::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let stop = CancellationToken::new();
        tokio::spawn(serve(
            listener,
            router(&state),
            ServerLimits::default(),
            stop.clone(),
        ));
        Self { app, address, stop }
    }

    /// The status code and what fails.
    async fn ready(&self) -> (u16, Value) {
        let response = client()
            .get(format!("http://{}/readyz", self.address))
            .send()
            .await
            .expect("an answer");
        let code = response.status().as_u16();
        let mut body: Value = response.json().await.expect("JSON");
        (code, body["failing"].take())
    }

    /// Asks until it is ready again: an attempt that waited for a lock may still be under way.
    async fn becomes_ready(&self) {
        let asking = async { while self.ready().await.0 != 200 {} };
        tokio::time::timeout(SOON, asking)
            .await
            .expect("ready again");
    }
}

async fn migrated(url: &str) {
    let store = Store::open(url).await.expect("open");
    store.migrate().await.expect("migrate");
    store.close().await;
}

struct Sqlite {
    _dir: tempfile::TempDir,
    path: String,
}

impl Sqlite {
    async fn create() -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("dgon.db").display().to_string();
        migrated(&format!("sqlite:{path}")).await;
        Self { _dir: dir, path }
    }
}

#[tokio::test]
async fn a_read_only_sqlite_file_fails_to_be_written_and_nothing_else() {
    let database = Sqlite::create().await;
    let server = Server::start(&format!("sqlite:{}?mode=ro", database.path)).await;
    assert_eq!(server.ready().await, (503, json!(["database_write"])));
}

#[tokio::test]
async fn a_lock_that_another_holds_on_sqlite_shows_and_passes() {
    let database = Sqlite::create().await;
    let server = Server::start(&format!("sqlite:{}", database.path)).await;
    assert_eq!(server.ready().await, (200, json!([])));
    let other = Store::open(&format!("sqlite:{}", database.path))
        .await
        .expect("open");
    let holding = other.ingest_begin(SERVER).await.expect("the write lock");
    assert_eq!(server.ready().await, (503, json!(["database_write"])));
    holding.commit().await.expect("unlock");
    server.becomes_ready().await;
}

#[tokio::test]
async fn a_read_only_postgres_fails_to_be_written_and_nothing_else() {
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    migrated(&database.url()).await;
    let url = format!(
        "{}?options=-c%20default_transaction_read_only%3Don",
        database.url()
    );
    let server = Server::start(&url).await;
    assert_eq!(server.ready().await, (503, json!(["database_write"])));
}

#[tokio::test]
async fn a_table_that_another_holds_on_postgres_shows_and_passes() {
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    migrated(&database.url()).await;
    let server = Server::start(&database.url()).await;
    assert_eq!(server.ready().await, (200, json!([])));
    // What stops receipts from being stored, and nothing else.
    let mut other = database.session().expect("psql");
    other
        .run("BEGIN; LOCK TABLE receipts IN SHARE MODE")
        .expect("lock");
    assert_eq!(server.ready().await, (503, json!(["database_write"])));
    other.run("ROLLBACK").expect("unlock");
    server.becomes_ready().await;
}

#[tokio::test]
async fn a_migration_that_is_gone_is_named() {
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    migrated(&database.url()).await;
    let server = Server::start(&database.url()).await;
    // As after a restore of an old backup under a running server.
    let mut other = database.session().expect("psql");
    let last = "(SELECT MAX(version) FROM _sqlx_migrations)";
    other
        .run(&format!(
            "DELETE FROM _sqlx_migrations WHERE version = {last}"
        ))
        .expect("delete");
    assert_eq!(server.ready().await, (503, json!(["migrations"])));
}

#[tokio::test]
async fn a_task_that_ends_by_itself_is_named_and_noticed() {
    let database = Sqlite::create().await;
    let server = Server::start(&format!("sqlite:{}", database.path)).await;
    let stop = CancellationToken::new();
    // The first committer has the queue, so the second of this process finds none.
    let _first = tasks::spawn(&server.app, &CancellationToken::new());
    let tasks = tasks::spawn(&server.app, &stop);
    tokio::time::timeout(SOON, server.app.supervisor.any_ended())
        .await
        .expect("noticed");
    let (code, failing) = server.ready().await;
    assert_eq!(code, 503);
    let failing = failing.as_array().expect("a list").clone();
    assert!(failing.contains(&json!("task:committer")), "{failing:?}");
    stop.cancel();
    tokio::time::timeout(SOON, tasks.wait())
        .await
        .expect("the others end");
}

#[tokio::test]
async fn tasks_that_are_asked_to_end_are_no_failure() {
    let database = Sqlite::create().await;
    let server = Server::start(&format!("sqlite:{}", database.path)).await;
    let stop = CancellationToken::new();
    let tasks = tasks::spawn(&server.app, &stop);
    stop.cancel();
    tokio::time::timeout(SOON, tasks.wait()).await.expect("end");
    assert!(server.app.supervisor.ended().is_empty());
    assert_eq!(server.ready().await, (200, json!([])));
}
