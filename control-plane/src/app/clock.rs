//! What time it is, as a value that tests can hold still.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Where monotonic time begins.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Tells wall-clock time, and time that nobody sets.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<watch::Sender<i64>>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands at `unix_ms` until [`Clock::advance`].
    pub fn manual(unix_ms: i64) -> Self {
        Self(Some(Arc::new(watch::Sender::new(unix_ms))))
    }

    /// Unix time, ms.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(manual) => *manual.borrow(),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|since| i64::try_from(since.as_millis()).ok())
                .unwrap_or(0),
        }
    }

    /// Milliseconds since some moment, for durations: setting the machine's clock does not change it.
    pub fn mono_ms(&self) -> i64 {
        match &self.0 {
            Some(manual) => *manual.borrow(),
            None => i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// A moment of that time, for limits.
    pub fn instant(&self) -> Instant {
        match &self.0 {
            Some(manual) => {
                let since_ms = u64::try_from(*manual.borrow()).unwrap_or(0);
                *START + Duration::from_millis(since_ms)
            }
            None => Instant::now(),
        }
    }

    /// Moves a manual clock; the machine's clock does not care.
    pub fn advance(&self, ms: i64) {
        if let Some(manual) = &self.0 {
            manual.send_modify(|now| *now += ms);
        }
    }

    /// Tells of every [`Clock::advance`] from now on.
    pub fn watch(&self) -> ClockWatch {
        ClockWatch(self.0.as_ref().map(|manual| manual.subscribe()))
    }
}

/// See [`Clock::watch`].
#[derive(Debug)]
pub struct ClockWatch(Option<watch::Receiver<i64>>);

impl ClockWatch {
    /// Waits until the clock was moved since this was last asked; for ever with the machine's clock, whose time passes
    /// for timers as well.
    pub async fn advanced(&mut self) {
        if let Some(manual) = &mut self.0
            && manual.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}
