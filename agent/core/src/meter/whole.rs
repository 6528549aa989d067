//! Answers that are one JSON body: kept up to a bound; of larger ones only the end, where the counts are.

use super::event::Usage;

/// Largest body that is read whole, bytes.
pub const BODY_BYTES: usize = 1 << 20;
/// How much of the end of a larger body is kept.
const TAIL_BYTES: usize = 16 * 1024;

/// A JSON body as it comes in.
#[derive(Debug, Default)]
pub(super) struct Whole {
    kept: Vec<u8>,
    is_tail: bool,
}

impl Whole {
    pub(super) fn push(&mut self, chunk: &[u8]) {
        if !self.is_tail && self.kept.len() + chunk.len() <= BODY_BYTES {
            self.kept.extend_from_slice(chunk);
            return;
        }
        self.is_tail = true;
        let chunk = &chunk[chunk.len().saturating_sub(TAIL_BYTES)..];
        let keep = (TAIL_BYTES - chunk.len()).min(self.kept.len());
        let mut tail = Vec::with_capacity(TAIL_BYTES);
        tail.extend_from_slice(&self.kept[self.kept.len() - keep..]);
        tail.extend_from_slice(chunk);
        self.kept = tail;
    }

    /// The whole body, where it was small enough.
    pub(super) fn body(&self) -> Option<&[u8]> {
        (!self.is_tail).then_some(&self.kept)
    }

    /// The counts that stand at the end of a large body, such as one of embeddings.
    pub(super) fn usage_in_tail(&self) -> Option<Usage> {
        let number = |key: &str| {
            let at = memchr::memmem::rfind(&self.kept, key.as_bytes())?;
            let digits = self.kept[at + key.len()..].trim_ascii_start();
            let end = digits.iter().position(|b| !b.is_ascii_digit())?;
            std::str::from_utf8(&digits[..end])
                .ok()?
                .parse::<u64>()
                .ok()
        };
        let input = number("\"prompt_tokens\":").or_else(|| number("\"prompt_eval_count\":"));
        let output = number("\"completion_tokens\":").or_else(|| number("\"eval_count\":"));
        (input.is_some() || output.is_some()).then(|| Usage {
            input: input.unwrap_or(0),
            output: output.unwrap_or(0),
            cached: number("\"cached_tokens\":"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_body_is_kept_whole() {
        let mut whole = Whole::default();
        whole.push(b"{\"a\":");
        whole.push(b"1}");
        assert_eq!(whole.body(), Some(&b"{\"a\":1}"[..]));
    }

    #[test]
    fn of_a_large_body_the_counts_at_its_end_are_read() {
        let end = br#"],"model":"m","usage":{"prompt_tokens": 812,"total_tokens":812}}"#;
        for step in [1000, 70_000, 3 << 20] {
            let mut body = vec![b'0'; 3 << 20];
            body.extend_from_slice(end);
            let mut whole = Whole::default();
            body.chunks(step).for_each(|chunk| whole.push(chunk));
            assert_eq!(whole.body(), None);
            assert!(whole.kept.len() <= TAIL_BYTES);
            assert_eq!(whole.usage_in_tail().unwrap().input, 812);
        }
    }
}
