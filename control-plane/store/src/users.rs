//! People. Emails come in lower case. What a person may do is in their memberships.

use crate::audit::{AuditEntry, audit_on};
use crate::enrolment_tokens::open_org_on;
use crate::memberships::{Membership, NewMembership, memberships_of};
use crate::statement::Statement;
use crate::{Scope, Store, StoreError, System};
use serde_json::json;

/// One person.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    /// Identity.
    pub user_id: String,
    /// Address, in lower case.
    pub email: String,
    /// The argon2id string; `None` until a password is set.
    pub password_hash: Option<String>,
    /// When the account was made, unix ms.
    pub created_at_ms: i64,
    /// When they signed in last, unix ms.
    pub last_sign_in_at_ms: Option<i64>,
    /// When it was shut, unix ms.
    pub disabled_at_ms: Option<i64>,
}

/// A person to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Identity.
    pub user_id: String,
    /// Address, in lower case.
    pub email: String,
    /// The argon2id string.
    pub password_hash: Option<String>,
    /// Now, unix ms.
    pub created_at_ms: i64,
    /// Where they may do what.
    pub membership: NewMembership,
}

/// What became of a new user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserCreated {
    /// The user exists now.
    Created,
    /// Another user has this email.
    EmailTaken,
    /// There is no such organisation, it is closed, or it is out of scope.
    NoOrganisation,
}

/// A person with what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: User,
    /// What they are asked for beside what they sign in with.
    pub second_factor: Option<SecondFactorState>,
    /// Where they may do what, by organisation; those of closed organisations, too.
    pub memberships: Vec<Membership>,
}

/// The second factor of an account, as it is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecondFactorState {
    /// Since when it is asked for, unix ms.
    pub since_ms: i64,
    /// Recovery codes that were not used.
    pub recovery_codes_left: i64,
}

/// Which people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// In the email, in lower case.
    pub q: Option<String>,
    /// Members of this organisation.
    pub org_id: Option<String>,
}

/// What became of a change of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessChanged {
    /// It is so now.
    Changed,
    /// It was so.
    Unchanged,
    /// There is no such person, or it is out of scope.
    NoUser,
    /// There is no such organisation, or it is closed.
    NoOrganisation,
    /// Nobody could administer the network any more.
    LastAdmin,
}

