//! Encodings of JSON text: UTF-8, UTF-16 and UTF-32, with and without a byte order mark, told apart as Python does.

/// The encoding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    /// Units of so many bytes, the most significant first or last.
    Wide {
        unit: usize,
        is_big: bool,
    },
}

/// Bytes that tell an encoding.
const HEAD: usize = 4;

/// Turns bytes in any encoding into UTF-8, piece by piece.
#[derive(Default)]
pub(super) struct Decoder {
    encoding: Option<Encoding>,
    has_mark: bool,
    /// Bytes that wait for more.
    rest: Vec<u8>,
    /// The first half of a letter of two units.
    high: Option<u16>,
}

impl Decoder {
    /// Decodes more bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], mut out: impl FnMut(&[u8])) {
        if self.encoding == Some(Encoding::Utf8) {
            return out(bytes);
        }
        self.rest.extend_from_slice(bytes);
        if self.encoding.is_some() || self.rest.len() >= HEAD {
            self.decode(&mut out);
        }
    }

    /// The end of the text.
    pub(super) fn finish(&mut self, mut out: impl FnMut(&[u8])) {
        self.decode(&mut out);
        if !self.rest.is_empty() || self.high.is_some() {
            out("\u{fffd}".as_bytes());
        }
    }

    /// Whether the text is UTF-8 without a mark.
    pub(super) fn is_plain(&self) -> bool {
        self.encoding == Some(Encoding::Utf8) && !self.has_mark
    }

    fn decode(&mut self, out: &mut impl FnMut(&[u8])) {
        let mut rest = std::mem::take(&mut self.rest);
        let encoding = match self.encoding {
            Some(encoding) => encoding,
            None => {
                let (encoding, mark) = detect(&rest);
                rest.drain(..mark);
                self.has_mark = mark > 0;
                *self.encoding.insert(encoding)
            }
        };
        let Encoding::Wide { unit, is_big } = encoding else {
            return out(&rest);
        };
        let mut text = String::with_capacity(rest.len());
        let whole = rest.len() - rest.len() % unit;
        for unit in rest[..whole].chunks_exact(unit) {
            let number = unit.iter().enumerate().fold(0u32, |number, (at, byte)| {
                let place = if is_big { unit.len() - 1 - at } else { at };
                number | u32::from(*byte) << (8 * place)
            });
            match (u16::try_from(number), unit.len()) {
                (Ok(half), 2) => self.push_half(half, &mut text),
                _ => text.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)),
            }
        }
        out(text.as_bytes());
        self.rest = rest.split_off(whole);
    }

    fn push_half(&mut self, half: u16, text: &mut String) {
        let halves = [self.high.take(), Some(half)];
        if (0xd800..0xdc00).contains(&half) {
            text.extend(halves[0].map(|_| char::REPLACEMENT_CHARACTER));
            self.high = Some(half);
            return;
        }
        let letters = char::decode_utf16(halves.into_iter().flatten());
        text.extend(letters.map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
}

/// The encoding that a text begins in, and the length of its mark.
fn detect(head: &[u8]) -> (Encoding, usize) {
    let wide = |unit, is_big| Encoding::Wide { unit, is_big };
    match head {
        [0xff, 0xfe, 0, 0, ..] => (wide(4, false), 4),
        [0, 0, 0xfe, 0xff, ..] => (wide(4, true), 4),
        [0xff, 0xfe, ..] => (wide(2, false), 2),
        [0xfe, 0xff, ..] => (wide(2, true), 2),
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
        // JSON begins with ASCII, so a zero says how wide a letter is.
        [0, 0, _, _, ..] => (wide(4, true), 0),
        [0, _, ..] => (wide(2, true), 0),
        [_, 0, 0, 0, ..] => (wide(4, false), 0),
        [_, 0, ..] => (wide(2, false), 0),
        _ => (Encoding::Utf8, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8], step: usize) -> (String, bool) {
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.feed(piece, |part| out.extend_from_slice(part));
        }
        decoder.finish(|part| out.extend_from_slice(part));
        (
            String::from_utf8_lossy(&out).into_owned(),
            decoder.is_plain(),
        )
    }

    fn encode(text: &str, unit: usize, is_big: bool) -> Vec<u8> {
        let order = |mut bytes: Vec<u8>| {
            if is_big {
                bytes.reverse();
            }
            bytes
        };
        if unit == 2 {
            text.encode_utf16()
                .flat_map(|half| order(half.to_le_bytes().to_vec()))
                .collect()
        } else {
            text.chars()
                .flat_map(|letter| order(u32::from(letter).to_le_bytes().to_vec()))
                .collect()
        }
    }

    proptest! {
        #[test]
        fn every_encoding_reads_the_same(text in "\\{\"[a-z€𝄞é]{0,20}", mark: bool, step in 1usize..9) {
            for (unit, is_big) in [(2, false), (2, true), (4, false), (4, true)] {
                let marked = if mark { format!("\u{feff}{text}") } else { text.clone() };
                let bytes = encode(&marked, unit, is_big);
                prop_assert_eq!(decode(&bytes, step), (text.clone(), false));
            }
            let marked = format!("\u{feff}{text}");
            prop_assert_eq!(decode(marked.as_bytes(), step), (text.clone(), false));
            prop_assert_eq!(decode(text.as_bytes(), step), (text, true));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>, step in 1usize..9) {
            decode(&bytes, step);
        }
    }

    #[test]
    fn half_a_letter_is_no_letter() {
        assert_eq!(decode(b"{\0\x34\xd8{\0", 2).0, "{\u{fffd}{");
        assert_eq!(decode(b"{\0\x34\xd8", 1).0, "{\u{fffd}");
        assert_eq!(decode(b"{\0a", 1).0, "{\u{fffd}");
        assert_eq!(decode(b"{}", 1), ("{}".to_owned(), true));
    }
}
