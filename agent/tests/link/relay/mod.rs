//! Relayed streams through the real proxy, over a real WebSocket.

mod answers;
mod refusals;
mod rig;
