//! Thresholds and names that `serve` fixes at start. Tests shorten them.

use super::Regions;
use crate::oidc::OidcSettings;
use dgon_control_plane_model::identity::WalletSite;
use dgon_control_plane_store::retention::Periods;
use std::sync::Arc;
use std::time::Duration;

/// Settings of one process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address that people and agents reach this control plane by, such as `https://dgon.example`. Without it
    /// the `Host` header of a request decides.
    pub public_url: Option<String>,
    /// What wallets sign in to.
    pub wallets: Arc<WalletSite>,
    /// Issuers of OpenID Connect that people sign in by.
    pub oidc: Arc<OidcSettings>,
    /// The regions that nodes can be in.
    pub regions: Regions,
    /// How often an agent sends a heartbeat.
    pub heartbeat: Duration,
    /// Silence after which a node is shown as late.
    pub late_after: Duration,
    /// Silence after which a node is offline.
    pub offline_after: Duration,
    /// How often heartbeats are written.
    pub heartbeat_flush: Duration,
    /// How long what was measured and received is kept.
    pub retention: Periods,
    /// How often old rows are looked for.
    pub retention_interval: Duration,
    /// How often quarters of an hour are looked for that are over.
    pub closing_interval: Duration,
    /// How often rows of the audit log are chained.
    pub sealing_interval: Duration,
    /// How long a probe may take.
    pub probe_timeout: Duration,
    /// First wait before a probe is tried again; doubles to ten minutes.
    pub probe_retry: Duration,
    /// How long after a probe that passed a node is probed again: half as long to half as long again, by chance.
    pub probe_again: Duration,
    /// How long receipts ahead of a gap are held before the gap is recorded.
    pub gap_after: Duration,
    /// How long the database may take to answer `/readyz` before it counts as failing.
    pub ready_within: Duration,
    /// How long what `/readyz` found is good for others who ask.
    pub ready_fresh: Duration,
    /// How long an open connection may take to finish the link's handshake.
    pub handshake: Duration,
    /// Memory for bodies of callers who have not proved who they are, of all of them together, KiB.
    pub unproved_bodies_kib: u32,
    /// How long such a body waits for room.
    pub body_room_within: Duration,
    /// How long such a body may take to come: who is slower holds room that others need.
    pub body_within: Duration,
    /// Bytes that relayed requests and answers may hold in this process, of all streams together: each takes 80 KiB and its body
    /// when it is opened, the body until it was sent.
    pub relay_bytes: usize,
    /// Receipts that one sum reads one by one; of more the newest are summed, and the answer says so. Few, so that it comes
    /// as soon as a page.
    pub sum_receipts: usize,
    /// The same for what a range of time has beyond whole steps of sums: the answer is whole for it is short.
    pub edge_receipts: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            wallets: Arc::default(),
            oidc: Arc::default(),
            regions: Regions::default(),
            heartbeat: dgon_protocol::limits::HEARTBEAT,
            late_after: Duration::from_secs(30),
            offline_after: Duration::from_secs(300),
            heartbeat_flush: Duration::from_secs(3),
            retention: Periods::default(),
            retention_interval: Duration::from_secs(60),
            closing_interval: Duration::from_secs(10),
            sealing_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_secs(30),
            probe_retry: Duration::from_secs(5),
            probe_again: Duration::from_secs(900),
            gap_after: Duration::from_secs(600),
            ready_within: Duration::from_secs(4),
            ready_fresh: Duration::from_secs(1),
            handshake: dgon_protocol::limits::HANDSHAKE,
            unproved_bodies_kib: 64 * 1024,
            body_room_within: Duration::from_secs(2),
            body_within: Duration::from_secs(30),
            relay_bytes: 256 * 1024 * 1024,
            sum_receipts: 2_000,
            edge_receipts: 50_000,
        }
    }
}
