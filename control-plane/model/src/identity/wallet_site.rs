//! What wallets sign in to.

use super::{Chain, ChainKind, CosmosChainId, CosmosPrefix, EvmChainId, SiteUri, SolanaCluster};

/// The site that wallets sign in to, and the chains that it knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalletSite {
    /// Address of the console. Without it wallets cannot sign in: they sign for a site, and what a browser says of it is
    /// no proof.
    pub uri: Option<SiteUri>,
    /// Chains of the Cosmos SDK, with what their addresses begin with.
    pub cosmos: Vec<(CosmosChainId, CosmosPrefix)>,
}

/// No chain that the site knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this chain is not known here")]
pub struct UnknownChain;

impl WalletSite {
    /// One of its chains: a number of Ethereum's kind (1 where absent), a cluster of Solana (`mainnet`), or a Cosmos chain
    /// that it knows (the first).
    ///
    /// # Errors
    /// [`UnknownChain`].
    pub fn chain(&self, kind: ChainKind, chain_id: Option<&str>) -> Result<Chain, UnknownChain> {
        let unknown = || UnknownChain;
        Ok(match kind {
            ChainKind::Evm => {
                let number: u64 = chain_id.unwrap_or("1").parse().map_err(|_| unknown())?;
                let chain_id = EvmChainId::new(number).map_err(|_| unknown())?;
                Chain::Evm { chain_id }
            }
            ChainKind::Solana => Chain::Solana {
                cluster: [
                    SolanaCluster::Mainnet,
                    SolanaCluster::Testnet,
                    SolanaCluster::Devnet,
                    SolanaCluster::Localnet,
                ]
                .into_iter()
                .find(|cluster| cluster.as_str() == chain_id.unwrap_or("mainnet"))
                .ok_or_else(unknown)?,
            },
            ChainKind::Cosmos => {
                let mut known = self.cosmos.iter();
                let found = known.find(|(id, _)| chain_id.is_none_or(|asked| asked == id.as_str()));
                let (chain_id, prefix) = found.cloned().ok_or_else(unknown)?;
                Chain::Cosmos { chain_id, prefix }
            }
        })
    }
}
