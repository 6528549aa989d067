//! Memory for bodies whose sender has not proved who it is, shared by all callers.
//!
//! A body takes room as it comes, so a caller that announces much and sends little holds little.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The room that there is.
#[derive(Debug)]
pub struct Bodies {
    kib: Arc<Semaphore>,
    wait: Duration,
}

/// There was no room in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much was sent at once by callers who have not proved who they are; send it again")]
pub struct NoRoom;

impl Bodies {
    /// Room of `kib` KiB; who finds none waits for at most `wait`.
    pub fn new(kib: u32, wait: Duration) -> Self {
        Self {
            kib: Arc::new(Semaphore::new(kib as usize)),
            wait,
        }
    }

    /// The part of one body; empty at first.
    pub fn share(&self) -> BodyShare {
        BodyShare {
            kib: Arc::clone(&self.kib),
            wait: self.wait,
            held: None,
        }
    }

    /// What is free now, KiB.
    pub fn free_kib(&self) -> usize {
        self.kib.available_permits()
    }
}

/// What one body holds; given back when this is dropped.
#[derive(Debug)]
pub struct BodyShare {
    kib: Arc<Semaphore>,
    wait: Duration,
    held: Option<OwnedSemaphorePermit>,
}

impl BodyShare {
    /// Grows to `bytes` in all.
    ///
    /// # Errors
    /// [`NoRoom`]; what is held stays held.
    pub async fn cover(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let held = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(1024).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_| NoRoom)?;
        let room = Arc::clone(&self.kib).acquire_many_owned(more);
        let room = match tokio::time::timeout(self.wait, room).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) | Err(_) => return Err(NoRoom),
        };
        match &mut self.held {
            Some(held) => held.merge(room),
            None => self.held = Some(room),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn room_is_taken_as_it_is_needed_and_given_back() {
        let bodies = Bodies::new(4, Duration::from_secs(1));
        let mut first = bodies.share();
        assert_eq!(first.cover(1).await, Ok(()));
        assert_eq!(first.cover(1024).await, Ok(()));
        assert_eq!(bodies.free_kib(), 3);
        assert_eq!(first.cover(1025).await, Ok(()));
        assert_eq!(bodies.free_kib(), 2);
        let mut second = bodies.share();
        assert_eq!(second.cover(3 * 1024).await, Err(NoRoom));
        assert_eq!(second.cover(2 * 1024).await, Ok(()));
        drop(first);
        assert_eq!(second.cover(4 * 1024).await, Ok(()));
        drop(second);
        assert_eq!(bodies.free_kib(), 4);
    }
}
