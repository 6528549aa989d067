//! How long the rows of every table stay, and how old ones go.
//!
//! [`RULES`] names every table of the schema; a test reads the schema and fails for one that is not named. Old rows go
//! a few at a time by an index on their time. On SQLite they are looked for by a reader, so that the write lock, which
//! receipts wait for, is held only while known rows are deleted; on PostgreSQL a statement holds nothing that an
//! insert needs.

use crate::audit::{AuditEntry, EXPIRED, audit_on};
use crate::db::Backend;
use crate::statement::Statement;
use crate::{Store, StoreError, System, on_read};
use std::time::{Duration, Instant};

const OP: &str = "retention.expire";
const DAY_MS: i64 = 86_400_000;
/// How long it can be asked who did what, and why a node was in which state: a year, and a month to look back on it.
const WHO_DID_WHAT_DAYS: u32 = 400;

/// How long what was measured and received is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Receipts, and the gaps of their chains, days.
    pub receipts_days: u32,
    /// Heartbeats and probes, days.
    pub raw_days: u32,
    /// Sums per minute, days; then they are sums per hour.
    pub minutes_days: u32,
    /// Sums, days.
    pub sums_days: u32,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            receipts_days: 180,
            raw_days: 30,
            minutes_days: 30,
            sums_days: 365,
        }
    }
}

/// How long the rows of a table stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// For ever, for this reason.
    ForEver(&'static str),
    /// Until a time of theirs is this long ago.
    Until(Expiry),
}

/// Which rows of a table are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Where they are found: the table as `t`, and what their time is looked up in.
    from: &'static str,
    /// Their time, unix ms or, in sums, unix minutes; an index is in this order.
    time: &'static str,
    /// What else must hold.
    and: &'static str,
    /// A time of the row itself, tested once more when it is deleted.
    own_time: &'static str,
    /// How long.
    after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Receipts,
    Raw,
    Sums,
    Days(u32),
}

/// The rule of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Which table.
    pub table: &'static str,
    /// How long.
    pub keep: Keep,
}

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// Rows that went.
    pub rows: u64,
    /// How long other writers could not write, or, on PostgreSQL, how long the transaction took.
    pub held: Duration,
    /// The part of it that grows with the rows: without the commit, which takes as long as the disk takes.
    pub worked: Duration,
}

const fn for_ever(table: &'static str, why: &'static str) -> Rule {
    Rule {
        table,
        keep: Keep::ForEver(why),
    }
}

const fn until(
    table: &'static str,
    from: &'static str,
    own_time: &'static str,
    after: After,
) -> Rule {
    Rule {
        table,
        keep: Keep::Until(Expiry {
            from,
            time: own_time,
            and: "",
            own_time,
            after,
        }),
    }
}

/// Every table, in the order in which old rows go: those that refer to others first.
pub const RULES: [Rule; 37] = [
    until("heartbeats", "heartbeats t", "at_ms", After::Raw),
    Rule {
        table: "probes",
        keep: Keep::Until(Expiry {
            from: "probes t",
            time: "started_at_ms",
            // The last one of a node stays: its page tells when the node was last probed.
            and: " AND EXISTS (SELECT 1 FROM probes n WHERE n.node_id = t.node_id AND n.started_at_ms > t.started_at_ms)",
            own_time: "started_at_ms",
            after: After::Raw,
        }),
    },
    until(
        "node_orders",
        "node_orders t",
        "created_at_ms",
        After::Days(30),
    ),
    until("receipts", "receipts t", "received_at_ms", After::Receipts),
    // Not before the receipts: a place that is in neither is taken for one whose receipt is gone.
    until(
        "chain_gaps",
        "chain_gaps t",
        "detected_at_ms",
        After::Receipts,
    ),
    until("rollups", "rollups t", "minute", After::Sums),
    Rule {
        table: "session_tokens",
        keep: Keep::Until(Expiry {
            from: "session_families f JOIN session_tokens t ON t.family_id = f.family_id",
            time: "expires_at_ms",
            and: "",
            own_time: "issued_at_ms",
            after: After::Days(1),
        }),
    },
    Rule {
        table: "session_families",
        keep: Keep::Until(Expiry {
            from: "session_families t",
            time: "expires_at_ms",
            and: " AND NOT EXISTS (SELECT 1 FROM session_tokens s WHERE s.family_id = t.family_id)",
            own_time: "expires_at_ms",
            after: After::Days(1),
        }),
    },
    until(
        "one_time_links",
        "one_time_links t",
        "expires_at_ms",
        After::Days(1),
    ),
    until(
        "spent_nonces",
        "spent_nonces t",
        "expires_at_ms",
        After::Days(1),
    ),
    until("api_keys", "api_keys t", "expires_at_ms", After::Days(90)),
    until(
        "enrolment_tokens",
        "enrolment_tokens t",
        "expires_at_ms",
        After::Days(90),
    ),
    until(
        "task_leases",
        "task_leases t",
        "expires_at_ms",
        After::Days(1),
    ),
    for_ever(
        "nodes",
        "a receipt names its node, and a retired node keeps its history",
    ),
    for_ever(
        "node_keys",
        "an old receipt is verified with the key of its time, and the head of its chain is here",
    ),
    for_ever(
        "order_keys",
        "an order and a countersignature are verified with the key of their time; one row a day and a start",
    ),
    for_ever("node_secrets", "one row per node, replaced in place"),
    for_ever("node_models", "what nodes offer now, replaced in place"),
    Rule {
        table: "lifecycle_events",
        keep: Keep::Until(Expiry {
            from: "lifecycle_events t",
            time: "at_ms",
            // The last one of a node stays: it says why the node is in its state.
            and: " AND EXISTS (SELECT 1 FROM lifecycle_events n WHERE n.node_id = t.node_id AND n.id > t.id)",
            own_time: "at_ms",
            after: After::Days(WHO_DID_WHAT_DAYS),
        }),
    },
    for_ever(
        "receipt_evidence",
        "it proves a violation; at most 200 rows per node",
    ),
    for_ever(
        "memberships",
        "they go when a person is taken out of the organisation",
    ),
    for_ever(
        "node_assignments",
        "they go when somebody ends them, and with their person and node",
    ),
    for_ever("pools", "nodes refer to it, retired ones for ever"),
    for_ever(
        "pool_members",
        "they go when an admin ends them, and with their pool and organisation",
    ),
    for_ever("orgs", "others refer to it"),
    for_ever("users", "others refer to it; accounts are shut by a person"),
    for_ever("wallets", "they go when their person takes them away"),
    for_ever(
        "second_factors",
        "they go when their person takes them away",
    ),
    for_ever("recovery_codes", "ten of an account, replaced together"),
    for_ever(
        "oidc_identities",
        "they go when their person takes them away",
    ),
    for_ever("flags", "one row per flag, replaced in place"),
    until("audit", "audit t", "at_ms", After::Days(WHO_DID_WHAT_DAYS)),
    for_ever("erasures", "they go when they are done"),
    for_ever("audit_chain", "one row, replaced in place"),
    for_ever("installation", "one row per name, replaced in place"),
    for_ever("rollups_sealed", "one row, replaced in place"),
    for_ever("rollups_closed", "one row, replaced in place"),
];

