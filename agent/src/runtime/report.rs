//! What the last look at an endpoint came to, for people: of runtimes that answer, and of places that the owner named
//! and where none does.

use super::{FoundRuntime, Readiness, RuntimeKind};
use dgon_protocol::frame::Model;
use serde::{Deserialize, Serialize};

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Its address.
    pub url: String,
    /// Whether the owner named it under `runtimes.endpoints`.
    pub is_named: bool,
    /// What the last look came to.
    #[serde(flatten)]
    pub state: EndpointState,
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EndpointState {
    /// The first look has not ended.
    NotLookedAt,
    /// No runtime answers.
    Away {
        /// Why, in a few words.
        reason: String,
    },
    /// One does.
    Found(RuntimeReport),
}

/// A runtime that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuntimeReport {
    /// Which server it is, as the configuration calls it.
    pub kind: String,
    /// Its version where it tells.
    pub version: Option<String>,
    /// Whether it takes requests now.
    pub readiness: Readiness,
    /// Whether its list of models asks for an API key that was not given, or refuses the given one.
    pub asks_for_key: bool,
    /// What it serves.
    pub models: Vec<Model>,
}

impl RuntimeReport {
    /// Which server it is; `None` where this version does not know it.
    pub fn kind(&self) -> Option<RuntimeKind> {
        RuntimeKind::named(&self.kind)
    }

    /// Whether it takes requests now.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready
    }
}

impl From<&FoundRuntime> for RuntimeReport {
    fn from(found: &FoundRuntime) -> Self {
        Self {
            kind: found.kind.config_name().to_owned(),
            version: found.version.clone(),
            readiness: found.readiness.clone(),
            asks_for_key: found.asks_for_key,
            models: found.models.clone(),
        }
    }
}

impl EndpointReport {
    /// The runtime that answers there.
    pub fn runtime(&self) -> Option<&RuntimeReport> {
        match &self.state {
            EndpointState::Found(runtime) => Some(runtime),
            EndpointState::NotLookedAt | EndpointState::Away { .. } => None,
        }
    }

    /// Why none answers, where the owner said that one does.
    pub fn why_away(&self) -> Option<&str> {
        match &self.state {
            EndpointState::Away { reason } if self.is_named => Some(reason),
            EndpointState::Away { .. } | EndpointState::NotLookedAt | EndpointState::Found(_) => {
                None
            }
        }
    }
}
