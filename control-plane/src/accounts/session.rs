//! Sessions of people: an access token of minutes and a refresh token that is exchanged at each use.

use super::{AccountError, Accounts, BrowserMark, Email, Origin, Role, Roles, secret};
use crate::app::AccessChange;
use dgon_control_plane_store::System;
use dgon_control_plane_store::orgs::MAIN_ORG;
use dgon_control_plane_store::second_factors::FactorProof;
use dgon_control_plane_store::session_refresh::Rotation;
use dgon_control_plane_store::sessions::{
    NewSession, Session, SessionCreated, SessionProof, TokenPair,
};
use serde_json::json;
use subtle::ConstantTimeEq as _;

const ACCESS: &str = "access";
const REFRESH: &str = "refresh";
const CSRF: &str = "csrf";
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

/// How a sign-in is told of, to its person and in the audit log.
const fn told(proof: SessionProof<'_>) -> (&'static str, &'static str) {
    match proof {
        SessionProof::Password(_) => ("password", "session.sign_in"),
        SessionProof::Link(_) => ("link", "session.link"),
        SessionProof::Wallet { .. } => ("wallet", "session.wallet"),
        SessionProof::Oidc { .. } => ("oidc", "session.oidc"),
        SessionProof::Setup => ("setup", "session.setup"),
        SessionProof::Registration => ("registration", "session.registration"),
    }
}

/// What became of a sign-in.
#[derive(Debug)]
pub(super) enum Begun {
    /// It began.
    SignedIn(Box<SignedIn>),
    /// The account was shut meanwhile, or the proof taken away.
    NoProof,
    /// The account has a second factor, which was not given.
    FactorNeeded,
    /// What was given of it was used before.
    FactorUsed,
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
    /// What makes this browser known, where the password was right in it.
    pub browser: Option<BrowserMark>,
}

