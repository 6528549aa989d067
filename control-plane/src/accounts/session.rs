//! Sessions of people: an access token of minutes and a refresh token that is exchanged at each use.

use super::{AccountError, Accounts, Email, Origin, Role, Roles, secret};
use crate::app::AccessChange;
use crate::rate_limit::RateLimit;
use dgon_control_plane_store::System;
use dgon_control_plane_store::orgs::MAIN_ORG;
use dgon_control_plane_store::sessions::{NewSession, Rotation, Session, SessionProof, TokenPair};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;

const ACCESS: &str = "access";
const REFRESH: &str = "refresh";
const CSRF: &str = "csrf";
/// Times in an hour that one account may sign in with its password or a wallet.
const SIGN_INS: u32 = 120;
/// Times in an hour that one account's password may be tried from within.
const PASSWORDS: u32 = 10;
/// API keys that one account may make in an hour: each is a row for as long as it lasts, and a while.
const KEYS: u32 = 20;

/// How long things live, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// An access token.
    pub access_ms: i64,
    /// A refresh token that is not used.
    pub idle_ms: i64,
    /// A session, however much it is used.
    pub session_ms: i64,
    /// After its exchange, a refresh token still gives the same child for this long.
    pub grace_ms: i64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const MINUTE: i64 = 60_000;
        const DAY: i64 = 24 * 60 * MINUTE;
        Self {
            access_ms: 10 * MINUTE,
            idle_ms: 7 * DAY,
            session_ms: 30 * DAY,
            grace_ms: 10_000,
        }
    }
}

/// Who acts in a live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Identity.
    pub user_id: String,
    /// Address.
    pub email: String,
    /// What this person may do in the organisation that the session acts for.
    pub roles: Roles,
    /// That organisation, whose nodes and receipts are this person's own. `None` where they are not in it any more, or it
    /// is closed: then they have no role either.
    pub org_id: Option<String>,
    /// The sign-in that acts.
    pub family_id: String,
}

impl Person {
    /// Whether `role` is held.
    pub fn has(&self, role: Role) -> bool {
        self.roles.has(role)
    }

    /// Whether there is anything that they may do here. Who may do nothing is a stranger.
    pub fn is_member(&self) -> bool {
        self.roles.iter().next().is_some()
    }

    /// This person in the audit log.
    pub fn audit_name(&self) -> String {
        format!("user:{}", self.user_id)
    }
}

impl From<Session> for Person {
    fn from(session: Session) -> Self {
        let is_main = session.org_id.as_deref() == Some(MAIN_ORG);
        let roles = Roles::from_names(&session.roles);
        // Whatever the database says: the network is administered from its own organisation alone.
        let roles = roles.iter().filter(|role| is_main || *role != Role::Admin);
        Self {
            user_id: session.user.user_id,
            email: session.user.email,
            roles: roles.collect(),
            org_id: session.org_id,
            family_id: session.family_id,
        }
    }
}

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
    /// API keys that one account makes.
    keys: RateLimit<String>,
}

