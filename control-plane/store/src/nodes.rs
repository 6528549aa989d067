//! Nodes, their keys and their sealed secrets.
//!
//! Order of locks, for every transaction that writes more than one row of `nodes` or `node_keys`: rows of `node_keys` by
//! `id`, then rows of `nodes` by the bytes of `node_id` (not by the database's collation, which Rust does not know). So
//! no two of them ever wait for each other. A statement that writes many rows at once locks them in this order first,
//! with `FOR NO KEY UPDATE`, which rows that refer to a node do not wait for.

use crate::audit::AuditEntry;
use crate::{Scope, Store, StoreError, System, in_tx, node_offers, on_read};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_protocol::frame::Inventory;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::Sha256Hash;
use std::collections::BTreeSet;

/// What a node was when it was last written.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct NodeRow {
    /// Which node.
    pub node_id: String,
    /// Where it is.
    pub region: String,
    /// Lifecycle state: see [`NodeRow::lifecycle`].
    pub state: String,
    /// Why.
    pub state_reason: String,
    /// Since when, unix ms.
    pub state_since_ms: i64,
    /// Since when it is enrolled, unix ms.
    pub enrolled_at_ms: i64,
    /// The org of its owner.
    pub org_id: Option<String>,
    /// The token that enrolled it.
    pub token_id: Option<String>,
    /// Version of its agent.
    pub agent_version: String,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// What it has, JSON of `protocol::frame::Inventory`.
    pub inventory: Option<String>,
    /// What its owner allows, a JSON array.
    pub allow_list: Option<String>,
    /// When it last connected, unix ms.
    pub last_connected_at_ms: Option<i64>,
    /// When its last written heartbeat came, unix ms.
    pub last_heartbeat_at_ms: Option<i64>,
    /// That heartbeat, JSON of `protocol::frame::Heartbeat`.
    pub last_heartbeat: Option<String>,
}

impl NodeRow {
    /// State and reason, typed.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when this program never wrote them.
    pub fn lifecycle(&self) -> Result<(State, Reason), StoreError> {
        read_lifecycle("node.get", &self.state, &self.state_reason)
    }
}

pub(crate) fn read_lifecycle(
    op: &'static str,
    state: &str,
    reason: &str,
) -> Result<(State, Reason), StoreError> {
    let state = State::parse(state).ok_or(StoreError::Corrupt {
        op,
        what: "lifecycle state",
    })?;
    let reason = Reason::parse(reason).ok_or(StoreError::Corrupt {
        op,
        what: "lifecycle reason",
    })?;
    Ok((state, reason))
}

/// The key that a node signs with, and the end of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeKeyRow {
    /// Row id, which receipts refer to.
    pub id: i64,
    /// The key.
    pub public_key: PublicKey,
    /// `seq` of the last receipt of its chain; 0 for none.
    pub head_seq: u64,
    /// SHA-256 of that receipt.
    pub head_hash: Sha256Hash,
}

/// A node as the lifecycle and the link know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Which node.
    pub node_id: NodeId,
    /// State.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Since when, unix ms.
    pub since_ms: i64,
    /// When its last written heartbeat came, unix ms.
    pub last_heartbeat_at_ms: Option<i64>,
}

const NODE_COLUMNS: &str = "node_id, region, state, state_reason, state_since_ms, enrolled_at_ms, org_id, token_id, \
     agent_version, os, arch, inventory, allow_list, last_connected_at_ms, last_heartbeat_at_ms, last_heartbeat";

const CONNECTED: &str = "UPDATE nodes SET last_connected_at_ms = $2, agent_version = $3, os = $4, arch = $5, \
     inventory = $6, allow_list = $7 WHERE node_id = $1";

