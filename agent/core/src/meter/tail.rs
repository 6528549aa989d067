//! What may follow the mark that ends an answer: nothing that is work.
//!
//! The receipt is written at the mark. Whatever a runtime generates after it would reach the client unmeasured, so
//! only what real servers send there passes: blanks, comments, `data: [DONE]`, and fields that carry no data.

/// Most bytes that may follow.
const MOST_BYTES: u32 = 64 << 10;
const DONE: &[u8] = b"[DONE]";
const DATA: u8 = 0;
/// Fields of server-sent events that may follow. Only the first carries data.
const FIELDS: [&[u8]; 4] = [b"data:", b"event:", b"id:", b"retry:"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the beginning of a line, or in blanks.
    Line,
    /// So many bytes of the name of a field have come.
    Field(u8, u8),
    /// Behind `data:`; so many bytes of `[DONE]` have come.
    Data(u8),
    /// In a line that ends here but for blanks.
    Blanks,
    /// In a line of which everything may pass.
    Free,
    /// The answer goes on after its end: nothing passes any more.
    Over,
}

/// Reads what follows the mark, in any chunking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    at: At,
    bytes: u32,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            at: At::Line,
            bytes: 0,
        }
    }
}

impl Tail {
    /// Whether the answer has gone on after its end.
    pub fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// How many of these bytes may pass. Where it is fewer than came, the answer goes on after its end, and nothing
    /// passes from then on.
    pub fn admit(&mut self, bytes: &[u8]) -> usize {
        for (count, byte) in bytes.iter().enumerate() {
            self.bytes = self.bytes.saturating_add(1);
            self.at = if self.bytes > MOST_BYTES {
                At::Over
            } else {
                self.at.after(*byte)
            };
            if self.at == At::Over {
                return count;
            }
        }
        bytes.len()
    }
}

impl At {
    fn after(self, byte: u8) -> Self {
        let is_end = matches!(byte, b'\r' | b'\n');
        let is_blank = matches!(byte, b' ' | b'\t' | 0x1e);
        match self {
            Self::Over => Self::Over,
            Self::Line | Self::Data(0) | Self::Blanks | Self::Free if is_end => Self::Line,
            Self::Line | Self::Data(0) | Self::Blanks if is_blank => self,
            Self::Free => Self::Free,
            Self::Line if byte == b':' => Self::Free,
            Self::Line => {
                let field = FIELDS.iter().position(|name| name.first() == Some(&byte));
                let field = field.and_then(|field| u8::try_from(field).ok());
                field.map_or(Self::Over, |field| Self::Field(field, 1))
            }
            Self::Field(field, matched) => {
                let name = FIELDS[usize::from(field)];
                let is_same = name.get(usize::from(matched)) == Some(&byte);
                match (is_same, usize::from(matched) + 1 == name.len()) {
                    (false, _) => Self::Over,
                    (true, false) => Self::Field(field, matched + 1),
                    (true, true) if field == DATA => Self::Data(0),
                    (true, true) => Self::Free,
                }
            }
            Self::Data(matched) if DONE.get(usize::from(matched)) == Some(&byte) => {
                if usize::from(matched) + 1 == DONE.len() {
                    Self::Blanks
                } else {
                    Self::Data(matched + 1)
                }
            }
            Self::Data(_) | Self::Blanks => Self::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_servers_send_behind_the_mark_passes() {
        for text in [
            "",
            "\n\n",
            "\r\n\r\n",
            "\n\ndata: [DONE]\n\n",
            "data:[DONE]",
            "\n: ping\n\nevent: done\ndata: [DONE] \n\n",
            "\n\nid: 7\nretry: 100\ndata:\n\n",
        ] {
            assert_eq!(
                Tail::default().admit(text.as_bytes()),
                text.len(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn work_behind_the_mark_does_not() {
        for (text, passes) in [
            ("\n\ndata: {\"choices\":[]}\n\n", "\n\ndata: "),
            ("\n{\"message\":{}}\n", "\n"),
            ("text", ""),
            ("\ndata: [DONE] more", "\ndata: [DONE] "),
            ("\ndata: [DO NOT]", "\ndata: [DO"),
            ("\ndate: x", "\ndat"),
        ] {
            let mut tail = Tail::default();
            assert_eq!(tail.admit(text.as_bytes()), passes.len(), "{text:?}");
            assert_eq!(tail.admit(b"\n"), 0, "it is over");
        }
        let comments = ": a comment\n".repeat(10_000);
        assert!(Tail::default().admit(comments.as_bytes()) <= MOST_BYTES as usize);
    }

    proptest! {
        #[test]
        fn any_chunking_comes_to_the_same(text in "[ \\n:daten\\[DONE\\]{]{0,40}", step in 1usize..7) {
            let whole = Tail::default().admit(text.as_bytes());
            let mut tail = Tail::default();
            let pieces: usize = text.as_bytes().chunks(step).map(|piece| tail.admit(piece)).sum();
            prop_assert_eq!(whole, pieces);
        }
    }
}
