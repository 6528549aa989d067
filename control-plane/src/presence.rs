//! Who is connected and how they do, in memory.
//!
//! Heartbeats land here at once and are written in batches by a task. After a restart the database's last
//! heartbeat stands until the next one comes. One entry per enrolled node that was seen: bounded by the nodes.

use dgon_protocol::frame::{Heartbeat, Inventory, Permission};
use dgon_protocol::id::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of one node now.
#[derive(Debug, Clone, Default)]
pub struct NodePresence {
    /// The session that is open, if one is.
    pub session_id: Option<String>,
    /// The last heartbeat and when it came, unix ms.
    pub heartbeat: Option<(i64, Arc<Heartbeat>)>,
    /// What the node has, as it said in this session.
    pub inventory: Option<Arc<Inventory>>,
    /// When the last session opened, unix ms; 0 for never.
    pub connected_at_ms: i64,
    /// When something was last heard of it, in `Clock::mono_ms`; `None` for never.
    pub heard_mono_ms: Option<i64>,
    /// What the owner lets the control plane ask for.
    pub allow: Vec<Permission>,
    /// Time of the newest heartbeat that came over node HTTP, by the node's clock, unix ms.
    http_clock_ms: i64,
    agent: Option<Arc<AgentInfo>>,
    dirty: bool,
    report_dirty: bool,
    raw_minute: i64,
}

/// What an agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentInfo {
    /// Its version.
    pub version: String,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
}

/// What a node says when its session opens.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Of its agent.
    pub agent: AgentInfo,
    /// What it has.
    pub inventory: Inventory,
    /// What its owner lets the control plane ask for.
    pub allow: Vec<Permission>,
}

/// A report that the database does not have.
#[derive(Debug, Clone)]
pub struct UnwrittenReport {
    /// Which node.
    pub node_id: NodeId,
    /// When its session opened, unix ms.
    pub connected_at_ms: i64,
    /// Of its agent.
    pub agent: Arc<AgentInfo>,
    /// What it has.
    pub inventory: Arc<Inventory>,
    /// What its owner lets the control plane ask for.
    pub allow: Vec<Permission>,
}

/// A heartbeat that the database does not have.
#[derive(Debug, Clone)]
pub struct Unwritten {
    /// Which node.
    pub node_id: NodeId,
    /// When it came, unix ms.
    pub at_ms: i64,
    /// What it says.
    pub heartbeat: Arc<Heartbeat>,
    /// The first of its minute: kept raw, too.
    pub keep_raw: bool,
}

impl NodePresence {
    /// Whether a session is open.
    pub fn is_connected(&self) -> bool {
        self.session_id.is_some()
    }

    /// Whether a runtime that has a model takes requests.
    pub fn has_ready_runtime(&self) -> bool {
        self.inventory.as_ref().is_some_and(|inventory| {
            inventory
                .runtimes
                .iter()
                .any(|runtime| runtime.ready && !runtime.models.is_empty())
        })
    }
}

impl NodePresence {
    /// The model that a probe asks for: one that is loaded, where there is one, of a runtime that takes requests.
    pub fn probe_model(&self) -> Option<&str> {
        let inventory = self.inventory.as_ref()?;
        let ready = inventory.runtimes.iter().filter(|runtime| runtime.ready);
        let mut models = ready.flat_map(|runtime| &runtime.models);
        let first = models.clone().next()?;
        let loaded = models.find(|model| model.loaded == Some(true));
        Some(loaded.unwrap_or(first).id.as_str())
    }
}

/// All nodes that were seen since this process started.
#[derive(Debug, Default)]
pub struct Presence(Mutex<HashMap<NodeId, NodePresence>>);

impl Presence {
    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeId, NodePresence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a node.
    pub fn get(&self, node_id: &NodeId) -> Option<NodePresence> {
        self.nodes().get(node_id).cloned()
    }

    /// A copy of everything; entries are small and share their parts.
    pub fn all(&self) -> Vec<(NodeId, NodePresence)> {
        self.nodes()
            .iter()
            .map(|(id, presence)| (id.clone(), presence.clone()))
            .collect()
    }

    /// How many sessions are open.
    pub fn connected(&self) -> usize {
        self.nodes()
            .values()
            .filter(|node| node.is_connected())
            .count()
    }

