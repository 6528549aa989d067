//! Accounts at issuers of OpenID Connect, which sign in once they are linked to a person.
//!
//! As with wallets, nothing is kept of a sign-in that has begun: it goes sealed to the browser that began it, and comes back
//! beside the issuer's answer. What is kept is which were used, and only of those by which somebody was proven. An identity makes no account, and none is found by an address: an issuer's word about addresses is
//! not this server's.

use super::{AccountError, Accounts, Origin, Person, SignedIn, secret};
use crate::app::AccessChange;
use crate::oidc::{Account, Answered, Asked, Issuer, IssuerSettings};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::identities::{Identity, IdentityLinked, IdentityUnlinked};
use dgon_control_plane_store::sessions::SessionProof;
use dgon_control_plane_store::{Scope, System};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

const PURPOSE: &str = "oidc request";
/// How long a person may take at the issuer, ms.
const AWAY_MS: i64 = 600_000;

/// What somebody wants to prove with an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OidcPurpose<'a> {
    /// Who they are.
    SignIn,
    /// That the account there is this person's.
    Link(&'a Person),
}

/// A sign-in at an issuer that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcStart {
    /// Where the person goes.
    pub url: String,
    /// For the browser to bring back with the answer.
    pub sealed: String,
    /// How long it is good for, s.
    pub lifetime_s: i64,
}

/// What an issuer sent a browser back with, and what the browser had kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OidcAnswer {
    /// The request, as it was sealed.
    pub sealed: String,
    /// What the request is known by.
    pub state: Option<String>,
    /// The code of who was let in there.
    pub code: Option<String>,
    /// Why there is none: a word of OAuth.
    pub error: Option<String>,
    /// The issuer that the answer names.
    pub iss: Option<String>,
}

impl std::fmt::Debug for OidcAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OidcAnswer")
    }
}

/// What a browser asked for, found again by its seal.
#[derive(Clone, PartialEq, Eq)]
pub struct OidcRequest(Kept);

impl OidcRequest {
    /// Whether an account is to be linked; else it is to sign in.
    pub fn is_link(&self) -> bool {
        self.0.link.is_some()
    }
}

impl std::fmt::Debug for OidcRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OidcRequest")
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    issuer: String,
    state: String,
    nonce: String,
    verifier: String,
    begun_ms: i64,
    /// Whose the account is to be; nobody's where it is to sign in.
    #[serde(default)]
    link: Option<Linker>,
}

/// Who links, by which sign-in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Linker {
    user_id: String,
    family_id: String,
}

/// An identity of a person, and what the settings have of its issuer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnIdentity {
    /// As it was linked.
    pub identity: Identity,
    /// Name of the issuer for people; `None` where it is in the settings no more, and so signs nobody in.
    pub issuer_name: Option<String>,
}

