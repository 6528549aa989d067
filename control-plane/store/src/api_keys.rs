//! Keys with which programs act for a person in one organisation.

use crate::audit::{AuditEntry, audit_on};
use crate::enrolment_tokens::open_org_on;
use crate::memberships::roles_from;
use crate::orgs::MAIN_ORG;
use crate::users::lock_user_on;
use crate::ways_in::sign_in_lasts_on;
use crate::{Dialect, Scope, Store, StoreError, System};
use dgon_control_plane_model::api_key::Scopes;
use serde_json::json;

/// Keys that one person may have which are neither revoked nor expired.
pub const LIVE_KEYS: i64 = 50;
/// At most so often the use of a key is noted, ms.
pub const USE_NOTED_MS: i64 = 60_000;

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKeyRow {
    /// Public part.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The organisation that it acts for.
    pub org_id: String,
    /// What that is called.
    pub org_name: String,
    /// When that was closed, unix ms: then the key does nothing.
    pub org_closed_at_ms: Option<i64>,
    /// What its owner calls it.
    pub name: String,
    /// Names of scopes with spaces between.
    pub scopes: String,
    /// A JSON list of ids; `None` where it may use all.
    pub models: Option<String>,
    /// What it may spend in all, nano-USD.
    pub budget_nano_usd: Option<i64>,
    /// When it was made, unix ms.
    pub created_at_ms: i64,
    /// First moment at which it works no more, unix ms.
    pub expires_at_ms: i64,
    /// When it was revoked, unix ms.
    pub revoked_at_ms: Option<i64>,
    /// When it was used last, unix ms, give or take [`USE_NOTED_MS`].
    pub last_used_at_ms: Option<i64>,
    /// From which address.
    pub last_used_ip: Option<String>,
}

/// A key to make. Its person is the scope's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey<'a> {
    /// Public part.
    pub id: &'a str,
    /// SHA-256 of the secret.
    pub secret_hash: &'a [u8; 32],
    /// The organisation that it acts for.
    pub org_id: &'a str,
    /// The sign-in that makes it.
    pub family_id: &'a str,
    /// What its owner calls it.
    pub name: &'a str,
    /// What it may be used for.
    pub scopes: &'a Scopes,
    /// A JSON list of ids.
    pub models: Option<&'a str>,
    /// What it may spend in all, nano-USD.
    pub budget_nano_usd: Option<i64>,
    /// First moment at which it works no more, unix ms.
    pub expires_at_ms: i64,
}

/// What became of a key to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiKeyMade {
    /// It works from now on.
    Made(Box<ApiKeyRow>),
    /// Its person has [`LIVE_KEYS`] already.
    TooMany,
    /// What its person may do in the organisation does not cover a scope, or the organisation is closed.
    NotAllowed,
    /// The account is shut, or the sign-in has ended.
    NoUser,
}

/// What a key and its owner are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyNow {
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    /// Whose it is.
    pub user_id: String,
    /// The organisation that it acts for.
    pub org_id: String,
    /// Names of scopes with spaces between.
    pub scopes: String,
    /// First moment at which it works no more, unix ms.
    pub expires_at_ms: i64,
    /// Whether it was revoked.
    pub is_revoked: bool,
    /// What its owner may do in that organisation; `None` where the account is shut, they are not in it, or it is closed.
    pub roles: Option<Vec<String>>,
}

/// That a key was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Which.
    pub id: String,
    /// When, unix ms.
    pub at_ms: i64,
    /// From which address.
    pub ip: Option<String>,
}

#[derive(sqlx::FromRow)]
struct NowRow {
    secret_hash: Vec<u8>,
    user_id: String,
    org_id: String,
    scopes: String,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
    open_org_id: Option<String>,
    roles: Option<String>,
}

macro_rules! key_columns {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.user_id, k.org_id, o.name AS org_name, o.closed_at_ms AS org_closed_at_ms, k.name, k.scopes, ",
            "k.models, k.budget_nano_usd, k.created_at_ms, k.expires_at_ms, k.revoked_at_ms, k.last_used_at_ms, ",
            "k.last_used_ip FROM api_keys k JOIN orgs o ON o.org_id = k.org_id ",
            $rest
        )
    };
}

/// Ends the keys of a person for an organisation of which the roles that are left open no scope; how many. The account is
/// taken, and whoever calls this ends the enrolment tokens, for which the same roles count.
macro_rules! end_keys_on {
    ($tx:expr, $user_id:expr, $org_id:expr, $left:expr, $at_ms:expr, $op:literal) => {{
        let left: &[String] = $left;
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT id, scopes FROM api_keys WHERE user_id = $1 AND org_id = $2 AND revoked_at_ms IS NULL ORDER BY id",
        )
        .bind($user_id)
        .bind($org_id)
        .fetch_all(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
        let mut ended: u64 = 0;
        for (id, scopes) in rows {
            if $crate::api_keys::opens_some(&scopes, left) {
                continue;
            }
            sqlx::query("UPDATE api_keys SET revoked_at_ms = $2 WHERE id = $1")
                .bind(id)
                .bind($at_ms)
                .execute(&mut **$tx)
                .await
                .map_err($crate::StoreError::query($op))?;
            ended += 1;
        }
        ended
    }};
}
pub(crate) use end_keys_on;

