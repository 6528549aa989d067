//! Where a person may do what: memberships, one for each organisation that they are in.

use crate::api_keys::end_keys_on;
use crate::assignments::{MAY_CARE, end_assignments_on};
use crate::audit::{AuditEntry, audit_on};
use crate::orgs::MAIN_ORG;
use crate::statement::Statement;
use crate::users::{AccessChanged, lock_admins_on, no_admin_on};
use crate::{Scope, Store, StoreError};
use serde_json::{Value, json};
use std::collections::HashMap;

/// A person in an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The organisation.
    pub org_id: String,
    /// What it is called.
    pub org_name: String,
    /// When it was closed, unix ms: then nobody can act for it.
    pub org_closed_at_ms: Option<i64>,
    /// Roles, sorted.
    pub roles: Vec<String>,
    /// Since when, unix ms.
    pub created_at_ms: i64,
    /// Who gave them these roles: `user:ID`, `cli` or `system`.
    pub created_by: String,
}

/// A membership to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMembership {
    /// The organisation.
    pub org_id: String,
    /// Roles, sorted; at least one.
    pub roles: Vec<String>,
    /// Who says so.
    pub created_by: String,
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    user_id: String,
    org_id: String,
    name: String,
    closed_at_ms: Option<i64>,
    roles: String,
    created_at_ms: i64,
    created_by: String,
}

/// Roles as they are stored.
pub(crate) fn roles_from(text: &str) -> Vec<String> {
    let roles = text.split(',').filter(|role| !role.is_empty());
    roles.map(str::to_owned).collect()
}

/// What the audit log says of a membership.
fn facts(org_id: &str, roles: &[String]) -> Value {
    json!({ "org_id": org_id, "roles": roles })
}

