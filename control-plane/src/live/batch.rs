//! What the hub hands to all sessions at once.

use dgon_control_plane_store::Scope;

/// What a browser can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Topic {
    Summary,
    Nodes,
    Receipts,
}

/// One frame without its envelope.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: &'static str,
    pub(super) topic: Topic,
    /// The org of the node that it is about; `None` inside for a node without one.
    pub(super) org_id: Option<String>,
    /// JSON.
    pub(super) data: String,
}

impl Batch {
    /// How many receipts in scope were left out.
    pub(super) fn left_out(&self, scope: &Scope) -> u64 {
        let in_scope = self.receipts_left_out.iter();
        let in_scope = in_scope.filter(|(org_id, _)| scope.owns(org_id.as_deref()));
        in_scope.map(|(_, count)| count).sum()
    }
}

impl Item {
    /// Whether it is in scope. The summary is everybody's.
    pub(super) fn is_for(&self, scope: &Scope) -> bool {
        match self.topic {
            Topic::Summary => true,
            Topic::Nodes | Topic::Receipts => scope.owns(self.org_id.as_deref()),
        }
    }
}

/// Frames in the order in which they are sent.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// Events were lost before this batch: every session must read its state anew.
    pub(super) is_gap: bool,
    /// Receipts of each organisation that were too many to be shown one by one.
    pub(super) receipts_left_out: Vec<(Option<String>, u64)>,
}
