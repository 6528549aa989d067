//! Splitting a byte stream into lines, whatever its chunking, under a bound.

/// Longest line that is read, bytes. Ollama's last line may carry the whole context as token ids.
pub const LINE_BYTES: usize = 2 << 20;

/// Parts of lines that wait for their end.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

/// A line was longer than [`LINE_BYTES`]: what follows cannot be read any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts the line's end off: LF, or CRLF.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Lines {
    /// Calls `on_line` with each line that ends in `chunk`, without its end, and with where in `chunk` the
    /// line's own bytes begin (0 where it began earlier). Stops after a line for which `on_line` says false.
    pub(super) fn feed(
        &mut self,
        chunk: &[u8],
        mut on_line: impl FnMut(&[u8], usize) -> bool,
    ) -> Result<(), TooLong> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let part = &chunk[start..end];
            let goes_on = if self.partial.is_empty() {
                on_line(without_end(part), start)
            } else {
                self.keep(part)?;
                let line = std::mem::take(&mut self.partial);
                let goes_on = on_line(without_end(&line), start);
                self.partial = line;
                self.partial.clear();
                goes_on
            };
            start = end + 1;
            if !goes_on {
                break;
            }
        }
        self.keep(&chunk[start..])
    }

    /// The line that has begun and not ended.
    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Takes the line that has begun as if it had ended.
    pub(super) fn take_partial(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.partial.len() + part.len() > LINE_BYTES {
            self.partial = Vec::new();
            return Err(TooLong);
        }
        self.partial.extend_from_slice(part);
        Ok(())
    }
}

/// What a line of a server-sent event stream is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SseLine<'l> {
    /// The payload of a `data:` line, without the blanks around it.
    Data(&'l [u8]),
    /// The end of an event.
    Blank,
    /// A comment, another field, or nothing of SSE.
    Other,
}

impl<'l> SseLine<'l> {
    /// Reads a line that has lost its end.
    pub(super) fn read(line: &'l [u8]) -> Self {
        match line.strip_prefix(b"data:") {
            Some(payload) => Self::Data(payload.trim_ascii()),
            None if line.is_empty() => Self::Blank,
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(chunks: &[&[u8]]) -> Vec<(String, usize)> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in chunks {
            lines
                .feed(chunk, |line, at| {
                    seen.push((String::from_utf8_lossy(line).into_owned(), at));
                    true
                })
                .unwrap();
        }
        seen
    }

    #[test]
    fn lines_come_whole_whatever_the_chunks() {
        assert_eq!(
            collect(&[b"a\r\n\nb", b"c\n", b"d"]),
            [
                ("a".to_owned(), 0),
                (String::new(), 3),
                ("bc".to_owned(), 0)
            ]
        );
        assert_eq!(collect(&[b"a\r", b"\n"]), [("a".to_owned(), 0)]);
    }

    #[test]
    fn a_line_without_end_does_not_grow_memory() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];
        let outcome: Vec<_> = (0..200).map(|_| lines.feed(&chunk, |_, _| true)).collect();
        assert_eq!(outcome[0], Ok(()));
        assert!(outcome.contains(&Err(TooLong)));
        assert!(lines.partial.capacity() <= 2 * LINE_BYTES);
    }

    #[test]
    fn sse_lines_are_told_apart() {
        for (line, read) in [
            (&b"data: {}"[..], SseLine::Data(b"{}")),
            (b"data:{}", SseLine::Data(b"{}")),
            (b"data: {} ", SseLine::Data(b"{}")),
            (b"data:", SseLine::Data(b"")),
            (b"", SseLine::Blank),
            (b":", SseLine::Other),
            (b": keep-alive", SseLine::Other),
            (b"event: done", SseLine::Other),
            (b"database: 1", SseLine::Other),
        ] {
            assert_eq!(SseLine::read(line), read);
        }
    }
}
