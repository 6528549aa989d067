//! The audit log: who did what to which object, from where, when.
//!
//! A mutation takes an [`AuditEntry`] and writes it in its own transaction, so that neither exists without the other. Rows are
//! chained a moment later, by one task: see `audit_sealing`.

use crate::statement::Statement;
use crate::{Scope, Store, StoreError, System};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const OP_LIST: &str = "audit.list";

/// What is written when the rows up to `audit:NUMBER` were too old.
pub const EXPIRED: &str = "audit.expire";

/// One row to write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditEntry {
    /// When, unix ms.
    pub at_ms: i64,
    /// Who: `user:ID`, `key:ID` (an API key), `node:ID`, `token:ID`, `anonymous`, `cli` or `system`.
    pub actor: String,
    /// What, as `resource.verb`.
    pub action: String,
    /// To which object, as `kind:ID`. An ID is random: it names nobody.
    pub object: String,
    /// The request that did it.
    pub request_id: Option<String>,
    /// The rest.
    pub facts: AuditFacts,
}

/// What may name a person: it can be erased. Never a secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditFacts {
    /// Address of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Why, as whoever did it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What of the object changed, as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The same as it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl AuditFacts {
    /// As they are stored; `None` where there are none.
    pub(crate) fn text(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        // Our own types always serialise.
        Some(serde_json::to_string(self).unwrap_or_default())
    }
}

/// Writes an entry on a connection or in a transaction.
macro_rules! audit_on {
    ($conn:expr, $entry:expr, $op:literal) => {{
        let entry: &$crate::audit::AuditEntry = $entry;
        sqlx::query(
            "INSERT INTO audit (at_ms, actor, action, object, request_id, facts) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(entry.at_ms)
        .bind(&entry.actor)
        .bind(&entry.action)
        .bind(&entry.object)
        .bind(&entry.request_id)
        .bind(entry.facts.text())
        .execute($conn)
        .await
        .map_err($crate::StoreError::query($op))?
    }};
}
pub(crate) use audit_on;

/// Which rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this one: `kind:ID`, or the e-mail address of a person.
    pub actor: Option<String>,
    /// This, as `resource.verb`.
    pub action: Option<String>,
    /// To this object: `kind:ID`, or the e-mail address of a person.
    pub object: Option<String>,
    /// By this request.
    pub request_id: Option<String>,
    /// Not before, unix ms.
    pub from_ms: Option<i64>,
    /// Before, unix ms.
    pub to_ms: Option<i64>,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AuditRow {
    /// Identity.
    pub id: i64,
    /// When, unix ms.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To which object.
    pub object: String,
    /// The request that did it.
    pub request_id: Option<String>,
    /// [`AuditFacts`] as JSON; `None` where there are none, or they were erased.
    pub facts: Option<String>,
    /// What is hashed with the facts; `None` where they were erased, and before the row is sealed.
    pub salt: Option<Vec<u8>>,
    /// To the facts; `None` where there never were any, and before the row is sealed.
    pub commitment: Option<Vec<u8>>,
    /// Place in the chain; `None` before the row is sealed.
    pub seq: Option<i64>,
    /// The chain up to this row.
    pub hash: Option<Vec<u8>>,
    /// The address of the actor now, where that is a person who is there; in lists alone.
    #[sqlx(default)]
    pub actor_email: Option<String>,
    /// The same of the object.
    #[sqlx(default)]
    pub object_email: Option<String>,
}

macro_rules! audit_columns {
    () => {
        "SELECT id, at_ms, actor, action, object, request_id, facts, salt, commitment, seq, hash FROM audit"
    };
}
pub(crate) use audit_columns;

impl AuditRow {
    /// What was said of it. `None` where nothing was, or it was erased.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it is not what the log writes.
    pub fn read_facts(&self) -> Result<Option<AuditFacts>, StoreError> {
        let Some(text) = &self.facts else {
            return Ok(None);
        };
        let facts = serde_json::from_str(text).map_err(|_| StoreError::Corrupt {
            op: OP_LIST,
            what: "facts",
        })?;
        Ok(Some(facts))
    }

    /// Whether there were facts, and somebody had them erased.
    pub fn is_erased(&self) -> bool {
        self.commitment.is_some() && self.facts.is_none()
    }
}

/// The statement of [`Store::audit_list`].
pub(crate) fn list(filter: &AuditFilter, before: Option<(i64, i64)>, limit: i64) -> Statement {
    let mut list = Statement::new(
        "SELECT id, at_ms, actor, action, object, request_id, facts, salt, commitment, seq, hash, \
         (SELECT u.email FROM users u WHERE actor LIKE 'user:%' AND u.user_id = SUBSTR(actor, 6)) AS actor_email, \
         (SELECT u.email FROM users u WHERE object LIKE 'user:%' AND u.user_id = SUBSTR(object, 6)) AS object_email \
         FROM audit WHERE 1 = 1",
    );
    // The first that is given is the one that an index is asked for, the others are looked at.
    let equals = [
        (" AND request_id", &filter.request_id),
        (" AND object", &filter.object),
        (" AND actor", &filter.actor),
        (" AND action", &filter.action),
    ];
    let given = equals
        .iter()
        .filter_map(|(sql, value)| Some((*sql, value.as_ref()?)));
    for (at, (sql, value)) in given.enumerate() {
        list.sql(sql).sql(if at == 0 { " = " } else { " || '' = " });
        match value.contains('@') {
            // No kind and no id has that character.
            true => list
                .sql("(SELECT 'user:' || u.user_id FROM users u WHERE u.email = ")
                .text(value.to_lowercase())
                .sql(")"),
            false => list.text(value.as_str()),
        };
    }
    if let Some(from_ms) = filter.from_ms {
        list.sql(" AND at_ms >= ").int(from_ms);
    }
    if let Some(to_ms) = filter.to_ms {
        list.sql(" AND at_ms < ").int(to_ms);
    }
    if let Some((at_ms, id)) = before {
        list.sql(" AND (at_ms, id) < (")
            .int(at_ms)
            .sql(", ")
            .int(id)
            .sql(")");
    }
    list.sql(" ORDER BY at_ms DESC, id DESC LIMIT ").int(limit);
    list
}

impl Store {
    /// Writes an entry that belongs to no other change.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_write(&self, _by: System, entry: &AuditEntry) -> Result<(), StoreError> {
        crate::on_write!(self, pool => {
            audit_on!(pool, entry, "audit.write");
        });
        Ok(())
    }

    /// Rows, newest first: those before a time and an id, where these are given. They are the system's.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub async fn audit_list(
        &self,
        scope: &Scope,
        filter: &AuditFilter,
        before: Option<(i64, i64)>,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        if !scope.is_system() {
            return Ok(Vec::new());
        }
        let list = list(filter, before, limit);
        crate::on_page!(self, conn => list.build().build_query_as().fetch_all(conn).await)
            .map_err(StoreError::query(OP_LIST))
    }
}
