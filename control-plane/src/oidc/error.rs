//! Why an issuer's answer is none.

/// Why nobody is proven.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The issuer answers not, or not as one.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// What it answered proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Why an issuer could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// No connection, no TLS, or it broke off.
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It took too long, or too many ask it at this moment.
    #[error("it did not answer in time")]
    Slow,
    /// It answers more than any issuer needs.
    #[error("its answer is too large")]
    TooLarge,
    /// Not 200; redirects are not followed.
    #[error("it answered with the status {0}")]
    Status(u16),
    /// What was wanted has another form.
    #[error("its answer is not the JSON that was wanted")]
    Malformed(#[source] serde_json::Error),
    /// What it says of itself cannot be used.
    #[error("what it says of itself cannot be used: {0}")]
    Discovery(&'static str),
    /// It failed a moment ago, and is not asked again yet.
    #[error("it failed a moment ago and is not asked again yet")]
    NotYet,
    /// No connection can be made by this machine at all.
    #[error("this machine cannot make TLS connections; has it the certificates of authorities?")]
    NoClient,
}

/// Why an answer of an issuer proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The issuer did not take the code.
    #[error("the issuer did not take its own code: status {0}")]
    Code(u16),
    /// The answer is another issuer's (RFC 9207).
    #[error("the answer does not say that it is of this issuer")]
    AnswerIssuer,
    /// Not a token that can be read, or an algorithm that the issuer has not or that is not taken here.
    #[error("the ID token cannot be read, or is signed in a way that is not taken")]
    Unreadable,
    /// No key of the issuer is the token's.
    #[error("the issuer has no key that the ID token names")]
    Key,
    /// The signature is not of that key, or the claims are not as they must be.
    #[error("the signature of the ID token is not the issuer's")]
    Signature(#[source] jsonwebtoken::errors::Error),
    /// A claim is not what it must be.
    #[error("a claim of the ID token is not what it must be: {0}")]
    Claim(&'static str),
}
