//! One-time links: the first admin's set-up and sign-in without a password. Kept as SHA-256 of their secret.

use crate::audit::{AuditEntry, audit_on};
use crate::users::{NewUser, UserCreated, lock_user_on, user_insert_on};
use crate::{Store, StoreError, System};

const SETUP: &str = "setup";
const SIGN_IN: &str = "sign_in";

/// A link to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// SHA-256 of the secret.
    pub token_hash: [u8; 32],
    /// Whom it signs in; `None` for the set-up of the first admin.
    pub user_id: Option<String>,
    /// Who makes it: `user:ID` or `cli`.
    pub created_by: String,
    /// Now, unix ms.
    pub created_at_ms: i64,
    /// Last moment of use, unix ms.
    pub expires_at_ms: i64,
}

/// What became of a set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupDone {
    /// The first user exists now and all set-up links are void.
    Created,
    /// The link is unknown, used or expired, or there is a user already.
    LinkInvalid,
}

/// The condition under which a sign-in link `l` works: also that who made it may still make one, so that nobody keeps a way
/// back in beside what is taken from them.
macro_rules! link_works {
    ($now:literal) => {
        concat!(
            "l.purpose = 'sign_in' AND l.used_at_ms IS NULL AND l.expires_at_ms >= ",
            $now,
            " AND (l.created_by IS NULL OR l.created_by NOT LIKE 'user:%' OR EXISTS (SELECT 1 FROM users a ",
            "JOIN memberships m ON ",
            $crate::orgs::administers!("a", "m"),
            " WHERE a.user_id = SUBSTR(l.created_by, 6)))"
        )
    };
}
pub(crate) use link_works;

impl Store {
    /// Keeps a link and forgets those that expired. `false`, and nothing happens, where the account that it is for is shut.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn link_create(
        &self,
        _by: System,
        link: &NewLink,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "link.create", tx => {
            if let Some(user_id) = &link.user_id
                && !lock_user_on!(&mut tx, user_id, "link.create")
            {
                return Ok(false);
            }
            sqlx::query("DELETE FROM one_time_links WHERE expires_at_ms < $1")
                .bind(link.created_at_ms)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("link.create"))?;
            sqlx::query(
                "INSERT INTO one_time_links (token_hash, purpose, user_id, created_at_ms, expires_at_ms, created_by) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(link.token_hash.as_slice())
            .bind(if link.user_id.is_some() { SIGN_IN } else { SETUP })
            .bind(&link.user_id)
            .bind(link.created_at_ms)
            .bind(link.expires_at_ms)
            .bind(&link.created_by)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("link.create"))?;
            audit_on!(&mut *tx, audit, "link.create");
            true
        }))
    }

    /// Whom a sign-in link would sign in now. A plain read: [`Store::session_create`] uses it up.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn link_owner(
        &self,
        _by: System,
        token_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<(Option<String>,)> = crate::on_read!(self, pool => sqlx::query_as(concat!(
                "SELECT l.user_id FROM one_time_links l WHERE l.token_hash = $1 AND ",
                link_works!("$2")
            ))
            .bind(token_hash.as_slice())
            .bind(now_ms)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("link.owner"))?);
        Ok(row.and_then(|(user_id,)| user_id))
    }

    /// Whether a set-up link would work now; a cheap look before a password is hashed for it.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn link_setup_is_valid(
        &self,
        _by: System,
        token_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let (count,): (i64,) = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT COUNT(*) FROM one_time_links WHERE token_hash = $1 AND purpose = $3 \
                 AND used_at_ms IS NULL AND expires_at_ms >= $2 AND NOT EXISTS (SELECT 1 FROM users)",
            )
            .bind(token_hash.as_slice())
            .bind(now_ms)
            .bind(SETUP)
            .fetch_one(pool)
            .await
            .map_err(StoreError::query("link.setup_is_valid"))?);
        Ok(count > 0)
    }

    /// Uses a set-up link up and makes the first user, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn link_setup(
        &self,
        _by: System,
        token_hash: &[u8; 32],
        user: &NewUser,
        audit: &AuditEntry,
    ) -> Result<SetupDone, StoreError> {
        Ok(crate::in_tx!(self, "link.setup", tx => {
            // Voiding every set-up link locks their rows, so two set-ups cannot both find no user.
            let voided: Vec<(Vec<u8>, i64)> = sqlx::query_as(
                "UPDATE one_time_links SET used_at_ms = $1 WHERE purpose = $2 AND used_at_ms IS NULL \
                 RETURNING token_hash, expires_at_ms",
            )
            .bind(audit.at_ms)
            .bind(SETUP)
            .fetch_all(&mut *tx)
            .await
            .map_err(StoreError::query("link.setup"))?;
            let ours = voided
                .iter()
                .any(|(hash, expires)| hash == token_hash && *expires >= audit.at_ms);
            let (users,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM users")
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query("link.setup"))?;
            if !ours || users > 0 {
                return Ok(SetupDone::LinkInvalid);
            }
            if user_insert_on!(&mut tx, user, "link.setup") != UserCreated::Created {
                return Ok(SetupDone::LinkInvalid);
            }
            audit_on!(&mut *tx, audit, "link.setup");
            SetupDone::Created
        }))
    }
}
