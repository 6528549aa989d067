//! WebSockets on connections of this server, whoever is at the other end.
//!
//! Our own and not axum's, because a socket must cost little while nothing is said and must be bounded while somebody
//! is hostile: it sits on the bare connection, without what HTTP keeps of it, and whoever opens one says how much each
//! part of it may hold. There is no default on purpose. Nothing here knows what is said.
//!
//! | module | owns |
//! |---|---|
//! | `handshake` | the request that becomes a socket |
//! | `open` | the socket after it, its bounds and its task |
//! | `metered` | how many bytes of it are read in a second |
//! | `pace` | how fast a peer may speak |
//! | `threads` | the threads that serve sockets and nothing else |

mod handshake;
mod metered;
mod open;
mod pace;
mod threads;

pub use handshake::{Handshake, NoHandshake};
pub use metered::Metered;
pub use open::{Bounds, WebSocket};
pub use pace::Pace;
pub use threads::start as start_threads;
