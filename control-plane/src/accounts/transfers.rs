//! A node passes from one organisation to another, as admins say.

use super::{AccountError, Accounts, Origin, Person};
use dgon_control_plane_store::node_transfers::Transfer;
use dgon_protocol::id::NodeId;

impl Accounts {
    /// Passes a node on to another organisation. The server's memory of the node does not follow by itself: see
    /// `App::node_passed_on`.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] for the node or the organisation, [`AccountError::NodeGone`],
    /// [`AccountError::SameOrganisation`], or a fault of the store.
    pub async fn node_transfer(
        &self,
        person: &Person,
        node_id: &NodeId,
        org_id: &str,
        reason: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        if org_id.contains('\0') {
            return Err(AccountError::NotFound("organisation"));
        }
        let actor = person.audit_name();
        let object = format!("node:{node_id}");
        let mut audit = self.audit(&actor, "node.transfer", object, origin);
        audit.facts.reason = Some(reason.to_owned());
        let (scope, whither) = (person.scope(), (node_id.as_str(), org_id));
        match self.store.node_transfer(&scope, whither, &audit).await? {
            Transfer::Done => Ok(()),
            Transfer::NoNode => Err(AccountError::NotFound("node")),
            Transfer::Retired => Err(AccountError::NodeGone),
            Transfer::SameOrganisation => Err(AccountError::SameOrganisation),
            Transfer::NoOrganisation => Err(AccountError::NotFound("organisation")),
        }
    }
}
