//! The statements behind the list of receipts: which rows, by which index, in which order.
//!
//! Each filter has an index that ends in `id`; for values that most receipts have, the list itself is walked. On SQLite the
//! receipts of a node are found bucket by bucket, and whoever sees his organisation's receipts alone is answered from the index
//! over these: what others have of a value, which may be millions, costs him nothing. A request, a node and a search are rarer
//! than an organisation and keep their own.

use crate::Dialect;
use crate::receipt_queries::ReceiptFilter;
use crate::receipt_scan::scan_json;
use crate::receipt_search::Meaning;
use crate::scope::Scope;
use crate::statement::Statement;
use dgon_protocol::receipt::{Source, Status};

pub(crate) const COLUMNS: &str = "r.id, r.request_id, r.node_id, r.region, r.model_id, r.runtime, r.source, r.status, r.ts_start, \
     r.ts_end, r.tokens_input, r.tokens_output, r.tokens_cached, r.tokens_source, r.ttft_ms, r.latency_ms, r.p95_ms, \
     r.cache_hit, r.hedged, r.seq, r.received_at_ms, r.version";

const SCAN_COLUMNS: &str = "r.id, r.cache_hit, r.status, r.tokens_input, r.tokens_output, r.tokens_source, r.ttft_ms, \
     r.latency_ms";

/// Received orders that a range of time can lie between.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IdBounds {
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

/// Appends the conditions of a filter to a statement that ends in a true condition; of its search one meaning.
pub(crate) fn push_filter(
    statement: &mut Statement,
    dialect: Dialect,
    scope: &Scope,
    filter: &ReceiptFilter,
    meaning: Option<&Meaning>,
    bounds: IdBounds,
) {
    if let Some(meaning) = meaning {
        meaning.push(statement, scope, filter.has_more_than_search());
    }
    let by = FoundBy::of(dialect, scope, filter, meaning);
    let is_failed = matches!(filter.status, Some(Status::Error | Status::Cancelled));
    let [org, model, region] = match by {
        FoundBy::Value => [" AND r.org_id = ", " AND r.model_id = ", " AND r.region = "],
        FoundBy::Own if is_failed => [
            " AND r.org_id = ",
            " AND +r.model_id = ",
            " AND r.region = ",
        ],
        FoundBy::Own => [
            " AND r.org_id = ",
            " AND +r.model_id = ",
            " AND +r.region = ",
        ],
        FoundBy::Rarer => [
            " AND +r.org_id = ",
            " AND +r.model_id = ",
            " AND +r.region = ",
        ],
    };
    scope.push(statement, org);
    for (column, value) in [
        (" AND r.request_id = ", &filter.request_id),
        (" AND r.node_id = ", &filter.node_id),
        (model, &filter.model_id),
        (region, &filter.region),
    ] {
        if let Some(value) = value {
            statement.sql(column).text(value.as_str());
        }
    }
    push_closed(statement, by, filter);
    // The unary plus keeps the planner on the index that ends in `id`; `bounds` keep the walk short.
    for (text, value) in [
        (" AND r.id >= ", bounds.from),
        (" AND r.id <= ", bounds.to),
        (" AND +r.received_at_ms >= ", filter.from_ms),
        (" AND +r.received_at_ms < ", filter.to_ms),
    ] {
        if let Some(value) = value {
            statement.sql(text).int(value);
        }
    }
}

/// What leads to the receipts of a list on SQLite, which does not know how often a value comes. From the indexes of all other
/// values the unary plus keeps its planner away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FoundBy {
    /// A request, a node or a search: rarer than anything else that a filter names.
    Rarer,
    /// That it is one's own, with what few receipts have: failures, and those that were sent to several nodes.
    Own,
    /// Whatever value there is. PostgreSQL knows how often each comes, and chooses well where it is not misled.
    Value,
}

impl FoundBy {
    fn of(
        dialect: Dialect,
        scope: &Scope,
        filter: &ReceiptFilter,
        meaning: Option<&Meaning>,
    ) -> Self {
        let is_rarer = meaning.is_some() || filter.request_id.is_some() || filter.node_id.is_some();
        match dialect {
            Dialect::Postgres => Self::Value,
            Dialect::Sqlite if is_rarer => Self::Rarer,
            Dialect::Sqlite if scope.org_id().is_some() => Self::Own,
            Dialect::Sqlite => Self::Value,
        }
    }
}

