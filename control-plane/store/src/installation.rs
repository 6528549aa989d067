//! Values of the installation itself, one row per name, and the write that `/readyz` tries.

use crate::db::Backend;
use crate::{Store, StoreError, System, in_tx, on_read};

/// Name of the row that `/readyz` writes.
const WRITE_CHECK: &str = "write_check";

/// Sets a value; an expression on a connection.
macro_rules! set_on {
    ($conn:expr, $name:expr, $value:expr, $at_ms:expr, $op:expr) => {
        sqlx::query(
            "INSERT INTO installation (name, value, updated_at_ms) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at_ms = excluded.updated_at_ms",
        )
        .bind($name)
        .bind($value)
        .bind($at_ms)
        .execute($conn)
        .await
        .map(drop)
        .map_err(StoreError::query($op))?
    };
}

impl Store {
    /// A value of the installation.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn installation_value(
        &self,
        _by: System,
        name: &str,
    ) -> Result<Option<String>, StoreError> {
        on_read!(self, conn => sqlx::query_scalar("SELECT value FROM installation WHERE name = $1")
            .bind(name)
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("installation.get")))
    }

    /// Writes a value where there is none. The value that stands then: another process may have been first.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn installation_claim(
        &self,
        _by: System,
        name: &str,
        value: &str,
        at_ms: i64,
    ) -> Result<String, StoreError> {
        const OP: &str = "installation.claim";
        Ok(in_tx!(self, "installation.claim", tx => {
            sqlx::query(
                "INSERT INTO installation (name, value, updated_at_ms) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(name)
            .bind(value)
            .bind(at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query(OP))?;
            sqlx::query_scalar("SELECT value FROM installation WHERE name = $1")
                .bind(name)
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query(OP))?
        }))
    }

    /// Writes one small row the way receipts are written, for `/readyz`.
    ///
    /// On PostgreSQL it first takes the locks that an insert of receipts takes, so that a table which somebody holds
    /// shows, and it gives up a lock that does not come, so that nothing of it stays behind.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn try_write(&self, _by: System, at_ms: i64) -> Result<(), StoreError> {
        const OP: &str = "store.try_write";
        let value = at_ms.to_string();
        match &self.backend {
            Backend::Sqlite { .. } => {
                in_tx!(self, "store.try_write", tx => set_on!(&mut *tx, WRITE_CHECK, &value, at_ms, OP));
            }
            Backend::Postgres { ingest: pool, .. } => {
                let mut tx = pool.begin().await.map_err(StoreError::query(OP))?;
                for statement in [
                    "SET LOCAL lock_timeout = '10s'",
                    "LOCK TABLE receipts, node_keys, nodes, rollups IN ROW EXCLUSIVE MODE",
                ] {
                    sqlx::query(statement)
                        .execute(&mut *tx)
                        .await
                        .map_err(StoreError::query(OP))?;
                }
                set_on!(&mut *tx, WRITE_CHECK, &value, at_ms, OP);
                tx.commit().await.map_err(StoreError::query(OP))?;
            }
        }
        Ok(())
    }

    /// Some sealed secrets of nodes, to try a key on: node ids and what was sealed.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn node_secrets_some(
        &self,
        _by: System,
        limit: i64,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        on_read!(self, conn => sqlx::query_as("SELECT node_id, sealed FROM node_secrets ORDER BY node_id LIMIT $1")
            .bind(limit)
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("node_secrets.some")))
    }
}
