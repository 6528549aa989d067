//! Who takes care of which node.
//!
//! An assignment names somebody and gives no rights: these come from roles. Its person has an open account with one of the
//! [`MAY_CARE`] roles in the organisation that the node belongs to; what ends that ends it in the same transaction
//! (`memberships`, `users`).

use crate::audit::{AuditEntry, audit_on};
use crate::memberships::roles_from;
use crate::node_queries::{AND_ORG, NodeFilter, push_filter};
use crate::statement::Statement;
use crate::users::lock_user_on;
use crate::{Scope, Store, StoreError};

/// People that one node may have.
pub const ASSIGNEES: i64 = 32;

/// Roles of those who can be assigned: who has none of them may not even see the node as its own people do.
pub const MAY_CARE: [&str; 2] = ["admin", "operator"];

const OP_ASSIGN: &str = "node.assign";
const OP_UNASSIGN: &str = "node.unassign";
const OP_ASSIGNEES: &str = "node.assignees";
const OP_LIST: &str = "assignment.list";

/// Somebody who takes care of a node.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Assignee {
    /// Of which node.
    pub node_id: String,
    /// Who.
    pub user_id: String,
    /// Their address.
    pub email: String,
    /// Since when, unix ms.
    pub assigned_at_ms: i64,
    /// Who says so: `user:ID`.
    pub assigned_by: String,
    /// Their address; `None` in the eyes of an organisation, which need not know who administers the network.
    pub assigned_by_email: Option<String>,
}

/// Whose nodes are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assigned {
    /// Those of this person.
    To(String),
    /// Those that nobody takes care of.
    ToNobody,
}

/// A node in the list of who takes care of what.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AssignedNode {
    /// Which.
    pub node_id: String,
    /// Where.
    pub region: String,
    /// State of the lifecycle.
    pub state: String,
    /// Whose.
    pub org_id: Option<String>,
    /// What that organisation is called.
    pub org_name: Option<String>,
}

/// What became of an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment {
    /// It is so now.
    Changed,
    /// It was so.
    Unchanged,
    /// There is no such node, or it is out of scope.
    NoNode,
    /// The node was retired: nobody takes care of it any more.
    Retired,
    /// No open account has this id and one of the [`MAY_CARE`] roles in the node's organisation.
    NoMember,
    /// The node has [`ASSIGNEES`] people already.
    TooMany,
}

/// Ends what somebody takes care of for an organisation: how many nodes.
macro_rules! end_assignments_on {
    ($tx:expr, $user_id:expr, $org_id:expr, $op:literal) => {
        sqlx::query("DELETE FROM node_assignments WHERE user_id = $1 AND org_id = $2")
            .bind($user_id)
            .bind($org_id)
            .execute(&mut **$tx)
            .await
            .map_err($crate::StoreError::query($op))?
            .rows_affected()
    };
}
pub(crate) use end_assignments_on;

