//! Opening the database and running one SQL text on both kinds.
//!
//! SQLite: one writer connection, so that writers queue in this process instead of failing with "busy"; WAL with
//! `synchronous=FULL`, so that a commit is durable. PostgreSQL: connections for ingest alone, so that it waits for no
//! other writer, and for all others. Both: connections for two kinds of reading, see [`crate::reading`].
//!
//! A query is written once, inside [`on_read!`], [`on_page!`], [`on_write!`] or [`in_tx!`]; the macro expands its body
//! once per database, so types are inferred for each and nothing is boxed. Parameters are `$1, $2, …` in both.

use crate::StoreError;
use crate::reading::{PostgresReader, ReadLimits, SqliteReader, busy_postgres_pool, postgres_pool};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::fs::File;
use std::str::FromStr as _;
use std::time::Duration;

pub(crate) static SQLITE_MIGRATIONS: sqlx::migrate::Migrator =
    sqlx::migrate!("../../migrations/sqlite");
pub(crate) static POSTGRES_MIGRATIONS: sqlx::migrate::Migrator =
    sqlx::migrate!("../../migrations/postgres");

/// Connections of ingest on PostgreSQL: the committer's, that of a try that took too long, and the readiness check's.
const INGEST_CONNECTIONS: u32 = 3;
/// Connections of all other writers on PostgreSQL.
const WRITE_CONNECTIONS: u32 = 6;
/// How long one statement of a writer may take on PostgreSQL: many times what the longest takes.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// Pages of SQLite's write-ahead log with which it is full, and a commit waits until they are in their place: 64 MiB. Few,
/// and each reading has less to look through; many, and fewer commits wait.
const LOG_PAGES: &str = "16000";
const BUSY: Duration = Duration::from_secs(15);
/// Cache of a connection for short readings, as SQLite wants it: 2 MiB.
const SHORT_CACHE: &str = "-2048";
/// How long the connection that empties the write-ahead log waits for readers: writers wait with it.
const CHECKPOINT_BUSY: Duration = Duration::from_millis(250);
const ACQUIRE: Duration = Duration::from_secs(15);

/// Which database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, in this process.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Sqlite {
        writer: SqlitePool,
        /// Moves what is in the write-ahead log to its place.
        checkpointer: SqlitePool,
        short: SqliteReader,
        pages: SqliteReader,
        /// See [`ReadLimits::log_bytes`].
        log_bytes: u64,
    },
    Postgres {
        ingest: PgPool,
        writer: PgPool,
        short: PostgresReader,
        pages: PostgresReader,
    },
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) backend: Backend,
}

