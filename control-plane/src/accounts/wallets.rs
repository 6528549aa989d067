//! Wallets: accounts of chains whose keys sign in, once they are linked to a person.
//!
//! Nothing is kept of a request to sign: it goes sealed to the browser that asked and comes back with the answer. What is kept
//! is which were answered.

use super::{AccountError, Accounts, Origin, Person, SignedIn, secret};
use crate::app::AccessChange;
use dgon_control_plane_model::identity::{
    ChainKind, Nonce, Proof, ProvenAccount, SignInFields, SignInRequest, Statement,
};
use dgon_control_plane_store::System;
use dgon_control_plane_store::sessions::SessionProof;
use dgon_control_plane_store::wallets::{Wallet, WalletLinked, WalletUnlinked};
use serde::{Deserialize, Serialize};
use serde_json::json;

const PURPOSE: &str = "wallet request";
/// How long a person may take to sign, ms.
const SIGN_MS: i64 = 300_000;
const TO_SIGN_IN: &str = "Sign in to the DGON console.";
const TO_LINK: &str = "Link this wallet to your account in the DGON console.";

/// What somebody wants to prove with a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalletPurpose<'a> {
    /// Who they are.
    SignIn,
    /// That it is this person's.
    Link(&'a Person),
}

/// The account that is to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalletAccount<'a> {
    /// How its accounts are proven.
    pub kind: ChainKind,
    /// The chain: a number, a cluster or a name; the first of its kind where absent.
    pub chain_id: Option<&'a str>,
    /// The account.
    pub address: &'a str,
}

/// A request to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletRequest {
    /// What is to be signed.
    pub request: SignInRequest,
    /// For the browser to bring back with the answer.
    pub sealed: String,
    /// How long it is good for, s.
    pub lifetime_s: i64,
}

/// What a wallet answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletAnswer {
    /// The request, as it was sealed.
    pub sealed: String,
    /// The signature.
    pub signature: String,
    /// The key, of Cosmos accounts.
    pub public_key: Option<String>,
    /// The text that was signed, where the wallet made it itself.
    pub message: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Whose the wallet is to be; nobody's where it is to sign in.
    #[serde(default)]
    user_id: Option<String>,
    request: SignInRequest,
}

/// An account, and the request by which it was proven.
struct Proven {
    account: ProvenAccount,
    request: SignInRequest,
}

impl Proven {
    fn kind(&self) -> &'static str {
        self.account.account().kind().as_str()
    }

    fn address(&self) -> String {
        self.account.account().to_string()
    }
}

impl Accounts {
    /// Whether wallets can sign in here.
    pub fn takes_wallets(&self) -> bool {
        self.wallets.uri.is_some()
    }

    /// Names of the chains of the Cosmos SDK that are known here.
    pub fn cosmos_chains(&self) -> impl Iterator<Item = &str> {
        self.wallets.cosmos.iter().map(|(id, _)| id.as_str())
    }

    /// What a wallet is to sign. Nothing is written.
    ///
    /// # Errors
    /// [`AccountError::NoWallets`], [`AccountError::WalletChain`], [`AccountError::WalletRequest`] for an address that is
    /// none, [`AccountError::Randomness`].
    pub fn wallet_request(
        &self,
        purpose: WalletPurpose<'_>,
        account: WalletAccount<'_>,
    ) -> Result<WalletRequest, AccountError> {
        let uri = self.wallets.uri.clone().ok_or(AccountError::NoWallets)?;
        let (statement, user_id) = match purpose {
            WalletPurpose::SignIn => (TO_SIGN_IN, None),
            WalletPurpose::Link(person) => (TO_LINK, Some(person.user_id.clone())),
        };
        let mut nonce = [0u8; 16];
        getrandom::fill(&mut nonce).map_err(|_| AccountError::Randomness)?;
        let now_ms = self.clock.now_ms();
        let request = SignInRequest::new(SignInFields {
            uri,
            statement: Statement::parse(statement).map_err(|_| AccountError::NoWallets)?,
            chain: self.wallets.chain(account.kind, account.chain_id)?,
            address: account.address.to_owned(),
            nonce: Nonce::from_random(nonce),
            issued_at_ms: now_ms,
            expires_at_ms: now_ms + SIGN_MS,
        })?;
        let kept = Kept { user_id, request };
        let sealed = self.browser_seal.seal(PURPOSE, now_ms + SIGN_MS, &kept)?;
        Ok(WalletRequest {
            request: kept.request,
            sealed,
            lifetime_s: SIGN_MS / 1_000,
        })
    }

