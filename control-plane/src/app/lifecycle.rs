//! Lifecycle state in memory, and the one way to change it.
//!
//! The database is the truth; memory follows it, so that ingest and the lifecycle task need no query per
//! node. A change is written with its event first, then seen in memory, on the bus and by the agent.

use super::App;
use crate::bus::Event as BusEvent;
use dgon_control_plane_model::lifecycle::{Event, Reason, State, Transition, transition};
use dgon_control_plane_store::audit::{AuditEntry, AuditFacts};
use dgon_control_plane_store::{LifecycleChange, NodeState, Scope, StoreError, System};
use dgon_protocol::frame::{LifecycleStatus, NodeStatus};
use dgon_protocol::id::NodeId;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Races with other processes that are waited out before a change is given up.
const TRIES: usize = 4;

/// Where one node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeLife {
    /// State.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Since when, in [`super::Clock::mono_ms`]; what was so before this process counts from its start.
    pub since_mono_ms: i64,
}

impl NodeLife {
    /// What the node is told.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            // A retired node holds no session; if it did, it would not serve.
            status: self.state.shown().unwrap_or(LifecycleStatus::Offline),
            reason: self.reason.as_str().into(),
        }
    }
}

/// Who made something happen, and why.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// `system`, `node:ID`, `user:ID` or `key:ID`.
    pub actor: &'a str,
    /// Of a key, whose it is: `user:ID`.
    pub owner: Option<&'a str>,
    /// A sentence for people.
    pub detail: Option<&'a str>,
    /// Address of the caller.
    pub ip: Option<&'a str>,
    /// The request that did it.
    pub request_id: Option<&'a str>,
}

impl<'a> Cause<'a> {
    /// The program itself.
    pub fn system(detail: Option<&'a str>) -> Self {
        Self {
            actor: "system",
            owner: None,
            detail,
            ip: None,
            request_id: None,
        }
    }

    pub(crate) fn audit(
        &self,
        node_id: &NodeId,
        from: State,
        next: Transition,
        at_ms: i64,
    ) -> AuditEntry {
        AuditEntry {
            at_ms,
            actor: self.actor.to_owned(),
            action: "node.lifecycle".to_owned(),
            object: format!("node:{node_id}"),
            request_id: self.request_id.map(str::to_owned),
            facts: AuditFacts {
                before: Some(json!({ "status": from.as_str() })),
                after: Some(
                    json!({ "status": next.to.as_str(), "status_reason": next.reason.as_str() }),
                ),
                ..self.facts()
            },
        }
    }

    /// Where it comes from and why, for the audit log.
    pub(crate) fn facts(&self) -> AuditFacts {
        AuditFacts {
            ip: self.ip.map(str::to_owned),
            reason: self.detail.map(str::to_owned),
            after: self
                .owner
                .map(|owner| serde_json::json!({ "owner": owner })),
            ..AuditFacts::default()
        }
    }
}

/// Where every node is that is not retired.
#[derive(Debug, Default)]
pub struct Lifecycles(Mutex<HashMap<NodeId, NodeLife>>);

impl Lifecycles {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, NodeLife>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where one node is.
    pub fn get(&self, node_id: &NodeId) -> Option<NodeLife> {
        self.lock().get(node_id).copied()
    }

    /// Where all nodes are.
    pub fn all(&self) -> Vec<(NodeId, NodeLife)> {
        self.lock()
            .iter()
            .map(|(id, life)| (id.clone(), *life))
            .collect()
    }

    /// Takes over what the database says.
    pub fn replace(&self, states: Vec<NodeState>, mono_ms: i64) {
        let fresh = states.into_iter().map(|node| {
            let life = NodeLife {
                state: node.state,
                reason: node.reason,
                since_mono_ms: mono_ms,
            };
            (node.node_id, life)
        });
        *self.lock() = fresh.collect();
    }

