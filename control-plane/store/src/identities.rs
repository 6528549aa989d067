//! Accounts at issuers of OpenID Connect that are a person's.

use crate::audit::{AuditEntry, audit_on};
use crate::users::lock_user_on;
use crate::ways_in::{end_sign_ins_by_on, sign_in_lasts_on, way_in_is_left_on};
use crate::{Scope, Store, StoreError, System};
use serde_json::json;

/// Identities that one account may have.
pub const IDENTITIES: i64 = 16;

/// An account at an issuer that signs a person in.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Identity {
    /// Its name here.
    pub identity_id: String,
    /// URL of the issuer, as the issuer writes it.
    pub issuer: String,
    /// The account there: a name that is never given to another.
    pub subject: String,
    /// The address that the issuer said at the link. It proves nothing and matches nobody.
    pub email: Option<String>,
    /// Since when it is theirs, unix ms.
    pub linked_at_ms: i64,
}

/// What became of an identity to link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityLinked {
    /// It is theirs now.
    Linked,
    /// It was.
    Unchanged,
    /// It is somebody else's.
    Taken,
    /// They have [`IDENTITIES`] already.
    TooMany,
    /// Their account is shut, or the sign-in that links has ended.
    NoUser,
}

/// What became of an identity to take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityUnlinked {
    /// It is nobody's now.
    Unlinked,
    /// It was not theirs.
    NoIdentity,
    /// They would have neither a password nor a wallet, which alone count as a way in.
    LastWayIn,
}

impl Store {
    /// Whose an identity is, where the account is open.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn identity_owner(
        &self,
        _by: System,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT i.user_id FROM oidc_identities i JOIN users u ON u.user_id = i.user_id \
                 WHERE i.issuer = $1 AND i.subject = $2 AND u.disabled_at_ms IS NULL",
            )
            .bind(issuer)
            .bind(subject)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("identity.owner"))?);
        Ok(row.map(|(user_id,)| user_id))
    }

    /// A person's own identities, in the order in which they were linked.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn identity_list(&self, scope: &Scope) -> Result<Vec<Identity>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as(
                "SELECT identity_id, issuer, subject, email, linked_at_ms FROM oidc_identities WHERE user_id = $1 \
                 ORDER BY linked_at_ms, identity_id LIMIT $2",
            )
            .bind(scope.user_id())
            .bind(IDENTITIES)
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("identity.list")))
    }

    /// Makes an identity the own one of a person who has proven it, while their sign-in `family_id` lasts.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn identity_link(
        &self,
        scope: &Scope,
        new: &Identity,
        family_id: &str,
        audit: &AuditEntry,
    ) -> Result<IdentityLinked, StoreError> {
        Ok(crate::in_tx!(self, "identity.link", tx => {
            if !lock_user_on!(&mut tx, scope.user_id(), "identity.link")
                || !sign_in_lasts_on!(&mut tx, scope.user_id(), family_id, audit.at_ms, "identity.link")
            {
                return Ok(IdentityLinked::NoUser);
            }
            let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM oidc_identities WHERE user_id = $1")
                .bind(scope.user_id())
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query("identity.link"))?;
            let made = sqlx::query(
                "INSERT INTO oidc_identities (identity_id, issuer, subject, user_id, email, linked_at_ms) \
                 SELECT $1, $2, $3, u.user_id, $5, $6 FROM users u WHERE u.user_id = $4 AND $7 ON CONFLICT DO NOTHING",
            )
            .bind(&new.identity_id)
            .bind(&new.issuer)
            .bind(&new.subject)
            .bind(scope.user_id())
            .bind(&new.email)
            .bind(new.linked_at_ms)
            .bind(count < IDENTITIES)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("identity.link"))?
            .rows_affected();
            if made == 0 {
                let owner: Option<(String,)> =
                    sqlx::query_as("SELECT user_id FROM oidc_identities WHERE issuer = $1 AND subject = $2")
                        .bind(&new.issuer)
                        .bind(&new.subject)
                        .fetch_optional(&mut *tx)
                        .await
                        .map_err(StoreError::query("identity.link"))?;
                return Ok(match owner {
                    Some((owner,)) if Some(owner.as_str()) == scope.user_id() => IdentityLinked::Unchanged,
                    Some(_) => IdentityLinked::Taken,
                    None => IdentityLinked::TooMany,
                });
            }
            audit_on!(&mut *tx, audit, "identity.link");
            IdentityLinked::Linked
        }))
    }

    /// Takes an identity of a person away from them, unless they would have neither a password nor a wallet: an issuer can
    /// be taken from the settings, be down, or close the account, so no identity counts as the way in that must stay.
    /// Their sign-ins by issuers end, but `family_id`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn identity_unlink(
        &self,
        scope: &Scope,
        identity_id: &str,
        family_id: &str,
        audit: &AuditEntry,
    ) -> Result<IdentityUnlinked, StoreError> {
        Ok(crate::in_tx!(self, "identity.unlink", tx => {
            // Of this and a wallet that is taken away at once, the second sees that the first is gone.
            if !lock_user_on!(&mut tx, scope.user_id(), "identity.unlink") {
                return Ok(IdentityUnlinked::NoIdentity);
            }
            let gone: Option<(String, String)> = sqlx::query_as(
                "DELETE FROM oidc_identities WHERE identity_id = $1 AND user_id = $2 RETURNING issuer, subject",
            )
            .bind(identity_id)
            .bind(scope.user_id())
            .fetch_optional(&mut *tx)
            .await
            .map_err(StoreError::query("identity.unlink"))?;
            let Some((issuer, subject)) = gone else {
                return Ok(IdentityUnlinked::NoIdentity);
            };
            if !way_in_is_left_on!(&mut tx, scope.user_id(), "identity.unlink") {
                return Ok(IdentityUnlinked::LastWayIn);
            }
            end_sign_ins_by_on!(&mut tx, scope.user_id(), "oidc", family_id, audit.at_ms, "identity.unlink");
            let mut audit = audit.clone();
            audit.facts.before = Some(json!({ "issuer": issuer, "subject": subject }));
            audit_on!(&mut *tx, &audit, "identity.unlink");
            IdentityUnlinked::Unlinked
        }))
    }
}
