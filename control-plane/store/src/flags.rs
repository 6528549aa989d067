//! Feature flags: only those that were changed are rows; the caller knows the defaults.

use crate::audit::{AuditEntry, audit_on};
use crate::{Scope, Store, StoreError, System};

impl Store {
    /// Names and values of the flags that were ever changed.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn flags_changed(&self, _by: System) -> Result<Vec<(String, bool)>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as("SELECT name, enabled FROM flags ORDER BY name")
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("flags.list")))
    }

    /// Sets one flag, which is the system's; whether it is in scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn flag_set(
        &self,
        scope: &Scope,
        name: &str,
        enabled: bool,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "flags.set", tx => {
            let before: Option<(bool,)> = sqlx::query_as("SELECT enabled FROM flags WHERE name = $1")
                .bind(name)
                .fetch_optional(&mut *tx)
                .await
                .map_err(StoreError::query("flags.set"))?;
            let set = sqlx::query(
                "INSERT INTO flags (name, enabled, updated_at_ms, updated_by) SELECT $1, $2, $3, $4 WHERE $5 \
                 ON CONFLICT (name) DO UPDATE SET enabled = excluded.enabled, \
                 updated_at_ms = excluded.updated_at_ms, updated_by = excluded.updated_by",
            )
            .bind(name)
            .bind(enabled)
            .bind(audit.at_ms)
            .bind(&audit.actor)
            .bind(scope.is_system())
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("flags.set"))?
            .rows_affected();
            if set == 0 {
                return Ok(false);
            }
            let mut audit = audit.clone();
            // Without a row it was as the caller says.
            if let Some((enabled,)) = before {
                audit.facts.before = Some(serde_json::json!({ "enabled": enabled }));
            }
            audit_on!(&mut *tx, &audit, "flags.set");
            true
        }))
    }
}