/// Filters over closed lists, written out so that the partial indexes of rare values apply.
fn push_closed(statement: &mut Statement, by: FoundBy, filter: &ReceiptFilter) {
    let status = match (by, filter.status) {
        (_, None) => "",
        (FoundBy::Value, Some(Status::Ok)) => " AND r.status = 'ok'",
        (_, Some(Status::Ok)) => " AND +r.status = 'ok'",
        (FoundBy::Rarer, Some(Status::Error)) => " AND +r.status = 'error'",
        (FoundBy::Rarer, Some(Status::Cancelled)) => " AND +r.status = 'cancelled'",
        (_, Some(Status::Error)) => " AND r.status = 'error' AND r.status <> 'ok'",
        (_, Some(Status::Cancelled)) => " AND r.status = 'cancelled' AND r.status <> 'ok'",
    };
    let source = match (by, filter.source) {
        (_, None) => "",
        (FoundBy::Value, Some(Source::Local)) => " AND r.source = 'local'",
        (FoundBy::Value, Some(Source::Gateway)) => {
            " AND r.source = 'gateway' AND r.source <> 'local'"
        }
        (FoundBy::Value, Some(Source::Probe)) => " AND r.source = 'probe' AND r.source <> 'local'",
        (FoundBy::Value, Some(Source::Job)) => " AND r.source = 'job' AND r.source <> 'local'",
        (_, Some(Source::Local)) => " AND +r.source = 'local'",
        (_, Some(Source::Gateway)) => " AND +r.source = 'gateway'",
        (_, Some(Source::Probe)) => " AND +r.source = 'probe'",
        (_, Some(Source::Job)) => " AND +r.source = 'job'",
    };
    let hedged = match (by, filter.hedged) {
        (_, None) => "",
        (FoundBy::Rarer, Some(true)) => " AND +r.hedged = TRUE",
        (_, Some(true)) => " AND r.hedged = TRUE",
        (FoundBy::Value, Some(false)) => " AND r.hedged = FALSE",
        (_, Some(false)) => " AND +r.hedged = FALSE",
    };
    let cache_hit = match (by, filter.cache_hit) {
        (_, None) => "",
        (FoundBy::Value, Some(true)) => " AND r.cache_hit = TRUE",
        (FoundBy::Value, Some(false)) => " AND r.cache_hit = FALSE",
        (_, Some(true)) => " AND +r.cache_hit = TRUE",
        (_, Some(false)) => " AND +r.cache_hit = FALSE",
    };
    for condition in [status, source, hedged, cache_hit] {
        statement.sql(condition);
    }
}

/// A list in the making: the newest receipts of a filter, all before `before`.
pub(crate) struct Newest<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) scope: &'a Scope,
    pub(crate) filter: &'a ReceiptFilter,
    /// What its search can mean; none where it has no search.
    pub(crate) meanings: &'a [Meaning],
    pub(crate) bounds: IdBounds,
    /// A received order; `i64::MAX` for all.
    pub(crate) before: i64,
    pub(crate) limit: i64,
}

