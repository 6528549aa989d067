//! Accounts that people make themselves, each with an organisation of its own.

use crate::audit::{AuditEntry, audit_on};
use crate::users::{NewUser, UserCreated, user_insert_on};
use crate::{Store, StoreError, System};

/// The organisation of somebody who makes an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewOrg<'a> {
    /// Identity.
    pub org_id: &'a str,
    /// What it is called.
    pub name: &'a str,
}

/// What became of an account that somebody made themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserRegistered {
    /// It exists now, with its organisation.
    Registered,
    /// Another user has this email.
    EmailTaken,
    /// Another organisation has this name.
    OrgNameTaken,
}

impl Store {
    /// Makes a user with the organisation that their membership names.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_register(
        &self,
        _by: System,
        user: &NewUser,
        org: &NewOrg<'_>,
        audit: &AuditEntry,
    ) -> Result<UserRegistered, StoreError> {
        Ok(crate::in_tx!(self, "user.register", tx => {
            let made = sqlx::query(
                "INSERT INTO orgs (org_id, name, created_at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(org.org_id)
            .bind(org.name)
            .bind(user.created_at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("user.register"))?
            .rows_affected();
            if made == 0 {
                return Ok(UserRegistered::OrgNameTaken);
            }
            // Without the account there is no organisation either.
            match user_insert_on!(&mut tx, user, "user.register") {
                UserCreated::Created => {}
                UserCreated::EmailTaken => return Ok(UserRegistered::EmailTaken),
                UserCreated::NoOrganisation => return Ok(UserRegistered::OrgNameTaken),
            }
            audit_on!(&mut *tx, audit, "user.register");
            UserRegistered::Registered
        }))
    }
}
