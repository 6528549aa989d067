//! Sums over a filter that no row of sums has: of the newest receipts, one by one.

use crate::receipt_list::Newest;
use crate::receipt_queries::ReceiptFilter;
use crate::receipt_search::beyond_matches;
use crate::scope::Scope;
use crate::{Dialect, Store, StoreError, on_page};
use dgon_control_plane_model::rollup::{Ending, ReceiptFacts, Sums};
use dgon_protocol::receipt::{Status, TokensSource};

const OP_SCAN: &str = "receipt.scan";

/// Sums over a filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptScan {
    /// What they add up to.
    pub sums: Sums,
    /// False when the filter matches more than the scan may read: then these are the newest.
    pub complete: bool,
}

#[derive(sqlx::FromRow)]
pub(crate) struct ScanRow {
    cache_hit: Option<bool>,
    status: Option<String>,
    tokens_input: i64,
    tokens_output: i64,
    tokens_source: Option<String>,
    ttft_ms: Option<i64>,
    latency_ms: Option<i64>,
}

/// The id of a receipt and a [`ScanRow`] as SQLite makes it; yes and no are numbers there.
type JsonRow = (
    i64,
    Option<i64>,
    Option<String>,
    i64,
    i64,
    Option<String>,
    Option<i64>,
    Option<i64>,
);

impl ScanRow {
    fn of_json(row: JsonRow) -> Self {
        let (_, cache_hit, status, tokens_input, tokens_output, tokens_source, ttft_ms, latency_ms) =
            row;
        Self {
            cache_hit: cache_hit.map(|hit| hit != 0),
            status,
            tokens_input,
            tokens_output,
            tokens_source,
            ttft_ms,
            latency_ms,
        }
    }

    pub(crate) fn facts(&self) -> ReceiptFacts {
        ReceiptFacts {
            node_id: String::new(),
            org_id: None,
            region: String::new(),
            received_at_ms: 0,
            ending: Ending::of(self.status.as_deref().and_then(Status::of_name)),
            cache_hit: self.cache_hit,
            tokens_input: self.tokens_input,
            tokens_output: self.tokens_output,
            lacks_a_count: self
                .tokens_source
                .as_deref()
                .map(TokensSource::of_name)
                .is_some_and(|source| source.lacks_a_count(self.tokens_input)),
            ttft_ms: self.ttft_ms,
            latency_ms: self.latency_ms,
        }
    }
}

impl Store {
    /// Adds up the newest `limit` receipts of a filter that are in scope, one by one.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn receipts_scan(
        &self,
        scope: &Scope,
        filter: &ReceiptFilter,
        limit: usize,
    ) -> Result<ReceiptScan, StoreError> {
        let mut scan = ReceiptScan {
            sums: Sums::default(),
            complete: true,
        };
        let Some(lying) = self.receipts_lie(scope, filter).await? else {
            return Ok(scan);
        };
        let newest = Newest {
            dialect: self.dialect(),
            scope,
            filter,
            meanings: &lying.meanings,
            bounds: lying.bounds,
            before: i64::MAX,
            limit: i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
        };
        let rows = self.scan_rows(&newest).await?;
        scan.complete = rows.len() <= limit && !self.search_is_cut(scope, filter).await?;
        for row in rows.iter().take(limit) {
            scan.sums.count(&row.facts());
        }
        Ok(scan)
    }

    /// What sums are made of, the newest first.
    async fn scan_rows(&self, newest: &Newest<'_>) -> Result<Vec<ScanRow>, StoreError> {
        if self.dialect() == Dialect::Postgres {
            let statement = newest.scan();
            return on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_SCAN));
        }
        let statement = newest.scan_in_one();
        let json: String =
            on_page!(self, conn => statement.build().build_query_scalar().fetch_one(conn).await)
                .map_err(StoreError::query(OP_SCAN))?;
        let mut rows: Vec<JsonRow> =
            serde_json::from_str(&json).map_err(|_| StoreError::Corrupt {
                op: OP_SCAN,
                what: "receipt",
            })?;
        // In which order an array is made SQLite does not promise.
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.0));
        Ok(rows.into_iter().map(ScanRow::of_json).collect())
    }

    /// Whether more ids begin as a search says than it leads to.
    async fn search_is_cut(
        &self,
        scope: &Scope,
        filter: &ReceiptFilter,
    ) -> Result<bool, StoreError> {
        let Some(statement) = filter
            .search
            .as_deref()
            .and_then(|text| beyond_matches(scope, text, filter.has_more_than_search()))
        else {
            return Ok(false);
        };
        let beyond: Option<i64> =
            on_page!(self, conn => statement.build().build_query_scalar().fetch_optional(conn).await)
                .map_err(StoreError::query(OP_SCAN))?;
        Ok(beyond.is_some())
    }
}