impl Newest<'_> {
    /// The list with its own columns.
    pub(crate) fn list(&self) -> Statement {
        self.statement(COLUMNS)
    }

    /// The list with what sums are made of.
    pub(crate) fn scan(&self) -> Statement {
        self.statement(SCAN_COLUMNS)
    }

    /// The same on SQLite as one JSON text: ids with a [`scan_json`] each.
    pub(crate) fn scan_in_one(&self) -> Statement {
        let mut statement = Statement::new(concat!(
            "SELECT json_group_array(json_array(id, ",
            scan_json!(),
            ")) FROM ("
        ));
        statement.append(self.scan());
        statement.sql(")");
        statement
    }

    /// With these columns, of which the first is `r.id`. A search is a union: each meaning is found by its own index, and a
    /// receipt that several lead to is there once.
    fn statement(&self, columns: &'static str) -> Statement {
        let mut statement = Statement::default();
        for (position, meaning) in self.meanings.iter().enumerate() {
            statement.sql(if position == 0 {
                "SELECT * FROM ("
            } else {
                " UNION SELECT * FROM ("
            });
            self.arm(&mut statement, columns, Some(meaning));
            statement.sql(") AS meant");
        }
        if self.meanings.is_empty() {
            self.arm(&mut statement, columns, None);
        } else {
            statement.sql(" ORDER BY id DESC LIMIT ").int(self.limit);
        }
        statement
    }

    fn arm(&self, statement: &mut Statement, columns: &'static str, meaning: Option<&Meaning>) {
        let walks = self.dialect == Dialect::Sqlite && self.is_found_by_node(meaning);
        if walks {
            self.push_buckets(statement);
        }
        statement.sql("SELECT ").sql(columns);
        statement.sql(if walks {
            // Both loops are told their order and index, and so the rows come in the order of the list.
            " FROM buckets CROSS JOIN receipts r INDEXED BY receipts_by_node WHERE r.id / 2048 = bucket AND r.id <= "
        } else {
            " FROM receipts r WHERE r.id <= "
        });
        statement.int(self.last());
        let bounds = IdBounds {
            to: None,
            ..self.bounds
        };
        push_filter(
            statement,
            self.dialect,
            self.scope,
            self.filter,
            meaning,
            bounds,
        );
        if !walks {
            statement.sql(" ORDER BY r.id DESC");
        }
        statement.sql(" LIMIT ").int(self.limit);
    }

    /// The last received order that may be in the list. Of two conditions that say so SQLite would begin at either, and leave
    /// out one by one what the other does not allow.
    fn last(&self) -> i64 {
        let last = self.bounds.to.unwrap_or(i64::MAX);
        last.min(self.before.saturating_sub(1))
    }

    /// Whether nothing that the filter names is rarer than a node.
    fn is_found_by_node(&self, meaning: Option<&Meaning>) -> bool {
        let filter = self.filter;
        match meaning {
            Some(Meaning::Node(_)) => filter.request_id.is_none(),
            None | Some(Meaning::Model(_)) => {
                filter.node_id.is_some() && filter.request_id.is_none()
            }
            Some(Meaning::RequestId(_) | Meaning::Prefix(_) | Meaning::Hash(..)) => false,
        }
    }

    /// The buckets of the index over nodes that the list can reach into, the newest first. An index over all receipts of
    /// a node has a page of its own for each node, which ingest would write for each receipt; in that of the newest bucket
    /// all nodes share a few.
    fn push_buckets(&self, statement: &mut Statement) {
        statement
            .sql(
                "WITH RECURSIVE buckets (bucket) AS (\
                 SELECT MIN(MAX(id), ",
            )
            .int(self.last())
            .sql(
                ") / 2048 FROM receipts UNION ALL \
                 SELECT bucket - 1 FROM buckets WHERE bucket > (SELECT MAX(MIN(id), ",
            )
            .int(self.bounds.from.unwrap_or(i64::MIN))
            .sql(") / 2048 FROM receipts) ORDER BY 1 DESC) ");
    }
}

/// The received order of the first receipt that came at or after a time.
pub(crate) fn first_from(from_ms: i64) -> Statement {
    let mut statement = Statement::new("SELECT id FROM receipts WHERE received_at_ms >= ");
    statement
        .int(from_ms)
        .sql(" ORDER BY received_at_ms, id LIMIT 1");
    statement
}

/// The received order of the last receipt that came before a time.
pub(crate) fn last_before(to_ms: i64) -> Statement {
    let mut statement = Statement::new("SELECT id FROM receipts WHERE received_at_ms < ");
    statement
        .int(to_ms)
        .sql(" ORDER BY received_at_ms DESC, id DESC LIMIT 1");
    statement
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Sqlite;

    #[test]
    fn a_list_has_one_condition_on_where_it_begins() {
        let named = || Some("x".to_owned());
        let filters = [
            ReceiptFilter::default(),
            ReceiptFilter {
                node_id: named(),
                ..ReceiptFilter::default()
            },
            ReceiptFilter {
                model_id: named(),
                to_ms: Some(9),
                ..ReceiptFilter::default()
            },
        ];
        for (filter, (to, before, last)) in filters.iter().flat_map(|filter| {
            let begins = [(Some(7), i64::MAX, 7), (Some(7), 5, 4), (None, 5, 4)];
            begins.map(|begin| (filter, begin))
        }) {
            let list = Newest {
                dialect: Dialect::Sqlite,
                scope: &Scope::Stranger,
                filter,
                meanings: &[],
                bounds: IdBounds { from: Some(1), to },
                before,
                limit: 50,
            };
            assert_eq!(list.last(), last);
            let sql = list.list().build::<Sqlite>().into_sql();
            let text = sql.as_str();
            assert_eq!(text.matches("r.id <").count(), 1, "{text}");
        }
    }
}
