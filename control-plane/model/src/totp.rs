//! Codes of an authenticator app (TOTP, RFC 6238): HMAC-SHA-1, six digits, steps of 30 seconds. Apps read other choices from
//! an address and then show the codes of these, so there are no others.
//!
//! A code is good in its own step and in those next to it: clocks differ, and typing takes time. It is good once: whoever
//! verifies keeps the step of the last accepted code, changes it in one statement that demands that it grows, and gives it to
//! [`TotpSecret::verify`]. With three of a million codes good at a time, failures have to be counted and limited by the caller.

use crate::base32;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Length of a step, seconds.
pub const STEP_S: u64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// Bytes of a secret: what RFC 4226 recommends, and the output of SHA-1.
pub const SECRET_BYTES: usize = 20;
/// Longest issuer and longest account in an address, characters.
pub const LABEL_CHARS: usize = 64;

/// Longest input that is looked at: digits, and spaces that apps show between them.
const INPUT_BYTES_MAX: usize = 16;

/// Why a code is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TotpError {
    /// Not six digits.
    #[error("a code of an authenticator app has six digits")]
    Form,
    /// No code of now.
    #[error(
        "that code is not right, or no longer: enter the one that the app shows now; if it never is right, set the device's \
         clock to automatic"
    )]
    Wrong,
    /// Right, and used before.
    #[error("that code was used already: wait for the next one in the app")]
    Used,
}

/// Why an address for an authenticator app cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {what} in an authenticator app must have 1 to {LABEL_CHARS} characters, none a colon or a control character"
)]
pub struct LabelError {
    what: &'static str,
}

/// What server and app share. Wiped from memory on drop; never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TotpSecret([u8; SECRET_BYTES]);

