//! Accounts of chains that are a person's, and which requests to sign were answered.

use crate::audit::{AuditEntry, audit_on};
use crate::users::lock_user_on;
use crate::ways_in::{end_sign_ins_by_on, sign_in_lasts_on, way_in_is_left_on};
use crate::{Scope, Store, StoreError, System};
use serde_json::json;

/// Wallets that one account may have.
pub const WALLETS: i64 = 16;

/// A wallet of a person.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Wallet {
    /// How its accounts are proven: `evm`, `solana` or `cosmos`.
    pub kind: String,
    /// The account, as it is displayed.
    pub address: String,
    /// Since when it is theirs, unix ms.
    pub linked_at_ms: i64,
}

/// What became of a wallet to link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalletLinked {
    /// It is theirs now.
    Linked,
    /// It was.
    Unchanged,
    /// It is somebody else's.
    Taken,
    /// They have [`WALLETS`] already.
    TooMany,
    /// Their account is shut, or the sign-in that links has ended.
    NoUser,
}

/// What became of a wallet to take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalletUnlinked {
    /// It is nobody's now.
    Unlinked,
    /// It was not theirs.
    NoWallet,
    /// They would have neither a password nor a wallet.
    LastWayIn,
}

impl Store {
    /// Uses a request to sign up, once; `false` when it was. Forgets those that have expired.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn nonce_spend(
        &self,
        _by: System,
        nonce_hash: &[u8; 32],
        expires_at_ms: i64,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "nonce.spend", tx => {
            sqlx::query("DELETE FROM spent_nonces WHERE expires_at_ms < $1")
                .bind(now_ms)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("nonce.spend"))?;
            let spent = sqlx::query(
                "INSERT INTO spent_nonces (nonce_hash, expires_at_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(nonce_hash.as_slice())
            .bind(expires_at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("nonce.spend"))?
            .rows_affected();
            spent == 1
        }))
    }

    /// Whose a wallet is, where the account is open.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn wallet_owner(
        &self,
        _by: System,
        kind: &str,
        address: &str,
    ) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = crate::on_read!(self, pool => sqlx::query_as(
                "SELECT w.user_id FROM wallets w JOIN users u ON u.user_id = w.user_id \
                 WHERE w.kind = $1 AND w.address = $2 AND u.disabled_at_ms IS NULL",
            )
            .bind(kind)
            .bind(address)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("wallet.owner"))?);
        Ok(row.map(|(user_id,)| user_id))
    }

    /// A person's own wallets, in the order in which they were linked.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn wallet_list(&self, scope: &Scope) -> Result<Vec<Wallet>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as(
                "SELECT kind, address, linked_at_ms FROM wallets WHERE user_id = $1 \
                 ORDER BY linked_at_ms, kind, address LIMIT $2",
            )
            .bind(scope.user_id())
            .bind(WALLETS)
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("wallet.list")))
    }

    /// Makes a wallet the own one of a person who has proven it, while their sign-in `family_id` lasts.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn wallet_link(
        &self,
        scope: &Scope,
        (kind, address): (&str, &str),
        family_id: &str,
        audit: &AuditEntry,
    ) -> Result<WalletLinked, StoreError> {
        Ok(crate::in_tx!(self, "wallet.link", tx => {
            if !lock_user_on!(&mut tx, scope.user_id(), "wallet.link")
                || !sign_in_lasts_on!(&mut tx, scope.user_id(), family_id, audit.at_ms, "wallet.link")
            {
                return Ok(WalletLinked::NoUser);
            }
            let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM wallets WHERE user_id = $1")
                .bind(scope.user_id())
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query("wallet.link"))?;
            let made = sqlx::query(
                "INSERT INTO wallets (kind, address, user_id, linked_at_ms) \
                 SELECT $1, $2, u.user_id, $4 FROM users u WHERE u.user_id = $3 AND $5 ON CONFLICT DO NOTHING",
            )
            .bind(kind)
            .bind(address)
            .bind(scope.user_id())
            .bind(audit.at_ms)
            .bind(count < WALLETS)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("wallet.link"))?
            .rows_affected();
            if made == 0 {
                let owner: Option<(String,)> =
                    sqlx::query_as("SELECT user_id FROM wallets WHERE kind = $1 AND address = $2")
                        .bind(kind)
                        .bind(address)
                        .fetch_optional(&mut *tx)
                        .await
                        .map_err(StoreError::query("wallet.link"))?;
                return Ok(match owner {
                    Some((owner,)) if Some(owner.as_str()) == scope.user_id() => WalletLinked::Unchanged,
                    Some(_) => WalletLinked::Taken,
                    None => WalletLinked::TooMany,
                });
            }
            audit_on!(&mut *tx, audit, "wallet.link");
            WalletLinked::Linked
        }))
    }

    /// Takes a wallet of a person away from them, unless they would have neither a password nor another wallet. Their
    /// sign-ins by wallets end, but `family_id`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn wallet_unlink(
        &self,
        scope: &Scope,
        (kind, address): (&str, &str),
        family_id: &str,
        audit: &AuditEntry,
    ) -> Result<WalletUnlinked, StoreError> {
        Ok(crate::in_tx!(self, "wallet.unlink", tx => {
            // Of two that are taken away at once, the second sees that the first is gone.
            if !lock_user_on!(&mut tx, scope.user_id(), "wallet.unlink") {
                return Ok(WalletUnlinked::NoWallet);
            }
            let gone = sqlx::query("DELETE FROM wallets WHERE kind = $1 AND address = $2 AND user_id = $3")
                .bind(kind)
                .bind(address)
                .bind(scope.user_id())
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("wallet.unlink"))?
                .rows_affected();
            if gone == 0 {
                return Ok(WalletUnlinked::NoWallet);
            }
            if !way_in_is_left_on!(&mut tx, scope.user_id(), "wallet.unlink") {
                return Ok(WalletUnlinked::LastWayIn);
            }
            end_sign_ins_by_on!(&mut tx, scope.user_id(), "wallet", family_id, audit.at_ms, "wallet.unlink");
            let mut audit = audit.clone();
            audit.facts.before = Some(json!({ "kind": kind, "address": address }));
            audit_on!(&mut *tx, &audit, "wallet.unlink");
            WalletUnlinked::Unlinked
        }))
    }

    /// Gives a person another password in place of the one that was `verified`, if there was one. All their sign-ins but
    /// `family_id` end, and links that sign them in. `false`, and nothing happens, where that sign-in has ended or the
    /// password is another meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn password_set(
        &self,
        scope: &Scope,
        (password_hash, verified): (&str, Option<&str>),
        family_id: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "password.set", tx => {
            if !lock_user_on!(&mut tx, scope.user_id(), "password.set") {
                return Ok(false);
            }
            let set = sqlx::query(
                "UPDATE users SET password_hash = $2 WHERE user_id = $1 \
                 AND (password_hash = $3 OR (password_hash IS NULL AND CAST($3 AS TEXT) IS NULL)) \
                 AND EXISTS (SELECT 1 FROM session_families f WHERE f.family_id = $4 AND f.user_id = users.user_id \
                 AND f.revoked_at_ms IS NULL AND f.expires_at_ms > $5)",
            )
            .bind(scope.user_id())
            .bind(password_hash)
            .bind(verified)
            .bind(family_id)
            .bind(audit.at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("password.set"))?
            .rows_affected();
            if set == 0 {
                return Ok(false);
            }
            sqlx::query(
                "UPDATE session_families SET revoked_at_ms = $2, revoke_reason = 'password' \
                 WHERE user_id = $1 AND family_id <> $3 AND revoked_at_ms IS NULL",
            )
            .bind(scope.user_id())
            .bind(audit.at_ms)
            .bind(family_id)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("password.set"))?;
            sqlx::query("UPDATE one_time_links SET used_at_ms = $2 WHERE user_id = $1 AND used_at_ms IS NULL")
                .bind(scope.user_id())
                .bind(audit.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("password.set"))?;
            audit_on!(&mut *tx, audit, "password.set");
            true
        }))
    }
}