/// Whether roles open one of these scopes, as they are stored. Names of a newer version open nothing here.
pub(crate) fn opens_some(scopes: &str, roles: &[String]) -> bool {
    let known = scopes.parse::<Scopes>();
    known.is_ok_and(|scopes| {
        let mut all = scopes.iter();
        all.any(|scope| scope.is_open_to(roles.iter().map(String::as_str)))
    })
}

/// The roles that count for keys: the network is administered from its own organisation alone.
fn roles_of_keys(org_id: &str, roles: &str) -> Vec<String> {
    let mut roles = roles_from(roles);
    roles.retain(|role| role != "admin" || org_id == MAIN_ORG);
    roles
}

impl NowRow {
    fn read(self) -> Result<KeyNow, StoreError> {
        let secret_hash = self.secret_hash.try_into();
        let open = self.open_org_id.is_some();
        let roles = self.roles.filter(|_| open);
        Ok(KeyNow {
            secret_hash: secret_hash.map_err(|_| StoreError::Corrupt {
                op: "api_key.now",
                what: "secret_hash",
            })?,
            roles: roles.map(|roles| roles_of_keys(&self.org_id, &roles)),
            user_id: self.user_id,
            org_id: self.org_id,
            scopes: self.scopes,
            expires_at_ms: self.expires_at_ms,
            is_revoked: self.revoked_at_ms.is_some(),
        })
    }
}

