//! The audit log: who did what to which object, from where, when. Insert only.
//!
//! A mutation takes an [`AuditEntry`] and writes it in its own transaction, so that neither exists without the
//! other.

use crate::{Store, StoreError, System};

/// One row to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, unix ms.
    pub at_ms: i64,
    /// Who: `user:ID`, `node:ID`, `cli` or `system`.
    pub actor: String,
    /// What, as `resource.verb`.
    pub action: String,
    /// To which object, as `kind:ID`.
    pub object: String,
    /// A JSON object with the rest, never with a secret.
    pub detail: Option<String>,
    /// Address of the caller.
    pub ip: Option<String>,
    /// The request that did it.
    pub request_id: Option<String>,
}

/// Writes an entry on a connection or in a transaction.
macro_rules! audit_on {
    ($conn:expr, $entry:expr, $op:literal) => {{
        let entry: &$crate::audit::AuditEntry = $entry;
        sqlx::query(
            "INSERT INTO audit (at_ms, actor, action, object, detail, ip, request_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(entry.at_ms)
        .bind(&entry.actor)
        .bind(&entry.action)
        .bind(&entry.object)
        .bind(&entry.detail)
        .bind(&entry.ip)
        .bind(&entry.request_id)
        .execute($conn)
        .await
        .map_err($crate::StoreError::query($op))?
    }};
}
pub(crate) use audit_on;

impl Store {
    /// Writes an entry that belongs to no other change.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_write(&self, _by: System, entry: &AuditEntry) -> Result<(), StoreError> {
        crate::on_write!(self, pool => {
            audit_on!(pool, entry, "audit.write");
        });
        Ok(())
    }
}
