//! Reading nodes: the list, and one node with its history.
//!
//! The list has an index per order, each ending in the node id, so that a page is found and not counted off.
//! Retired nodes are kept and not listed.
//!
//! Whoever is not everybody has rows of others among their own, which are shown trimmed (`node_sight`). So an order is by what
//! a trimmed row shows too, and a filter as well; one by what is private finds one's own alone.

use crate::assignments::Assigned;
use crate::nodes::LifecycleEventRow;
use crate::probes::ProbeRow;
use crate::scope::Scope;
use crate::statement::Statement;
use crate::{Store, StoreError, on_page, on_read};
use dgon_protocol::frame::LifecycleStatus;

const OP_LIST: &str = "node.list";
const OP_DETAIL: &str = "node.detail";

pub(crate) const AND_ORG: &str = " AND n.org_id = ";

/// Lines of history, gaps and the like that one answer has.
const PARTS_SHOWN: i64 = 50;

/// Which nodes.
#[derive(Debug, Clone, Default)]
pub struct NodeFilter {
    /// Of this organisation alone; another's name finds an organisation nothing. Whoever asks for somebody who is a stranger to
    /// the store names their own.
    pub org_id: Option<String>,
    /// Statuses as shown; none for all.
    pub statuses: Vec<LifecycleStatus>,
    /// Region.
    pub region: Option<String>,
    /// A runtime that the node has.
    pub runtime: Option<String>,
    /// A model that the node has.
    pub model_id: Option<String>,
    /// A part of the node id, any case.
    pub id_part: Option<String>,
    /// Whom it is assigned to; who may not see that finds none.
    pub assigned: Option<Assigned>,
    /// In this pool; who may not see what is in it finds none.
    pub pool_id: Option<String>,
}

/// What the list is ordered by; ties by node id in the same direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NodeOrder {
    /// Node id.
    #[default]
    Id,
    /// Quarantine, offline, pending, active.
    Status,
    /// Region.
    Region,
    /// 95th percentile of the time to first token; unknown last.
    P95,
    /// Last heartbeat that was written.
    LastHeartbeat,
}

/// The value that a row is ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// Of a text order.
    Text(String),
    /// Of a number order.
    Int(i64),
}

/// Where a page starts: after this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCursor {
    /// Its sort key; absent when the order is by id.
    pub key: Option<SortKey>,
    /// Its id.
    pub node_id: String,
}

/// A page of the list.
#[derive(Debug, Clone, Default)]
pub struct NodePage {
    /// What to order by.
    pub order: NodeOrder,
    /// From the greatest down.
    pub falling: bool,
    /// After this row.
    pub after: Option<NodeCursor>,
    /// Rows at most.
    pub limit: i64,
}

/// A node in a list.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct NodeListRow {
    /// Which.
    pub node_id: String,
    /// Where.
    pub region: String,
    /// State of the lifecycle.
    pub state: String,
    /// Why.
    pub state_reason: String,
    /// Since when, unix ms.
    pub state_since_ms: i64,
    /// Whose.
    pub org_id: Option<String>,
    /// The pool that it is in.
    pub pool_id: Option<String>,
    /// What that is called.
    pub pool_name: Option<String>,
    /// Version of the agent.
    pub agent_version: String,
    /// The last inventory, JSON.
    pub inventory: Option<String>,
    /// The last heartbeat that was written, unix ms.
    pub last_heartbeat_at_ms: Option<i64>,
    /// Requests of the last 24 hours.
    pub requests_24h: i64,
    /// 95th percentile of the time to first token over them, ms.
    pub p95_ms: Option<i64>,
}

/// A node with all that is stored about it.
#[derive(Debug, Clone)]
pub struct NodeDetailRow {
    /// The columns of the list.
    pub row: NodeListRow,
    /// The rest.
    pub more: NodeMoreRow,
    /// Changes of state, the newest first.
    pub history: Vec<LifecycleEventRow>,
    /// Missing parts of the chain in use.
    pub gaps: Vec<GapRow>,
    /// Forks that were seen.
    pub forks: i64,
    /// The last probe that ended.
    pub last_probe: Option<ProbeRow>,
}

