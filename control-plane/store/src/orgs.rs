//! Organisations: whose the nodes are, and for whom people act.

use crate::audit::{AuditEntry, audit_on};
use crate::{Scope, Store, StoreError};
use serde_json::json;

/// The organisation of the network itself, which every database has. Whoever is an admin in it administers the network;
/// nobody is one in another.
pub const MAIN_ORG: &str = "main";

/// The condition that the open account `$user`, in its membership `$member`, administers the network.
macro_rules! administers {
    ($user:literal, $member:literal) => {
        concat!(
            $member,
            ".user_id = ",
            $user,
            ".user_id AND ",
            $member,
            ".org_id = 'main' AND ",
            $user,
            ".disabled_at_ms IS NULL AND ',' || ",
            $member,
            ".roles || ',' LIKE '%,admin,%'"
        )
    };
}
pub(crate) use administers;

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Org {
    /// Identity.
    pub org_id: String,
    /// What it is called.
    pub name: String,
    /// When it was made, unix ms.
    pub created_at_ms: i64,
    /// When it was closed, unix ms.
    pub closed_at_ms: Option<i64>,
    /// People in it.
    pub members: i64,
    /// Its nodes that are not retired.
    pub nodes: i64,
}

/// What became of a change of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrgChanged {
    /// It is so now.
    Changed,
    /// It was so.
    Unchanged,
    /// There is no such organisation, it is closed, or it is out of scope.
    NoOrganisation,
    /// Another one has this name.
    NameTaken,
    /// It still has nodes.
    HasNodes {
        /// How many are not retired.
        nodes: i64,
    },
}

macro_rules! org_columns {
    ($rest:literal) => {
        concat!(
            "SELECT o.org_id, o.name, o.created_at_ms, o.closed_at_ms, ",
            "(SELECT COUNT(*) FROM memberships m WHERE m.org_id = o.org_id) AS members, ",
            "(SELECT COUNT(*) FROM nodes n WHERE n.org_id = o.org_id AND n.state <> 'retired') AS nodes FROM orgs o ",
            $rest
        )
    };
}