impl Store {
    /// Opens `sqlite:PATH` (made if absent) or `postgres://…`. The schema is left as it is: see [`Store::migrate`].
    ///
    /// # Errors
    /// [`StoreError::Url`] or [`StoreError::Open`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        ReadLimits::default().open(url).await
    }

    async fn open_sqlite(url: &str, limits: ReadLimits) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| bad_url(url))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", LOG_PAGES)
            .pragma("journal_size_limit", "67108864")
            .pragma("cache_size", "-16384");
        // The change of a new file to WAL waits for nobody, busy timeout or not, so it has to be alone.
        let alone = lock_beside(&options).await.map_err(StoreError::Lock)?;
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            // A statement over many rows keeps the pages that it changes, to undo it alone; in a file that takes as long as the
            // write-ahead log itself.
            .connect_with(
                options
                    .clone()
                    .pragma("temp_store", "MEMORY")
                    .optimize_on_close(true, 400),
            )
            .await
            .map_err(StoreError::Open)?;
        drop(alone);
        let checkpointer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().busy_timeout(CHECKPOINT_BUSY));
        // Those that read little need little: each keeps what it read until its cache is full.
        let small = options.clone().pragma("cache_size", SHORT_CACHE);
        let short = SqliteReader::new(small, limits.short_connections, limits.short_within);
        let pages = SqliteReader::new(options, limits.page_connections, limits.page_within);
        Ok(Self {
            backend: Backend::Sqlite {
                writer,
                checkpointer,
                short,
                pages,
                log_bytes: limits.log_bytes,
            },
        })
    }

    async fn open_postgres(url: &str, limits: ReadLimits) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| bad_url(url))?;
        // A pool hides why it cannot connect behind its timeout; one connection says so at once.
        let first = PgConnection::connect_with(&options)
            .await
            .map_err(StoreError::Open)?;
        first.close().await.map_err(StoreError::Open)?;
        let writer = postgres_pool(options.clone(), WRITE_CONNECTIONS, ACQUIRE, WRITE_WITHIN);
        let ingest = busy_postgres_pool(options.clone(), INGEST_CONNECTIONS, ACQUIRE, WRITE_WITHIN);
        let (short, pages) = (options.clone(), options);
        Ok(Self {
            backend: Backend::Postgres {
                ingest,
                writer,
                short: PostgresReader::new(short, limits.short_connections, limits.short_within),
                pages: PostgresReader::for_pages(
                    pages,
                    limits.page_connections,
                    limits.page_within,
                ),
            },
        })
    }

    /// Brings the schema up to date. Forward only; does nothing when it is.
    ///
    /// # Errors
    /// [`StoreError::Migrate`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite { writer, .. } => {
                let lock = lock_beside(&writer.connect_options()).await;
                let _held_to_the_end = lock.map_err(StoreError::Lock)?;
                // A connection of its own, whose sorting goes to a file: an index over all receipts has no room in memory.
                let options = writer.connect_options().as_ref().clone();
                let alone = SqlitePoolOptions::new().max_connections(1);
                let alone = alone.connect_with(options.pragma("temp_store", "FILE"));
                let alone = alone.await.map_err(StoreError::Open)?;
                let done = SQLITE_MIGRATIONS.run(&alone).await;
                alone.close().await;
                done
            }
            Backend::Postgres { writer, .. } => {
                // A connection of its own: a migration takes as long as it takes.
                let options = writer.connect_options().as_ref().clone();
                let unbounded = postgres_pool(options, 1, ACQUIRE, Duration::ZERO);
                let done = POSTGRES_MIGRATIONS.run(&unbounded).await;
                unbounded.close().await;
                done
            }
        }
        .map_err(StoreError::Migrate)
    }

    /// Whether every migration that this program has was applied; that there are later ones is no fault.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn is_migrated(&self) -> Result<bool, StoreError> {
        let applied: Vec<i64> = crate::on_read!(self, conn =>
            sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
                .fetch_all(conn)
                .await
                .map_err(StoreError::query("store.is_migrated")))?;
        let known = match self.dialect() {
            Dialect::Sqlite => &SQLITE_MIGRATIONS,
            Dialect::Postgres => &POSTGRES_MIGRATIONS,
        };
        Ok(known.iter().all(|known| applied.contains(&known.version)))
    }

    /// Which database answers.
    pub(crate) fn dialect(&self) -> Dialect {
        match self.backend {
            Backend::Sqlite { .. } => Dialect::Sqlite,
            Backend::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// Whether what this server has stored may be remembered between its transactions. On SQLite the lock of `serve` is one on
    /// the file and lasts as long as the server, and who writes beside it shows
    /// ([`IngestTx::data_version`](crate::IngestTx::data_version)). On PostgreSQL it is a session's: it may be lost, and another
    /// server begin, in the moment before this one notices.
    pub fn may_be_remembered(&self) -> bool {
        self.dialect() == Dialect::Sqlite
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        crate::on_read!(self, conn => sqlx::query("SELECT 1").execute(conn).await
            .map(drop)
            .map_err(StoreError::query("store.ping")))
    }

    /// Finishes what runs and closes all connections.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite {
                writer,
                checkpointer,
                short,
                pages,
                ..
            } => {
                pages.close().await;
                short.close().await;
                checkpointer.close().await;
                writer.close().await;
            }
            Backend::Postgres {
                ingest,
                writer,
                short,
                pages,
            } => {
                pages.close().await;
                short.close().await;
                ingest.close().await;
                writer.close().await;
            }
        }
    }
}

