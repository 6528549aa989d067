//! A wall clock that goes wrong under a real program: `libfaketime` lies to it; its monotonic clock stays.

use super::ProgramError;
use std::path::Path;

const PLACES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib/faketime",
    "/usr/lib64/faketime",
];

/// The environment of a program whose wall clock goes as `file` says: `@2026-01-01 12:00:00` is that time when the program
/// began, `-30` is half a minute behind.
///
/// # Errors
/// The library is not installed: a test that cannot lie about the time must not pass.
pub fn false_clock(file: &Path) -> Result<[(&'static str, String); 5], ProgramError> {
    let found = PLACES
        .iter()
        .map(|place| Path::new(place).join("libfaketimeMT.so.1"))
        .find(|path| path.exists());
    let library = found.ok_or_else(|| ProgramError::Io {
        what: "install libfaketime: apt-get install libfaketime".to_owned(),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    Ok([
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // Its name before version 0.9.10, and since.
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}