    /// A node that was `old` here becomes `new`; false where it is something else here, so that somebody must ask the
    /// database.
    pub fn change(
        &self,
        node_id: &NodeId,
        old: (State, Reason),
        new: Transition,
        mono_ms: i64,
    ) -> bool {
        let known = self.get(node_id).map(|life| (life.state, life.reason));
        if known.is_some_and(|known| known != old) {
            return false;
        }
        self.set(node_id, new.to, new.reason, mono_ms);
        true
    }

    /// A node is new, or changed at this time of [`super::Clock::mono_ms`].
    pub fn set(&self, node_id: &NodeId, state: State, reason: Reason, mono_ms: i64) {
        let mut lives = self.lock();
        if state == State::Retired {
            lives.remove(node_id);
            return;
        }
        let life = NodeLife {
            state,
            reason,
            since_mono_ms: mono_ms,
        };
        lives.insert(node_id.clone(), life);
    }
}

impl App {
    /// Something happened to a node: applies the table, writes the change, tells everybody. `None` when the
    /// table says that nothing changes, or there is no such node in scope.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn node_event(
        &self,
        scope: &Scope,
        node_id: &NodeId,
        event: Event,
        cause: Cause<'_>,
    ) -> Result<Option<Transition>, StoreError> {
        for attempt in 0..TRIES {
            let known = match self.lifecycles.get(node_id) {
                Some(life) if attempt == 0 => Some((life.state, life.reason)),
                _ => match self.store.node_get(scope, node_id).await? {
                    Some(row) => Some(row.lifecycle()?),
                    None => None,
                },
            };
            let Some(old) = known else { return Ok(None) };
            let Some(next) = transition(old.0, old.1, event) else {
                return Ok(None);
            };
            let at_ms = self.clock.now_ms();
            let change = LifecycleChange {
                node_id,
                old,
                new: (next.to, next.reason),
                at_ms,
                actor: cause.actor,
                detail: cause.detail,
                audit: &cause.audit(node_id, old.0, next, at_ms),
            };
            if self.store.node_transitions(scope, &[change]).await? == [true] {
                self.node_changed(node_id, old, next);
                return Ok(Some(next));
            }
            // Somebody else was faster; the database knows what holds now.
        }
        tracing::warn!(%node_id, ?event, "a lifecycle change lost every race and was given up");
        Ok(None)
    }

    /// Another process changed a node: memory follows the database.
    pub(crate) async fn lifecycle_read(&self, node_id: &NodeId) -> Result<(), StoreError> {
        let scope = Scope::from(System::of_the_server());
        if let Some(row) = self.store.node_get(&scope, node_id).await? {
            let (state, reason) = row.lifecycle()?;
            let known = self.lifecycles.get(node_id);
            if known.is_none_or(|life| (life.state, life.reason) != (state, reason)) {
                let mono_ms = self.clock.mono_ms();
                self.lifecycles.set(node_id, state, reason, mono_ms);
                if state == State::Retired {
                    self.forget_node(node_id);
                    self.sessions.end(node_id, super::SessionEnd::Retired);
                }
                if let Some(life) = self.lifecycles.get(node_id) {
                    self.sessions.status(node_id, life.status());
                }
                self.bus.send(BusEvent::Node {
                    node_id: node_id.clone(),
                });
            }
        }
        self.attention.look_at(node_id);
        Ok(())
    }

    /// A change is durable: memory, the agent and everybody who looks are told.
    pub(crate) fn node_changed(&self, node_id: &NodeId, old: (State, Reason), next: Transition) {
        tracing::info!(%node_id, state = next.to.as_str(), reason = next.reason.as_str(), "node changed");
        let mono_ms = self.clock.mono_ms();
        if !self.lifecycles.change(node_id, old, next, mono_ms) {
            // Two changes crossed between database and memory: which was last, the database knows.
            self.attention.unsure_of(node_id);
            return;
        }
        if next.to == State::Retired {
            self.forget_node(node_id);
            self.sessions.end(node_id, super::SessionEnd::Retired);
        } else if let Some(life) = self.lifecycles.get(node_id) {
            self.sessions.status(node_id, life.status());
        }
        self.bus.send(BusEvent::Node {
            node_id: node_id.clone(),
        });
        self.attention.look_at(node_id);
    }
}
