//! Bytes that all streams of this process may hold, whoever opened them and for whatever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The room that there is. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Room(Arc<AtomicUsize>);

/// There is not so much room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process holds as many bytes of relayed requests and answers as it may")]
pub struct NoRoom;

impl Room {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Takes some; nobody waits for it, because whoever asks may ask another process or tell the consumer.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn take(&self, bytes: usize) -> Result<RoomShare, NoRoom> {
        let less = |free: usize| free.checked_sub(bytes);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.fetch_update(set, fetch, less).map_err(|_| NoRoom)?;
        Ok(RoomShare {
            room: self.clone(),
            bytes,
        })
    }

    /// Bytes that are free now.
    pub fn free(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// What one part of a stream may hold; given back when this is dropped.
#[derive(Debug)]
pub struct RoomShare {
    room: Room,
    bytes: usize,
}

impl Drop for RoomShare {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_of_it_comes_back() {
        let room = Room::new(100);
        let first = room.take(60).expect("room");
        assert_eq!(room.take(41).err(), Some(NoRoom));
        let second = room.take(40).expect("room");
        assert_eq!(room.free(), 0);
        assert!(room.take(0).is_ok());
        drop((first, second));
        assert_eq!(room.free(), 100);
    }
}
