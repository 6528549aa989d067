//! The keyed hash over the text of an answer.

use crate::facts::hash_text;

/// Longest text that is remembered to tell new text from all of the text so far, bytes.
const REMEMBERED: usize = 1 << 20;

/// Running hash of an answer's text: reasoning, content and tool calls in the order that they came.
pub(super) struct Output {
    /// On the heap, for it is large and its owners are moved several times before the first byte.
    hasher: Box<blake3::Hasher>,
    any: bool,
    growing: Option<Box<Growing>>,
}

/// Texts of which nobody says whether each is new or all of the text so far, as a Triton model may be configured.
/// Both are reckoned until a text is no continuation of the one before: then every one is new.
struct Growing {
    all_new: blake3::Hasher,
    /// Events with text, if every text is new.
    new_texts: u64,
    /// Events with more text than before, if every text is all so far.
    longer_texts: u64,
    /// `None` once it is known that every text is new.
    so_far: Option<Vec<u8>>,
    /// Length of the text so far, which may be longer than what is remembered.
    length: usize,
    /// How much of the text at hand has come.
    at: usize,
}

impl Output {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            hasher: Box::new(blake3::Hasher::new_keyed(key)),
            any: false,
            growing: None,
        }
    }

    /// Adds text.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.hasher.update(text);
        self.any |= !text.is_empty();
    }

    /// A text begins that may be new or all so far.
    pub(super) fn begin_growing(&mut self) {
        let hasher = &self.hasher;
        let growing = self.growing.get_or_insert_with(|| {
            Box::new(Growing {
                all_new: blake3::Hasher::clone(hasher),
                new_texts: 0,
                longer_texts: 0,
                so_far: Some(Vec::new()),
                length: 0,
                at: 0,
            })
        });
        growing.at = 0;
    }

    /// Adds more of such a text.
    pub(super) fn push_growing(&mut self, part: &[u8]) {
        let Some(growing) = &mut self.growing else {
            return self.push(part);
        };
        self.any |= !part.is_empty();
        growing.all_new.update(part);
        let from = growing.at;
        growing.at += part.len();
        let Some(so_far) = &mut growing.so_far else {
            return;
        };
        // What is beyond the text so far is new under either reading.
        let repeated = growing.length.saturating_sub(from).min(part.len());
        let known = so_far.get(from..).unwrap_or_default();
        let compared = repeated.min(known.len());
        if part[..compared] != known[..compared] {
            growing.so_far = None;
            return;
        }
        let new = &part[repeated..];
        self.hasher.update(new);
        if so_far.len() == from + repeated && so_far.len() + new.len() <= REMEMBERED {
            so_far.extend_from_slice(new);
        }
    }

    /// Such a text ends.
    pub(super) fn end_growing(&mut self) {
        let Some(growing) = &mut self.growing else {
            return;
        };
        if growing.at == 0 {
            return;
        }
        growing.new_texts += 1;
        if growing.at < growing.length {
            growing.so_far = None;
        }
        growing.longer_texts += u64::from(growing.at > growing.length);
        growing.length = growing.length.max(growing.at);
    }

    /// Events that brought text, where their texts had to be compared to know.
    pub(super) fn growing_chunks(&self) -> Option<u64> {
        let growing = self.growing.as_ref()?;
        Some(match growing.so_far {
            Some(_) => growing.longer_texts,
            None => growing.new_texts,
        })
    }

    /// `blake3:` and hex; `None` where there was no text.
    pub(super) fn finish(&self) -> Option<String> {
        let hasher = match &self.growing {
            Some(growing) if growing.so_far.is_none() => &growing.all_new,
            _ => &self.hasher,
        };
        self.any.then(|| hash_text(&hasher.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(texts: &[&str]) -> (Option<u64>, Option<String>) {
        let mut output = Output::new(&[7; 32]);
        for text in texts {
            output.begin_growing();
            for part in text.as_bytes().chunks(2) {
                output.push_growing(part);
            }
            output.end_growing();
        }
        (output.growing_chunks(), output.finish())
    }

    fn plain(text: &str) -> Option<String> {
        let mut output = Output::new(&[7; 32]);
        output.push(text.as_bytes());
        output.finish()
    }

    #[test]
    fn new_texts_and_whole_texts_are_told_apart() {
        for (texts, chunks, text) in [
            (&["The", " answer"][..], 2, "The answer"),
            (&["The", "The answer"], 2, "The answer"),
            (&["The", "The", "The answer"], 2, "The answer"),
            // Two equal pieces are two pieces where a third one is no continuation of them.
            (&["no", "no", "!"], 3, "nono!"),
            (&["ab", "abcd", "ab"], 3, "ababcdab"),
            (&["ab", "", "abc"], 2, "abc"),
            (&["ab"], 1, "ab"),
        ] {
            assert_eq!(grown(texts), (Some(chunks), plain(text)), "{texts:?}");
        }
        assert_eq!(grown(&[""]), (Some(0), None));
    }
}