impl Accounts {
    /// The issuers that people can sign in by.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerSettings> {
        self.issuers.iter()
    }

    /// Begins a sign-in at an issuer. Nothing is written.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::NotFresh`] to link, [`AccountError::Issuer`], [`AccountError::Randomness`].
    pub async fn oidc_start(
        &self,
        issuer: &str,
        purpose: OidcPurpose<'_>,
    ) -> Result<OidcStart, AccountError> {
        let issuer = self.issuer(issuer)?;
        let link = match purpose {
            OidcPurpose::SignIn => None,
            OidcPurpose::Link(person) => {
                // Before they go there in vain.
                self.must_be_fresh(person).await?;
                Some(Linker {
                    user_id: person.user_id.clone(),
                    family_id: person.family_id.clone(),
                })
            }
        };
        let kept = Kept {
            issuer: issuer.settings().id.as_str().to_owned(),
            state: secret::random_text("")?,
            nonce: secret::random_text("")?,
            verifier: secret::random_text("")?,
            begun_ms: self.clock.now_ms(),
            link,
        };
        let url = self.authorize(issuer, kept.clone()).await?;
        let expires_at_ms = kept.begun_ms + AWAY_MS;
        Ok(OidcStart {
            url,
            sealed: self.browser_seal.seal(PURPOSE, expires_at_ms, &kept)?,
            lifetime_s: AWAY_MS / 1_000,
        })
    }

    /// The request of this browser that an answer at the address of `issuer` is to.
    ///
    /// # Errors
    /// [`AccountError::OidcSpent`] where this browser asked for none, another one, or too long ago.
    pub fn oidc_request(
        &self,
        issuer: &str,
        answer: &OidcAnswer,
    ) -> Result<OidcRequest, AccountError> {
        let now_ms = self.clock.now_ms();
        let kept = self.browser_seal.open(PURPOSE, &answer.sealed, now_ms);
        let kept: Kept = kept.ok_or(AccountError::OidcSpent)?;
        let state = answer.state.as_deref().unwrap_or_default();
        let is_its: bool = kept.state.as_bytes().ct_eq(state.as_bytes()).into();
        // Each issuer has an address of its own: an answer of one is none of another.
        let is_here = kept.issuer == issuer;
        match is_its && is_here {
            true => Ok(OidcRequest(kept)),
            false => Err(AccountError::OidcSpent),
        }
    }

    /// Signs in with an answer to such a request.
    ///
    /// # Errors
    /// [`AccountError::OidcDeclined`], [`AccountError::OidcProof`], [`AccountError::Issuer`], [`AccountError::OidcSpent`],
    /// [`AccountError::IdentityUnknown`], [`AccountError::TooOften`] or a fault of the store.
    pub async fn oidc_sign_in(
        &self,
        request: &OidcRequest,
        answer: &OidcAnswer,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        if request.is_link() {
            return Err(AccountError::OidcSpent);
        }
        let (issuer, account) = self.proven_account(request, answer).await?;
        let (by, url) = (System::of_the_server(), issuer.settings().url.as_str());
        let owner = self.store.identity_owner(by, url, &account.subject).await?;
        // An account that is nobody's here writes nothing.
        let user_id = owner.ok_or(AccountError::IdentityUnknown)?;
        self.take_sign_in(&user_id)?;
        self.spend_oidc(request).await?;
        let proof = SessionProof::Oidc {
            issuer: url,
            subject: &account.subject,
        };
        let signed_in = self.start(&user_id, proof, origin).await?;
        signed_in.ok_or(AccountError::IdentityUnknown)
    }

    /// Links the account of an answer to the person who asked for it. `acting` is who this browser is signed in as by now,
    /// where its access token is still good.
    ///
    /// # Errors
    /// As [`Accounts::oidc_sign_in`]; [`AccountError::SessionEnded`], [`AccountError::NotFresh`],
    /// [`AccountError::IdentityTaken`], [`AccountError::TooManyIdentities`].
    pub async fn oidc_link(
        &self,
        request: &OidcRequest,
        answer: &OidcAnswer,
        acting: Option<&Person>,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let linker = request.0.link.as_ref().ok_or(AccountError::OidcSpent)?;
        // Somebody else has signed in here meanwhile.
        if acting.is_some_and(|person| person.user_id != linker.user_id) {
            return Err(AccountError::OidcSpent);
        }
        self.linking(linker).await?;
        let (issuer, account) = self.proven_account(request, answer).await?;
        self.spend_oidc(request).await?;
        // The issuer may have taken its time, and the sign-in ended meanwhile.
        let person = self.linking(linker).await?;
        let own = person.own();
        let new = Identity {
            identity_id: secret::public_id("i")?,
            issuer: issuer.settings().url.as_str().to_owned(),
            subject: account.subject,
            email: account.email,
            linked_at_ms: self.clock.now_ms(),
        };
        let mut audit = self.oidc_audit("oidc.link", &person, origin);
        audit.facts.after = Some(json!({ "issuer": new.issuer, "subject": new.subject }));
        let linked = self
            .store
            .identity_link(&own, &new, &person.family_id, &audit);
        match linked.await? {
            IdentityLinked::Linked | IdentityLinked::Unchanged => Ok(()),
            IdentityLinked::Taken => Err(AccountError::IdentityTaken),
            IdentityLinked::TooMany => Err(AccountError::TooManyIdentities),
            IdentityLinked::NoUser => Err(AccountError::SessionEnded),
        }
    }

    /// A person's identities, in the order in which they were linked.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn identity_list(&self, person: &Person) -> Result<Vec<OwnIdentity>, AccountError> {
        let identities = self.store.identity_list(&person.own()).await?;
        let own = identities.into_iter().map(|identity| OwnIdentity {
            issuer_name: self
                .issuers
                .by_url(&identity.issuer)
                .map(|issuer| issuer.name.clone()),
            identity,
        });
        Ok(own.collect())
    }

    /// Takes an identity from a person.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::LastWayIn`] or a fault of the store.
    pub async fn identity_unlink(
        &self,
        person: &Person,
        identity_id: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let audit = self.oidc_audit("oidc.unlink", person, origin);
        let own = person.own();
        let unlinked = self
            .store
            .identity_unlink(&own, identity_id, &person.family_id, &audit);
        match unlinked.await? {
            IdentityUnlinked::Unlinked => {
                self.access
                    .tell(AccessChange::Person(person.user_id.clone()));
                Ok(())
            }
            IdentityUnlinked::NoIdentity => Err(AccountError::NotFound("identity")),
            IdentityUnlinked::LastWayIn => Err(AccountError::LastWayIn),
        }
    }

    /// Who links, where the sign-in goes on and is new. Whoever is away longer than an access token lives is still signed in.
    async fn linking(&self, linker: &Linker) -> Result<Person, AccountError> {
        let own = Scope::Person(linker.user_id.clone());
        let now_ms = self.clock.now_ms();
        let session = self.store.session_now(&own, &linker.family_id, now_ms);
        let person = session.await?.map(Person::from);
        let person = person.ok_or(AccountError::SessionEnded)?;
        // An issuer is a way in of its own, which outlasts the sign-in that linked it.
        self.must_be_fresh(&person).await?;
        Ok(person)
    }

    fn issuer(&self, id: &str) -> Result<&Arc<Issuer>, AccountError> {
        self.issuers
            .find(id)
            .ok_or(AccountError::NotFound("issuer"))
    }

    async fn authorize(&self, issuer: &Arc<Issuer>, kept: Kept) -> Result<String, AccountError> {
        let (issuer, now_ms) = (Arc::clone(issuer), self.clock.now_ms());
        let asking = self.runtime.spawn(async move {
            let challenge = Sha256::digest(kept.verifier.as_bytes());
            let asked = Asked {
                state: &kept.state,
                nonce: &kept.nonce,
                challenge: &URL_SAFE_NO_PAD.encode(challenge),
            };
            issuer.authorize(now_ms, asked).await
        });
        Ok(asking.await.map_err(AccountError::IssuerStopped)??)
    }

    /// The account that an answer proves. It is asked for on everybody's threads: whoever goes away meanwhile leaves no
    /// question half asked, which others wait for.
    async fn proven_account(
        &self,
        request: &OidcRequest,
        answer: &OidcAnswer,
    ) -> Result<(Arc<Issuer>, Account), AccountError> {
        let issuer = Arc::clone(self.issuer(&request.0.issuer)?);
        let (asked, now_ms) = (Arc::clone(&issuer), self.clock.now_ms());
        let Some(code) = answer.code.clone().filter(|_| answer.error.is_none()) else {
            let iss = answer.iss.clone();
            let asking = async move { asked.check_answer(now_ms, iss.as_deref()).await };
            let asking = self.runtime.spawn(asking).await;
            asking.map_err(AccountError::IssuerStopped)??;
            return Err(match answer.error.as_deref() {
                Some("access_denied") => AccountError::OidcDeclined,
                _ => AccountError::OidcRefused,
            });
        };
        let answered = Answered {
            code,
            iss: answer.iss.clone(),
            verifier: request.0.verifier.clone(),
            nonce: request.0.nonce.clone(),
            begun_ms: request.0.begun_ms,
        };
        let asking = async move { asked.account(now_ms, &answered).await };
        let account = self.runtime.spawn(asking).await;
        Ok((issuer, account.map_err(AccountError::IssuerStopped)??))
    }

    /// Uses up the request that was answered: it is good once.
    async fn spend_oidc(&self, request: &OidcRequest) -> Result<(), AccountError> {
        let (by, now_ms) = (System::of_the_server(), self.clock.now_ms());
        let state = secret::hash(&request.0.state);
        let until_ms = request.0.begun_ms + AWAY_MS;
        match self.store.nonce_spend(by, &state, until_ms, now_ms).await? {
            true => Ok(()),
            false => Err(AccountError::OidcSpent),
        }
    }

    fn oidc_audit(&self, action: &str, person: &Person, origin: &Origin) -> AuditEntry {
        let whose = person.audit_name();
        self.audit(&whose, action, whose.clone(), origin)
    }
}
