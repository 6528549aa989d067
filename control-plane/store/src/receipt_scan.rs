//! Sums over a filter that no row of sums has: of the newest receipts, one by one.

use crate::receipt_bounds::Ends;
use crate::receipt_list::Newest;
use crate::receipt_queries::ReceiptFilter;
use crate::receipt_search::beyond_matches;
use crate::scope::Scope;
use crate::{Dialect, Store, StoreError, on_page};
use dgon_control_plane_model::rollup::{Ending, ReceiptFacts, Sums};
use dgon_protocol::receipt::{Status, TokensSource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::cmp::Reverse;

const OP_SCAN: &str = "receipt.scan";

/// Sums over a filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptScan {
    /// What they add up to.
    pub sums: Sums,
    /// False when the filter matches more than the scan may read: then these are the newest.
    pub complete: bool,
}

/// What sums are made of, of one receipt.
#[derive(sqlx::FromRow, Deserialize)]
pub(crate) struct ScanRow {
    #[serde(deserialize_with = "sqlites_bool")]
    cache_hit: Option<bool>,
    status: Option<String>,
    tokens_input: i64,
    tokens_output: i64,
    tokens_source: Option<String>,
    ttft_ms: Option<i64>,
    latency_ms: Option<i64>,
}

/// Makes a JSON array of a [`ScanRow`] on SQLite. Rows go as one JSON text from its thread: each for itself takes three
/// times as long on its way as it takes to be found.
macro_rules! scan_json {
    () => {
        "json_array(cache_hit, status, tokens_input, tokens_output, tokens_source, ttft_ms, latency_ms)"
    };
}
pub(crate) use scan_json;

/// Yes and no are numbers on SQLite.
fn sqlites_bool<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    let number = Option::<i64>::deserialize(value)?;
    Ok(number.map(|number| number != 0))
}

/// Reads rows that went as one JSON text.
///
/// # Errors
/// [`StoreError::Corrupt`] where they are others.
pub(crate) fn rows_of_json<T: DeserializeOwned>(
    op: &'static str,
    json: &str,
) -> Result<Vec<T>, StoreError> {
    serde_json::from_str(json).map_err(|_| StoreError::Corrupt {
        op,
        what: "receipt",
    })
}

impl ScanRow {
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
        ends: Ends,
        limit: usize,
    ) -> Result<ReceiptScan, StoreError> {
        let mut scan = ReceiptScan {
            sums: Sums::default(),
            complete: true,
        };
        let Some(lying) = self.receipts_lie(scope, filter, ends).await? else {
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
        let mut rows: Vec<(i64, ScanRow)> = rows_of_json(OP_SCAN, &json)?;
        // In which order an array is made SQLite does not promise.
        rows.sort_unstable_by_key(|(id, _)| Reverse(*id));
        Ok(rows.into_iter().map(|(_, row)| row).collect())
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
