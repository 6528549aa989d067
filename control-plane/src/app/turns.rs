//! Turns: so many at once per asker, so that one who asks for much waits for themselves alone.
//!
//! An asker is a person, wherever they sit, all programs of a person, or the network of who is not signed in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asker {
    /// A person, by the id of the account.
    Person(String),
    /// The programs with a key of a person, by the id of the account.
    Keys(String),
    /// Who is not signed in, by network; `None` where that is not known.
    Network(Option<IpAddr>),
}

type All = HashMap<Asker, Arc<Semaphore>>;

/// Who has turns now. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns {
    each: usize,
    all: Arc<Mutex<All>>,
}

/// One turn; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    asker: Asker,
    places: Option<Arc<Semaphore>>,
    place: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// So many for each asker.
    pub fn new(each: usize) -> Self {
        Self {
            each,
            all: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, asker: Asker) -> (Arc<Semaphore>, Turn) {
        let places = {
            let mut all = self.lock();
            let places = all.entry(asker.clone());
            Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        let turn = Turn {
            turns: self.clone(),
            asker,
            places: Some(Arc::clone(&places)),
            place: None,
        };
        (places, turn)
    }

    /// Waits for a turn.
    pub async fn take(&self, asker: Asker) -> Turn {
        let (places, mut turn) = self.begin(asker);
        // It is never closed.
        turn.place = places.acquire_owned().await.ok();
        turn
    }

    /// A turn, if there is one now.
    pub fn try_take(&self, asker: Asker) -> Option<Turn> {
        let (places, mut turn) = self.begin(asker);
        turn.place = Some(places.try_acquire_owned().ok()?);
        Some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.turns.lock();
        // Given up under the lock, so that of two who leave at once the second sees that it is the last.
        (self.place, self.places) = (None, None);
        if let Some(places) = all.get(&self.asker)
            && Arc::strong_count(places) == 1
        {
            all.remove(&self.asker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn person(name: &str) -> Asker {
        Asker::Person(name.to_owned())
    }

    #[tokio::test]
    async fn one_asker_has_so_many_turns_and_leaves_nothing_behind() {
        let turns = Turns::new(2);
        let first = turns.take(person("a")).await;
        let second = turns.take(person("a")).await;
        assert!(turns.try_take(person("a")).is_none());
        let mut third = Box::pin(turns.take(person("a")));
        assert!((&mut third).now_or_never().is_none());
        let gone = Box::pin(turns.take(person("a")));
        assert!(gone.now_or_never().is_none());
        drop(turns.take(person("b")).await);
        assert!(turns.try_take(person("b")).is_some());
        drop(first);
        drop(third.await);
        drop(second);
        assert!(turns.lock().is_empty());
    }
}
