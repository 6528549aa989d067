//! Connections for reading: how long a reading may take, and its end when nobody waits for it any more.
//!
//! There are two kinds, each with connections of its own, so that neither waits for the other, nor writers for both:
//! short ones, that sign-in, handshakes and ingest wait for and that find what they ask for by its key, and pages, that people
//! wait for and that may have much to count. On SQLite a reading is interrupted from within (`sqlite3_progress_handler`); on PostgreSQL the server ends a
//! statement that takes too long (`statement_timeout`), and one whose connection is gone
//! (`client_connection_check_interval`).

use crate::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{Connection as _, Database, Executor as _, Postgres, Sqlite};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Steps of SQLite's virtual machine between two looks at the clock: some tens of microseconds.
const STEPS: i32 = 4_000;
/// How often PostgreSQL looks whether who asked is still there.
const CLIENT_CHECK: &str = "SET client_connection_check_interval = '1s'";
/// To compile a statement takes longer than any of ours should.
const NEVER_COMPILE: &str = "SET jit = off";
/// What every connection is told.
const EACH: &[&str] = &[CLIENT_CHECK, NEVER_COMPILE];
/// A page's statement is planned for what is asked: which index serves a filter depends on how often its value comes.
/// After five times PostgreSQL would plan for any value.
const PLAN_EACH: &str = "SET plan_cache_mode = force_custom_plan";

/// How long readings may take, and how many run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// A short reading, and a wait for a connection for one.
    pub short_within: Duration,
    /// A page, and a wait for a connection for one.
    pub page_within: Duration,
    /// Connections for short readings.
    pub short_connections: u32,
    /// Connections for pages.
    pub page_connections: u32,
    /// Bytes of SQLite's write-ahead log from which on pages are held back until it is empty again.
    pub log_bytes: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            short_within: Duration::from_secs(10),
            page_within: Duration::from_secs(5),
            short_connections: 4,
            page_connections: 4,
            log_bytes: 256 * 1024 * 1024,
        }
    }
}

/// The connections of one kind of reading.
#[derive(Debug, Clone)]
pub(crate) struct SqliteReader {
    pool: SqlitePool,
    within: Duration,
    /// Held by every reading that runs; see [`SqliteReader::pause`].
    running: Arc<RwLock<()>>,
}

impl SqliteReader {
    /// Connections are opened when they are wanted.
    pub(crate) fn new(options: SqliteConnectOptions, connections: u32, within: Duration) -> Self {
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(within)
            .test_before_acquire(false)
            .connect_lazy_with(options.read_only(true));
        Self {
            pool,
            within,
            running: Arc::default(),
        }
    }

    /// Waits until no reading runs, and lets none begin until this is dropped.
    pub(crate) async fn pause(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.running).write_owned().await
    }

    /// A connection whose statements are interrupted when the time of the reading is over or when it is dropped.
    pub(crate) async fn begin(&self) -> Result<Reading<Sqlite>, StoreError> {
        let running = Arc::clone(&self.running).read_owned().await;
        let mut connection = self.pool.acquire().await.map_err(StoreError::connection)?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let (is_abandoned, deadline) = (Arc::clone(&abandoned), Instant::now() + self.within);
        connection
            .lock_handle()
            .await
            .map_err(StoreError::connection)?
            .set_progress_handler(STEPS, move || {
                !is_abandoned.load(Ordering::Relaxed) && Instant::now() < deadline
            });
        Ok(Reading {
            connection,
            abandoned: Some(abandoned),
            is_over: false,
            _running: Some(running),
        })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// The connections of one kind of reading.
#[derive(Debug, Clone)]
pub(crate) struct PostgresReader(PgPool);

impl PostgresReader {
    /// Connections are opened when they are wanted.
    pub(crate) fn new(options: PgConnectOptions, connections: u32, within: Duration) -> Self {
        Self(postgres_pool(options, connections, within, within))
    }

    /// The same for statements that are planned each time.
    pub(crate) fn for_pages(options: PgConnectOptions, connections: u32, within: Duration) -> Self {
        let settings = &[CLIENT_CHECK, NEVER_COMPILE, PLAN_EACH];
        let pool = bounded_pool(connections, within, within, settings);
        Self(pool.connect_lazy_with(options))
    }

    /// A connection whose statements the server ends when they take too long or when it is dropped.
    pub(crate) async fn begin(&self) -> Result<Reading<Postgres>, StoreError> {
        let connection = self.0.acquire().await.map_err(StoreError::connection)?;
        Ok(Reading {
            connection,
            abandoned: None,
            is_over: false,
            _running: None,
        })
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

/// A pool whose connections are waited for no longer than `acquire` and whose statements run no longer than `statement`;
/// zero is no limit.
pub(crate) fn postgres_pool(
    options: PgConnectOptions,
    connections: u32,
    acquire: Duration,
    statement: Duration,
) -> PgPool {
    bounded_pool(connections, acquire, statement, EACH).connect_lazy_with(options)
}

/// A connection that was used a moment ago is still there: to ask it would be a way to the database and back before each
/// transaction.
const FRESH: Duration = Duration::from_secs(1);

/// The same for who comes again at once.
pub(crate) fn busy_postgres_pool(
    options: PgConnectOptions,
    connections: u32,
    acquire: Duration,
    statement: Duration,
) -> PgPool {
    bounded_pool(connections, acquire, statement, EACH)
        .test_before_acquire(false)
        .before_acquire(|connection, last| {
            Box::pin(async move {
                if last.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

fn bounded_pool(
    connections: u32,
    acquire: Duration,
    statement: Duration,
    settings: &'static [&'static str],
) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire)
        .after_connect(move |connection, _| Box::pin(set_up(connection, statement, settings)))
}

async fn set_up(
    connection: &mut PgConnection,
    statement: Duration,
    settings: &[&'static str],
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('statement_timeout', $1, false)")
        .bind(statement.as_millis().to_string())
        .execute(&mut *connection)
        .await?;
    // Older versions, and systems that cannot tell whether who asked is still there, do without.
    for setting in settings {
        if let Err(error) = connection.execute(*setting).await {
            tracing::debug!(%error, setting, "PostgreSQL does not know this setting");
        }
    }
    Ok(())
}

/// A connection for one reading. Dropped before [`Reading::over`], what it runs is interrupted.
#[derive(Debug)]
pub(crate) struct Reading<DB: Database> {
    connection: PoolConnection<DB>,
    /// Tells the statement that runs; absent where the connection is closed instead.
    abandoned: Option<Arc<AtomicBool>>,
    is_over: bool,
    _running: Option<OwnedRwLockReadGuard<()>>,
}

impl<DB: Database> Reading<DB> {
    /// Everything that was asked has been answered.
    pub(crate) fn over(&mut self) {
        self.is_over = true;
    }
}

impl<DB: Database> Deref for Reading<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Reading<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

impl<DB: Database> Drop for Reading<DB> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        match &self.abandoned {
            Some(abandoned) => abandoned.store(true, Ordering::Relaxed),
            None => self.connection.close_on_drop(),
        }
    }
}