/// Runs a statement in a transaction that has begun, after another where there is one; how long it took, the wait for the begin not counted.
macro_rules! delete_held {
    ($tx:ident, $delete:ident $(, after $before:ident)?) => {{
        let (mut tx, start) = ($tx, Instant::now());
        $(if let Some(first) = $before {
            let done = first.build().build().execute(&mut *tx).await;
            done.map_err(StoreError::query(OP))?;
        })?
        let done = $delete
            .build()
            .build()
            .execute(&mut *tx)
            .await
            .map_err(StoreError::query(OP))?;
        let worked = start.elapsed();
        tx.commit().await.map_err(StoreError::query(OP))?;
        Ok(Step {
            rows: done.rows_affected(),
            held: start.elapsed(),
            worked,
        })
    }};
}

impl Expiry {
    /// Rows whose time lies before this are too old.
    fn before(&self, periods: &Periods, now_ms: i64) -> i64 {
        let days = match self.after {
            After::Receipts => periods.receipts_days,
            After::Raw => periods.raw_days,
            After::Sums => periods.sums_days,
            After::Days(days) => days,
        };
        let before_ms = now_ms.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
        match self.after {
            After::Sums => before_ms.div_euclid(60_000),
            After::Receipts | After::Raw | After::Days(_) => before_ms,
        }
    }

    /// Looks for the oldest rows that are too old.
    pub(crate) fn find(&self, id: &'static str, before: i64, rows: i64) -> Statement {
        let mut find = Statement::new("SELECT ");
        find.sql(id)
            .sql(" FROM ")
            .sql(self.from)
            .sql(" WHERE ")
            .sql(self.time)
            .sql(" < ")
            .int(before)
            .sql(self.and)
            .sql(" ORDER BY ")
            .sql(self.time)
            .sql(" LIMIT ")
            .int(rows);
        find
    }
}

/// Before the last receipt of a chain goes on SQLite, the row of its key says where the chain ended.
fn keep_heads(rowids: &str, before: i64) -> Statement {
    let mut keep = Statement::new(
        "UPDATE node_keys SET head_seq = l.seq, head_hash = l.entry_hash \
         FROM (SELECT node_key_id, MAX(seq) AS seq, entry_hash FROM receipts \
         WHERE rowid IN (SELECT value FROM json_each(",
    );
    keep.text(rowids)
        .sql(")) AND received_at_ms < ")
        .int(before)
        .sql(
            " AND seq IS NOT NULL GROUP BY node_key_id) l \
             WHERE node_keys.id = l.node_key_id AND node_keys.head_seq < l.seq \
             AND NOT EXISTS (SELECT 1 FROM receipts n WHERE n.node_key_id = l.node_key_id AND n.seq > l.seq)",
        );
    keep
}

