//! A person's own second factor: set up, its recovery codes, and taken away.

use super::{AccountError, Accounts, Email, Origin, Person};
use crate::app::AccessChange;
use dgon_control_plane_model::recovery_code::{self, RecoveryCode};
use dgon_control_plane_model::totp::{self, TotpSecret};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::second_factors::{FactorProof, FactorSet, NewSecondFactor};
use dgon_control_plane_store::users::AccessChanged;
use dgon_control_plane_store::{Scope, System};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How long they may take to add the secret to their app, ms.
const SET_UP_MS: i64 = 900_000;
/// Whom the app's entry names as the one that asks.
const ISSUER: &str = "DGON";

/// A secret to add to an app.
pub struct FactorOffer {
    /// What is typed into an app that cannot scan.
    pub secret: Zeroizing<String>,
    /// What an app reads from a picture.
    pub uri: Zeroizing<String>,
    /// For the browser to bring back with the first code.
    pub sealed: String,
    /// Until when, unix ms.
    pub expires_at_ms: i64,
}

/// Recovery codes as they are shown, once.
pub type ShownCodes = Vec<Zeroizing<String>>;

#[derive(Serialize, Deserialize)]
struct Offered {
    secret: [u8; totp::SECRET_BYTES],
}

/// What an offer is sealed for: this person's app.
fn purpose(person: &Person) -> String {
    format!("second factor of {}", person.user_id)
}

impl Accounts {
    /// A new secret for a person's app. Nothing is kept of it before they show that the app has it.
    ///
    /// # Errors
    /// [`AccountError::NotFresh`], [`AccountError::FactorExists`] or a fault of the store.
    pub async fn second_factor_offer(&self, person: &Person) -> Result<FactorOffer, AccountError> {
        self.must_be_fresh(person).await?;
        if self.me(person).await?.second_factor.is_some() {
            return Err(AccountError::FactorExists);
        }
        let mut bytes = [0; totp::SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| AccountError::Randomness)?;
        let expires_at_ms = self.clock.now_ms() + SET_UP_MS;
        let offered = Offered { secret: bytes };
        let (seal, whose) = (&self.browser_seal, purpose(person));
        let secret = TotpSecret::from_bytes(bytes);
        Ok(FactorOffer {
            uri: secret.uri(ISSUER, &app_label(&person.email))?,
            secret: secret.base32(),
            sealed: seal.seal(&whose, expires_at_ms, &offered)?,
            expires_at_ms,
        })
    }

    /// Asks a person for a second factor from now on: their app has shown that it has the secret. Their other sign-ins end.
    ///
    /// # Errors
    /// [`AccountError::NotFresh`], [`AccountError::WrongPassword`], [`AccountError::PendingGone`], [`AccountError::Totp`], [`AccountError::RecoveryCode`], [`AccountError::FactorExists`],
    /// [`AccountError::SessionEnded`], [`AccountError::TooOften`] or a fault of the store.
    pub async fn second_factor_set_up(
        &self,
        person: &Person,
        (sealed, code): (&str, &str),
        current: Option<String>,
        origin: &Origin,
    ) -> Result<ShownCodes, AccountError> {
        self.must_be_they(person, current, origin).await?;
        let (seal, now_ms) = (&self.browser_seal, self.clock.now_ms());
        let offered = seal.open(&purpose(person), sealed, now_ms);
        let offered: Offered = offered.ok_or(AccountError::PendingGone)?;
        let step = TotpSecret::from_bytes(offered.secret).verify(code, self.now_s(), None)?;
        let sealed_secret = self
            .factors
            .seal(&person.user_id, &offered.secret)
            .map_err(|_| AccountError::Randomness)?;
        let (macs, shown) = self.new_recovery_codes(&person.user_id)?;
        let new = NewSecondFactor {
            sealed_secret: &sealed_secret,
            step: step.cast_signed(),
            recovery_macs: &macs,
        };
        let audit = self.factor_audit("second_factor.set", person, origin);
        let own = person.own();
        let set = self
            .store
            .second_factor_set(&own, &new, &person.family_id, &audit);
        match set.await? {
            FactorSet::Ended => Err(AccountError::SessionEnded),
            FactorSet::Exists => Err(AccountError::FactorExists),
            FactorSet::Set => {
                self.access
                    .tell(AccessChange::Person(person.user_id.clone()));
                Ok(shown)
            }
        }
    }

