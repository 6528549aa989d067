//! What consumers ask of the network, and how it gets to nodes.
//!
//! So far this makes the orders that nodes work under; the routes of consumers come here.
//!
//! | module | owns |
//! |---|---|
//! | [`orders`] | content keys, and signed work orders |

pub mod orders;
