//! What the control plane asks for and what becomes of it: `probe`, `job`, `control`.

use super::Permission;
use crate::id::RequestId;
use crate::text::{self, MODEL_CHARS, NAME_CHARS, TEXT_CHARS};
use serde::{Deserialize, Serialize};

/// `probe`: serve a known prompt on the path that consumers' requests take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Probe))]
pub struct Probe {
    /// Comes back in the result.
    #[serde(deserialize_with = "text::name::<_, NAME_CHARS>")]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64))]
    pub probe_id: String,
    /// `request_id` that the receipt must carry.
    pub request_id: RequestId,
    /// Which model; absent lets the agent take the first that is loaded, else the first it has.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "text::optional_name::<_, MODEL_CHARS>"
    )]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 256))]
    pub model: Option<String>,
    /// The prompt, at most 512 characters.
    #[serde(deserialize_with = "text::whole::<_, TEXT_CHARS>")]
    #[cfg_attr(feature = "schema", schema(max_length = 512))]
    pub prompt: String,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// When to give up, ms.
    pub timeout_ms: u32,
}

/// `probe_result`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::ProbeResult))]
pub struct ProbeResult {
    /// Which probe.
    pub probe_id: String,
    /// The receipt's id; absent where no request was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// How it went.
    pub outcome: ProbeOutcome,
    /// Why it failed, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Prompt tokens.
    #[serde(default)]
    pub tokens_input: u64,
    /// Generated tokens.
    #[serde(default)]
    pub tokens_output: u64,
    /// Time to first token, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// Total time, ms.
    #[serde(default)]
    pub latency_ms: u64,
}

/// How a probe went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::ProbeOutcome))]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// An answer came.
    Ok,
    /// The runtime failed.
    Failed,
    /// No runtime or no model.
    NoRuntime,
    /// The owner does not allow probes, or has paused the node.
    Refused,
    /// It took too long.
    Timeout,
}

/// `job`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Job))]
pub struct Job {
    /// Name of the job.
    #[serde(deserialize_with = "text::name::<_, NAME_CHARS>")]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64))]
    pub job_id: String,
    /// What kind of work; must be in the node's `allow`.
    pub kind: Permission,
    /// What to do.
    pub spec: serde_json::Value,
    /// When to give up, s.
    pub timeout_s: u32,
}

/// `job_cancel`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::JobCancel))]
pub struct JobCancel {
    /// Name of the job.
    #[serde(deserialize_with = "text::name::<_, NAME_CHARS>")]
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64))]
    pub job_id: String,
}

/// `job_update`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::JobUpdate))]
pub struct JobUpdate {
    /// Name of the job.
    pub job_id: String,
    /// `accepted`, `running` or `refused`.
    pub state: String,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `job_result`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::JobResult))]
pub struct JobResult {
    /// Name of the job.
    pub job_id: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// What came out.
    #[serde(default)]
    pub output: serde_json::Value,
}

/// `control`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Control))]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Control {
    /// Take no new work.
    Pause,
    /// Take work again.
    Resume,
    /// Finish what runs, take nothing new.
    Drain,
    /// Look again at GPUs, runtimes and models.
    Refresh,
    /// Change a setting that the owner lets the network change.
    SetConfig {
        /// The settings.
        config: serde_json::Map<String, serde_json::Value>,
    },
}
