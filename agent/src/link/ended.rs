//! How a session ends.

use super::dial::DialError;
use crate::own_command::own_command;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::LinkError;
use std::time::Duration;

/// How long to stay away from a control plane that broke the protocol.
const AFTER_FAULT: Duration = Duration::from_secs(60);

/// What a node can do whose link another one has.
fn replaced() -> String {
    format!(
        "another agent with the identity of this node took the link over. A node runs on one machine: stop the agent \
         on the other one, or give this machine an empty state directory and enrol it as a node of its own (`{}` says \
         how). If the other one is not yours, somebody has a copy of this state directory: run `{}` here. This \
         machine's own users are served, and the link is tried again by itself",
        own_command("doctor"),
        own_command("key rotate")
    )
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// This agent stops.
    Stopped,
    /// A newer session of this node took over, as a control plane says that has proven itself.
    Replaced,
    /// It broke, or never came to be.
    Failed {
        reason: String,
        retry_after: Option<Duration>,
    },
}

impl Ended {
    /// It broke: tried again soon.
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed {
            reason: reason.into(),
            retry_after: None,
        }
    }

    /// The control plane does what none does: tried again after a while.
    pub(super) fn fault(reason: impl Into<String>) -> Self {
        Self::Failed {
            reason: reason.into(),
            retry_after: Some(AFTER_FAULT),
        }
    }

    /// The control plane, which has proven itself, ended the session.
    pub(super) fn told(error: &LinkError) -> Self {
        if error.kind == ErrorType::Replaced {
            return Self::Replaced;
        }
        Self::Failed {
            reason: format!(
                "the control plane ended the session: {} ({})",
                error.message, error.kind
            ),
            retry_after: error
                .retry_after_s
                .map(|seconds| Duration::from_secs(seconds.into())),
        }
    }

    /// Somebody who has not proven that it is the control plane says this. It ends the attempt and nothing else.
    pub(super) fn told_unproven(error: &LinkError) -> Self {
        Self::failed(format!(
            "the control plane refused the session: {} ({})",
            error.message, error.kind
        ))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("this agent stops"),
            Self::Replaced => f.write_str(&replaced()),
            Self::Failed { reason, .. } => f.write_str(reason),
        }
    }
}

impl From<DialError> for Ended {
    fn from(error: DialError) -> Self {
        Self::Failed {
            retry_after: error.retry_after(),
            reason: dgon_agent_core::error::chain(&error),
        }
    }
}
