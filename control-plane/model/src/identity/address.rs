//! An account of a wallet, whichever chain it is on.

use super::chain::{Chain, ChainKind};
use super::cosmos::CosmosAddress;
use super::evm::EvmAddress;
use super::solana::SolanaAddress;
use std::fmt;

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of Ethereum's form.
    #[error("an Ethereum address is 0x and 40 hex digits: copy it again from the wallet")]
    EvmForm,
    /// In mixed case, and the case is wrong.
    #[error(
        "the address's capital letters do not match its checksum (EIP-55): a letter is mistyped; copy it again from the wallet"
    )]
    EvmChecksum,
    /// Not of Solana's form.
    #[error(
        "a Solana address is base58 of 32 bytes, 32 to 44 characters: copy it again from the wallet"
    )]
    SolanaForm,
    /// No key that a wallet can have.
    #[error(
        "that Solana address is no wallet's: it has no key (a program's account, for example); give the wallet's own address"
    )]
    SolanaNoKey,
    /// Not of the form of the Cosmos SDK's.
    #[error(
        "a Cosmos address is a prefix, 1 and 38 characters in lower case (Bech32 of 20 bytes): copy it again from the wallet"
    )]
    CosmosForm,
    /// Another chain's.
    #[error(
        "that address is another chain's: this one's begin with the chain's own prefix; choose the chain in the wallet"
    )]
    CosmosPrefix,
}

/// An account, proven or not. Equal accounts are equal whatever chain of their kind was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// On Ethereum and its like.
    Evm(EvmAddress),
    /// On Solana.
    Solana(SolanaAddress),
    /// On a chain of the Cosmos SDK; the same key's address on another chain is another account.
    Cosmos(CosmosAddress),
}

impl Account {
    /// Reads the address of an account on `chain`.
    ///
    /// # Errors
    /// [`AddressError`]: it is none of that chain's.
    pub fn parse(chain: &Chain, address: &str) -> Result<Self, AddressError> {
        match chain {
            Chain::Evm { .. } => EvmAddress::parse(address).map(Self::Evm),
            Chain::Solana { .. } => SolanaAddress::parse(address).map(Self::Solana),
            Chain::Cosmos { prefix, .. } => CosmosAddress::parse(prefix, address).map(Self::Cosmos),
        }
    }

    /// How it is proven. With the address as it is displayed, its name in the database.
    pub const fn kind(&self) -> ChainKind {
        match self {
            Self::Evm(_) => ChainKind::Evm,
            Self::Solana(_) => ChainKind::Solana,
            Self::Cosmos(_) => ChainKind::Cosmos,
        }
    }
}

/// The address in its one canonical form.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(address) => address.fmt(f),
            Self::Solana(address) => address.fmt(f),
            Self::Cosmos(address) => address.fmt(f),
        }
    }
}
