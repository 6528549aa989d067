//! Asking a person for a secret on the terminal, unseen.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as os;
#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
use other as os;

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use zeroize::Zeroizing;

/// Longest secret that is read, bytes.
const SECRET_BYTES: u64 = 4096;

/// Whether there is a person to ask.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Columns and rows of the terminal that the standard output is; `None` where it is none or does not tell.
pub(super) fn size() -> Option<(u16, u16)> {
    if io::stdout().is_terminal() {
        os::size()
    } else {
        None
    }
}

/// Asks for a secret; what is typed is not shown.
pub(super) fn secret(question: &str) -> io::Result<Zeroizing<String>> {
    // The question comes after the echo is off: who answers it at once is neither shown nor thrown away.
    let answer = os::unseen(|| {
        io::stderr().write_all(question.as_bytes())?;
        io::stderr().flush()?;
        line()
    });
    io::stderr().write_all(b"\n")?;
    answer
}

fn line() -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(SECRET_BYTES).read_line(&mut text)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