/// Changes the state of a node in scope if it still is what the change says, with event and audit row; whether it was.
macro_rules! transition_on {
    ($conn:expr, $scope:expr, $change:expr, $op:literal) => {{
        let scope: &$crate::Scope = $scope;
        let change: &$crate::LifecycleChange<'_> = $change;
        let updated = sqlx::query(
            "UPDATE nodes SET state = $2, state_reason = $3, state_since_ms = $4 \
             WHERE node_id = $1 AND state = $5 AND state_reason = $6 AND ($7 OR org_id = $8)",
        )
        .bind(change.node_id.as_str())
        .bind(change.new.0.as_str())
        .bind(change.new.1.as_str())
        .bind(change.at_ms)
        .bind(change.old.0.as_str())
        .bind(change.old.1.as_str())
        .bind(scope.is_system())
        .bind(scope.org_id())
        .execute($conn)
        .await
        .map_err($crate::StoreError::query($op))?
        .rows_affected();
        if updated == 1 {
            sqlx::query(
                "INSERT INTO lifecycle_events (node_id, at_ms, from_state, to_state, reason, actor, detail, org_id) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, (SELECT org_id FROM nodes WHERE node_id = $1))",
            )
            .bind(change.node_id.as_str())
            .bind(change.at_ms)
            .bind(change.old.0.as_str())
            .bind(change.new.0.as_str())
            .bind(change.new.1.as_str())
            .bind(change.actor)
            .bind(change.detail)
            .execute($conn)
            .await
            .map_err($crate::StoreError::query($op))?;
            $crate::audit::audit_on!($conn, change.audit, $op);
        }
        updated == 1
    }};
}
pub(crate) use transition_on;

impl Store {
    /// One node in scope, as the server knows it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_get(
        &self,
        scope: &Scope,
        node_id: &NodeId,
    ) -> Result<Option<NodeRow>, StoreError> {
        let sql =
            format!("SELECT {NODE_COLUMNS} FROM nodes WHERE node_id = $1 AND ($2 OR org_id = $3)");
        on_read!(self, conn => sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(node_id.as_str())
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("node.get")))
    }

    /// State of every node that is not retired, for the lifecycle.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_states(&self, _by: System) -> Result<Vec<NodeState>, StoreError> {
        type Row = (String, String, String, i64, Option<i64>);
        let rows: Vec<Row> = on_read!(self, conn => sqlx::query_as(
                "SELECT node_id, state, state_reason, state_since_ms, last_heartbeat_at_ms \
                 FROM nodes WHERE state <> 'retired'")
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("node.states")))?;
        rows.into_iter()
            .map(|(node_id, state, reason, since_ms, last_heartbeat_at_ms)| {
                let (state, reason) = read_lifecycle("node.states", &state, &reason)?;
                let node_id = NodeId::parse(node_id).map_err(|_| StoreError::Corrupt {
                    op: "node.states",
                    what: "node id",
                })?;
                Ok(NodeState {
                    node_id,
                    state,
                    reason,
                    since_ms,
                    last_heartbeat_at_ms,
                })
            })
            .collect()
    }

    /// The key that the node signs with now, and its chain's head.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_key_current(
        &self,
        _by: System,
        node_id: &NodeId,
    ) -> Result<Option<NodeKeyRow>, StoreError> {
        const OP: &str = "node_key.current";
        let row: Option<(i64, Vec<u8>, i64, Vec<u8>)> = on_read!(self, conn => sqlx::query_as(
                "SELECT k.id, k.public_key, h.seq, h.entry_hash FROM node_keys k JOIN chain_heads h ON h.node_key_id = k.id \
                 WHERE k.node_id = $1 AND k.valid_to_ms IS NULL ORDER BY k.valid_from_ms DESC LIMIT 1")
            .bind(node_id.as_str())
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query(OP)))?;
        row.map(|(id, key, seq, hash)| {
            Ok(NodeKeyRow {
                id,
                public_key: PublicKey::from_bytes(bytes32(OP, "public key", &key)?),
                head_seq: u64::try_from(seq).unwrap_or(0),
                head_hash: Sha256Hash(bytes32(OP, "chain head", &hash)?),
            })
        })
        .transpose()
    }

    /// The node's sealed HMAC secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_secret(
        &self,
        _by: System,
        node_id: &NodeId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> = on_read!(self, conn => sqlx::query_as(
                "SELECT s.sealed FROM node_secrets s JOIN nodes n ON n.node_id = s.node_id \
                 WHERE s.node_id = $1 AND n.state <> 'retired'")
            .bind(node_id.as_str())
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("node.secret")))?;
        Ok(row.map(|(sealed,)| sealed))
    }

    /// Many nodes say what they are, in one transaction: their rows, and what they are found by.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_connected(
        &self,
        _by: System,
        nodes: &[(i64, Connected<'_>)],
    ) -> Result<(), StoreError> {
        const OP: &str = "node.connected";
        // In the order of locks; see the top of this file.
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable_by_key(|(_, node)| node.node_id);
        let node_ids: Vec<&str> = nodes
            .iter()
            .map(|(_, node)| node.node_id.as_str())
            .collect();
        let mut wanted = BTreeSet::new();
        for (_, node) in &nodes {
            wanted.extend(node_offers::of_inventory(
                node.node_id.as_str(),
                node.inventory,
            ));
        }
        if nodes.is_empty() {
            return Ok(());
        }
        in_tx!(self, "node.connected", tx => {
            for (at_ms, node) in &nodes {
                let inventory = serde_json::to_string(node.inventory).unwrap_or_default();
                sqlx::query(CONNECTED)
                    .bind(node.node_id.as_str())
                    .bind(*at_ms)
                    .bind(node.agent_version)
                    .bind(node.os)
                    .bind(node.arch)
                    .bind(inventory)
                    .bind(node.allow_list)
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP))?;
            }
            let stored: Vec<node_offers::Offer> = node_offers::select(&node_ids)
                .build()
                .build_query_as()
                .fetch_all(&mut *tx)
                .await
                .map_err(StoreError::query(OP))?;
            let stored = stored.into_iter().collect();
            for change in node_offers::changes(&stored, &wanted) {
                let mut change = change.build();
                change.build().execute(&mut *tx).await.map_err(StoreError::query(OP))?;
            }
        });
        Ok(())
    }

    /// Makes `new` the state of each node in scope that is still in `old`, with its event, all in one transaction; for
    /// each whether it was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_transitions(
        &self,
        scope: &Scope,
        changes: &[LifecycleChange<'_>],
    ) -> Result<Vec<bool>, StoreError> {
        // In the order of locks; see the top of this file.
        let mut order: Vec<usize> = (0..changes.len()).collect();
        order.sort_by_key(|position| changes[*position].node_id);
        let mut changed = vec![false; changes.len()];
        in_tx!(self, "node.transition", tx => for position in order {
            changed[position] = transition_on!(&mut *tx, scope, &changes[position], "node.transition");
        });
        Ok(changed)
    }

    /// The entry bytes of the newest stored receipt of a chain, unless it comes before `from_seq`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_receipt(
        &self,
        _by: System,
        node_key_id: i64,
        from_seq: i64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> = on_read!(self, conn => sqlx::query_as(
                "SELECT entry FROM receipts WHERE node_key_id = $1 AND seq >= $2 \
                 ORDER BY seq DESC LIMIT 1")
            .bind(node_key_id)
            .bind(from_seq)
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("receipt.newest")))?;
        Ok(row.map(|(bytes,)| bytes))
    }
}

