//! Accounts of Solana: an address is the base58 of an ed25519 key.

use super::address::AddressError;
use super::error::SignInError;
use super::text::base64_of;
use dgon_protocol::key::PublicKey;
use std::fmt;
use std::hash::{Hash, Hasher};

const FORM: &str = "base64 of 64 bytes";

/// An address that a wallet can have the key of: canonically encoded, and of prime order, so that nobody can make a signature
/// that some verifiers accept and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolanaAddress(PublicKey);

impl SolanaAddress {
    /// Reads base58 of 32 bytes.
    ///
    /// # Errors
    /// [`AddressError::SolanaForm`], [`AddressError::SolanaNoKey`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        // No 32 bytes are longer: nothing more is read.
        if !(32..=44).contains(&text.len()) {
            return Err(AddressError::SolanaForm);
        }
        let mut bytes = [0; 32];
        let length = bs58::decode(text).onto(&mut bytes);
        if length != Ok(bytes.len()) {
            return Err(AddressError::SolanaForm);
        }
        let key = PublicKey::from_bytes(bytes);
        key.check_enrollable()
            .map_err(|_| AddressError::SolanaNoKey)?;
        Ok(Self(key))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether the account signed `text`, by the strict rule.
    ///
    /// # Errors
    /// [`SignInError`]: the signature is not in its one form, or another's, or over another text.
    pub(super) fn verify(&self, text: &str, signature: &str) -> Result<(), SignInError> {
        let form = SignInError::SignatureForm { form: FORM };
        let bytes = base64_of(signature).ok_or(form)?;
        if self.0.verify(text.as_bytes(), &bytes) {
            Ok(())
        } else {
            Err(SignInError::NotByAccount)
        }
    }
}

impl Hash for SolanaAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for SolanaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.as_bytes()).into_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_wallets_address_is_refused() {
        let good = "9C6hybhQ6Aycep9jaUnP6uL9ZYvDjUp1aSkFWPUFJtpj";
        assert_eq!(SolanaAddress::parse(good).unwrap().to_string(), good);
        // The identity, and it again with a y that is not reduced.
        let identity = bs58::encode([1].into_iter().chain([0; 31]).collect::<Vec<u8>>());
        let mut unreduced = [0xff; 32];
        unreduced[0] = 0xee;
        unreduced[31] = 0x7f;
        let identity = identity.into_string();
        let unreduced = bs58::encode(unreduced).into_string();
        for (text, error) in [
            ("", AddressError::SolanaForm),
            (&good[2..], AddressError::SolanaForm),
            (&format!("1{good}"), AddressError::SolanaForm),
            // 0, O, I and l are no digits.
            (&good.replace('9', "0"), AddressError::SolanaForm),
            (&good.replace('9', "é"), AddressError::SolanaForm),
            (&"1".repeat(33), AddressError::SolanaForm),
            (&"z".repeat(44), AddressError::SolanaForm),
            // The system program: 32 zero bytes, a point of order 4.
            (&"1".repeat(32), AddressError::SolanaNoKey),
            // The account that holds its USDC, by @solana/web3.js: a hash that is no point.
            (
                "FjCjyojZLVYVQ2dEdDKQx76msks96TdH9xqvc8BQ9UUx",
                AddressError::SolanaNoKey,
            ),
            (&identity, AddressError::SolanaNoKey),
            (&unreduced, AddressError::SolanaNoKey),
        ] {
            assert_eq!(SolanaAddress::parse(text), Err(error), "{text}");
        }
    }
}
