//! Making, listing and revoking enrolment tokens. What uses them up is with the nodes.

use crate::audit::{AuditEntry, audit_on};
use crate::memberships::MAKE_TOKENS;
use crate::orgs::MAIN_ORG;
use crate::pools::open_pool_on;
use crate::users::lock_user_on;
use crate::{Scope, Store, StoreError};

/// A token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEnrolmentToken {
    /// Public identity.
    pub id: String,
    /// SHA-256 of the token as shown.
    pub token_hash: [u8; 32],
    /// What the operator calls it.
    pub label: String,
    /// Region of the nodes that it enrols.
    pub region: Option<String>,
    /// Organisation of the nodes that it enrols.
    pub org_id: Option<String>,
    /// Pool of the nodes that it enrols.
    pub pool_id: Option<String>,
    /// Who made it: `user:ID` or `cli`.
    pub created_by: String,
    /// Now, unix ms.
    pub created_at_ms: i64,
    /// Last moment of use, unix ms.
    pub expires_at_ms: i64,
    /// How many nodes it may enrol.
    pub uses: i64,
    /// The API key that made it, for `created_by`, and ends with it.
    pub key_id: Option<String>,
}

/// A token as listed, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EnrolmentTokenRow {
    /// Public identity.
    pub id: String,
    /// What the operator calls it.
    pub label: String,
    /// Region of the nodes that it enrols.
    pub region: Option<String>,
    /// Organisation of the nodes that it enrols.
    pub org_id: Option<String>,
    /// Pool of the nodes that it enrols.
    pub pool_id: Option<String>,
    /// What that is called.
    pub pool_name: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made, unix ms.
    pub created_at_ms: i64,
    /// Last moment of use, unix ms.
    pub expires_at_ms: i64,
    /// How many nodes it could enrol.
    pub uses_total: i64,
    /// How many more it may enrol.
    pub uses_left: i64,
    /// When it was revoked, unix ms.
    pub revoked_at_ms: Option<i64>,
}

/// Takes an organisation that is open; whether it is.
macro_rules! open_org_on {
    ($tx:expr, $org_id:expr, $op:literal) => {
        sqlx::query("UPDATE orgs SET name = name WHERE org_id = $1 AND closed_at_ms IS NULL")
            .bind($org_id)
            .execute(&mut **$tx)
            .await
            .map_err(StoreError::query($op))?
            .rows_affected()
            == 1
    };
}
pub(crate) use open_org_on;

