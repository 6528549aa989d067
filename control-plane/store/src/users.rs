//! People and their organisations. Emails come in lower case.

use crate::audit::{AuditEntry, audit_on};
use crate::{Store, StoreError, System};

/// One person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identity.
    pub user_id: String,
    /// Address, in lower case.
    pub email: String,
    /// The argon2id string; `None` until a password is set.
    pub password_hash: Option<String>,
    /// Roles, sorted.
    pub roles: Vec<String>,
    /// The organisation.
    pub org_id: String,
    /// When the account was made, unix ms.
    pub created_at_ms: i64,
    /// When it was shut, unix ms.
    pub disabled_at_ms: Option<i64>,
}

/// What became of a new user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserCreated {
    /// The user exists now.
    Created,
    /// Another user has this email.
    EmailTaken,
}

pub(crate) type UserColumns = (
    String,
    String,
    Option<String>,
    String,
    String,
    i64,
    Option<i64>,
);

pub(crate) fn user_from(
    (id, email, password_hash, roles, org_id, created, disabled): UserColumns,
) -> User {
    User {
        user_id: id,
        email,
        password_hash,
        roles: roles
            .split(',')
            .filter(|role| !role.is_empty())
            .map(str::to_owned)
            .collect(),
        org_id,
        created_at_ms: created,
        disabled_at_ms: disabled,
    }
}

/// Writes a user, and the organisation where it is new, in a transaction.
macro_rules! user_insert_on {
    ($tx:expr, $user:expr, $op:literal) => {{
        let user: &$crate::users::User = $user;
        sqlx::query(
            "INSERT INTO orgs (org_id, name, created_at_ms) VALUES ($1, $1, $2) ON CONFLICT (org_id) DO NOTHING",
        )
        .bind(&user.org_id)
        .bind(user.created_at_ms)
        .execute(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
        sqlx::query(
            "INSERT INTO users (user_id, email, password_hash, roles, org_id, created_at_ms) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (email) DO NOTHING",
        )
        .bind(&user.user_id)
        .bind(&user.email)
        .bind(&user.password_hash)
        .bind(user.roles.join(","))
        .bind(&user.org_id)
        .bind(user.created_at_ms)
        .execute(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?
        .rows_affected()
    }};
}
pub(crate) use user_insert_on;

impl Store {
    /// How many users there are.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_count(&self, _by: System) -> Result<i64, StoreError> {
        let (count,): (i64,) = crate::on_read!(self, pool => sqlx::query_as("SELECT COUNT(*) FROM users")
            .fetch_one(pool)
            .await
            .map_err(StoreError::query("user.count"))?);
        Ok(count)
    }

    /// Makes a user.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_create(
        &self,
        _by: System,
        user: &User,
        audit: &AuditEntry,
    ) -> Result<UserCreated, StoreError> {
        Ok(crate::in_tx!(self, "user.create", tx => {
            if user_insert_on!(&mut tx, user, "user.create") == 0 {
                return Ok(UserCreated::EmailTaken);
            }
            audit_on!(&mut *tx, audit, "user.create");
            UserCreated::Created
        }))
    }

    /// The user with this email.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_by_email(
        &self,
        _by: System,
        email: &str,
    ) -> Result<Option<User>, StoreError> {
        let row: Option<UserColumns> = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT user_id, email, password_hash, roles, org_id, created_at_ms, disabled_at_ms \
                 FROM users WHERE email = $1",
            )
            .bind(email)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("user.by_email"))?);
        Ok(row.map(user_from))
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_get(&self, _by: System, user_id: &str) -> Result<Option<User>, StoreError> {
        let row: Option<UserColumns> = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT user_id, email, password_hash, roles, org_id, created_at_ms, disabled_at_ms \
                 FROM users WHERE user_id = $1",
            )
            .bind(user_id)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("user.get"))?);
        Ok(row.map(user_from))
    }

    /// All users, oldest first, at most 1,000.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_list(&self, _by: System) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserColumns> = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT user_id, email, password_hash, roles, org_id, created_at_ms, disabled_at_ms \
                 FROM users ORDER BY created_at_ms, user_id LIMIT 1000",
            )
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("user.list"))?);
        Ok(rows.into_iter().map(user_from).collect())
    }
}
