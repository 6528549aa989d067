//! Why somebody does something: a sentence for the audit log, alike wherever it is asked for.

use super::error::ApiError;

/// Most characters of it.
const REASON_MAX: usize = 500;

/// The reason of a change that needs one, without the white space around it.
///
/// # Errors
/// `invalid_request` for none, one that is too long, or control characters.
pub(super) fn required(text: &str) -> Result<&str, ApiError> {
    let reason = text.trim();
    let is_good =
        (1..=REASON_MAX).contains(&reason.chars().count()) && !reason.chars().any(char::is_control);
    is_good.then_some(reason).ok_or_else(|| {
        ApiError::invalid("say why in 1 to 500 characters, on one line").with("field", "reason")
    })
}

/// The reason of a change that may go without one.
///
/// # Errors
/// As [`required`].
pub(super) fn optional(text: Option<&str>) -> Result<Option<&str>, ApiError> {
    text.filter(|text| !text.trim().is_empty())
        .map(required)
        .transpose()
}