impl TotpSecret {
    /// Takes bytes from the system's random source, or back from the store, where they have to be encrypted.
    pub const fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the store alone.
    pub const fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// What a person types into an app that cannot scan: 32 characters of base32 without padding.
    pub fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(base32::encode(&self.0, base32::RFC4648))
    }

    /// The address that the app reads from a picture: `otpauth://totp/ISSUER:ACCOUNT?secret=…`. It holds the secret.
    ///
    /// Source: google/google-authenticator, wiki page "Key Uri Format".
    ///
    /// # Errors
    /// [`LabelError`]: `issuer` (who runs this network) or `account` (whose code it is) is empty, too long, or holds a
    /// character that would end it.
    pub fn uri(&self, issuer: &str, account: &str) -> Result<Zeroizing<String>, LabelError> {
        let issuer = label("issuer", issuer)?;
        let account = label("account", account)?;
        let secret = self.base32();
        Ok(Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}",
            secret.as_str()
        )))
    }

    /// The code of a step.
    pub fn code(&self, step: u64) -> Zeroizing<String> {
        Zeroizing::new(format!("{:06}", self.number(step) % 1_000_000))
    }

    /// The step whose code was entered, at `unix_s`: one of now's, the one before and the one after. `last_step` is the step
    /// of the code that was accepted last, if any was; its code and older ones are used up.
    ///
    /// Spaces in `entered` do not count. All three codes are compared, and each in the same time.
    ///
    /// # Errors
    /// [`TotpError`].
    pub fn verify(
        &self,
        entered: &str,
        unix_s: u64,
        last_step: Option<u64>,
    ) -> Result<u64, TotpError> {
        let entered = digits(entered).ok_or(TotpError::Form)?;
        let now = unix_s / STEP_S;
        let steps = [now.saturating_sub(1), now, now.saturating_add(1)];
        let is_match = |step: &u64| bool::from(self.code(*step).as_bytes().ct_eq(&*entered));
        // The latest, where by chance two have the same code: then neither is good again.
        let matched = steps.map(|step| is_match(&step).then_some(step));
        let step = matched
            .into_iter()
            .flatten()
            .max()
            .ok_or(TotpError::Wrong)?;
        if last_step.is_some_and(|last| step <= last) {
            return Err(TotpError::Used);
        }
        Ok(step)
    }

    /// RFC 4226 section 5.3, 31 bits.
    fn number(&self, step: u64) -> u32 {
        // HMAC fills a key up to a block with zeros itself: done here, it cannot fail.
        let mut block = Zeroizing::new([0; 64]);
        block[..SECRET_BYTES].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha1>::new((&*block).into());
        mac.update(&step.to_be_bytes());
        let mac: [u8; 20] = mac.finalize().into_bytes().into();
        let at = usize::from(mac[19] & 15);
        let mut four = [0; 4];
        four.copy_from_slice(&mac[at..at + 4]);
        u32::from_be_bytes(four) & 0x7fff_ffff
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

fn digits(entered: &str) -> Option<Zeroizing<[u8; DIGITS]>> {
    if entered.len() > INPUT_BYTES_MAX {
        return None;
    }
    let mut digits = Zeroizing::new([0; DIGITS]);
    let mut places = digits.iter_mut();
    for byte in entered.bytes().filter(|b| *b != b' ') {
        *places.next().filter(|_| byte.is_ascii_digit())? = byte;
    }
    places.next().is_none().then_some(digits)
}

/// Percent-encodes what is not unreserved (RFC 3986 section 2.3).
fn label(what: &'static str, text: &str) -> Result<String, LabelError> {
    let is_harmful = |c: char| c == ':' || c.is_control();
    let is_length = (1..=LABEL_CHARS).contains(&text.chars().count());
    if !is_length || text.chars().any(is_harmful) {
        return Err(LabelError { what });
    }
    let encode = |byte: u8| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_plain {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    Ok(text.bytes().map(encode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of RFC 4226 appendix D and RFC 6238 appendix B.
    fn secret() -> TotpSecret {
        TotpSecret::from_bytes(*b"12345678901234567890")
    }

    #[test]
    fn numbers_are_those_of_rfc_4226() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (step, code) in (0..).zip(codes) {
            assert_eq!(*secret().code(step), code);
        }
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // The table has eight digits; ours are the last six.
        for (unix_s, code) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            let step = secret().verify(&code[2..], unix_s, None).unwrap();
            assert_eq!(step, unix_s / 30);
        }
    }

    #[test]
    fn a_code_is_good_in_its_step_and_next_to_it() {
        let code = secret().code(100);
        let verify = |unix_s| secret().verify(&code, unix_s, None);
        assert_eq!(verify(99 * 30 - 1), Err(TotpError::Wrong));
        for unix_s in [99 * 30, 100 * 30, 101 * 30, 102 * 30 - 1] {
            assert_eq!(verify(unix_s), Ok(100), "{unix_s}");
        }
        assert_eq!(verify(102 * 30), Err(TotpError::Wrong));
        assert_eq!(verify(0), Err(TotpError::Wrong));
        assert_eq!(verify(u64::MAX), Err(TotpError::Wrong));
    }

    #[test]
    fn a_code_is_good_once_and_none_before_it_is_good_after() {
        let verify = |step, last| secret().verify(&secret().code(step), 100 * 30, last);
        assert_eq!(verify(100, Some(99)), Ok(100));
        assert_eq!(verify(100, Some(100)), Err(TotpError::Used));
        assert_eq!(verify(99, Some(100)), Err(TotpError::Used));
        assert_eq!(verify(101, Some(100)), Ok(101));
        assert_eq!(verify(100, Some(u64::MAX)), Err(TotpError::Used));
    }

    #[test]
    fn of_two_steps_with_one_code_the_later_is_used_up() {
        // Found by search with another program: the first of them.
        let twin = 153_567;
        assert_eq!(
            [twin, twin + 2].map(|step| secret().code(step).to_string()),
            ["468457"; 2]
        );
        let now_s = (twin + 1) * 30;
        assert_eq!(
            secret().verify(&secret().code(twin), now_s, None),
            Ok(twin + 2)
        );
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let now_s = 59;
        for good in ["287082", "287 082", " 287082 ", "2 8 7 0 8 2"] {
            assert_eq!(secret().verify(good, now_s, None), Ok(1), "{good:?}");
        }
        for bad in [
            "",
            "28708",
            "2870820",
            "28708a",
            "２87082",
            "287-082",
            "+287082",
            "287082\n",
            &"287082".repeat(9),
            &format!("287082{}", " ".repeat(11)),
        ] {
            assert_eq!(
                secret().verify(bad, now_s, None),
                Err(TotpError::Form),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn an_address_is_what_apps_read() {
        let uri = secret().uri("DGON & Söhne", "a+b@dgon.example").unwrap();
        assert_eq!(
            *uri,
            "otpauth://totp/DGON%20%26%20S%C3%B6hne:a%2Bb%40dgon.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=DGON%20%26%20S%C3%B6hne&algorithm=SHA1&digits=6&period=30"
        );
        let long = "é".repeat(64);
        assert!(secret().uri(&long, &long).is_ok());
        for bad in ["", "a:b", "a\nb", &"x".repeat(65)] {
            assert!(secret().uri(bad, "a").is_err(), "{bad:?}");
            assert!(secret().uri("a", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", secret()), "TotpSecret(..)");
    }

    proptest! {
        #[test]
        fn every_code_has_six_digits_and_is_found(bytes: [u8; 20], unix_s in 30..u64::MAX, back in 0..3_u64) {
            let secret = TotpSecret::from_bytes(bytes);
            let step = (unix_s / 30 + 1).saturating_sub(back);
            let code = secret.code(step);
            prop_assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
            let found = secret.verify(&code, unix_s, None).unwrap();
            prop_assert!(*secret.code(found) == *code);
        }

        #[test]
        fn nothing_entered_panics(entered in ".{0,20}", unix_s: u64) {
            let _ = secret().verify(&entered, unix_s, Some(unix_s));
        }
    }
}