/// What only the detail shows.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct NodeMoreRow {
    /// Unix ms.
    pub enrolled_at_ms: i64,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// The last heartbeat that was written, JSON.
    pub last_heartbeat: Option<String>,
    /// The key in use, 32 bytes.
    pub public_key: Vec<u8>,
    /// Its short name.
    pub key_id: String,
    /// The last `seq` of its chain.
    pub head_seq: i64,
    /// What the organisation that owns it is called.
    pub org_name: Option<String>,
    /// What is still to be done where it was passed on to this organisation: `enrolment` or `key`.
    pub handover: Option<String>,
}

/// A missing part of a chain.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct GapRow {
    /// First missing.
    pub from_seq: i64,
    /// Last missing.
    pub to_seq: i64,
}

const COLUMNS: &str = "n.node_id, n.region, n.state, n.state_reason, n.state_since_ms, n.org_id, n.agent_version, \
     n.inventory, n.last_heartbeat_at_ms, n.requests_24h, n.p95_ms, n.pool_id, \
     (SELECT p.name FROM pools p WHERE p.pool_id = n.pool_id) AS pool_name";

/// Where unknown latencies go when the list rises. It is written into an index too.
const P95_UNKNOWN: i64 = 9_007_199_254_740_991;

/// What an order sorts by, as the indexes have it.
const fn key_sql(order: NodeOrder, falling: bool) -> &'static str {
    match order {
        NodeOrder::Id => "n.node_id",
        NodeOrder::Region => "n.region",
        NodeOrder::Status => {
            "CASE n.state WHEN 'quarantine' THEN 0 WHEN 'offline' THEN 1 WHEN 'active' THEN 3 ELSE 2 END"
        }
        NodeOrder::P95 if falling => "COALESCE(n.p95_ms, -1)",
        NodeOrder::P95 => "COALESCE(n.p95_ms, 9007199254740991)",
        NodeOrder::LastHeartbeat => "COALESCE(n.last_heartbeat_at_ms, 0)",
    }
}

impl NodePage {
    /// The cursor that continues after a row of this page.
    pub fn cursor_after(&self, row: &NodeListRow) -> NodeCursor {
        let key = match self.order {
            NodeOrder::Id => None,
            NodeOrder::Region => Some(SortKey::Text(row.region.clone())),
            NodeOrder::Status => Some(SortKey::Int(match row.state.as_str() {
                "quarantine" => 0,
                "offline" => 1,
                "active" => 3,
                _ => 2,
            })),
            NodeOrder::P95 => {
                let unknown = if self.falling { -1 } else { P95_UNKNOWN };
                Some(SortKey::Int(row.p95_ms.unwrap_or(unknown)))
            }
            NodeOrder::LastHeartbeat => Some(SortKey::Int(row.last_heartbeat_at_ms.unwrap_or(0))),
        };
        NodeCursor {
            key,
            node_id: row.node_id.clone(),
        }
    }
}

