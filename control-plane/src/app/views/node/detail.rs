//! One node, whole.

use super::machine::{GpuView, HeartbeatView, HostView, ModelView, gpu_details, models_detail};
use super::{NodeRow, Now, inventory};
use crate::app::views::{ReceiptRow, time};
use dgon_control_plane_store::assignments::Assignee;
use dgon_control_plane_store::node_queries::NodeDetailRow;
use dgon_control_plane_store::{LifecycleEventRow, Scope};
use dgon_protocol::frame::Heartbeat;
use dgon_protocol::key::PublicKey;
use serde::Serialize;
use utoipa::ToSchema;

/// `GET /nodes/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeDetail {
    /// The row of the list.
    #[serde(flatten)]
    pub row: NodeRow,
    /// The receipt key in use: `ed25519:` and base64.
    pub public_key: String,
    /// Its short name.
    pub key_id: String,
    /// When it joined.
    pub enrolled_at: String,
    /// Operating system.
    pub os: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
    /// The machine.
    pub host: HostView,
    /// Its GPUs, with their load.
    pub gpu_details: Vec<GpuView>,
    /// Its models, with their digests.
    pub models_detail: Vec<ModelView>,
    /// Its last heartbeat.
    pub heartbeat: Option<HeartbeatView>,
    /// The organisation that owns it.
    pub org_id: Option<String>,
    /// What that is called.
    pub org_name: Option<String>,
    /// What is still to be done where it was passed on to this organisation: `enrolment` with a token of it, then `key`, a change
    /// of its key. Until then it opens no session.
    pub handover: Option<String>,
    /// Who takes care of it, in the order in which they came. It gives them no rights.
    pub assignees: Vec<AssigneeView>,
    /// Its last ten receipts.
    pub receipts: Vec<ReceiptRow>,
    /// Changes of state, the newest first. Who made one, and why in words, is told to the organisation whose node it was then.
    pub history: Vec<HistoryView>,
    /// Its chain of receipts.
    pub chain: ChainView,
    /// The last probe that ended.
    pub last_probe: Option<ProbeView>,
}

/// Somebody who takes care of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssigneeView {
    /// Who.
    pub user_id: String,
    /// Their address.
    pub email: String,
    /// Since when.
    pub assigned_at: String,
    /// Who says so: `user:ID`.
    pub assigned_by: String,
    /// Their address, for admins; `null` where it is not told, or they are not known any more.
    pub assigned_by_email: Option<String>,
}

impl AssigneeView {
    /// From a row.
    pub fn of(row: Assignee) -> Self {
        Self {
            user_id: row.user_id,
            email: row.email,
            assigned_at: time(row.assigned_at_ms),
            assigned_by: row.assigned_by,
            assigned_by_email: row.assigned_by_email,
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryView {
    /// When.
    pub at: String,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// Why, from a closed list.
    pub reason: String,
    /// Who; empty where it is withheld.
    pub actor: String,
    /// A sentence for people.
    pub detail: Option<String>,
}

impl HistoryView {
    fn of(scope: &Scope, event: LifecycleEventRow) -> Self {
        let is_own = scope.owns(event.org_id.as_deref());
        Self {
            at: time(event.at_ms),
            from: event.from_state,
            to: event.to_state,
            reason: event.reason,
            actor: Some(event.actor).filter(|_| is_own).unwrap_or_default(),
            detail: event.detail.filter(|_| is_own),
        }
    }
}

/// A chain of receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChainView {
    /// The last position.
    pub head_seq: i64,
    /// Positions that no stored receipt fills.
    pub gaps: Vec<GapView>,
    /// Forks that were seen.
    pub forks: i64,
}

/// Missing positions of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GapView {
    /// First missing.
    pub from: i64,
    /// Last missing.
    pub to: i64,
}

/// A probe that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProbeView {
    /// When.
    pub at: String,
    /// `ok`, `failed`, `no_runtime`, `refused` or `timeout`.
    pub outcome: String,
    /// Why it failed.
    pub message: Option<String>,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
}

impl NodeDetail {
    /// Lays what is known now over what is stored; trimmed where it is not in scope.
    pub fn of(
        scope: &Scope,
        stored: NodeDetailRow,
        receipts: Vec<ReceiptRow>,
        assignees: Vec<Assignee>,
        now: Now<'_>,
    ) -> Self {
        let NodeDetailRow {
            row,
            more,
            history,
            gaps,
            forks,
            last_probe,
        } = stored;
        let inventory = inventory(&row, now);
        let live = now
            .presence
            .and_then(|presence| presence.heartbeat.as_ref());
        let beat: Option<(i64, Heartbeat)> = match live {
            Some((at_ms, beat)) => Some((*at_ms, (**beat).clone())),
            None => row.last_heartbeat_at_ms.zip(
                more.last_heartbeat
                    .as_deref()
                    .and_then(|text| serde_json::from_str(text).ok()),
            ),
        };
        let key = <[u8; 32]>::try_from(more.public_key.as_slice())
            .ok()
            .map(PublicKey::from_bytes);
        let is_own = scope.owns(row.org_id.as_deref());
        let all = Self {
            row: NodeRow::with_inventory(&row, now, &inventory),
            public_key: key.map(|key| key.to_string()).unwrap_or_default(),
            key_id: more.key_id,
            enrolled_at: time(more.enrolled_at_ms),
            os: Some(more.os).filter(|os| !os.is_empty()),
            arch: Some(more.arch).filter(|arch| !arch.is_empty()),
            gpu_details: gpu_details(&inventory, beat.as_ref().map(|beat| &beat.1)),
            models_detail: models_detail(&inventory),
            host: HostView::of(inventory.host),
            heartbeat: beat.map(|(at_ms, beat)| HeartbeatView::of(at_ms, &beat)),
            org_id: row.org_id,
            org_name: more.org_name,
            handover: more.handover,
            assignees: assignees.into_iter().map(AssigneeView::of).collect(),
            receipts,
            history: history
                .into_iter()
                .map(|event| HistoryView::of(scope, event))
                .collect(),
            chain: ChainView {
                head_seq: more.head_seq,
                gaps: gaps
                    .into_iter()
                    .map(|gap| GapView {
                        from: gap.from_seq,
                        to: gap.to_seq,
                    })
                    .collect(),
                forks,
            },
            last_probe: last_probe.map(|probe| ProbeView {
                at: time(probe.finished_at_ms),
                outcome: probe.outcome,
                message: probe.message,
                ttft_ms: probe.ttft_ms,
            }),
        };
        match is_own {
            true => all,
            false => all.trimmed(),
        }
    }

    /// What others may see: how the node does, and nothing about whose machine it is.
    fn trimmed(mut self) -> Self {
        self.row = self.row.trimmed();
        self.host = HostView::default();
        self.org_id = None;
        self.org_name = None;
        self.handover = None;
        self.assignees.clear();
        self.receipts.clear();
        self.last_probe = None;
        for gpu in &mut self.gpu_details {
            gpu.uuid = None;
        }
        self
    }
}
