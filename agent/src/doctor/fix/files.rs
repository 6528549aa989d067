//! Files: who may read them, what is in the way, and values of agent.yaml.

use super::System;
use std::path::Path;

impl System {
    fn path(self, path: &Path) -> String {
        self.shell().path(path)
    }

    /// Whose a file or directory is, and who may do what with it.
    pub(in crate::doctor) fn show_owner(self, path: &Path) -> String {
        let path = self.path(path);
        match self {
            Self::Linux | Self::Macos => format!("ls -ld {path}"),
            Self::Windows => format!("Get-Acl -LiteralPath {path} | Format-List"),
        }
    }

    /// What lies in a directory.
    pub(in crate::doctor) fn list(self, path: &Path) -> String {
        let path = self.path(path);
        match self {
            Self::Linux | Self::Macos => format!("ls -la {path}"),
            Self::Windows => format!("Get-ChildItem -Force -LiteralPath {path}"),
        }
    }

    /// How much room there is.
    pub(in crate::doctor) fn free_space(self, path: &Path) -> String {
        match self {
            Self::Linux | Self::Macos => format!("df -h {}", self.path(path)),
            Self::Windows => "Get-PSDrive -PSProvider FileSystem".to_owned(),
        }
    }

    /// Takes away a directory with all in it.
    pub(in crate::doctor) fn remove_tree(self, path: &Path) -> String {
        let path = self.path(path);
        match self {
            Self::Linux | Self::Macos => format!("rm -r {path}"),
            Self::Windows => format!("Remove-Item -Recurse -Force -LiteralPath {path}"),
        }
    }

    /// Gives a file another name beside its own.
    pub(in crate::doctor) fn put_aside(self, path: &Path, ending: &str) -> String {
        let aside = self.word(&format!("{}.{ending}", path.display()));
        let path = self.path(path);
        match self {
            Self::Linux | Self::Macos => format!("mv {path} {aside}"),
            Self::Windows => format!("Move-Item -LiteralPath {path} {aside}"),
        }
    }

    /// The last lines of a file.
    pub(in crate::doctor) fn last_lines(self, path: &Path, count: u32) -> String {
        let path = self.path(path);
        match self {
            Self::Linux | Self::Macos => format!("tail -n {count} {path}"),
            Self::Windows => format!("Get-Content -Tail {count} -LiteralPath {path}"),
        }
    }

    /// The first line of a file.
    pub(in crate::doctor) fn first_line(self, path: &Path) -> String {
        let path = self.path(path);
        match self {
            Self::Linux | Self::Macos => format!("head -n 1 {path}"),
            Self::Windows => format!("Get-Content -TotalCount 1 -LiteralPath {path}"),
        }
    }

    /// Runs a command as the user who owns a file.
    pub(in crate::doctor) fn as_owner(self, path: &Path, command: &str) -> String {
        let path = self.path(path);
        match self {
            Self::Linux => format!("sudo -u \"$(stat -c %U {path})\" {command}"),
            Self::Macos => format!("sudo -u \"$(stat -f %Su {path})\" {command}"),
            Self::Windows => format!(
                "Start-Process powershell -Verb RunAs -ArgumentList {}",
                self.shell().quoted(&format!("-NoExit -Command {command}"))
            ),
        }
    }

    /// Gives a key of a YAML file another value, wherever it stands alone on its line.
    pub(in crate::doctor) fn set_key(self, file: &Path, key: &str, value: &str) -> String {
        let shell = self.shell();
        let edit = |quoted: &str| format!("s|^\\( *\\){key}:.*|\\1{key}: {quoted}|");
        let file = self.path(file);
        // A `&` or a backslash in the value is one for sed, and a `$` one for PowerShell.
        match self {
            Self::Linux | Self::Macos => {
                let value = value.replace('\\', "\\\\").replace('&', "\\&");
                let in_place = if self == Self::Macos { "-i ''" } else { "-i" };
                format!(
                    "sed {in_place} {} {file}",
                    shell.quoted(&edit(&value.replace('|', "\\|")))
                )
            }
            Self::Windows => format!(
                "(Get-Content -LiteralPath {file}) -replace {}, {} | Set-Content -LiteralPath {file}",
                shell.quoted(&format!("^( *){key}:.*")),
                shell.quoted(&format!("${{1}}{key}: {}", value.replace('$', "$$")))
            ),
        }
    }
}
