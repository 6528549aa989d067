//! What lets others at a file or directory, and how to close it.

use std::fmt;

/// A file or directory that is not its owner's alone. Displays who gets at it, such as `mode 0644`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    who: String,
    command: String,
}

impl Exposure {
    pub(super) fn new(who: String, command: String) -> Self {
        Self { who, command }
    }

    /// The command that shuts them out, for the shell that people of this system use.
    pub fn command(&self) -> &str {
        &self.command
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)
    }
}
