//! Probes that are under way: one per node at most, with what has come of each.
//!
//! What comes is put down beside the probe itself and never queued, so that no result can be lost. A probe has passed
//! when the node says so and the receipt that it asked for is durable: with its id, from that node, of source `probe`
//! and of the model that was named.

use dgon_protocol::frame::ProbeResult;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Fields, Source};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// A probe under way.
#[derive(Debug, Clone)]
pub struct OpenProbe {
    /// Its row.
    pub probe_id: String,
    /// The session that it was sent on.
    pub session_id: Option<String>,
    /// The id that its receipt must have.
    pub request_id: RequestId,
    /// The model that its receipt must name.
    pub model: String,
    /// When it was sent, in `Clock::mono_ms`.
    pub asked_mono_ms: i64,
    /// When it is given up.
    pub deadline: Instant,
    /// What the node said of it.
    pub result: Option<ProbeResult>,
    /// Whether its receipt is durable; the reason, where a receipt came that is not the one.
    pub receipt: Option<Result<(), &'static str>>,
}

/// All probes under way.
#[derive(Debug, Default)]
pub struct Probes(Mutex<HashMap<NodeId, OpenProbe>>);

impl Probes {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, OpenProbe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A probe is sent to a node.
    pub fn open(&self, node_id: NodeId, probe: OpenProbe) {
        self.lock().insert(node_id, probe);
    }

    /// The probe of a node.
    pub fn get(&self, node_id: &NodeId) -> Option<OpenProbe> {
        self.lock().get(node_id).cloned()
    }

    /// The probe of a node has ended.
    pub fn close(&self, node_id: &NodeId) {
        self.lock().remove(node_id);
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// A node says how a probe went; true where that probe is under way. What it says first counts, but for `ok`
    /// without its receipt.
    pub fn result(&self, node_id: &NodeId, result: ProbeResult) -> bool {
        let mut probes = self.lock();
        let Some(open) = probes.get_mut(node_id) else {
            return false;
        };
        let is_ours = open.probe_id == result.probe_id;
        if is_ours && open.result.is_none() {
            open.result = Some(result);
        }
        is_ours
    }

    /// A receipt of a node is durable; true where it is the answer to its probe.
    pub fn receipt(&self, fields: &Fields) -> bool {
        let mut probes = self.lock();
        let Some(open) = probes.get_mut(&fields.node_id) else {
            return false;
        };
        if open.request_id != fields.request_id {
            return false;
        }
        open.receipt = Some(if fields.source != Some(Source::Probe) {
            Err("the probe's receipt does not say that its source is a probe")
        } else if fields.model_id != open.model {
            Err("the probe's receipt names another model than the one that was asked for")
        } else {
            Ok(())
        });
        true
    }
}
