//! Email addresses as identities: checked where they enter, kept in lower case.

use super::AccountError;

const EMAIL_MAX: usize = 254;

/// An email address in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads an address: one `@`, something on both sides, no spaces or control characters.
    ///
    /// # Errors
    /// [`AccountError::Email`].
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        let text = text.trim();
        let well_formed = text.len() <= EMAIL_MAX
            && !text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | ','))
            && matches!(text.split('@').collect::<Vec<_>>().as_slice(), [local, domain]
                if !local.is_empty() && !domain.is_empty() && !domain.starts_with('.') && !domain.ends_with('.'));
        if well_formed {
            Ok(Self(text.to_lowercase()))
        } else {
            Err(AccountError::Email)
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_lowered() {
        assert_eq!(
            Email::parse(" Ada@Example.com ").expect("address").as_str(),
            "ada@example.com"
        );
        assert!(Email::parse("admin@localhost").is_ok());
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@.b",
            "a@b.",
            "<a@b>",
            &"x".repeat(300),
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }
}
