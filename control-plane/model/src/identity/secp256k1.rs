//! ECDSA signatures on secp256k1, of which each is accepted in one form only.

use super::error::SignInError;
use k256::ecdsa::Signature;

/// Reads r and s, big-endian.
///
/// # Errors
/// A number is 0 or not below the order of the group, or s is above half of it: for each signature (r, s) the pair (r, n - s)
/// verifies as well, and wallets make the lower of the two (EIP-2).
pub(super) fn signature(r_and_s: &[u8; 64]) -> Result<Signature, SignInError> {
    let signature = Signature::from_slice(r_and_s).map_err(|_| SignInError::OutOfRange)?;
    if signature.normalize_s() == signature {
        Ok(signature)
    } else {
        Err(SignInError::HighS)
    }
}