impl Store {
    /// Makes a key of the person in scope, for an organisation that is open, where they may use each of its scopes, by a
    /// sign-in of theirs that lasts.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn api_key_create(
        &self,
        scope: &Scope,
        new: &NewApiKey<'_>,
        audit: &AuditEntry,
    ) -> Result<ApiKeyMade, StoreError> {
        let Some(user_id) = scope.user_id() else {
            return Ok(ApiKeyMade::NoUser);
        };
        Ok(crate::in_tx!(self, "api_key.create", tx => {
            // The organisation first, then the account: of a change of either, this is before or after.
            if !open_org_on!(&mut tx, new.org_id, "api_key.create") {
                return Ok(ApiKeyMade::NotAllowed);
            }
            if !lock_user_on!(&mut tx, user_id, "api_key.create")
                || !sign_in_lasts_on!(&mut tx, user_id, new.family_id, audit.at_ms, "api_key.create")
            {
                return Ok(ApiKeyMade::NoUser);
            }
            let roles: Option<(String,)> =
                sqlx::query_as("SELECT roles FROM memberships WHERE user_id = $1 AND org_id = $2")
                    .bind(user_id)
                    .bind(new.org_id)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(StoreError::query("api_key.create"))?;
            let roles = roles.map(|(roles,)| roles_of_keys(new.org_id, &roles)).unwrap_or_default();
            if !new.scopes.iter().all(|scope| scope.is_open_to(roles.iter().map(String::as_str))) {
                return Ok(ApiKeyMade::NotAllowed);
            }
            let (live,): (i64,) = sqlx::query_as(
                "SELECT COUNT(*) FROM api_keys WHERE user_id = $1 AND revoked_at_ms IS NULL AND expires_at_ms > $2",
            )
            .bind(user_id)
            .bind(audit.at_ms)
            .fetch_one(&mut *tx)
            .await
            .map_err(StoreError::query("api_key.create"))?;
            if live >= LIVE_KEYS {
                return Ok(ApiKeyMade::TooMany);
            }
            sqlx::query(
                "INSERT INTO api_keys (id, secret_hash, user_id, org_id, name, scopes, models, budget_nano_usd, \
                 created_at_ms, expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(new.id)
            .bind(new.secret_hash.as_slice())
            .bind(user_id)
            .bind(new.org_id)
            .bind(new.name)
            .bind(new.scopes.to_string())
            .bind(new.models)
            .bind(new.budget_nano_usd)
            .bind(audit.at_ms)
            .bind(new.expires_at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("api_key.create"))?;
            audit_on!(&mut *tx, audit, "api_key.create");
            let row: ApiKeyRow = sqlx::query_as(key_columns!("WHERE k.id = $1"))
                .bind(new.id)
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query("api_key.create"))?;
            ApiKeyMade::Made(Box::new(row))
        }))
    }

    /// Keys in scope, those of `user_id` where that is given, newest first, at most `limit` of those made before
    /// `(before_ms, before_id)`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn api_key_list(
        &self,
        scope: &Scope,
        user_id: &str,
        before: Option<(i64, &str)>,
        limit: i64,
    ) -> Result<Vec<ApiKeyRow>, StoreError> {
        let (before_ms, before_id) = before.unwrap_or((i64::MAX, ""));
        crate::on_page!(self, conn => sqlx::query_as(key_columns!(
                "WHERE k.user_id = $1 AND ($2 OR k.user_id = $3) \
                 AND (k.created_at_ms < $4 OR (k.created_at_ms = $4 AND k.id < $5)) \
                 ORDER BY k.created_at_ms DESC, k.id DESC LIMIT $6"
            ))
            .bind(user_id)
            .bind(scope.is_system())
            .bind(scope.user_id())
            .bind(before_ms)
            .bind(before_id)
            .bind(limit)
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("api_key.list")))
    }

    /// Revokes a key in scope, and the enrolment tokens that it made. `false` when there is none; revoking twice is no fault.
    /// The audit row says how many tokens ended.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn api_key_revoke(
        &self,
        scope: &Scope,
        id: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        Ok(crate::in_tx!(self, "api_key.revoke", tx => {
            let owner: Option<(String,)> =
                sqlx::query_as("SELECT user_id FROM api_keys WHERE id = $1 AND ($2 OR user_id = $3)")
                    .bind(id)
                    .bind(scope.is_system())
                    .bind(scope.user_id())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(StoreError::query("api_key.revoke"))?;
            let Some((owner,)) = owner else {
                return Ok(false);
            };
            // What the key makes at this moment waits, or is ended below. The keys of one who is shut are revoked already.
            if !lock_user_on!(&mut tx, &owner, "api_key.revoke") {
                return Ok(true);
            }
            let revoked = sqlx::query("UPDATE api_keys SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL")
                .bind(id)
                .bind(audit.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("api_key.revoke"))?
                .rows_affected();
            // Of those who revoke it at once, one did.
            if revoked > 0 {
                let tokens = sqlx::query(
                    "UPDATE enrolment_tokens SET revoked_at_ms = $2 WHERE key_id = $1 AND revoked_at_ms IS NULL",
                )
                .bind(id)
                .bind(audit.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("api_key.revoke"))?
                .rows_affected();
                let mut audit = audit.clone();
                audit.facts.before = Some(json!({ "user_id": owner, "is_revoked": false }));
                let mut after = json!({ "user_id": owner, "is_revoked": true });
                if tokens > 0 {
                    after["ended"] = json!({ "enrolment_tokens": tokens });
                }
                audit.facts.after = Some(after);
                audit_on!(&mut *tx, &audit, "api_key.revoke");
            }
            true
        }))
    }

    /// A key and what its owner may do, as they are now; `None` when there is none. A reading of rows by their keys, which
    /// every request of a program waits for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn api_key_now(&self, _by: System, id: &str) -> Result<Option<KeyNow>, StoreError> {
        let row: Option<NowRow> = crate::on_read!(self, conn => sqlx::query_as(
                "SELECT k.secret_hash, k.user_id, k.org_id, k.scopes, k.expires_at_ms, k.revoked_at_ms, \
                 o.org_id AS open_org_id, m.roles FROM api_keys k \
                 LEFT JOIN users u ON u.user_id = k.user_id AND u.disabled_at_ms IS NULL \
                 LEFT JOIN memberships m ON m.user_id = u.user_id AND m.org_id = k.org_id \
                 LEFT JOIN orgs o ON o.org_id = m.org_id AND o.closed_at_ms IS NULL WHERE k.id = $1",
            )
            .bind(id)
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("api_key.now"))?);
        row.map(NowRow::read).transpose()
    }

    /// Notes when keys were used, where that was not noted within the minute before. On PostgreSQL one by one: whoever ends
    /// the keys of a person takes them in another order.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn api_keys_used(&self, _by: System, uses: &[KeyUse]) -> Result<(), StoreError> {
        let at_once = match self.dialect() {
            Dialect::Sqlite => uses.len().max(1),
            Dialect::Postgres => 1,
        };
        for uses in uses.chunks(at_once) {
            crate::in_tx!(self, "api_key.used", tx => for used in uses {
                sqlx::query(
                    "UPDATE api_keys SET last_used_at_ms = $2, last_used_ip = $3 \
                     WHERE id = $1 AND (last_used_at_ms IS NULL OR last_used_at_ms <= $4)",
                )
                .bind(&used.id)
                .bind(used.at_ms)
                .bind(&used.ip)
                .bind(used.at_ms.saturating_sub(USE_NOTED_MS))
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("api_key.used"))?;
            });
        }
        Ok(())
    }
}
