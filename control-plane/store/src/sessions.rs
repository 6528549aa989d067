//! Sessions of people: families of token pairs. Tokens are kept as SHA-256.

use crate::audit::{AuditEntry, AuditFacts, audit_on};
use crate::links::link_works;
use crate::memberships::roles_from;
use crate::second_factors::{FactorProof, factor_use_on};
use crate::users::User;
use crate::{Store, StoreError, System};

/// Sessions that an account may have open: each renews itself, and each time is a row for a month.
pub const OPEN_SESSIONS: i64 = 64;

/// Of those that are too many, one sign-in ends so many: others wait for it.
const ENDED_AT_ONCE: i64 = 64;

/// Hashes and times of one pair of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPair {
    /// SHA-256 of the refresh token.
    pub refresh_hash: [u8; 32],
    /// SHA-256 of the access token.
    pub access_hash: [u8; 32],
    /// Now, unix ms.
    pub issued_at_ms: i64,
    /// End of the access token, unix ms.
    pub access_expires_at_ms: i64,
    /// End of the refresh token when it is not used, unix ms.
    pub refresh_expires_at_ms: i64,
}

/// What proved who signs in. It is looked at again with the account locked: what was taken away since proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionProof<'a> {
    /// The password of this argon2id string.
    Password(&'a str),
    /// The link with this SHA-256, which is used up.
    Link(&'a [u8; 32]),
    /// The key of a wallet.
    Wallet {
        /// How its accounts are proven.
        kind: &'a str,
        /// The account.
        address: &'a str,
    },
    /// An account at an issuer of OpenID Connect.
    Oidc {
        /// URL of the issuer.
        issuer: &'a str,
        /// The account there.
        subject: &'a str,
    },
    /// The first account was just made by who signs in.
    Setup,
    /// An account was just made by who signs in, where anybody may.
    Registration,
}

/// A sign-in that begins.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// Its name.
    pub family_id: &'a str,
    /// Whose it is.
    pub user_id: &'a str,
    /// How it was proved who that is: `password`, `link`, `wallet`, `oidc`, `setup` or `registration`.
    pub method: &'a str,
    /// With what.
    pub proof: SessionProof<'a>,
    /// What proves its second factor, where it was asked for.
    pub factor: Option<FactorProof>,
    /// Address of the browser.
    pub ip: Option<&'a str>,
    /// What the browser calls itself.
    pub user_agent: Option<&'a str>,
    /// When it ends, however much it is used, unix ms.
    pub expires_at_ms: i64,
    /// Its first tokens.
    pub pair: &'a TokenPair,
}

/// A live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The sign-in that it belongs to.
    pub family_id: String,
    /// Whose it is.
    pub user: User,
    /// The organisation that it acts for; `None` where its person is no longer in it, or it is closed.
    pub org_id: Option<String>,
    /// What its person may do there, sorted.
    pub roles: Vec<String>,
}

/// What became of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionCreated {
    /// It began.
    Session(Session),
    /// The account is shut, or the proof is none any more.
    NoProof,
    /// The account has a second factor, and none was given: nothing was written or used up.
    FactorNeeded,
    /// The second factor that was given was used before, or is none any more: nothing was written or used up.
    FactorUsed,
}