    /// A session opened; it replaces an older one. [`crate::app::Sessions`] decides which is the newer.
    /// `at` is the wall clock's time and `Clock::mono_ms`.
    pub fn connect(&self, node_id: &NodeId, session_id: String, at: (i64, i64), report: Report) {
        let mut nodes = self.nodes();
        let node = nodes.entry(node_id.clone()).or_default();
        node.session_id = Some(session_id);
        (node.connected_at_ms, node.heard_mono_ms) = (at.0, Some(at.1));
        node.inventory = Some(Arc::new(report.inventory));
        node.allow = report.allow;
        node.agent = Some(Arc::new(report.agent));
        node.report_dirty = true;
    }

    /// A session closed; nothing happens when a newer one is there.
    pub fn disconnect(&self, node_id: &NodeId, session_id: &str) {
        if let Some(node) = self.nodes().get_mut(node_id)
            && node.session_id.as_deref() == Some(session_id)
        {
            node.session_id = None;
        }
    }

    /// The node says on a session what it has. What an older session still says does not count.
    pub fn inventory(&self, node_id: &NodeId, session_id: Option<&str>, inventory: Inventory) {
        if let Some(node) = self.nodes().get_mut(node_id)
            && node.session_id.as_deref() == session_id
        {
            node.inventory = Some(Arc::new(inventory));
            node.report_dirty = true;
        }
    }

    /// A heartbeat came, `at` the wall clock's time and `Clock::mono_ms`. How long the node had been silent, ms.
    pub fn heartbeat(&self, node_id: &NodeId, at: (i64, i64), heartbeat: Heartbeat) -> i64 {
        let mut nodes = self.nodes();
        let node = nodes.entry(node_id.clone()).or_default();
        node.heartbeat = Some((at.0, Arc::new(heartbeat)));
        node.dirty = true;
        let before = node.heard_mono_ms.replace(at.1);
        before.map_or(i64::MAX, |before| at.1.saturating_sub(before))
    }

    /// A heartbeat came over node HTTP with this time; false when it is not newer than the last one.
    pub fn advance_http_clock(&self, node_id: &NodeId, sent_ms: i64) -> bool {
        let mut nodes = self.nodes();
        let node = nodes.entry(node_id.clone()).or_default();
        let is_newer = sent_ms > node.http_clock_ms;
        node.http_clock_ms = node.http_clock_ms.max(sent_ms);
        is_newer
    }

    /// Takes the reports that are not written yet.
    pub fn take_unwritten_reports(&self) -> Vec<UnwrittenReport> {
        self.nodes()
            .iter_mut()
            .filter(|(_, node)| node.report_dirty)
            .filter_map(|(id, node)| {
                node.report_dirty = false;
                Some(UnwrittenReport {
                    node_id: id.clone(),
                    connected_at_ms: node.connected_at_ms,
                    agent: node.agent.clone()?,
                    inventory: node.inventory.clone()?,
                    allow: node.allow.clone(),
                })
            })
            .collect()
    }

    /// Reports that could not be written are taken again the next time, unless the node has said more since.
    pub fn reports_not_written(&self, reports: &[UnwrittenReport]) {
        let mut nodes = self.nodes();
        for report in reports {
            if let Some(node) = nodes.get_mut(&report.node_id) {
                node.report_dirty = true;
            }
        }
    }

    /// Heartbeats that could not be written are taken again the next time: each node's latest.
    pub fn heartbeats_not_written(&self, beats: &[Unwritten]) {
        let mut nodes = self.nodes();
        for beat in beats {
            if let Some(node) = nodes.get_mut(&beat.node_id) {
                node.dirty = true;
                if beat.keep_raw {
                    node.raw_minute = 0;
                }
            }
        }
    }

    /// Takes the heartbeats that are not written yet.
    pub fn take_unwritten(&self) -> Vec<Unwritten> {
        self.nodes()
            .iter_mut()
            .filter(|(_, node)| node.dirty)
            .filter_map(|(id, node)| {
                node.dirty = false;
                let (at_ms, heartbeat) = node.heartbeat.clone()?;
                let minute = at_ms.div_euclid(60_000);
                let keep_raw = std::mem::replace(&mut node.raw_minute, minute) != minute;
                Some(Unwritten {
                    node_id: id.clone(),
                    at_ms,
                    heartbeat,
                    keep_raw,
                })
            })
            .collect()
    }
}
