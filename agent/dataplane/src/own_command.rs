//! Commands of this program that its messages tell a person to run.
//!
//! A message says `dgon-agent run` in one place and means the agent of one state directory. Who gave that directory by a
//! flag or a variable would run the command for another one, so that every message takes its words from here.

use std::sync::OnceLock;

/// The flags that name the places of this process, each with a space before it.
static PLACE_FLAGS: OnceLock<String> = OnceLock::new();

/// Says once, before anything is told, which flags name the places of this process: empty for the default places, else
/// such as ` --state-dir /srv/dgon`. Later calls change nothing.
pub fn name_places(flags: String) {
    // A test may be one process of many places; the first are as good as any.
    drop(PLACE_FLAGS.set(flags));
}

/// A command of this program for the same places, to copy.
pub fn own_command(command: &str) -> String {
    let flags = PLACE_FLAGS.get().map_or("", String::as_str);
    format!("dgon-agent {command}{flags}")
}
