//! What a person is told when a sign-in does not hold. No address and no signature is in it: it may be logged.

/// Why an answer proves nothing. Of any of them, the request is spent all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The time to answer is over.
    #[error("this sign-in has expired: start again, and sign the new message in time")]
    Expired,
    /// The request is from the future.
    #[error(
        "this sign-in was asked for later than it is now by the server's clock: start again; if it happens again, tell the \
         operator that the clock is wrong"
    )]
    NotYetValid,
    /// The client says that another text was signed.
    #[error(
        "the wallet signed another text than the one this site asked for: start again; if it happens again, use the wallet's \
         plain message signing"
    )]
    MessageDiffers,
    /// The signature is not written as it must be.
    #[error("the signature is not {form}: start again")]
    SignatureForm {
        /// How it must be written.
        form: &'static str,
    },
    /// The last byte of an Ethereum signature is none of 27 and 28.
    #[error("the signature's last byte is neither 27 nor 28: sign with the wallet's personal_sign")]
    RecoveryByte,
    /// A number of an ECDSA signature is 0, or not below the order of the group.
    #[error(
        "the signature's numbers are out of range: the wallet made no signature; update it and start again"
    )]
    OutOfRange,
    /// The s of an ECDSA signature is in the upper half, where each signature has a twin.
    #[error(
        "the signature is of the form that wallets stopped using (high s): update the wallet and start again"
    )]
    HighS,
    /// A Cosmos answer without a public key.
    #[error("the public key is missing: send the answer of the wallet's signArbitrary as a whole")]
    PublicKeyMissing,
    /// The public key is not written as it must be, or no key.
    #[error(
        "the public key is not base64 of a compressed secp256k1 key of 33 bytes: start again with another wallet"
    )]
    PublicKeyForm,
    /// The public key is another account's.
    #[error(
        "the wallet answered for another account than the one asked for: choose that account in the wallet and start again"
    )]
    PublicKeyOfOther,
    /// The signature is not that account's over our text.
    #[error(
        "the signature is not by the account asked for over the text asked for: choose that account and chain in the wallet \
         and start again"
    )]
    NotByAccount,
}
