//! Keeping SQLite's write-ahead log from growing for ever.
//!
//! SQLite starts its log anew at a moment when nobody reads from it. Readings of pages that overlap leave no such moment,
//! however short each is, and then the log grows with every write. So when it has grown beyond a size, pages are held back
//! for as long as those that run take, and the log is emptied. Short readings and writers go on.
//!
//! A commit that finds the log full moves it to its place before it is done. A connection of its own does most of that
//! beforehand ([`Store::checkpoint_log`]), beside writers and readers, so that little is left for the commit.

use crate::db::Backend;
use crate::{Store, StoreError, System};

const OP: &str = "store.truncate_log";

impl Store {
    /// Whether there is a log to look after: PostgreSQL looks after its own.
    pub fn has_log(&self, _by: System) -> bool {
        matches!(self.backend, Backend::Sqlite { .. })
    }

    /// Size of SQLite's write-ahead log, bytes; 0 on PostgreSQL, which looks after its own.
    pub fn log_bytes(&self, _by: System) -> u64 {
        let Backend::Sqlite { writer, .. } = &self.backend else {
            return 0;
        };
        let options = writer.connect_options();
        let mut path = options.get_filename().as_os_str().to_owned();
        path.push("-wal");
        // Before the first write there is none.
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    /// Moves what the write-ahead log holds to its place, beside writers and readers; what a reading still needs stays.
    /// How many pages of the log are in their place now; 0 on PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn checkpoint_log(&self, _by: System) -> Result<u64, StoreError> {
        let Backend::Sqlite { checkpointer, .. } = &self.backend else {
            return Ok(0);
        };
        let (_, _, moved): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(checkpointer)
            .await
            .map_err(StoreError::query("store.checkpoint_log"))?;
        // Before anything is in the log it is -1.
        Ok(u64::try_from(moved).unwrap_or(0))
    }

    /// Empties the write-ahead log, if it is too large. False where it could not be emptied now: it is tried again.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn truncate_log(&self, by: System) -> Result<bool, StoreError> {
        let Backend::Sqlite {
            checkpointer,
            pages,
            log_bytes,
            ..
        } = &self.backend
        else {
            return Ok(true);
        };
        if self.log_bytes(by) <= *log_bytes {
            return Ok(true);
        }
        let _no_pages = pages.pause().await;
        // Two at once would be in each other's way.
        let alone = checkpointer.acquire().await;
        let mut alone = alone.map_err(StoreError::connection)?;
        let mut busy = 0;
        // What pages kept in the log is moved beside writers; then they wait only until what is left is.
        for pragma in [
            "PRAGMA wal_checkpoint(PASSIVE)",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ] {
            let done = sqlx::query_as(pragma).fetch_one(&mut *alone).await;
            let (is_busy, _, _): (i64, i64, i64) = done.map_err(StoreError::query(OP))?;
            busy = is_busy;
        }
        Ok(busy == 0)
    }
}
