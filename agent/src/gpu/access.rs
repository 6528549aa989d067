//! Whether the agent may read the GPUs now: its owner can switch that off, and have it let go of the drivers.
//!
//! An open driver keeps its module loaded and its cards in use: they can then not be reset, and not be given to a
//! virtual machine. Every [`Detector`](super::Detector) of a process asks here before it touches a driver, so that one
//! word closes all of them, and none opens a driver again behind the owner's back.

use crate::own_command::own_command;
use dgon_protocol::frame::GpusNotRead;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Says whether drivers may be touched. Clones are one.
#[derive(Debug, Clone)]
pub struct GpuAccess(Arc<Mutex<State>>);

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    Off,
    Released {
        /// When it ends by itself; `None` is not before the owner says so.
        until: Option<Instant>,
    },
}

impl Default for GpuAccess {
    fn default() -> Self {
        Self::new(true)
    }
}

impl GpuAccess {
    /// As agent.yaml says under `telemetry.read_gpus`.
    pub fn new(read_gpus: bool) -> Self {
        let state = if read_gpus { State::Open } else { State::Off };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Why drivers may not be touched now; `None` where they may.
    pub fn refused(&self) -> Option<GpusNotRead> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Released { until: Some(until) } = *state
            && Instant::now() >= until
        {
            *state = State::Open;
        }
        match *state {
            State::Open => None,
            State::Off => Some(GpusNotRead::Off),
            State::Released { .. } => Some(GpusNotRead::Released),
        }
    }

    /// Forbids drivers from now on, for as long as this or until [`GpuAccess::resume`]. What is open has then still to
    /// be closed by who opened it. What is switched off stays so.
    pub fn release(&self, span: Option<Duration>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Off) {
            // A span beyond what the clock can count has no end.
            let until = span.and_then(|span| Instant::now().checked_add(span));
            *state = State::Released { until };
        }
    }

    /// Allows drivers again, unless they are switched off.
    pub fn resume(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Off) {
            *state = State::Open;
        }
    }
}

/// The same for a person.
pub fn why_not_read(reason: GpusNotRead) -> String {
    match reason {
        GpusNotRead::Off => {
            "reading the GPUs is switched off in agent.yaml (telemetry.read_gpus)".to_owned()
        }
        GpusNotRead::Released => {
            let resume = own_command("gpus resume");
            format!("the agent has let go of the GPUs; `{resume}` has it read them again")
        }
        GpusNotRead::NoAnswer => {
            "the GPUs were not read in time; `dgon-agent doctor` looks why".to_owned()
        }
        GpusNotRead::Unknown => "the agent does not read the GPUs".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_ends_by_itself_or_by_the_owners_word_and_off_stays_off() {
        let access = GpuAccess::default();
        assert_eq!(access.refused(), None);
        access.release(Some(Duration::ZERO));
        assert_eq!(access.refused(), None, "its time is over");
        access.clone().release(None);
        assert_eq!(access.refused(), Some(GpusNotRead::Released));
        access.release(Some(Duration::MAX));
        assert_eq!(access.refused(), Some(GpusNotRead::Released));
        access.resume();
        assert_eq!(access.refused(), None);

        let off = GpuAccess::new(false);
        off.release(Some(Duration::ZERO));
        off.resume();
        assert_eq!(off.refused(), Some(GpusNotRead::Off));
    }
}
