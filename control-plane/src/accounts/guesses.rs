//! Guessing passwords: whose tries are known, and how often strangers may try one account.
//!
//! A browser in which an account's password was right keeps a seal that says so, good for that account while it has that
//! password. Whoever tries the account without one is a stranger: all strangers together try it so often in an hour, from
//! however many addresses, and their passwords are checked apart from everybody else's ([`super::password`]). So an attack shuts
//! the owner out of no browser in which they have signed in, and guesses no more than this. What a network is says nothing:
//! neighbours share one, and whoever stole a password had one, too.

use super::{AccountError, Accounts, Email, Lane, Origin, secret};
use crate::rate_limit::{RateLimit, network};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Wrong passwords of one account, in an hour, of all strangers.
const GUESSES: u32 = 50;
/// Wrong passwords in an hour in one browser that is known.
const MISTYPED: u32 = 10;
const HOUR: Duration = Duration::from_secs(3_600);
const PURPOSE: &str = "known browser";
/// How long a browser stays known after the last time that the password was right there, ms.
const KNOWN_MS: i64 = 180 * 86_400_000;

/// What is known of tries. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guesses {
    /// By the address that was tried.
    of_strangers: RateLimit<String>,
    /// By the name of the browser.
    of_known: RateLimit<String>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            of_strangers: RateLimit::over(GUESSES, HOUR),
            of_known: RateLimit::over(MISTYPED, HOUR),
        }
    }
}

/// What a browser keeps.
#[derive(Serialize, Deserialize)]
pub(super) struct KnownBrowser {
    /// Its name, which is random.
    id: String,
    email: String,
    /// SHA-256 of the argon2id string that was right.
    password: [u8; 32],
}

impl KnownBrowser {
    /// Whether its password is the account's still.
    fn knows(&self, stored: Option<&str>) -> bool {
        stored.is_some_and(|stored| secret::hash(stored).ct_eq(&self.password).into())
    }
}

/// One try, and whose it is.
pub(super) struct Guess {
    pub(super) lane: Lane,
    /// The browser, where it is known.
    known: Option<KnownBrowser>,
}

/// A seal for a browser to keep.
#[derive(Clone, PartialEq, Eq)]
pub struct BrowserMark {
    /// For the browser to bring along when somebody signs in.
    pub sealed: String,
    /// How long it is good for, s.
    pub lifetime_s: i64,
}

impl std::fmt::Debug for BrowserMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BrowserMark")
    }
}

/// The network of a caller, where it is known.
fn network_of(origin: &Origin) -> Option<IpAddr> {
    origin.ip.as_ref()?.parse().ok().map(network)
}

impl Accounts {
    /// What makes a browser known in which a password was right.
    pub(super) fn mark_browser(
        &self,
        email: &str,
        stored: &str,
    ) -> Result<BrowserMark, AccountError> {
        let known = KnownBrowser {
            id: secret::public_id("b")?,
            email: email.to_owned(),
            password: secret::hash(stored),
        };
        let expires_at_ms = self.clock.now_ms() + KNOWN_MS;
        Ok(BrowserMark {
            sealed: self.browser_seal.seal(PURPOSE, expires_at_ms, &known)?,
            lifetime_s: KNOWN_MS / 1_000,
        })
    }

    /// Who tries the password of the account with this address, if there is one, with what their browser keeps. Nothing is
    /// looked up, so that a try that is refused costs nothing.
    ///
    /// # Errors
    /// [`AccountError::TooOften`].
    pub(super) fn take_guess(
        &self,
        email: &Email,
        browser: Option<&str>,
        origin: &Origin,
    ) -> Result<Guess, AccountError> {
        let now_ms = self.clock.now_ms();
        let open = |sealed| {
            self.browser_seal
                .open::<KnownBrowser>(PURPOSE, sealed, now_ms)
        };
        let known = browser.and_then(open);
        let known = known.filter(|known| known.email == email.as_str());
        match known {
            Some(known) if self.take_mistyped(&known) => Ok(Guess {
                lane: Lane::Known(email.as_str().to_owned()),
                known: Some(known),
            }),
            _ => self.guess_of_stranger(email, origin),
        }
    }

    /// The same try, where the account has another password than the browser knows: a stranger's.
    ///
    /// # Errors
    /// [`AccountError::TooOften`].
    pub(super) fn recheck_guess(
        &self,
        guess: Guess,
        (email, stored): (&Email, Option<&str>),
        origin: &Origin,
    ) -> Result<Guess, AccountError> {
        match &guess.known {
            Some(known) if !known.knows(stored) => self.guess_of_stranger(email, origin),
            _ => Ok(guess),
        }
    }

    fn take_mistyped(&self, known: &KnownBrowser) -> bool {
        let tries = &self.guesses.of_known;
        tries.take(&known.id, self.clock.instant()).is_ok()
    }

    fn guess_of_stranger(&self, email: &Email, origin: &Origin) -> Result<Guess, AccountError> {
        let (tries, whose) = (&self.guesses.of_strangers, email.as_str().to_owned());
        let taken = tries.take(&whose, self.clock.instant());
        taken.map_err(|wait_s| AccountError::TooOften { wait_s })?;
        let lane = self.lane(origin);
        Ok(Guess { lane, known: None })
    }

    /// Whose password is hashed who is nobody yet.
    pub(super) fn lane(&self, origin: &Origin) -> Lane {
        Lane::Strangers(network_of(origin))
    }

    /// Gives a try back: it was right, or was never looked at.
    pub(super) fn give_back_guess(&self, guess: &Guess, email: &Email) {
        match &guess.known {
            Some(known) => self.guesses.of_known.give_back(&known.id),
            None => {
                let email = email.as_str().to_owned();
                self.guesses.of_strangers.give_back(&email);
            }
        }
    }
}