impl Accounts {
    /// Signs in with email and password, from a browser that may be known.
    ///
    /// # Errors
    /// [`AccountError::WrongCredentials`], [`AccountError::Busy`], [`AccountError::TooOften`] or a fault of the store.
    pub async fn sign_in(
        &self,
        (email, browser): (&str, Option<&str>),
        password: String,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        // What is no address is nobody's: no hash is made for it, which says nothing of anybody.
        let email = Email::parse(email).map_err(|_| AccountError::WrongCredentials)?;
        let guess = self.take_guess(&email, browser, origin)?;
        let by = System::of_the_server();
        let user = self.store.user_by_email(by, email.as_str()).await?;
        let user = user.filter(|user| user.disabled_at_ms.is_none());
        let stored = user.as_ref().and_then(|user| user.password_hash.clone());
        let guess = self.recheck_guess(guess, (&email, stored.as_deref()), origin)?;
        let lane = guess.lane.clone();
        let checked = self.hasher.verify(password, stored.clone(), lane).await;
        // One that nobody looked at is no try: whoever fills the queue uses up nobody's.
        let right = checked.inspect_err(|_| self.give_back_guess(&guess, &email))?;
        match (user, stored) {
            (Some(user), Some(hash)) if right => {
                self.give_back_guess(&guess, &email);
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

    /// Starts a session for a user who proved to be one. `None` where the account was shut meanwhile, or the proof taken away.
    ///
    /// # Errors
    /// [`AccountError::SecondFactor`] where a code is asked for first, or a fault of the store.
    pub(super) async fn start(
        &self,
        user_id: &str,
        proof: SessionProof<'_>,
        origin: &Origin,
    ) -> Result<Option<SignedIn>, AccountError> {
        match self.begin(user_id, proof, None, origin).await? {
            Begun::SignedIn(signed_in) => Ok(Some(*signed_in)),
            Begun::FactorNeeded => match self.pending(user_id, proof)? {
                Some(pending) => Err(AccountError::SecondFactor(pending)),
                None => Ok(None),
            },
            Begun::NoProof | Begun::FactorUsed => Ok(None),
        }
    }

    /// Starts a session with what proves the account's second factor, if that is known already.
    pub(super) async fn begin(
        &self,
        user_id: &str,
        proof: SessionProof<'_>,
        factor: Option<FactorProof>,
        origin: &Origin,
    ) -> Result<Begun, AccountError> {
        let family_id = secret::public_id("s")?;
        let refresh = secret::random_text("")?;
        let (pair, name) = self.pair(&refresh);
        let expires_at_ms = pair.issued_at_ms + self.lifetimes.session_ms;
        let actor = format!("user:{user_id}");
        let object = format!("session:{family_id}");
        let (method, action) = told(proof);
        let mut audit = self.audit(&actor, action, object, origin);
        audit.facts.after = factor.map(|factor| json!({ "second_factor": factor.as_str() }));
        let new = NewSession {
            family_id: &family_id,
            user_id,
            method,
            proof,
            factor,
            ip: origin.ip.as_deref(),
            user_agent: origin.user_agent.as_deref(),
            expires_at_ms,
            pair: &pair,
        };
        let created = self
            .store
            .session_create(System::of_the_server(), &new, &audit)
            .await?;
        Ok(match created {
            SessionCreated::Session(session) => {
                let end_ms = pair.access_expires_at_ms;
                let browser = match proof {
                    SessionProof::Password(stored) => {
                        Some(self.mark_browser(&session.user.email, stored)?)
                    }
                    _ => None,
                };
                let mut signed_in = self.signed_in(session, (&name, refresh), end_ms)?;
                signed_in.browser = browser;
                Begun::SignedIn(Box::new(signed_in))
            }
            SessionCreated::NoProof => Begun::NoProof,
            SessionCreated::FactorNeeded => Begun::FactorNeeded,
            SessionCreated::FactorUsed => Begun::FactorUsed,
        })
    }

    /// The person behind an access token; `None` when it is none of this server's or its session has ended.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn person(&self, access: &str) -> Result<Option<Person>, AccountError> {
        let now_ms = self.clock.now_ms();
        let Some(claims) = self.access_tokens.open(access, now_ms) else {
            return Ok(None);
        };
        let (by, name) = (System::of_the_server(), secret::hash(&claims.jti));
        let session = self.store.session_by_access(by, &name, now_ms).await?;
        // What was signed of the row is what the row says.
        let session = session.filter(|session| {
            session.family_id == claims.sid && session.user.user_id == claims.sub
        });
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
            self.take_renewal(&known.family_id)?;
        }
        let child = self.key.derive(REFRESH, refresh);
        let (pair, name) = self.pair(&child);
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
            } => self.signed_in(session, (&name, child), access_expires_at_ms),
            Rotation::Reused => {
                tracing::warn!("a refresh token was used twice; its session has been ended");
                self.access.tell(AccessChange::Session(known.family_id));
                Err(AccountError::SessionEnded)
            }
            Rotation::Invalid => Err(AccountError::SessionEnded),
        }
    }

    /// The CSRF token of a session: the same as long as it lives and acts for one organisation. A page that has not heard yet
    /// that another one changed that changes nothing of the other organisation.
    pub fn csrf_token(&self, person: &Person) -> String {
        let org_id = person.org_id.as_deref().unwrap_or_default();
        let acting = format!("{} {org_id}", person.family_id);
        self.key.derive(CSRF, &acting)
    }

    /// Whether `sent` is the CSRF token of this session, in constant time.
    pub fn csrf_matches(&self, person: &Person, sent: &str) -> bool {
        self.csrf_token(person)
            .as_bytes()
            .ct_eq(sent.as_bytes())
            .into()
    }

    /// The rows of a refresh token, and the name of its access token.
    fn pair(&self, refresh: &str) -> (TokenPair, String) {
        let now_ms = self.clock.now_ms();
        let name = self.key.derive(ACCESS, refresh);
        let pair = TokenPair {
            refresh_hash: secret::hash(refresh),
            access_hash: secret::hash(&name),
            issued_at_ms: now_ms,
            access_expires_at_ms: now_ms + self.lifetimes.access_ms,
            refresh_expires_at_ms: now_ms + self.lifetimes.idle_ms,
        };
        (pair, name)
    }

    fn signed_in(
        &self,
        session: Session,
        (name, refresh): (&str, String),
        access_end_ms: i64,
    ) -> Result<SignedIn, AccountError> {
        let person = Person::from(session);
        let whose = (person.user_id.as_str(), person.family_id.as_str());
        let span = (access_end_ms - self.lifetimes.access_ms, access_end_ms);
        let access = self.access_tokens.sign(whose, name, span);
        let tokens = Tokens {
            access: access.map_err(AccountError::AccessToken)?,
            refresh,
            access_s: (access_end_ms - self.clock.now_ms()) / 1_000,
            refresh_s: self.lifetimes.idle_ms / 1_000,
        };
        Ok(SignedIn {
            person,
            tokens,
            browser: None,
        })
    }
}
