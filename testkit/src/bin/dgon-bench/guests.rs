//! The small guests that an idle agent is measured beside: node-exporter, collectd and netdata, each with few or no
//! settings of its own, so that it does what it does where it is just installed.

use crate::peers::installed;
use crate::programs::{Program, free_address};
use crate::report::Report;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A guest that runs.
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    /// Where it wants to be asked; a guest that nobody asks does nothing.
    pub(crate) scrape: Option<SocketAddr>,
}

/// Starts the guests that are installed.
pub(crate) fn start(dir: &Path, report: &mut Report) -> Result<Vec<Guest>> {
    type Start = fn(&mut Command, &Path) -> Result<Guest>;
    let known: [(&str, Start); 3] = [
        ("prometheus-node-exporter", node_exporter),
        ("collectd", collectd),
        ("netdata", netdata),
    ];
    let mut guests = Vec::new();
    for (name, start) in known {
        match installed(name) {
            Some(program) => {
                let dir = dir.join(name);
                std::fs::create_dir_all(&dir)?;
                guests.push(start(&mut Command::new(program), &dir)?);
            }
            None => report.note(format!("{name} is not installed: it is left out")),
        }
    }
    Ok(guests)
}

fn node_exporter(command: &mut Command, dir: &Path) -> Result<Guest> {
    let address = free_address()?;
    command.arg(format!("--web.listen-address={address}"));
    Ok(Guest {
        name: "node-exporter",
        program: Program::start(command, &dir.join("log"), address)?,
        scrape: Some(address),
    })
}

fn collectd(command: &mut Command, dir: &Path) -> Result<Guest> {
    let at = dir.display();
    let mut config = format!("BaseDir \"{at}\"\nPIDFile \"{at}/pid\"\nInterval 10\n");
    for plugin in ["cpu", "df", "interface", "load", "memory", "csv"] {
        config.push_str(&format!("LoadPlugin {plugin}\n"));
    }
    config.push_str(&format!("<Plugin csv>\nDataDir \"{at}/csv\"\n</Plugin>\n"));
    let file = dir.join("collectd.conf");
    std::fs::write(&file, config)?;
    command.arg("-f").arg("-C").arg(file);
    Ok(Guest {
        name: "collectd",
        program: Program::spawn(command, &dir.join("log"))?,
        scrape: None,
    })
}

fn netdata(command: &mut Command, dir: &Path) -> Result<Guest> {
    let address = free_address()?;
    let at = dir.display();
    for folder in ["cache", "lib", "logs"] {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    let config = format!(
        "[global]\n run as user = root\n[directories]\n cache = {at}/cache\n lib = {at}/lib\n log = {at}/logs\n\
         [db]\n mode = ram\n[web]\n bind to = {}\n default port = {}\n",
        address.ip(),
        address.port()
    );
    let file = dir.join("netdata.conf");
    std::fs::write(&file, config)?;
    command.arg("-D").arg("-c").arg(file);
    command.arg("-P").arg(dir.join("pid"));
    Ok(Guest {
        name: "netdata",
        program: Program::start(command, &dir.join("log"), address)?,
        scrape: None,
    })
}
