//! Private pools: what one is called, and what is said about it.

use std::collections::BTreeMap;

/// Most characters of a name, and of a label's key and value.
pub const TEXT_MAX: usize = 63;
/// Most labels of one pool.
pub const LABELS_MAX: usize = 16;

/// Why something about a pool cannot be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Not a name.
    #[error(
        "the name of a pool has 1 to {TEXT_MAX} characters: small letters, digits and hyphens, with none of these at either end"
    )]
    Name,
    /// Too many labels.
    #[error("a pool has at most {LABELS_MAX} labels")]
    Labels,
    /// Not the key of a label.
    #[error(
        "the key of a label has 1 to {TEXT_MAX} characters: small letters, digits, dots, hyphens and slashes"
    )]
    LabelKey,
    /// Not the value of a label.
    #[error(
        "the value of a label has at most {TEXT_MAX} characters, none of them a control character"
    )]
    LabelValue,
    /// No policy.
    #[error("existence is hidden or listed")]
    Existence,
}

/// Whether those who may not see what is in a pool are told that it exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existence {
    /// It is as if it did not exist.
    #[default]
    Hidden,
    /// Whoever knows the name of something in it is told that it exists, and nothing more.
    Listed,
}

impl Existence {
    /// The word in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Listed => "listed",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`PoolError::Existence`].
    pub fn parse(text: &str) -> Result<Self, PoolError> {
        [Self::Hidden, Self::Listed]
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or(PoolError::Existence)
    }
}

/// The name of a pool as it is kept: a DNS label, so that it can stand in a header and in a name.
///
/// # Errors
/// [`PoolError::Name`].
pub fn name(text: &str) -> Result<&str, PoolError> {
    let is_good = (1..=TEXT_MAX).contains(&text.len())
        && text.bytes().all(|byte| is_small(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    is_good.then_some(text).ok_or(PoolError::Name)
}

/// Holds labels against their rules.
///
/// # Errors
/// [`PoolError::Labels`], [`PoolError::LabelKey`], [`PoolError::LabelValue`].
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), PoolError> {
    if labels.len() > LABELS_MAX {
        return Err(PoolError::Labels);
    }
    for (key, value) in labels {
        let is_key = |byte| is_small(byte) || matches!(byte, b'.' | b'-' | b'/');
        if !(1..=TEXT_MAX).contains(&key.len()) || !key.bytes().all(is_key) {
            return Err(PoolError::LabelKey);
        }
        if value.chars().count() > TEXT_MAX || value.chars().any(char::is_control) {
            return Err(PoolError::LabelValue);
        }
    }
    Ok(())
}

fn is_small(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        let longest = "a".repeat(TEXT_MAX);
        for good in ["a", "7", "h200-east-1", &longest] {
            assert_eq!(name(good), Ok(good));
        }
        let too_long = "a".repeat(TEXT_MAX + 1);
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", " a", &too_long] {
            assert_eq!(name(bad), Err(PoolError::Name), "{bad:?}");
        }
    }

    #[test]
    fn labels_are_few_and_short() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            check_labels(&pairs.collect())
        };
        let longest = "ä".repeat(TEXT_MAX);
        assert_eq!(of(&[]), Ok(()));
        assert_eq!(
            of(&[("team.example/tier", &longest), ("empty", "")]),
            Ok(())
        );
        for bad in ["", "Key", "a b", "a_b", &"k".repeat(TEXT_MAX + 1)] {
            assert_eq!(of(&[(bad, "x")]), Err(PoolError::LabelKey), "{bad:?}");
        }
        let too_long = "ä".repeat(TEXT_MAX + 1);
        for bad in [too_long.as_str(), "a\nb", "a\0"] {
            assert_eq!(of(&[("key", bad)]), Err(PoolError::LabelValue), "{bad:?}");
        }
        let many = |count: usize| {
            (0..count)
                .map(|n| (format!("k{n}"), String::new()))
                .collect()
        };
        assert_eq!(check_labels(&many(LABELS_MAX)), Ok(()));
        assert_eq!(check_labels(&many(LABELS_MAX + 1)), Err(PoolError::Labels));
    }

    #[test]
    fn a_policy_is_one_of_two() {
        for policy in [Existence::Hidden, Existence::Listed] {
            assert_eq!(Existence::parse(policy.as_str()), Ok(policy));
        }
        assert_eq!(Existence::parse("Listed"), Err(PoolError::Existence));
        assert_eq!(Existence::default(), Existence::Hidden);
    }
}
