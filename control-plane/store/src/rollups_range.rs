//! Reading sums: the rows of a range of minutes, one by one or added up.

use crate::rollups::{RollupRow, convert};
use crate::statement::Statement;
use crate::{Scope, Store, StoreError, System, on_page, on_read};
use dgon_control_plane_model::rollup::{NETWORK_MINUTES, RowKey, Sums, organisation_rows};
use dgon_control_plane_model::window::first_minute;
use futures_util::TryStreamExt as _;

const OP_RANGE: &str = "rollups.range";
const OP_DAY: &str = "rollups.day";
const OP_RECENT: &str = "rollups.recent";
const OP_NODES: &str = "rollups.nodes";

/// Rows that are whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WrittenSums {
    /// Oldest first.
    pub rows: Vec<(RowKey, Sums)>,
    /// The minute up to which they count; `None` where there is none.
    pub sealed: Option<i64>,
}

impl WrittenSums {
    fn of(op: &'static str, found: Vec<FoundRow>) -> Result<Self, StoreError> {
        let sealed = found.first().map(|found| found.sealed);
        let rows = found.into_iter().map(|found| convert(op, found.row));
        Ok(Self {
            rows: rows.collect::<Result<_, _>>()?,
            sealed,
        })
    }
}

/// A row, and the border as it was when it was read: one statement sees one state.
#[derive(Debug, sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    row: RollupRow,
    sealed: i64,
}

/// A row of a node.
#[derive(Debug)]
pub(crate) struct NodeMinute {
    pub(crate) key: RowKey,
    pub(crate) sums: Sums,
}

/// What rows are the sums of. Rows of what is closed are there up to [`Store::rollups_closed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SumsOf {
    /// A node's receipts, by minute; of those the organisation's that asks.
    Node(String),
    /// All receipts, by quarter of an hour.
    Network,
    /// All receipts, by minute, of what is closed.
    NetworkMinutes,
    /// Those of an organisation's nodes, by quarter of an hour, of what is closed.
    Organisation(String),
    /// The same by node and minute.
    OrganisationsNodes(String),
}

/// Rows of an organisation's nodes that are added up at most: a fleet of a thousand nodes in the quarter of an hour that is not
/// closed.
pub const NODE_ROWS: usize = 20_000;

/// What rows add up to.
#[derive(Debug, Clone, PartialEq)]
pub enum Total {
    /// All of them.
    Whole {
        /// What they add up to.
        sums: Sums,
        /// The minute up to which they count; `None` where there is none.
        sealed: Option<i64>,
    },
    /// Of an organisation's nodes: there are more than are read, or one that cannot be.
    NotAll,
}

/// Which rows to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupRange {
    /// What they are the sums of.
    pub of: SumsOf,
    /// One region; `None` for all.
    pub region: Option<String>,
    /// First minute.
    pub from_minute: i64,
    /// The minute after the last.
    pub to_minute: i64,
}

impl RollupRange {
    /// All rows of something.
    pub const fn whole(of: SumsOf) -> Self {
        Self {
            of,
            region: None,
            from_minute: 0,
            to_minute: i64::MAX,
        }
    }
}

