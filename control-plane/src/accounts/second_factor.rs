//! The second factor: a code of an authenticator app, or, where that is gone, a recovery code.
//!
//! It is asked for whichever way its person signs in. Between the first proof and the code nothing is kept: what was proven
//! goes sealed to the browser, which brings it back with the code, and is looked at again when the session begins. The secret
//! is in the database, sealed with a key of the data directory; of recovery codes there is an HMAC with such a key.

use super::session::Begun;
use super::{AccountError, Accounts, Origin, SignedIn, secret};
use dgon_control_plane_model::recovery_code::RecoveryCode;
use dgon_control_plane_model::totp::{TotpError, TotpSecret};
use dgon_control_plane_store::second_factors::FactorProof;
use dgon_control_plane_store::sessions::SessionProof;
use dgon_control_plane_store::{Scope, System};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How long a person may take to enter a code after the first proof, ms.
const SIGN_IN_MS: i64 = 300_000;
const PENDING: &str = "pending sign-in";
const RECOVERY: &str = "recovery";

/// A sign-in that lacks its second factor.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingSignIn {
    /// For the browser to bring back with the code.
    pub sealed: String,
    /// How long it is good for, s.
    pub lifetime_s: i64,
}

impl std::fmt::Debug for PendingSignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PendingSignIn")
    }
}

/// What was proven, and how.
#[derive(Serialize, Deserialize)]
struct Pending {
    user_id: String,
    first: FirstProof,
}

/// A [`SessionProof`] that can leave the process.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FirstProof {
    /// SHA-256 of the argon2id string.
    Password([u8; 32]),
    Link([u8; 32]),
    Wallet {
        kind: String,
        address: String,
    },
    Oidc {
        issuer: String,
        subject: String,
    },
}

impl Accounts {
    /// What a browser brings back when its person has entered a code. `None` for an account that was just made.
    pub(super) fn pending(
        &self,
        user_id: &str,
        proof: SessionProof<'_>,
    ) -> Result<Option<PendingSignIn>, AccountError> {
        let first = match proof {
            SessionProof::Setup | SessionProof::Registration => return Ok(None),
            SessionProof::Password(hash) => FirstProof::Password(secret::hash(hash)),
            SessionProof::Link(hash) => FirstProof::Link(*hash),
            SessionProof::Wallet { kind, address } => FirstProof::Wallet {
                kind: kind.to_owned(),
                address: address.to_owned(),
            },
            SessionProof::Oidc { issuer, subject } => FirstProof::Oidc {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
            },
        };
        let pending = Pending {
            user_id: user_id.to_owned(),
            first,
        };
        let expires_at_ms = self.clock.now_ms() + SIGN_IN_MS;
        Ok(Some(PendingSignIn {
            sealed: self.browser_seal.seal(PENDING, expires_at_ms, &pending)?,
            lifetime_s: SIGN_IN_MS / 1_000,
        }))
    }

    /// Signs in with the code that was asked for after the first proof.
    ///
    /// # Errors
    /// [`AccountError::PendingGone`], [`AccountError::Totp`], [`AccountError::RecoveryCode`], [`AccountError::TooOften`] or a fault of the store.
    pub async fn second_factor_sign_in(
        &self,
        sealed: &str,
        code: &str,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        let pending = self.browser_seal.open(PENDING, sealed, self.clock.now_ms());
        let pending: Pending = pending.ok_or(AccountError::PendingGone)?;
        let by = Scope::from(System::of_the_server());
        let user_id = pending.user_id.as_str();
        let user = self.store.member_get(&by, user_id).await?;
        let user = user.ok_or(AccountError::PendingGone)?.user;
        let stored = user.password_hash.unwrap_or_default();
        let proof = match &pending.first {
            FirstProof::Password(hash) if *hash == secret::hash(&stored) => {
                SessionProof::Password(&stored)
            }
            FirstProof::Password(_) => return Err(AccountError::PendingGone),
            FirstProof::Link(hash) => SessionProof::Link(hash),
            FirstProof::Wallet { kind, address } => SessionProof::Wallet { kind, address },
            FirstProof::Oidc { issuer, subject } => SessionProof::Oidc { issuer, subject },
        };
        let factor = self.factor_proof(&by, user_id, code, origin).await?;
        match self.begin(user_id, proof, Some(factor), origin).await? {
            Begun::SignedIn(signed_in) => Ok(*signed_in),
            Begun::NoProof | Begun::FactorNeeded => Err(AccountError::PendingGone),
            Begun::FactorUsed => Err(self.factor_refused(user_id, factor, origin).await?),
        }
    }

    /// What a code proves of an account's second factor. Wrong ones of the app are counted, and each leaves a row; whether a
    /// recovery code is one, the store knows when it is to be used.
    ///
    /// Whoever has somebody's password may use up the tries of the app's codes and keep them out: their recovery codes still
    /// work, whose 50 bits nobody guesses.
    pub(super) async fn factor_proof(
        &self,
        scope: &Scope,
        user_id: &str,
        code: &str,
        origin: &Origin,
    ) -> Result<FactorProof, AccountError> {
        if let Ok(code) = RecoveryCode::parse(code) {
            let mac = self.recovery_mac(user_id, &code);
            return Ok(FactorProof::Recovery(mac));
        }
        let factor = self.store.second_factor(scope, user_id).await?;
        let factor = factor.ok_or(AccountError::NoFactor)?;
        let bytes = self.factors.open(user_id, &factor.sealed_secret);
        let bytes = bytes.map_err(|_| AccountError::FactorSealed)?;
        let bytes = bytes.try_into().map_err(|_| AccountError::FactorSealed)?;
        let last_step = Some(factor.last_step.cast_unsigned());
        // Taken before it is known whether it is right: many at once are as many tries.
        self.take_code(user_id)?;
        let verified = TotpSecret::from_bytes(bytes).verify(code, self.now_s(), last_step);
        match verified {
            Ok(_) | Err(TotpError::Form) => self.give_back_code(user_id),
            Err(_) => self.code_failed(user_id, origin).await?,
        }
        Ok(FactorProof::Step(verified?.cast_signed()))
    }

    /// What is told of a proof that was good for nothing when it was to be used. Wrong recovery codes use up nothing, but the rows
    /// that they leave.
    pub(super) async fn factor_refused(
        &self,
        user_id: &str,
        proof: FactorProof,
        origin: &Origin,
    ) -> Result<AccountError, AccountError> {
        match proof {
            FactorProof::Step(_) => Ok(TotpError::Used.into()),
            FactorProof::Recovery(_) => {
                if self.may_note_recovery(user_id) {
                    self.code_failed(user_id, origin).await?;
                }
                Ok(AccountError::RecoveryCode)
            }
        }
    }

    async fn code_failed(&self, user_id: &str, origin: &Origin) -> Result<(), AccountError> {
        let whose = format!("user:{user_id}");
        let entry = self.audit("anonymous", "second_factor.failed", whose, origin);
        let by = System::of_the_server();
        Ok(self.store.audit_write(by, &entry).await?)
    }

    pub(super) fn recovery_mac(&self, user_id: &str, code: &RecoveryCode) -> [u8; 32] {
        let of = Zeroizing::new(format!("{user_id} {}", code.as_str()));
        secret::hash(&self.key.derive(RECOVERY, &of))
    }

    pub(super) fn now_s(&self) -> u64 {
        u64::try_from(self.clock.now_ms() / 1_000).unwrap_or_default()
    }
}
