//! Turns at the pages' connections of the database: so many at once per asker, so that one who asks for much waits for
//! themselves alone.
//!
//! An asker is a person, wherever they sit, or the network of who is not signed in.

use super::auth::Acting;
use super::client_ip::ClientIp;
use super::ratelimit::network;
use super::state::HttpState;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pages that one asker may wait for at once: half of the connections.
const EACH: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    Person(String),
    Network(Option<IpAddr>),
}

impl Asker {
    pub(super) fn of(request: &Request) -> Self {
        match request.extensions().get() {
            Some(Acting::Person(person)) => Self::Person(person.user_id.clone()),
            _ => Self::Network(request.extensions().get::<ClientIp>().copied().map(network)),
        }
    }
}

/// Who asks for pages now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<Asker, Arc<Semaphore>>>>);

/// Marks a request that has its turn already.
#[derive(Debug, Clone, Copy)]
pub(super) struct HasTurn;

/// One page's turn.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    asker: Asker,
    places: Option<Arc<Semaphore>>,
    place: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(super) async fn take(&self, asker: Asker) -> Turn<'_> {
        let places = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let places = all.entry(asker.clone());
            Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(EACH))))
        };
        let mut turn = Turn {
            turns: self,
            asker,
            places: Some(Arc::clone(&places)),
            place: None,
        };
        // It is never closed.
        turn.place = places.acquire_owned().await.ok();
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Given up under the lock, so that of two who leave at once the second sees that it is the last.
        (self.place, self.places) = (None, None);
        if let Some(places) = all.get(&self.asker)
            && Arc::strong_count(places) == 1
        {
            all.remove(&self.asker);
        }
    }
}

/// The layer of routes that read pages.
pub(super) async fn layer(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    if request.extensions().get::<HasTurn>().is_some() {
        return next.run(request).await;
    }
    let _turn = state.turns.take(Asker::of(&request)).await;
    next.run(request).await
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
        let turns = Turns::default();
        let first = turns.take(person("a")).await;
        let second = turns.take(person("a")).await;
        let mut third = Box::pin(turns.take(person("a")));
        assert!((&mut third).now_or_never().is_none());
        let gone = Box::pin(turns.take(person("a")));
        assert!(gone.now_or_never().is_none());
        drop(turns.take(person("b")).await);
        drop(first);
        drop(third.await);
        drop(second);
        assert!(turns.0.lock().expect("lock").is_empty());
    }
}
