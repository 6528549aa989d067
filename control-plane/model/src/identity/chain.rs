//! The chain that a wallet's account is asked for on. Which chains are offered is the operator's setting.

use super::text::{FieldError, checked_text};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A chain, as the text of a sign-in names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Chain {
    /// Ethereum, or one of its like.
    Evm {
        /// Number of the chain.
        chain_id: EvmChainId,
    },
    /// Solana.
    Solana {
        /// Which of its networks.
        cluster: SolanaCluster,
    },
    /// A chain of the Cosmos SDK whose keys are secp256k1 and whose addresses are made of SHA-256 and RIPEMD-160. Chains with
    /// the keys of Ethereum (coin type 60, such as Injective) hash otherwise: none of their accounts can be proven.
    Cosmos {
        /// Name of the chain.
        chain_id: CosmosChainId,
        /// What its addresses begin with.
        prefix: CosmosPrefix,
    },
}

/// How a chain's accounts are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainKind {
    /// As Ethereum's.
    Evm,
    /// As Solana's.
    Solana,
    /// As those of the Cosmos SDK.
    Cosmos,
}

impl ChainKind {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evm => "evm",
            Self::Solana => "solana",
            Self::Cosmos => "cosmos",
        }
    }
}

impl Chain {
    /// How its accounts are proven.
    pub const fn kind(&self) -> ChainKind {
        match self {
            Self::Evm { .. } => ChainKind::Evm,
            Self::Solana { .. } => ChainKind::Solana,
            Self::Cosmos { .. } => ChainKind::Cosmos,
        }
    }

    /// Whose account the text of a sign-in asks for.
    pub(super) const fn title(&self) -> &'static str {
        match self {
            Self::Evm { .. } => "Ethereum",
            Self::Solana { .. } => "Solana",
            Self::Cosmos { .. } => "Cosmos",
        }
    }
}

/// The chain as the line `Chain ID` has it.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm { chain_id } => write!(f, "{}", chain_id.get()),
            Self::Solana { cluster } => f.write_str(cluster.as_str()),
            Self::Cosmos { chain_id, .. } => f.write_str(chain_id.as_str()),
        }
    }
}

/// Number of a chain of Ethereum's kind (EIP-155): 1 to 4503599627370476, the largest that MetaMask accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct EvmChainId(u64);

impl EvmChainId {
    const MAX: u64 = 4_503_599_627_370_476;

    /// Checks the number.
    ///
    /// # Errors
    /// It is 0, or larger than wallets accept.
    pub const fn new(chain_id: u64) -> Result<Self, FieldError> {
        if chain_id == 0 || chain_id > Self::MAX {
            return Err(FieldError {
                what: "the number of a chain",
                rule: "1 to 4503599627370476",
            });
        }
        Ok(Self(chain_id))
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for EvmChainId {
    type Error = FieldError;
    fn try_from(chain_id: u64) -> Result<Self, FieldError> {
        Self::new(chain_id)
    }
}

impl From<EvmChainId> for u64 {
    fn from(chain_id: EvmChainId) -> u64 {
        chain_id.0
    }
}

/// A network of Solana. `localnet` has no form with `solana:` in the grammar, so the short form stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SolanaCluster {
    /// The network with money.
    Mainnet,
    /// The validators' test network.
    Testnet,
    /// The developers' test network.
    Devnet,
    /// One on this machine.
    Localnet,
}

impl SolanaCluster {
    /// The name in a text and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Devnet => "devnet",
            Self::Localnet => "localnet",
        }
    }
}

checked_text!(
    /// Name of a chain of the Cosmos SDK, as CAIP-2 has it: `[-a-zA-Z0-9]{1,32}`.
    CosmosChainId,
    "the name of a Cosmos chain",
    "1 to 32 of the characters A-Z a-z 0-9 and -",
    |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=32).contains(&text.len()) && text.bytes().all(plain)
    }
);

checked_text!(
    /// What the addresses of a chain begin with (the human-readable part of Bech32): `[a-z][a-z0-9]{0,31}`.
    CosmosPrefix,
    "the prefix of a Cosmos chain's addresses",
    "1 to 32 of the characters a-z and 0-9, and start with a letter",
    |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.len() <= 32
            && text.bytes().all(plain)
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_within_their_rules_wherever_they_are_read() {
        let read = |text: &str| serde_json::from_str::<Chain>(text);
        for (text, shown) in [
            (r#"{"kind":"evm","chain_id":1}"#, "1"),
            (
                r#"{"kind":"evm","chain_id":4503599627370476}"#,
                "4503599627370476",
            ),
            (r#"{"kind":"solana","cluster":"localnet"}"#, "localnet"),
            (
                r#"{"kind":"cosmos","chain_id":"osmosis-1","prefix":"osmo"}"#,
                "osmosis-1",
            ),
        ] {
            let chain = read(text).unwrap();
            assert_eq!(chain.to_string(), shown);
            assert_eq!(serde_json::to_string(&chain).unwrap(), text);
        }
        for bad in [
            r#"{"kind":"evm","chain_id":0}"#,
            r#"{"kind":"evm","chain_id":4503599627370477}"#,
            r#"{"kind":"evm","chain_id":1,"cluster":"mainnet"}"#,
            r#"{"kind":"solana","cluster":"solana:mainnet"}"#,
            r#"{"kind":"cosmos","chain_id":"a\nb","prefix":"osmo"}"#,
            r#"{"kind":"cosmos","chain_id":"osmosis-1","prefix":"Osmo"}"#,
            r#"{"kind":"cosmos","chain_id":"osmosis-1","prefix":""}"#,
            r#"{"kind":"near","chain_id":1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(CosmosChainId::parse("x".repeat(33)).is_err());
        assert!(CosmosPrefix::parse("x".repeat(33)).is_err());
    }
}
