//! Feature flags: only those that were changed are rows; the caller knows the defaults.

use crate::audit::{AuditEntry, audit_on};
use crate::{Store, StoreError};

impl Store {
    /// Names and values of the flags that were ever changed.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn flags_changed(&self) -> Result<Vec<(String, bool)>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as("SELECT name, enabled FROM flags ORDER BY name")
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("flags.list")))
    }

    /// Sets one flag.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn flag_set(
        &self,
        name: &str,
        enabled: bool,
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        crate::in_tx!(self, "flags.set", tx => {
            sqlx::query(
                "INSERT INTO flags (name, enabled, updated_at_ms, updated_by) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, \
                 updated_at_ms = excluded.updated_at_ms, updated_by = excluded.updated_by",
            )
            .bind(name)
            .bind(enabled)
            .bind(audit.at_ms)
            .bind(&audit.actor)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("flags.set"))?;
            audit_on!(&mut *tx, audit, "flags.set");
        });
        Ok(())
    }
}
