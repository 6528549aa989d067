//! Opening the database and running one SQL text on both kinds.
//!
//! SQLite: one writer connection, so that writers queue in this process instead of failing with "busy", and a
//! pool of readers; WAL with `synchronous=FULL`, so that a commit is durable. PostgreSQL: one pool.
//!
//! A query is written once, inside [`on_read!`], [`on_write!`] or [`in_tx!`]; the macro expands its body once
//! per database, so types are inferred for each and nothing is boxed. Parameters are `$1, $2, …` in both.

use crate::StoreError;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::fs::File;
use std::str::FromStr as _;
use std::time::Duration;

static SQLITE_MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES_MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/postgres");

const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
const BUSY: Duration = Duration::from_secs(15);
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
        reader: SqlitePool,
        writer: SqlitePool,
    },
    Postgres(PgPool),
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
        if url.starts_with("sqlite:") {
            Self::open_sqlite(url).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::open_postgres(url).await
        } else {
            Err(bad_url(url))
        }
    }

    async fn open_sqlite(url: &str) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|_| bad_url(url))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .pragma("wal_autocheckpoint", "4000")
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
            .connect_with(options.clone().optimize_on_close(true, 400))
            .await
            .map_err(StoreError::Open)?;
        drop(alone);
        let reader = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .connect_lazy_with(options.read_only(true));
        Ok(Self {
            backend: Backend::Sqlite { reader, writer },
        })
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| bad_url(url))?;
        // A pool hides why it cannot connect behind its timeout; one connection says so at once.
        let first = PgConnection::connect_with(&options)
            .await
            .map_err(StoreError::Open)?;
        first.close().await.map_err(StoreError::Open)?;
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .connect_with(options)
            .await
            .map_err(StoreError::Open)?;
        Ok(Self {
            backend: Backend::Postgres(pool),
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
                SQLITE_MIGRATIONS.run(writer).await
            }
            Backend::Postgres(pool) => POSTGRES_MIGRATIONS.run(pool).await,
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
            Backend::Postgres(_) => Dialect::Postgres,
        }
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
            Backend::Sqlite { reader, writer } => {
                reader.close().await;
                writer.close().await;
            }
            Backend::Postgres(pool) => pool.close().await,
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

/// Runs an expression with `$conn` bound to a pool for reading.
#[macro_export]
#[doc(hidden)]
macro_rules! on_read {
    ($store:expr, $conn:ident => $body:expr) => {
        match &$store.backend {
            $crate::db::Backend::Sqlite { reader: $conn, .. } => $body,
            $crate::db::Backend::Postgres($conn) => $body,
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
            $crate::db::Backend::Postgres($conn) => $body,
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
            $crate::db::Backend::Postgres(pool) => {
                let mut $tx = pool.begin().await.map_err($crate::StoreError::query($op))?;
                let value = $body;
                $tx.commit().await.map_err($crate::StoreError::query($op))?;
                value
            }
        }
    };
}
