//! Sign-ins as their person has them: seen, ended, and acting for one of their organisations.

use crate::audit::{AuditEntry, audit_on};
use crate::sessions::{OPEN_SESSIONS, Session, SessionRow, session_columns};
use crate::{Scope, Store, StoreError};
use serde_json::json;

/// A sign-in that lasts, as its person is told of it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OpenSession {
    /// Its name.
    pub family_id: String,
    /// When it began, unix ms.
    pub created_at_ms: i64,
    /// When it ends, however much it is used, unix ms.
    pub expires_at_ms: i64,
    /// When it was renewed last, unix ms.
    pub renewed_at_ms: i64,
    /// How it was proved whose it is.
    pub method: String,
    /// Address of the browser when it began.
    pub ip: Option<String>,
    /// What the browser called itself then.
    pub user_agent: Option<String>,
}

impl Store {
    /// A sign-in in scope as it is now; `None` when it ended or expired, or no refresh token of it works.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_now(
        &self,
        scope: &Scope,
        family_id: &str,
        now_ms: i64,
    ) -> Result<Option<Session>, StoreError> {
        let row: Option<SessionRow> = crate::on_read!(self, pool =>
            sqlx::query_as(session_columns!(
                "WHERE t.family_id = $1 AND t.refresh_expires_at_ms > $2 AND ($3 OR f.user_id = $4) \
                 ORDER BY t.refresh_expires_at_ms DESC LIMIT 1"
            ))
            .bind(family_id)
            .bind(now_ms)
            .bind(scope.is_system())
            .bind(scope.user_id())
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("session.now"))?);
        let row = row.filter(|row| row.is_alive(now_ms));
        Ok(row.map(SessionRow::into_session))
    }

    /// Lets a sign-in in scope act for another organisation of its person, which the next ones begin with. `None` when
    /// the sign-in has ended, or its person is not in that organisation, or it is closed. The audit row says for which it
    /// acted; where that was the same, there is none.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_act_for(
        &self,
        scope: &Scope,
        family_id: &str,
        org_id: &str,
        audit: &AuditEntry,
    ) -> Result<Option<Session>, StoreError> {
        Ok(crate::in_tx!(self, "session.act_for", tx => {
            // First of all: in this order account and sign-ins are taken by all; what comes of it is undone where it must not be.
            let open = sqlx::query(
                "UPDATE users SET org_id = $2 WHERE disabled_at_ms IS NULL \
                 AND user_id = (SELECT user_id FROM session_families WHERE family_id = $1) \
                 AND EXISTS (SELECT 1 FROM orgs WHERE org_id = $2)",
            )
            .bind(family_id)
            .bind(org_id)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("session.act_for"))?
            .rows_affected();
            if open == 0 {
                return Ok(None);
            }
            let was: Option<(Option<String>,)> =
                sqlx::query_as("SELECT org_id FROM session_families WHERE family_id = $1")
                    .bind(family_id)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(StoreError::query("session.act_for"))?;
            let changed = sqlx::query(
                "UPDATE session_families SET org_id = $2 WHERE family_id = $1 AND revoked_at_ms IS NULL \
                 AND ($3 OR user_id = $4) AND EXISTS (SELECT 1 FROM memberships m JOIN orgs o ON o.org_id = m.org_id \
                 WHERE m.user_id = session_families.user_id AND m.org_id = $2 AND o.closed_at_ms IS NULL)",
            )
            .bind(family_id)
            .bind(org_id)
            .bind(scope.is_system())
            .bind(scope.user_id())
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("session.act_for"))?
            .rows_affected();
            if changed == 0 {
                return Ok(None);
            }
            let mut audit = audit.clone();
            let was = was.and_then(|(org_id,)| org_id);
            if was.as_deref() != Some(org_id) {
                audit.facts.before = Some(json!({ "org_id": was }));
                audit.facts.after = Some(json!({ "org_id": org_id }));
                audit_on!(&mut *tx, &audit, "session.act_for");
            }
            let row: Option<SessionRow> = sqlx::query_as(session_columns!(
                    "WHERE t.family_id = $1 ORDER BY t.refresh_expires_at_ms DESC LIMIT 1"
                ))
                .bind(family_id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(StoreError::query("session.act_for"))?;
            row.map(SessionRow::into_session)
        }))
    }

    /// A person's own sign-ins that last, the one renewed last first. There are [`OPEN_SESSIONS`] at most.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_list(
        &self,
        scope: &Scope,
        now_ms: i64,
    ) -> Result<Vec<OpenSession>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as(
                "SELECT f.family_id, f.created_at_ms, f.expires_at_ms, MAX(t.issued_at_ms) AS renewed_at_ms, \
                 f.method, f.ip, f.user_agent \
                 FROM session_families f JOIN session_tokens t ON t.family_id = f.family_id \
                 WHERE f.user_id = $1 AND f.revoked_at_ms IS NULL AND f.expires_at_ms > $2 \
                 GROUP BY f.family_id, f.created_at_ms, f.expires_at_ms, f.method, f.ip, f.user_agent \
                 HAVING MAX(t.refresh_expires_at_ms) > $2 ORDER BY renewed_at_ms DESC, f.family_id LIMIT $3",
            )
            .bind(scope.user_id())
            .bind(now_ms)
            .bind(OPEN_SESSIONS)
            .fetch_all(pool)
            .await)
        .map_err(StoreError::query("session.list"))
    }

    /// Ends a sign-in in scope. `false` when there is none, or it had ended.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_revoke(
        &self,
        scope: &Scope,
        family_id: &str,
        reason: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        // The token of a session that has ended costs a plain read and no write lock.
        let open: Option<(i64,)> = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT created_at_ms FROM session_families WHERE family_id = $1 AND revoked_at_ms IS NULL",
            )
            .bind(family_id)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("session.revoke"))?);
        if open.is_none() {
            return Ok(false);
        }
        Ok(crate::in_tx!(self, "session.revoke", tx => {
            let changed = sqlx::query(
                "UPDATE session_families SET revoked_at_ms = $2, revoke_reason = $3 \
                 WHERE family_id = $1 AND revoked_at_ms IS NULL \
                 AND ($4 OR user_id = $5)",
            )
            .bind(family_id)
            .bind(audit.at_ms)
            .bind(reason)
            .bind(scope.is_system())
            .bind(scope.user_id())
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("session.revoke"))?
            .rows_affected();
            if changed == 0 {
                return Ok(false);
            }
            audit_on!(&mut *tx, audit, "session.revoke");
            true
        }))
    }
}