macro_rules! user_columns {
    ($rest:literal) => {
        concat!(
            "SELECT u.user_id, u.email, u.password_hash, u.created_at_ms, u.last_sign_in_at_ms, u.disabled_at_ms FROM users u ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    #[sqlx(flatten)]
    user: User,
    second_factor_at_ms: Option<i64>,
    recovery_codes_left: i64,
}

macro_rules! member_columns {
    ($rest:literal) => {
        concat!(
            "SELECT u.user_id, u.email, u.password_hash, u.created_at_ms, u.last_sign_in_at_ms, u.disabled_at_ms, ",
            "f.set_up_at_ms AS second_factor_at_ms, ",
            "(SELECT COUNT(*) FROM recovery_codes r WHERE r.user_id = u.user_id AND r.used_at_ms IS NULL) AS recovery_codes_left ",
            "FROM users u LEFT JOIN second_factors f ON f.user_id = u.user_id ",
            $rest
        )
    };
}

impl MemberRow {
    fn into_member(self, memberships: Option<Vec<Membership>>) -> Member {
        let second_factor = self.second_factor_at_ms.map(|since_ms| SecondFactorState {
            since_ms,
            recovery_codes_left: self.recovery_codes_left,
        });
        Member {
            user: self.user,
            second_factor,
            memberships: memberships.unwrap_or_default(),
        }
    }
}

/// Writes a user with the first membership, in a transaction: the value says what became of it.
macro_rules! user_insert_on {
    ($tx:expr, $user:expr, $op:literal) => {{
        let user: &$crate::users::NewUser = $user;
        let made = sqlx::query(
            "INSERT INTO users (user_id, email, password_hash, org_id, created_at_ms) \
             SELECT $1, $2, $3, o.org_id, $5 FROM orgs o WHERE o.org_id = $4 AND o.closed_at_ms IS NULL \
             ON CONFLICT (email) DO NOTHING",
        )
        .bind(&user.user_id)
        .bind(&user.email)
        .bind(&user.password_hash)
        .bind(&user.membership.org_id)
        .bind(user.created_at_ms)
        .execute(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?
        .rows_affected();
        if made == 0 {
            let taken: Option<(i64,)> =
                sqlx::query_as("SELECT created_at_ms FROM users WHERE email = $1")
                    .bind(&user.email)
                    .fetch_optional(&mut **$tx)
                    .await
                    .map_err($crate::StoreError::query($op))?;
            match taken {
                Some(_) => $crate::users::UserCreated::EmailTaken,
                None => $crate::users::UserCreated::NoOrganisation,
            }
        } else {
            $crate::memberships::membership_insert_on!($tx, &user.user_id, &user.membership, $op);
            $crate::users::UserCreated::Created
        }
    }};
}
pub(crate) use user_insert_on;

/// Takes an open account before anything of it changes: of one account, one change after the other, and none after it was
/// shut. Whether it is open.
///
/// Whoever takes several rows takes them in this order: the organisation `main`, another organisation, the account, its
/// sign-ins, links, API keys and enrolment tokens.
macro_rules! lock_user_on {
    ($tx:expr, $user_id:expr, $op:literal) => {
        sqlx::query("UPDATE users SET email = email WHERE user_id = $1 AND disabled_at_ms IS NULL")
            .bind($user_id)
            .execute(&mut **$tx)
            .await
            .map_err($crate::StoreError::query($op))?
            .rows_affected()
            == 1
    };
}
pub(crate) use lock_user_on;

/// Of two that change who may administer the network, the second waits for the first: both databases lock the row.
macro_rules! lock_admins_on {
    ($tx:expr, $op:literal) => {
        sqlx::query("UPDATE orgs SET name = name WHERE org_id = $1")
            .bind($crate::orgs::MAIN_ORG)
            .execute(&mut **$tx)
            .await
            .map_err($crate::StoreError::query($op))?
    };
}
pub(crate) use lock_admins_on;

/// Whether nobody is left who can sign in and administer the network: an invitation that nobody came by is no admin.
macro_rules! no_admin_on {
    ($tx:expr, $op:literal) => {{
        let (count,): (i64,) = sqlx::query_as(concat!(
            "SELECT COUNT(*) FROM users u JOIN memberships m ON ",
            $crate::orgs::administers!("u", "m"),
            " WHERE ",
            $crate::ways_in::can_sign_in!("u")
        ))
        .fetch_one(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
        count == 0
    }};
}
pub(crate) use no_admin_on;

/// Ends all that a person holds in their name: sign-ins, links, API keys, tokens that enrol nodes, and the nodes that they take care
/// of. How many of each.
macro_rules! end_holdings_on {
    ($tx:expr, $user_id:expr, $at_ms:expr, $op:literal) => {{
        let mut ended = [0; 5];
        let statements = [
            "UPDATE session_families SET revoked_at_ms = $2, revoke_reason = 'disabled' \
             WHERE user_id = $1 AND revoked_at_ms IS NULL",
            "UPDATE one_time_links SET used_at_ms = $2 WHERE user_id = $1 AND used_at_ms IS NULL",
            "UPDATE api_keys SET revoked_at_ms = $2 WHERE user_id = $1 AND revoked_at_ms IS NULL",
            "UPDATE enrolment_tokens SET revoked_at_ms = $2 \
             WHERE created_by = 'user:' || $1 AND revoked_at_ms IS NULL",
            // A time is bound to each of them; this one needs none.
            "DELETE FROM node_assignments WHERE user_id = $1 AND $2 = $2",
        ];
        for (ended, statement) in ended.iter_mut().zip(statements) {
            let done = sqlx::query(statement)
                .bind($user_id)
                .bind($at_ms)
                .execute(&mut **$tx)
                .await
                .map_err($crate::StoreError::query($op))?;
            *ended = done.rows_affected();
        }
        ended
    }};
}

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

    /// Makes a user, if that is within the scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_create(
        &self,
        scope: &Scope,
        user: &NewUser,
        audit: &AuditEntry,
    ) -> Result<UserCreated, StoreError> {
        if !scope.is_system() {
            return Ok(UserCreated::NoOrganisation);
        }
        Ok(crate::in_tx!(self, "user.create", tx => {
            // Nobody comes to an organisation that is just being closed.
            if !open_org_on!(&mut tx, &user.membership.org_id, "user.create") {
                return Ok(UserCreated::NoOrganisation);
            }
            let made = user_insert_on!(&mut tx, user, "user.create");
            if made != UserCreated::Created {
                return Ok(made);
            }
            audit_on!(&mut *tx, audit, "user.create");
            made
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
        crate::on_read!(self, pool => sqlx::query_as(user_columns!("WHERE u.email = $1"))
            .bind(email)
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("user.by_email")))
    }

    /// The oldest account that can administer the network.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_first_admin(&self, _by: System) -> Result<Option<User>, StoreError> {
        crate::on_read!(self, pool => sqlx::query_as(concat!(
                user_columns!("JOIN memberships m ON "),
                crate::orgs::administers!("u", "m"),
                " ORDER BY u.created_at_ms, u.user_id LIMIT 1"
            ))
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("user.first_admin")))
    }

    /// A person in scope with what they may do.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn member_get(
        &self,
        scope: &Scope,
        user_id: &str,
    ) -> Result<Option<Member>, StoreError> {
        let row: Option<MemberRow> = crate::on_read!(self, pool => sqlx::query_as(
                member_columns!("WHERE u.user_id = $1 AND ($2 OR u.user_id = $3)"),
            )
            .bind(user_id)
            .bind(scope.is_system())
            .bind(scope.user_id())
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("member.get"))?);
        let Some(row) = row else {
            return Ok(None);
        };
        let mut found = memberships_of(self, &[user_id]).await?;
        Ok(Some(row.into_member(found.remove(user_id))))
    }

    /// People in scope, the newest first, at most `limit` of those made before `(before_ms, before_id)`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn member_list(
        &self,
        scope: &Scope,
        filter: &UserFilter,
        before: Option<(i64, &str)>,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        if !scope.is_system() {
            return Ok(Vec::new());
        }
        let mut statement = Statement::new(member_columns!("WHERE TRUE"));
        if let Some(q) = &filter.q {
            statement.sql(" AND u.email").contains(q);
        }
        if let Some(org_id) = &filter.org_id {
            statement
                .sql(" AND EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.user_id AND m.org_id = ")
                .text(org_id.as_str())
                .sql(")");
        }
        if let Some((before_ms, before_id)) = before {
            statement
                .sql(" AND (u.created_at_ms, u.user_id) < (")
                .int(before_ms);
            statement.sql(", ").text(before_id).sql(")");
        }
        statement
            .sql(" ORDER BY u.created_at_ms DESC, u.user_id DESC LIMIT ")
            .int(limit);
        let rows: Vec<MemberRow> = crate::on_page!(self, pool => statement.build().build_query_as().fetch_all(pool)
            .await
            .map_err(StoreError::query("member.list"))?);
        let ids: Vec<&str> = rows.iter().map(|row| row.user.user_id.as_str()).collect();
        let mut found = memberships_of(self, &ids).await?;
        let members = rows.into_iter().map(|row| {
            let memberships = found.remove(&row.user.user_id);
            row.into_member(memberships)
        });
        Ok(members.collect())
    }

    /// Shuts or opens an account in scope. One that is shut loses its sign-ins, links, API keys, enrolment tokens and the nodes that
    /// it takes care of for good; the audit row says how many.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn user_disable(
        &self,
        scope: &Scope,
        user_id: &str,
        is_disabled: bool,
        audit: &AuditEntry,
    ) -> Result<AccessChanged, StoreError> {
        if !scope.is_system() {
            return Ok(AccessChanged::NoUser);
        }
        Ok(crate::in_tx!(self, "user.disable", tx => {
            lock_admins_on!(&mut tx, "user.disable");
            let was: Option<(Option<i64>,)> =
                sqlx::query_as("SELECT disabled_at_ms FROM users WHERE user_id = $1")
                    .bind(user_id)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(StoreError::query("user.disable"))?;
            match was {
                None => return Ok(AccessChanged::NoUser),
                Some((since,)) if since.is_some() == is_disabled => return Ok(AccessChanged::Unchanged),
                Some(_) => {}
            }
            sqlx::query("UPDATE users SET disabled_at_ms = $2 WHERE user_id = $1")
                .bind(user_id)
                .bind(is_disabled.then_some(audit.at_ms))
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("user.disable"))?;
            let mut audit = audit.clone();
            if is_disabled {
                if no_admin_on!(&mut tx, "user.disable") {
                    return Ok(AccessChanged::LastAdmin);
                }
                let [sessions, links, keys, tokens, assignments] =
                    end_holdings_on!(&mut tx, user_id, audit.at_ms, "user.disable");
                audit.facts.after = Some(json!({
                    "is_disabled": true,
                    "ended": {
                        "sessions": sessions, "links": links, "api_keys": keys, "enrolment_tokens": tokens,
                        "assignments": assignments,
                    },
                }));
            }
            audit_on!(&mut *tx, &audit, "user.disable");
            AccessChanged::Changed
        }))
    }
}
