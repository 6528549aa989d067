//! The receipts list, its sums, and one receipt.

use super::parts::{Borders, Parts, Whose, parts};
use super::{PAGE_DEFAULT, PAGE_MAX, QueryError};
use crate::app::App;
use crate::app::views::{
    Page, ReceiptAggregate, ReceiptChainView, ReceiptDetail, ReceiptRow, VerificationView, time,
};
use dgon_control_plane_model::rollup::{DAY_MINUTES, MINUTE_MS, Sums};
use dgon_control_plane_store::pools::InPool;
use dgon_control_plane_store::receipt_queries::{
    ReceiptDetail as StoredDetail, ReceiptFilter, ReceiptFound,
};
use dgon_control_plane_store::rollups_fold::HOUR_MINUTES;
use dgon_control_plane_store::{Ends, Scope};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::{PublicKey, hex};
use dgon_protocol::receipt::{Source, Status, Verdict};

/// What was asked of the receipts list.
#[derive(Debug, Clone, Default)]
pub struct ReceiptQuery {
    /// A request id or its beginning, a node, a model, or the hash of an entry or its beginning.
    pub q: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// The node.
    pub node_id: Option<String>,
    /// The model.
    pub model_id: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Received at or after, unix ms.
    pub from_ms: Option<i64>,
    /// Received before, unix ms.
    pub to_ms: Option<i64>,
    /// Sent to more than one node.
    pub hedged: Option<bool>,
    /// Helped by a cache.
    pub cache_hit: Option<bool>,
    /// How it ended.
    pub status: Option<Status>,
    /// Who asked.
    pub source: Option<Source>,
    /// Rows at most.
    pub limit: Option<i64>,
    /// From the page before.
    pub cursor: Option<String>,
}

/// Who reads one receipt.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Whose receipts are theirs.
    pub scope: Scope,
    /// Whether everybody may read a receipt whose id they know.
    pub is_public: bool,
}

impl ReceiptQuery {
    fn filter(&self) -> ReceiptFilter {
        ReceiptFilter {
            search: self.q.clone(),
            request_id: self.request_id.clone(),
            node_id: self.node_id.clone(),
            model_id: self.model_id.clone(),
            region: self.region.clone(),
            from_ms: self.from_ms,
            to_ms: self.to_ms,
            hedged: self.hedged,
            cache_hit: self.cache_hit,
            status: self.status,
            source: self.source,
        }
    }
}

/// The scope, if it has receipts at all.
fn shown(scope: &Scope) -> Result<&Scope, QueryError> {
    match scope {
        Scope::Stranger => Err(QueryError::NotShown),
        Scope::System(_) | Scope::Organisation(_) | Scope::Person(_) => Ok(scope),
    }
}

/// The receipt that a cursor names: `NODE_ID/REQUEST_ID`, neither of which can have the slash.
fn read_cursor(cursor: &str) -> Option<(NodeId, RequestId)> {
    let (node_id, request_id) = cursor.split_once('/')?;
    Some((
        NodeId::parse(node_id).ok()?,
        RequestId::parse(request_id).ok()?,
    ))
}

/// Whose sums have what a filter asks for; `None` where it asks for what they lack.
fn summed_up(scope: &Scope, filter: &ReceiptFilter) -> Option<Whose> {
    let ReceiptFilter {
        search,
        request_id,
        node_id,
        model_id,
        region: _,
        from_ms: _,
        to_ms: _,
        hedged,
        cache_hit,
        status,
        source,
    } = filter;
    let has_more = [search, request_id, model_id]
        .into_iter()
        .any(Option::is_some)
        || [hedged, cache_hit].into_iter().any(Option::is_some)
        || status.is_some()
        || source.is_some();
    if has_more {
        return None;
    }
    match (node_id, scope) {
        // Other names may be those of other rows.
        (Some(node_id), _) => NodeId::is_valid(node_id).then(|| Whose::Node(node_id.clone())),
        (None, Scope::System(_)) => Some(Whose::Network),
        (None, Scope::Organisation(org_id)) => Some(Whose::Organisation(org_id.clone())),
        (None, Scope::Person(_) | Scope::Stranger) => None,
    }
}

