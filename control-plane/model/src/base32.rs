//! Bytes in an alphabet of 32 characters, five bits each.

/// RFC 4648 section 6.
pub(crate) const RFC4648: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Crockford's, in lower case: no i, l, o, u.
pub(crate) const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The bytes, highest bit first, without padding. Bits that are left over at the end are followed by zeros.
pub(crate) fn encode(bytes: &[u8], alphabet: &[u8; 32]) -> String {
    let bit = |at: usize| {
        let byte = bytes.get(at / 8).copied().unwrap_or_default();
        byte >> (7 - at % 8) & 1
    };
    let digits = (bytes.len() * 8).div_ceil(5);
    let digit = |at: usize| (0..5).fold(0, |digit, of| digit << 1 | bit(at * 5 + of));
    (0..digits)
        .map(|at| char::from(alphabet[usize::from(digit(at))]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_rfc_4648_has_them() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(encode(bytes.as_bytes(), RFC4648), text);
        }
    }
}
