//! Chains that have waited too long for what is missing: the gap is recorded, and they go on without it.

use super::commit::Committer;
use super::plan::Written;
use crate::app::NodeSession;
use dgon_control_plane_store::Fault;
use dgon_protocol::frame::{Ack, ToAgent};

impl Committer {
    /// Chains that waited too long go on without what is missing.
    pub(super) async fn expire(&mut self) {
        let now_ms = self.now_ms();
        let patience = i64::try_from(self.app.settings.gap_after.as_millis()).unwrap_or(i64::MAX);
        let overdue = self.held.overdue(now_ms.saturating_sub(patience));
        if overdue.is_empty() {
            return;
        }
        let error = match self.write_in_time(&[], &overdue, now_ms).await {
            Ok((written, _)) => return self.went_on(&overdue, written, now_ms),
            Err(error) => error,
        };
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "gaps not recorded; they are tried again"
        );
        if error.fault() != Fault::Data {
            return;
        }
        // One of the chains is to blame: the others go on.
        for key in overdue {
            match self.write_in_time(&[], &[key], now_ms).await {
                Ok((written, _)) => self.went_on(&[key], written, now_ms),
                Err(error) => {
                    let Some(chain) = self.held.forget(key) else {
                        continue;
                    };
                    tracing::error!(
                        node_id = %chain.node.node_id,
                        error = &error as &dyn std::error::Error,
                        "held receipts cannot be stored; the node sends them again"
                    );
                }
            }
        }
    }

    /// Chains went on without what was missing: memory and nodes follow.
    fn went_on(&mut self, keys: &[i64], written: Written, now_ms: i64) {
        let heads = written.heads.clone();
        let nodes: Vec<_> = keys
            .iter()
            .filter_map(|key| Some((*key, self.held.chain(*key)?.node.clone())))
            .collect();
        self.settle(Vec::new(), written, now_ms);
        for (key, node) in nodes {
            let head_seq = heads.get(&key).map_or(0, |head| head.seq);
            self.tell(&node, key, head_seq);
        }
    }

    /// Tells a node, outside of an answer, that its chain went on. The link speaks of the chain in use alone.
    fn tell(&mut self, node: &NodeSession, key: i64, head_seq: u64) {
        if key != node.node_key_id {
            return;
        }
        let node_id = &node.node_id;
        let ack = Ack {
            acked_seq: head_seq,
            refused: Vec::new(),
        };
        self.app.sessions.tell(node_id, ToAgent::Ack(ack));
        if let Some(need) = self.held.dropped(key, head_seq) {
            self.app.sessions.tell(node_id, ToAgent::Need(need));
        }
    }
}
