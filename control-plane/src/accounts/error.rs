//! What can go wrong with accounts.

use super::orgs::NAME_MAX;
use super::{PASSWORD_MAX, PASSWORD_MIN};
use crate::app::UnlistedRegion;
use dgon_control_plane_model::identity::{RequestError, SignInError, UnknownChain};
use dgon_control_plane_store::StoreError;
use dgon_control_plane_store::assignments::ASSIGNEES;
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
    #[error("nodes of this organisation that are not retired: {nodes}; retire them first")]
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
    /// A sign-in that is too old for what opens another way in.
    #[error(
        "you signed in more than 15 minutes ago; sign in again to do this. If you have neither a password nor a wallet, do not \
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
    /// Nobody could sign in with this account any more.
    #[error(
        "this wallet is all that you can sign in with; set a password or link another wallet first"
    )]
    LastWayIn,
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
    HashStopped(#[source] tokio::task::JoinError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
