//! Reading receipts: the list and one receipt.
//!
//! The list runs from the newest to the oldest by received order (`id`), so a page is stable while receipts
//! arrive. A range of time is about when the control plane received a receipt.

use crate::receipt_bounds::Ends;
use crate::receipt_list::{COLUMNS, IdBounds, Newest, push_filter};
use crate::scope::Scope;
use crate::statement::Statement;
use crate::{Store, StoreError, System, on_page, on_read};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Source, Status};

const OP_LIST: &str = "receipt.list";
const OP_GET: &str = "receipt.get";
const OP_ORDER: &str = "receipt.order";

/// Nodes that are named where an id was used by several.
pub const NODES_NAMED: i64 = 100;

/// Which receipts.
#[derive(Debug, Clone, Default)]
pub struct ReceiptFilter {
    /// A request id or how it begins, a node, a model, or the hash of an entry or how it begins.
    pub search: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// The node.
    pub node_id: Option<String>,
    /// The model.
    pub model_id: Option<String>,
    /// The region in the receipt.
    pub region: Option<String>,
    /// Received at or after this, unix ms.
    pub from_ms: Option<i64>,
    /// Received before this, unix ms.
    pub to_ms: Option<i64>,
    /// Sent to more than one node.
    pub hedged: Option<bool>,
    /// Helped by a cache.
    pub cache_hit: Option<bool>,
    /// How the request ended.
    pub status: Option<Status>,
    /// Who asked for the work.
    pub source: Option<Source>,
}

impl ReceiptFilter {
    /// Whether it asks for more than what it searches.
    pub(crate) fn has_more_than_search(&self) -> bool {
        let Self {
            search: _,
            request_id,
            node_id,
            model_id,
            region,
            from_ms,
            to_ms,
            hedged,
            cache_hit,
            status,
            source,
        } = self;
        let texts = [request_id, node_id, model_id, region];
        texts.into_iter().any(Option::is_some)
            || [from_ms, to_ms].into_iter().any(Option::is_some)
            || [hedged, cache_hit].into_iter().any(Option::is_some)
            || status.is_some()
            || source.is_some()
    }
}

/// A receipt in a list.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ReceiptListRow {
    /// Received order; the cursor.
    pub id: i64,
    /// Unique on its node.
    pub request_id: String,
    /// Who served it.
    pub node_id: String,
    /// As in the receipt.
    pub region: Option<String>,
    /// As in the receipt.
    pub model_id: String,
    /// As in the receipt.
    pub runtime: Option<String>,
    /// As in the receipt.
    pub source: Option<String>,
    /// As in the receipt.
    pub status: Option<String>,
    /// Unix seconds.
    pub ts_start: i64,
    /// Unix seconds.
    pub ts_end: i64,
    /// Prompt tokens.
    pub tokens_input: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// Prompt tokens from a cache.
    pub tokens_cached: Option<i64>,
    /// What the counts are worth; `None` where the receipt does not say.
    pub tokens_source: Option<String>,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
    /// Total time, ms.
    pub latency_ms: Option<i64>,
    /// 95th percentile of the gaps between chunks, ms.
    pub p95_ms: Option<i64>,
    /// As in the receipt.
    pub cache_hit: Option<bool>,
    /// As in the receipt.
    pub hedged: Option<bool>,
    /// Position in the node's chain.
    pub seq: Option<i64>,
    /// Unix ms.
    pub received_at_ms: i64,
    /// Form of the receipt.
    pub version: String,
}

/// One receipt with what is needed to verify it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ReceiptDetail {
    /// The columns of the list.
    #[sqlx(flatten)]
    pub row: ReceiptListRow,
    /// The canonical bytes.
    pub entry: Vec<u8>,
    /// Their SHA-256.
    pub entry_hash: Vec<u8>,
    /// The key that signed, 32 bytes.
    pub public_key: Vec<u8>,
    /// Whether its signature held when it was stored.
    pub verified: bool,
    /// Its short name.
    pub key_id: String,
    /// Since when the key is valid, unix ms.
    pub key_valid_from_ms: i64,
    /// The receipt before it in the chain.
    pub prev_request_id: Option<String>,
    /// The receipt after it.
    pub next_request_id: Option<String>,
}

/// Appends that no pool hides the node of a receipt from a viewer.
fn push_viewer(viewer: Option<&Scope>, statement: &mut Statement) {
    if let Some(viewer) = viewer {
        statement.sql(" AND EXISTS (SELECT 1 FROM nodes n WHERE n.node_id = r.node_id");
        viewer.push_in_sight(statement);
        statement.sql(")");
    }
}

/// What a request id leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptFound {
    /// Nothing in this scope.
    Nothing,
    /// One receipt.
    One(Box<ReceiptDetail>),
    /// Several nodes used the id: these, by name, at most [`NODES_NAMED`].
    Several(Vec<String>),
}