impl Store {
    /// Deletes at most `rows` of the rows of a table that are too old.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn retention_expire(
        &self,
        _by: System,
        rule: &Rule,
        periods: &Periods,
        now_ms: i64,
        rows: i64,
    ) -> Result<Step, StoreError> {
        let Keep::Until(expiry) = &rule.keep else {
            return Ok(Step::default());
        };
        let before = expiry.before(periods, now_ms);
        match &self.backend {
            _ if rule.table == "audit" => self.expire_audit(before, now_ms, rows).await,
            Backend::Sqlite { .. } if rule.table == "rollups" => {
                self.expire_sums_on_sqlite(expiry, before, rows).await
            }
            Backend::Sqlite { writer, short, .. } => {
                let mut reading = short.begin().await?;
                let found: Vec<i64> = expiry
                    .find("t.rowid", before, rows)
                    .build()
                    .build_query_scalar()
                    .fetch_all(&mut *reading)
                    .await
                    .map_err(StoreError::query(OP))?;
                reading.over();
                drop(reading);
                if found.is_empty() {
                    return Ok(Step::default());
                }
                let found = serde_json::to_string(&found).unwrap_or_default();
                let first = (rule.table == "receipts").then(|| keep_heads(&found, before));
                let mut delete = Statement::new("DELETE FROM ");
                // A row that came in the meantime may have the number of one that went: its time tells.
                delete
                    .sql(rule.table)
                    .sql(" WHERE rowid IN (SELECT value FROM json_each(")
                    .text(found)
                    .sql(")) AND ")
                    .sql(expiry.own_time)
                    .sql(" < ")
                    .int(before);
                let tx = writer.begin_with("BEGIN IMMEDIATE").await;
                let tx = tx.map_err(StoreError::query(OP))?;
                delete_held!(tx, delete, after first)
            }
            Backend::Postgres { writer: pool, .. } => {
                let mut delete = Statement::new("DELETE FROM ");
                delete.sql(rule.table).sql(" WHERE ctid = ANY (ARRAY(");
                delete.append(expiry.find("t.ctid", before, rows));
                delete.sql("))");
                let tx = pool.begin().await.map_err(StoreError::query(OP))?;
                delete_held!(tx, delete)
            }
        }
    }

    /// The table of sums has no row numbers on SQLite: its key is looked for in the same statement.
    async fn expire_sums_on_sqlite(
        &self,
        expiry: &Expiry,
        before: i64,
        rows: i64,
    ) -> Result<Step, StoreError> {
        let Backend::Sqlite { writer, .. } = &self.backend else {
            return Ok(Step::default());
        };
        let mut delete =
            Statement::new("DELETE FROM rollups WHERE (node_id, minute, region, org_id) IN (");
        delete.append(expiry.find("t.node_id, t.minute, t.region, t.org_id", before, rows));
        delete.sql(")");
        let tx = writer.begin_with("BEGIN IMMEDIATE").await;
        let tx = tx.map_err(StoreError::query(OP))?;
        delete_held!(tx, delete)
    }

    /// The oldest rows of the audit log go in the order of its chain, which says where it begins from then on. A row says that they
    /// did: without it, a log that begins later has lost its beginning to somebody.
    async fn expire_audit(&self, before: i64, now_ms: i64, rows: i64) -> Result<Step, StoreError> {
        let oldest: Vec<(i64, i64, Vec<u8>)> = on_read!(self, conn => sqlx::query_as(
                "SELECT seq, at_ms, hash FROM audit WHERE seq > (SELECT c.removed_seq FROM audit_chain c) \
                 ORDER BY seq LIMIT $1")
            .bind(rows)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP))?;
        // A clock that was wrong for a moment must not keep all that follows: such a row goes with the one after it.
        let mut old = oldest
            .into_iter()
            .take_while(|(_, at_ms, _)| *at_ms < before || *at_ms > now_ms)
            .filter(|(_, at_ms, _)| *at_ms < before);
        let Some(oldest) = old.next() else {
            return Ok(Step::default());
        };
        let (seq, _, hash) = old.last().unwrap_or(oldest);
        let mut delete = Statement::new("DELETE FROM audit WHERE seq <= ");
        delete.int(seq);
        let mut first = Statement::new("UPDATE audit_chain SET removed_seq = ");
        first.int(seq).sql(", removed_hash = ").bytes(hash);
        let first = Some(first);
        let entry = AuditEntry {
            at_ms: now_ms,
            actor: "system".to_owned(),
            action: EXPIRED.to_owned(),
            object: format!("audit:{seq}"),
            ..AuditEntry::default()
        };
        match &self.backend {
            Backend::Sqlite { writer, .. } => {
                let tx = writer.begin_with("BEGIN IMMEDIATE").await;
                let mut tx = tx.map_err(StoreError::query(OP))?;
                audit_on!(&mut *tx, &entry, "retention.expire");
                delete_held!(tx, delete, after first)
            }
            Backend::Postgres { writer, .. } => {
                let mut tx = writer.begin().await.map_err(StoreError::query(OP))?;
                audit_on!(&mut *tx, &entry, "retention.expire");
                delete_held!(tx, delete, after first)
            }
        }
    }
}
