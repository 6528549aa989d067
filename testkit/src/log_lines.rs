//! What one thread logs, as programs read it.

use serde_json::Value;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// What this thread logs from debug on, as `DGON_LOG_FORMAT=json` writes it.
#[derive(Debug, Clone, Default)]
pub struct LogLines(Arc<Mutex<Vec<u8>>>);

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl LogLines {
    /// Collects until the guards go. With one subscriber alone, what a thread without it says first is off for all threads: so
    /// there is another.
    pub fn begin() -> (Self, (Dispatch, DefaultGuard)) {
        let other = Dispatch::new(tracing_subscriber::registry());
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        (log, (other, tracing::subscriber::set_default(subscriber)))
    }

    /// What was said at the level of errors.
    ///
    /// # Panics
    /// A line is not JSON.
    #[expect(clippy::panic, reason = "a test fails here")]
    pub fn errors(&self) -> Vec<Value> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&written);
        let lines = text.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        lines
            .filter(|line: &Value| line["level"] == "ERROR")
            .collect()
    }
}
