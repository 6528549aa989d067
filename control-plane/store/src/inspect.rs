//! What tests ask and do behind the program's back. Nothing of the product calls it.

use crate::audit::{self, AuditFilter, AuditRow};
use crate::db::{Backend, POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS};
use crate::node_queries::{self, NodeFilter, NodePage};
use crate::nodes::LifecycleEventRow;
use crate::pools::{self, PoolFilter};
use crate::probes::ProbeRow;
use crate::receipt_bounds::Ends;
use crate::receipt_list::{self, Newest};
use crate::receipt_queries::ReceiptFilter;
use crate::receipt_search::Meaning;
use crate::retention::{Keep, Rule};
use crate::rollups_closed::Closing;
use crate::rollups_range::{RollupRange, WrittenSums};
use crate::{Dialect, Scope, Store, StoreError, System, in_tx, on_read, on_write, rollups};
use dgon_control_plane_model::rollup::{
    Batch, NETWORK_MINUTES, ReceiptFacts, minute_of, sum_up, sum_up_closed,
};
use dgon_protocol::id::{NodeId, RequestId};

/// See [`Store::inspect`].
#[derive(Debug, Clone, Copy)]
pub struct Inspect<'a>(&'a Store);

impl Store {
    /// For tests: looks at what is stored, and does to the database what no part of the program does.
    pub fn inspect(&self) -> Inspect<'_> {
        Inspect(self)
    }
}