impl ReadLimits {
    /// [`Store::open`] with other limits of reading.
    ///
    /// # Errors
    /// [`StoreError::Url`] or [`StoreError::Open`].
    pub async fn open(self, url: &str) -> Result<Store, StoreError> {
        if url.starts_with("sqlite:") {
            Store::open_sqlite(url, self).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Store::open_postgres(url, self).await
        } else {
            Err(bad_url(url))
        }
    }
}

/// Lets one process at a time set up and migrate: PostgreSQL has a lock for that, SQLite takes one beside the file.
async fn lock_beside(options: &SqliteConnectOptions) -> std::io::Result<File> {
    let path = options.get_filename().with_extension("migration.lock");
    let locking = tokio::task::spawn_blocking(move || {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        file.lock()?;
        Ok(file)
    });
    locking.await.map_err(std::io::Error::other)?
}

fn bad_url(url: &str) -> StoreError {
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default())
        }
        None => url.to_owned(),
    };
    StoreError::Url { url: shown }
}

/// Runs an expression with `$conn` bound to a connection for a short reading, which sign-in, handshakes and ingest wait for.
#[macro_export]
#[doc(hidden)]
macro_rules! on_read {
    ($store:expr, $conn:ident => $body:expr) => {
        $crate::reading!($store, short, $conn => $body)
    };
}

/// Runs an expression with `$conn` bound to a connection for a page: people wait for it, and it may have much to count.
#[macro_export]
#[doc(hidden)]
macro_rules! on_page {
    ($store:expr, $conn:ident => $body:expr) => {
        $crate::reading!($store, pages, $conn => $body)
    };
}

/// Runs an expression on a connection of one kind of reading. What leaves it early is taken for abandoned.
#[macro_export]
#[doc(hidden)]
macro_rules! reading {
    ($store:expr, $kind:ident, $conn:ident => $body:expr) => {
        match &$store.backend {
            $crate::db::Backend::Sqlite { $kind: reader, .. } => {
                let mut reading = reader.begin().await?;
                let $conn = &mut *reading;
                let value = $body;
                reading.over();
                value
            }
            $crate::db::Backend::Postgres { $kind: reader, .. } => {
                let mut reading = reader.begin().await?;
                let $conn = &mut *reading;
                let value = $body;
                reading.over();
                value
            }
        }
    };
}

/// Runs an expression with `$conn` bound to a pool for one writing statement.
#[macro_export]
#[doc(hidden)]
macro_rules! on_write {
    ($store:expr, $conn:ident => $body:expr) => {
        match &$store.backend {
            $crate::db::Backend::Sqlite { writer: $conn, .. } => $body,
            $crate::db::Backend::Postgres { writer: $conn, .. } => $body,
        }
    };
}

/// Runs an expression in one transaction: use `&mut *$tx` as the connection, `?` or `return Err` to roll back.
/// The value of the expression is the macro's value, after the commit.
#[macro_export]
#[doc(hidden)]
macro_rules! in_tx {
    ($store:expr, $op:literal, $tx:ident => $body:expr) => {
        match &$store.backend {
            $crate::db::Backend::Sqlite { writer, .. } => {
                // IMMEDIATE takes the write lock at once: another process (a `token create` beside `serve`)
                // is waited for here instead of failing at the first write.
                let mut $tx = writer
                    .begin_with("BEGIN IMMEDIATE")
                    .await
                    .map_err($crate::StoreError::query($op))?;
                let value = $body;
                $tx.commit().await.map_err($crate::StoreError::query($op))?;
                value
            }
            $crate::db::Backend::Postgres { writer, .. } => {
                let mut $tx = writer.begin().await.map_err($crate::StoreError::query($op))?;
                let value = $body;
                $tx.commit().await.map_err($crate::StoreError::query($op))?;
                value
            }
        }
    };
}
