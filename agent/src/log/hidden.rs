//! Secrets that must not reach the log, whatever line they are in.
//!
//! No type prints its secret, so nothing should ever be found here. It is the last line: an error of a library, or of
//! the other side, that quotes what it was given.

use std::io::{self, Write};
use std::sync::{PoisonError, RwLock};
use zeroize::Zeroizing;

static HIDDEN: RwLock<Vec<Zeroizing<String>>> = RwLock::new(Vec::new());
const REDACTED: &[u8] = b"[redacted]";
/// Shorter texts are no secrets, and would tear holes into every line.
const SHORTEST: usize = 8;
/// More than any agent has.
const MOST: usize = 64;

/// Keeps a secret out of the log from now on.
pub fn hide(secret: &str) {
    let mut hidden = HIDDEN.write().unwrap_or_else(PoisonError::into_inner);
    let is_known = hidden.iter().any(|known| known.as_str() == secret);
    if secret.len() >= SHORTEST && !is_known && hidden.len() < MOST {
        hidden.push(Zeroizing::new(secret.to_owned()));
    }
}

/// A writer of whole lines, without the secrets.
pub(super) struct Redacting<W>(pub(super) W);

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let hidden = HIDDEN.read().unwrap_or_else(PoisonError::into_inner);
        let mut clean: Option<Vec<u8>> = None;
        for secret in hidden.iter() {
            let text = clean.as_deref().unwrap_or(line);
            if let Some(cut) = without(text, secret.as_bytes()) {
                clean = Some(cut);
            }
        }
        drop(hidden);
        self.0.write_all(clean.as_deref().unwrap_or(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text with every `secret` replaced; `None` where there is none.
fn without(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::new();
    let mut from = 0;
    for at in memchr::memmem::find_iter(text, secret) {
        clean.extend_from_slice(&text[from..at]);
        clean.extend_from_slice(REDACTED);
        from = at + secret.len();
    }
    if from == 0 {
        return None;
    }
    clean.extend_from_slice(&text[from..]);
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str) -> String {
        let mut out = Vec::new();
        Redacting(&mut out).write_all(line.as_bytes()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hidden_texts_are_cut_out_wherever_they_are() {
        hide("dgon_t_hunter2-hunter2");
        hide("dgon_t_hunter2-hunter2");
        hide("short");
        let line = "url=http://x/?a=dgon_t_hunter2-hunter2&b=dgon_t_hunter2-hunter2 short\n";
        assert_eq!(
            written(line),
            "url=http://x/?a=[redacted]&b=[redacted] short\n"
        );
        assert_eq!(written("nothing to hide\n"), "nothing to hide\n");
    }
}