impl Inspect<'_> {
    /// Runs statements as they are, such as one that drops an index or makes a rule that refuses a row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        on_write!(self.0, conn => sqlx::raw_sql(sql).execute(conn).await
            .map(drop)
            .map_err(StoreError::query("inspect.execute")))
    }

    /// The texts that a statement finds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn texts(&self, sql: &'static str) -> Result<Vec<Option<String>>, StoreError> {
        on_read!(self.0, conn => sqlx::query_scalar(sql).fetch_all(conn).await)
            .map_err(StoreError::query("inspect.texts"))
    }

    /// Brings an empty database to what an earlier version left: the schema after its migration of this number.
    ///
    /// # Errors
    /// [`StoreError::Migrate`].
    pub async fn migrate_to(&self, number: i64) -> Result<(), StoreError> {
        match &self.0.backend {
            Backend::Sqlite { writer, .. } => SQLITE_MIGRATIONS.run_to(number, writer).await,
            Backend::Postgres { writer, .. } => POSTGRES_MIGRATIONS.run_to(number, writer).await,
        }
        .map_err(StoreError::Migrate)
    }

    /// States of the orders of a node, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_states(&self, node_id: &NodeId) -> Result<Vec<String>, StoreError> {
        on_read!(self.0, conn => sqlx::query_scalar(
                "SELECT state FROM node_orders WHERE node_id = $1 ORDER BY id DESC")
            .bind(node_id.as_str())
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("inspect.order_states")))
    }

    /// What the log needs of the receipts of a node's chains, in the order of key and `seq`: row of the key, `seq`, hash
    /// and the bytes that it is of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leaves(
        &self,
        node_id: &NodeId,
    ) -> Result<Vec<(i64, i64, Vec<u8>, Vec<u8>)>, StoreError> {
        on_read!(self.0, conn => sqlx::query_as(
                "SELECT k.id, r.seq, r.entry_hash, r.entry FROM receipts r JOIN node_keys k ON k.id = r.node_key_id \
                 WHERE k.node_id = $1 AND r.seq IS NOT NULL ORDER BY k.id, r.seq")
            .bind(node_id.as_str())
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("inspect.leaves")))
    }

    /// Which database answers.
    pub fn dialect(&self) -> Dialect {
        match self.0.backend {
            Backend::Sqlite { .. } => Dialect::Sqlite,
            Backend::Postgres { .. } => Dialect::Postgres,
        }
    }

    /// The newest entries, newest first, of one object or of all.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_latest(
        &self,
        object: Option<&str>,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let filter = AuditFilter {
            object: object.map(str::to_owned),
            ..AuditFilter::default()
        };
        self.0
            .audit_list(&System::of_the_server().into(), &filter, None, limit)
            .await
    }

    /// How the database looks for rows of the audit log.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_plan(&self, filter: &AuditFilter) -> Result<Vec<String>, StoreError> {
        audit::list(filter, Some((2, 2)), 1).plan(self.0).await
    }

    /// How many refused bytes are kept of a node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn evidence_count(&self, node_id: &NodeId) -> Result<i64, StoreError> {
        let (count,): (i64,) = on_read!(self.0, conn => sqlx::query_as(
                "SELECT COUNT(*) FROM receipt_evidence WHERE node_id = $1")
            .bind(node_id.as_str())
            .fetch_one(conn)
            .await
            .map_err(StoreError::query("evidence.count")))?;
        Ok(count)
    }

    /// How a node came to be what it is, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lifecycle_events(
        &self,
        node_id: &NodeId,
        limit: u32,
    ) -> Result<Vec<LifecycleEventRow>, StoreError> {
        on_read!(self.0, conn => sqlx::query_as(
                "SELECT at_ms, from_state, to_state, reason, actor, detail, org_id FROM lifecycle_events \
                 WHERE node_id = $1 ORDER BY id DESC LIMIT $2")
            .bind(node_id.as_str())
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await
            .map_err(StoreError::query("lifecycle_event.list")))
    }

    /// The last probe of a node that ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn probe_last(&self, node_id: &NodeId) -> Result<Option<ProbeRow>, StoreError> {
        on_read!(self.0, conn => sqlx::query_as(
                "SELECT finished_at_ms, outcome, message, ttft_ms FROM probes \
                 WHERE node_id = $1 AND finished_at_ms IS NOT NULL ORDER BY started_at_ms DESC LIMIT 1")
            .bind(node_id.as_str())
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("probe.last")))
    }

    /// How the database would run [`Store::nodes_list`].
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_list_plan(
        &self,
        scope: &Scope,
        filter: &NodeFilter,
        page: &NodePage,
    ) -> Result<Vec<String>, StoreError> {
        node_queries::list_statement(scope, filter, page)
            .plan(self.0)
            .await
    }

    /// How the database would count all nodes that somebody finds.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn nodes_count_plan(&self, scope: &Scope) -> Result<Vec<String>, StoreError> {
        node_queries::count_statement(scope, &NodeFilter::default())
            .plan(self.0)
            .await
    }

    /// How the database would run [`Store::pool_list`].
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn pool_list_plan(&self, scope: &Scope) -> Result<Vec<String>, StoreError> {
        pools::list_statement(scope, &PoolFilter::default(), Some((1, "p")), 10)
            .plan(self.0)
            .await
    }

    /// How the database would run [`Store::receipts_list`].
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn receipts_list_plan(
        &self,
        scope: &Scope,
        filter: &ReceiptFilter,
    ) -> Result<Vec<String>, StoreError> {
        let lying = self.0.receipts_lie(scope, filter, Ends::OfTime).await?;
        let meanings = filter.search.as_deref().map_or_else(Vec::new, Meaning::all);
        let newest = Newest {
            dialect: self.0.dialect(),
            scope,
            filter,
            meanings: &meanings,
            bounds: lying.map(|lying| lying.bounds).unwrap_or_default(),
            before: i64::MAX,
            limit: 50,
        };
        newest.list().plan(self.0).await
    }

    /// The rows of a range, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub async fn rollups_range(
        &self,
        scope: &Scope,
        range: &RollupRange,
    ) -> Result<WrittenSums, StoreError> {
        self.0.rollups_range(scope, range).await
    }

    /// How the database would find where a range of time begins and ends.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn receipt_bounds_plan(&self) -> Result<Vec<String>, StoreError> {
        let mut plan = receipt_list::first_from(1).plan(self.0).await?;
        plan.extend(receipt_list::last_before(2).plan(self.0).await?);
        Ok(plan)
    }

    /// Adds receipts to the sums in a transaction of its own.
    ///
    /// # Errors
    /// [`StoreError`] of a statement, or of a row that cannot be read.
    pub async fn rollups_add(&self, receipts: &[ReceiptFacts]) -> Result<(), StoreError> {
        in_tx!(self.0, "rollups.add", tx => rollups::apply_on_conn(&mut *tx, receipts).await?);
        Ok(())
    }

    /// Closes the next quarter of an hour, so many rows in a transaction; all receipts are there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rollups_close_next(
        &self,
        before: i64,
        rows: usize,
    ) -> Result<Closing, StoreError> {
        self.0
            .close_next(System::of_the_server(), before, 0, rows)
            .await
    }

    /// The sums that are whole, as they are stored and as they are when the receipts are counted from scratch. Hours that
    /// were folded are not among the latter.
    ///
    /// # Errors
    /// [`StoreError`] of a statement, or of a row that cannot be read.
    pub async fn rollups_whole(&self) -> Result<(Batch, Batch), StoreError> {
        let by = System::of_the_server();
        // First: what is closed in between is not looked at.
        let closed = self.0.rollups_closed(by).await?;
        let mut tx = self.0.ingest_begin(by).await?;
        let sealed = tx.rollups_sealed().await?;
        let stored = rollups::all(&mut tx).await?;
        drop(tx);
        let counted = self.0.rollups_receipts_after(by, (i64::MIN, 0), i64::MAX);
        let mut counted = counted.await?;
        counted.retain(|((at_ms, _), _)| minute_of(*at_ms) <= sealed);
        let counted: Vec<ReceiptFacts> = counted.into_iter().map(|(_, facts)| facts).collect();
        // What is being closed counts for nothing yet.
        let stored = stored.into_iter().filter(|(key, _)| {
            key.minute <= sealed
                && (!key.node_id.starts_with(NETWORK_MINUTES) || key.minute < closed)
        });
        let mut whole = sum_up(&counted);
        whole.append(&mut sum_up_closed(&counted, closed));
        Ok((stored.collect(), whole))
    }

    /// Whether a receipt is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn receipt_exists(&self, request_id: &RequestId) -> Result<bool, StoreError> {
        let row: Option<(i64,)> = on_read!(self.0, conn => sqlx::query_as(
                "SELECT id FROM receipts WHERE request_id = $1")
            .bind(request_id.as_str())
            .fetch_optional(conn)
            .await
            .map_err(StoreError::query("receipt.exists")))?;
        Ok(row.is_some())
    }

    /// How the database would look for the old rows of a table; `None` where none go.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn retention_plan(&self, rule: &Rule) -> Result<Option<Vec<String>>, StoreError> {
        match &rule.keep {
            Keep::ForEver(_) => Ok(None),
            Keep::Until(expiry) => expiry.find("1", 1, 1).plan(self.0).await.map(Some),
        }
    }

    /// The tables of the schema.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn schema_tables(&self) -> Result<Vec<String>, StoreError> {
        let text = match self.dialect() {
            Dialect::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            }
            Dialect::Postgres => {
                "SELECT table_name::text FROM information_schema.tables \
                 WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
            }
        };
        on_read!(self.0, conn => sqlx::query_scalar(text).fetch_all(conn).await)
            .map_err(StoreError::query("schema.tables"))
    }
}
