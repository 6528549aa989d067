//! What an account is asked for beside what it signs in with: a code of an authenticator app, or one for recovery.

use crate::audit::{AuditEntry, audit_on};
use crate::users::{AccessChanged, lock_user_on};
use crate::ways_in::sign_in_lasts_on;
use crate::{Scope, Store, StoreError};

/// The second factor of an account.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SecondFactor {
    /// What server and app share, sealed.
    pub sealed_secret: Vec<u8>,
    /// The step of the code that was accepted last.
    pub last_step: i64,
}

/// A second factor to set up.
#[derive(Clone, Copy)]
pub struct NewSecondFactor<'a> {
    /// What server and app share, sealed.
    pub sealed_secret: &'a [u8],
    /// The step of the code by which its person showed that their app has it.
    pub step: i64,
    /// An HMAC of each recovery code.
    pub recovery_macs: &'a [[u8; 32]],
}

/// What proves a second factor. It is used up in the transaction of what it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorProof {
    /// The code of this step.
    Step(i64),
    /// The recovery code with this HMAC.
    Recovery([u8; 32]),
}

impl FactorProof {
    /// Which kind it is.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Step(_) => "totp",
            Self::Recovery(_) => "recovery_code",
        }
    }
}

/// What became of a second factor to set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorSet {
    /// It is asked for from now on.
    Set,
    /// There is one already.
    Exists,
    /// The sign-in that asks has ended, or the account is shut.
    Ended,
}

/// Uses up what proves a second factor, in a transaction that has the account: whether it was good still.
macro_rules! factor_use_on {
    ($tx:expr, $user_id:expr, $proof:expr, $at_ms:expr, $op:literal) => {{
        let used = match $proof {
            // One statement that lets it grow alone: of two with one code, one is refused.
            $crate::second_factors::FactorProof::Step(step) => sqlx::query(
                "UPDATE second_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2",
            )
            .bind($user_id)
            .bind(step)
            .execute(&mut **$tx)
            .await,
            $crate::second_factors::FactorProof::Recovery(mac) => {
                sqlx::query(
                    "UPDATE recovery_codes SET used_at_ms = $3 \
                     WHERE user_id = $1 AND code_mac = $2 AND used_at_ms IS NULL",
                )
                .bind($user_id)
                .bind(mac.as_slice())
                .bind($at_ms)
                .execute(&mut **$tx)
                .await
            }
        };
        used.map_err($crate::StoreError::query($op))?
            .rows_affected()
            == 1
    }};
}
pub(crate) use factor_use_on;

