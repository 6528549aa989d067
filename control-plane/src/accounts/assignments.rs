//! Who takes care of which node, as admins say. It names somebody and gives no rights: these come from roles.

use super::{AccountError, Accounts, Origin, Person};
use dgon_control_plane_store::assignments::{Assigned, AssignedNode, Assignee, Assignment};
use dgon_control_plane_store::node_queries::NodeFilter;
use dgon_protocol::id::NodeId;
use serde_json::json;

/// A node, and who takes care of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaredNode {
    /// The node.
    pub node: AssignedNode,
    /// Its people, in the order in which they came.
    pub assignees: Vec<Assignee>,
}

/// Some nodes, by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaredNodes {
    /// The nodes.
    pub items: Vec<CaredNode>,
    /// The last of them, where there are more.
    pub next: Option<String>,
}

impl Accounts {
    /// Assigns somebody to a node, or ends that.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] for the node, [`AccountError::NodeRetired`], [`AccountError::CannotCare`],
    /// [`AccountError::TooManyAssignees`], or a fault of the store.
    pub async fn node_assign(
        &self,
        person: &Person,
        node_id: &NodeId,
        (user_id, is_assigned): (&str, bool),
        reason: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        if user_id.contains('\0') {
            return Err(AccountError::CannotCare);
        }
        let action = if is_assigned {
            "node.assign"
        } else {
            "node.unassign"
        };
        let mut audit = self.audit(
            &person.audit_name(),
            action,
            format!("node:{node_id}"),
            origin,
        );
        audit.facts.reason = reason.map(str::to_owned);
        let facts = |is_assigned: bool| json!({ "user_id": user_id, "is_assigned": is_assigned });
        audit.facts.before = Some(facts(!is_assigned));
        audit.facts.after = Some(facts(is_assigned));
        let (scope, who) = (person.scope(), (node_id.as_str(), user_id));
        let assignment = match is_assigned {
            true => self.store.node_assign(&scope, who, &audit).await?,
            false => self.store.node_unassign(&scope, who, &audit).await?,
        };
        match assignment {
            Assignment::Changed | Assignment::Unchanged => Ok(()),
            Assignment::NoNode => Err(AccountError::NotFound("node")),
            Assignment::Retired => Err(AccountError::NodeRetired),
            Assignment::NoMember => Err(AccountError::CannotCare),
            Assignment::TooMany => Err(AccountError::TooManyAssignees),
        }
    }

    /// Who takes care of a node that this person may see.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn node_assignees(
        &self,
        person: &Person,
        node_id: &NodeId,
    ) -> Result<Vec<Assignee>, AccountError> {
        let (scope, of_node) = (person.scope(), [node_id.as_str()]);
        let assignees = self.store.node_assignees(&scope, &of_node);
        Ok(assignees.await?)
    }

    /// Nodes with those who take care of them, for an admin, by their ids.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn assignment_list(
        &self,
        person: &Person,
        (assigned, id_part): (Option<Assigned>, Option<String>),
        after: Option<&str>,
        limit: u32,
    ) -> Result<CaredNodes, AccountError> {
        let scope = person.scope();
        let filter = NodeFilter {
            assigned,
            id_part,
            ..NodeFilter::default()
        };
        let limit = limit as usize;
        // One more tells whether there is a next page.
        let asked = limit as i64 + 1;
        let mut nodes = self
            .store
            .assignment_list(&scope, &filter, after, asked)
            .await?;
        let has_more = nodes.len() > limit;
        nodes.truncate(limit);
        let ids: Vec<&str> = nodes.iter().map(|node| node.node_id.as_str()).collect();
        let assignees = self.store.node_assignees(&scope, &ids).await?;
        let of_node = |node: &AssignedNode| {
            let of_it = assignees.iter().filter(|who| who.node_id == node.node_id);
            of_it.cloned().collect()
        };
        let next = nodes.last().filter(|_| has_more);
        Ok(CaredNodes {
            next: next.map(|node| node.node_id.clone()),
            items: nodes
                .iter()
                .map(|node| CaredNode {
                    node: node.clone(),
                    assignees: of_node(node),
                })
                .collect(),
        })
    }
}
