//! Accounts of Ethereum and its like: an address is of the key, and the key is recovered from a signature.
//!
//! Sources: EIP-55 (case of an address), EIP-191 (version `E`, what `personal_sign` signs), yellow paper appendix F (address,
//! recovery).

use super::address::AddressError;
use super::error::SignInError;
use super::secp256k1;
use dgon_protocol::key::{hex, unhex};
use k256::ecdsa::{RecoveryId, VerifyingKey};
use sha3::{Digest as _, Keccak256};
use std::fmt;

const FORM: &str = "0x and 130 hex digits, as the key of an account makes it (contract accounts, such as Safe, have none and cannot sign in)";

/// An address. It is displayed with its checksum, that is in mixed case (EIP-55).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvmAddress([u8; 20]);

impl EvmAddress {
    /// Reads `0x` and 40 hex digits of one case, or of both as EIP-55 has it.
    ///
    /// # Errors
    /// [`AddressError::EvmForm`], [`AddressError::EvmChecksum`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let digits = text.strip_prefix("0x").ok_or(AddressError::EvmForm)?;
        let address = Self(unhex(digits).ok_or(AddressError::EvmForm)?);
        let has = |is_case: fn(&u8) -> bool| digits.as_bytes().iter().any(is_case);
        let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        if is_mixed && address.to_string() != text {
            return Err(AddressError::EvmChecksum);
        }
        Ok(address)
    }

    /// The 20 bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    fn of_key(key: &VerifyingKey) -> Self {
        let point = key.to_sec1_point(false);
        // Without the byte that says that it is uncompressed.
        let hash = Keccak256::digest(point.as_bytes().get(1..).unwrap_or_default());
        let mut address = [0; 20];
        address.copy_from_slice(&hash[12..]);
        Self(address)
    }

    /// Whether the account signed `text` with `personal_sign`.
    ///
    /// # Errors
    /// [`SignInError`]: the signature is not in its one form, or another's, or over another text.
    pub(super) fn verify(&self, text: &str, signature: &str) -> Result<(), SignInError> {
        let form = SignInError::SignatureForm { form: FORM };
        let digits = signature.strip_prefix("0x").ok_or(form)?;
        let bytes: [u8; 65] = unhex(digits).ok_or(form)?;
        let [r_and_s @ .., v] = &bytes;
        let recovery = match v {
            27 => RecoveryId::new(false, false),
            28 => RecoveryId::new(true, false),
            _ => return Err(SignInError::RecoveryByte),
        };
        let signature = secp256k1::signature(r_and_s)?;
        let key = VerifyingKey::recover_from_prehash(&personal_hash(text), &signature, recovery)
            .map_err(|_| SignInError::NotByAccount)?;
        if Self::of_key(&key) == *self {
            Ok(())
        } else {
            Err(SignInError::NotByAccount)
        }
    }
}

impl fmt::Display for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex(&self.0);
        let hash = hex(&Keccak256::digest(digits.as_bytes()));
        f.write_str("0x")?;
        digits
            .chars()
            .zip(hash.bytes())
            .try_for_each(|(digit, of_hash)| {
                // A digit of the hash is 8 or more.
                let is_upper = of_hash >= b'8';
                fmt::Write::write_char(
                    f,
                    if is_upper {
                        digit.to_ascii_uppercase()
                    } else {
                        digit
                    },
                )
            })
    }
}

/// What `personal_sign` signs of a text.
fn personal_hash(text: &str) -> [u8; 32] {
    let mut hash = Keccak256::new();
    hash.update(b"\x19Ethereum Signed Message:\n");
    hash.update(text.len().to_string());
    hash.update(text);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_case_of_eip_55() {
        // The addresses that EIP-55 gives as examples.
        for text in [
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            let digits = text.trim_start_matches("0x");
            for way in [
                text.to_owned(),
                format!("0x{}", digits.to_lowercase()),
                format!("0x{}", digits.to_uppercase()),
            ] {
                assert_eq!(EvmAddress::parse(&way).unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, error) in [
            ("", AddressError::EvmForm),
            ("0x", AddressError::EvmForm),
            (
                "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                AddressError::EvmForm,
            ),
            (
                "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                AddressError::EvmForm,
            ),
            (
                "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
                AddressError::EvmForm,
            ),
            (
                "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
                AddressError::EvmForm,
            ),
            (
                "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg",
                AddressError::EvmForm,
            ),
            (
                "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                AddressError::EvmChecksum,
            ),
            (
                "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
                AddressError::EvmChecksum,
            ),
        ] {
            assert_eq!(EvmAddress::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_text_is_hashed_behind_its_prefix_and_length() {
        // viem 2.57: hashMessage("hello world").
        let known = "d9eba16ed0ecae432b71fe008c98cc872bb4cc214d3220a36f365326cf807d68";
        assert_eq!(hex(&personal_hash("hello world")), known);
    }
}
