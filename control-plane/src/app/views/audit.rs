//! Rows of the audit log as admins see them.

use super::time;
use dgon_control_plane_model::audit_chain::Head;
use dgon_control_plane_store::audit::AuditRow;
use dgon_protocol::key::hex;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// `GET /audit`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditPage {
    /// The rows.
    pub items: Vec<AuditEntryView>,
    /// Continues after the last row; `null` at the end.
    pub next_cursor: Option<String>,
    /// The row before the first that is kept; its number is 0 while none was too old. The chain is computed from its hash on.
    pub begins_after: AuditHead,
    /// The last row that is chained. Who keeps it elsewhere can tell later that nothing before it was changed.
    pub head: AuditHead,
}

/// Where the chain is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditHead {
    /// Number of the row.
    pub seq: i64,
    /// SHA-256 over the row before and what is public of this one, hex.
    pub hash: String,
}

impl From<Head> for AuditHead {
    fn from(head: Head) -> Self {
        Self {
            seq: head.seq,
            hash: hex(&head.hash),
        }
    }
}

/// Who did what to which object.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditEntryView {
    /// Identity.
    pub id: i64,
    /// When.
    pub at: String,
    /// Who: `user:ID`, `node:ID`, `token:ID`, `anonymous`, `cli` or `system`.
    pub actor: String,
    /// The address of the actor now, where that is a person who is there.
    pub actor_email: Option<String>,
    /// What, as `resource.verb`.
    pub action: String,
    /// To which object, as `kind:ID`.
    pub object: String,
    /// The same of the object.
    pub object_email: Option<String>,
    /// The request that did it.
    pub request_id: Option<String>,
    /// Address of the caller.
    pub ip: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What of the object changed, as it was.
    pub before: Option<Value>,
    /// The same as it was then.
    pub after: Option<Value>,
    /// Whether address, reason, before and after were erased with the person.
    pub is_erased: bool,
    /// Whether these cannot be read, which nothing of this server does to them.
    pub is_damaged: bool,
    /// Place in the chain; `null` for a second.
    pub seq: Option<i64>,
    /// The chain up to this row, hex.
    pub hash: Option<String>,
}

impl AuditEntryView {
    /// From the store. A row that somebody damaged hides no other.
    pub fn of(row: &AuditRow) -> Self {
        let read = row.read_facts();
        let is_damaged = read.is_err();
        let facts = read.unwrap_or_default().unwrap_or_default();
        Self {
            id: row.id,
            at: time(row.at_ms),
            actor: row.actor.clone(),
            actor_email: row.actor_email.clone(),
            action: row.action.clone(),
            object: row.object.clone(),
            object_email: row.object_email.clone(),
            request_id: row.request_id.clone(),
            ip: facts.ip,
            reason: facts.reason,
            before: facts.before,
            after: facts.after,
            is_erased: row.is_erased(),
            is_damaged,
            seq: row.seq,
            hash: row.hash.as_deref().map(hex),
        }
    }
}
