//! JSON strings, decoded while they come in: escapes may be cut anywhere.

/// Longest key, number or short text that is told apart, bytes. Longer ones are none that matters.
const KEPT: usize = 48;

/// A short text as it comes in.
pub(super) struct InlineBytes {
    bytes: [u8; KEPT],
    len: usize,
    is_longer: bool,
}

impl InlineBytes {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; KEPT],
            len: 0,
            is_longer: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.is_longer = false;
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        let room = KEPT - self.len;
        let fits = more.len().min(room);
        self.bytes[self.len..self.len + fits].copy_from_slice(&more[..fits]);
        self.len += fits;
        self.is_longer |= fits < more.len();
    }

    /// Its first bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// All of it, where it is short enough.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (!self.is_longer).then(|| self.bytes())
    }

    /// Whether bytes were left out.
    pub(super) const fn is_longer(&self) -> bool {
        self.is_longer
    }
}

/// Where in an escape a string stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Outside,
    Backslash,
    Unicode { digits: u8, value: u16 },
}

/// Decodes the escapes of one string. Lone surrogates and broken UTF-8 pass, as random weights produce both.
pub(super) struct Escapes {
    step: Step,
    /// The first half of a character outside of the basic plane.
    high: Option<u16>,
}

/// Bytes of one decoded character, or of a lone surrogate and what follows it.
pub(super) struct Decoded {
    bytes: [u8; 8],
    len: usize,
}

impl Decoded {
    const fn none() -> Self {
        Self {
            bytes: [0; 8],
            len: 0,
        }
    }

    fn push(&mut self, more: &[u8]) {
        self.bytes[self.len..self.len + more.len()].copy_from_slice(more);
        self.len += more.len();
    }

    /// A code unit alone. A surrogate is written as UTF-8 would write its number.
    fn push_unit(&mut self, unit: u16) {
        match char::from_u32(u32::from(unit)) {
            Some(character) => self.push(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                let [high, low] = unit.to_be_bytes();
                self.push(&[
                    0xe0 | high >> 4,
                    0x80 | (high & 0x0f) << 2 | low >> 6,
                    0x80 | low & 0x3f,
                ]);
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Escapes {
    pub(super) const fn new() -> Self {
        Self {
            step: Step::Outside,
            high: None,
        }
    }

    /// Whether the next byte belongs to an escape.
    pub(super) fn is_inside(&self) -> bool {
        self.step != Step::Outside
    }

    /// A backslash came.
    pub(super) fn begin(&mut self) {
        self.step = Step::Backslash;
    }

    /// What is left where no second half of a character follows any more.
    pub(super) fn flush(&mut self) -> Decoded {
        let mut decoded = Decoded::none();
        if let Some(high) = self.high.take() {
            decoded.push_unit(high);
        }
        decoded
    }

    /// Whether [`Escapes::flush`] has anything.
    pub(super) const fn is_halfway(&self) -> bool {
        self.high.is_some()
    }

    /// Takes the next byte of an escape. `None` where it cannot be one.
    pub(super) fn take(&mut self, byte: u8) -> Option<Decoded> {
        match self.step {
            Step::Outside => None,
            Step::Backslash if byte == b'u' => {
                self.step = Step::Unicode {
                    digits: 0,
                    value: 0,
                };
                Some(Decoded::none())
            }
            Step::Backslash => {
                self.step = Step::Outside;
                let mut decoded = self.flush();
                decoded.push(&[match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    b'"' | b'\\' | b'/' => byte,
                    _ => return None,
                }]);
                Some(decoded)
            }
            Step::Unicode { digits, value } => {
                let digit = char::from(byte).to_digit(16)?;
                let value = value << 4 | u16::try_from(digit).ok()?;
                if digits < 3 {
                    let digits = digits + 1;
                    self.step = Step::Unicode { digits, value };
                    return Some(Decoded::none());
                }
                self.step = Step::Outside;
                Some(self.unit(value))
            }
        }
    }

    fn unit(&mut self, unit: u16) -> Decoded {
        let pair = self
            .high
            .map(|high| char::decode_utf16([high, unit]).next());
        if let Some(Some(Ok(character))) = pair {
            self.high = None;
            let mut decoded = Decoded::none();
            decoded.push(character.encode_utf8(&mut [0; 4]).as_bytes());
            return decoded;
        }
        let mut decoded = self.flush();
        if (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
        } else {
            decoded.push_unit(unit);
        }
        decoded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Option<Vec<u8>> {
        let mut escapes = Escapes::new();
        let mut out = Vec::new();
        for byte in text.bytes() {
            if escapes.is_inside() {
                out.extend_from_slice(escapes.take(byte)?.bytes());
            } else if byte == b'\\' {
                escapes.begin();
            } else {
                out.extend_from_slice(escapes.flush().bytes());
                out.push(byte);
            }
        }
        out.extend_from_slice(escapes.flush().bytes());
        Some(out)
    }

    #[test]
    fn escapes_are_decoded_as_json_says() {
        for (text, bytes) in [
            (r#"a\n\t\"\\\/b"#, &b"a\n\t\"\\/b"[..]),
            (r"\u003c\u00e9\u20ac", "<é€".as_bytes()),
            (r"\ud83d\ude00!", "😀!".as_bytes()),
            (r"\ud83dx", b"\xed\xa0\xbdx"),
            (r"\ud83d\n", b"\xed\xa0\xbd\n"),
            (r"\ud83d\ud83d\ude00", b"\xed\xa0\xbd\xf0\x9f\x98\x80"),
            (r"\ude00", b"\xed\xb8\x80"),
            (r"\ud83dA", b"\xed\xa0\xbdA"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode(r"\x"), None);
        assert_eq!(decode(r"\u00g0"), None);
    }

    #[test]
    fn a_short_text_is_bounded() {
        let mut short = InlineBytes::new();
        short.push(b"usage");
        assert_eq!(short.whole(), Some(&b"usage"[..]));
        short.push(&[b'x'; 100]);
        assert_eq!((short.whole(), short.bytes().len()), (None, KEPT));
        short.clear();
        assert_eq!(short.whole(), Some(&b""[..]));
    }
}
