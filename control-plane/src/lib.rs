//! The control plane: enrols nodes, verifies and keeps receipts, runs the node lifecycle, serves the console.
//!
//! `http` → `app` → the store crate; `link` and `tasks` → `app`; `live` reads the `bus`; `live` and `link` speak over a `socket`.
//! Only the commands import `http`, and the link its errors and the door of nodes.
//!
//! | module | owns |
//! |---|---|
//! | [`accounts`] | people: sign-in, sessions, one-time links, enrolment tokens, flags |
//! | [`app`] | the shared state that every part works on |
//! | [`bus`] | typed events, in memory |
//! | [`presence`] | who is connected and how they do, in memory |
//! | `rate_limit` | so many tries in a while, for addresses, accounts and sessions |
//! | [`oidc`] | issuers of OpenID Connect: discovery, keys, ID tokens |
//! | [`ingest`] | receipts: verify, chain, group commit |
//! | [`link`] | WebSocket sessions of agents |
//! | [`live`] | WebSocket sessions of browsers |
//! | [`socket`] | WebSockets: handshake, bounds, threads |
//! | [`supervisor`] | notices when a task ended that should run |
//! | [`tasks`] | what runs by itself: lifecycle, probes, retention |
//! | [`http`] | the HTTP API and the console |
//! | [`relay`] | streams over sessions of nodes: a request of a consumer and its answer |
//! | [`gateway`] | what consumers ask: so far the orders for it |
//! | [`config`] | settings: file, environment, flags |
//! | [`cmd`] | the commands |

pub mod accounts;
pub mod app;
pub mod bus;
pub mod cmd;
pub mod config;
pub mod gateway;
pub mod http;
pub mod ingest;
pub mod link;
pub mod live;
mod nearest;
pub mod oidc;
pub mod presence;
mod rate_limit;
pub mod relay;
pub mod socket;
pub mod supervisor;
pub mod tasks;
mod threads;