impl Store {
    /// The rows of a range, oldest first. Sums of the whole network are public; a node's are its organisation's.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub(crate) async fn rollups_range(
        &self,
        scope: &Scope,
        range: &RollupRange,
    ) -> Result<WrittenSums, StoreError> {
        let statement = range_statement(scope, range);
        let found: Vec<FoundRow> =
            on_page!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_RANGE))?;
        WrittenSums::of(OP_RANGE, found)
    }

    /// What the rows of a range add up to, and the minute up to which they count; `None` where there is none. Row by row:
    /// whoever asks holds one of them, however many there are. Of rows of an organisation's nodes there may be
    /// [`NODE_ROWS`].
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub async fn rollups_total(
        &self,
        scope: &Scope,
        range: &RollupRange,
    ) -> Result<Total, StoreError> {
        let is_of_nodes = matches!(range.of, SumsOf::OrganisationsNodes(_));
        let most = if is_of_nodes { NODE_ROWS } else { usize::MAX };
        let statement = range_statement(scope, range);
        on_page!(self, conn => {
            let mut query = statement.build();
            let mut rows = query.build_query_as::<FoundRow>().fetch(conn);
            let (mut sums, mut sealed, mut count) = (Sums::default(), None, 0_usize);
            loop {
                match rows.try_next().await.map_err(StoreError::query(OP_RANGE)) {
                    Ok(Some(_)) if count == most => break Ok(Total::NotAll),
                    Ok(Some(found)) => {
                        count += 1;
                        sealed = Some(found.sealed);
                        match convert(OP_RANGE, found.row) {
                            Ok((_, row)) => sums.merge(&row),
                            // It is the node's alone, and counted from its receipts when it is closed.
                            Err(_) if is_of_nodes => break Ok(Total::NotAll),
                            Err(error) => break Err(error),
                        }
                    }
                    Ok(None) => break Ok(Total::Whole { sums, sealed }),
                    Err(error) => break Err(error),
                }
            }
        })
    }

    /// The network's rows from a minute on: what the server reads for all who look, once.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub async fn rollups_recent(
        &self,
        by: System,
        from_minute: i64,
    ) -> Result<WrittenSums, StoreError> {
        let range = RollupRange {
            from_minute,
            ..RollupRange::whole(SumsOf::Network)
        };
        let statement = range_statement(&by.into(), &range);
        let found: Vec<FoundRow> =
            on_read!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_RECENT))?;
        WrittenSums::of(OP_RECENT, found)
    }

    /// A node's rows of the last 24 hours up to and with the hour of `minute`.
    ///
    /// # Errors
    /// [`StoreError`] of the statement, or of a row that cannot be read.
    pub async fn rollups_day(
        &self,
        by: System,
        node_id: &str,
        minute: i64,
    ) -> Result<WrittenSums, StoreError> {
        let range = RollupRange {
            of: SumsOf::Node(node_id.to_owned()),
            region: None,
            from_minute: first_minute(minute),
            to_minute: minute + 1,
        };
        let statement = range_statement(&by.into(), &range);
        let found: Vec<FoundRow> =
            on_read!(self, conn => statement.build().build_query_as().fetch_all(conn).await)
                .map_err(StoreError::query(OP_DAY))?;
        WrittenSums::of(OP_DAY, found)
    }

    /// The rows of all nodes of a minute; of one that cannot be read, its node.
    pub(crate) async fn node_minutes(
        &self,
        _by: System,
        minute: i64,
    ) -> Result<Vec<Result<NodeMinute, String>>, StoreError> {
        const TEXT: &str = "SELECT * FROM rollups WHERE minute = $1 AND node_id <> '' AND SUBSTR(node_id, 1, 1) <> '@'";
        let rows: Vec<RollupRow> = on_read!(self, conn => sqlx::query_as(TEXT)
            .bind(minute)
            .fetch_all(conn)
            .await)
        .map_err(StoreError::query(OP_NODES))?;
        let minutes = rows.into_iter().map(|row| {
            let node_id = row.node_id.clone();
            let (key, sums) = convert(OP_NODES, row).map_err(|_| node_id)?;
            Ok(NodeMinute { key, sums })
        });
        Ok(minutes.collect())
    }
}

fn range_statement(scope: &Scope, range: &RollupRange) -> Statement {
    // The unary plus leaves the other border of the range to the index.
    let mut statement = Statement::new(
        "SELECT rollups.*, (SELECT s.minute FROM rollups_sealed s) AS sealed FROM rollups \
         WHERE +minute <= (SELECT s.minute FROM rollups_sealed s)",
    );
    let may_see = match &range.of {
        SumsOf::OrganisationsNodes(org_id) => {
            statement.sql(" AND org_id = ").text(org_id.as_str());
            scope.owns(Some(org_id))
        }
        SumsOf::Organisation(org_id) => {
            statement
                .sql(" AND node_id = ")
                .text(organisation_rows(org_id));
            scope.owns(Some(org_id))
        }
        SumsOf::Node(node_id) => {
            statement.sql(" AND node_id = ").text(node_id.as_str());
            // Of a node that passed from one organisation to another each has its own.
            scope.push(&mut statement, " AND org_id = ");
            true
        }
        // The network's own sums are everybody's.
        SumsOf::Network => {
            statement.sql(" AND node_id = ''");
            true
        }
        SumsOf::NetworkMinutes => {
            statement.sql(" AND node_id = ").text(NETWORK_MINUTES);
            true
        }
    };
    if !may_see {
        statement.sql(" AND FALSE");
    }
    statement
        .sql(" AND minute >= ")
        .int(range.from_minute)
        .sql(" AND minute < ")
        .int(range.to_minute);
    if let Some(region) = &range.region {
        statement.sql(" AND region = ").text(region.as_str());
    }
    statement.sql(" ORDER BY minute");
    statement
}
