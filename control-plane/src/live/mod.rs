//! Live updates for browsers over one WebSocket each.
//!
//! One [`Hub`] task per process reads the bus, joins what belongs together, serialises each event once and hands every
//! session the same batch; a session only picks what is in its sight (`batch`) and numbers it (`socket`). Nobody waits
//! for a slow browser: it loses batches, is told so by a gap in `seq` and a fresh snapshot, and when that does not help
//! it is closed with a reason. The hub runs only while somebody looks.
//!
//! Frames to the browser: `{"type", "data", "ts", "seq"}` with `hello`, `snapshot`, `subscribed`, `summary`, `node`,
//! `heartbeat`, `receipt`, `missed`, `ping`, `error`. Frames from it: `{"type": "sub", "topics": […], "since"?}`.
//!
//! `subscribed` answers `sub`. What was committed before it is in every answer over HTTP that is asked for after it, apart
//! from the network's figures, which are a second old at most (quarters of an hour that are over a minute); what is committed
//! later is told. A console reads once more when it gets it, and so has no hole at its start.
//!
//! Strangers are told the network's figures and nothing of nodes, though they may read them trimmed; so is everybody of the nodes
//! of others, and reads them again while they are on screen. What all nodes do, told to every open page, would grow with both.
//!
//! Bounds: batches queued per session [`BATCHES_QUEUED`], sessions [`SESSIONS_MAX`], receipts per batch,
//! heartbeats and nodes per batch (`pending`), bytes of what a browser sends ([`BOUNDS`]) and its rate (`session`).

mod batch;
mod frame;
mod hub;
mod newest;
mod pending;
mod session;
mod socket;

pub use frame::{BOUNDS, CLOSE_LATER, CLOSE_SIGN_IN, FromBrowser, ToBrowser};
pub use hub::{BATCHES_QUEUED, Hub, SESSIONS_MAX};
pub use session::{Access, serve};