/// Closes an organisation in a transaction that has its row, with its pools and its tokens. How many nodes keep it from that:
/// where there are any, the transaction must not be committed.
macro_rules! close_org_on {
    ($tx:expr, $org_id:expr, $at_ms:expr, $op:literal) => {{
        $crate::pools::close_pools_on!($tx, $org_id, $at_ms, $op);
        // Before nodes are counted: an enrolment that is under way has the row of its token, so that either its node
        // is counted below, or it finds the token revoked.
        for statement in [
            "UPDATE enrolment_tokens SET revoked_at_ms = $2 WHERE org_id = $1 AND revoked_at_ms IS NULL",
            "UPDATE orgs SET closed_at_ms = $2 WHERE org_id = $1 AND closed_at_ms IS NULL",
        ] {
            sqlx::query(statement)
                .bind($org_id)
                .bind($at_ms)
                .execute(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
        }
        let (nodes,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM nodes WHERE org_id = $1 AND state <> 'retired'")
                .bind($org_id)
                .fetch_one(&mut **$tx)
                .await
                .map_err(StoreError::query($op))?;
        nodes
    }};
}

pub(crate) use close_org_on;

impl Store {
    /// Organisations in scope, the newest first, at most `limit` of those made before `(before_ms, before_id)`.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn org_list(
        &self,
        scope: &Scope,
        before: Option<(i64, &str)>,
        limit: i64,
    ) -> Result<Vec<Org>, StoreError> {
        let (before_ms, before_id) = before.unwrap_or((i64::MAX, ""));
        crate::on_page!(self, pool => sqlx::query_as(org_columns!(
                "WHERE ($1 OR o.org_id = $2) AND (o.created_at_ms, o.org_id) < ($3, $4) \
                 ORDER BY o.created_at_ms DESC, o.org_id DESC LIMIT $5"
            ))
            .bind(scope.is_system())
            .bind(scope.org_id())
            .bind(before_ms)
            .bind(before_id)
            .bind(limit)
            .fetch_all(pool)
            .await
            .map_err(StoreError::query("org.list")))
    }

    /// An organisation in scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn org_get(&self, scope: &Scope, org_id: &str) -> Result<Option<Org>, StoreError> {
        crate::on_page!(self, pool => sqlx::query_as(org_columns!(
                "WHERE o.org_id = $1 AND ($2 OR o.org_id = $3)"
            ))
            .bind(org_id)
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_optional(pool)
            .await
            .map_err(StoreError::query("org.get")))
    }

    /// Makes an organisation, if that is within the scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn org_create(
        &self,
        scope: &Scope,
        org_id: &str,
        name: &str,
        audit: &AuditEntry,
    ) -> Result<OrgChanged, StoreError> {
        if !scope.is_system() {
            return Ok(OrgChanged::NoOrganisation);
        }
        Ok(crate::in_tx!(self, "org.create", tx => {
            let made = sqlx::query(
                "INSERT INTO orgs (org_id, name, created_at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(org_id)
            .bind(name)
            .bind(audit.at_ms)
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query("org.create"))?
            .rows_affected();
            if made == 0 {
                return Ok(OrgChanged::NameTaken);
            }
            audit_on!(&mut *tx, audit, "org.create");
            OrgChanged::Changed
        }))
    }

    /// Gives an organisation that is not closed another name. The audit row says which it had.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn org_rename(
        &self,
        scope: &Scope,
        org_id: &str,
        name: &str,
        audit: &AuditEntry,
    ) -> Result<OrgChanged, StoreError> {
        if !scope.is_system() {
            return Ok(OrgChanged::NoOrganisation);
        }
        Ok(crate::in_tx!(self, "org.rename", tx => {
            let was: Option<(String,)> =
                sqlx::query_as("SELECT name FROM orgs WHERE org_id = $1 AND closed_at_ms IS NULL")
                    .bind(org_id)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(StoreError::query("org.rename"))?;
            let Some((before,)) = was else {
                return Ok(OrgChanged::NoOrganisation);
            };
            if before == name {
                return Ok(OrgChanged::Unchanged);
            }
            let renamed = sqlx::query("UPDATE orgs SET name = $2 WHERE org_id = $1")
                .bind(org_id)
                .bind(name)
                .execute(&mut *tx)
                .await;
            match renamed {
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                    return Ok(OrgChanged::NameTaken);
                }
                renamed => renamed.map_err(StoreError::query("org.rename"))?,
            };
            let mut audit = audit.clone();
            audit.facts.before = Some(json!({ "name": before }));
            audit.facts.after = Some(json!({ "name": name }));
            audit_on!(&mut *tx, &audit, "org.rename");
            OrgChanged::Changed
        }))
    }

    /// Closes an organisation for good: nobody can act for it any more, its tokens enrol no nodes, its pools are closed, and no
    /// pool admits it. One that still has nodes is left as it is.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn org_close(
        &self,
        scope: &Scope,
        org_id: &str,
        audit: &AuditEntry,
    ) -> Result<OrgChanged, StoreError> {
        if !scope.is_system() || org_id == MAIN_ORG {
            return Ok(OrgChanged::NoOrganisation);
        }
        Ok(crate::in_tx!(self, "org.close", tx => {
            let open = sqlx::query("UPDATE orgs SET name = name WHERE org_id = $1 AND closed_at_ms IS NULL")
                .bind(org_id)
                .execute(&mut *tx)
                .await
                .map_err(StoreError::query("org.close"))?
                .rows_affected();
            if open == 0 {
                return Ok(OrgChanged::NoOrganisation);
            }
            let nodes = close_org_on!(&mut tx, org_id, audit.at_ms, "org.close");
            if nodes > 0 {
                return Ok(OrgChanged::HasNodes { nodes });
            }
            audit_on!(&mut *tx, audit, "org.close");
            OrgChanged::Changed
        }))
    }
}