pub(crate) fn push_filter(statement: &mut Statement, scope: &Scope, filter: &NodeFilter) {
    // Each field by its name: who adds one says below whether everybody is shown what it finds by.
    let NodeFilter {
        org_id,
        statuses,
        region,
        runtime,
        model_id,
        id_part,
        assigned,
        pool_id,
    } = filter;
    statement.sql(" WHERE n.state <> 'retired'");
    scope.push_in_sight(statement);
    // What a trimmed row shows as well.
    for (position, status) in statuses.iter().enumerate() {
        statement
            .sql(if position == 0 { " AND (" } else { " OR " })
            .sql(match status {
                LifecycleStatus::Active => "n.state = 'active'",
                LifecycleStatus::Quarantine => "n.state = 'quarantine'",
                LifecycleStatus::Offline => "n.state = 'offline'",
                LifecycleStatus::Pending => "n.state IN ('registered', 'pending_probe')",
            });
    }
    if !statuses.is_empty() {
        statement.sql(")");
    }
    if let Some(region) = region {
        statement.sql(" AND n.region = ").text(region.as_str());
    }
    for (column, value) in [("runtime = ", runtime), ("model_id = ", model_id)] {
        if let Some(value) = value {
            statement
                .sql(" AND n.node_id IN (SELECT node_id FROM node_models WHERE ")
                .sql(column)
                .text(value.as_str())
                .sql(")");
        }
    }
    if let Some(part) = id_part {
        statement
            .sql(" AND LOWER(n.node_id)")
            .contains(&part.to_ascii_lowercase());
    }
    if let Some(pool_id) = pool_id {
        statement.sql(" AND n.pool_id = ").text(pool_id.as_str());
    }
    // What it does not show: whose a node is, and who takes care of it.
    if let Some(org_id) = org_id {
        statement.sql(AND_ORG).text(org_id.as_str());
        if !scope.is_stranger() {
            scope.push(statement, AND_ORG);
        }
    }
    if let Some(assigned) = assigned {
        scope.push(statement, AND_ORG);
        match assigned {
            Assigned::To(user_id) => statement
                .sql(" AND n.node_id IN (SELECT a.node_id FROM node_assignments a WHERE a.user_id = ")
                .text(user_id.as_str())
                .sql(")"),
            Assigned::ToNobody => statement.sql(
                " AND NOT EXISTS (SELECT 1 FROM node_assignments a WHERE a.node_id = n.node_id)",
            ),
        };
    }
}

pub(crate) fn list_statement(scope: &Scope, filter: &NodeFilter, page: &NodePage) -> Statement {
    let key = key_sql(page.order, page.falling);
    let (beyond, at_least, direction) = if page.falling {
        (" < ", " <= ", " DESC")
    } else {
        (" > ", " >= ", "")
    };
    let mut statement = Statement::new("SELECT ");
    statement.sql(COLUMNS).sql(" FROM nodes n");
    push_filter(&mut statement, scope, filter);
    if let Some(after) = &page.after {
        if let Some(sort_key) = &after.key {
            // The first condition finds the place in the index, the second leaves out what was shown.
            for lead in [(" AND ", at_least), (" AND (", beyond)] {
                statement.sql(lead.0).sql(key).sql(lead.1);
                match sort_key {
                    SortKey::Text(text) => statement.text(text.as_str()),
                    SortKey::Int(number) => statement.int(*number),
                };
            }
            statement
                .sql(" OR n.node_id")
                .sql(beyond)
                .text(after.node_id.as_str())
                .sql(")");
        } else {
            statement
                .sql(" AND n.node_id")
                .sql(beyond)
                .text(after.node_id.as_str());
        }
    }
    statement.sql(" ORDER BY ");
    if page.order != NodeOrder::Id {
        statement.sql(key).sql(direction).sql(", ");
    }
    statement
        .sql("n.node_id")
        .sql(direction)
        .sql(" LIMIT ")
        .int(page.limit);
    statement
}

pub(crate) fn count_statement(scope: &Scope, filter: &NodeFilter) -> Statement {
    let mut statement = Statement::new("SELECT COUNT(*) FROM nodes n");
    push_filter(&mut statement, scope, filter);
    statement
}

