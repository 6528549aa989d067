//! Systems where the echo stays on; a file or standard input keeps the secret unseen there.

use std::io;

pub(super) fn unseen<T>(read: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    read()
}

pub(super) fn size() -> Option<(u16, u16)> {
    None
}
