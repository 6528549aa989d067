//! Accounts of chains of the Cosmos SDK: an address is the Bech32 of a hash of a secp256k1 key, so the key comes along.
//!
//! Signed is the document of a transaction that no chain accepts (ADR-36), in the canonical JSON of the amino form: keys
//! sorted, no spaces. The ADR has `signature` or nothing as its chain; what wallets (Keplr, Leap, Cosmostation) sign has the
//! empty text, so this has.

use super::address::AddressError;
use super::chain::CosmosPrefix;
use super::error::SignInError;
use super::secp256k1;
use super::text::base64_of;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use k256::ecdsa::VerifyingKey;
use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};
use std::fmt;

const FORM: &str = "base64 of 64 bytes";

/// An address, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CosmosAddress {
    text: String,
    key_hash: [u8; 20],
}

impl CosmosAddress {
    /// Reads an address of the chain whose addresses begin with `prefix`.
    ///
    /// # Errors
    /// [`AddressError::CosmosForm`]: it is no Bech32 of 20 bytes in lower case (a contract's has 32);
    /// [`AddressError::CosmosPrefix`]: it is another chain's.
    pub fn parse(prefix: &CosmosPrefix, text: &str) -> Result<Self, AddressError> {
        let form = AddressError::CosmosForm;
        // Prefix, 1, 32 digits for 20 bytes, 6 for the checksum: at most 71.
        if text.len() > 71 {
            return Err(form);
        }
        let read = CheckedHrpstring::new::<Bech32>(text).map_err(|_| form)?;
        let bytes: Vec<u8> = read.byte_iter().collect();
        let key_hash: [u8; 20] = bytes.try_into().map_err(|_| form)?;
        // One more digit would leave bits over; capitals are Bech32 too.
        if bech32(&read.hrp(), &key_hash).as_deref() != Some(text) {
            return Err(form);
        }
        if read.hrp().as_str() != prefix.as_str() {
            return Err(AddressError::CosmosPrefix);
        }
        let text = text.to_owned();
        Ok(Self { text, key_hash })
    }

    /// The 20 bytes, hash of the key: the same on every chain.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.key_hash
    }

    /// The bytes that a wallet hashes and signs for `text`.
    pub(super) fn document(&self, text: &str) -> String {
        // Neither base64 nor an address holds what JSON would have to escape.
        let data = STANDARD.encode(text);
        let signer = &self.text;
        let message = format!(
            r#"{{"type":"sign/MsgSignData","value":{{"data":"{data}","signer":"{signer}"}}}}"#
        );
        let fee = r#"{"amount":[],"gas":"0"}"#;
        format!(
            r#"{{"account_number":"0","chain_id":"","fee":{fee},"memo":"","msgs":[{message}],"sequence":"0"}}"#
        )
    }

    /// Whether the account, whose compressed key `public_key` is (base64), signed `text`.
    ///
    /// # Errors
    /// [`SignInError`]: key or signature is not in its one form, or another's, or over another text.
    pub(super) fn verify(
        &self,
        text: &str,
        signature: &str,
        public_key: Option<&str>,
    ) -> Result<(), SignInError> {
        let public_key = public_key.ok_or(SignInError::PublicKeyMissing)?;
        let public_key = compressed_key(public_key).ok_or(SignInError::PublicKeyForm)?;
        if key_hash(&public_key) != self.key_hash {
            return Err(SignInError::PublicKeyOfOther);
        }
        let key =
            VerifyingKey::from_sec1_bytes(&public_key).map_err(|_| SignInError::PublicKeyForm)?;
        let form = SignInError::SignatureForm { form: FORM };
        let signature = secp256k1::signature(&base64_of(signature).ok_or(form)?)?;
        let hash = Sha256::digest(self.document(text));
        key.verify_prehash(&hash, &signature)
            .map_err(|_| SignInError::NotByAccount)
    }
}

impl fmt::Display for CosmosAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bech32(prefix: &Hrp, bytes: &[u8; 20]) -> Option<String> {
    bech32::encode_lower::<Bech32>(*prefix, bytes).ok()
}

fn key_hash(public_key: &[u8; 33]) -> [u8; 20] {
    Ripemd160::digest(Sha256::digest(public_key)).into()
}

/// A compressed key: the sign of y, and x.
fn compressed_key(text: &str) -> Option<[u8; 33]> {
    base64_of(text).filter(|key: &[u8; 33]| matches!(key[0], 2 | 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CosmosAddress, AddressError> {
        CosmosAddress::parse(&CosmosPrefix::parse("cosmos").unwrap(), text)
    }

    #[test]
    fn what_is_no_account_of_the_chain_is_refused() {
        let good = "cosmos1tp7fhly84qm6q4hhzmp0nh5frtdugmysu2r4sf";
        assert_eq!(parse(good).unwrap().to_string(), good);
        let encode = |hrp: &str, bytes: &[u8]| {
            bech32::encode::<Bech32>(Hrp::parse(hrp).unwrap(), bytes).unwrap()
        };
        let hash = *parse(good).unwrap().as_bytes();
        let bech32m =
            bech32::encode::<bech32::Bech32m>(Hrp::parse("cosmos").unwrap(), &hash).unwrap();
        for (text, error) in [
            ("", AddressError::CosmosForm),
            ("cosmos1", AddressError::CosmosForm),
            (&good.to_uppercase(), AddressError::CosmosForm),
            (&good.replace('f', "F"), AddressError::CosmosForm),
            (&good.replace("tp7", "tp8"), AddressError::CosmosForm),
            (&format!("{good}q"), AddressError::CosmosForm),
            (&format!(" {good}"), AddressError::CosmosForm),
            (&bech32m, AddressError::CosmosForm),
            (&encode("cosmos", &[7; 19]), AddressError::CosmosForm),
            (&encode("cosmos", &[7; 32]), AddressError::CosmosForm),
            (&encode(&"c".repeat(40), &hash), AddressError::CosmosForm),
            (&encode("osmo", &hash), AddressError::CosmosPrefix),
            (&encode("cosmosvaloper", &hash), AddressError::CosmosPrefix),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_with_a_digit_too_many_is_refused() {
        use bech32::primitives::iter::{ByteIterExt as _, Fe32IterExt as _};
        let digits = [7_u8; 20].into_iter().bytes_to_fes();
        let more = digits.chain([bech32::Fe32::Q]);
        let hrp = Hrp::parse("cosmos").unwrap();
        let text: String = more.with_checksum::<Bech32>(&hrp).chars().collect();
        assert_eq!(text.len(), "cosmos1".len() + 33 + 6);
        assert_eq!(parse(&text), Err(AddressError::CosmosForm));
    }
}