impl Store {
    /// A page of nodes in sight; whoever shows them trims those that are not in scope.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_list(
        &self,
        scope: &Scope,
        filter: &NodeFilter,
        page: &NodePage,
    ) -> Result<Vec<NodeListRow>, StoreError> {
        let statement = list_statement(scope, filter, page);
        on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
            .map_err(StoreError::query(OP_LIST))
    }

    /// How many nodes in sight a filter matches.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_count(&self, scope: &Scope, filter: &NodeFilter) -> Result<i64, StoreError> {
        let statement = count_statement(scope, filter);
        on_page!(self, conn => statement.build().build_query_scalar().fetch_one(conn).await)
            .map_err(StoreError::query("node.count"))
    }

    /// One row of the list, retired or not, if it is in sight; trimmed by whoever shows it.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn node_list_row(
        &self,
        scope: &Scope,
        node_id: &str,
    ) -> Result<Option<NodeListRow>, StoreError> {
        let mut statement = Statement::new("SELECT ");
        statement
            .sql(COLUMNS)
            .sql(" FROM nodes n WHERE n.node_id = ")
            .text(node_id);
        scope.push_in_sight(&mut statement);
        on_read!(self, conn => statement.build().build_query_as().fetch_optional(conn).await)
            .map_err(StoreError::query(OP_DETAIL))
    }

    /// One node with all that is stored about it, if it is in sight; trimmed by whoever shows it. Of its history all is there,
    /// each change with the organisation whose it was then.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn node_detail(
        &self,
        scope: &Scope,
        node_id: &str,
    ) -> Result<Option<NodeDetailRow>, StoreError> {
        let Some(row) = self.node_list_row(scope, node_id).await? else {
            return Ok(None);
        };
        on_read!(self, conn => {
            let more: Option<NodeMoreRow> = sqlx::query_as(
                "SELECT n.enrolled_at_ms, n.os, n.arch, n.last_heartbeat, k.public_key, k.key_id, h.seq AS head_seq, \
                 o.name AS org_name, \
                 CASE WHEN NOT EXISTS (SELECT 1 FROM node_secrets s WHERE s.node_id = n.node_id) THEN 'enrolment' \
                 WHEN COALESCE(k.org_id, '') <> COALESCE(n.org_id, '') THEN 'key' END AS handover \
                 FROM nodes n JOIN node_keys k ON k.node_id = n.node_id AND k.valid_to_ms IS NULL \
                 JOIN chain_heads h ON h.node_key_id = k.id LEFT JOIN orgs o ON o.org_id = n.org_id \
                 WHERE n.node_id = $1 ORDER BY k.valid_from_ms DESC LIMIT 1",
            )
            .bind(node_id)
            .fetch_optional(&mut *conn)
            .await
            .map_err(StoreError::query(OP_DETAIL))?;
            let history = sqlx::query_as(
                "SELECT at_ms, from_state, to_state, reason, actor, detail, org_id FROM lifecycle_events \
                 WHERE node_id = $1 ORDER BY id DESC LIMIT $2",
            )
            .bind(node_id)
            .bind(PARTS_SHOWN)
            .fetch_all(&mut *conn)
            .await
            .map_err(StoreError::query(OP_DETAIL))?;
            let gaps = sqlx::query_as(
                "SELECT from_seq, to_seq FROM chain_gaps WHERE node_id = $1 ORDER BY from_seq LIMIT $2",
            )
            .bind(node_id)
            .bind(PARTS_SHOWN)
            .fetch_all(&mut *conn)
            .await
            .map_err(StoreError::query(OP_DETAIL))?;
            let forks = sqlx::query_scalar(
                "SELECT COUNT(*) FROM receipt_evidence WHERE node_id = $1 AND kind = 'forked_chain'",
            )
            .bind(node_id)
            .fetch_one(&mut *conn)
            .await
            .map_err(StoreError::query(OP_DETAIL))?;
            let last_probe = sqlx::query_as(
                "SELECT finished_at_ms, outcome, message, ttft_ms FROM probes WHERE node_id = $1 \
                 AND finished_at_ms IS NOT NULL AND outcome IS NOT NULL AND ($2 OR org_id = $3) ORDER BY started_at_ms DESC LIMIT 1",
            )
            .bind(node_id)
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_optional(&mut *conn)
            .await
            .map_err(StoreError::query(OP_DETAIL))?;
            Ok(more.map(|more| NodeDetailRow { row, more, history, gaps, forks, last_probe }))
        })
    }
}
