//! One `serve` per database. Two at once would both append to the nodes' chains and both decide their states.
//!
//! SQLite: a lock of the operating system on a file beside the database, by its real path, so that links and relative
//! paths lead to the same one. PostgreSQL: an advisory lock of a session that nothing else uses. Both end with the
//! process, however it ends; the file that stays behind holds nothing. A lost session has lost its lock: ask
//! [`ServeLock::is_held`] now and then.

use crate::db::Backend;
use crate::{Store, StoreError};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const OP: &str = "serve.lock";
/// The lock: the same first number as the other locks of this program, and which of them.
const TAKE: &str = "SELECT pg_try_advisory_lock(1145523022, 2), pg_backend_pid()";
const END_FORMER: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2";
/// How long a session that ends is waited for.
const SETTLE: Duration = Duration::from_secs(2);
/// Pause between tries.
const AGAIN: Duration = Duration::from_millis(100);
const IS_HELD: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted \
     AND classid = 1145523022 AND objid = 2 AND objsubid = 2 AND pid = pg_backend_pid())";
const HOLDER: &str = "SELECT a.application_name || ', session ' || a.pid || COALESCE(' from ' || host(a.client_addr), '') \
     FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 1145523022 AND l.objid = 2 AND l.objsubid = 2 \
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The lock of `serve`, held until this is dropped.
#[derive(Debug)]
pub struct ServeLock(Held);

#[derive(Debug)]
enum Held {
    File {
        /// Open for as long as the lock is held.
        _file: File,
    },
    Session {
        options: Arc<PgConnectOptions>,
        connection: Option<Box<PgConnection>>,
        /// Its number at the server.
        pid: i32,
    },
}

impl Store {
    /// Takes the lock of `serve`, or tells who has it. On PostgreSQL it tries for two seconds, because the session of a
    /// process that was killed is there for a moment longer; else it waits for nobody.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process holds it; else what failed.
    pub async fn serve_lock(&self) -> Result<ServeLock, StoreError> {
        match &self.backend {
            Backend::Sqlite { writer, .. } => {
                let database = writer.connect_options().get_filename().to_owned();
                let _file = tokio::task::spawn_blocking(move || lock_file(&database))
                    .await
                    .map_err(|error| StoreError::Lock(std::io::Error::other(error)))??;
                Ok(ServeLock(Held::File { _file }))
            }
            Backend::Postgres { writer: pool, .. } => {
                let options = pool.connect_options();
                let (connection, pid) = lock_session(&options, None).await?;
                Ok(ServeLock(Held::Session {
                    options,
                    connection: Some(Box::new(connection)),
                    pid,
                }))
            }
        }
    }
}

impl ServeLock {
    /// Whether the lock is still held. A session that does not answer has lost it.
    ///
    /// # Errors
    /// What the session's connection says.
    pub async fn is_held(&mut self) -> Result<bool, StoreError> {
        match &mut self.0 {
            Held::File { .. } => Ok(true),
            Held::Session { connection, .. } => match connection {
                None => Ok(false),
                Some(connection) => sqlx::query_scalar(IS_HELD)
                    .fetch_one(&mut **connection)
                    .await
                    .map_err(StoreError::query(OP)),
            },
        }
    }

    /// Gives the old session up and takes the lock with a new one.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has taken it; else what failed, and it may be tried again.
    pub async fn retake(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            Held::File { .. } => Ok(()),
            Held::Session {
                options,
                connection,
                pid,
            } => {
                drop(connection.take());
                let (taken, new_pid) = lock_session(options, Some(*pid)).await?;
                (*connection, *pid) = (Some(Box::new(taken)), new_pid);
                Ok(())
            }
        }
    }
}

/// The file beside the database: `dgon.db.serve.lock` beside `dgon.db`.
fn path_beside(database: &Path) -> std::io::Result<PathBuf> {
    let mut path = database.canonicalize()?.into_os_string();
    path.push(".serve.lock");
    Ok(path.into())
}

fn lock_file(database: &Path) -> Result<File, StoreError> {
    let path = path_beside(database).map_err(StoreError::Lock)?;
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(StoreError::Lock)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // On some systems a locked file cannot be read; then it is not told who has it.
            let _ = file.take(200).read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => format!("it holds {}", path.display()),
                holder => format!("{holder}, which holds {}", path.display()),
            };
            return Err(StoreError::InUse { holder });
        }
        Err(TryLockError::Error(error)) => return Err(StoreError::Lock(error)),
    }
    // Only for people; the lock is what counts.
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", this_process()));
    if let Err(error) = written {
        tracing::debug!(%error, "the lock file does not say who holds it");
    }
    Ok(file)
}

fn this_process() -> String {
    format!("dgon-control-plane serve, process {}", std::process::id())
}

/// A session that has the lock, and its number. `former` is the one that had it before.
async fn lock_session(
    options: &PgConnectOptions,
    former: Option<i32>,
) -> Result<(PgConnection, i32), StoreError> {
    let failed = StoreError::query(OP);
    let options = options.clone().application_name(&this_process());
    let mut connection = PgConnection::connect_with(&options)
        .await
        .map_err(&failed)?;
    // The server must find out within half a minute that our machine is gone, or the lock stays; and it must not end
    // a session that only waits. A server or a pooler that knows a setting not is used without it.
    for setting in [
        "SET tcp_keepalives_idle = 10",
        "SET tcp_keepalives_interval = 5",
        "SET tcp_keepalives_count = 3",
        "SET idle_session_timeout = 0",
    ] {
        if let Err(error) = sqlx::query(setting).execute(&mut connection).await {
            tracing::debug!(setting, %error, "the session of the lock goes without a setting");
        }
    }
    if let Some(former) = former {
        // The server may not know yet that our old connection is gone: it must not stand in the way of this one.
        sqlx::query(END_FORMER)
            .bind(former)
            .bind(this_process())
            .execute(&mut connection)
            .await
            .map_err(&failed)?;
    }
    let deadline = Instant::now() + SETTLE;
    loop {
        let (taken, pid): (bool, i32) = sqlx::query_as(TAKE)
            .fetch_one(&mut connection)
            .await
            .map_err(&failed)?;
        if taken {
            return Ok((connection, pid));
        }
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    let holder: Option<String> = sqlx::query_scalar(HOLDER)
        .fetch_optional(&mut connection)
        .await
        .map_err(&failed)?
        .flatten();
    Err(StoreError::InUse {
        holder: holder.unwrap_or_else(|| "a session that has ended since".to_owned()),
    })
}
