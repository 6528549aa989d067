//! A request to sign in: made, kept, shown as a text, and checked by the server.

use super::address::{Account, AddressError};
use super::chain::Chain;
use super::error::SignInError;
use super::site::{SiteUri, Statement};
use super::text::checked_text;
use dgon_protocol::key::hex;
use serde::{Deserialize, Serialize};

/// Longest time to answer a request. Phantom shows no request whose time of making is further from its own clock.
pub const LIFETIME_MAX_MS: i64 = 600_000;
/// How much earlier than a request its answer may be by a clock: servers that share a store differ a little.
pub const CLOCK_SLACK_MS: i64 = 60_000;

checked_text!(
    /// What makes a request unlike any other: 128 random bits, as 32 hex digits in lower case.
    Nonce,
    "a nonce",
    "32 hex digits in lower case",
    |text| {
        let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        text.len() == 32 && text.bytes().all(plain)
    }
);

impl Nonce {
    /// Of 16 bytes from the system's random source.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(hex(&bytes))
    }
}

/// What a request is made of, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInFields {
    /// The page that asks.
    pub uri: SiteUri,
    /// What the person agrees to.
    pub statement: Statement,
    /// The chain.
    pub chain: Chain,
    /// The account that is to sign, as the person's wallet gave it.
    pub address: String,
    /// What makes the request unlike any other.
    pub nonce: Nonce,
    /// When it was made, unix ms.
    pub issued_at_ms: i64,
    /// When it is too late to answer, unix ms.
    pub expires_at_ms: i64,
}

/// Why a request cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The address is none of the chain's.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The times are no times, or too far from each other.
    #[error(
        "a sign-in ends after it began, at most {LIFETIME_MAX_MS} ms later; set the server's clock"
    )]
    Times,
}

/// What a client sends for a request.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// The signature, as the chain's row in the [table](super) says.
    pub signature: &'a str,
    /// The compressed key, base64. Of Cosmos accounts alone; not looked at for others.
    pub public_key: Option<&'a str>,
    /// The text that the wallet signed, where the client has it: some wallets build it themselves.
    pub message: Option<&'a [u8]>,
}

/// An account whose key has signed a request. Nothing else makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProvenAccount(Account);

impl ProvenAccount {
    /// The account.
    pub const fn account(&self) -> &Account {
        &self.0
    }
}

/// A request to sign in. Read from a store it is checked as if it were new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SignInFields", into = "SignInFields")]
pub struct SignInRequest {
    fields: SignInFields,
    account: Account,
    issued_at: String,
    expires_at: String,
}

impl SignInRequest {
    /// Makes a request, with the address in its canonical form.
    ///
    /// # Errors
    /// [`RequestError`]: the address is none of the chain's, or the times are wrong.
    pub fn new(mut fields: SignInFields) -> Result<Self, RequestError> {
        let account = Account::parse(&fields.chain, &fields.address)?;
        fields.address = account.to_string();
        let lifetime_ms = fields.expires_at_ms.saturating_sub(fields.issued_at_ms);
        if !(1..=LIFETIME_MAX_MS).contains(&lifetime_ms) {
            return Err(RequestError::Times);
        }
        Ok(Self {
            issued_at: date_time(fields.issued_at_ms)?,
            expires_at: date_time(fields.expires_at_ms)?,
            account,
            fields,
        })
    }

    /// What it was made of.
    pub const fn fields(&self) -> &SignInFields {
        &self.fields
    }

    /// The account that is to sign. It is proven by [`verify`](Self::verify) alone.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// The text that the wallet shows and signs: ASCII, in the grammar of ERC-4361, of which that of `sign-in-with-solana` with
    /// all our fields and CAIP-122 differ in the chain's name only.
    pub fn message(&self) -> String {
        let Self {
            fields,
            account,
            issued_at,
            expires_at,
        } = self;
        let SignInFields {
            uri,
            statement,
            chain,
            nonce,
            ..
        } = fields;
        let (domain, title) = (uri.domain(), chain.title());
        format!(
            "{domain} wants you to sign in with your {title} account:\n{account}\n\n{statement}\n\nURI: {uri}\nVersion: \
             1\nChain ID: {chain}\nNonce: {nonce}\nIssued At: {issued_at}\nExpiration Time: {expires_at}"
        )
    }