    /// Signs in with an answer to such a request.
    ///
    /// # Errors
    /// [`AccountError::WalletSpent`], [`AccountError::WalletProof`], [`AccountError::WalletUnknown`],
    /// [`AccountError::TooOften`] or a fault of the store.
    pub async fn wallet_sign_in(
        &self,
        answer: &WalletAnswer,
        origin: &Origin,
    ) -> Result<SignedIn, AccountError> {
        let proven = self.proven(answer, None)?;
        let (by, kind, address) = (System::of_the_server(), proven.kind(), proven.address());
        let owner = self.store.wallet_owner(by, kind, &address).await?;
        // A wallet that is nobody's writes nothing.
        let user_id = owner.ok_or(AccountError::WalletUnknown)?;
        self.take_sign_in(&user_id)?;
        self.spend(&proven).await?;
        let proof = SessionProof::Wallet {
            kind,
            address: &address,
        };
        let signed_in = self.start(&user_id, proof, origin).await?;
        signed_in.ok_or(AccountError::WalletUnknown)
    }

    /// Links the wallet of an answer to a person.
    ///
    /// # Errors
    /// [`AccountError::WalletSpent`], [`AccountError::WalletProof`], [`AccountError::WalletTaken`],
    /// [`AccountError::TooManyWallets`], [`AccountError::NotFresh`] or a fault of the store.
    pub async fn wallet_link(
        &self,
        person: &Person,
        answer: &WalletAnswer,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        // A wallet is a way in of its own, which outlasts the sign-in that linked it.
        self.must_be_fresh(person).await?;
        let proven = self.proven(answer, Some(person))?;
        self.spend(&proven).await?;
        let (kind, address) = (proven.kind(), proven.address());
        let mut audit = self.wallet_audit("wallet.link", person, origin);
        audit.facts.after = Some(json!({ "kind": kind, "address": address }));
        let own = person.own();
        let (wallet, family_id) = ((kind, address.as_str()), &person.family_id);
        let linked = self.store.wallet_link(&own, wallet, family_id, &audit);
        match linked.await? {
            WalletLinked::Linked | WalletLinked::Unchanged => Ok(()),
            WalletLinked::Taken => Err(AccountError::WalletTaken),
            WalletLinked::TooMany => Err(AccountError::TooManyWallets),
            WalletLinked::NoUser => Err(AccountError::SessionEnded),
        }
    }

    /// A person's wallets, in the order in which they were linked.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn wallet_list(&self, person: &Person) -> Result<Vec<Wallet>, AccountError> {
        Ok(self.store.wallet_list(&person.own()).await?)
    }

    /// Takes a wallet from a person.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::LastWayIn`] or a fault of the store.
    pub async fn wallet_unlink(
        &self,
        person: &Person,
        wallet: (&str, &str),
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let audit = self.wallet_audit("wallet.unlink", person, origin);
        let own = person.own();
        let unlinked = self
            .store
            .wallet_unlink(&own, wallet, &person.family_id, &audit);
        match unlinked.await? {
            WalletUnlinked::Unlinked => {
                self.access
                    .tell(AccessChange::Person(person.user_id.clone()));
                Ok(())
            }
            WalletUnlinked::NoWallet => Err(AccountError::NotFound("wallet")),
            WalletUnlinked::LastWayIn => Err(AccountError::LastWayIn),
        }
    }

    /// The account whose key has signed the request of an answer, which was made for this person or, without one, to sign in.
    fn proven(
        &self,
        answer: &WalletAnswer,
        person: Option<&Person>,
    ) -> Result<Proven, AccountError> {
        let now_ms = self.clock.now_ms();
        let kept = self.browser_seal.open(PURPOSE, &answer.sealed, now_ms);
        let kept: Kept = kept.ok_or(AccountError::WalletSpent)?;
        if kept.user_id.as_ref() != person.map(|person| &person.user_id) {
            return Err(AccountError::WalletSpent);
        }
        let proof = Proof {
            signature: &answer.signature,
            public_key: answer.public_key.as_deref(),
            message: answer.message.as_deref().map(str::as_bytes),
        };
        let account = kept.request.verify(&proof, now_ms)?;
        Ok(Proven {
            account,
            request: kept.request,
        })
    }

    /// Uses up the request that was answered: it is good once.
    async fn spend(&self, proven: &Proven) -> Result<(), AccountError> {
        let fields = proven.request.fields();
        let (by, now_ms) = (System::of_the_server(), self.clock.now_ms());
        let nonce = secret::hash(fields.nonce.as_str());
        let spent = self
            .store
            .nonce_spend(by, &nonce, fields.expires_at_ms, now_ms);
        match spent.await? {
            true => Ok(()),
            false => Err(AccountError::WalletSpent),
        }
    }

    fn wallet_audit(
        &self,
        action: &str,
        person: &Person,
        origin: &Origin,
    ) -> dgon_control_plane_store::audit::AuditEntry {
        let whose = person.audit_name();
        self.audit(&whose, action, whose.clone(), origin)
    }
}
