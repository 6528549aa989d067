//! Private pools: nodes that an organisation keeps to itself and to organisations that are admitted. What is seen of these
//! nodes, `node_sight` says.
//!
//! Order of locks: organisation, account, pool, and after it tokens and nodes.

use crate::audit::{AuditEntry, audit_on};
use crate::enrolment_tokens::open_org_on;
use crate::statement::Statement;
use crate::{Scope, Store, StoreError};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub use crate::node_sight::PRIVATE_POOLS;

/// Open pools that one organisation may have.
pub const POOLS: i64 = 64;
/// Organisations that one pool may admit.
pub const MEMBERS: i64 = 256;

const OP_LIST: &str = "pool.list";

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Pool {
    /// Identity.
    pub pool_id: String,
    /// Whose.
    pub org_id: String,
    /// What that organisation is called.
    pub org_name: String,
    /// What it is called.
    pub name: String,
    /// A JSON object: see [`Pool::labels`].
    pub labels: String,
    /// `hidden` or `listed`.
    pub existence: String,
    /// When it was made, unix ms.
    pub created_at_ms: i64,
    /// When it was closed, unix ms.
    pub closed_at_ms: Option<i64>,
    /// Its nodes that are not retired.
    pub nodes: i64,
    /// Organisations that it admits.
    pub members: i64,
}

impl Pool {
    /// What is said about it. This program alone writes it, so that it can always be read.
    pub fn labels(&self) -> BTreeMap<String, String> {
        serde_json::from_str(&self.labels).unwrap_or_default()
    }
}

/// A pool to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPool {
    /// Identity.
    pub pool_id: String,
    /// Whose.
    pub org_id: String,
    /// What it is called.
    pub name: String,
    /// What is said about it.
    pub labels: BTreeMap<String, String>,
    /// `hidden` or `listed`.
    pub existence: &'static str,
}

/// What is another of a pool; `None` for what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolChange {
    /// What it is called.
    pub name: Option<String>,
    /// What is said about it.
    pub labels: Option<BTreeMap<String, String>>,
    /// `hidden` or `listed`.
    pub existence: Option<&'static str>,
}

/// An organisation that a pool admits.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PoolMember {
    /// Which.
    pub org_id: String,
    /// What it is called.
    pub org_name: String,
    /// Since when, unix ms.
    pub admitted_at_ms: i64,
    /// Who says so: `user:ID`.
    pub admitted_by: String,
    /// Their address; `None` in the eyes of an organisation, which need not know who administers the network.
    pub admitted_by_email: Option<String>,
}

/// Which pools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolFilter {
    /// Of this organisation alone.
    pub org_id: Option<String>,
    /// A part of the name.
    pub name_part: Option<String>,
    /// Those that were closed, and not those that are open.
    pub is_closed: bool,
}

/// Something that may be in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InPool<'a> {
    /// The pool itself.
    Pool(&'a str),
    /// A node.
    Node(&'a str),
    /// A receipt of this request, of this node where that is said.
    Receipt(&'a str, Option<&'a str>),
}

/// What became of a change of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolChanged {
    /// It is so now.
    Changed,
    /// It was so.
    Unchanged,
    /// There is no such pool, it is closed, or it is out of scope.
    NoPool,
    /// There is no such organisation, or it is closed.
    NoOrganisation,
    /// There is no such node.
    NoNode,
    /// Another open pool of the organisation has this name.
    NameTaken,
    /// The organisation has [`POOLS`] already.
    TooManyPools,
    /// It admits [`MEMBERS`] already.
    TooManyMembers,
    /// The organisation owns the pool.
    OwnPool,
    /// The node is another organisation's.
    OtherOrganisation,
    /// The node was retired.
    Retired,
    /// It still has nodes.
    HasNodes {
        /// How many are not retired.
        nodes: i64,
    },
}

macro_rules! pool_columns {
    () => {
        "SELECT p.pool_id, p.org_id, (SELECT o.name FROM orgs o WHERE o.org_id = p.org_id) AS org_name, p.name, p.labels, p.existence, p.created_at_ms, p.closed_at_ms, \
         (SELECT COUNT(*) FROM nodes n WHERE n.pool_id = p.pool_id AND n.state <> 'retired') AS nodes, \
         (SELECT COUNT(*) FROM pool_members m WHERE m.pool_id = p.pool_id) AS members \
         FROM pools p WHERE "
    };
}