impl SessionCreated {
    /// The session, where it began.
    pub fn session(self) -> Option<Session> {
        match self {
            Self::Session(session) => Some(session),
            Self::NoProof | Self::FactorNeeded | Self::FactorUsed => None,
        }
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct SessionRow {
    pub(crate) family_id: String,
    pub(crate) user_id: String,
    email: String,
    password_hash: Option<String>,
    created_at_ms: i64,
    last_sign_in_at_ms: Option<i64>,
    disabled_at_ms: Option<i64>,
    org_id: Option<String>,
    roles: Option<String>,
    revoked_at_ms: Option<i64>,
    family_expires_at_ms: i64,
    access_expires_at_ms: i64,
    pub(crate) refresh_expires_at_ms: i64,
    pub(crate) replaced_at_ms: Option<i64>,
}

impl SessionRow {
    pub(crate) fn is_alive(&self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_none()
            && self.disabled_at_ms.is_none()
            && self.family_expires_at_ms > now_ms
    }

    pub(crate) fn into_session(self) -> Session {
        let roles = self.org_id.as_ref().and(self.roles);
        Session {
            family_id: self.family_id,
            user: User {
                user_id: self.user_id,
                email: self.email,
                password_hash: self.password_hash,
                created_at_ms: self.created_at_ms,
                last_sign_in_at_ms: self.last_sign_in_at_ms,
                disabled_at_ms: self.disabled_at_ms,
            },
            org_id: self.org_id,
            roles: roles.as_deref().map(roles_from).unwrap_or_default(),
        }
    }
}

macro_rules! session_columns {
    ($rest:literal) => {
        concat!(
            "SELECT f.family_id, u.user_id, u.email, u.password_hash, u.created_at_ms, u.last_sign_in_at_ms, ",
            "u.disabled_at_ms, o.org_id, m.roles, f.revoked_at_ms, f.expires_at_ms AS family_expires_at_ms, ",
            "t.access_expires_at_ms, t.refresh_expires_at_ms, t.replaced_at_ms ",
            "FROM session_tokens t JOIN session_families f ON f.family_id = t.family_id ",
            "JOIN users u ON u.user_id = f.user_id ",
            "LEFT JOIN memberships m ON m.user_id = f.user_id AND m.org_id = f.org_id ",
            "LEFT JOIN orgs o ON o.org_id = m.org_id AND o.closed_at_ms IS NULL ",
            $rest
        )
    };
}

pub(crate) use session_columns;

macro_rules! pair_insert_on {
    ($tx:expr, $family:expr, $pair:expr, $op:literal) => {{
        let pair: &TokenPair = $pair;
        sqlx::query(
            "INSERT INTO session_tokens (refresh_hash, access_hash, family_id, issued_at_ms, \
             access_expires_at_ms, refresh_expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(pair.refresh_hash.as_slice())
        .bind(pair.access_hash.as_slice())
        .bind($family)
        .bind(pair.issued_at_ms)
        .bind(pair.access_expires_at_ms)
        .bind(pair.refresh_expires_at_ms)
        .execute(&mut **$tx)
        .await
        .map_err(StoreError::query($op))?;
    }};
}

pub(crate) use pair_insert_on;

/// Ends the sign-ins of an account that are too many beside a new one, each with its row.
macro_rules! end_too_many_on {
    ($tx:expr, $new:expr, $audit:expr, $op:literal) => {{
        let ended: Vec<(String,)> = sqlx::query_as(
            "UPDATE session_families SET revoked_at_ms = $2, revoke_reason = 'too_many' \
             WHERE revoked_at_ms IS NULL AND family_id IN \
             (SELECT f.family_id FROM session_families f JOIN session_tokens t ON t.family_id = f.family_id \
             WHERE f.user_id = $1 AND f.revoked_at_ms IS NULL AND f.expires_at_ms > $2 GROUP BY f.family_id \
             HAVING MAX(t.refresh_expires_at_ms) > $2 ORDER BY MAX(t.issued_at_ms) DESC, f.family_id \
             LIMIT $3 OFFSET $4) RETURNING family_id",
        )
        .bind($new.user_id)
        .bind($new.pair.issued_at_ms)
        .bind(ENDED_AT_ONCE)
        .bind(OPEN_SESSIONS - 1)
        .fetch_all(&mut **$tx)
        .await
        .map_err(StoreError::query($op))?;
        for (ended,) in ended {
            let entry = AuditEntry {
                actor: format!("user:{}", $new.user_id),
                action: "session.too_many".to_owned(),
                object: format!("session:{ended}"),
                facts: AuditFacts {
                    reason: Some("its account has too many open sessions".to_owned()),
                    ..$audit.facts.clone()
                },
                ..$audit.clone()
            };
            audit_on!(&mut **$tx, &entry, $op);
        }
    }};
}

/// Whether what proved who signs in still does, in a transaction that has the account.
macro_rules! proof_holds_on {
    ($tx:expr, $new:expr, $op:literal) => {{
        let new: &NewSession<'_> = $new;
        match new.proof {
            SessionProof::Setup | SessionProof::Registration => true,
            SessionProof::Password(hash) => {
                let (same,): (i64,) = sqlx::query_as(
                    "SELECT COUNT(*) FROM users WHERE user_id = $1 AND password_hash = $2",
                )
                .bind(new.user_id)
                .bind(hash)
                .fetch_one(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
                same == 1
            }
            SessionProof::Wallet { kind, address } => {
                let (theirs,): (i64,) = sqlx::query_as(
                    "SELECT COUNT(*) FROM wallets WHERE kind = $2 AND address = $3 AND user_id = $1",
                )
                .bind(new.user_id)
                .bind(kind)
                .bind(address)
                .fetch_one(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
                theirs == 1
            }
            SessionProof::Oidc { issuer, subject } => {
                let (theirs,): (i64,) = sqlx::query_as(
                    "SELECT COUNT(*) FROM oidc_identities WHERE issuer = $2 AND subject = $3 AND user_id = $1",
                )
                .bind(new.user_id)
                .bind(issuer)
                .bind(subject)
                .fetch_one(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
                theirs == 1
            }
            SessionProof::Link(token_hash) => {
                let used = sqlx::query(concat!(
                    "UPDATE one_time_links AS l SET used_at_ms = $2 WHERE l.token_hash = $1 AND l.user_id = $3 AND ",
                    link_works!("$2")
                ))
                .bind(token_hash.as_slice())
                .bind(new.pair.issued_at_ms)
                .bind(new.user_id)
                .execute(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?
                .rows_affected();
                used == 1
            }
        }
    }};
}

/// What keeps a sign-in from its session, in a transaction that has the account: a second factor that was not given, or was
/// used before. One that was given to an account that has none any more proves nothing.
macro_rules! factor_stops_on {
    ($tx:expr, $new:expr, $op:literal) => {{
        let new: &NewSession<'_> = $new;
        match new.factor {
            Some(factor) => {
                let used = factor_use_on!($tx, new.user_id, factor, new.pair.issued_at_ms, $op);
                (!used).then_some(SessionCreated::FactorUsed)
            }
            None => {
                let (factors,): (i64,) =
                    sqlx::query_as("SELECT COUNT(*) FROM second_factors WHERE user_id = $1")
                        .bind(new.user_id)
                        .fetch_one(&mut **$tx)
                        .await
                        .map_err(StoreError::query($op))?;
                (factors > 0).then_some(SessionCreated::FactorNeeded)
            }
        }
    }};
}

impl Store {
    /// Starts a session for the organisation that its person acted for last, or, where they are not in it any more, for
    /// the one that they joined first. Where the account has [`OPEN_SESSIONS`] others, the one that was renewed longest ago
    /// ends, which the audit log has beside `audit`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_create(
        &self,
        _by: System,
        new: &NewSession<'_>,
        audit: &AuditEntry,
    ) -> Result<SessionCreated, StoreError> {
        let (family_id, user_id, pair) = (new.family_id, new.user_id, new.pair);
        Ok(crate::in_tx!(self, "session.create", tx => {
            // First of all: of one account, one sign-in after the other, and none after it was shut.
            let open = sqlx::query(
                "UPDATE users SET last_sign_in_at_ms = $2 WHERE user_id = $1 AND disabled_at_ms IS NULL",
            )
            .bind(user_id)
            .bind(pair.issued_at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("session.create"))?
            .rows_affected();
            if open == 0 || !proof_holds_on!(&mut tx, new, "session.create") {
                return Ok(SessionCreated::NoProof);
            }
            if let Some(stop) = factor_stops_on!(&mut tx, new, "session.create") {
                return Ok(stop);
            }
            end_too_many_on!(&mut tx, new, audit, "session.create");
            sqlx::query(
                "INSERT INTO session_families (family_id, user_id, created_at_ms, expires_at_ms, method, ip, \
                 user_agent, org_id) VALUES ($1, $2, $3, $4, $5, $6, $7, \
                 (SELECT m.org_id FROM memberships m JOIN orgs o ON o.org_id = m.org_id \
                 JOIN users u ON u.user_id = m.user_id WHERE m.user_id = $2 AND o.closed_at_ms IS NULL \
                 ORDER BY CASE WHEN m.org_id = u.org_id THEN 0 ELSE 1 END, m.created_at_ms, m.org_id LIMIT 1))",
            )
            .bind(family_id)
            .bind(user_id)
            .bind(pair.issued_at_ms)
            .bind(new.expires_at_ms)
            .bind(new.method)
            .bind(new.ip)
            .bind(new.user_agent)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("session.create"))?;
            pair_insert_on!(&mut tx, family_id, pair, "session.create");
            audit_on!(&mut *tx, audit, "session.create");
            let row: SessionRow = sqlx::query_as(session_columns!("WHERE t.refresh_hash = $1"))
                .bind(pair.refresh_hash.as_slice())
                .fetch_one(&mut *tx)
                .await
                .map_err(StoreError::query("session.create"))?;
            SessionCreated::Session(row.into_session())
        }))
    }

    /// The live session of an access token.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn session_by_access(
        &self,
        _by: System,
        access_hash: &[u8; 32],
        now_ms: i64,
    ) -> Result<Option<Session>, StoreError> {
        let row: Option<SessionRow> = crate::on_read!(self, pool =>
            sqlx::query_as(session_columns!("WHERE t.access_hash = $1"))
                .bind(access_hash.as_slice())
                .fetch_optional(pool)
                .await
                .map_err(StoreError::query("session.by_access"))?);
        Ok(row
            .filter(|row| row.is_alive(now_ms) && row.access_expires_at_ms > now_ms)
            .map(SessionRow::into_session))
    }
}
