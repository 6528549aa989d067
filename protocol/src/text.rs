//! Text from a peer, bounded by its type.
//!
//! A sentence for a person is cut and cleaned where it enters ([`Text`]): refusing a whole acknowledgement because
//! its explanation is long would help nobody, and nothing is decided by a sentence. A name is something that is
//! compared, so a long one is refused instead ([`name`]).

use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// Longest sentence for a person in a frame, characters.
pub const TEXT_CHARS: usize = 512;
/// Longest name of a session, probe or job, characters.
pub const NAME_CHARS: usize = 64;
/// Longest nonce of a handshake, characters.
pub const NONCE_CHARS: usize = 128;
/// Longest name of a model, characters.
pub const MODEL_CHARS: usize = 256;

/// A sentence of at most [`TEXT_CHARS`] characters.
pub type Text = BoundedText<TEXT_CHARS>;

/// A sentence of at most `CHARS` characters, in one line and without characters that move a terminal's cursor or turn
/// the direction of writing. What is too long is cut, what is not allowed becomes a space.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct BoundedText<const CHARS: usize>(String);

/// Control characters, line separators, and marks that turn the direction of writing.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<const CHARS: usize> BoundedText<CHARS> {
    /// The text, cut and cleaned.
    pub fn new(text: &str) -> Self {
        let clean = |c| if is_harmful(c) { ' ' } else { c };
        Self(text.chars().take(CHARS).map(clean).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const CHARS: usize> Deref for BoundedText<CHARS> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const CHARS: usize> fmt::Debug for BoundedText<CHARS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const CHARS: usize> fmt::Display for BoundedText<CHARS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const CHARS: usize> From<&str> for BoundedText<CHARS> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<const CHARS: usize> From<String> for BoundedText<CHARS> {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl<const CHARS: usize> From<BoundedText<CHARS>> for String {
    fn from(text: BoundedText<CHARS>) -> Self {
        text.0
    }
}

impl<const CHARS: usize> PartialEq<str> for BoundedText<CHARS> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl<const CHARS: usize> PartialEq<&str> for BoundedText<CHARS> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl<'de, const CHARS: usize> Deserialize<'de> for BoundedText<CHARS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::new(&text))
    }
}

/// Reads a name: 1 to `CHARS` characters, none of them harmful. For `#[serde(deserialize_with)]`.
///
/// # Errors
/// The text is none, or longer, or no name.
pub fn name<'de, D: Deserializer<'de>, const CHARS: usize>(
    deserializer: D,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let is_name = !text.is_empty() && !text.chars().any(is_harmful);
    if is_name && is_within(&text, CHARS) {
        Ok(text)
    } else {
        let rule = format!("a name has 1 to {CHARS} characters and no control characters");
        Err(serde::de::Error::custom(rule))
    }
}

/// Reads a name that may be absent. For `#[serde(deserialize_with)]`.
///
/// # Errors
/// As [`name`].
pub fn optional_name<'de, D: Deserializer<'de>, const CHARS: usize>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    struct Named<const CHARS: usize>(String);
    impl<'de, const CHARS: usize> Deserialize<'de> for Named<CHARS> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            name::<D, CHARS>(deserializer).map(Self)
        }
    }
    let named = Option::<Named<CHARS>>::deserialize(deserializer)?;
    Ok(named.map(|named| named.0))
}

/// Reads text that is passed on as it is, such as a prompt: at most `CHARS` characters. For
/// `#[serde(deserialize_with)]`.
///
/// # Errors
/// The text is longer, or none.
pub fn whole<'de, D: Deserializer<'de>, const CHARS: usize>(
    deserializer: D,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_within(&text, CHARS) {
        Ok(text)
    } else {
        let rule = format!("the text has at most {CHARS} characters");
        Err(serde::de::Error::custom(rule))
    }
}

/// Counts no further than needed.
fn is_within(text: &str, chars: usize) -> bool {
    text.len() <= chars || text.chars().nth(chars).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_cut_and_cleaned_where_they_enter() {
        let long = "é".repeat(TEXT_CHARS + 9);
        let read: Text = serde_json::from_str(&format!("\"{long}\"")).unwrap();
        assert_eq!(read.chars().count(), TEXT_CHARS);
        let odd: Text = serde_json::from_str(r#""a\u001b[2Jb\nc\u202ed\u2028""#).unwrap();
        assert_eq!(odd, "a [2Jb c d ");
        assert_eq!(Text::new("plain – ok"), "plain – ok");
    }

    #[test]
    fn names_are_refused_where_they_are_too_long_or_harmful() {
        #[derive(Debug, Deserialize)]
        struct Job {
            #[serde(deserialize_with = "name::<_, 4>")]
            id: String,
            #[serde(default, deserialize_with = "optional_name::<_, 4>")]
            model: Option<String>,
        }
        let read = |text: &str| serde_json::from_str::<Job>(text);
        assert_eq!(read(r#"{"id":"éééé"}"#).unwrap().id, "éééé");
        assert_eq!(read(r#"{"id":"a","model":null}"#).unwrap().model, None);
        for bad in [
            r#"{"id":""}"#,
            r#"{"id":"abcde"}"#,
            r#"{"id":"a\nb"}"#,
            r#"{"id":"a","model":"abcde"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