/// What a node says of itself when its session opens, or later.
#[derive(Debug, Clone, Copy)]
pub struct Connected<'a> {
    /// Which node.
    pub node_id: &'a NodeId,
    /// Version of its agent.
    pub agent_version: &'a str,
    /// Operating system.
    pub os: &'a str,
    /// Architecture.
    pub arch: &'a str,
    /// What it has.
    pub inventory: &'a Inventory,
    /// JSON array of permissions.
    pub allow_list: &'a str,
}

/// One change of a node's lifecycle.
#[derive(Debug, Clone, Copy)]
pub struct LifecycleChange<'a> {
    /// Which node.
    pub node_id: &'a NodeId,
    /// What it must still be.
    pub old: (State, Reason),
    /// What it becomes.
    pub new: (State, Reason),
    /// When, unix ms.
    pub at_ms: i64,
    /// Who: `system`, `node:ID` or `user:ID`.
    pub actor: &'a str,
    /// A sentence for people.
    pub detail: Option<&'a str>,
    /// The same for the audit log, written in the same transaction.
    pub audit: &'a AuditEntry,
}

/// One entry of a node's history.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LifecycleEventRow {
    /// When, unix ms.
    pub at_ms: i64,
    /// State before.
    pub from_state: String,
    /// State after.
    pub to_state: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// A sentence for people.
    pub detail: Option<String>,
    /// Whose the node was then.
    pub org_id: Option<String>,
}

pub(crate) fn bytes32(
    op: &'static str,
    what: &'static str,
    bytes: &[u8],
) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt { op, what })
}