    /// Other recovery codes for a person, in place of those that they have.
    ///
    /// # Errors
    /// [`AccountError::Totp`], [`AccountError::RecoveryCode`], [`AccountError::NoFactor`], [`AccountError::TooOften`] or a fault of the store.
    pub async fn recovery_codes_renew(
        &self,
        person: &Person,
        code: &str,
        origin: &Origin,
    ) -> Result<ShownCodes, AccountError> {
        let own = person.own();
        let proof = self.own_factor_proof(person, code, origin).await?;
        let (macs, shown) = self.new_recovery_codes(&person.user_id)?;
        let audit = self.factor_audit("second_factor.codes", person, origin);
        match self
            .store
            .recovery_codes_set(&own, proof, &macs, &audit)
            .await?
        {
            true => Ok(shown),
            false => Err(self.factor_refused(&person.user_id, proof, origin).await?),
        }
    }

    /// Asks a person for no second factor any more.
    ///
    /// # Errors
    /// As [`Accounts::recovery_codes_renew`].
    pub async fn second_factor_remove(
        &self,
        person: &Person,
        code: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let own = person.own();
        let proof = self.own_factor_proof(person, code, origin).await?;
        let audit = self.factor_audit("second_factor.remove", person, origin);
        match self.store.second_factor_remove(&own, proof, &audit).await? {
            true => Ok(()),
            false => Err(self.factor_refused(&person.user_id, proof, origin).await?),
        }
    }

    /// Asks somebody for no second factor any more, who has lost the app and the recovery codes; for whoever may see all.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::NoFactor`] or a fault of the store.
    async fn second_factor_reset(
        &self,
        scope: &Scope,
        user_id: &str,
        (actor, reason): (&str, Option<&str>),
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let object = format!("user:{user_id}");
        let mut audit = self.audit(actor, "second_factor.reset", object, origin);
        audit.facts.reason = reason.map(str::to_owned);
        match self
            .store
            .second_factor_reset(scope, user_id, &audit)
            .await?
        {
            AccessChanged::Changed => Ok(()),
            AccessChanged::Unchanged => Err(AccountError::NoFactor),
            _ => Err(AccountError::NotFound("user")),
        }
    }

    /// The same for an admin, about somebody else: what an app has to prove, a session alone does not.
    ///
    /// # Errors
    /// [`AccountError::OwnFactor`], [`AccountError::NotFresh`], [`AccountError::NotFound`], [`AccountError::NoFactor`] or a fault of the store.
    pub async fn second_factor_reset_of(
        &self,
        person: &Person,
        user_id: &str,
        reason: &str,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        if person.user_id == user_id {
            return Err(AccountError::OwnFactor);
        }
        self.must_be_fresh(person).await?;
        let by = (person.audit_name(), Some(reason));
        let scope = person.scope();
        self.second_factor_reset(&scope, user_id, (&by.0, by.1), origin)
            .await
    }

    /// The same for whoever runs the server.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::NotFound`], [`AccountError::NoFactor`] or a fault of the store.
    pub async fn second_factor_reset_by_email(
        &self,
        email: &Email,
        actor: &str,
    ) -> Result<(), AccountError> {
        let by = System::of_the_server();
        let user = self.store.user_by_email(by, email.as_str()).await?;
        let user = user.ok_or(AccountError::NoUser)?;
        let (scope, origin) = (by.into(), Origin::default());
        self.second_factor_reset(&scope, &user.user_id, (actor, None), &origin)
            .await
    }

    async fn own_factor_proof(
        &self,
        person: &Person,
        code: &str,
        origin: &Origin,
    ) -> Result<FactorProof, AccountError> {
        self.must_be_fresh(person).await?;
        let own = person.own();
        self.factor_proof(&own, &person.user_id, code, origin).await
    }

    fn new_recovery_codes(
        &self,
        user_id: &str,
    ) -> Result<(Vec<[u8; 32]>, ShownCodes), AccountError> {
        let mut bytes = Zeroizing::new([0; recovery_code::RANDOM_BYTES]);
        getrandom::fill(&mut *bytes).map_err(|_| AccountError::Randomness)?;
        let codes = RecoveryCode::from_random(&bytes);
        let macs = codes.iter().map(|code| self.recovery_mac(user_id, code));
        Ok((
            macs.collect(),
            codes.iter().map(RecoveryCode::shown).collect(),
        ))
    }

    fn factor_audit(&self, action: &str, person: &Person, origin: &Origin) -> AuditEntry {
        let whose = person.audit_name();
        self.audit(&whose, action, whose.clone(), origin)
    }
}

/// An address as an app's entry can name it.
fn app_label(email: &str) -> String {
    email
        .chars()
        .filter(|c| *c != ':')
        .take(totp::LABEL_CHARS)
        .collect()
}
