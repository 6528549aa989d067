//! Points in time as people write them: `90m`, `2h`, `7d` ago, or unix seconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds of `text`, said at `now_s`.
///
/// # Errors
/// A sentence that says what can be written.
pub(super) fn parse(text: &str, now_s: u64) -> Result<u64, String> {
    let wrong = || {
        format!(
            "--since takes a span such as 90s, 30m, 2h or 7d, or unix seconds; this is {text:?}"
        )
    };
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(seconds);
    }
    let unit_s = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 24 * 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(now_s.saturating_sub(count.saturating_mul(unit_s)))
}

/// This machine's clock, unix seconds.
pub(super) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_seconds_are_read_and_nothing_else() {
        assert_eq!(parse("90s", 1000), Ok(910));
        assert_eq!(parse("2h", 10_000), Ok(2_800));
        assert_eq!(parse("7d", 1), Ok(0));
        assert_eq!(parse("1800000000", 5), Ok(1_800_000_000));
        for wrong in ["", "d", "2w", "-1h", "1.5h", "yesterday", "²h"] {
            assert!(parse(wrong, 1).unwrap_err().contains("--since"), "{wrong}");
        }
    }
}