/// Whether the key that makes a token works still, with the account of its owner taken; what is no key does.
macro_rules! key_lasts_on {
    ($tx:expr, $key_id:expr, $at_ms:expr, $op:literal) => {
        match $key_id {
            None => true,
            Some(key_id) => {
                let (live,): (i64,) = sqlx::query_as(
                    "SELECT COUNT(*) FROM api_keys WHERE id = $1 AND revoked_at_ms IS NULL AND expires_at_ms > $2",
                )
                .bind(key_id)
                .bind($at_ms)
                .fetch_one(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
                live == 1
            }
        }
    };
}

/// Whether a person may make tokens of an organisation now, with their account taken; what is no person may.
macro_rules! may_make_on {
    ($tx:expr, $maker:expr, $org_id:expr, $op:literal) => {
        match $maker {
            None => true,
            Some(user_id) if !lock_user_on!($tx, user_id, $op) => false,
            Some(user_id) => {
                let rows: Vec<(String, String)> = sqlx::query_as(
                    "SELECT org_id, roles FROM memberships WHERE user_id = $1 AND (org_id = $2 OR org_id = $3)",
                )
                .bind(user_id)
                .bind($org_id)
                .bind(MAIN_ORG)
                .fetch_all(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
                let has = |roles: &str, role: &str| roles.split(',').any(|one| one == role);
                rows.iter().any(|(org_id, roles)| {
                    let is_own = Some(org_id) == $org_id.as_ref();
                    (is_own && MAKE_TOKENS.iter().any(|role| has(roles, role)))
                        || (org_id == MAIN_ORG && has(roles, "admin"))
                })
            }
        }
    };
}

impl Store {
    /// Keeps a token, if it is one of the scope, its organisation is open, its pool is an open one of that, and who makes it may;
    /// whether that is so.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn enrolment_token_create(
        &self,
        scope: &Scope,
        token: &NewEnrolmentToken,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "enrolment_token.create", tx => {
            // The organisation first, then the account: of a change of either, this is before or after.
            let open = match &token.org_id {
                None => true,
                Some(org_id) => open_org_on!(&mut tx, org_id, "enrolment_token.create"),
            };
            let maker = token.created_by.strip_prefix("user:");
            if !open || !may_make_on!(&mut tx, maker, &token.org_id, "enrolment_token.create") {
                return Ok(false);
            }
            if !key_lasts_on!(&mut tx, &token.key_id, token.created_at_ms, "enrolment_token.create") {
                return Ok(false);
            }
            // Whoever closes the pool revokes this, or this finds it closed.
            if let Some(pool_id) = &token.pool_id
                && open_pool_on!(&mut tx, pool_id, "enrolment_token.create") != token.org_id
            {
                return Ok(false);
            }
            let kept = sqlx::query(
                "INSERT INTO enrolment_tokens (id, token_hash, label, region, org_id, created_by, \
                 created_at_ms, expires_at_ms, uses_total, uses_left, key_id, pool_id) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $12, $13 \
                 WHERE $10 OR $5 = $11",
            )
            .bind(&token.id)
            .bind(token.token_hash.as_slice())
            .bind(&token.label)
            .bind(&token.region)
            .bind(&token.org_id)
            .bind(&token.created_by)
            .bind(token.created_at_ms)
            .bind(token.expires_at_ms)
            .bind(token.uses)
            .bind(scope.is_system())
            .bind(scope.org_id())
            .bind(&token.key_id)
            .bind(&token.pool_id)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("enrolment_token.create"))?
            .rows_affected();
            if kept == 0 {
                return Ok(false);
            }
            audit_on!(&mut *tx, audit, "enrolment_token.create");
            true
        }))
    }

    /// The tokens in scope, newest first, at most `limit` of those made before `(before_ms, before_id)`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn enrolment_token_list(
        &self,
        scope: &Scope,
        before: Option<(i64, &str)>,
        limit: i64,
    ) -> Result<Vec<EnrolmentTokenRow>, StoreError> {
        let (before_ms, before_id) = before.unwrap_or((i64::MAX, ""));
        crate::on_page!(self, pool => sqlx::query_as(
                "SELECT id, label, region, org_id, created_by, created_at_ms, expires_at_ms, uses_total, \
                 uses_left, revoked_at_ms, pool_id, \
                 (SELECT p.name FROM pools p WHERE p.pool_id = enrolment_tokens.pool_id) AS pool_name \
                 FROM enrolment_tokens \
                 WHERE ($1 OR org_id = $2) AND (created_at_ms < $3 OR (created_at_ms = $3 AND id < $4)) \
                 ORDER BY created_at_ms DESC, id DESC LIMIT $5",
            )
            .bind(scope.is_system())
            .bind(scope.org_id())
            .bind(before_ms)
            .bind(before_id)
            .bind(limit)
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("enrolment_token.list")))
    }

    /// How many tokens are in scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn enrolment_token_count(&self, scope: &Scope) -> Result<i64, StoreError> {
        let (count,): (i64,) = crate::on_page!(self, pool => sqlx::query_as(
                "SELECT COUNT(*) FROM enrolment_tokens WHERE ($1 OR org_id = $2)",
            )
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_one(pool)
            .await
            .map_err(StoreError::query("enrolment_token.count"))?);
        Ok(count)
    }

    /// The nodes that a token in scope enrolled, by id, at most 1,000.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn enrolment_token_used_by(
        &self,
        scope: &Scope,
        id: &str,
    ) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = crate::on_page!(self, pool => sqlx::query_as(
                "SELECT n.node_id FROM nodes n JOIN enrolment_tokens t ON t.id = n.token_id WHERE n.token_id = $1 \
                 AND ($2 OR t.org_id = $3) ORDER BY n.node_id LIMIT 1000",
            )
            .bind(id)
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("enrolment_token.used_by"))?);
        Ok(rows.into_iter().map(|(node_id,)| node_id).collect())
    }

    /// Revokes a token in scope. `false` when there is none; revoking twice is no fault.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn enrolment_token_revoke(
        &self,
        scope: &Scope,
        id: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "enrolment_token.revoke", tx => {
            let was: Option<(Option<i64>,)> = sqlx::query_as(
                "SELECT revoked_at_ms FROM enrolment_tokens \
                 WHERE id = $1 AND ($2 OR org_id = $3)",
            )
            .bind(id)
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_optional(&mut *tx)
            .await
            .map_err(StoreError::query("enrolment_token.revoke"))?;
            if was.is_none() {
                return Ok(false);
            }
            let revoked = sqlx::query(
                "UPDATE enrolment_tokens SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL",
            )
            .bind(id)
            .bind(audit.at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("enrolment_token.revoke"))?
            .rows_affected();
            // Of those who revoke it at once, one did.
            if revoked > 0 {
                audit_on!(&mut *tx, audit, "enrolment_token.revoke");
            }
            true
        }))
    }
}
