//! The terminal that the log and the live status line share.
//!
//! The status line is the last line of the terminal and has no line end. Whoever writes a log line erases it first
//! and draws it again below, under one lock, so that neither tears the other. Without a status line the log is
//! written as it is, and no escape code ever reaches what is not a terminal.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as os;
#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
use other as os;

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Carriage return and "erase the line".
const REWIND: &str = "\r\x1b[2K";
/// Width of a terminal that does not tell it.
const WIDTH: usize = 80;

/// The status line that is drawn now; empty where there is none.
static LINE: Mutex<String> = Mutex::new(String::new());

fn line() -> MutexGuard<'static, String> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a live line can be shown: the standard output is a terminal, and one that can erase a line.
pub fn is_live() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_dumb
}

/// Columns of the terminal.
pub fn width() -> usize {
    os::width().filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

/// Draws the status line anew where it differs; an empty one is erased.
pub fn show(text: &str) {
    let mut shown = line();
    if *shown != text {
        draw(&format!("{REWIND}{text}"));
        text.clone_into(&mut shown);
    }
}

fn draw(text: &str) {
    let mut out = io::stdout().lock();
    // A terminal that is gone needs no line.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// The standard error stream, for a log that may share its terminal with the status line.
#[derive(Debug, Clone, Copy)]
pub struct LogStream;

impl Write for LogStream {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let shown = line();
        let is_shared = !shown.is_empty() && io::stderr().is_terminal();
        if is_shared {
            draw(REWIND);
        }
        let written = io::stderr().write_all(text).map(|()| text.len());
        if is_shared {
            draw(&shown);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A part of the status line. Of two parts, the one with the higher `rank` is left out first.
#[derive(Debug, Clone)]
pub struct Part {
    /// 0 is never left out.
    pub rank: u8,
    /// What it says.
    pub text: String,
}

const BETWEEN: &str = " | ";

/// The parts in their order, as many as fit into `width` columns; what still does not fit is cut.
pub fn fit(parts: &[Part], width: usize) -> String {
    let mut most = parts.iter().map(|part| part.rank).max().unwrap_or(0);
    loop {
        let kept: Vec<&str> = parts
            .iter()
            .filter(|part| part.rank <= most && !part.text.is_empty())
            .map(|part| part.text.as_str())
            .collect();
        let line = kept.join(BETWEEN);
        let columns = line.chars().count();
        if columns <= width {
            return line;
        }
        if most == 0 {
            let cut: String = line.chars().take(width.saturating_sub(1)).collect();
            return if width == 0 { cut } else { cut + "…" };
        }
        most -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_shows_what_matters() {
        let part = |rank, text: &str| Part {
            rank,
            text: text.to_owned(),
        };
        let parts = [
            part(2, "rig-7"),
            part(0, "paused"),
            part(1, ""),
            part(3, "GPU 61 °C"),
        ];
        assert_eq!(fit(&parts, 80), "rig-7 | paused | GPU 61 °C");
        assert_eq!(fit(&parts, 26), "rig-7 | paused | GPU 61 °C");
        assert_eq!(fit(&parts, 25), "rig-7 | paused");
        assert_eq!(fit(&parts, 13), "paused");
        assert_eq!(fit(&parts, 5), "paus…");
        assert_eq!(fit(&parts, 0), "");
        for width in 0..40 {
            assert!(fit(&parts, width).chars().count() <= width);
        }
    }
}
