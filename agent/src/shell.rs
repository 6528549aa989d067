//! Commands that a person copies into a shell: the words of the shell that people of a system use.
//!
//! Nothing here runs anything. YAML has quotes of its own, where agent.yaml is written.

use std::path::Path;

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// sh, bash, zsh, dash.
    Posix,
    /// Windows PowerShell 5.1, which every Windows has, and later ones.
    PowerShell,
}

impl Shell {
    /// That of this system.
    pub const fn here() -> Self {
        if cfg!(windows) {
            Self::PowerShell
        } else {
            Self::Posix
        }
    }

    /// Text as one word of a command.
    pub fn word(self, text: &str) -> String {
        let marks = match self {
            Self::Posix => "/._-+=:@%",
            // An `@` begins a splat there, and a `%` is a command.
            Self::PowerShell => r"/\._-+=:",
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            return text.to_owned();
        }
        self.quoted(text)
    }

    /// Text in quotes, also where it needs none.
    pub fn quoted(self, text: &str) -> String {
        match self {
            Self::Posix => format!("'{}'", text.replace('\'', r"'\''")),
            Self::PowerShell => {
                let mut word = String::from("'");
                for c in text.chars() {
                    word.push(c);
                    // It takes typographic quotes for quotes, too.
                    if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
                        word.push(c);
                    }
                }
                word.push('\'');
                word
            }
        }
    }

    /// A path as one word of a command.
    pub fn path(self, path: &Path) -> String {
        self.word(&path.display().to_string())
    }

    /// Asks a process to end; Windows has no such request to a program without a window, and ends it at once.
    pub fn end(self, pid: u32) -> String {
        match self {
            Self::Posix => format!("kill -TERM {pid}"),
            Self::PowerShell => format!("Stop-Process -Id {pid}"),
        }
    }

    /// Ends a process at once, whatever it does.
    pub fn kill(self, pid: u32) -> String {
        match self {
            Self::Posix => format!("kill -KILL {pid}"),
            Self::PowerShell => format!("Stop-Process -Force -Id {pid}"),
        }
    }

    /// The second command only where the first one worked.
    pub fn both(self, first: &str, then: &str) -> String {
        match self {
            Self::Posix => format!("{first} && {then}"),
            Self::PowerShell => format!("{first}; if ($?) {{ {then} }}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shell::{Posix, PowerShell};

    #[test]
    fn words_mean_themselves() {
        for (text, posix, powershell) in [
            ("/var/lib/dgon", "/var/lib/dgon", "/var/lib/dgon"),
            (
                r"C:\ProgramData\DGON",
                r"'C:\ProgramData\DGON'",
                r"C:\ProgramData\DGON",
            ),
            ("a b", "'a b'", "'a b'"),
            ("", "''", "''"),
            ("it's", r"'it'\''s'", "'it''s'"),
            ("$HOME", "'$HOME'", "'$HOME'"),
            ("a;b", "'a;b'", "'a;b'"),
            ("me@x", "me@x", "'me@x'"),
            ("it\u{2019}s", "'it\u{2019}s'", "'it\u{2019}\u{2019}s'"),
        ] {
            assert_eq!(Posix.word(text), posix);
            assert_eq!(PowerShell.word(text), powershell);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_shell_reads_a_word_as_it_was() {
        for text in ["it's", "a b", "$HOME `id`", "\\", "\"", "*", "a\nb"] {
            let command = format!("printf %s {}", Posix.word(text));
            let said = std::process::Command::new("sh")
                .args(["-c", &command])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), text);
        }
    }
}
