//! A statement put together from fixed texts and bound values, for either database.
//!
//! List queries depend on their filters. Only `&'static str` can become SQL here; everything that came from
//! outside is bound.

use crate::{Store, StoreError};
use sqlx::{Database, Encode, QueryBuilder, Type};

enum Part {
    Sql(&'static str),
    Text(String),
    Int(i64),
    Bytes(Vec<u8>),
}

/// A statement in the making.
#[derive(Default)]
pub(crate) struct Statement(Vec<Part>);

impl Statement {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self(vec![Part::Sql(sql)])
    }

    pub(crate) fn sql(&mut self, sql: &'static str) -> &mut Self {
        self.0.push(Part::Sql(sql));
        self
    }

    pub(crate) fn text(&mut self, value: impl Into<String>) -> &mut Self {
        self.0.push(Part::Text(value.into()));
        self
    }

    pub(crate) fn int(&mut self, value: i64) -> &mut Self {
        self.0.push(Part::Int(value));
        self
    }

    pub(crate) fn bytes(&mut self, value: Vec<u8>) -> &mut Self {
        self.0.push(Part::Bytes(value));
        self
    }

    /// `LIKE` and what finds this text wherever it stands; no character of it has another meaning.
    pub(crate) fn contains(&mut self, text: &str) -> &mut Self {
        let mut pattern = String::from("%");
        for char in text.chars() {
            if matches!(char, '%' | '_' | '!') {
                pattern.push('!');
            }
            pattern.push(char);
        }
        pattern.push('%');
        self.sql(" LIKE ").text(pattern).sql(" ESCAPE '!'")
    }

    /// Goes on with another statement.
    pub(crate) fn append(&mut self, other: Self) -> &mut Self {
        self.0.extend(other.0);
        self
    }

    /// The statement for one database.
    pub(crate) fn build<DB>(self) -> QueryBuilder<DB>
    where
        DB: Database,
        String: for<'q> Encode<'q, DB> + Type<DB>,
        i64: for<'q> Encode<'q, DB> + Type<DB>,
        Vec<u8>: for<'q> Encode<'q, DB> + Type<DB>,
    {
        let mut query = QueryBuilder::new("");
        for part in self.0 {
            match part {
                Part::Sql(sql) => query.push(sql),
                Part::Text(value) => query.push_bind(value),
                Part::Int(value) => query.push_bind(value),
                Part::Bytes(value) => query.push_bind(value),
            };
        }
        query
    }

    /// How the database would run it, a line per step. PostgreSQL is asked to prefer indexes, as it would by
    /// itself on a table that is not small.
    pub(crate) async fn plan(self, store: &Store) -> Result<Vec<String>, StoreError> {
        const OP: &str = "statement.plan";
        let mut explain = Self::default();
        match &store.backend {
            crate::db::Backend::Sqlite { short, .. } => {
                explain.sql("EXPLAIN QUERY PLAN ").0.extend(self.0);
                let mut conn = short.begin().await?;
                // An explanation alone does not notice that the schema has changed; a query does.
                sqlx::query("SELECT node_id FROM nodes LIMIT 1")
                    .persistent(false)
                    .execute(&mut *conn)
                    .await
                    .map_err(StoreError::query(OP))?;
                let rows: Vec<(i64, i64, i64, String)> = explain
                    .build()
                    .build_query_as()
                    .persistent(false)
                    .fetch_all(&mut *conn)
                    .await
                    .map_err(StoreError::query(OP))?;
                conn.over();
                Ok(rows.into_iter().map(|row| row.3).collect())
            }
            crate::db::Backend::Postgres { writer: pool, .. } => {
                explain.sql("EXPLAIN ").0.extend(self.0);
                let mut tx = pool.begin().await.map_err(StoreError::query(OP))?;
                sqlx::query("SET LOCAL enable_seqscan = off")
                    .execute(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP))?;
                explain
                    .build()
                    .build_query_scalar()
                    .fetch_all(&mut *tx)
                    .await
                    .map_err(StoreError::query(OP))
            }
        }
    }
}

/// The smallest text that is greater than every text with this prefix; `None` where there is none.
pub(crate) fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn a_prefix_ends_before_the_next_text() {
        assert_eq!(after_prefix("r_01").as_deref(), Some("r_02"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(after_prefix(""), None);
    }
}
