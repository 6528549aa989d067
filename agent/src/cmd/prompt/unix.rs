//! Unix: the terminal's echo is off while the secret is typed.

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io;

pub(super) fn unseen<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let terminal = io::stdin();
    let before = tcgetattr(&terminal)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
    let answer = read();
    tcsetattr(&terminal, OptionalActions::Now, &before)?;
    answer
}
