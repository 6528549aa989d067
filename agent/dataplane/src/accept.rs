//! What every listener does when the system refuses it a connection, such as for want of file handles.

use std::io;
use std::time::Duration;

/// How long to wait before the next try. The refusal stays until somebody gives something back; who tried again at once
/// would keep a core busy.
const PAUSE: Duration = Duration::from_millis(100);

/// The refusals of one listener.
#[derive(Debug)]
pub struct AcceptErrors {
    whom: &'static str,
    is_told: bool,
}

impl AcceptErrors {
    /// Those of a listener for `whom`, such as "a client".
    pub const fn of(whom: &'static str) -> Self {
        Self {
            whom,
            is_told: false,
        }
    }

    /// A connection came.
    pub fn accepted(&mut self) {
        self.is_told = false;
    }

    /// None came: waits, and tells the log once.
    pub async fn refused(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(%error, "cannot accept {}; trying on", self.whom);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_waited_out_and_told_once() {
        let mut errors = AcceptErrors::of("a client");
        let began = Instant::now();
        for _ in 0..10 {
            errors.refused(&io::ErrorKind::OutOfMemory.into()).await;
            assert!(errors.is_told);
        }
        assert_eq!(began.elapsed(), PAUSE * 10);
        errors.accepted();
        assert!(!errors.is_told);
    }
}
