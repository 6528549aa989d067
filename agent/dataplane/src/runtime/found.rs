//! What is known of one runtime.

use super::{Access, Endpoint, RuntimeKind};
use dgon_agent_core::request::ollama_name::{is_cloud_name, is_same_model};
use dgon_protocol::frame;
use serde::{Deserialize, Serialize};

/// Whether a runtime takes requests now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is loading its model.
    Loading,
    /// It answers, and says that it cannot serve.
    Unready {
        /// What it says, in a few words.
        reason: String,
    },
}

/// One runtime that answers.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRuntime {
    /// Which server it is.
    pub kind: RuntimeKind,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Its version where it tells.
    pub version: Option<String>,
    /// Whether it takes requests now.
    pub readiness: Readiness,
    /// What it serves.
    pub models: Vec<frame::Model>,
    /// Names of models that it lists and has served elsewhere. They are not this node's.
    pub remote_models: Vec<String>,
    /// Requests that it is working on, where it tells.
    pub running: Option<u32>,
    /// Requests that wait in it, where it tells.
    pub queue: Option<u32>,
    /// How full its KV cache is, 0 to 1, where it tells.
    pub kv_cache: Option<f32>,
    /// Whether its list of models asks for an API key that the agent was not given, or refuses the given one.
    pub asks_for_key: bool,
    /// What it takes to speak to it.
    pub access: Access,
}

impl FoundRuntime {
    /// A ready runtime of which no more is known than what it is and where.
    pub fn new(kind: RuntimeKind, endpoint: Endpoint) -> Self {
        Self {
            kind,
            endpoint,
            version: None,
            readiness: Readiness::Ready,
            models: Vec::new(),
            remote_models: Vec::new(),
            running: None,
            queue: None,
            kv_cache: None,
            asks_for_key: false,
            access: Access::default(),
        }
    }

    /// Whether it takes requests now.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready
    }

    /// Its entry in the inventory.
    pub fn to_wire(&self) -> frame::Runtime {
        frame::Runtime {
            kind: self.kind.as_str().to_owned(),
            version: self.version.clone(),
            ready: self.is_ready(),
            models: self.models.clone(),
        }
    }

    /// The model that a request means by `name`. Ollama reads several spellings as one; TGI calls its own `tgi`.
    pub fn model(&self, name: &str) -> Option<&frame::Model> {
        let exact = self.models.iter().find(|model| model.id == name);
        exact.or_else(|| match self.kind {
            RuntimeKind::Ollama => self
                .models
                .iter()
                .find(|model| is_same_model(&model.id, name)),
            RuntimeKind::Tgi if name == "tgi" => self.models.first(),
            _ => None,
        })
    }

    /// Whether it has requests for `name` served elsewhere: its list says so, or the name itself.
    pub fn is_remote(&self, name: &str) -> bool {
        self.kind == RuntimeKind::Ollama && (is_cloud_name(name) || self.lists_remote(name))
    }

    /// Whether its list says that it has requests for `name` served elsewhere.
    pub fn lists_remote(&self, name: &str) -> bool {
        self.remote_models
            .iter()
            .any(|one| is_same_model(one, name))
    }

    /// The model that answers a request that names none: only where it has one alone, and asks for no name.
    pub fn only_model(&self) -> Option<&frame::Model> {
        match self.models.as_slice() {
            [only] if self.kind.behaviour().any_name => Some(only),
            _ => None,
        }
    }
}
