//! Whose rows somebody sees. Decided once per request or live session, applied by every query.

use crate::accounts::{Person, Role};
use dgon_control_plane_store::Scope;

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Viewer {
    /// An admin: all rows.
    All,
    /// An operator: the rows of one org.
    Org(String),
    /// Everybody else: the network in numbers, nodes without what tells whose they are, no receipts.
    Public,
}

impl Viewer {
    /// What a person may see.
    pub fn of(person: &Person) -> Self {
        if person.has(Role::Admin) {
            Self::All
        } else if person.has(Role::Operator) {
            Self::Org(person.org_id.clone())
        } else {
            Self::Public
        }
    }

    /// Whose nodes.
    pub fn nodes(&self) -> Scope {
        match self {
            Self::All | Self::Public => Scope::All,
            Self::Org(org_id) => Scope::Org(org_id.clone()),
        }
    }

    /// Whose receipts; `None` for nobody's.
    pub fn receipts(&self) -> Option<Scope> {
        match self {
            Self::All => Some(Scope::All),
            Self::Org(org_id) => Some(Scope::Org(org_id.clone())),
            Self::Public => None,
        }
    }

    /// Whether a node of this org is in sight, with all that is known of it.
    pub fn owns(&self, node_org_id: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Org(org_id) => node_org_id == Some(org_id),
            Self::Public => false,
        }
    }

    /// Whether nodes are shown without what tells whose they are.
    pub fn is_trimmed(&self) -> bool {
        matches!(self, Self::Public)
    }

    /// What the live socket calls this.
    pub fn name(&self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Org(_) => "org",
            Self::Public => "public",
        }
    }
}
