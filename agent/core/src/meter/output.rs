//! The keyed hash over the text of an answer.

/// Longest cumulative text that is remembered to tell deltas from running totals, bytes.
const REMEMBERED: usize = 1 << 20;

/// Running hash of an answer's text: reasoning, content and tool calls in the order that they came.
pub(super) struct Output {
    hasher: blake3::Hasher,
    any: bool,
    so_far: Vec<u8>,
    is_cumulative: bool,
}

impl Output {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            hasher: blake3::Hasher::new_keyed(key),
            any: false,
            so_far: Vec::new(),
            is_cumulative: false,
        }
    }

    /// Adds text; says whether there was any.
    pub(super) fn push(&mut self, text: &[u8]) -> bool {
        self.hasher.update(text);
        self.any |= !text.is_empty();
        !text.is_empty()
    }

    /// Adds text that is either a delta or all of the text so far, as a Triton model may be configured.
    /// Says whether there was any that is new.
    pub(super) fn push_delta_or_total(&mut self, text: &[u8]) -> bool {
        if text.is_empty() {
            return false;
        }
        let new = match text.strip_prefix(self.so_far.as_slice()) {
            Some(new) if !self.so_far.is_empty() => {
                self.is_cumulative = true;
                new
            }
            _ => text,
        };
        let any = self.push(new);
        if self.is_cumulative {
            self.so_far.clear();
        }
        if self.so_far.len() + text.len() <= REMEMBERED {
            self.so_far.extend_from_slice(text);
        }
        any
    }

    /// `blake3:` and hex; `None` where there was no text.
    pub(super) fn finish(&self) -> Option<String> {
        self.any
            .then(|| format!("blake3:{}", self.hasher.finalize().to_hex()))
    }
}