impl Default for SessionLimits {
    fn default() -> Self {
        const WHILE: Duration = Duration::from_secs(3_600);
        Self {
            renewals: RateLimit::over(60, WHILE),
            sign_ins: RateLimit::over(SIGN_INS, WHILE),
            passwords: RateLimit::over(PASSWORDS, WHILE),
            keys: RateLimit::over(KEYS, WHILE),
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

/// How a sign-in is told of, to its person and in the audit log.
const fn told(proof: SessionProof<'_>) -> (&'static str, &'static str) {
    match proof {
        SessionProof::Password(_) => ("password", "session.sign_in"),
        SessionProof::Link(_) => ("link", "session.link"),
        SessionProof::Wallet { .. } => ("wallet", "session.wallet"),
        SessionProof::Setup => ("setup", "session.setup"),
    }
}

/// The tokens of a session, in plain.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// For each request.
    pub access: String,
    /// For new tokens.
    pub refresh: String,
    /// How long the access token lives from now, s.
    pub access_s: i64,
    /// How long the refresh token lives from now when it is not used, s.
    pub refresh_s: i64,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// A person and fresh tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub person: Person,
    /// With what.
    pub tokens: Tokens,
}

impl Accounts {
    /// Signs in with email and password.
    ///
    /// # Errors
    /// [`AccountError::WrongCredentials`], [`AccountError::Busy`], [`AccountError::TooOften`] or a fault of the store.
    pub async fn sign_in(
        &self,
        email: &str,
        password: String,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        let user = match Email::parse(email) {
            Ok(email) => {
                self.store
                    .user_by_email(System::of_the_server(), email.as_str())
                    .await?
            }
            Err(_) => None,
        };
        let user = user.filter(|user| user.disabled_at_ms.is_none());
        let stored = user.as_ref().and_then(|user| user.password_hash.clone());
        let right = self.hasher.verify(password, stored.clone()).await?;
        match (user, stored) {
            (Some(user), Some(hash)) if right => {
                self.take_sign_in(&user.user_id)?;
                let proof = SessionProof::Password(&hash);
                let signed_in = self.start(&user.user_id, proof, origin).await?;
                signed_in.ok_or(AccountError::WrongCredentials)
            }
            (known, _) => {
                // A wrong password on a known account is worth a trace; a made-up address is not.
                if let Some(user) = known {
                    let object = format!("user:{}", user.user_id);
                    let entry = self.audit("anonymous", "session.sign_in_failed", object, origin);
                    self.store
                        .audit_write(System::of_the_server(), &entry)
                        .await?;
                }
                Err(AccountError::WrongCredentials)
            }
        }
    }

    /// Uses one of an account's times to sign in by itself.
    pub(super) fn take_sign_in(&self, user_id: &str) -> Result<(), AccountError> {
        take(&self.limits.sign_ins, &user_id.to_owned())
    }

    /// Uses one of an account's times to try its password from within.
    pub(super) fn take_password(&self, user_id: &str) -> Result<(), AccountError> {
        take(&self.limits.passwords, &user_id.to_owned())
    }

    /// Uses one of an account's times to make an API key.
    pub(super) fn take_key(&self, user_id: &str) -> Result<(), AccountError> {
        take(&self.limits.keys, &user_id.to_owned())
    }

    /// Starts a session for a user who proved to be one. `None` where the account was shut meanwhile, or the proof taken away.
    pub(super) async fn start(
        &self,
        user_id: &str,
        proof: SessionProof<'_>,
        origin: &Origin,
    ) -> Result<Option<SignedIn>, AccountError> {
        let family_id = secret::public_id("s")?;
        let refresh = secret::random_text("")?;
        let (pair, access) = self.pair(&refresh);
        let expires_at_ms = pair.issued_at_ms + self.lifetimes.session_ms;
        let actor = format!("user:{user_id}");
        let object = format!("session:{family_id}");
        let (method, action) = told(proof);
        let audit = self.audit(&actor, action, object, origin);
        let new = NewSession {
            family_id: &family_id,
            user_id,
            method,
            proof,
            ip: origin.ip.as_deref(),
            user_agent: origin.user_agent.as_deref(),
            expires_at_ms,
            pair: &pair,
        };
        let session = self
            .store
            .session_create(System::of_the_server(), &new, &audit)
            .await?;
        Ok(session.map(|session| SignedIn {
            person: Person::from(session),
            tokens: self.tokens(access, refresh, self.lifetimes.access_ms),
        }))
    }

    /// The person behind an access token; `None` when it is unknown or its session has ended.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn person(&self, access: &str) -> Result<Option<Person>, AccountError> {
        let session = self
            .store
            .session_by_access(
                System::of_the_server(),
                &secret::hash(access),
                self.clock.now_ms(),
            )
            .await?;
        Ok(session.map(Person::from))
    }

    /// Exchanges a refresh token for new tokens.
    ///
    /// # Errors
    /// [`AccountError::SessionEnded`], also when the token was used before: then the whole session ends;
    /// [`AccountError::TooOften`].
    pub async fn refresh(&self, refresh: &str, origin: &Origin) -> Result<SignedIn, AccountError> {
        let (by, token) = (System::of_the_server(), secret::hash(refresh));
        let now_ms = self.clock.now_ms();
        let known = self.store.session_refresh_token(by, &token, now_ms).await?;
        let known = known.ok_or(AccountError::SessionEnded)?;
        let spent_ms = known.replaced_at_ms.map(|at_ms| now_ms - at_ms);
        // Used twice it ends its session, however often that was renewed.
        if spent_ms.is_none_or(|ms| ms <= self.lifetimes.grace_ms) {
            take(&self.limits.renewals, &known.family_id)?;
        }
        let child = self.key.derive(REFRESH, refresh);
        let (pair, access) = self.pair(&child);
        let mut audit = self.audit("system", "session.reuse", String::new(), origin);
        audit.facts.reason = Some("a refresh token was used twice".to_owned());
        let rotation = self
            .store
            .session_rotate(by, &token, &pair, self.lifetimes.grace_ms, &audit)
            .await?;
        match rotation {
            Rotation::Child {
                session,
                access_expires_at_ms,
            } => {
                let left_ms = access_expires_at_ms - pair.issued_at_ms;
                Ok(SignedIn {
                    person: Person::from(session),
                    tokens: self.tokens(access, child, left_ms),
                })
            }
            Rotation::Reused => {
                tracing::warn!("a refresh token was used twice; its session has been ended");
                self.access.tell(AccessChange::Session(known.family_id));
                Err(AccountError::SessionEnded)
            }
            Rotation::Invalid => Err(AccountError::SessionEnded),
        }
    }

    /// Ends the session of a person, or that of a refresh token where the access token has run out.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn sign_out(
        &self,
        person: Option<&Person>,
        refresh: Option<&str>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let ended = match (person, refresh) {
            (Some(person), _) => Some((person.own(), person.family_id.clone())),
            (None, Some(refresh)) => {
                let by = System::of_the_server();
                // Whoever has the token may end what it belongs to.
                let family_id = self
                    .store
                    .session_family_of(by, &secret::hash(refresh))
                    .await?;
                family_id.map(|family_id| (by.into(), family_id))
            }
            (None, None) => None,
        };
        if let Some((scope, family_id)) = ended {
            let actor = person.map_or_else(|| "anonymous".to_owned(), Person::audit_name);
            let audit = self.audit(
                &actor,
                "session.sign_out",
                format!("session:{family_id}"),
                origin,
            );
            let ended = self
                .store
                .session_revoke(&scope, &family_id, "sign_out", &audit)
                .await?;
            // Whoever keeps an old token may not make everybody look.
            if ended {
                self.access.tell(AccessChange::Session(family_id));
            }
        }
        Ok(())
    }

    /// The CSRF token of a session: the same as long as it lives.
    pub fn csrf_token(&self, person: &Person) -> String {
        self.key.derive(CSRF, &person.family_id)
    }

    /// Whether `sent` is the CSRF token of this session, in constant time.
    pub fn csrf_matches(&self, person: &Person, sent: &str) -> bool {
        self.csrf_token(person)
            .as_bytes()
            .ct_eq(sent.as_bytes())
            .into()
    }

    fn pair(&self, refresh: &str) -> (TokenPair, String) {
        let now_ms = self.clock.now_ms();
        let access = self.key.derive(ACCESS, refresh);
        let pair = TokenPair {
            refresh_hash: secret::hash(refresh),
            access_hash: secret::hash(&access),
            issued_at_ms: now_ms,
            access_expires_at_ms: now_ms + self.lifetimes.access_ms,
            refresh_expires_at_ms: now_ms + self.lifetimes.idle_ms,
        };
        (pair, access)
    }

    fn tokens(&self, access: String, refresh: String, access_ms: i64) -> Tokens {
        Tokens {
            access,
            refresh,
            access_s: access_ms / 1_000,
            refresh_s: self.lifetimes.idle_ms / 1_000,
        }
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
