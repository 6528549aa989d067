//! Orders of people to nodes: each is a row from the moment that it is given, and stays one until its node was told or
//! its time is over.

use crate::audit::{AuditEntry, audit_on};
use crate::{Scope, Store, StoreError, System, in_tx, on_read, on_write};
use dgon_protocol::id::NodeId;

/// An order that a person gives.
#[derive(Debug, Clone, Copy)]
pub struct NewOrder<'a> {
    /// To which node.
    pub node_id: &'a NodeId,
    /// What, in a word: a node has one waiting order of a kind.
    pub kind: &'static str,
    /// What the node is sent, JSON of `protocol::frame::Control`.
    pub body: &'a str,
    /// When, unix ms.
    pub at_ms: i64,
    /// Until when it may be sent, unix ms.
    pub expires_at_ms: i64,
    /// Who gave it, and why.
    pub audit: &'a AuditEntry,
}

/// An order as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OrderRow {
    /// Its number.
    pub id: i64,
    /// What the node is sent.
    pub body: String,
    /// `queued`, `sent` or `expired`.
    pub state: String,
    /// When it was given, unix ms.
    pub created_at_ms: i64,
    /// Until when it may be sent, unix ms.
    pub expires_at_ms: i64,
    /// When it was sent, unix ms.
    pub sent_at_ms: Option<i64>,
}

const COLUMNS: &str = "id, body, state, created_at_ms, expires_at_ms, sent_at_ms";

impl Store {
    /// Queues an order with its audit entry, in one transaction. Where one of its kind waits already, that one is the
    /// answer and nothing is written. `None` where no such node is in the scope, or it was retired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_order_add(
        &self,
        scope: &Scope,
        order: &NewOrder<'_>,
    ) -> Result<Option<OrderRow>, StoreError> {
        const OP: &str = "node_order.add";
        let failed = StoreError::query(OP);
        let add = format!(
            "INSERT INTO node_orders (node_id, org_id, kind, body, created_by, created_at_ms, expires_at_ms, state) \
             SELECT node_id, org_id, $2, $3, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT), 'queued' FROM nodes \
             WHERE node_id = $1 AND state <> 'retired' AND ($7 OR org_id = $8) ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
        );
        // One that was sent at this very moment is the answer, too.
        let newest = format!(
            "SELECT {COLUMNS} FROM node_orders WHERE node_id = $1 AND kind = $2 AND ($3 OR org_id = $4) \
             ORDER BY id DESC LIMIT 1"
        );
        Ok(in_tx!(self, "node_order.add", tx => {
            sqlx::query(
                    "UPDATE node_orders SET state = 'expired' \
                     WHERE node_id = $1 AND state = 'queued' AND expires_at_ms <= $2 AND ($3 OR org_id = $4)")
                .bind(order.node_id.as_str())
                .bind(order.at_ms)
                .bind(scope.is_system())
                .bind(scope.org_id())
                .execute(&mut *tx)
                .await
                .map_err(&failed)?;
            let added: Option<OrderRow> = sqlx::query_as(sqlx::AssertSqlSafe(add))
                .bind(order.node_id.as_str())
                .bind(order.kind)
                .bind(order.body)
                .bind(&order.audit.actor)
                .bind(order.at_ms)
                .bind(order.expires_at_ms)
                .bind(scope.is_system())
                .bind(scope.org_id())
                .fetch_optional(&mut *tx)
                .await
                .map_err(&failed)?;
            match added {
                Some(added) => {
                    audit_on!(&mut *tx, order.audit, "node_order.add");
                    Some(added)
                }
                None => sqlx::query_as(sqlx::AssertSqlSafe(newest))
                    .bind(order.node_id.as_str())
                    .bind(order.kind)
                    .bind(scope.is_system())
                    .bind(scope.org_id())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(&failed)?,
            }
        }))
    }

    /// The orders that wait for a node, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_orders_queued(
        &self,
        _by: System,
        node_id: &NodeId,
        now_ms: i64,
    ) -> Result<Vec<OrderRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM node_orders \
             WHERE node_id = $1 AND state = 'queued' AND expires_at_ms > $2 ORDER BY id"
        );
        on_read!(self, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(node_id.as_str())
            .bind(now_ms)
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("node_order.queued")))
    }

    /// The node was sent an order that waited.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_order_sent(
        &self,
        _by: System,
        id: i64,
        at_ms: i64,
    ) -> Result<(), StoreError> {
        on_write!(self, conn => sqlx::query(
                "UPDATE node_orders SET state = 'sent', sent_at_ms = $2 WHERE id = $1 AND state = 'queued'")
            .bind(id)
            .bind(at_ms)
            .execute(conn)
            .await
            .map(drop)
            .map_err(StoreError::query("node_order.sent")))
    }
}
