//! Signing in with the key of a wallet: what the server asks for, and whether what comes back proves the account.
//!
//! The server makes a [`SignInRequest`], keeps it, and shows its text; the wallet signs that text; the server builds the bytes
//! again from what it kept and checks the signature. What a client says that it signed is never read for its fields: it is
//! compared with our bytes, or not looked at.
//!
//! | chain | text | signed | signature | source |
//! |---|---|---|---|---|
//! | Ethereum and its like | ERC-4361 | Keccak-256 of the text behind the prefix of EIP-191 | `0x` and hex of r, s, v | ERC-4361, EIP-191, EIP-55 |
//! | Solana | `sign-in-with-solana` | the text | base64 of 64 bytes | phantom/sign-in-with-solana, RFC 8032 |
//! | Cosmos | of the same form (CAIP-122) | SHA-256 of the sign document | base64 of r, s; and of the compressed key | ADR-36 |
//!
//! Each has one accepted encoding and one accepted signature: low s on secp256k1, the strict rule and keys of prime order on
//! ed25519. Accounts that are contracts (ERC-1271) have no key and cannot sign in this way.
//!
//! What cannot be known here is the caller's to do: a request is for the browser that asked for it (bind the nonce to its
//! cookie), it is good for one answer (take it out of the store in the transaction that uses it, whatever comes of it), and a
//! session is the account's alone, not a chain's.

mod address;
mod chain;
mod cosmos;
mod error;
mod evm;
mod request;
mod secp256k1;
mod site;
mod solana;
mod text;
mod wallet_site;

pub use address::{Account, AddressError};
pub use chain::{Chain, ChainKind, CosmosChainId, CosmosPrefix, EvmChainId, SolanaCluster};
pub use cosmos::CosmosAddress;
pub use error::SignInError;
pub use evm::EvmAddress;
pub use request::{
    CLOCK_SLACK_MS, LIFETIME_MAX_MS, Nonce, Proof, ProvenAccount, RequestError, SignInFields,
    SignInRequest, SolanaSignInInput,
};
pub use site::{SiteUri, Statement};
pub use solana::SolanaAddress;
pub use text::FieldError;
pub use wallet_site::{UnknownChain, WalletSite};
