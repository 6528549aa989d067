//! Codes for a person whose authenticator app is gone: ten at a time, each good once.
//!
//! A code is `xxxxx-xxxxx`, ten characters of Crockford's base32 in lower case, 50 random bits. What a person types is read
//! whatever its case and wherever spaces and dashes stand; o is 0, i and l are 1. It is too short for a fast hash, from which a
//! thief of the database has it in hours: keep it under Argon2id, or under an HMAC with a key that is not in the database.

use crate::base32;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Codes that a person gets.
pub const COUNT: usize = 10;
/// Random bytes that they are made of.
pub const RANDOM_BYTES: usize = COUNT * CODE_BYTES;

/// 50 of their 56 bits are used.
const CODE_BYTES: usize = 7;
/// Characters of a code, without the dash.
const CHARS: usize = 10;
/// Longest input that is looked at.
const INPUT_BYTES_MAX: usize = 40;

/// A text that cannot be a recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a recovery code has ten letters and digits, such as 8f3k2-m9qtz: enter one of those that were shown when it was set up"
)]
pub struct RecoveryCodeError;

/// A code. Wiped from memory on drop; never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode(String);

impl RecoveryCode {
    /// A set of codes, of bytes from the system's random source.
    pub fn from_random(bytes: &[u8; RANDOM_BYTES]) -> [Self; COUNT] {
        let mut codes = bytes.chunks_exact(CODE_BYTES).map(|bytes| {
            let mut text = base32::encode(bytes, base32::CROCKFORD);
            text.truncate(CHARS);
            Self(text)
        });
        // There are as many chunks as codes.
        std::array::from_fn(|_| codes.next().unwrap_or_else(|| Self(String::new())))
    }

    /// Reads what a person typed.
    ///
    /// # Errors
    /// [`RecoveryCodeError`]: it is no code, ours or other.
    pub fn parse(entered: &str) -> Result<Self, RecoveryCodeError> {
        if entered.len() > INPUT_BYTES_MAX {
            return Err(RecoveryCodeError);
        }
        // Room for all, so that nothing of it is left behind by growing.
        let mut code = Self(String::with_capacity(INPUT_BYTES_MAX));
        for c in entered.chars().filter(|c| !matches!(c, ' ' | '-')) {
            code.0.push(match c.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                c if base32::CROCKFORD.iter().any(|of| char::from(*of) == c) => c,
                _ => return Err(RecoveryCodeError),
            });
        }
        if code.0.len() == CHARS {
            Ok(code)
        } else {
            Err(RecoveryCodeError)
        }
    }

    /// The ten characters: what is hashed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is shown to its person, once.
    pub fn shown(&self) -> Zeroizing<String> {
        let (first, second) = self.0.split_at(CHARS / 2);
        Zeroizing::new(format!("{first}-{second}"))
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_set_is_of_all_random_bytes() {
        let mut bytes = [0; RANDOM_BYTES];
        bytes[0] = 0b0000_1000;
        bytes[RANDOM_BYTES - 1] = 0b0100_0000;
        let codes = RecoveryCode::from_random(&bytes);
        assert_eq!(*codes[0].shown(), "10000-00000");
        assert_eq!(*codes[1].shown(), "00000-00000");
        assert_eq!(*codes[9].shown(), "00000-00001");
        assert_eq!(format!("{codes:?}").matches("RecoveryCode(..)").count(), 10);
        assert!(!format!("{codes:?}").contains('0'));
    }

    #[test]
    fn a_person_may_type_it_in_many_ways() {
        let code = RecoveryCode::parse("8f3k2-m9q10").unwrap();
        assert_eq!(code.as_str(), "8f3k2m9q10");
        for way in [
            "8F3K2-M9Q10",
            "8f3k2m9q10",
            " 8f3k2 m9q10 ",
            "8f-3k-2m-9q-10",
            "8F3K2-M9QIO",
            "8f3k2m9qlo",
        ] {
            assert_eq!(RecoveryCode::parse(way).unwrap(), code, "{way}");
        }
        for bad in [
            "",
            "-",
            "8f3k2-m9q1",
            "8f3k2-m9q100",
            "8f3k2-m9q1u",
            "8f3k2_m9q10",
            "8f3k2-m9q1é",
            "8f3k2-m9q1\n",
            &format!("8f3k2-m9q10{}", " ".repeat(30)),
        ] {
            assert_eq!(RecoveryCode::parse(bad), Err(RecoveryCodeError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(bytes in prop::collection::vec(any::<u8>(), RANDOM_BYTES)) {
            let codes = RecoveryCode::from_random(&bytes.try_into().unwrap());
            for code in &codes {
                prop_assert_eq!(&RecoveryCode::parse(&code.shown()).unwrap(), code);
            }
            let texts: BTreeSet<&str> = codes.iter().map(RecoveryCode::as_str).collect();
            prop_assert_eq!(texts.len(), COUNT);
        }
    }
}
