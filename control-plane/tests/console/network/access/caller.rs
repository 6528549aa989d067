//! Everybody who calls: people with their roles, programs with the scopes of their keys, nodes, and nobody known.

use super::world::{OTHER, OTHER_ORG, OWN};
use crate::network::OWN_ORG;
use dgon_control_plane::accounts::Role;

/// Who calls, in the order of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    Anonymous,
    Shut,
    Viewer,
    Consumer,
    OtherOperator,
    OtherNode,
    /// A program with all scopes that no route needs yet, of the admin.
    RestKey,
    /// With what a consumer can give it.
    ConsumerKey,
    /// With every scope that a route needs.
    OtherKey,
    ReceiptsKey,
    NodesKey,
    EnrolmentKey,
    ControlKey,
    AdminKey,
    OwnOperator,
    Admin,
    OwnNode,
}

impl Caller {
    /// Strangers to A first.
    pub(super) const ALL: [Self; 17] = [
        Self::Anonymous,
        Self::Shut,
        Self::Viewer,
        Self::Consumer,
        Self::OtherOperator,
        Self::OtherNode,
        Self::RestKey,
        Self::ConsumerKey,
        Self::OtherKey,
        Self::ReceiptsKey,
        Self::NodesKey,
        Self::EnrolmentKey,
        Self::ControlKey,
        Self::AdminKey,
        Self::OwnOperator,
        Self::Admin,
        Self::OwnNode,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Shut => "shut",
            Self::Viewer => "viewer",
            Self::Consumer => "consumer",
            Self::OtherOperator => "other operator",
            Self::OtherNode => "other node",
            Self::RestKey => "rest key",
            Self::ConsumerKey => "consumer key",
            Self::OtherKey => "other key",
            Self::ReceiptsKey => "receipts key",
            Self::NodesKey => "nodes key",
            Self::EnrolmentKey => "enrolment key",
            Self::ControlKey => "control key",
            Self::AdminKey => "admin key",
            Self::OwnOperator => "own operator",
            Self::Admin => "admin",
            Self::OwnNode => "own node",
        }
    }

    pub(super) fn user_id(self) -> String {
        format!("u_{}", self.name().replace(' ', "_"))
    }

    pub(super) fn email(self) -> String {
        format!("{}@example.org", self.name().replace(' ', "."))
    }

    /// Whether it is a person or a program.
    pub(super) fn is_signed_in(self) -> bool {
        self.person().is_some() || self.key().is_some()
    }

    /// Whether nothing of A's is theirs to change.
    pub(super) fn owns_nothing(self) -> bool {
        let owns = [
            Self::ControlKey,
            Self::AdminKey,
            Self::OwnOperator,
            Self::Admin,
            Self::OwnNode,
        ];
        !owns.contains(&self)
    }

    pub(super) fn may_revoke(self) -> bool {
        matches!(self, Self::OwnOperator | Self::Admin)
    }

    /// Role and organisation of a person.
    pub(super) fn person(self) -> Option<(Role, &'static str)> {
        match self {
            Self::Viewer => Some((Role::Viewer, OWN_ORG)),
            Self::Consumer => Some((Role::Consumer, OWN_ORG)),
            Self::OtherOperator => Some((Role::Operator, OTHER_ORG)),
            Self::OwnOperator => Some((Role::Operator, OWN_ORG)),
            Self::Admin => Some((Role::Admin, OWN_ORG)),
            _ => None,
        }
    }

    /// Whose the key of a program is, and what it may be used for.
    pub(super) fn key(self) -> Option<(Self, &'static [&'static str])> {
        const ROUTES: [&str; 4] = [
            "receipts.read",
            "nodes.read",
            "nodes.control",
            "enrolment.write",
        ];
        const REST: [&str; 7] = [
            "gateway",
            "usage.read",
            "leases.read",
            "leases.write",
            "earnings.read",
            "jobs.read",
            "jobs.write",
        ];
        match self {
            Self::RestKey => Some((Self::Admin, &REST)),
            Self::ConsumerKey => Some((Self::Consumer, &["receipts.read", "gateway"])),
            Self::OtherKey => Some((Self::OtherOperator, &ROUTES)),
            Self::ReceiptsKey => Some((Self::OwnOperator, &["receipts.read"])),
            Self::NodesKey => Some((Self::OwnOperator, &["nodes.read"])),
            Self::EnrolmentKey => Some((Self::OwnOperator, &["enrolment.write"])),
            Self::ControlKey => Some((Self::OwnOperator, &["nodes.control"])),
            Self::AdminKey => Some((Self::Admin, &ROUTES)),
            _ => None,
        }
    }

    pub(super) fn node(self) -> Option<usize> {
        match self {
            Self::OtherNode => Some(OTHER),
            Self::OwnNode => Some(OWN),
            _ => None,
        }
    }
}