/// Writes the first membership of a new user, in it since the account was made.
macro_rules! membership_insert_on {
    ($tx:expr, $user_id:expr, $membership:expr, $op:literal) => {{
        let membership: &$crate::memberships::NewMembership = $membership;
        sqlx::query(
            "INSERT INTO memberships (user_id, org_id, roles, created_at_ms, created_by) \
             SELECT u.user_id, $2, $3, u.created_at_ms, $4 FROM users u WHERE u.user_id = $1",
        )
        .bind($user_id)
        .bind(&membership.org_id)
        .bind(membership.roles.join(","))
        .bind(&membership.created_by)
        .execute(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
    }};
}
pub(crate) use membership_insert_on;

/// Takes an account, open or shut: whoever makes a token with what it may do waits, and so does this.
macro_rules! lock_member_on {
    ($tx:expr, $user_id:expr, $op:literal) => {
        sqlx::query("UPDATE users SET email = email WHERE user_id = $1")
            .bind($user_id)
            .execute(&mut **$tx)
            .await
            .map_err(StoreError::query($op))?
    };
}

/// The roles that a person has in an organisation, in a transaction.
macro_rules! roles_on {
    ($tx:expr, $user_id:expr, $org_id:expr, $op:literal) => {{
        let row: Option<(String,)> =
            sqlx::query_as("SELECT roles FROM memberships WHERE user_id = $1 AND org_id = $2")
                .bind($user_id)
                .bind($org_id)
                .fetch_optional(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
        row.map(|(roles,)| roles_from(&roles))
    }};
}

/// The memberships of these people, each person's in the order in which they joined.
pub(crate) async fn memberships_of(
    store: &Store,
    user_ids: &[&str],
) -> Result<HashMap<String, Vec<Membership>>, StoreError> {
    let Some((first, others)) = user_ids.split_first() else {
        return Ok(HashMap::new());
    };
    let mut statement = Statement::new(
        "SELECT m.user_id, m.org_id, o.name, o.closed_at_ms, m.roles, m.created_at_ms, m.created_by \
         FROM memberships m JOIN orgs o ON o.org_id = m.org_id WHERE m.user_id IN (",
    );
    statement.text(*first);
    for user_id in others {
        statement.sql(", ").text(*user_id);
    }
    statement.sql(") ORDER BY m.created_at_ms, m.org_id");
    let rows: Vec<MembershipRow> = crate::on_read!(store, conn =>
        statement.build().build_query_as().fetch_all(conn)
            .await
            .map_err(StoreError::query("membership.list"))?);
    let mut found: HashMap<String, Vec<Membership>> = HashMap::new();
    for row in rows {
        found.entry(row.user_id).or_default().push(Membership {
            org_id: row.org_id,
            org_name: row.name,
            org_closed_at_ms: row.closed_at_ms,
            roles: roles_from(&row.roles),
            created_at_ms: row.created_at_ms,
            created_by: row.created_by,
        });
    }
    Ok(found)
}

/// Roles that may make enrolment tokens; who has none of them has no token that works.
pub const MAKE_TOKENS: [&str; 2] = ["admin", "operator"];

/// Ends the enrolment tokens that a person made in an organisation; how many.
macro_rules! end_tokens_on {
    ($tx:expr, $user_id:expr, $org_id:expr, $at_ms:expr, $op:literal) => {
        sqlx::query(
            "UPDATE enrolment_tokens SET revoked_at_ms = $3 \
             WHERE created_by = 'user:' || $1 AND org_id = $2 AND revoked_at_ms IS NULL",
        )
        .bind($user_id)
        .bind($org_id)
        .bind($at_ms)
        .execute(&mut **$tx)
        .await
        .map_err(StoreError::query($op))?
        .rows_affected()
    };
}

/// What the audit log says of what ended with a role; `None` where nothing did.
fn ended(keys: u64, tokens: u64, assignments: u64) -> Option<Value> {
    let counts = [
        ("api_keys", keys),
        ("enrolment_tokens", tokens),
        ("assignments", assignments),
    ];
    let some = counts.into_iter().filter(|(_, count)| *count > 0);
    let ended: serde_json::Map<String, Value> = some
        .map(|(what, count)| (what.to_owned(), json!(count)))
        .collect();
    (!ended.is_empty()).then_some(Value::Object(ended))
}

impl Store {
    /// Gives a person these roles in an organisation, in place of those that they had there. Where none of them may make
    /// enrolment tokens, those that they made there enrol no more nodes; keys of which they open no scope end; where none lets
    /// them take care of nodes, they take care of none there. The audit row says which roles they had.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn membership_set(
        &self,
        scope: &Scope,
        user_id: &str,
        new: &NewMembership,
        audit: &AuditEntry,
    ) -> Result<AccessChanged, StoreError> {
        if !scope.is_system() {
            return Ok(AccessChanged::NoUser);
        }
        Ok(crate::in_tx!(self, "membership.set", tx => {
            lock_admins_on!(&mut tx, "membership.set");
            let org: Option<(Option<i64>,)> = sqlx::query_as("SELECT closed_at_ms FROM orgs WHERE org_id = $1")
                .bind(&new.org_id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(StoreError::query("membership.set"))?;
            if !matches!(org, Some((None,))) {
                return Ok(AccessChanged::NoOrganisation);
            }
            lock_member_on!(&mut tx, user_id, "membership.set");
            let before = roles_on!(&mut tx, user_id, &new.org_id, "membership.set");
            if before.as_ref() == Some(&new.roles) {
                return Ok(AccessChanged::Unchanged);
            }
            let set = sqlx::query(
                "INSERT INTO memberships (user_id, org_id, roles, created_at_ms, created_by) \
                 SELECT u.user_id, $2, $3, $4, $5 FROM users u WHERE u.user_id = $1 \
                 ON CONFLICT (user_id, org_id) DO UPDATE SET roles = excluded.roles, created_by = excluded.created_by",
            )
            .bind(user_id)
            .bind(&new.org_id)
            .bind(new.roles.join(","))
            .bind(audit.at_ms)
            .bind(&new.created_by)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("membership.set"))?
            .rows_affected();
            if set == 0 {
                return Ok(AccessChanged::NoUser);
            }
            if new.org_id == MAIN_ORG && no_admin_on!(&mut tx, "membership.set") {
                return Ok(AccessChanged::LastAdmin);
            }
            let keys = end_keys_on!(&mut tx, user_id, &new.org_id, &new.roles, audit.at_ms, "membership.set");
            let has_one_of = |roles: &[&str]| new.roles.iter().any(|role| roles.contains(&role.as_str()));
            let tokens = match has_one_of(&MAKE_TOKENS) {
                true => 0,
                false => end_tokens_on!(&mut tx, user_id, &new.org_id, audit.at_ms, "membership.set"),
            };
            let assignments = match has_one_of(&MAY_CARE) {
                true => 0,
                false => end_assignments_on!(&mut tx, user_id, &new.org_id, "membership.set"),
            };
            let mut audit = audit.clone();
            audit.facts.before = before.map(|roles| facts(&new.org_id, &roles));
            let mut after = facts(&new.org_id, &new.roles);
            if let Some(ended) = ended(keys, tokens, assignments) {
                after["ended"] = ended;
            }
            audit.facts.after = Some(after);
            audit_on!(&mut *tx, &audit, "membership.set");
            AccessChanged::Changed
        }))
    }

    /// Takes a person out of an organisation. Keys that act for it end, tokens that they made there enrol no more nodes, and they
    /// take care of none of its nodes any more. The audit row says what they could do.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn membership_remove(
        &self,
        scope: &Scope,
        user_id: &str,
        org_id: &str,
        audit: &AuditEntry,
    ) -> Result<AccessChanged, StoreError> {
        if !scope.is_system() {
            return Ok(AccessChanged::NoUser);
        }
        Ok(crate::in_tx!(self, "membership.remove", tx => {
            lock_admins_on!(&mut tx, "membership.remove");
            lock_member_on!(&mut tx, user_id, "membership.remove");
            let Some(before) = roles_on!(&mut tx, user_id, org_id, "membership.remove") else {
                return Ok(AccessChanged::NoUser);
            };
            sqlx::query("DELETE FROM memberships WHERE user_id = $1 AND org_id = $2")
                .bind(user_id)
                .bind(org_id)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("membership.remove"))?;
            if org_id == MAIN_ORG && no_admin_on!(&mut tx, "membership.remove") {
                return Ok(AccessChanged::LastAdmin);
            }
            let keys = end_keys_on!(&mut tx, user_id, org_id, &[], audit.at_ms, "membership.remove");
            let tokens = end_tokens_on!(&mut tx, user_id, org_id, audit.at_ms, "membership.remove");
            let assignments = end_assignments_on!(&mut tx, user_id, org_id, "membership.remove");
            let mut audit = audit.clone();
            audit.facts.before = Some(facts(org_id, &before));
            audit.facts.after = ended(keys, tokens, assignments).map(|ended| json!({ "ended": ended }));
            audit_on!(&mut *tx, &audit, "membership.remove");
            AccessChanged::Changed
        }))
    }
}
