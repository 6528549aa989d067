//! The state that every part of the control plane works on.
//!
//! [`App`] is made once by `serve` and shared as an [`Arc`]. It knows no HTTP.

mod clock;
mod master_key;
mod settings;
pub mod views;

pub use clock::Clock;
pub use master_key::{MasterKey, MasterKeyError};
pub use settings::Settings;

use crate::bus::Bus;
use crate::presence::Presence;
use dgon_control_plane_store::Store;
use std::sync::Arc;

/// Everything shared.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Typed events.
    pub bus: Bus,
    /// Who is connected.
    pub presence: Presence,
    /// What time it is.
    pub clock: Clock,
    /// Seals node secrets.
    pub master_key: MasterKey,
    /// Thresholds and names, fixed at start.
    pub settings: Settings,
}

impl App {
    /// Puts the parts together. Starts nothing.
    pub fn new(store: Store, settings: Settings, master_key: MasterKey, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            store,
            bus: Bus::default(),
            presence: Presence::default(),
            clock,
            master_key,
            settings,
        })
    }
}
