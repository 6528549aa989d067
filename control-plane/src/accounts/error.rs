//! What can go wrong with accounts.

use super::orgs::NAME_MAX;
use super::{KeyRefused, PASSWORD_MAX, PASSWORD_MIN, PendingSignIn};
use crate::app::UnlistedRegion;
use crate::oidc::{IssuerError, OidcError, TokenError};
use dgon_control_plane_model::api_key::{LimitError, Scope as KeyScope, ScopeError};
use dgon_control_plane_model::identity::{RequestError, SignInError, UnknownChain};
use dgon_control_plane_model::pool::PoolError;
use dgon_control_plane_model::totp::{LabelError, TotpError};
use dgon_control_plane_store::StoreError;
use dgon_control_plane_store::api_keys::LIVE_KEYS;
use dgon_control_plane_store::assignments::ASSIGNEES;
use dgon_control_plane_store::identities::IDENTITIES;
use dgon_control_plane_store::pools::{MEMBERS, POOLS};
use dgon_control_plane_store::wallets::WALLETS;

/// Why something about an account was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Wrong email or password: which of them is not told.
    #[error("email or password is wrong")]
    WrongCredentials,
    /// The link is unknown, used or expired.
    #[error(
        "this link works no more: it was used or has expired, or whoever made it is no admin any more; ask an admin for \
         another, or make one with: dgon-control-plane user link"
    )]
    LinkInvalid,
    /// There is no session, or it ended.
    #[error("the session has ended; sign in again")]
    SessionEnded,
    /// Another user has this email.
    #[error("there is a user with this email already")]
    EmailTaken,
    /// Not an email address.
    #[error("this is not an email address")]
    Email,
    /// The password is too short or too long.
    #[error("a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")]
    Password,
    /// A field of an enrolment token is out of range.
    #[error("{0}")]
    TokenWish(&'static str),
    /// A token was wanted for a region that is none of this network's.
    #[error(transparent)]
    Region(#[from] UnlistedRegion),
    /// These roles cannot be given.
    #[error("{0}")]
    Roles(&'static str),
    /// Nobody could administer the network any more.
    #[error(
        "this is the last account that can sign in and administer the network; make another one an admin first, who has set a \
         password or linked a wallet"
    )]
    LastAdmin,
    /// An account that is shut gets no link.
    #[error("this account is disabled; enable it first")]
    Disabled,
    /// What an organisation cannot be called.
    #[error("the name of an organisation has 1 to {NAME_MAX} characters, all of which can be seen")]
    OrgName,
    /// Another organisation has this name.
    #[error("there is an organisation of this name already")]
    OrgNameTaken,
    /// It still has nodes.
    #[error(
        "nodes of this organisation that are not retired: {nodes}; retire them or pass them on first, each on its page"
    )]
    OrgHasNodes {
        /// How many are not retired.
        nodes: i64,
    },
    /// The organisation of the network itself.
    #[error("the network's own organisation is never closed")]
    MainOrg,
    /// The password that was given as the present one is not.
    #[error("this is not your present password")]
    WrongPassword,
    /// Accounts are made by admins alone.
    #[error("accounts are made by an admin here; ask one for an invitation")]
    RegistrationClosed,
    /// Whoever deletes their account typed another address.
    #[error("this is not the address of your account; type it as it stands there")]
    NotThisEmail,
    /// Who administers the network deletes no account of their own.
    #[error("you administer this network; ask another admin to take that role from you first")]
    AdminStays,
    /// Nobody else could see to these nodes.
    #[error(
        "nobody but you is in {org}, and that organisation has nodes that are not retired: {nodes}; ask an admin of the network to \
         retire them or to pass them on, then delete the account"
    )]
    OwnNodes {
        /// Whose they are, by name.
        org: String,
        /// How many.
        nodes: i64,
    },
    /// A sign-in that is too old for what opens another way in.
    #[error(
        "you signed in more than 15 minutes ago; sign in again to do this. If you have no other way to sign in, do not \
         sign out: ask an admin for another sign-in link and open it here"
    )]
    NotFresh,
    /// No address of the console is set that a wallet could sign for.
    #[error(
        "wallets cannot sign in here: they sign for an address, and this server has none; set public_url to an https address"
    )]
    NoWallets,
    /// No chain that is known here.
    #[error(transparent)]
    WalletChain(#[from] UnknownChain),
    /// The account is none of its chain's.
    #[error(transparent)]
    WalletRequest(#[from] RequestError),
    /// A request to sign that was answered, is too old, or was made for another browser, person or purpose.
    #[error("this request to sign was used, has expired, or is another browser's; start again")]
    WalletSpent,
    /// The answer proves nothing.
    #[error(transparent)]
    WalletProof(#[from] SignInError),
    /// A wallet that is nobody's here.
    #[error(
        "this wallet is linked to no open account; sign in another way and link it in your account"
    )]
    WalletUnknown,
    /// A wallet of somebody else.
    #[error("this wallet is linked to another account; take it away there first")]
    WalletTaken,
    /// More wallets than one account may have.
    #[error("an account has at most {WALLETS} wallets; take another one away first")]
    TooManyWallets,
    /// Neither a password nor a wallet would be left.
    #[error(
        "without it you had neither a password nor a wallet, and an account elsewhere does not count, for its issuer can fail \
         you; set a password or link a wallet first"
    )]
    LastWayIn,
    /// Who this is was proven, and the account asks for a code beside that.
    #[error("enter the code that your authenticator app shows now, or one of your recovery codes")]
    SecondFactor(PendingSignIn),
    /// What a browser brought back with a code is too old, another's, or of what proves nothing any more.
    #[error("this took too long, or was begun elsewhere; begin again")]
    PendingGone,
    /// A code of an authenticator app that is refused.
    #[error(transparent)]
    Totp(#[from] TotpError),
    /// A recovery code that is none.
    #[error("that is none of your recovery codes, or you used it before; enter another one")]
    RecoveryCode,
    /// An address that no authenticator app takes.
    #[error(transparent)]
    FactorLabel(#[from] LabelError),
    /// The account has a second factor.
    #[error("this account asks for a code already; take that away first to set up another app")]
    FactorExists,
    /// The account has none.
    #[error("this account asks for no code")]
    NoFactor,
    /// The secret of an authenticator app was sealed with another master key.
    #[error(
        "the secret of an authenticator app does not open with this master key; restore the key that belongs to the database, \
         or take the second factor away: dgon-control-plane user reset-second-factor"
    )]
    FactorSealed,
    /// An admin who takes their own second factor away as if it were another's.
    #[error("take your own second factor away on your account page, where it asks for a code")]
    OwnFactor,
    /// A sign-in at an issuer that was used, took too long, or was begun in another browser.
    #[error(
        "this sign-in was used, took longer than 10 minutes, or was begun in another browser; start again"
    )]
    OidcSpent,
    /// Who was asked at the issuer said no.
    #[error("you did not agree at the issuer, so nothing was done")]
    OidcDeclined,
    /// The issuer let nobody in, for a reason of its own.
    #[error("the issuer did not let you in; ask whoever runs it")]
    OidcRefused,
    /// The answer of an issuer proves nothing.
    #[error("what the issuer answered proves nothing; the log of this server says why")]
    OidcProof(#[source] TokenError),
    /// An issuer answers not.
    #[error("the issuer does not answer as it should; try again soon, or sign in another way")]
    Issuer(#[source] IssuerError),
    /// The task that asks an issuer was stopped.
    #[error("asking an issuer was stopped")]
    IssuerStopped(#[source] tokio::task::JoinError),
    /// An account at an issuer that is nobody's here.
    #[error(
        "your account there is linked to no open account here; sign in another way first and link it on the Account page"
    )]
    IdentityUnknown,
    /// An account at an issuer that is somebody else's here.
    #[error("this account is linked to another account here; take it away there first")]
    IdentityTaken,
    /// More identities than one account may have.
    #[error("an account has at most {IDENTITIES} accounts elsewhere; take another one away first")]
    TooManyIdentities,
    /// What an API key cannot be called.
    #[error("the name of an API key has 1 to {NAME_MAX} characters, all of which can be seen")]
    KeyName,
    /// These are no scopes.
    #[error(transparent)]
    KeyScopes(#[from] ScopeError),
    /// This is no budget, or no list of models.
    #[error(transparent)]
    KeyLimit(#[from] LimitError),
    /// A key would last too long, or not at all.
    #[error("an API key lasts 1 to 366 days")]
    KeyDays,
    /// A key could do what its owner may not.
    #[error(
        "the scope {0} needs the role {roles} in the organisation that you act for; leave it out, or ask an admin for the role",
        roles = .0.roles().join(" or ")
    )]
    KeyScope(KeyScope),
    /// The rights of who makes a key were taken away meanwhile.
    #[error(
        "you may not make this API key for the organisation that you act for any more; load the page again"
    )]
    KeyNotAllowed,
    /// More keys than one person may have.
    #[error(
        "you have {LIVE_KEYS} API keys that have neither expired nor been revoked, and that is the most; revoke one first"
    )]
    TooManyKeys,
    /// A key that is not believed.
    #[error(transparent)]
    Key(#[from] KeyRefused),
    /// A key that was not made for this.
    #[error(
        "this needs an API key with the scope {0}, and this one has it not; make one that has in the console"
    )]
    KeyLacks(KeyScope),
    /// A key whose owner may not do this any more.
    #[error(
        "the owner of this API key has no role any more that the scope {0} needs; it needs {roles}",
        roles = .0.roles().join(" or ")
    )]
    KeyOwnerLacks(KeyScope),
    /// Somebody who cannot take care of a node.
    #[error(
        "only an open account that is an operator or an admin in the organisation that owns this node can be assigned to it; \
         give the person that role there first"
    )]
    CannotCare,
    /// A node that nobody takes care of any more.
    #[error("this node was retired; nobody is assigned to it any more")]
    NodeRetired,
    /// A node that goes nowhere any more.
    #[error("this node was retired; it stays where it is")]
    NodeGone,
    /// The node is there already.
    #[error("the node belongs to this organisation already")]
    SameOrganisation,
    /// The network has no private pools now.
    #[error(
        "private pools are off in this network; an admin turns them on with the flag enable_private_pools"
    )]
    PoolsOff,
    /// What a pool cannot be.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Something that is there, and whose contents are not for this one.
    #[error("it exists; its contents are restricted to the members of its pool")]
    Restricted,
    /// Another open pool has this name.
    #[error("the organisation has an open pool of this name already")]
    PoolNameTaken,
    /// More pools than one organisation may have.
    #[error("an organisation has at most {POOLS} open pools; close one first")]
    TooManyPools,
    /// More organisations than a pool may admit.
    #[error("a pool admits at most {MEMBERS} organisations; take another one away first")]
    TooManyMembers,
    /// The pool is theirs.
    #[error("the organisation owns this pool: it needs no admission")]
    OwnPool,
    /// A pool has nodes of its own organisation alone.
    #[error(
        "the node belongs to another organisation than the pool; a pool has nodes of its own organisation alone"
    )]
    OtherPool,
    /// It still has nodes.
    #[error(
        "nodes in this pool that are not retired: {nodes}; take them out first, after which everybody may see them, or put them \
         into another pool"
    )]
    PoolHasNodes {
        /// How many are not retired.
        nodes: i64,
    },
    /// A token was wanted for a pool that is none of its organisation's.
    #[error("the organisation of the token has no open pool with this id; take one of GET /pools")]
    TokenPool,
    /// More people than one node may have.
    #[error("a node has at most {ASSIGNEES} people; take another one away first")]
    TooManyAssignees,
    /// No such object for this person.
    #[error("there is no {0} with this id")]
    NotFound(&'static str),
    /// Nobody with an open account has this email, or, where none was given, is an admin.
    #[error(
        "no open account has this email, or, where none was given, is an admin's; make one with: dgon-control-plane user create"
    )]
    NoUser,
    /// More sign-ins wait than this process can check.
    #[error("too many sign-ins at this moment; try again in a few seconds")]
    Busy,
    /// One account or session asks for new tokens more often than anybody needs them.
    #[error("this was tried too often for one account; try again in {wait_s} s")]
    TooOften {
        /// How long to wait, s.
        wait_s: u32,
    },
    /// Many people make accounts in this hour.
    #[error("too many accounts were made in this hour; try again in {wait_s} s")]
    RegistrationsFull {
        /// How long to wait, s.
        wait_s: u32,
    },
    /// An access token could not be signed.
    #[error("an access token could not be signed")]
    AccessToken(#[source] jsonwebtoken::errors::Error),
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Randomness,
    /// Hashing a password failed.
    #[error("a password could not be hashed")]
    Hash(#[source] argon2::Error),
    /// A stored password hash cannot be read.
    #[error("a stored password hash is not one that this program writes")]
    StoredHash,
    /// The task that hashes was stopped.
    #[error("hashing a password was stopped")]
    HashStopped,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IssuerError> for AccountError {
    fn from(error: IssuerError) -> Self {
        Self::Issuer(error)
    }
}

impl From<OidcError> for AccountError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Issuer(error) => Self::Issuer(error),
            OidcError::Token(error) => Self::OidcProof(error),
        }
    }
}
