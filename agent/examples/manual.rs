//! Writes the manual pages of the program and of every command:
//! `cargo run -p dgon-agent --example manual -- DIR VERSION DATE`.
//!
//! They come from the command line itself, so they cannot differ from it; the released program does not carry them.

use anyhow::{Context as _, Result, bail};
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use dgon_agent::cli::Cli;
use std::path::Path;

/// What no flag tells; added to the first page.
const MORE: &str = r#".SH FILES
.TP
/etc/dgon/agent.yaml
The configuration, written by enrolment. For a user other than root: ~/.config/dgon/agent.yaml; on macOS it lies in
the state directory.
.TP
/var/lib/dgon
The state directory: identity, receipts that wait or are kept, the socket of the running agent. For a user other than
root: ~/.local/state/dgon; on macOS Library/Application Support/DGON, of the system or of the user.
.SH ENVIRONMENT
.TP
DGON_STATE_DIR, DGON_CONFIG
As --state-dir and --config.
.TP
DGON_API
As --api of enroll and run.
.TP
DGON_ENROL_TOKEN
The enrolment token. Unlike a flag, other users of the machine cannot see it.
.SH EXIT STATUS
0: done. 1: it failed, or the answer is no. 64: the command line or the configuration cannot be used. Some commands add
2, as their pages say.
"#;

/// What stands at the foot of every page.
struct Foot {
    version: String,
    date: String,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, version, date] = arguments.as_slice() else {
        bail!("usage: manual DIR VERSION DATE");
    };
    std::fs::create_dir_all(folder)?;
    let foot = Foot {
        version: format!("dgon-agent {version}"),
        date: date.clone(),
    };
    let mut command = Cli::command().disable_help_flag(true);
    command.build();
    pages(&command, &foot, Path::new(folder))
        .with_context(|| format!("the manual pages cannot be written to {folder}"))
}

fn pages(command: &Command, foot: &Foot, folder: &Path) -> Result<()> {
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        pages(inner, foot, folder)?;
    }
    let page = Man::new(command.clone())
        .source(&foot.version)
        .date(&foot.date)
        .manual("DGON");
    let mut text = Vec::new();
    page.render(&mut text)?;
    if command.get_name() == "dgon-agent" {
        text.extend_from_slice(MORE.as_bytes());
    }
    std::fs::write(folder.join(page.get_filename()), text)?;
    Ok(())
}
