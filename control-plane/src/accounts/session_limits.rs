//! How often people's tokens are written, and what opens an account tried.

use super::{AccountError, Accounts};
use crate::rate_limit::RateLimit;
use std::time::{Duration, Instant};

/// Times in an hour that one account may sign in with its password, a wallet or an issuer.
const SIGN_INS: u32 = 120;
/// Times in an hour that one account's password may be tried from within.
const PASSWORDS: u32 = 10;
/// Times in an hour that a wrong code of one account's authenticator app may be entered: three of a million are right.
const CODES: u32 = 10;

/// Accounts that people may make themselves in an hour: each is rows for ever.
const REGISTRATIONS: u32 = 120;

/// API keys that one account may make in an hour: each is a row for as long as it lasts, and a while.
const KEYS: u32 = 20;

/// How often tokens are written: each time is rows for a month, and a commit that others wait for. A session depends on
/// its own times alone. What an account may write is bounded by how many begin, and by how many are open at once
/// ([`OPEN_SESSIONS`](dgon_control_plane_store::sessions::OPEN_SESSIONS)).
#[derive(Debug, Clone)]
pub(super) struct SessionLimits {
    /// Renewals of one session.
    renewals: RateLimit<String>,
    /// Sign-ins of one account by its person; a link comes from whoever runs the server.
    sign_ins: RateLimit<String>,
    /// Tries to change a password: who holds a browser that is signed in may not find it out.
    passwords: RateLimit<String>,
    /// Codes of an authenticator app, by who has proven the first factor.
    codes: RateLimit<String>,
    /// Wrong recovery codes of one account that leave a row.
    recovery: RateLimit<String>,
    /// API keys that one account makes.
    keys: RateLimit<String>,
    /// Accounts that people make themselves, all together.
    registrations: RateLimit<()>,
}

impl Default for SessionLimits {
    fn default() -> Self {
        const WHILE: Duration = Duration::from_secs(3_600);
        Self {
            renewals: RateLimit::over(60, WHILE),
            sign_ins: RateLimit::over(SIGN_INS, WHILE),
            passwords: RateLimit::over(PASSWORDS, WHILE),
            codes: RateLimit::over(CODES, WHILE),
            recovery: RateLimit::over(CODES, WHILE),
            keys: RateLimit::over(KEYS, WHILE),
            registrations: RateLimit::over(REGISTRATIONS, WHILE),
        }
    }
}

/// Uses one of the times.
fn take(limit: &RateLimit<String>, whose: &String) -> Result<(), AccountError> {
    let taken = limit.take(whose, Instant::now());
    taken.map_err(|wait_s| {
        metrics::counter!("sessions_limited_total").increment(1);
        AccountError::TooOften { wait_s }
    })
}

impl Accounts {
    /// Uses one of the times at which somebody may make an account.
    pub(super) fn take_registration(&self) -> Result<(), AccountError> {
        let taken = self.limits.registrations.take(&(), Instant::now());
        taken.map_err(|wait_s| AccountError::RegistrationsFull { wait_s })
    }

    /// Gives one back: no account was made.
    pub(super) fn give_back_registration(&self) {
        self.limits.registrations.give_back(&());
    }

    /// Uses one of a session's times to be renewed.
    pub(super) fn take_renewal(&self, family_id: &str) -> Result<(), AccountError> {
        take(&self.limits.renewals, &family_id.to_owned())
    }

    /// Uses one of an account's times to sign in by itself.
    pub(super) fn take_sign_in(&self, user_id: &str) -> Result<(), AccountError> {
        take(&self.limits.sign_ins, &user_id.to_owned())
    }

    /// Uses one of an account's times to try its password from within.
    pub(super) fn take_password(&self, user_id: &str) -> Result<(), AccountError> {
        take(&self.limits.passwords, &user_id.to_owned())
    }

    /// Gives one back: it was right.
    pub(super) fn give_back_password(&self, user_id: &str) {
        self.limits.passwords.give_back(&user_id.to_owned());
    }

    /// Uses one of an account's times to make an API key.
    pub(super) fn take_key(&self, user_id: &str) -> Result<(), AccountError> {
        take(&self.limits.keys, &user_id.to_owned())
    }

    /// Uses one of an account's times to enter a code of an authenticator app.
    pub(super) fn take_code(&self, user_id: &str) -> Result<(), AccountError> {
        take(&self.limits.codes, &user_id.to_owned())
    }

    /// Whether a wrong recovery code of an account leaves a row still: none is refused for the others.
    pub(super) fn may_note_recovery(&self, user_id: &str) -> bool {
        let taken = self
            .limits
            .recovery
            .take(&user_id.to_owned(), Instant::now());
        taken.is_ok()
    }

    /// Gives one back: it was right.
    pub(super) fn give_back_code(&self, user_id: &str) {
        self.limits.codes.give_back(&user_id.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_ins_and_renewals_are_counted_apart() {
        let (limits, whose) = (SessionLimits::default(), "u1".to_owned());
        for _ in 0..SIGN_INS {
            assert!(take(&limits.sign_ins, &whose).is_ok());
        }
        let refused = take(&limits.sign_ins, &whose);
        assert!(matches!(refused, Err(AccountError::TooOften { .. })));
        assert!(take(&limits.sign_ins, &"u2".to_owned()).is_ok());
        assert!(take(&limits.renewals, &whose).is_ok());
    }
}
