//! Where the receipts of a filter lie, found out before the list is walked: between which received orders, and what of it cannot be.

use crate::receipt_list::{IdBounds, first_from, last_before};
use crate::receipt_queries::ReceiptFilter;
use crate::receipt_search::Meaning;
use crate::scope::Scope;
use crate::statement::Statement;
use crate::{Store, StoreError, on_page, on_read};

const OP_BOUNDS: &str = "receipt.bounds";

/// Processes that commit at once may order `id` and time differently, by no more than this many receipts.
const ORDER_SLACK: i64 = 4_096;

/// How the received orders of a range of time are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// By what was received first and last, which is seldom wrong: where the clock went back by more than five minutes.
    OfTime,
    /// By each receipt in it. For a short time alone.
    OfEach,
}

/// Where the receipts of a filter lie.
pub(crate) struct Lying {
    pub(crate) bounds: IdBounds,
    pub(crate) meanings: Vec<Meaning>,
}

impl Store {
    /// Where the receipts of a filter lie; `None` where there are none.
    pub(crate) async fn receipts_lie(
        &self,
        scope: &Scope,
        filter: &ReceiptFilter,
        ends: Ends,
    ) -> Result<Option<Lying>, StoreError> {
        if !self.could_be_in(scope, filter).await? {
            return Ok(None);
        }
        let bounds = match ends {
            Ends::OfTime => self.receipt_bounds(filter).await?,
            Ends::OfEach => self.receipt_bounds_of_each(filter).await?,
        };
        let Some(bounds) = bounds else {
            return Ok(None);
        };
        let mut meanings = filter.search.as_deref().map_or_else(Vec::new, Meaning::all);
        for place in (0..meanings.len()).rev() {
            if let Some(Meaning::Node(name)) = meanings.get(place)
                && !self.is_node(scope, name).await?
            {
                meanings.remove(place);
            }
        }
        Ok(Some(Lying { bounds, meanings }))
    }

    /// The received orders of what was received in a short time, whatever the clock did meanwhile; `None` where there is nothing.
    async fn receipt_bounds_of_each(
        &self,
        filter: &ReceiptFilter,
    ) -> Result<Option<IdBounds>, StoreError> {
        const TEXT: &str = "SELECT MIN(id), MAX(id) FROM receipts WHERE received_at_ms >= $1 AND received_at_ms < $2";
        let found: (Option<i64>, Option<i64>) = on_page!(self, conn => sqlx::query_as(TEXT)
            .bind(filter.from_ms.unwrap_or(i64::MIN))
            .bind(filter.to_ms.unwrap_or(i64::MAX))
            .fetch_one(conn)
            .await)
        .map_err(StoreError::query(OP_BOUNDS))?;
        Ok(found.0.zip(found.1).map(|(from, to)| IdBounds {
            from: Some(from),
            to: Some(to),
        }))
    }

    /// Between which received orders the times of a filter are; `None` where there is nothing.
    async fn receipt_bounds(&self, filter: &ReceiptFilter) -> Result<Option<IdBounds>, StoreError> {
        let mut bounds = IdBounds::default();
        let found = async |statement: Statement| -> Result<Option<i64>, StoreError> {
            on_page!(self, conn => statement.build().build_query_scalar().fetch_optional(conn).await)
                .map_err(StoreError::query(OP_BOUNDS))
        };
        if let Some(from_ms) = filter.from_ms {
            let Some(first) = found(first_from(from_ms)).await? else {
                return Ok(None);
            };
            bounds.from = Some(first - ORDER_SLACK);
        }
        if let Some(to_ms) = filter.to_ms {
            let Some(last) = found(last_before(to_ms)).await? else {
                return Ok(None);
            };
            bounds.to = Some(last.saturating_add(ORDER_SLACK));
        }
        Ok(Some(bounds))
    }

    /// Whether a node of this name has or had a key of the scope, and so may have receipts in it: those of a node that was passed on
    /// stay where they are.
    async fn is_node(&self, scope: &Scope, name: &str) -> Result<bool, StoreError> {
        const TEXT: &str =
            "SELECT 1 FROM node_keys WHERE node_id = $1 AND ($2 OR org_id = $3) LIMIT 1";
        let found: Option<i32> = on_read!(self, conn => sqlx::query_scalar(TEXT)
            .bind(name)
            .bind(scope.is_system())
            .bind(scope.org_id())
            .fetch_optional(conn)
            .await)
        .map_err(StoreError::query(OP_BOUNDS))?;
        Ok(found.is_some())
    }

    /// Whether the node of a filter is in scope, and whether one's own nodes, those among them that were passed on, are in its region
    /// at all: where none is, all receipts would be looked through for nothing.
    async fn could_be_in(&self, scope: &Scope, filter: &ReceiptFilter) -> Result<bool, StoreError> {
        if let Some(node_id) = &filter.node_id
            && !self.is_node(scope, node_id).await?
        {
            return Ok(false);
        }
        let (Some(org_id), Some(region)) = (scope.org_id(), &filter.region) else {
            return Ok(true);
        };
        const TEXT: &str = "SELECT 1 FROM nodes WHERE org_id = $1 AND region = $2 UNION ALL \
             SELECT 1 FROM node_keys k JOIN nodes n ON n.node_id = k.node_id WHERE k.org_id = $1 AND n.region = $2 LIMIT 1";
        let found: Option<i32> = on_read!(self, conn => sqlx::query_scalar(TEXT)
            .bind(org_id)
            .bind(region.as_str())
            .fetch_optional(conn)
            .await)
        .map_err(StoreError::query(OP_BOUNDS))?;
        Ok(found.is_some())
    }
}
