//! People: sign-in, sessions, passwords, wallets, accounts at issuers, API keys, organisations, private pools, one-time links, enrolment tokens,
//! flags.
//!
//! Knows no HTTP. Every change writes its audit row in the same transaction. Secrets leave this module once,
//! when they are made; the database has their SHA-256. A session's tokens are derived from their parent with a
//! key of the data directory, so that a refresh repeated within the grace gives the same child again without
//! any plain token being kept.

mod access_token;
mod api_keys;
mod assignments;
mod browser_seal;
mod email;
mod enrolment;
mod error;
mod flags;
mod guesses;
mod key_holder;
mod links;
mod members;
mod oidc;
mod orgs;
mod own_data;
mod own_password;
mod own_second_factor;
mod page;
mod password;
mod pools;
mod registration;
mod role;
mod scope;
mod second_factor;
mod secret;
mod session;
mod session_limits;
mod sessions;
mod transfers;
mod wallets;

pub use api_keys::{IssuedKey, KeyWish};
pub use assignments::{CaredNode, CaredNodes};
pub use email::Email;
pub use enrolment::{IssuedToken, ListedToken, TokenMaker, TokenPage, TokenWish};
pub use error::AccountError;
pub use flags::{FLAGS, Flag, Flags, PUBLIC_RECEIPTS};
pub use guesses::BrowserMark;
pub use key_holder::{KeyHolder, KeyRefused};
pub use links::Link;
pub use members::NewAccount;
pub use oidc::{OidcAnswer, OidcPurpose, OidcRequest, OidcStart, OwnIdentity};
pub use own_data::{EXPORTED_ROWS, OwnData};
pub use own_second_factor::{FactorOffer, ShownCodes};
pub use page::TimePage;
use password::Lane;
pub use password::{PASSWORD_MAX, PASSWORD_MIN, PasswordHasher};
pub use pools::{PoolChangeWish, PoolWish, PoolWithMembers};
pub use registration::OPEN_REGISTRATION;
pub use role::{Role, Roles};
pub use second_factor::PendingSignIn;
pub use session::{Lifetimes, Person, SignedIn, Tokens};
use session_limits::SessionLimits;
pub use wallets::{WalletAccount, WalletAnswer, WalletPurpose, WalletRequest};

use crate::app::{Access, App, Clock, KeyUses, MasterKey, Regions, Switches};
use crate::oidc::Issuers;
use dgon_control_plane_model::identity::WalletSite;
use dgon_control_plane_store::audit::{AuditEntry, AuditFacts};
use dgon_control_plane_store::users::NewUser;
use dgon_control_plane_store::{Store, System};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Where a change comes from, for the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Address of the caller.
    pub ip: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// What the caller's browser calls itself.
    pub user_agent: Option<String>,
}

/// What the audit log says of a new account: its address and what it may do.
fn rights(user: &NewUser) -> serde_json::Value {
    let membership = &user.membership;
    serde_json::json!({ "email": user.email, "roles": membership.roles, "org_id": membership.org_id })
}

/// Everything that people's accounts need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts {
    store: Store,
    clock: Clock,
    hasher: PasswordHasher,
    key: secret::DerivationKey,
    access_tokens: access_token::AccessTokens,
    factors: MasterKey,
    browser_seal: browser_seal::BrowserSeal,
    lifetimes: Lifetimes,
    switches: Arc<Switches>,
    regions: Regions,
    limits: SessionLimits,
    guesses: guesses::Guesses,
    access: Access,
    wallets: Arc<WalletSite>,
    issuers: Issuers,
    runtime: Handle,
    key_uses: Arc<KeyUses>,
}

impl Accounts {
    /// Works on the state of `app`.
    pub fn new(app: &App, hasher: PasswordHasher) -> Self {
        Self {
            store: app.store.clone(),
            clock: app.clock.clone(),
            hasher,
            key: secret::DerivationKey::new(app.master_key.derive("dgon session tokens v1")),
            access_tokens: access_token::AccessTokens::new(
                app.master_key.clone(),
                app.settings.public_url.as_deref(),
            ),
            factors: MasterKey::from_bytes(app.master_key.derive("dgon second factors v1")),
            browser_seal: browser_seal::BrowserSeal::new(&app.master_key),
            lifetimes: Lifetimes::default(),
            switches: Arc::clone(&app.switches),
            regions: app.settings.regions.clone(),
            limits: SessionLimits::default(),
            guesses: guesses::Guesses::default(),
            access: app.access.clone(),
            wallets: Arc::clone(&app.settings.wallets),
            issuers: Issuers::new(&app.settings.oidc),
            runtime: app.runtime.clone(),
            key_uses: Arc::clone(&app.key_uses),
        }
    }

    /// Whether nobody has an account yet.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn setup_needed(&self) -> Result<bool, AccountError> {
        Ok(self.store.user_count(System::of_the_server()).await? == 0)
    }

    fn audit(&self, actor: &str, action: &str, object: String, origin: &Origin) -> AuditEntry {
        AuditEntry {
            at_ms: self.clock.now_ms(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            object,
            request_id: origin.request_id.clone(),
            facts: AuditFacts {
                ip: origin.ip.clone(),
                ..AuditFacts::default()
            },
        }
    }
}
