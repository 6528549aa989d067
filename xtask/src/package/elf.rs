//! What a program needs of the system that it runs on, as binutils reads it.

use crate::shell;
use anyhow::{Result, bail};
use std::path::Path;

/// Newest versions of the C library and of GCC's library whose symbols a program uses, such as `2.34` and `4.2`; none
/// where it uses none.
pub(super) struct Floors {
    /// Of glibc.
    pub(super) glibc: Option<String>,
    /// Of `libgcc_s`.
    pub(super) gcc: Option<String>,
}

/// Reads them.
pub(super) fn floors(program: &Path) -> Result<Floors> {
    let symbols = shell::output(shell::command("objdump").arg("-T").arg(program))?;
    Ok(Floors {
        glibc: newest(&symbols, "GLIBC_"),
        gcc: newest(&symbols, "GCC_"),
    })
}

/// Names of the shared libraries that it loads.
pub(super) fn needed(program: &Path) -> Result<Vec<String>> {
    let headers = shell::output(shell::command("objdump").arg("-p").arg(program))?;
    let names = headers
        .lines()
        .filter_map(|line| line.trim().strip_prefix("NEEDED"));
    Ok(names.map(|name| name.trim().to_owned()).collect())
}

/// Fails unless the program loads nothing.
pub(super) fn check_static(program: &Path) -> Result<()> {
    let headers = shell::output(shell::command("objdump").arg("-p").arg(program))?;
    let needed = needed(program)?;
    if !needed.is_empty()
        || headers
            .lines()
            .any(|line| line.trim().starts_with("INTERP"))
    {
        bail!(
            "{} is not static: it loads {}",
            program.display(),
            needed.join(", ")
        );
    }
    Ok(())
}

fn newest(symbols: &str, prefix: &str) -> Option<String> {
    symbols
        .split(['(', ')', ' ', '\n'])
        .filter_map(|word| word.strip_prefix(prefix))
        .filter_map(|version| {
            let mut parts = version.split('.').map(str::parse::<u32>);
            let major = parts.next()?.ok()?;
            Some(((major, parts.next()?.ok()?), version))
        })
        .max()
        .map(|(_, version)| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_found_by_number() {
        let symbols = "0000 DF *UND* 0000 (GLIBC_2.9) epoll\n0000 DF *UND* 0000 (GLIBC_2.34) x\n\
                       0000 DF *UND* 0000 (GLIBC_2.2.5) y\n0000 DF *UND* 0000 (GCC_4.2.0) z\n";
        assert_eq!(newest(symbols, "GLIBC_").as_deref(), Some("2.34"));
        assert_eq!(newest(symbols, "GCC_").as_deref(), Some("4.2.0"));
        assert_eq!(newest("no symbols", "GLIBC_"), None);
    }
}