    /// What the wallet's key signs: the text, and for a Cosmos account the document around it. Ethereum's prefix is the
    /// wallet's to add.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let message = self.message();
        match &self.account {
            Account::Evm(_) | Account::Solana(_) => message.into_bytes(),
            Account::Cosmos(address) => address.document(&message).into_bytes(),
        }
    }

    /// What a Solana wallet's `signIn` takes, all fields given, so that the text it builds is ours; `None` for other chains.
    pub fn solana_input(&self) -> Option<SolanaSignInInput<'_>> {
        let Chain::Solana { cluster } = self.fields.chain else {
            return None;
        };
        Some(SolanaSignInInput {
            domain: self.fields.uri.domain(),
            address: &self.fields.address,
            statement: self.fields.statement.as_str(),
            uri: self.fields.uri.as_str(),
            version: "1",
            chain_id: cluster.as_str(),
            nonce: self.fields.nonce.as_str(),
            issued_at: &self.issued_at,
            expiration_time: &self.expires_at,
        })
    }

    /// Whether `proof` is the account's answer to this request, at `now_ms` (unix ms).
    ///
    /// # Errors
    /// [`SignInError`] says what is wrong with it. The request must not be used again, whatever comes of it.
    pub fn verify(&self, proof: &Proof<'_>, now_ms: i64) -> Result<ProvenAccount, SignInError> {
        if now_ms >= self.fields.expires_at_ms {
            return Err(SignInError::Expired);
        }
        if now_ms < self.fields.issued_at_ms.saturating_sub(CLOCK_SLACK_MS) {
            return Err(SignInError::NotYetValid);
        }
        let message = self.message();
        if proof
            .message
            .is_some_and(|signed| signed != message.as_bytes())
        {
            return Err(SignInError::MessageDiffers);
        }
        match &self.account {
            Account::Evm(address) => address.verify(&message, proof.signature),
            Account::Solana(address) => address.verify(&message, proof.signature),
            Account::Cosmos(address) => address.verify(&message, proof.signature, proof.public_key),
        }?;
        Ok(ProvenAccount(self.account.clone()))
    }
}

impl TryFrom<SignInFields> for SignInRequest {
    type Error = RequestError;
    fn try_from(fields: SignInFields) -> Result<Self, RequestError> {
        Self::new(fields)
    }
}

impl From<SignInRequest> for SignInFields {
    fn from(request: SignInRequest) -> Self {
        request.fields
    }
}

/// The input of `signIn` of the Solana wallet standard, in JSON with the standard's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SolanaSignInInput<'a> {
    domain: &'a str,
    address: &'a str,
    statement: &'a str,
    uri: &'a str,
    version: &'a str,
    chain_id: &'a str,
    nonce: &'a str,
    issued_at: &'a str,
    expiration_time: &'a str,
}

/// The end of the year 9999, unix ms: the last time that has four digits for its year.
const LAST_MS: i64 = 253_402_300_799_999;

/// RFC 3339, UTC, always with milliseconds: as JavaScript's `toISOString` writes it, so that a wallet that reads the time and
/// writes it again has the same text.
///
/// By hand, as no library that knows what time it is may be in this crate; the calendar is the algorithm `civil_from_days` of
/// Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms", whose years begin in March.
fn date_time(unix_ms: i64) -> Result<String, RequestError> {
    if !(0..=LAST_MS).contains(&unix_ms) {
        return Err(RequestError::Times);
    }
    let (days, of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, ms) = (of_day / 1_000 % 60, of_day % 1_000);
    Ok(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_are_written_as_a_calendar_has_them(unix_ms in 0..=LAST_MS) {
            let time = Timestamp::from_millisecond(unix_ms).expect("a time");
            prop_assert_eq!(date_time(unix_ms), Ok(format!("{time:.3}")));
        }
    }

    #[test]
    fn the_borders_of_times() {
        assert_eq!(date_time(0).as_deref(), Ok("1970-01-01T00:00:00.000Z"));
        assert_eq!(
            date_time(951_782_400_000).as_deref(),
            Ok("2000-02-29T00:00:00.000Z")
        );
        assert_eq!(
            date_time(LAST_MS).as_deref(),
            Ok("9999-12-31T23:59:59.999Z")
        );
        for none in [-1, LAST_MS + 1, i64::MAX, i64::MIN] {
            assert_eq!(date_time(none), Err(RequestError::Times));
        }
    }

    #[test]
    fn a_nonce_is_of_128_bits() {
        let nonce = Nonce::from_random(std::array::from_fn(|at| at as u8));
        assert_eq!(nonce.as_str(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(Nonce::parse(nonce.as_str()), Ok(nonce));
        for bad in [
            "",
            &"a".repeat(31),
            &"a".repeat(33),
            &"A".repeat(32),
            &"g".repeat(32),
        ] {
            assert!(Nonce::parse(bad).is_err(), "{bad}");
        }
    }
}