/// Takes a pool that is open: whose it is.
macro_rules! open_pool_on {
    ($tx:expr, $pool_id:expr, $op:literal) => {{
        let open: Option<(String,)> = sqlx::query_as(
            "UPDATE pools SET existence = existence WHERE pool_id = $1 AND closed_at_ms IS NULL RETURNING org_id",
        )
        .bind($pool_id)
        .fetch_optional(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
        open.map(|(org_id,)| org_id)
    }};
}
pub(crate) use open_pool_on;

/// Closes all pools of an organisation that closes, in a transaction that has its row, and ends what it is admitted to.
macro_rules! close_pools_on {
    ($tx:expr, $org_id:expr, $at_ms:expr, $op:literal) => {{
        sqlx::query("UPDATE pools SET closed_at_ms = $2 WHERE org_id = $1 AND closed_at_ms IS NULL")
            .bind($org_id)
            .bind($at_ms)
            .execute(&mut **$tx)
            .await
            .map_err($crate::StoreError::query($op))?;
        sqlx::query(
            "DELETE FROM pool_members WHERE org_id = $1 OR pool_id IN (SELECT p.pool_id FROM pools p WHERE p.org_id = $1)",
        )
        .bind($org_id)
        .execute(&mut **$tx)
        .await
        .map_err($crate::StoreError::query($op))?;
    }};
}
pub(crate) use close_pools_on;

fn facts(name: &str, labels: &BTreeMap<String, String>, existence: &str) -> Value {
    json!({ "name": name, "labels": labels, "existence": existence })
}

/// Labels as they are stored.
fn written(labels: &BTreeMap<String, String>) -> String {
    json!(labels).to_string()
}

/// Appends which pools an organisation may see.
fn push_scope(scope: &Scope, statement: &mut Statement) {
    match scope.org_id() {
        Some(org_id) => {
            statement.sql(" AND (p.org_id = ").text(org_id);
            statement
                .sql(" OR p.pool_id IN (SELECT m.pool_id FROM pool_members m WHERE m.org_id = ")
                .text(org_id)
                .sql("))");
        }
        None if scope.is_system() => {}
        None => {
            statement.sql(" AND FALSE");
        }
    }
}

pub(crate) fn list_statement(
    scope: &Scope,
    filter: &PoolFilter,
    before: Option<(i64, &str)>,
    limit: i64,
) -> Statement {
    let mut statement = Statement::new(concat!(pool_columns!(), "p.closed_at_ms IS "));
    statement.sql(if filter.is_closed { "NOT NULL" } else { "NULL" });
    push_scope(scope, &mut statement);
    if let Some(org_id) = &filter.org_id {
        statement.sql(" AND p.org_id = ").text(org_id.as_str());
    }
    if let Some(part) = &filter.name_part {
        statement
            .sql(" AND p.name")
            .contains(&part.to_ascii_lowercase());
    }
    if let Some((before_ms, before_id)) = before {
        statement
            .sql(" AND (p.created_at_ms, p.pool_id) < (")
            .int(before_ms);
        statement.sql(", ").text(before_id).sql(")");
    }
    statement
        .sql(" ORDER BY p.created_at_ms DESC, p.pool_id DESC LIMIT ")
        .int(limit);
    statement
}

impl Store {
    /// Pools in scope, the newest first, at most `limit` of those made before `(before_ms, before_id)`: an organisation's own
    /// and those that admit it.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn pool_list(
        &self,
        scope: &Scope,
        filter: &PoolFilter,
        before: Option<(i64, &str)>,
        limit: i64,
    ) -> Result<Vec<Pool>, StoreError> {
        let statement = list_statement(scope, filter, before, limit);
        crate::on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
            .map_err(StoreError::query(OP_LIST))
    }

    /// A pool in scope, open or closed.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn pool_get(&self, scope: &Scope, pool_id: &str) -> Result<Option<Pool>, StoreError> {
        let mut statement = Statement::new(concat!(pool_columns!(), "p.pool_id = "));
        statement.text(pool_id);
        push_scope(scope, &mut statement);
        crate::on_read!(self, conn => statement.build().build_query_as().fetch_optional(conn).await)
            .map_err(StoreError::query("pool.get"))
    }

    /// Organisations that a pool in scope admits, in the order in which they came; one that is admitted is shown itself alone.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn pool_members(
        &self,
        scope: &Scope,
        pool_id: &str,
    ) -> Result<Vec<PoolMember>, StoreError> {
        crate::on_read!(self, conn => sqlx::query_as(
                "SELECT m.org_id, o.name AS org_name, m.admitted_at_ms, m.admitted_by, u.email AS admitted_by_email \
                 FROM pool_members m JOIN pools p ON p.pool_id = m.pool_id JOIN orgs o ON o.org_id = m.org_id \
                 LEFT JOIN users u ON $2 AND m.admitted_by = 'user:' || u.user_id \
                 WHERE m.pool_id = $1 AND ($2 OR p.org_id = $3 OR m.org_id = $3) \
                 ORDER BY m.admitted_at_ms, m.org_id LIMIT $4")
            .bind(pool_id)
            .bind(scope.is_system())
            .bind(scope.org_id())
            .bind(MEMBERS)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query("pool.members"))
    }

    /// Whether something exists that the scope may not see, in a pool that lets everybody know that.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn pool_restricts(
        &self,
        scope: &Scope,
        what: InPool<'_>,
    ) -> Result<bool, StoreError> {
        if scope.is_system() {
            return Ok(false);
        }
        let mut statement = Statement::new("SELECT COUNT(*) FROM pools p");
        match what {
            InPool::Pool(pool_id) => statement.sql(" WHERE p.pool_id = ").text(pool_id),
            InPool::Node(node_id) => statement
                .sql(" JOIN nodes n ON n.pool_id = p.pool_id WHERE n.node_id = ")
                .text(node_id),
            InPool::Receipt(request_id, node_id) => {
                statement.sql(
                    " JOIN nodes n ON n.pool_id = p.pool_id JOIN receipts r ON r.node_id = n.node_id WHERE r.request_id = ",
                );
                statement.text(request_id);
                if let Some(node_id) = node_id {
                    statement.sql(" AND r.node_id = ").text(node_id);
                }
                &mut statement
            }
        }
        .sql(" AND p.existence = 'listed'");
        let count: i64 =
            crate::on_read!(self, conn => statement.build().build_query_scalar().fetch_one(conn).await)
                .map_err(StoreError::query("pool.restricts"))?;
        Ok(count > 0)
    }

    /// Makes a pool of an organisation that is open.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn pool_create(
        &self,
        scope: &Scope,
        new: &NewPool,
        audit: &AuditEntry,
    ) -> Result<PoolChanged, StoreError> {
        if !scope.is_system() {
            return Ok(PoolChanged::NoOrganisation);
        }
        let failed = StoreError::query("pool.create");
        Ok(crate::in_tx!(self, "pool.create", tx => {
            // Whoever closes the organisation, or makes another pool of it, waits for this, or this for them.
            if !open_org_on!(&mut tx, &new.org_id, "pool.create") {
                return Ok(PoolChanged::NoOrganisation);
            }
            let (others,): (i64,) =
                sqlx::query_as("SELECT COUNT(*) FROM pools WHERE org_id = $1 AND closed_at_ms IS NULL")
                    .bind(&new.org_id)
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(&failed)?;
            if others >= POOLS {
                return Ok(PoolChanged::TooManyPools);
            }
            let made = sqlx::query(
                    "INSERT INTO pools (pool_id, org_id, name, labels, existence, created_at_ms) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING")
                .bind(&new.pool_id)
                .bind(&new.org_id)
                .bind(&new.name)
                .bind(written(&new.labels))
                .bind(new.existence)
                .bind(audit.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if made.rows_affected() == 0 {
                return Ok(PoolChanged::NameTaken);
            }
            let mut audit = audit.clone();
            let mut after = facts(&new.name, &new.labels, new.existence);
            after["org_id"] = json!(new.org_id);
            audit.facts.after = Some(after);
            audit_on!(&mut *tx, &audit, "pool.create");
            PoolChanged::Changed
        }))
    }

    /// Changes what a pool is called, what is said about it, and who is told that it exists.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn pool_change(
        &self,
        scope: &Scope,
        pool_id: &str,
        change: &PoolChange,
        audit: &AuditEntry,
    ) -> Result<PoolChanged, StoreError> {
        if !scope.is_system() {
            return Ok(PoolChanged::NoPool);
        }
        let failed = StoreError::query("pool.change");
        Ok(crate::in_tx!(self, "pool.change", tx => {
            let pool: Option<(String, String, String)> = sqlx::query_as(
                    "UPDATE pools SET existence = existence WHERE pool_id = $1 AND closed_at_ms IS NULL \
                     RETURNING name, labels, existence")
                .bind(pool_id)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            let Some((old_name, old_labels, old_existence)) = pool else {
                return Ok(PoolChanged::NoPool);
            };
            let old_labels: BTreeMap<String, String> = serde_json::from_str(&old_labels).unwrap_or_default();
            let name = change.name.as_ref().unwrap_or(&old_name);
            let labels = change.labels.as_ref().unwrap_or(&old_labels);
            let existence = change.existence.unwrap_or(&old_existence);
            let (before, after) = (facts(&old_name, &old_labels, &old_existence), facts(name, labels, existence));
            if before == after {
                return Ok(PoolChanged::Unchanged);
            }
            let changed = sqlx::query("UPDATE pools SET name = $2, labels = $3, existence = $4 WHERE pool_id = $1")
                .bind(pool_id)
                .bind(name)
                .bind(written(labels))
                .bind(existence)
                .execute(&mut *tx)
                .await;
            match changed {
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                    return Ok(PoolChanged::NameTaken);
                }
                changed => changed.map_err(&failed)?,
            };
            let mut audit = audit.clone();
            audit.facts.before = Some(before);
            audit.facts.after = Some(after);
            audit_on!(&mut *tx, &audit, "pool.change");
            PoolChanged::Changed
        }))
    }

    /// Closes a pool for good, with its tokens and what it admits. One that still has nodes is left as it is: taken out, they
    /// would be everybody's to see, and that is for somebody to say of each.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn pool_close(
        &self,
        scope: &Scope,
        pool_id: &str,
        audit: &AuditEntry,
    ) -> Result<PoolChanged, StoreError> {
        if !scope.is_system() {
            return Ok(PoolChanged::NoPool);
        }
        let failed = StoreError::query("pool.close");
        Ok(crate::in_tx!(self, "pool.close", tx => {
            let closed = sqlx::query("UPDATE pools SET closed_at_ms = $2 WHERE pool_id = $1 AND closed_at_ms IS NULL")
                .bind(pool_id)
                .bind(audit.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if closed.rows_affected() == 0 {
                return Ok(PoolChanged::NoPool);
            }
            // Before nodes are counted: an enrolment that is under way has the row of its token.
            let tokens = sqlx::query("UPDATE enrolment_tokens SET revoked_at_ms = $2 WHERE pool_id = $1 AND revoked_at_ms IS NULL")
                .bind(pool_id)
                .bind(audit.at_ms)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let (nodes,): (i64,) =
                sqlx::query_as("SELECT COUNT(*) FROM nodes WHERE pool_id = $1 AND state <> 'retired'")
                    .bind(pool_id)
                    .fetch_one(&mut *tx)
                    .await
                    .map_err(&failed)?;
            if nodes > 0 {
                return Ok(PoolChanged::HasNodes { nodes });
            }
            let members = sqlx::query("DELETE FROM pool_members WHERE pool_id = $1")
                .bind(pool_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let mut audit = audit.clone();
            audit.facts.before = Some(json!({ "is_closed": false }));
            let ended = json!({ "enrolment_tokens": tokens.rows_affected(), "members": members.rows_affected() });
            audit.facts.after = Some(json!({ "is_closed": true, "ended": ended }));
            audit_on!(&mut *tx, &audit, "pool.close");
            PoolChanged::Changed
        }))
    }
}