impl Store {
    /// Assigns somebody to a node in scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn node_assign(
        &self,
        scope: &Scope,
        (node_id, user_id): (&str, &str),
        audit: &AuditEntry,
    ) -> Result<Assignment, StoreError> {
        let failed = StoreError::query(OP_ASSIGN);
        Ok(crate::in_tx!(self, "node.assign", tx => {
            // Whoever takes their roles away waits for this, or this sees that they are gone.
            let is_open = lock_user_on!(&mut tx, user_id, "node.assign");
            // And whoever passes the node on, or retires it.
            let node: Option<(String, Option<String>)> = sqlx::query_as(
                    "UPDATE nodes SET state = state WHERE node_id = $1 AND ($2 OR org_id = $3) RETURNING state, org_id")
                .bind(node_id)
                .bind(scope.is_system())
                .bind(scope.org_id())
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            let Some((state, org_id)) = node else {
                return Ok(Assignment::NoNode);
            };
            if state == "retired" {
                return Ok(Assignment::Retired);
            }
            let membership: Option<(String,)> =
                sqlx::query_as("SELECT roles FROM memberships WHERE user_id = $1 AND org_id = $2")
                    .bind(user_id)
                    .bind(&org_id)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(&failed)?;
            let roles = membership.map(|(roles,)| roles_from(&roles)).unwrap_or_default();
            if !is_open || !roles.iter().any(|role| MAY_CARE.contains(&role.as_str())) {
                return Ok(Assignment::NoMember);
            }
            let others: Vec<(String,)> =
                sqlx::query_as("SELECT user_id FROM node_assignments WHERE node_id = $1")
                    .bind(node_id)
                    .fetch_all(&mut *tx)
                    .await
                    .map_err(&failed)?;
            if others.iter().any(|(other,)| other == user_id) {
                return Ok(Assignment::Unchanged);
            }
            if others.len() as i64 >= ASSIGNEES {
                return Ok(Assignment::TooMany);
            }
            sqlx::query(
                    "INSERT INTO node_assignments (node_id, user_id, org_id, assigned_at_ms, assigned_by) \
                     VALUES ($1, $2, $3, $4, $5)")
                .bind(node_id)
                .bind(user_id)
                .bind(&org_id)
                .bind(audit.at_ms)
                .bind(&audit.actor)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            audit_on!(&mut *tx, audit, "node.assign");
            Assignment::Changed
        }))
    }

    /// Ends that somebody takes care of a node in scope.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn node_unassign(
        &self,
        scope: &Scope,
        (node_id, user_id): (&str, &str),
        audit: &AuditEntry,
    ) -> Result<Assignment, StoreError> {
        let failed = StoreError::query(OP_UNASSIGN);
        Ok(crate::in_tx!(self, "node.unassign", tx => {
            let node: Option<(String,)> =
                sqlx::query_as("SELECT state FROM nodes WHERE node_id = $1 AND ($2 OR org_id = $3)")
                    .bind(node_id)
                    .bind(scope.is_system())
                    .bind(scope.org_id())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(&failed)?;
            if node.is_none() {
                return Ok(Assignment::NoNode);
            }
            let ended = sqlx::query("DELETE FROM node_assignments WHERE node_id = $1 AND user_id = $2")
                .bind(node_id)
                .bind(user_id)
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            if ended.rows_affected() == 0 {
                return Ok(Assignment::Unchanged);
            }
            audit_on!(&mut *tx, audit, "node.unassign");
            Assignment::Changed
        }))
    }

    /// Who takes care of these nodes, as far as they are in scope: each node's people in the order in which they came. To a
    /// stranger nobody does.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn node_assignees(
        &self,
        scope: &Scope,
        node_ids: &[&str],
    ) -> Result<Vec<Assignee>, StoreError> {
        let Some((first, others)) = node_ids.split_first() else {
            return Ok(Vec::new());
        };
        let mut statement = Statement::new(
            "SELECT a.node_id, a.user_id, u.email, a.assigned_at_ms, a.assigned_by, b.email AS assigned_by_email \
             FROM node_assignments a JOIN users u ON u.user_id = a.user_id JOIN nodes n ON n.node_id = a.node_id \
             LEFT JOIN users b ON a.assigned_by = 'user:' || b.user_id AND ",
        );
        statement.sql(if scope.is_system() { "TRUE" } else { "FALSE" });
        statement.sql(" WHERE a.node_id IN (").text(*first);
        for node_id in others {
            statement.sql(", ").text(*node_id);
        }
        statement.sql(")");
        scope.push(&mut statement, AND_ORG);
        statement.sql(" ORDER BY a.node_id, a.assigned_at_ms, a.user_id");
        crate::on_read!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
            .map_err(StoreError::query(OP_ASSIGNEES))
    }

    /// Nodes in scope that are not retired, by their ids; at most `limit` of those after `after`.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn assignment_list(
        &self,
        scope: &Scope,
        filter: &NodeFilter,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<AssignedNode>, StoreError> {
        let mut statement = Statement::new(
            "SELECT n.node_id, n.region, n.state, n.org_id, o.name AS org_name FROM nodes n \
             LEFT JOIN orgs o ON o.org_id = n.org_id",
        );
        push_filter(&mut statement, scope, filter);
        // Who takes care of a node is for its own people.
        scope.push(&mut statement, AND_ORG);
        if let Some(after) = after {
            statement.sql(" AND n.node_id > ").text(after);
        }
        statement.sql(" ORDER BY n.node_id LIMIT ").int(limit);
        crate::on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
            .map_err(StoreError::query(OP_LIST))
    }
}
