//! What is observed of the machine in one look. What is not known is absent, never 0.

/// One look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// Minute of the day by the local clock, 0 to 1439.
    pub minute_of_day: Option<u16>,
    /// Whether somebody uses the machine.
    pub activity: Activity,
    /// The GPUs that answer.
    pub gpus: Vec<GpuSeen>,
    /// What the node would earn in an hour of serving, USD, where the control plane tells prices.
    pub earnings_usd_per_hour: Option<f64>,
}

/// Signs that somebody uses the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// Requests of the machine's own users that are being served.
    pub local_requests: u32,
    /// Since the last one ended, s; absent where none has been since the agent started.
    pub since_local_request_s: Option<u64>,
    /// What the system says of keyboard, mouse and terminals.
    pub input: Input,
}

/// What the system says of the people at the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The last key or movement was this long ago, s.
    IdleFor(u64),
    /// Somebody works at it; the system does not say since when.
    InUse,
    /// Nobody works at it; the system does not say since when.
    Idle,
    /// The system cannot be asked; the text says why.
    Unseen(String),
}

impl Default for Input {
    fn default() -> Self {
        Self::Unseen("nobody has looked yet".to_owned())
    }
}

/// One GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GpuSeen {
    /// Position on this machine.
    pub index: u32,
    /// °C.
    pub temp_c: Option<f32>,
    /// W.
    pub power_w: Option<f32>,
}