impl App {
    /// A page of receipts, the newest first. Its cursor names its last receipt, so that a page which live receipts were
    /// put on top of has one too.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn receipts_page(
        &self,
        scope: &Scope,
        query: &ReceiptQuery,
    ) -> Result<Page<ReceiptRow>, QueryError> {
        let scope = shown(scope)?;
        let before = match query.cursor.as_deref() {
            None => None,
            Some(cursor) => {
                let (node_id, request_id) = read_cursor(cursor).ok_or(QueryError::Cursor)?;
                let order = self.store.receipt_order(scope, &node_id, &request_id);
                Some(order.await?.ok_or(QueryError::Cursor)?)
            }
        };
        let limit = query.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
        let mut rows = self
            .store
            .receipts_list(scope, &query.filter(), before, limit + 1)
            .await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|row| format!("{}/{}", row.node_id, row.request_id));
        Ok(Page {
            items: rows.into_iter().map(ReceiptRow::of_row).collect(),
            next_cursor,
            total: None,
        })
    }

    /// What the receipts of a filter add up to.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn receipts_aggregate(
        &self,
        scope: &Scope,
        query: &ReceiptQuery,
    ) -> Result<ReceiptAggregate, QueryError> {
        let scope = shown(scope)?;
        let now_ms = self.clock.now_ms();
        let filter = query.filter();
        let summed = match summed_up(scope, &filter) {
            Some(whose) => {
                let range = (filter.from_ms, filter.to_ms);
                let borders = self.borders(now_ms).await?;
                let parts = parts(whose, filter.region.as_ref(), range, borders);
                self.sum_parts(scope, &filter, parts).await?
            }
            None => None,
        };
        let (sums, complete) = match summed {
            Some(summed) => summed,
            None => {
                let most = self.settings.sum_receipts;
                let scan = self
                    .store
                    .receipts_scan(scope, &filter, Ends::OfTime, most)
                    .await?;
                (scan.sums, scan.complete)
            }
        };
        Ok(ReceiptAggregate {
            count: sums.requests,
            tokens_input: sums.tokens_input,
            tokens_output: sums.tokens_output,
            tokens_not_counted: sums.tokens_not_counted,
            cache_hit_share: sums.cache_hit_share(),
            failures: sums.errors,
            p50_ms: sums.ttft.p50(),
            p95_ms: sums.ttft.p95(),
            indexed_to: time(now_ms),
            complete,
        })
    }

    /// Which rows of sums there surely are.
    async fn borders(&self, now_ms: i64) -> Result<Borders, QueryError> {
        let kept_ms = i64::from(self.settings.retention.minutes_days) * DAY_MINUTES * MINUTE_MS;
        Ok(Borders {
            closed: self.closed_minute().await?,
            // An hour more: a border within the hour that is folded next must not depend on when that happens.
            folded_ms: now_ms - kept_ms + HOUR_MINUTES * MINUTE_MS,
        })
    }

    async fn sum_parts(
        &self,
        scope: &Scope,
        filter: &ReceiptFilter,
        parts: Parts,
    ) -> Result<Option<(Sums, bool)>, QueryError> {
        let (mut total, mut complete) = (Sums::default(), true);
        for range in &parts.rows {
            let Some(sums) = self.total(scope, range).await? else {
                return Ok(None);
            };
            total.merge(&sums);
        }
        let kept_ms = i64::from(self.settings.retention.receipts_days) * DAY_MINUTES * MINUTE_MS;
        let receipts_from_ms = self.clock.now_ms() - kept_ms;
        for (from_ms, to_ms) in parts.edges {
            let edge = ReceiptFilter {
                from_ms: Some(from_ms),
                to_ms: Some(to_ms),
                ..filter.clone()
            };
            let most = self.settings.edge_receipts;
            let scan = self
                .store
                .receipts_scan(scope, &edge, Ends::OfEach, most)
                .await?;
            total.merge(&scan.sums);
            // Where the receipts are gone the edge cannot be counted.
            complete &= scan.complete && from_ms >= receipts_from_ms;
        }
        Ok(Some((total, complete)))
    }

    async fn stored_receipt(
        &self,
        reader: &Reader,
        request_id: &str,
        node_id: Option<&str>,
    ) -> Result<Option<StoredDetail>, QueryError> {
        let found = match reader.is_public {
            true => {
                self.store
                    .receipt_public(&reader.scope, request_id, node_id)
                    .await?
            }
            false => {
                self.store
                    .receipt_get(shown(&reader.scope)?, request_id, node_id)
                    .await?
            }
        };
        match found {
            ReceiptFound::Nothing if reader.is_public => {
                let what = InPool::Receipt(request_id, node_id);
                match self.store.pool_restricts(&reader.scope, what).await? {
                    true => Err(QueryError::Restricted),
                    false => Ok(None),
                }
            }
            ReceiptFound::Nothing => Ok(None),
            ReceiptFound::One(one) => Ok(Some(*one)),
            ReceiptFound::Several(nodes) => Err(QueryError::SeveralNodes(nodes)),
        }
    }

    /// One receipt with what is needed to verify it; `None` when there is none or it is another org's.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn receipt_detail(
        &self,
        reader: &Reader,
        request_id: &str,
        node_id: Option<&str>,
    ) -> Result<Option<ReceiptDetail>, QueryError> {
        let stored = self.stored_receipt(reader, request_id, node_id).await?;
        Ok(stored.map(|stored| {
            let verdict = match stored.verified {
                true => Verdict::Valid,
                false => Verdict::InvalidSignature,
            };
            let key = <[u8; 32]>::try_from(stored.public_key.as_slice()).ok();
            ReceiptDetail {
                // Entry bytes are JSON, so they are UTF-8.
                raw: String::from_utf8_lossy(&stored.entry).into_owned(),
                entry_sha256: hex(&stored.entry_hash),
                public_key: key
                    .map(|bytes| PublicKey::from_bytes(bytes).to_string())
                    .unwrap_or_default(),
                key_id: stored.key_id,
                key_valid_from: time(stored.key_valid_from_ms),
                verification: VerificationView {
                    verdict: verdict.as_str().to_owned(),
                    verified_at: time(stored.row.received_at_ms),
                },
                chain: ReceiptChainView {
                    seq: stored.row.seq,
                    prev_request_id: stored.prev_request_id,
                    next_request_id: stored.next_request_id,
                },
                receipt: ReceiptRow::of_row(stored.row),
            }
        }))
    }

    /// The entry bytes of a receipt, exactly.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn receipt_raw(
        &self,
        reader: &Reader,
        request_id: &str,
        node_id: Option<&str>,
    ) -> Result<Option<Vec<u8>>, QueryError> {
        let stored = self.stored_receipt(reader, request_id, node_id).await?;
        Ok(stored.map(|stored| stored.entry))
    }
}
