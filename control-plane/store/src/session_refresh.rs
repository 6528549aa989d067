//! A session goes on: its refresh token is exchanged for the next pair.
//!
//! A refresh token is exchanged once. Exchanged again within the grace it gives the same child, so that a lost
//! answer does no harm; later than that, somebody else has it, and the family is revoked.

use crate::audit::{AuditEntry, audit_on};
use crate::sessions::{Session, SessionRow, TokenPair, pair_insert_on, session_columns};
use crate::{Store, StoreError, System};

/// A refresh token of a live session, before its exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    /// The sign-in that it belongs to.
    pub family_id: String,
    /// When it was exchanged already, unix ms.
    pub replaced_at_ms: Option<i64>,
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It gave its child: the one offered, or, within the grace, the one that it gave before.
    Child {
        /// The session.
        session: Session,
        /// End of the child's access token, unix ms.
        access_expires_at_ms: i64,
    },
    /// Unknown, expired, revoked, or of a shut account.
    Invalid,
    /// It was used before: the family is revoked now.
    Reused,
}

impl Store {
    /// Exchanges a refresh token for `child`. `audit` is written only when the token was reused; its object is
    /// then `session:FAMILY`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_rotate(
        &self,
        _by: System,
        refresh_hash: &[u8; 32],
        child: &TokenPair,
        grace_ms: i64,
        audit: &AuditEntry,
    ) -> Result<Rotation, StoreError> {
        let now_ms = child.issued_at_ms;
        Ok(crate::in_tx!(self, "session.rotate", tx => {
            // Claims the exchange first: of two that race, the second sees the claim and gets the same child.
            let claimed = sqlx::query(
                "UPDATE session_tokens SET replaced_at_ms = $2 \
                 WHERE refresh_hash = $1 AND replaced_at_ms IS NULL AND refresh_expires_at_ms > $2",
            )
            .bind(refresh_hash.as_slice())
            .bind(now_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("session.rotate"))?
            .rows_affected()
                == 1;
            let row: Option<SessionRow> =
                sqlx::query_as(session_columns!("WHERE t.refresh_hash = $1"))
                    .bind(refresh_hash.as_slice())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(StoreError::query("session.rotate"))?;
            let Some(row) = row.filter(|row| row.is_alive(now_ms)) else {
                return Ok(Rotation::Invalid);
            };
            if claimed {
                pair_insert_on!(&mut tx, &row.family_id, child, "session.rotate");
                Rotation::Child {
                    session: row.into_session(),
                    access_expires_at_ms: child.access_expires_at_ms,
                }
            } else {
                match row.replaced_at_ms {
                    None => return Ok(Rotation::Invalid),
                    Some(replaced_at_ms) if now_ms - replaced_at_ms <= grace_ms => {
                        let given: Option<(i64,)> = sqlx::query_as(
                            "SELECT access_expires_at_ms FROM session_tokens WHERE refresh_hash = $1",
                        )
                        .bind(child.refresh_hash.as_slice())
                        .fetch_optional(&mut *tx)
                        .await
                        .map_err(StoreError::query("session.rotate"))?;
                        match given {
                            None => return Ok(Rotation::Invalid),
                            Some((access_expires_at_ms,)) => Rotation::Child {
                                session: row.into_session(),
                                access_expires_at_ms,
                            },
                        }
                    }
                    Some(_) => {
                        sqlx::query(
                            "UPDATE session_families SET revoked_at_ms = $2, revoke_reason = 'reuse' \
                             WHERE family_id = $1 AND revoked_at_ms IS NULL",
                        )
                        .bind(&row.family_id)
                        .bind(now_ms)
                        .execute(&mut *tx)
                        .await
                        .map_err(StoreError::query("session.rotate"))?;
                        let entry = AuditEntry {
                            object: format!("session:{}", row.family_id),
                            actor: format!("user:{}", row.user_id),
                            ..audit.clone()
                        };
                        audit_on!(&mut *tx, &entry, "session.rotate");
                        Rotation::Reused
                    }
                }
            }
        }))
    }

    /// A refresh token that can be exchanged, or was already; `None` for junk, and where it has expired or its session has
    /// ended. A plain read: what has no answer here needs no write lock.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_refresh_token(
        &self,
        _by: System,
        refresh_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<Option<RefreshToken>, StoreError> {
        let row: Option<SessionRow> = crate::on_read!(self, pool =>
            sqlx::query_as(session_columns!("WHERE t.refresh_hash = $1"))
                .bind(refresh_hash.as_slice())
                .fetch_optional(pool)
                .await
                .map_err(StoreError::query("session.refresh_token"))?);
        let row = row.filter(|row| {
            let is_spent = row.replaced_at_ms.is_some();
            row.is_alive(now_ms) && (is_spent || row.refresh_expires_at_ms > now_ms)
        });
        Ok(row.map(|row| RefreshToken {
            family_id: row.family_id,
            replaced_at_ms: row.replaced_at_ms,
        }))
    }

    /// Which sign-in a refresh token belongs to, whatever its state, and whose that is.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_family_of(
        &self,
        _by: System,
        refresh_hash: &[u8; 32],
    ) -> Result<Option<(String, String)>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as(
                "SELECT f.family_id, f.user_id FROM session_tokens t \
                 JOIN session_families f ON f.family_id = t.family_id WHERE t.refresh_hash = $1",
            )
            .bind(refresh_hash.as_slice())
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("session.family_of")))
    }
}