impl Store {
    /// A page of receipts in scope, the newest first, all before the received order `before`.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn receipts_list(
        &self,
        scope: &Scope,
        filter: &ReceiptFilter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<ReceiptListRow>, StoreError> {
        let Some(lying) = self.receipts_lie(scope, filter, Ends::OfTime).await? else {
            return Ok(Vec::new());
        };
        let statement = Newest {
            dialect: self.dialect(),
            scope,
            filter,
            meanings: &lying.meanings,
            bounds: lying.bounds,
            before: before.unwrap_or(i64::MAX),
            limit,
        }
        .list();
        on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
            .map_err(StoreError::query(OP_LIST))
    }

    /// The place of a receipt in the received order; `None` where there is no such receipt in scope.
    ///
    /// # Errors
    /// [`StoreError`] of the statement.
    pub async fn receipt_order(
        &self,
        scope: &Scope,
        node_id: &NodeId,
        request_id: &RequestId,
    ) -> Result<Option<i64>, StoreError> {
        const TEXT: &str = "SELECT id FROM receipts WHERE request_id = $1 AND node_id = $2 AND ($3 OR org_id = $4)";
        on_read!(self, conn => sqlx::query_scalar(TEXT)
            .bind(request_id.as_str())
            .bind(node_id.as_str())
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_optional(conn)
            .await)
        .map_err(StoreError::query(OP_ORDER))
    }

    /// The receipt of a request id that is in scope: of `node_id`, or of whichever node used the id. A stranger has
    /// none; see [`Store::receipt_public`].
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn receipt_get(
        &self,
        scope: &Scope,
        request_id: &str,
        node_id: Option<&str>,
    ) -> Result<ReceiptFound, StoreError> {
        self.receipt_find(scope, None, request_id, node_id).await
    }

    /// The receipt of a request id in scope; with `viewer` only where no pool hides its node from them.
    async fn receipt_find(
        &self,
        scope: &Scope,
        viewer: Option<&Scope>,
        request_id: &str,
        node_id: Option<&str>,
    ) -> Result<ReceiptFound, StoreError> {
        let filter = ReceiptFilter {
            request_id: Some(request_id.to_owned()),
            node_id: node_id.map(str::to_owned),
            ..ReceiptFilter::default()
        };
        let mut statement = Statement::new("SELECT ");
        statement.sql(COLUMNS).sql(
            ", r.entry, r.entry_hash, r.verified, k.public_key, k.key_id, k.valid_from_ms AS key_valid_from_ms, \
             (SELECT p.request_id FROM receipts p \
               WHERE p.node_key_id = r.node_key_id AND p.seq = r.seq - 1) AS prev_request_id, \
             (SELECT n.request_id FROM receipts n \
               WHERE n.node_key_id = r.node_key_id AND n.seq = r.seq + 1) AS next_request_id \
             FROM receipts r JOIN node_keys k ON k.id = r.node_key_id WHERE TRUE",
        );
        push_filter(
            &mut statement,
            self.dialect(),
            scope,
            &filter,
            None,
            IdBounds::default(),
        );
        push_viewer(viewer, &mut statement);
        // A second one tells that there are several; which, another question tells.
        statement.sql(" LIMIT 2");
        let mut found: Vec<ReceiptDetail> =
            on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_GET))?;
        match (found.pop(), found.is_empty()) {
            (None, _) => Ok(ReceiptFound::Nothing),
            (Some(one), true) => Ok(ReceiptFound::One(Box::new(one))),
            (Some(_), false) => Ok(ReceiptFound::Several(
                self.receipt_nodes(scope, viewer, &filter).await?,
            )),
        }
    }

    /// The receipt of an exact request id, whoever's it is, for a network that shows its receipts to everybody. What is
    /// in scope comes first: what strangers call theirs makes no id of one's own ambiguous. Receipts of nodes in private pools are
    /// nobody's but those who see the node. Of a receipt out of scope the
    /// neighbours in its chain are left out: who knows one id must not find the others by it.
    ///
    /// # Errors
    /// [`StoreError`] of a statement.
    pub async fn receipt_public(
        &self,
        scope: &Scope,
        request_id: &str,
        node_id: Option<&str>,
    ) -> Result<ReceiptFound, StoreError> {
        let own = self.receipt_get(scope, request_id, node_id).await?;
        if own != ReceiptFound::Nothing {
            return Ok(own);
        }
        let everybodys = Scope::from(System::of_the_server());
        let mut found = self
            .receipt_find(&everybodys, Some(scope), request_id, node_id)
            .await?;
        if let ReceiptFound::One(found) = &mut found {
            (found.prev_request_id, found.next_request_id) = (None, None);
        }
        Ok(found)
    }

    /// The nodes that used a request id, by name.
    async fn receipt_nodes(
        &self,
        scope: &Scope,
        viewer: Option<&Scope>,
        filter: &ReceiptFilter,
    ) -> Result<Vec<String>, StoreError> {
        let mut statement = Statement::new("SELECT r.node_id FROM receipts r WHERE TRUE");
        push_filter(
            &mut statement,
            self.dialect(),
            scope,
            filter,
            None,
            IdBounds::default(),
        );
        push_viewer(viewer, &mut statement);
        statement.sql(" ORDER BY r.node_id LIMIT ").int(NODES_NAMED);
        on_page!(self, conn => statement.build().build_query_scalar().fetch_all(conn).await)
            .map_err(StoreError::query(OP_GET))
    }
}
