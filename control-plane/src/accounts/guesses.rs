//! Guessing passwords: whose tries are known, and how often strangers may try one account.
//!
//! An account is known from a network in which a sign-in to it succeeded since the server's start. Whoever tries it from
//! elsewhere is a stranger: all strangers together try one account so often in an hour, from however many addresses, and
//! their passwords are checked apart from everybody else's ([`super::password`]). So an attack shuts the account's owner
//! out of no place in which they have signed in, and guesses no more than this.

use super::{AccountError, Accounts, Email, Lane, Origin};
use crate::rate_limit::{RateLimit, network};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords of one account, in an hour, of all strangers.
const GUESSES: u32 = 50;
/// Places that are remembered; the one in which nobody signed in for longest is forgotten first.
const PLACES_MAX: usize = 20_000;
/// How many of them are forgotten at once, so that not every sign-in looks through all.
const FORGOTTEN: usize = PLACES_MAX / 10;

/// What is known of tries. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guesses {
    of_strangers: RateLimit<String>,
    places: Places,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            of_strangers: RateLimit::over(GUESSES, Duration::from_secs(3_600)),
            places: Places::default(),
        }
    }
}

/// From which networks an account, by its address, was signed in to, and when last.
#[derive(Debug, Clone, Default)]
struct Places(Arc<Mutex<HashMap<(IpAddr, String), Instant>>>);

impl Places {
    fn note(&self, place: (IpAddr, String), now: Instant) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES_MAX && !places.contains_key(&place) {
            let mut times: Vec<Instant> = places.values().copied().collect();
            let (_, last, _) = times.select_nth_unstable(FORGOTTEN);
            let last = *last;
            places.retain(|_, at| *at > last);
        }
        places.insert(place, now);
    }

    fn know(&self, place: &(IpAddr, String)) -> bool {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.contains_key(place)
    }
}

/// The network of a caller, where it is known.
fn network_of(origin: &Origin) -> Option<IpAddr> {
    origin.ip.as_ref()?.parse().ok().map(network)
}

impl Accounts {
    /// Notes that an account was signed in to from there.
    pub(super) fn note_place(&self, email: &str, origin: &Origin) {
        if let Some(network) = network_of(origin) {
            let place = (network, email.to_owned());
            self.guesses.places.note(place, self.clock.instant());
        }
    }

    /// Who tries the password of the account with this address, if there is one: a stranger uses up one of all strangers' tries.
    /// Nothing is looked up, so that a try that is refused costs nothing.
    ///
    /// # Errors
    /// [`AccountError::TooOften`].
    pub(super) fn take_guess(&self, email: &Email, origin: &Origin) -> Result<Lane, AccountError> {
        let (network, whose) = (network_of(origin), email.as_str().to_owned());
        if let Some(network) = network
            && self.guesses.places.know(&(network, whose.clone()))
        {
            return Ok(Lane::Known);
        }
        let tries = &self.guesses.of_strangers;
        let taken = tries.take(&whose, self.clock.instant());
        taken.map_err(|wait_s| AccountError::TooOften { wait_s })?;
        Ok(Lane::Strangers(network))
    }

    /// Whose password is hashed who is nobody yet.
    pub(super) fn lane(&self, origin: &Origin) -> Lane {
        Lane::Strangers(network_of(origin))
    }

    /// Gives a try back: it was right.
    pub(super) fn give_back_guess(&self, email: &Email) {
        let email = email.as_str().to_owned();
        self.guesses.of_strangers.give_back(&email);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_the_oldest_go_first() {
        let (places, start) = (Places::default(), Instant::now());
        let place = |number: u32| (IpAddr::V4(number.into()), "u".to_owned());
        for number in 0..PLACES_MAX as u32 + 1 {
            places.note(place(number), start + Duration::from_millis(number.into()));
        }
        assert!(places.0.lock().expect("lock").len() < PLACES_MAX);
        assert!(!places.know(&place(0)));
        assert!(places.know(&place(PLACES_MAX as u32)));
        assert!(places.know(&place(PLACES_MAX as u32 / 2)));
    }
}