macro_rules! recovery_codes_insert_on {
    ($tx:expr, $user_id:expr, $macs:expr, $op:literal) => {
        for mac in $macs {
            sqlx::query("INSERT INTO recovery_codes (user_id, code_mac) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind($user_id)
                .bind(mac.as_slice())
                .execute(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
        }
    };
}

/// Takes the second factor of an account away, in a transaction: whether there was one.
macro_rules! factor_delete_on {
    ($tx:expr, $user_id:expr, $op:literal) => {{
        let mut gone = 0;
        for statement in [
            "DELETE FROM recovery_codes WHERE user_id = $1",
            "DELETE FROM second_factors WHERE user_id = $1",
        ] {
            let done = sqlx::query(statement)
                .bind($user_id)
                .execute(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
            gone = done.rows_affected();
        }
        gone == 1
    }};
}

impl Store {
    /// The second factor of an account in scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn second_factor(
        &self,
        scope: &Scope,
        user_id: &str,
    ) -> Result<Option<SecondFactor>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as(
                "SELECT sealed_secret, last_step FROM second_factors WHERE user_id = $1 AND ($2 OR user_id = $3)",
            )
            .bind(user_id)
            .bind(scope.is_system())
            .bind(scope.user_id())
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("second_factor.get")))
    }

    /// Asks a person for a second factor from now on. Their sign-ins but `family_id`, which had none, end.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn second_factor_set(
        &self,
        scope: &Scope,
        new: &NewSecondFactor<'_>,
        family_id: &str,
        audit: &AuditEntry,
    ) -> Result<FactorSet, StoreError> {
        Ok(crate::in_tx!(self, "second_factor.set", tx => {
            if !lock_user_on!(&mut tx, scope.user_id(), "second_factor.set")
                || !sign_in_lasts_on!(&mut tx, scope.user_id(), family_id, audit.at_ms, "second_factor.set")
            {
                return Ok(FactorSet::Ended);
            }
            let made = sqlx::query(
                "INSERT INTO second_factors (user_id, sealed_secret, last_step, set_up_at_ms) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(scope.user_id())
            .bind(new.sealed_secret)
            .bind(new.step)
            .bind(audit.at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("second_factor.set"))?
            .rows_affected();
            if made == 0 {
                return Ok(FactorSet::Exists);
            }
            recovery_codes_insert_on!(&mut tx, scope.user_id(), new.recovery_macs, "second_factor.set");
            sqlx::query(
                "UPDATE session_families SET revoked_at_ms = $2, revoke_reason = 'second_factor' \
                 WHERE user_id = $1 AND family_id <> $3 AND revoked_at_ms IS NULL",
            )
            .bind(scope.user_id())
            .bind(audit.at_ms)
            .bind(family_id)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("second_factor.set"))?;
            audit_on!(&mut *tx, audit, "second_factor.set");
            FactorSet::Set
        }))
    }

    /// Gives a person who proves their second factor other recovery codes in place of those that they have. `false` where
    /// the proof is none any more.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn recovery_codes_set(
        &self,
        scope: &Scope,
        proof: FactorProof,
        macs: &[[u8; 32]],
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "recovery_codes.set", tx => {
            if !lock_user_on!(&mut tx, scope.user_id(), "recovery_codes.set")
                || !factor_use_on!(&mut tx, scope.user_id(), proof, audit.at_ms, "recovery_codes.set")
            {
                return Ok(false);
            }
            sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1")
                .bind(scope.user_id())
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("recovery_codes.set"))?;
            recovery_codes_insert_on!(&mut tx, scope.user_id(), macs, "recovery_codes.set");
            audit_on!(&mut *tx, audit, "recovery_codes.set");
            true
        }))
    }

    /// Asks a person who proves their second factor for none any more. `false` where the proof is none any more.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn second_factor_remove(
        &self,
        scope: &Scope,
        proof: FactorProof,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "second_factor.remove", tx => {
            let proven = lock_user_on!(&mut tx, scope.user_id(), "second_factor.remove")
                && factor_use_on!(&mut tx, scope.user_id(), proof, audit.at_ms, "second_factor.remove");
            if !proven || !factor_delete_on!(&mut tx, scope.user_id(), "second_factor.remove") {
                return Ok(false);
            }
            audit_on!(&mut *tx, audit, "second_factor.remove");
            true
        }))
    }

    /// Asks somebody for no second factor any more, for whoever may see all.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn second_factor_reset(
        &self,
        scope: &Scope,
        user_id: &str,
        audit: &AuditEntry,
    ) -> Result<AccessChanged, StoreError> {
        if !scope.is_system() {
            return Ok(AccessChanged::NoUser);
        }
        Ok(crate::in_tx!(self, "second_factor.reset", tx => {
            // Also of an account that is shut: nothing else takes its row at the same time.
            let known = sqlx::query("UPDATE users SET email = email WHERE user_id = $1")
                .bind(user_id)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("second_factor.reset"))?
                .rows_affected();
            if known == 0 {
                return Ok(AccessChanged::NoUser);
            }
            if !factor_delete_on!(&mut tx, user_id, "second_factor.reset") {
                return Ok(AccessChanged::Unchanged);
            }
            audit_on!(&mut *tx, audit, "second_factor.reset");
            AccessChanged::Changed
        }))
    }
}
